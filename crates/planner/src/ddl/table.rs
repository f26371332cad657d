//! CREATE TABLE and ALTER TABLE.

use sqlparser::ast::{
    self, AlterColumnOperation, AlterTableOperation, ColumnOption, Expr, GeneratedAs, ObjectName,
    Owner, RenameTableNameKind, SqlOption, TableConstraint,
};
use tessera_catalog::{AlterTable, ColumnSource, ColumnSpec, ConstraintSpec, SequenceChange};
use tessera_types::{Report, SqlType, codes};

use crate::short_path::bind::folded;

use super::data_type::{serial_type_of, sql_type_of};
use super::object::{relation_name, sequence_change};
use super::statement::{AlterAction, CreateTable, CreateTableAs, CreateTableLike, DdlStatement};

/// Storage parameters that PostgreSQL knows for tables and that advise only.
const TABLE_HINTS: &[&str] = &["fillfactor", "parallel_workers", "user_catalog_table"];

pub(super) fn plan_create_table(create: &ast::CreateTable) -> Result<DdlStatement, Report> {
    refuse_table_variants(create)?;
    check_options(&create.table_options)?;
    let name = relation_name(&create.name)?;
    let if_not_exists = create.if_not_exists;
    if let Some(query) = &create.query {
        let mut columns = Vec::new();
        for column in &create.columns {
            if !column.options.is_empty() {
                return Err(Report::unsupported("column options in CREATE TABLE AS"));
            }
            columns.push(folded(&column.name));
        }
        return Ok(DdlStatement::CreateTableAs(Box::new(CreateTableAs {
            name,
            if_not_exists,
            columns,
            query: query.clone(),
        })));
    }
    let mut columns = Vec::with_capacity(create.columns.len());
    let mut constraints = Vec::new();
    for column in &create.columns {
        columns.push(column_spec(column, &mut constraints)?);
    }
    for constraint in &create.constraints {
        constraints.push(constraint_spec(constraint)?);
    }
    let like = match &create.like {
        None => None,
        Some(
            ast::CreateTableLikeKind::Parenthesized(like) | ast::CreateTableLikeKind::Plain(like),
        ) => Some(CreateTableLike {
            source: relation_name(&like.name)?,
            defaults: matches!(like.defaults, Some(ast::CreateTableLikeDefaults::Including)),
        }),
    };
    Ok(DdlStatement::CreateTable(Box::new(CreateTable {
        name,
        if_not_exists,
        columns,
        constraints,
        like,
    })))
}

fn refuse_table_variants(create: &ast::CreateTable) -> Result<(), Report> {
    let refused = [
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.temporary, "temporary tables"),
        (create.external, "external tables"),
        (create.inherits.is_some(), "table inheritance"),
        (
            create.partition_by.is_some() || create.partition_of.is_some(),
            "partitioned tables",
        ),
        (create.clone.is_some(), "CREATE TABLE … CLONE"),
        (create.on_commit.is_some(), "ON COMMIT"),
        (
            create.file_format.is_some() || create.location.is_some(),
            "table file formats",
        ),
    ];
    match refused.iter().find(|(is_set, _)| *is_set) {
        Some((_, what)) => Err(Report::unsupported(
            format!("{what} are not supported").replace("ON COMMIT are", "ON COMMIT is"),
        )),
        None => Ok(()),
    }
}

fn check_options(options: &ast::CreateTableOptions) -> Result<(), Report> {
    use ast::CreateTableOptions as Options;
    let list = match options {
        Options::None => return Ok(()),
        Options::With(list) => list,
        Options::Options(list) | Options::Plain(list) | Options::TableProperties(list) => {
            if list.is_empty() {
                return Ok(());
            }
            return Err(Report::unsupported("table options other than WITH ( … )"));
        }
    };
    list.iter().try_for_each(|option| check_hint(option))
}

