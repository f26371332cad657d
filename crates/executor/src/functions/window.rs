//! Functions that only make sense with OVER.

use std::sync::Arc;

use datafusion::functions_window as df;
use datafusion::logical_expr::WindowUDF;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, WindowOverload};
use tessera_types::SqlType;

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    let mut add = |name: &str, arguments: Vec<Argument>, optional, returns, udf: Arc<WindowUDF>| {
        registry.window(WindowOverload {
            name: name.to_owned(),
            arguments,
            optional,
            returns,
            udf,
        });
    };
    let bigint = || Returns::Exact(SqlType::BigInt);
    let double = || Returns::Exact(SqlType::Double);
    add(
        "row_number",
        vec![],
        0,
        bigint(),
        df::row_number::row_number_udwf(),
    );
    add("rank", vec![], 0, bigint(), df::rank::rank_udwf());
    add(
        "dense_rank",
        vec![],
        0,
        bigint(),
        df::rank::dense_rank_udwf(),
    );
    add(
        "percent_rank",
        vec![],
        0,
        double(),
        df::rank::percent_rank_udwf(),
    );
    add(
        "cume_dist",
        vec![],
        0,
        double(),
        df::cume_dist::cume_dist_udwf(),
    );
    let bucket = || vec![Argument::Exact(SqlType::BigInt)];
    add(
        "ntile",
        bucket(),
        0,
        Returns::Exact(SqlType::Integer),
        df::ntile::ntile_udwf(),
    );
    let element = || vec![Argument::AnyElement];
    add(
        "first_value",
        element(),
        0,
        Returns::Element,
        df::nth_value::first_value_udwf(),
    );
    add(
        "last_value",
        element(),
        0,
        Returns::Element,
        df::nth_value::last_value_udwf(),
    );
    let nth = || vec![Argument::AnyElement, Argument::Exact(SqlType::BigInt)];
    add(
        "nth_value",
        nth(),
        0,
        Returns::Element,
        df::nth_value::nth_value_udwf(),
    );
    let shifted = || {
        vec![
            Argument::AnyElement,
            Argument::Exact(SqlType::BigInt),
            Argument::AnyElement,
        ]
    };
    add(
        "lag",
        shifted(),
        2,
        Returns::Element,
        df::lead_lag::lag_udwf(),
    );
    add(
        "lead",
        shifted(),
        2,
        Returns::Element,
        df::lead_lag::lead_udwf(),
    );
}
