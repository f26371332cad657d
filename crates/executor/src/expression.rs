//! Single expressions over rows: DEFAULT, CHECK, SET, RETURNING, ON CONFLICT … WHERE.
//!
//! Compile once ([`Expression::compile`]), evaluate over rows or batches as often as wanted.
//! Subqueries are not allowed here; a statement that has them is planned as a query
//! ([`crate::query`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use tessera_planner::arrow_types::field_of;
use tessera_planner::bind::Binder;
use tessera_planner::errors::report_of;
use tessera_types::{CastKind, Report, SqlType, Value};

use crate::arrow_values::{ArrayWriter, ColumnReader};
use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::query::BindingEnvironment;

pub use tessera_planner::bind::ScopeColumn;

/// What an expression is for, which decides the type it must have.
#[derive(Debug, Clone)]
pub enum Target<'a> {
    /// Any type; an untyped literal becomes text.
    Any,
    /// A condition; the text names the clause in errors, such as `WHERE`.
    Condition(&'a str),
    /// Stored in a column: assignment cast, with PostgreSQL's message when there is none.
    Column {
        /// Name of the column.
        name: &'a str,
        /// Its type.
        sql_type: &'a SqlType,
    },
    /// Cast to this type as an explicit cast would.
    Cast(&'a SqlType),
}

/// A typed expression over a row of known columns.
#[derive(Debug, Clone)]
pub struct Expression {
    expr: Expr,
    schema: Arc<DFSchema>,
    input: SchemaRef,
    column_types: Arc<[SqlType]>,
    sql_type: SqlType,
    /// Made once when neither parameters nor the session matter.
    physical: Option<Arc<dyn PhysicalExpr>>,
}

impl Expression {
    /// Resolves names and types of an expression over `scope`'s columns.
    ///
    /// `params` holds the types of `$n` known so far and is completed.
    pub fn compile(
        executor: &Executor,
        session: &Arc<SessionContext>,
        expression: &ast::Expr,
        scope: &[ScopeColumn],
        params: &mut Vec<Option<SqlType>>,
        target: Target<'_>,
    ) -> Result<Expression, Report> {
        let environment = BindingEnvironment::new(executor, session);
        let mut binder = Binder::new(&environment, params);
        let row = binder.row_scope(scope);
        let typed = match target {
            Target::Condition(clause) => binder.bind_condition(expression, &row, clause)?,
            _ => binder.bind_expression(expression, &row)?,
        };
        if crate::query::has_subquery(&typed.expr) {
            return Err(Report::unsupported(match &target {
                Target::Condition("CHECK") => "cannot use subquery in check constraint",
                _ => "a subquery is not supported in this place",
            }));
        }
        let typed = match target {
            Target::Any => binder.settle(typed)?,
            Target::Condition(_) => typed,
            Target::Column { name, sql_type } => binder.assign(typed, sql_type, name)?,
            Target::Cast(sql_type) => binder.cast(typed, sql_type, CastKind::Explicit)?,
        };
        let fields: Vec<_> = scope
            .iter()
            .enumerate()
            .map(|(i, c)| field_of(&tessera_planner::bind::row_column(i), &c.sql_type, true))
            .collect();
        let input: SchemaRef = Arc::new(Schema::new(fields));
        let schema = DFSchema::try_from(input.as_ref().clone()).map_err(report_of)?;
        let mut compiled = Expression {
            expr: typed.expr,
            schema: Arc::new(schema),
            input,
            column_types: scope.iter().map(|c| c.sql_type.clone()).collect(),
            sql_type: typed.sql_type,
            physical: None,
        };
        if crate::query::is_pure(&compiled.expr) {
            compiled.physical = Some(crate::query::physical_expression(
                executor,
                None,
                &compiled.expr,
                &compiled.schema,
            )?);
        }
        Ok(compiled)
    }

    /// Parses and compiles an expression kept as text, such as a DEFAULT.
    pub fn compile_text(
        executor: &Executor,
        session: &Arc<SessionContext>,
        sql: &str,
        scope: &[ScopeColumn],
        target: Target<'_>,
    ) -> Result<Expression, Report> {
        let expression = tessera_planner::parse_expression(sql)?;
        Expression::compile(
            executor,
            session,
            &expression,
            scope,
            &mut Vec::new(),
            target,
        )
    }

    /// Type of the result.
    pub fn sql_type(&self) -> &SqlType {
        &self.sql_type
    }

    /// Positions in the scope of the columns it reads.
    pub fn columns(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = self
            .expr
            .column_refs()
            .into_iter()
            .filter_map(|column| self.input.index_of(&column.name).ok())
            .collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The value, if it is a constant.
    pub fn constant(&self) -> Option<Value> {
        match &self.expr {
            Expr::Literal(value, _) => {
                tessera_planner::scalar::from_scalar(value, &self.sql_type).ok()
            }
            _ => None,
        }
    }

    /// Ready to evaluate for one statement: parameters put in, session functions attached.
    pub fn bind(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<BoundExpression, Report> {
        let physical = match &self.physical {
            Some(physical) => physical.clone(),
            None => {
                let expr = crate::query::with_parameters(self.expr.clone(), &context.params)?;
                let context = Some(context);
                crate::query::physical_expression(executor, context, &expr, &self.schema)?
            }
        };
        Ok(BoundExpression {
            physical,
            input: self.input.clone(),
            column_types: self.column_types.clone(),
            sql_type: self.sql_type.clone(),
        })
    }
}

/// An expression bound to one running statement.
#[derive(Debug, Clone)]
pub struct BoundExpression {
    physical: Arc<dyn PhysicalExpr>,
    input: SchemaRef,
    column_types: Arc<[SqlType]>,
    sql_type: SqlType,
}

impl BoundExpression {
    /// The Arrow schema that [`Self::evaluate_batch`] expects.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The result for every row of a batch.
    pub fn evaluate_batch(&self, batch: &RecordBatch) -> Result<ArrayRef, Report> {
        let value = self.physical.evaluate(batch).map_err(report_of)?;
        value.into_array(batch.num_rows()).map_err(report_of)
    }

    /// The result for one row; `row` has the columns of the scope.
    pub fn evaluate_row(&self, row: &[Value]) -> Result<Value, Report> {
        let batch = rows_to_batch(&self.input, &self.column_types, &[row])?;
        match self.physical.evaluate(&batch).map_err(report_of)? {
            ColumnarValue::Scalar(value) => {
                tessera_planner::scalar::from_scalar(&value, &self.sql_type)
            }
            ColumnarValue::Array(array) => Ok(ColumnReader::new(&array, &self.sql_type)?
                .value(0)
                .to_owned()),
        }
    }

    /// The result for every row.
    pub fn evaluate_rows<R: AsRef<[Value]>>(&self, rows: &[R]) -> Result<Vec<Value>, Report> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let batch = rows_to_batch(&self.input, &self.column_types, rows)?;
        let reader = ColumnReader::new(&self.evaluate_batch(&batch)?, &self.sql_type)?;
        Ok((0..rows.len())
            .map(|row| reader.value(row).to_owned())
            .collect())
    }

    /// Whether the condition holds for one row; NULL does not hold.
    pub fn holds(&self, row: &[Value]) -> Result<bool, Report> {
        Ok(matches!(self.evaluate_row(row)?, Value::Boolean(true)))
    }
}

/// Rows of values as an Arrow batch.
pub fn rows_to_batch<R: AsRef<[Value]>>(
    schema: &SchemaRef,
    types: &[SqlType],
    rows: &[R],
) -> Result<RecordBatch, Report> {
    let mut columns = Vec::with_capacity(types.len());
    for (i, sql_type) in types.iter().enumerate() {
        let mut writer = ArrayWriter::new(sql_type, rows.len());
        for row in rows {
            let value = row.as_ref().get(i).unwrap_or(&Value::Null);
            writer.push(value.as_ref())?;
        }
        columns.push(writer.finish());
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| report_of(error.into()))
}