fn check_hint(option: &SqlOption) -> Result<(), Report> {
    let (name, value) = match option {
        SqlOption::KeyValue { key, value } => (folded(key), Some(value)),
        SqlOption::Ident(name) => (folded(name), None),
        _ => return Err(Report::unsupported("this kind of table option")),
    };
    if name == "fillfactor" {
        let number = value
            .map(|v| v.to_string())
            .and_then(|v| v.trim_matches('\'').parse::<i64>().ok());
        return match number {
            Some(10..=100) => Ok(()),
            Some(other) => Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                format!("value {other} out of bounds for option \"fillfactor\""),
            )
            .with_detail("Valid values are between \"10\" and \"100\".")),
            None => Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                "invalid value for integer option \"fillfactor\"",
            )),
        };
    }
    if TABLE_HINTS.contains(&name.as_str())
        || name.starts_with("autovacuum_")
        || name.starts_with("toast")
        || name.starts_with("vacuum_")
    {
        return Ok(());
    }
    Err(Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!("unrecognized parameter \"{name}\""),
    ))
}

/// A column with its options; its constraints are added to `constraints`.
fn column_spec(
    column: &ast::ColumnDef,
    constraints: &mut Vec<ConstraintSpec>,
) -> Result<ColumnSpec, Report> {
    let name = folded(&column.name);
    let serial = serial_type_of(&column.data_type);
    let is_serial = serial.is_some();
    let sql_type = match serial {
        Some(sql_type) => sql_type,
        None => sql_type_of(&column.data_type)?,
    };
    if matches!(sql_type, SqlType::Unknown | SqlType::Void | SqlType::Record) {
        return Err(Report::error(
            codes::INVALID_TABLE_DEFINITION,
            format!("column \"{name}\" has pseudo-type {}", sql_type.name()),
        ));
    }
    let mut spec = ColumnSpec::new(name.clone(), sql_type);
    if is_serial {
        spec.source = ColumnSource::Serial;
        spec.not_null = true;
    }
    let mut nullable_written = false;
    for option in &column.options {
        let given = option.name.as_ref().map(folded);
        match &option.option {
            ColumnOption::Null => nullable_written = true,
            ColumnOption::NotNull => spec.not_null = true,
            ColumnOption::Default(expr) => {
                if is_serial || spec.default.is_some() {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        format!("multiple default values specified for column \"{name}\""),
                    ));
                }
                spec.default = Some(expr.to_string());
            }
            ColumnOption::PrimaryKey(key) => {
                refuse_deferrable(key.characteristics.as_ref())?;
                constraints.push(ConstraintSpec::PrimaryKey {
                    name: given.or_else(|| key.name.as_ref().map(folded)),
                    columns: vec![name.clone()],
                });
            }
            ColumnOption::Unique(unique) => {
                refuse_deferrable(unique.characteristics.as_ref())?;
                constraints.push(ConstraintSpec::Unique {
                    name: given.or_else(|| unique.name.as_ref().map(folded)),
                    columns: vec![name.clone()],
                    nulls_not_distinct: matches!(
                        unique.nulls_distinct,
                        ast::NullsDistinctOption::NotDistinct
                    ),
                });
            }
            ColumnOption::Check(check) => {
                let name = given.or_else(|| check.name.as_ref().map(folded));
                constraints.push(check_spec(name, &check.expr));
            }
            ColumnOption::ForeignKey(_) => return Err(foreign_key_refused()),
            ColumnOption::Generated {
                generated_as,
                sequence_options,
                generation_expr,
                ..
            } => {
                spec.source = generated_source(generated_as, sequence_options, generation_expr)?;
                if matches!(spec.source, ColumnSource::Identity { .. }) {
                    spec.not_null = true;
                }
            }
            ColumnOption::Collation(collation) => {
                let text = collation.to_string().to_lowercase().replace('"', "");
                let last = text.rsplit('.').next().unwrap_or_default();
                if !matches!(last, "c" | "posix" | "default") {
                    return Err(Report::unsupported(format!(
                        "collation {collation} is not supported; text is ordered by bytes (\"C\")"
                    )));
                }
            }
            other => return Err(Report::unsupported(format!("column option {other}"))),
        }
    }
    if nullable_written && spec.not_null {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            format!("conflicting NULL/NOT NULL declarations for column \"{name}\""),
        ));
    }
    if spec.default.is_some() && !matches!(spec.source, ColumnSource::Plain) {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            format!(
                "both default and identity or generation expression specified for column \"{name}\""
            ),
        ));
    }
    Ok(spec)
}

