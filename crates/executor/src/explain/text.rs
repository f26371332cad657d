//! Expressions as SQL, near to what PostgreSQL prints.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use tessera_planner::scalar;
use tessera_types::{SqlType, Value};

/// A logical expression as SQL.
pub(crate) fn expression_text(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(value, _) => literal(value),
        Expr::Alias(alias) => expression_text(&alias.expr),
        Expr::Placeholder(placeholder) => placeholder.id.clone(),
        Expr::Cast(cast) => expression_text(&cast.expr),
        Expr::BinaryExpr(binary) => format!(
            "({} {} {})",
            expression_text(&binary.left),
            symbol(binary.op),
            expression_text(&binary.right)
        ),
        Expr::Not(inner) => format!("(NOT {})", expression_text(inner)),
        Expr::IsNull(inner) => format!("({} IS NULL)", expression_text(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", expression_text(inner)),
        Expr::InList(list) => {
            let items: Vec<String> = list.list.iter().map(expression_text).collect();
            let not = if list.negated { " NOT" } else { "" };
            format!(
                "({}{not} IN ({}))",
                expression_text(&list.expr),
                shortened(&items)
            )
        }
        Expr::ScalarFunction(call) => {
            let arguments: Vec<String> = call.args.iter().map(expression_text).collect();
            if let Some(values) = crate::operators::in_set::values_of(&call.func) {
                let items: Vec<String> = values.iter().take(6).map(literal).collect();
                return format!("({} IN ({}, …))", arguments.join(", "), items.join(", "));
            }
            function(call.name(), &arguments)
        }
        other => other.to_string(),
    }
}

/// A physical expression as SQL.
pub(super) fn physical_text(expr: &dyn PhysicalExpr) -> String {
    // Physical expressions print themselves well enough, apart from column positions.
    let text = expr.to_string();
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '@' && characters.peek().is_some_and(char::is_ascii_digit) {
            while characters.peek().is_some_and(char::is_ascii_digit) {
                characters.next();
            }
            continue;
        }
        out.push(c);
    }
    out
}

fn symbol(op: Operator) -> String {
    match op {
        Operator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    }
}

fn shortened(items: &[String]) -> String {
    if items.len() <= 12 {
        return items.join(", ");
    }
    format!("{}, … {} more", items[..12].join(", "), items.len() - 12)
}

/// A call; operators are printed between their arguments.
fn function(name: &str, arguments: &[String]) -> String {
    let is_operator = !name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    match arguments {
        [left, right] if is_operator => format!("({left} {name} {right})"),
        [only] if is_operator => format!("({name} {only})"),
        [only] if matches!(name, "cast" | "numeric_value" | "numeric_shown") => only.clone(),
        _ => format!("{name}({})", arguments.join(", ")),
    }
}

fn literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        value if value.is_null() => "NULL".to_owned(),
        ScalarValue::Date32(_) | ScalarValue::TimestampMicrosecond(..) => format!("'{value}'"),
        value @ ScalarValue::Decimal256(..) => {
            match scalar::from_scalar(value, &SqlType::Numeric(None)) {
                Ok(Value::Numeric(number)) => number.to_string(),
                _ => value.to_string(),
            }
        }
        other => other.to_string(),
    }
}
