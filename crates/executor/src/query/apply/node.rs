//! Apply as a logical node.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};

/// A value from outside that the subquery reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Parameter {
    /// The placeholder's name in the subquery.
    pub(crate) id: String,
    /// What gives the value, over the input's columns.
    pub(crate) argument: Expr,
}

/// What the answer of a subquery becomes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// One more column: the value of the one row, NULL without a row.
    Scalar { column: FieldRef },
    /// One more column: whether there is a row.
    Exists { column: FieldRef },
    /// One more column: `operand op ANY (rows)` or `operand op ALL (rows)`.
    Compare {
        column: FieldRef,
        operand: Expr,
        op: Operator,
        all: bool,
    },
    /// The subquery's columns beside the input's, for each of its rows.
    Rows {
        columns: DFSchemaRef,
        /// An input row without a row of the subquery is kept, with NULLs.
        outer: bool,
    },
}

/// For each row of the input: execute the subquery with the row's values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Apply {
    pub(crate) input: LogicalPlan,
    /// Optimized; parameters stand for the values from outside.
    pub(crate) subquery: Arc<LogicalPlan>,
    pub(crate) parameters: Vec<Parameter>,
    /// Rows for which this does not hold get NULL, and execute nothing.
    pub(crate) guard: Option<Expr>,
    pub(crate) mode: Mode,
    schema: DFSchemaRef,
}

impl Apply {
    pub(crate) fn new(
        input: LogicalPlan,
        subquery: Arc<LogicalPlan>,
        parameters: Vec<Parameter>,
        guard: Option<Expr>,
        mode: Mode,
    ) -> Result<Apply> {
        let schema = Arc::new(schema_of(&input, &mode)?);
        Ok(Apply {
            input,
            subquery,
            parameters,
            guard,
            mode,
            schema,
        })
    }

    /// The same with another subquery.
    pub(super) fn over(self, subquery: Arc<LogicalPlan>) -> Apply {
        Apply { subquery, ..self }
    }

    /// As a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }

    /// The node in a plan, if the plan is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Apply> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// A boolean column that may be NULL.
pub(crate) fn truth_column(name: String) -> FieldRef {
    Arc::new(Field::new(name, DataType::Boolean, true))
}

fn schema_of(input: &LogicalPlan, mode: &Mode) -> Result<DFSchema> {
    let mut fields: Vec<(Option<TableReference>, FieldRef)> = input
        .schema()
        .iter()
        .map(|(qualifier, field)| (qualifier.cloned(), field.clone()))
        .collect();
    match mode {
        Mode::Scalar { column } | Mode::Exists { column } | Mode::Compare { column, .. } => {
            fields.push((None, column.clone()));
        }
        Mode::Rows { columns, outer } => {
            fields.extend(columns.iter().map(|(qualifier, field)| {
                let nullable = *outer || field.is_nullable();
                let field = field.as_ref().clone().with_nullable(nullable);
                (qualifier.cloned(), Arc::new(field))
            }));
        }
    }
    DFSchema::new_with_metadata(fields, HashMap::new())
}

impl PartialOrd for Apply {
    /// Plans have no order of their own.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Apply {
    fn name(&self) -> &str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let mut exprs: Vec<Expr> = self
            .parameters
            .iter()
            .map(|parameter| parameter.argument.clone())
            .collect();
        exprs.extend(self.guard.clone());
        if let Mode::Compare { operand, .. } = &self.mode {
            exprs.push(operand.clone());
        }
        exprs
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let inputs = self.input.schema().fields().len();
        self.schema
            .fields()
            .iter()
            .skip(inputs)
            .map(|field| field.name().clone())
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match &self.mode {
            Mode::Scalar { .. } => "scalar",
            Mode::Exists { .. } => "exists",
            Mode::Compare { all: false, .. } => "any",
            Mode::Compare { .. } => "all",
            Mode::Rows { .. } => "rows",
        };
        write!(f, "Apply: {mode}")
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Apply> {
        let mut exprs = exprs.into_iter();
        let parameters = self
            .parameters
            .iter()
            .zip(exprs.by_ref())
            .map(|(parameter, argument)| Parameter {
                id: parameter.id.clone(),
                argument,
            })
            .collect();
        let guard = match &self.guard {
            Some(_) => exprs.next(),
            None => None,
        };
        let mut mode = self.mode.clone();
        if let Mode::Compare { operand, .. } = &mut mode
            && let Some(expr) = exprs.next()
        {
            *operand = expr;
        }
        let input = match inputs.pop() {
            Some(input) => input,
            None => self.input.clone(),
        };
        Apply::new(input, self.subquery.clone(), parameters, guard, mode)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        let wanted = output_columns
            .iter()
            .copied()
            .filter(|column| *column < inputs)
            .collect();
        Some(vec![wanted])
    }

    fn supports_limit_pushdown(&self) -> bool {
        !matches!(self.mode, Mode::Rows { .. })
    }
}