fn generated_source(
    generated_as: &GeneratedAs,
    options: &Option<Vec<ast::SequenceOptions>>,
    expr: &Option<Expr>,
) -> Result<ColumnSource, Report> {
    if let Some(expr) = expr {
        return Ok(ColumnSource::Generated(expr.to_string()));
    }
    let always = match generated_as {
        GeneratedAs::Always => true,
        GeneratedAs::ByDefault => false,
        GeneratedAs::ExpStored => {
            return Err(Report::unsupported("GENERATED AS without an expression"));
        }
    };
    let options = match options {
        Some(options) => sequence_change(options, None)?,
        None => SequenceChange::default(),
    };
    Ok(ColumnSource::Identity { always, options })
}

fn check_spec(name: Option<String>, expr: &Expr) -> ConstraintSpec {
    ConstraintSpec::Check {
        name,
        sql: expr.to_string(),
        columns: columns_of(expr),
    }
}

/// Folded names of the columns an expression mentions, each once.
fn columns_of(expr: &Expr) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let _ = ast::visit_expressions(expr, |node: &Expr| {
        let ident = match node {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(name) = ident.map(folded).filter(|name| !names.contains(name)) {
            names.push(name);
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    names
}

fn constraint_spec(constraint: &TableConstraint) -> Result<ConstraintSpec, Report> {
    Ok(match constraint {
        TableConstraint::PrimaryKey(key) => {
            refuse_deferrable(key.characteristics.as_ref())?;
            ConstraintSpec::PrimaryKey {
                name: key.name.as_ref().map(folded),
                columns: key_columns(&key.columns)?,
            }
        }
        TableConstraint::Unique(unique) => {
            refuse_deferrable(unique.characteristics.as_ref())?;
            ConstraintSpec::Unique {
                name: unique.name.as_ref().map(folded),
                columns: key_columns(&unique.columns)?,
                nulls_not_distinct: matches!(
                    unique.nulls_distinct,
                    ast::NullsDistinctOption::NotDistinct
                ),
            }
        }
        TableConstraint::Check(check) => check_spec(check.name.as_ref().map(folded), &check.expr),
        TableConstraint::ForeignKey(_) => return Err(foreign_key_refused()),
        other => return Err(Report::unsupported(format!("constraint {other}"))),
    })
}

fn foreign_key_refused() -> Report {
    Report::unsupported("foreign keys are not supported yet").with_hint(
        "Leave the REFERENCES clause out; the application must keep the reference valid.",
    )
}

fn refuse_deferrable(
    characteristics: Option<&ast::ConstraintCharacteristics>,
) -> Result<(), Report> {
    match characteristics {
        Some(c)
            if c.deferrable == Some(true)
                || matches!(c.initially, Some(ast::DeferrableInitial::Deferred)) =>
        {
            Err(Report::unsupported(
                "deferrable constraints are not supported",
            ))
        }
        Some(c) if c.enforced == Some(false) => Err(Report::unsupported(
            "constraints that are NOT ENFORCED are not supported",
        )),
        _ => Ok(()),
    }
}

fn key_columns(columns: &[ast::IndexColumn]) -> Result<Vec<String>, Report> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(ident) => Ok(folded(ident)),
            other => Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("{other} is not a column name"),
            )),
        })
        .collect()
}

pub(super) fn plan_alter_table(alter: &ast::AlterTable) -> Result<DdlStatement, Report> {
    let table = relation_name(&alter.name)?;
    let mut actions = Vec::with_capacity(alter.operations.len());
    for operation in &alter.operations {
        alter_actions(operation, &mut actions)?;
    }
    Ok(DdlStatement::AlterTable {
        table,
        if_exists: alter.if_exists,
        actions,
    })
}

