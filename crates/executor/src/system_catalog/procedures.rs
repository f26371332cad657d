//! `pg_proc`: the functions of the registry, each with an oid that holds while the server runs.

use std::sync::LazyLock;

use parking_lot::RwLock;
use tessera_planner::functions::{Argument, FunctionDescription, FunctionRegistry, Returns};
use tessera_types::{Report, SqlType, Value};

use super::layout::PG_CATALOG_OID;
use super::rows::{MakeRows, Rows, array, flag, int2, oid, text};
use crate::context::StatementContext;
use crate::executor::Executor;

/// Oid of the language that built-in functions are in.
pub(super) const INTERNAL_LANGUAGE: u32 = 12;

/// Oids of functions: between PostgreSQL's own and those of users.
const FIRST_OID: u32 = 14_000;

/// Pseudo-types in signatures.
const ANY: u32 = 2276;
const ANY_ELEMENT: u32 = 2283;
const ANY_ARRAY: u32 = 2277;

/// Functions that types point to; they are named, but cannot be called.
const TYPE_FUNCTIONS: &[(u32, &str)] = &[
    (750, "array_in"),
    (751, "array_out"),
    (2400, "array_recv"),
    (2401, "array_send"),
    (6179, "array_subscript_handler"),
    (6180, "raw_array_subscript_handler"),
];

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    (name == "pg_proc").then_some(pg_proc as MakeRows)
}

/// Names in the order of their oids, kept because the registry is sorted anew at each question.
static NAMES: LazyLock<RwLock<Vec<String>>> = LazyLock::new(RwLock::default);

fn with_names<T>(registry: &FunctionRegistry, look: impl Fn(&[String]) -> T) -> T {
    {
        let names = NAMES.read();
        if !names.is_empty() {
            return look(&names);
        }
    }
    let all = registry
        .describe_all()
        .into_iter()
        .map(|function| function.name)
        .collect();
    let mut names = NAMES.write();
    *names = all;
    look(&names)
}

/// Oid of the first function of that name.
pub(super) fn oid_of_name(registry: &FunctionRegistry, name: &str) -> Option<u32> {
    if let Some((number, _)) = TYPE_FUNCTIONS.iter().find(|(_, known)| *known == name) {
        return Some(*number);
    }
    with_names(registry, |names| {
        names
            .iter()
            .position(|known| known == name)
            .map(|at| FIRST_OID + at as u32)
    })
}

/// Name of the function of that oid.
pub(super) fn name_of_oid(registry: &FunctionRegistry, number: u32) -> Option<String> {
    if let Some((_, name)) = TYPE_FUNCTIONS.iter().find(|(known, _)| *known == number) {
        return Some((*name).to_owned());
    }
    let at = number.checked_sub(FIRST_OID)? as usize;
    with_names(registry, |names| names.get(at).cloned())
}

/// The function of that oid.
pub(super) fn function(registry: &FunctionRegistry, number: u32) -> Option<FunctionDescription> {
    let at = number.checked_sub(FIRST_OID)? as usize;
    registry.describe_all().into_iter().nth(at)
}

/// `pg_get_function_arguments`.
pub(super) fn arguments_text(function: &FunctionDescription) -> String {
    let last = function.arguments.len().saturating_sub(1);
    let names = function.arguments.iter().enumerate().map(|(at, argument)| {
        let name = argument_name(argument);
        if function.variadic && at == last {
            format!("VARIADIC {name}")
        } else {
            name
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// `pg_get_function_result`.
pub(super) fn result_text(function: &FunctionDescription) -> String {
    let name = match &function.returns {
        Returns::Exact(ty) => ty.name(),
        Returns::Array => "anyarray".to_owned(),
        Returns::Element | Returns::Computed(_) | Returns::Field(_) => "anyelement".to_owned(),
    };
    if function.returns_set {
        format!("SETOF {name}")
    } else {
        name
    }
}

fn argument_name(argument: &Argument) -> String {
    match argument {
        Argument::Exact(ty) => ty.name(),
        Argument::Any => "\"any\"".to_owned(),
        Argument::AnyElement => "anyelement".to_owned(),
        Argument::AnyArray => "anyarray".to_owned(),
    }
}

fn argument_oid(argument: &Argument) -> u32 {
    match argument {
        Argument::Exact(ty) => ty.oid(),
        Argument::Any => ANY,
        Argument::AnyElement => ANY_ELEMENT,
        Argument::AnyArray => ANY_ARRAY,
    }
}

fn pg_proc(executor: &Executor, _: &StatementContext) -> Result<Vec<Vec<Value>>, Report> {
    use datafusion::logical_expr::Volatility;
    let mut rows = Rows::new("pg_catalog", "pg_proc")?;
    for (at, function) in executor.registry().describe_all().into_iter().enumerate() {
        let result = match &function.returns {
            Returns::Exact(ty) => ty.oid(),
            Returns::Array => ANY_ARRAY,
            Returns::Element | Returns::Computed(_) | Returns::Field(_) => ANY_ELEMENT,
        };
        let volatility = match function.volatility {
            Volatility::Immutable => "i",
            Volatility::Stable => "s",
            Volatility::Volatile => "v",
        };
        let arguments = function
            .arguments
            .iter()
            .map(|argument| oid(argument_oid(argument)));
        let variadic = function
            .arguments
            .last()
            .filter(|_| function.variadic)
            .map_or(0, argument_oid);
        rows.add([
            ("oid", oid(FIRST_OID + at as u32)),
            ("proname", text(function.name.as_str())),
            ("pronamespace", oid(PG_CATALOG_OID)),
            ("proowner", oid(tessera_catalog::BOOTSTRAP_USER_OID)),
            ("prolang", oid(INTERNAL_LANGUAGE)),
            ("procost", Value::Real(1.0)),
            (
                "prorows",
                Value::Real(if function.returns_set { 1_000.0 } else { 0.0 }),
            ),
            ("provariadic", oid(variadic)),
            ("prosupport", oid(0)),
            ("prokind", text(function.kind.to_string())),
            ("prosecdef", flag(false)),
            ("proleakproof", flag(false)),
            ("proisstrict", flag(false)),
            ("proretset", flag(function.returns_set)),
            ("provolatile", text(volatility)),
            ("proparallel", text("s")),
            ("pronargs", int2(function.arguments.len())),
            ("pronargdefaults", Value::SmallInt(0)),
            ("prorettype", oid(result)),
            ("proargtypes", array(SqlType::Oid, arguments)),
            ("prosrc", text(function.name.as_str())),
        ]);
    }
    Ok(rows.finish())
}
