//! Names: folding, and what PostgreSQL calls an output column without an alias.

use sqlparser::ast::{self, Expr, FunctionArguments, Ident, ObjectName};
use tessera_types::{Report, codes};

/// Bytes of an identifier; longer ones are cut, as PostgreSQL does.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 63;

/// An identifier as stored: folded to lower case unless quoted, cut to 63 bytes.
pub fn fold(ident: &Ident) -> String {
    let mut name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    if let Some(length) = cut_length(&name) {
        name.truncate(length);
    }
    name
}

/// Where a name that is too long is cut: in bytes, at a character.
pub(crate) fn cut_length(name: &str) -> Option<usize> {
    (name.len() > IDENTIFIER_BYTES_MAX).then(|| name.floor_char_boundary(IDENTIFIER_BYTES_MAX))
}

/// `name`, `schema.name` or `database.schema.name` as schema and name.
pub fn object_name(name: &ObjectName) -> Result<(Option<String>, String), Report> {
    let parts = name
        .0
        .iter()
        .map(|part| part.as_ident().map(fold))
        .collect::<Option<Vec<String>>>()
        .ok_or_else(|| Report::error(codes::SYNTAX_ERROR, format!("invalid name: {name}")))?;
    match <[String; 1]>::try_from(parts) {
        Ok([name]) => Ok((None, name)),
        Err(mut parts) if parts.len() == 2 || parts.len() == 3 => {
            let name = parts.pop().unwrap_or_default();
            Ok((parts.pop(), name))
        }
        Err(_) => Err(Report::error(
            codes::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {name}"),
        )),
    }
}

/// PostgreSQL's name for an output column without an alias (`FigureColname`).
pub fn output_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name and how strong it is: 2 for columns and functions, 1 for casts' types.
fn figure(expr: &Expr) -> Option<(String, u8)> {
    let strong = |name: &str| Some((name.to_owned(), 2));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), 2)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| (fold(ident), 2)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(ident)) => Some((fold(ident), 2)),
                _ => None,
            });
            field.or_else(|| figure(root))
        }
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(_) => strong("array"),
            _ => function
                .name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(|i| (fold(i), 2)),
        },
        Expr::Cast {
            expr, data_type, ..
        } => match figure(expr) {
            Some((name, 2)) => Some((name, 2)),
            _ => crate::ddl::data_type::sql_type_of(data_type)
                .ok()
                .map(|sql_type| (sql_type.internal_name(), 1)),
        },
        Expr::TypedString(typed) => crate::ddl::data_type::sql_type_of(&typed.data_type)
            .ok()
            .map(|sql_type| (sql_type.internal_name(), 1)),
        Expr::Interval(_) => Some(("interval".to_owned(), 1)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".to_owned(), 1)),
        },
        Expr::Collate { expr, .. } | Expr::Nested(expr) => figure(expr),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Subquery(query) => match query.body.as_ref() {
            ast::SetExpr::Select(select) => match select.projection.first()? {
                ast::SelectItem::UnnamedExpr(expr) => figure(expr),
                ast::SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), 2)),
                _ => None,
            },
            _ => None,
        },
        Expr::Value(value) => match &value.value {
            ast::Value::Boolean(_) => Some(("bool".to_owned(), 1)),
            _ => None,
        },
        _ => None,
    }
}
