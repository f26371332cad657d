//! What a table adds to every row that is written: defaults, generated values, checks.

use std::sync::Arc;

use tessera_catalog::{ColumnDef, TableDef};
use tessera_planner::short_path::scalar::{Cast, Function, Scalar};
use tessera_tables::{Row, Table};
use tessera_types::{RelationId, Report, SqlType, Value, codes};

use crate::context::StatementContext;
use crate::executor::Executor;

use super::expr::{Around, BoundExpr, Compiler, RowExpr, RowScope, Wanted};

/// The rules of one table, compiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowRules {
    /// Default of each column; `None` is NULL.
    defaults: Vec<Option<RowExpr>>,
    /// Sequences that the default takes a value of, per column.
    sequences: Vec<Vec<RelationId>>,
    /// Columns computed from the others, by position.
    generated: Vec<(usize, RowExpr)>,
    /// Names and conditions of CHECK constraints.
    checks: Vec<(String, RowExpr)>,
}

/// [`RowRules`] ready for one statement.
pub(crate) struct BoundRules<'a> {
    rules: &'a RowRules,
    defaults: Vec<Option<BoundExpr<'a>>>,
    generated: Vec<(usize, BoundExpr<'a>)>,
    checks: Vec<(&'a str, BoundExpr<'a>)>,
}

impl RowRules {
    /// Compiles the rules; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn compile(
        compiler: &mut Compiler<'_>,
        table: &TableDef,
    ) -> Result<Option<RowRules>, Report> {
        let mut rules = RowRules::default();
        let scope = RowScope::of(table, None);
        for (at, column) in table.columns.iter().enumerate() {
            let default = match default_of(compiler, column)? {
                Compiled::None => None,
                Compiled::Expr(expr) => Some(expr),
                Compiled::NotScalar => return Ok(None),
            };
            let mut sequences = Vec::new();
            if let Some(default) = &default {
                default.sequences(&mut sequences);
            }
            rules.defaults.push(default);
            rules.sequences.push(sequences);
            if let Some(sql) = &column.generated {
                let expr = tessera_planner::parse_expression(sql)?;
                match compiler.compile(&expr, Some(&scope), Wanted::Column(column))? {
                    Some(expr) => rules.generated.push((at, expr)),
                    None => return Ok(None),
                }
            }
        }
        for check in &table.checks {
            let expr = tessera_planner::parse_expression(&check.sql)?;
            match compiler.compile(&expr, Some(&scope), Wanted::Condition("CHECK"))? {
                Some(expr) => rules.checks.push((check.name.clone(), expr)),
                None => return Ok(None),
            }
        }
        Ok(Some(rules))
    }

    /// Whether nothing of it needs DataFusion.
    pub(crate) fn is_scalar(&self) -> bool {
        let is_scalar = |expr: &RowExpr| matches!(expr, RowExpr::Scalar(_));
        self.defaults.iter().flatten().all(is_scalar)
            && self.generated.iter().all(|(_, expr)| is_scalar(expr))
            && self.checks.iter().all(|(_, expr)| is_scalar(expr))
    }

    /// Whether the column is computed from others.
    pub(crate) fn is_generated(&self, column: usize) -> bool {
        self.generated.iter().any(|(at, _)| *at == column)
    }

    /// Ready for one statement.
    pub(crate) fn bind<'a>(
        &'a self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<BoundRules<'a>, Report> {
        let bind = |expr: &'a RowExpr| expr.bind(executor, context);
        Ok(BoundRules {
            rules: self,
            defaults: self
                .defaults
                .iter()
                .map(|default| default.as_ref().map(bind).transpose())
                .collect::<Result<_, _>>()?,
            generated: self
                .generated
                .iter()
                .map(|(at, expr)| Ok((*at, bind(expr)?)))
                .collect::<Result<_, Report>>()?,
            checks: self
                .checks
                .iter()
                .map(|(name, expr)| Ok((name.as_str(), bind(expr)?)))
                .collect::<Result<_, Report>>()?,
        })
    }
}

enum Compiled {
    None,
    Expr(RowExpr),
    NotScalar,
}

fn default_of(compiler: &mut Compiler<'_>, column: &ColumnDef) -> Result<Compiled, Report> {
    if let Some(identity) = &column.identity {
        return Ok(Compiled::Expr(RowExpr::Scalar(next_value(
            identity.sequence,
            &column.sql_type,
        ))));
    }
    let Some(sql) = &column.default else {
        return Ok(Compiled::None);
    };
    let expr = tessera_planner::parse_expression(sql)?;
    Ok(
        match compiler.compile(&expr, None, Wanted::Column(column))? {
            Some(expr) => Compiled::Expr(expr),
            None => Compiled::NotScalar,
        },
    )
}

fn next_value(sequence: RelationId, sql_type: &SqlType) -> Scalar {
    let call = Scalar::Call(
        Function::NextVal,
        vec![Scalar::Literal(Value::Oid(sequence.0))],
    );
    if *sql_type == SqlType::BigInt {
        return call;
    }
    Scalar::Cast(Box::new(Cast {
        input: call,
        from: SqlType::BigInt,
        to: sql_type.clone(),
        explicit: false,
    }))
}

impl BoundRules<'_> {
    /// The default of a column, its sequences' values taken here.
    pub(crate) async fn default(
        &self,
        column: usize,
        around: &Around<'_>,
    ) -> Result<Value, Report> {
        match &self.defaults[column] {
            None => Ok(Value::Null),
            Some(default) => {
                around.take(&self.rules.sequences[column]).await?;
                default.value(&[], around)
            }
        }
    }

    /// Computes generated columns, then checks NOT NULL and CHECK in PostgreSQL's order.
    pub(crate) fn complete(
        &self,
        table: &Table,
        row: &mut Row,
        around: &Around<'_>,
    ) -> Result<(), Report> {
        for (at, expr) in &self.generated {
            row[*at] = expr.value(row, around)?;
        }
        if self.checks.is_empty() {
            // The writer checks NOT NULL once more, at the last moment.
            return Ok(());
        }
        table.check_not_null(row)?;
        for (name, check) in &self.checks {
            if check.truth(row, around)? == Some(false) {
                return Err(check_violation(table.def(), name, &table.describe(row)));
            }
        }
        Ok(())
    }
}

impl<'a> BoundRules<'a> {
    /// The first of the checks that `wanted` names which the row violates.
    pub(crate) fn violated(
        &self,
        row: &[Value],
        wanted: &dyn Fn(&str) -> bool,
        around: &Around<'_>,
    ) -> Result<Option<&'a str>, Report> {
        for (name, check) in &self.checks {
            if wanted(name) && check.truth(row, around)? == Some(false) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// 23514 in PostgreSQL's words.
pub(crate) fn check_violation(table: &Arc<TableDef>, constraint: &str, row: &str) -> Report {
    let mut report = Report::error(
        codes::CHECK_VIOLATION,
        format!(
            "new row for relation \"{}\" violates check constraint \"{constraint}\"",
            table.name
        ),
    )
    .with_detail(format!("Failing row contains {row}."))
    .with_table(&table.schema, &table.name);
    report.constraint = Some(constraint.to_owned());
    report
}
