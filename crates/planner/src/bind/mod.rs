//! Names, types and clauses of a query to a DataFusion logical plan, by PostgreSQL's rules.
//!
//! # Map
//! - `query`: WITH, set operations, VALUES, ORDER BY and LIMIT of a whole query.
//! - `select`: one SELECT: items, grouping, windows, DISTINCT.
//! - `from`: tables, joins, subqueries and functions in FROM.
//! - `locks`: FOR UPDATE and its kin.
//! - `expr`: expressions; `operators`; `call`: functions, aggregates, windows.
//! - `outer`: what subqueries read of the query around them.
//! - `coerce`: literals and casts; `scope`: what a name can mean; `names`: output names.
//!
//! # Invariants
//! 1. Every relation of a statement has a qualifier of its own, and every output column of a
//!    plan a name of its own, so DataFusion never has to guess.
//! 2. What PostgreSQL calls a column is kept beside the plan ([`OutputColumn`]).

mod call;
mod coerce;
mod expr;
mod from;
mod locks;
pub(crate) mod names;
mod operators;
mod outer;
mod parameters;
mod query;
mod scope;
mod select;

use std::collections::HashMap;
use std::sync::Arc;

use ahash::AHashMap;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, TableSource};
use sqlparser::ast;
use sqlparser::ast::Spanned;
use sqlparser::tokenizer::Span;
use tessera_types::{CastKind, FormatContext, RelationId, Report, SqlType};

use crate::arrow_types::metadata_of;
use crate::functions::{FunctionRegistry, SetOverload};
use crate::statement::ColumnInfo;

pub use locks::RowLockTarget;
pub use names::{fold, object_name, output_name};
pub use scope::{Scope, ScopeColumn, row_column};

/// What the binder asks of the session and the catalog.
pub trait BindEnvironment {
    /// The relation of that name; without a schema it is looked up on the search path.
    fn relation(&self, schema: Option<&str>, name: &str) -> Result<Option<Relation>, Report>;
    /// Functions, operators, casts.
    fn registry(&self) -> &FunctionRegistry;
    /// How literals are read.
    fn format(&self) -> &FormatContext;
    /// The function that turns a set-returning function's arguments into a list of its rows.
    fn list_function(
        &self,
        set: &Arc<SetOverload>,
        types: &[SqlType],
        ordinality: bool,
    ) -> Arc<ScalarUDF>;
    /// A function that tells whether its argument is one of many constants.
    fn in_set(&self, data_type: &DataType, values: Vec<ScalarValue>) -> Arc<ScalarUDF>;
    /// A function of one argument that gives it back as a value of this field.
    fn described(&self, field: FieldRef) -> Arc<ScalarUDF>;
    /// A plan whose rows are locked, each relation's by its key, before they are passed on.
    fn lock_rows(&self, input: LogicalPlan, targets: Vec<RowLockTarget>) -> LogicalPlan;
    /// The table source through which a recursive query reads its last rows.
    fn work_table(
        &self,
        name: &str,
        schema: arrow::datatypes::SchemaRef,
    ) -> Result<Arc<dyn TableSource>, Report>;
}

/// A relation in FROM.
pub enum Relation {
    /// Something that is scanned.
    Table(TableRelation),
    /// A stored query, bound where it is used.
    View(ViewRelation),
}

/// A table as the binder sees it.
pub struct TableRelation {
    /// Its oid.
    pub id: RelationId,
    /// Schema that holds it.
    pub schema: String,
    /// Columns, in the order of `source`'s schema.
    pub columns: Vec<TableColumn>,
    /// What is scanned.
    pub source: Arc<dyn TableSource>,
    /// Positions of the primary key's columns.
    pub primary_key: Option<Vec<usize>>,
}

/// A column of a table.
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub sql_type: SqlType,
    /// `attnum`.
    pub number: i16,
    /// Left out of `*`.
    pub hidden: bool,
}

