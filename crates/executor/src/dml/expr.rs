//! Expressions of writes: a scalar of the short path where that is possible, else one of
//! DataFusion's. Both give the same values.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use tessera_catalog::{ColumnDef, TableDef};
use tessera_planner::dml::Names;
use tessera_planner::short_path::bind::{Binder, ParamTypes, Scope, Unbound};
use tessera_planner::short_path::scalar::{Function, Scalar};
use tessera_types::{FormatContext, RelationId, Report, SqlType, Value};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::expression::{BoundExpression, Expression, ScopeColumn, Target};
use crate::short_path::eval::{self, SideBySide, Surroundings};

/// An expression over one row.
#[derive(Debug, Clone)]
pub(crate) enum RowExpr {
    /// Evaluated in place.
    Scalar(Scalar),
    /// Evaluated through Arrow.
    Compiled(Box<Expression>),
}

/// A [`RowExpr`] ready for one statement.
pub(crate) enum BoundExpr<'a> {
    Scalar(&'a Scalar),
    Compiled(Box<BoundExpression>),
}

/// The columns that an expression may name, in row order.
pub(crate) struct RowScope<'a> {
    pub(crate) table: &'a TableDef,
    pub(crate) alias: Option<String>,
    /// The proposed row of ON CONFLICT stands behind the existing one.
    pub(crate) with_excluded: bool,
    /// Columns of other relations that stand behind the row: qualifier, name, type.
    pub(crate) others: Vec<(Option<String>, String, SqlType)>,
}

impl<'a> RowScope<'a> {
    /// The columns of a table.
    pub(crate) fn of(table: &'a TableDef, alias: Option<String>) -> RowScope<'a> {
        RowScope {
            table,
            alias,
            with_excluded: false,
            others: Vec::new(),
        }
    }

    fn scalar_scope(&self) -> Scope<'a> {
        let scope = Scope::table(self.table, self.alias.clone());
        if self.with_excluded {
            scope.with("excluded", &self.table.columns)
        } else {
            scope
        }
    }

    /// The same for DataFusion's side.
    pub(crate) fn columns(&self) -> Vec<ScopeColumn> {
        let name = self.alias.as_deref().unwrap_or(&self.table.name);
        let mut columns = self.qualified(name);
        if self.with_excluded {
            columns.extend(self.qualified("excluded"));
        }
        columns.extend(
            self.others
                .iter()
                .map(|(qualifier, name, sql_type)| ScopeColumn {
                    qualifier: qualifier.clone(),
                    name: name.clone(),
                    sql_type: sql_type.clone(),
                    origin: None,
                }),
        );
        columns
    }

    fn qualified(&self, name: &str) -> Vec<ScopeColumn> {
        self.table
            .columns
            .iter()
            .map(|column| ScopeColumn {
                qualifier: Some(name.to_owned()),
                name: column.name.clone(),
                sql_type: column.sql_type.clone(),
                origin: i16::try_from(column.id)
                    .ok()
                    .map(|number| (self.table.id, number)),
            })
            .collect()
    }
}

/// What an expression must give.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// A value for this column.
    Column(&'a ColumnDef),
    /// A truth value; the clause is named in errors.
    Condition(&'a str),
}

/// Compiles expressions of one statement.
pub(crate) struct Compiler<'a> {
    pub(crate) executor: &'a Executor,
    pub(crate) session: &'a Arc<SessionContext>,
    pub(crate) params: &'a mut Vec<Option<SqlType>>,
    /// Only scalars will do; anything else ends the attempt.
    pub(crate) scalars_only: bool,
    /// A WITH clause in front of the statement, for its queries.
    pub(crate) with: Option<String>,
}

impl Compiler<'_> {
    /// Where names are looked up.
    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            catalog: &self.session.catalog,
            search_path: &self.session.search_path,
        }
    }

    /// Compiles one expression; `Ok(None)` only when scalars alone are wanted and it is none.
    pub(crate) fn compile(
        &mut self,
        expr: &ast::Expr,
        scope: Option<&RowScope<'_>>,
        wanted: Wanted<'_>,
    ) -> Result<Option<RowExpr>, Report> {
        if self.session.short_path {
            match self.bind_scalar(expr, scope, wanted) {
                Ok(scalar) => return Ok(Some(RowExpr::Scalar(scalar))),
                Err(Unbound::Error(report)) => return Err(*report),
                Err(Unbound::Unsupported) => {}
            }
        }
        if self.scalars_only {
            return Ok(None);
        }
        let columns = scope.map(RowScope::columns).unwrap_or_default();
        let target = match wanted {
            Wanted::Column(column) => Target::Column {
                name: &column.name,
                sql_type: &column.sql_type,
            },
            Wanted::Condition(clause) => Target::Condition(clause),
        };
        let compiled = Expression::compile(
            self.executor,
            self.session,
            expr,
            &columns,
            self.params,
            target,
        )?;
        Ok(Some(RowExpr::Compiled(Box::new(compiled))))
    }

    fn bind_scalar(
        &mut self,
        expr: &ast::Expr,
        scope: Option<&RowScope<'_>>,
        wanted: Wanted<'_>,
    ) -> Result<Scalar, Unbound> {
        let session = Arc::clone(self.session);
        let lookup = |text: &str| sequence_by_text(&session, text);
        let scope = scope
            .map_or_else(Scope::empty, RowScope::scalar_scope)
            .with_sequences(&lookup);
        let mut params = ParamTypes::new(self.params);
        let mut binder = Binder::new(scope, &mut params);
        let scalar = match wanted {
            Wanted::Column(column) => binder.bind_assignment(expr, &column.sql_type)?,
            Wanted::Condition(_) => binder.bind_boolean(expr)?,
        };
        *self.params = params.into_inner();
        Ok(scalar)
    }
}

