//! Definitions as SQL text, in the words of PostgreSQL's `ruleutils`.

use std::fmt::Write as _;

use datafusion::sql::sqlparser::ast;
use tessera_catalog::{
    CatalogState, CheckDef, ColumnDef, IndexColumn, IndexDef, TableDef, quote_name,
};
use tessera_types::{RelationId, SqlType};

/// `pg_get_indexdef`: the whole CREATE INDEX.
pub(super) fn index(table: &TableDef, index: &IndexDef) -> String {
    let mut sql = format!(
        "CREATE {}INDEX {} ON {}.{} USING btree (",
        if index.unique { "UNIQUE " } else { "" },
        quote_name(&index.name),
        quote_name(&table.schema),
        quote_name(&table.name),
    );
    for (at, column) in index.columns.iter().enumerate() {
        if at > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&index_column(table, column));
        sql.push_str(order(column));
    }
    sql.push(')');
    if index.nulls_not_distinct {
        sql.push_str(" NULLS NOT DISTINCT");
    }
    sql
}

/// `pg_get_indexdef` of one column: its name only.
pub(super) fn index_column(table: &TableDef, column: &IndexColumn) -> String {
    let name = table
        .column_by_id(column.column)
        .map_or("", |column| column.name.as_str());
    quote_name(name).into_owned()
}

fn order(column: &IndexColumn) -> &'static str {
    match (column.descending, column.nulls_first) {
        (false, false) => "",
        (false, true) => " NULLS FIRST",
        (true, true) => " DESC",
        (true, false) => " DESC NULLS LAST",
    }
}

/// `pg_get_constraintdef` of a key.
pub(super) fn key_constraint(table: &TableDef, index: &IndexDef) -> String {
    let mut sql = String::from(if index.primary {
        "PRIMARY KEY"
    } else {
        "UNIQUE"
    });
    if index.nulls_not_distinct {
        sql.push_str(" NULLS NOT DISTINCT");
    }
    sql.push_str(" (");
    for (at, column) in index.columns.iter().enumerate() {
        if at > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&index_column(table, column));
    }
    sql.push(')');
    sql
}

/// `pg_get_constraintdef` of a CHECK; `pretty` leaves out what PostgreSQL's parser needs not.
pub(super) fn check_constraint(check: &CheckDef, pretty: bool) -> String {
    match (pretty, is_in_parentheses(&check.sql)) {
        (true, true) => format!("CHECK {}", check.sql),
        (true, false) | (false, true) => format!("CHECK ({})", check.sql),
        (false, false) => format!("CHECK (({}))", check.sql),
    }
}

/// `pg_get_expr` of a column's default: a literal comes with its type, as it is stored.
pub(super) fn default(column: &ColumnDef) -> Option<String> {
    let sql = column.default.as_ref()?;
    let Ok(parsed) = tessera_planner::parse_expression(sql) else {
        return Some(sql.clone());
    };
    let stored = match parsed {
        ast::Expr::Value(value) => match value.value {
            ast::Value::SingleQuotedString(_) => {
                let sql_type = match &column.sql_type {
                    SqlType::Char(_) => "bpchar".to_owned(),
                    other => other.base_name(),
                };
                format!("{sql}::{sql_type}")
            }
            ast::Value::Null => format!("{sql}::{}", column.sql_type.base_name()),
            _ => sql.clone(),
        },
        ast::Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => match expr.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => format!("'-{digits}'::{}", number_type(digits)),
                _ => sql.clone(),
            },
            _ => sql.clone(),
        },
        _ => sql.clone(),
    };
    Some(stored)
}

/// The type of a number as written.
fn number_type(digits: &str) -> &'static str {
    if digits.parse::<i32>().is_ok() {
        "integer"
    } else if digits.parse::<i64>().is_ok() {
        "bigint"
    } else {
        "numeric"
    }
}

/// Whether one pair of parentheses encloses the whole text.
fn is_in_parentheses(sql: &str) -> bool {
    let mut depth = 0_usize;
    let mut in_text = false;
    for (at, c) in sql.char_indices() {
        match c {
            '\'' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && at + c.len_utf8() < sql.len() {
            return false;
        }
    }
    sql.starts_with('(')
}

/// `pg_get_constraintdef` by oid.
pub(super) fn constraint(catalog: &CatalogState, oid: u32, pretty: bool) -> Option<String> {
    for table in catalog.tables() {
        for index in &table.indexes {
            if index
                .constraint
                .is_some_and(|constraint| constraint.0 == oid)
            {
                return Some(key_constraint(table, index));
            }
        }
        if let Some(check) = table.checks.iter().find(|check| check.id.0 == oid) {
            return Some(check_constraint(check, pretty));
        }
    }
    None
}

/// `pg_get_viewdef`: the query, indented as PostgreSQL begins it, with its semicolon.
pub(super) fn view(catalog: &CatalogState, id: RelationId) -> Option<String> {
    let view = catalog.view(id)?;
    let mut sql = String::new();
    let _ = write!(sql, " {};", view.sql.trim().trim_end_matches(';'));
    Some(sql)
}

#[cfg(test)]
mod tests {
    use super::is_in_parentheses;

    #[test]
    fn enclosing_parentheses_are_told_from_neighbours() {
        assert!(is_in_parentheses("(a > 0)"));
        assert!(is_in_parentheses("((a) > (0))"));
        assert!(is_in_parentheses("(a = ')')"));
        assert!(!is_in_parentheses("(a) > (0)"));
        assert!(!is_in_parentheses("a > 0"));
    }
}