/// A view as the binder sees it.
pub struct ViewRelation {
    /// Its oid.
    pub id: RelationId,
    /// Schema that holds it.
    pub schema: String,
    /// Its query.
    pub query: Arc<ast::Query>,
    /// Names and types of its columns.
    pub columns: Vec<(String, SqlType)>,
}

/// An expression and its type.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The expression.
    pub expr: Expr,
    /// Its SQL type; `Unknown` for literals and parameters that have none yet.
    pub sql_type: SqlType,
    /// Its Arrow type.
    pub data_type: DataType,
    /// The table column it is, unchanged.
    pub origin: Option<(RelationId, i16)>,
}

/// A bound query.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// The plan; its columns are named as in `columns`, without qualifier.
    pub plan: LogicalPlan,
    /// The columns.
    pub columns: Vec<OutputColumn>,
}

/// A column of a bound query.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// Name that PostgreSQL gives it; not always unique.
    pub name: String,
    /// Name in the plan; unique.
    pub column: String,
    /// SQL type.
    pub sql_type: SqlType,
    /// Arrow type.
    pub data_type: DataType,
    /// The table column it is, unchanged.
    pub origin: Option<(RelationId, i16)>,
}

impl BoundQuery {
    /// The columns as clients see them.
    pub fn column_infos(&self) -> Vec<ColumnInfo> {
        self.columns
            .iter()
            .map(|column| ColumnInfo {
                name: column.name.clone(),
                sql_type: column.sql_type.clone(),
                table: column.origin.map(|(table, _)| table),
                column: column.origin.map_or(0, |(_, number)| number),
            })
            .collect()
    }
}

/// Nested views, so that a cycle in a damaged catalog ends.
const VIEW_NESTING_MAX: usize = 64;

/// Binds the queries and expressions of one statement.
pub struct Binder<'a> {
    environment: &'a dyn BindEnvironment,
    /// Types of `$1`, `$2`, … as far as known.
    params: &'a mut Vec<Option<SqlType>>,
    /// Character offsets of the lines of the text, for positions in errors.
    lines: Arc<[u32]>,
    /// Scopes around the query that is bound, innermost last.
    outer: Vec<Arc<Scope>>,
    /// WITH queries in reach, innermost last.
    ctes: Vec<HashMap<String, Cte>>,
    /// Qualifiers given so far.
    qualifiers: AHashMap<String, usize>,
    /// WINDOW clauses in reach of the SELECT that is bound.
    windows: Vec<HashMap<String, ast::WindowSpec>>,
    /// Functions that return sets may stand in the expression that is bound.
    sets_allowed: bool,
    /// Locking clauses of the SELECT whose FROM is bound.
    locks: Vec<ast::LockClause>,
    /// The expression bound next decides about rows: false and unknown are the same.
    truth_only: bool,
    /// The statement calls `set_config`.
    changes_settings: bool,
    views: usize,
    /// Leave untyped literals of the outermost SELECT list untyped.
    pub keep_unknown: bool,
}

/// A WITH query in reach.
#[derive(Clone)]
struct Cte {
    bound: Arc<BoundQuery>,
}

