//! Calls of the functions that the short path evaluates itself.

use sqlparser::ast::{
    Expr, Function as AstFunction, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
};
use tessera_types::{SqlType, Value};

use super::bind::{Binder, Bound, Typed, Unbound, folded, is_open, strip_nested};
use super::coercion::{is_ordered, same_type};
use super::literal::string_of;
use super::scalar::{Function, NumberKind, Scalar};

impl Binder<'_> {
    pub(super) fn bind_function(
        &mut self,
        function: &AstFunction,
        expected: Option<&SqlType>,
    ) -> Bound<Typed> {
        if function.over.is_some()
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None)
        {
            return Err(Unbound::Unsupported);
        }
        let name = function_name(function).ok_or(Unbound::Unsupported)?;
        let args = plain_arguments(function).ok_or(Unbound::Unsupported)?;
        let call = |function, args, sql_type| {
            Ok(Typed {
                scalar: Scalar::Call(function, args),
                sql_type,
            })
        };
        match (name.as_str(), args.as_slice()) {
            ("now" | "current_timestamp" | "transaction_timestamp", []) => {
                call(Function::Now, Vec::new(), SqlType::TimestampTz)
            }
            ("clock_timestamp", []) => {
                call(Function::ClockTimestamp, Vec::new(), SqlType::TimestampTz)
            }
            ("current_date", []) => call(Function::CurrentDate, Vec::new(), SqlType::Date),
            ("localtimestamp", []) => {
                call(Function::LocalTimestamp, Vec::new(), SqlType::Timestamp)
            }
            ("gen_random_uuid", []) => call(Function::GenRandomUuid, Vec::new(), SqlType::Uuid),
            ("current_user" | "session_user" | "user", []) => {
                call(Function::CurrentUser, Vec::new(), SqlType::Name)
            }
            ("nextval", [sequence]) => {
                let Some(lookup) = self.scope.sequences else {
                    return Err(Unbound::Unsupported);
                };
                let text = sequence_text(sequence).ok_or(Unbound::Unsupported)?;
                let oid = lookup(text).ok_or(Unbound::Unsupported)?;
                call(
                    Function::NextVal,
                    vec![Scalar::Literal(Value::Oid(oid))],
                    SqlType::BigInt,
                )
            }
            ("coalesce" | "greatest" | "least", [_, ..]) => {
                let function = match name.as_str() {
                    "coalesce" => Function::Coalesce,
                    "greatest" => Function::Greatest,
                    _ => Function::Least,
                };
                let mut bound = Vec::with_capacity(args.len());
                let first = args.iter().position(|arg| !is_open(arg));
                let known = match first {
                    Some(at) => Some(self.bind(args[at], expected)?.sql_type),
                    None => expected.cloned(),
                };
                for arg in &args {
                    bound.push(self.bind(arg, known.as_ref())?);
                }
                let (bound, sql_type) = same_type(bound)?;
                if function != Function::Coalesce && !is_ordered(&sql_type) {
                    return Err(Unbound::Unsupported);
                }
                call(function, bound, sql_type)
            }
            ("nullif", [left, right]) => {
                let (left, right) = self.bind_pair(left, right, expected)?;
                let sql_type = left.sql_type.clone();
                if sql_type.base() != right.sql_type.base()
                    || !is_ordered(&sql_type)
                    || matches!(sql_type, SqlType::Char(_))
                {
                    return Err(Unbound::Unsupported);
                }
                call(Function::NullIf, vec![left.scalar, right.scalar], sql_type)
            }
            ("abs", [arg]) => {
                let arg = self.bind(arg, expected)?;
                NumberKind::of(&arg.sql_type).ok_or(Unbound::Unsupported)?;
                let sql_type = arg.sql_type.base();
                call(Function::Abs, vec![arg.scalar], sql_type)
            }
            (
                "lower" | "upper" | "length" | "char_length" | "character_length" | "octet_length",
                [arg],
            ) => {
                let arg = self.bind(arg, Some(&SqlType::Text))?;
                if !matches!(arg.sql_type, SqlType::Text | SqlType::Varchar(_)) {
                    return Err(Unbound::Unsupported);
                }
                let (function, sql_type) = match name.as_str() {
                    "lower" => (Function::Lower, SqlType::Text),
                    "upper" => (Function::Upper, SqlType::Text),
                    "octet_length" => (Function::OctetLength, SqlType::Integer),
                    _ => (Function::Length, SqlType::Integer),
                };
                call(function, vec![arg.scalar], sql_type)
            }
            _ => Err(Unbound::Unsupported),
        }
    }
}

/// SQL functions written without parentheses that the parser leaves as identifiers.
pub(super) fn bare_function(ident: &Ident) -> Bound<Typed> {
    if ident.quote_style.is_some() {
        return Err(Unbound::Unsupported);
    }
    let (function, sql_type) = match ident.value.to_lowercase().as_str() {
        "current_timestamp" => (Function::Now, SqlType::TimestampTz),
        "current_date" => (Function::CurrentDate, SqlType::Date),
        "localtimestamp" => (Function::LocalTimestamp, SqlType::Timestamp),
        "current_user" | "session_user" | "user" => (Function::CurrentUser, SqlType::Name),
        _ => return Err(Unbound::Unsupported),
    };
    Ok(Typed {
        scalar: Scalar::Call(function, Vec::new()),
        sql_type,
    })
}

pub(super) fn function_name(function: &AstFunction) -> Option<String> {
    let parts = &function.name.0;
    let last = parts.last()?.as_ident()?;
    match parts.len() {
        1 => Some(folded(last)),
        2 if folded(parts[0].as_ident()?) == "pg_catalog" => Some(folded(last)),
        _ => None,
    }
}

pub(super) fn plain_arguments(function: &AstFunction) -> Option<Vec<&Expr>> {
    match &function.args {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return None;
            }
            list.args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect()
        }
    }
}

pub(super) fn sequence_text(expr: &Expr) -> Option<&str> {
    match strip_nested(expr) {
        Expr::Value(value) => string_of(&value.value),
        Expr::Cast {
            expr, data_type, ..
        } => {
            let ty = data_type.to_string().to_lowercase();
            if ty == "regclass" || ty == "text" {
                sequence_text(expr)
            } else {
                None
            }
        }
        _ => None,
    }
}
