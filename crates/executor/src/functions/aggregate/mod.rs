//! Aggregate functions.
//!
//! - `exact`: sum and avg of integers and decimals, with PostgreSQL's result types and overflow errors.
//! - `collect`: aggregates that see all values of a group: array_agg, string_agg, json_agg, mode, …
//! - `moments`: variances, correlations and regressions of floating point numbers.
//! - the rest is DataFusion's, under the types that PostgreSQL gives it.

mod collect;
mod exact;
mod folds;
mod moments;

use std::sync::Arc;

use datafusion::functions_aggregate as df;
use datafusion::logical_expr::AggregateUDF;
use tessera_planner::functions::{AggregateOverload, Argument, FunctionRegistry, Returns};
use tessera_types::SqlType;

use moments::Moment;

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    let mut add = |name: &str, arguments: Vec<Argument>, returns, udf: Arc<AggregateUDF>| {
        registry.aggregate(AggregateOverload {
            name: name.to_owned(),
            arguments,
            variadic: false,
            returns,
            ordered_set: false,
            udf,
        });
    };
    let one = |ty: SqlType| vec![Argument::Exact(ty)];
    add(
        "count",
        vec![],
        Returns::Exact(SqlType::BigInt),
        df::count::count_udaf(),
    );
    add(
        "count",
        vec![Argument::Any],
        Returns::Exact(SqlType::BigInt),
        df::count::count_udaf(),
    );
    for ty in ordered_types() {
        add("min", one(ty.clone()), same(&ty), df::min_max::min_udaf());
        add("max", one(ty.clone()), same(&ty), df::min_max::max_udaf());
    }
    add(
        "min",
        vec![Argument::AnyArray],
        Returns::Array,
        collect::udaf(folds::min()),
    );
    add(
        "max",
        vec![Argument::AnyArray],
        Returns::Array,
        collect::udaf(folds::max()),
    );
    add(
        "min",
        one(SqlType::Interval),
        Returns::Exact(SqlType::Interval),
        collect::udaf(folds::min()),
    );
    add(
        "max",
        one(SqlType::Interval),
        Returns::Exact(SqlType::Interval),
        collect::udaf(folds::max()),
    );
    for (argument, sum) in [
        (SqlType::SmallInt, Returns::Exact(SqlType::BigInt)),
        (SqlType::Integer, Returns::Exact(SqlType::BigInt)),
        (SqlType::BigInt, Returns::Field(exact::sum_field)),
        (SqlType::Numeric(None), Returns::Field(exact::sum_field)),
    ] {
        add("sum", one(argument.clone()), sum, exact::sum_udaf());
        add(
            "avg",
            one(argument),
            Returns::Field(exact::avg_field),
            exact::avg_udaf(),
        );
    }
    add(
        "sum",
        one(SqlType::Double),
        Returns::Exact(SqlType::Double),
        df::sum::sum_udaf(),
    );
    add(
        "sum",
        one(SqlType::Real),
        Returns::Exact(SqlType::Real),
        collect::udaf(folds::sum_real()),
    );
    add(
        "avg",
        one(SqlType::Double),
        Returns::Exact(SqlType::Double),
        df::average::avg_udaf(),
    );
    add(
        "sum",
        one(SqlType::Interval),
        Returns::Exact(SqlType::Interval),
        collect::udaf(folds::sum_interval()),
    );
    add(
        "avg",
        one(SqlType::Interval),
        Returns::Exact(SqlType::Interval),
        collect::udaf(folds::avg_interval()),
    );
    let boolean = || Returns::Exact(SqlType::Boolean);
    add(
        "bool_and",
        one(SqlType::Boolean),
        boolean(),
        df::bool_and_or::bool_and_udaf(),
    );
    add(
        "every",
        one(SqlType::Boolean),
        boolean(),
        df::bool_and_or::bool_and_udaf(),
    );
    add(
        "bool_or",
        one(SqlType::Boolean),
        boolean(),
        df::bool_and_or::bool_or_udaf(),
    );
    for ty in [SqlType::SmallInt, SqlType::Integer, SqlType::BigInt] {
        add(
            "bit_and",
            one(ty.clone()),
            same(&ty),
            df::bit_and_or_xor::bit_and_udaf(),
        );
        add(
            "bit_or",
            one(ty.clone()),
            same(&ty),
            df::bit_and_or_xor::bit_or_udaf(),
        );
        add(
            "bit_xor",
            one(ty.clone()),
            same(&ty),
            df::bit_and_or_xor::bit_xor_udaf(),
        );
    }
    for (name, double) in [
        ("stddev", Moment::StddevSamp),
        ("stddev_samp", Moment::StddevSamp),
        ("stddev_pop", Moment::StddevPop),
        ("variance", Moment::VarSamp),
        ("var_samp", Moment::VarSamp),
        ("var_pop", Moment::VarPop),
    ] {
        let double = moments::udaf(name, double);
        add(
            name,
            one(SqlType::Double),
            Returns::Exact(SqlType::Double),
            double,
        );
        for ty in [
            SqlType::SmallInt,
            SqlType::Integer,
            SqlType::BigInt,
            SqlType::Numeric(None),
        ] {
            let numeric = Returns::Exact(SqlType::Numeric(None));
            add(
                name,
                one(ty),
                numeric,
                collect::udaf(folds::deviation(name)),
            );
        }
    }
    let pair = || {
        vec![
            Argument::Exact(SqlType::Double),
            Argument::Exact(SqlType::Double),
        ]
    };
    for (name, moment) in [
        ("corr", Moment::Corr),
        ("covar_pop", Moment::CovarPop),
        ("covar_samp", Moment::CovarSamp),
        ("regr_count", Moment::RegrCount),
        ("regr_slope", Moment::RegrSlope),
        ("regr_intercept", Moment::RegrIntercept),
        ("regr_r2", Moment::RegrR2),
        ("regr_avgx", Moment::RegrAvgx),
        ("regr_avgy", Moment::RegrAvgy),
        ("regr_sxx", Moment::RegrSxx),
        ("regr_syy", Moment::RegrSyy),
        ("regr_sxy", Moment::RegrSxy),
    ] {
        let returns = match moment {
            Moment::RegrCount => SqlType::BigInt,
            _ => SqlType::Double,
        };
        add(
            name,
            pair(),
            Returns::Exact(returns),
            moments::udaf(name, moment),
        );
    }
    add(
        "array_agg",
        vec![Argument::AnyElement],
        Returns::Array,
        collect::udaf(folds::array_agg()),
    );
    let text = |ty: SqlType| vec![Argument::Exact(ty.clone()), Argument::Exact(ty)];
    add(
        "string_agg",
        text(SqlType::Text),
        Returns::Exact(SqlType::Text),
        collect::udaf(folds::string_agg()),
    );
    add(
        "string_agg",
        text(SqlType::Bytea),
        Returns::Exact(SqlType::Bytea),
        collect::udaf(folds::bytea_agg()),
    );
    for (name, binary) in [("json_agg", false), ("jsonb_agg", true)] {
        let ty = if binary {
            SqlType::Jsonb
        } else {
            SqlType::Json
        };
        add(
            name,
            vec![Argument::Any],
            Returns::Exact(ty),
            collect::udaf(folds::json_agg(name, binary)),
        );
    }
    for (name, binary) in [("json_object_agg", false), ("jsonb_object_agg", true)] {
        let ty = if binary {
            SqlType::Jsonb
        } else {
            SqlType::Json
        };
        let udaf = collect::udaf(folds::json_object_agg(name, binary));
        add(
            name,
            vec![Argument::Any, Argument::Any],
            Returns::Exact(ty),
            udaf,
        );
    }
    add(
        "any_value",
        vec![Argument::AnyElement],
        Returns::Element,
        collect::udaf(folds::any_value()),
    );
    let mut ordered = |name: &str, arguments: Vec<Argument>, returns, udf: Arc<AggregateUDF>| {
        registry.aggregate(AggregateOverload {
            name: name.to_owned(),
            arguments,
            variadic: false,
            returns,
            ordered_set: true,
            udf,
        });
    };
    ordered(
        "mode",
        vec![Argument::AnyElement],
        Returns::Element,
        collect::udaf(folds::mode()),
    );
    let fraction = Argument::Exact(SqlType::Double);
    for ty in [SqlType::Double, SqlType::Interval] {
        let arguments = vec![Argument::Exact(ty.clone()), fraction.clone()];
        ordered(
            "percentile_cont",
            arguments,
            Returns::Exact(ty),
            collect::udaf(folds::percentile_cont()),
        );
    }
    let arguments = vec![Argument::AnyElement, fraction];
    ordered(
        "percentile_disc",
        arguments,
        Returns::Element,
        collect::udaf(folds::percentile_disc()),
    );
}

/// Types with an order that DataFusion compares as PostgreSQL does.
fn ordered_types() -> Vec<SqlType> {
    vec![
        SqlType::SmallInt,
        SqlType::Integer,
        SqlType::BigInt,
        SqlType::Real,
        SqlType::Double,
        SqlType::Numeric(None),
        SqlType::Text,
        SqlType::Char(0),
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
        SqlType::TimestampTz,
        SqlType::Oid,
    ]
}

/// The argument's own type; a decimal keeps its scale.
fn same(ty: &SqlType) -> Returns {
    match ty {
        SqlType::Numeric(_) => Returns::Field(|fields| Ok(fields[0].clone())),
        other => Returns::Exact(other.clone()),
    }
}