impl<'a> Binder<'a> {
    /// A binder; `params` holds the parameter types known so far and is completed.
    pub fn new(
        environment: &'a dyn BindEnvironment,
        params: &'a mut Vec<Option<SqlType>>,
    ) -> Binder<'a> {
        Binder {
            environment,
            params,
            lines: Arc::from([0]),
            outer: Vec::new(),
            ctes: Vec::new(),
            qualifiers: AHashMap::new(),
            windows: Vec::new(),
            locks: Vec::new(),
            truth_only: false,
            sets_allowed: false,
            changes_settings: false,
            views: 0,
            keep_unknown: false,
        }
    }

    /// Gives errors positions in the text that the statement came from.
    pub fn with_lines(mut self, lines: Arc<[u32]>) -> Self {
        self.lines = lines;
        self
    }

    /// Binds a whole query.
    pub fn bind_query(&mut self, query: &ast::Query) -> Result<BoundQuery, Report> {
        self.query(query, self.keep_unknown)
    }

    /// A scope of one row with these columns; column `i` is [`row_column`]`(i)` in the plan.
    pub fn row_scope(&self, columns: &[ScopeColumn]) -> Scope {
        Scope::of_row(columns)
    }

    /// Binds an expression over a scope. An untyped literal stays untyped.
    pub fn bind_expression(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, Report> {
        let typed = self.expr(expr, scope)?;
        self.no_aggregates(&typed, "this kind of expression", expr)?;
        Ok(typed)
    }

    /// Binds a condition; `clause` names it in errors.
    pub fn bind_condition(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        clause: &str,
    ) -> Result<Typed, Report> {
        let typed = self.condition(expr, scope, clause)?;
        self.no_aggregates(&typed, clause, expr)?;
        Ok(typed)
    }

    /// Gives an untyped literal or parameter the type text.
    pub fn settle(&mut self, typed: Typed) -> Result<Typed, Report> {
        if typed.sql_type == SqlType::Unknown {
            return self.coerce(typed, &SqlType::Text, CastKind::Implicit);
        }
        Ok(typed)
    }

    /// Casts, or says that there is no such cast.
    pub fn cast(&mut self, typed: Typed, to: &SqlType, kind: CastKind) -> Result<Typed, Report> {
        self.coerce(typed, to, kind)
    }

    /// Casts to a column's type as INSERT and UPDATE do.
    pub fn assign(&mut self, typed: Typed, to: &SqlType, column: &str) -> Result<Typed, Report> {
        let from = typed.sql_type.clone();
        if !self.can_cast(&from, to, CastKind::Assignment) {
            return Err(Report::error(
                tessera_types::codes::DATATYPE_MISMATCH,
                format!(
                    "column \"{column}\" is of type {} but expression is of type {}",
                    to.base_name(),
                    from.base_name()
                ),
            )
            .with_hint("You will need to rewrite or cast the expression."));
        }
        self.coerce(typed, to, CastKind::Assignment)
    }

    /// A qualifier that no other relation of the statement has.
    fn fresh_qualifier(&mut self, wanted: &str) -> String {
        let count = self.qualifiers.entry(wanted.to_owned()).or_insert(0);
        *count += 1;
        if *count == 1 {
            wanted.to_owned()
        } else {
            format!("{wanted}_{}", *count - 1)
        }
    }

    /// Adds the place of a span to an error.
    fn at(&self, report: Report, span: Span) -> Report {
        if report.position.is_some() || self.views > 0 || span.start.line == 0 {
            return report;
        }
        match self.lines.get(span.start.line as usize - 1) {
            Some(before) => {
                report.at(before + u32::try_from(span.start.column).unwrap_or(u32::MAX - before))
            }
            None => report,
        }
    }

    /// Adds the place of an expression to an error.
    fn at_expr(&self, report: Report, expr: &ast::Expr) -> Report {
        self.at(report, expr.span())
    }
}

impl Typed {
    /// An expression of a type, in the Arrow type that usually carries it.
    pub fn new(expr: Expr, sql_type: SqlType) -> Typed {
        let data_type = crate::arrow_types::data_type_of(&sql_type);
        Typed {
            expr,
            sql_type,
            data_type,
            origin: None,
        }
    }

    /// The same expression without the memory of being a table's column.
    fn detached(mut self) -> Typed {
        self.origin = None;
        self
    }

    /// An Arrow field for it.
    pub fn field(&self, name: &str) -> FieldRef {
        Arc::new(
            Field::new(name, self.data_type.clone(), true)
                .with_metadata(metadata_of(&self.sql_type)),
        )
    }

    fn is_literal(&self) -> bool {
        matches!(self.expr, Expr::Literal(..))
    }
}

/// A schema of fields without qualifiers.
fn unqualified_schema(fields: Vec<FieldRef>) -> Result<DFSchema, Report> {
    DFSchema::from_unqualified_fields(fields.into(), HashMap::new())
        .map_err(crate::errors::report_of)
}