/// Oid of the sequence that `nextval('text')` means.
pub(crate) fn sequence_by_text(session: &SessionContext, text: &str) -> Option<u32> {
    let parsed = tessera_planner::parse_expression(text).ok()?;
    let parts: Vec<String> = match &parsed {
        ast::Expr::Identifier(ident) => vec![tessera_planner::short_path::bind::folded(ident)],
        ast::Expr::CompoundIdentifier(parts) => parts
            .iter()
            .map(tessera_planner::short_path::bind::folded)
            .collect(),
        _ => return None,
    };
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name),
        [schema, name] => (Some(schema.as_str()), name),
        _ => return None,
    };
    match session
        .catalog
        .resolve(&session.search_path, schema, name)?
    {
        tessera_catalog::Relation::Sequence(sequence) => Some(sequence.id.0),
        _ => None,
    }
}

impl RowExpr {
    /// Ready for one statement.
    pub(crate) fn bind<'a>(
        &'a self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<BoundExpr<'a>, Report> {
        Ok(match self {
            RowExpr::Scalar(scalar) => BoundExpr::Scalar(scalar),
            RowExpr::Compiled(compiled) => {
                BoundExpr::Compiled(Box::new(compiled.bind(executor, context)?))
            }
        })
    }

    /// Adds every sequence that one evaluation takes a value of.
    pub(crate) fn sequences(&self, out: &mut Vec<RelationId>) {
        let RowExpr::Scalar(scalar) = self else {
            return;
        };
        scalar.walk(&mut |node| {
            if let Scalar::Call(Function::NextVal, args) = node
                && let [Scalar::Literal(Value::Oid(oid))] = args.as_slice()
            {
                out.push(RelationId(*oid));
            }
        });
    }
}

impl BoundExpr<'_> {
    /// The value on a row.
    pub(crate) fn value(&self, row: &[Value], around: &Around<'_>) -> Result<Value, Report> {
        match self {
            BoundExpr::Scalar(scalar) => eval::evaluate(scalar, row, around),
            BoundExpr::Compiled(compiled) => compiled.evaluate_row(row),
        }
    }

    /// The truth on a row; `None` is unknown.
    pub(crate) fn truth(&self, row: &[Value], around: &Around<'_>) -> Result<Option<bool>, Report> {
        match self {
            BoundExpr::Scalar(scalar) => eval::truth(scalar, row, around),
            BoundExpr::Compiled(compiled) => match compiled.evaluate_row(row)? {
                Value::Boolean(truth) => Ok(Some(truth)),
                _ => Ok(None),
            },
        }
    }

    /// The value on two rows side by side.
    pub(crate) fn value_beside(
        &self,
        left: &[Value],
        right: &[Value],
        around: &Around<'_>,
    ) -> Result<Value, Report> {
        match self {
            BoundExpr::Scalar(scalar) => {
                eval::evaluate(scalar, &SideBySide { left, right }, around)
            }
            BoundExpr::Compiled(compiled) => compiled.evaluate_row(&[left, right].concat()),
        }
    }
}

/// The statement around an expression.
pub(crate) struct Around<'a> {
    executor: &'a Executor,
    context: &'a StatementContext,
    /// Values taken of sequences, before the expressions that want them are evaluated.
    taken: Mutex<HashMap<RelationId, VecDeque<i64>>>,
}

impl<'a> Around<'a> {
    /// The surroundings of one statement.
    pub(crate) fn new(executor: &'a Executor, context: &'a StatementContext) -> Around<'a> {
        Around {
            executor,
            context,
            taken: Mutex::default(),
        }
    }

    /// Takes one value for each sequence listed, to be used by the next evaluation.
    pub(crate) async fn take(&self, sequences: &[RelationId]) -> Result<(), Report> {
        for id in sequences {
            let catalog = self.executor.catalog();
            let value = match self.context.session.catalog.sequence(*id) {
                Some(sequence) => catalog.next_value(sequence).await,
                // Made by this very statement: ALTER TABLE … ADD COLUMN … serial.
                None => match catalog.state_for(&self.context.txn).sequence(*id) {
                    Some(sequence) => catalog.next_value(sequence).await,
                    None => {
                        return Err(Report::internal(format!("sequence {} is gone", id.0)));
                    }
                },
            };
            let value = value.map_err(|error| error.report())?;
            self.taken.lock().entry(*id).or_default().push_back(value);
        }
        Ok(())
    }
}

impl Surroundings for Around<'_> {
    fn params(&self) -> &[Value] {
        &self.context.params
    }

    fn format(&self) -> &FormatContext {
        &self.context.session.format
    }

    fn transaction_micros(&self) -> i64 {
        self.context.transaction_micros
    }

    fn clock_micros(&self) -> i64 {
        self.executor
            .transactions()
            .environment()
            .clock
            .unix_micros()
    }

    fn user(&self) -> &str {
        &self.context.session.user
    }

    fn next_value(&self, sequence: RelationId) -> Result<i64, Report> {
        let value = self
            .taken
            .lock()
            .get_mut(&sequence)
            .and_then(VecDeque::pop_front);
        let value = value.ok_or_else(|| Report::internal("no value was taken of a sequence"))?;
        let mut state = self.context.session.state.sequences.lock();
        state.values.insert(sequence, value);
        state.last = Some(sequence);
        Ok(value)
    }

    fn random_uuid(&self) -> [u8; 16] {
        let mut bytes = [0_u8; 16];
        self.executor
            .transactions()
            .environment()
            .random
            .fill(&mut bytes);
        // Version 4, variant 1 (RFC 9562, section 5.4).
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }
}