fn alter_actions(
    operation: &AlterTableOperation,
    actions: &mut Vec<AlterAction>,
) -> Result<(), Report> {
    let mut push = |action: AlterTable| actions.push(AlterAction::Catalog(Box::new(action)));
    let cascade =
        |behavior: &Option<ast::DropBehavior>| matches!(behavior, Some(ast::DropBehavior::Cascade));
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => {
            let mut constraints = Vec::new();
            let column = Box::new(column_spec(column_def, &mut constraints)?);
            push(AlterTable::AddColumn {
                column,
                constraints,
                if_not_exists: *if_not_exists,
            });
        }
        AlterTableOperation::DropColumn {
            column_names,
            if_exists,
            drop_behavior,
            ..
        } => {
            for name in column_names {
                push(AlterTable::DropColumn {
                    name: folded(name),
                    if_exists: *if_exists,
                    cascade: cascade(drop_behavior),
                });
            }
        }
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => {
            push(AlterTable::RenameColumn {
                from: folded(old_column_name),
                to: folded(new_column_name),
            });
        }
        AlterTableOperation::RenameTable { table_name } => {
            let (RenameTableNameKind::To(name) | RenameTableNameKind::As(name)) = table_name;
            push(AlterTable::Rename {
                to: unqualified(name)?,
            });
        }
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            push(AlterTable::RenameConstraint {
                from: folded(old_name),
                to: folded(new_name),
            });
        }
        AlterTableOperation::AddConstraint {
            constraint,
            not_valid: false,
        } => {
            push(AlterTable::AddConstraint(constraint_spec(constraint)?));
        }
        AlterTableOperation::DropConstraint {
            if_exists,
            name,
            drop_behavior,
        } => {
            push(AlterTable::DropConstraint {
                name: folded(name),
                if_exists: *if_exists,
                cascade: cascade(drop_behavior),
            });
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            actions.push(alter_column(folded(column_name), op)?);
        }
        AlterTableOperation::OwnerTo { new_owner } => match new_owner {
            Owner::Ident(name) => actions.push(AlterAction::OwnerTo(folded(name))),
            Owner::CurrentRole | Owner::CurrentUser | Owner::SessionUser => {
                actions.push(AlterAction::Nothing);
            }
        },
        AlterTableOperation::SetOptionsParens { options } => {
            options.iter().try_for_each(check_hint)?;
            actions.push(AlterAction::Nothing);
        }
        other => return Err(Report::unsupported(format!("ALTER TABLE … {other}"))),
    }
    Ok(())
}

fn alter_column(column: String, op: &AlterColumnOperation) -> Result<AlterAction, Report> {
    let action = match op {
        AlterColumnOperation::SetNotNull => AlterTable::SetNotNull {
            column,
            not_null: true,
        },
        AlterColumnOperation::DropNotNull => AlterTable::SetNotNull {
            column,
            not_null: false,
        },
        AlterColumnOperation::SetDefault { value } => AlterTable::SetDefault {
            column,
            default: Some(value.to_string()),
        },
        AlterColumnOperation::DropDefault => AlterTable::SetDefault {
            column,
            default: None,
        },
        AlterColumnOperation::SetDataType {
            data_type, using, ..
        } => {
            return Ok(AlterAction::SetType {
                column,
                sql_type: sql_type_of(data_type)?,
                using: using.clone().map(Box::new),
            });
        }
        AlterColumnOperation::AddGenerated {
            generated_as,
            sequence_options,
        } => {
            let always = !matches!(generated_as, Some(GeneratedAs::ByDefault));
            let options = match sequence_options {
                Some(options) => sequence_change(options, None)?,
                None => SequenceChange::default(),
            };
            AlterTable::AddIdentity {
                column,
                always,
                options,
            }
        }
    };
    Ok(AlterAction::Catalog(Box::new(action)))
}

fn unqualified(name: &ObjectName) -> Result<String, Report> {
    let name = relation_name(name)?;
    match name.schema {
        None => Ok(name.name),
        Some(_) => Err(Report::error(
            codes::SYNTAX_ERROR,
            "the new name must not have a schema",
        )),
    }
}
