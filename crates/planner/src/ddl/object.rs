//! DDL of everything but tables, and the entry point.

use sqlparser::ast::{
    self, CommentObject, Expr, ObjectName, ObjectType, SchemaName, SequenceOptions, Statement,
    UnaryOperator, Value as AstValue,
};
use tessera_catalog::SequenceChange;
use tessera_types::{Report, SqlType, codes};

use crate::short_path::bind::folded;

use super::data_type::sql_type_of;
use super::statement::{
    CommentOn, CreateIndex, CreateSequence, CreateView, DdlStatement, DropKind, IndexKey,
    RelationName,
};
use super::table::{plan_alter_table, plan_create_table};

/// The DDL statement that `statement` is, or `None` when it is no DDL.
pub fn plan_ddl(statement: &Statement) -> Result<Option<DdlStatement>, Report> {
    Ok(Some(match statement {
        Statement::CreateTable(create) => plan_create_table(create)?,
        Statement::AlterTable(alter) => plan_alter_table(alter)?,
        Statement::CreateIndex(create) => plan_create_index(create)?,
        Statement::AlterIndex { name, operation } => {
            let ast::AlterIndexOperation::RenameIndex { index_name } = operation;
            DdlStatement::RenameIndex {
                index: relation_name(name)?,
                to: relation_name(index_name)?.name,
            }
        }
        Statement::CreateView(create) => plan_create_view(create)?,
        Statement::CreateSchema {
            schema_name,
            if_not_exists,
            ..
        } => DdlStatement::CreateSchema {
            name: match schema_name {
                SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => {
                    relation_name(name)?.name
                }
                SchemaName::UnnamedAuthorization(user) => folded(user),
            },
            if_not_exists: *if_not_exists,
        },
        Statement::AlterSchema(alter) => match alter.operations.as_slice() {
            [ast::AlterSchemaOperation::Rename { name }] => DdlStatement::RenameSchema {
                from: relation_name(&alter.name)?.name,
                to: relation_name(name)?.name,
            },
            _ => return Err(Report::unsupported("ALTER SCHEMA other than RENAME TO")),
        },
        Statement::CreateSequence {
            temporary,
            if_not_exists,
            name,
            data_type,
            sequence_options,
            owned_by,
        } => {
            if *temporary {
                return Err(Report::unsupported("temporary sequences are not supported"));
            }
            let sql_type = data_type.as_ref().map(sql_type_of).transpose()?;
            DdlStatement::CreateSequence(CreateSequence {
                name: relation_name(name)?,
                if_not_exists: *if_not_exists,
                options: sequence_change(sequence_options, sql_type)?,
                owned_by: owned_by.as_ref().map(owner_column).transpose()?.flatten(),
            })
        }
        Statement::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            temporary: false,
            table: None,
            ..
        } => {
            let kind = match object_type {
                ObjectType::Table => DropKind::Table,
                ObjectType::Index => DropKind::Index,
                ObjectType::View => DropKind::View,
                ObjectType::Sequence => DropKind::Sequence,
                ObjectType::Schema => DropKind::Schema,
                // Users and roles are the engine's.
                ObjectType::Role | ObjectType::User => return Ok(None),
                other => return Err(Report::unsupported(format!("DROP {other}"))),
            };
            let names = names.iter().map(relation_name).collect::<Result<_, _>>()?;
            DdlStatement::Drop {
                kind,
                if_exists: *if_exists,
                names,
                cascade: *cascade,
            }
        }
        Statement::Truncate(truncate) => plan_truncate(truncate)?,
        Statement::Comment {
            object_type,
            object_name,
            comment,
            ..
        } => DdlStatement::Comment {
            on: comment_target(*object_type, object_name)?,
            text: comment.clone().filter(|text| !text.is_empty()),
        },
        Statement::Vacuum(vacuum) => DdlStatement::Maintenance {
            verb: "VACUUM",
            tables: vacuum
                .table_name
                .iter()
                .map(relation_name)
                .collect::<Result<_, _>>()?,
        },
        Statement::Analyze(analyze) => DdlStatement::Maintenance {
            verb: "ANALYZE",
            tables: analyze
                .table_name
                .iter()
                .map(relation_name)
                .collect::<Result<_, _>>()?,
        },
        _ => return Ok(None),
    }))
}

/// Folds `name` or `schema.name`; a database name in front must not be there.
pub fn relation_name(name: &ObjectName) -> Result<RelationName, Report> {
    let parts: Option<Vec<String>> = name
        .0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect();
    match parts.as_deref() {
        Some([name]) => Ok(RelationName {
            schema: None,
            name: name.clone(),
        }),
        Some([schema, name]) => Ok(RelationName {
            schema: Some(schema.clone()),
            name: name.clone(),
        }),
        Some([_, _, _]) => Err(Report::unsupported(format!(
            "cross-database references are not implemented: \"{name}\""
        ))),
        _ => Err(Report::error(
            codes::SYNTAX_ERROR,
            format!("improper relation name: {name}"),
        )),
    }
}

fn plan_create_index(create: &ast::CreateIndex) -> Result<DdlStatement, Report> {
    if !create.include.is_empty() {
        return Err(Report::unsupported("INCLUDE columns are not supported"));
    }
    match &create.using {
        // A hash index answers equality only, which the ordered one does as well.
        None | Some(ast::IndexType::BTree | ast::IndexType::Hash) => {}
        Some(other) => {
            return Err(Report::unsupported(format!(
                "access method \"{}\" is not supported",
                other.to_string().to_lowercase()
            )));
        }
    }
    if !create.with.is_empty() {
        return Err(Report::unsupported("options of indexes are not supported"));
    }
    let keys = create.columns.iter().map(|column| IndexKey {
        expr: column.column.expr.clone(),
        descending: column.column.options.asc == Some(false),
        nulls_first: column.column.options.nulls_first,
    });
    Ok(DdlStatement::CreateIndex(CreateIndex {
        name: create
            .name
            .as_ref()
            .map(relation_name)
            .transpose()?
            .map(|name| name.name),
        table: relation_name(&create.table_name)?,
        if_not_exists: create.if_not_exists,
        keys: keys.collect(),
        predicate: create.predicate.clone().map(Box::new),
        unique: create.unique,
        nulls_not_distinct: create.nulls_distinct == Some(false),
    }))
}

fn plan_create_view(create: &ast::CreateView) -> Result<DdlStatement, Report> {
    let refused = [
        (create.materialized, "materialized views"),
        (create.temporary, "temporary views"),
        (create.to.is_some(), "CREATE VIEW … TO"),
    ];
    if let Some((_, what)) = refused.iter().find(|(is_set, _)| *is_set) {
        return Err(Report::unsupported(format!("{what} are not supported")));
    }
    Ok(DdlStatement::CreateView(Box::new(CreateView {
        name: relation_name(&create.name)?,
        replace: create.or_replace,
        if_not_exists: create.if_not_exists,
        columns: create
            .columns
            .iter()
            .map(|column| folded(&column.name))
            .collect(),
        query: create.query.clone(),
    })))
}

fn plan_truncate(truncate: &ast::Truncate) -> Result<DdlStatement, Report> {
    if truncate.partitions.is_some() {
        return Err(Report::unsupported("TRUNCATE of partitions"));
    }
    let tables = truncate
        .table_names
        .iter()
        .map(|target| relation_name(&target.name))
        .collect::<Result<_, _>>()?;
    Ok(DdlStatement::Truncate {
        tables,
        restart_identity: matches!(
            truncate.identity,
            Some(ast::TruncateIdentityOption::Restart)
        ),
    })
}

fn comment_target(kind: CommentObject, name: &ObjectName) -> Result<CommentOn, Report> {
    Ok(match kind {
        CommentObject::Schema => CommentOn::Schema(relation_name(name)?.name),
        CommentObject::Table
        | CommentObject::View
        | CommentObject::Sequence
        | CommentObject::Index => CommentOn::Relation(relation_name(name)?),
        CommentObject::User | CommentObject::Role => CommentOn::User(relation_name(name)?.name),
        CommentObject::Column => {
            let mut parts = name.0.clone();
            let column = parts.pop().and_then(|part| part.as_ident().map(folded));
            match column {
                Some(column) if !parts.is_empty() => {
                    CommentOn::Column(relation_name(&ObjectName(parts))?, column)
                }
                _ => {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "column name must be qualified",
                    ));
                }
            }
        }
        other => return Err(Report::unsupported(format!("COMMENT ON {other}"))),
    })
}

fn owner_column(name: &ObjectName) -> Result<Option<(RelationName, String)>, Report> {
    if name.0.len() == 1 {
        let only = relation_name(name)?.name;
        return match only.as_str() {
            "none" => Ok(None),
            _ => Err(
                Report::error(codes::SYNTAX_ERROR, "invalid OWNED BY option")
                    .with_hint("Specify OWNED BY table.column or OWNED BY NONE."),
            ),
        };
    }
    match comment_target(CommentObject::Column, name)? {
        CommentOn::Column(relation, column) => Ok(Some((relation, column))),
        _ => Ok(None),
    }
}

/// Sequence options, as written.
pub(super) fn sequence_change(
    options: &[SequenceOptions],
    sql_type: Option<SqlType>,
) -> Result<SequenceChange, Report> {
    let mut change = SequenceChange {
        sql_type,
        ..SequenceChange::default()
    };
    for option in options {
        match option {
            SequenceOptions::IncrementBy(expr, _) => change.increment = Some(integer(expr)?),
            SequenceOptions::MinValue(value) => {
                change.min = Some(value.as_ref().map(integer).transpose()?);
            }
            SequenceOptions::MaxValue(value) => {
                change.max = Some(value.as_ref().map(integer).transpose()?);
            }
            SequenceOptions::StartWith(expr, _) => change.start = Some(integer(expr)?),
            SequenceOptions::Cache(expr) => change.cache = Some(integer(expr)?),
            // The parser keeps the NO of NO CYCLE.
            SequenceOptions::Cycle(no) => change.cycle = Some(!no),
        }
    }
    Ok(change)
}

fn integer(expr: &Expr) -> Result<i64, Report> {
    let text = match expr {
        Expr::Value(value) => match &value.value {
            AstValue::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match &**expr {
            Expr::Value(value) => match &value.value {
                AstValue::Number(text, _) => Some(format!("-{text}")),
                _ => None,
            },
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        } => return integer(expr),
        _ => None,
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Report::error(
            codes::INVALID_PARAMETER_VALUE,
            format!("{expr} is not a whole number in range"),
        )
    })
}
