//! The registry of functions, operators and casts, and how one overload is chosen.
//!
//! The executor fills the registry once at start; the binder asks it. Operators are functions
//! named by their symbol: two arguments for infix, one for prefix. Comparisons of equal types,
//! AND/OR/NOT and the like are not here: the binder knows them.
//!
//! Choosing follows PostgreSQL ("Type Conversion", sections 10.2 and 10.3): exact match, then
//! implicit casts, then most exact matches, then preferred types, then the literals' category.

mod choose;
pub mod coercion;
mod kernel;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::Result as DfResult;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility, WindowUDF,
};
use tessera_types::{Report, SqlType, Value};

pub(crate) use choose::describe;
pub use choose::{Choice, Chosen};

/// What an argument of an overload may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// This type, or one that casts to it implicitly. Lengths and precisions do not matter.
    Exact(SqlType),
    /// Anything at all, unchanged. An untyped literal arrives as text.
    Any,
    /// Any type; all `AnyElement`s of a call are one type, and `AnyArray` its array.
    AnyElement,
    /// An array of `AnyElement`.
    AnyArray,
}

/// The type of an overload's result.
#[derive(Clone)]
pub enum Returns {
    /// Always this one.
    Exact(SqlType),
    /// What `AnyElement` stands for.
    Element,
    /// The array of what `AnyElement` stands for.
    Array,
    /// Computed from the types of the arguments (after casts).
    Computed(fn(&[SqlType]) -> SqlType),
    /// As `Computed`, and the Arrow field too (scales of decimals). The fields are the
    /// arguments'; the result's metadata should carry the SQL type (`arrow_types::field_of`).
    Field(fn(&[FieldRef]) -> DfResult<FieldRef>),
}

/// Computes a scalar function over one batch. Nulls are the kernel's business.
///
/// An error that a client should see is a [`Report`] wrapped by [`crate::errors::external`].
pub type Kernel = Arc<dyn Fn(ScalarFunctionArgs) -> DfResult<ColumnarValue> + Send + Sync>;

/// One overload of a scalar function or operator.
#[derive(Clone)]
pub struct ScalarOverload {
    /// Name in lower case, or the operator's symbol.
    pub name: String,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
    /// How many trailing arguments may be left out; the kernel sees only those given.
    pub optional: usize,
    /// The last argument may be given once or more often.
    pub variadic: bool,
    /// Result type.
    pub returns: Returns,
    /// Whether equal arguments always give equal results: `Immutable`; within one statement:
    /// `Stable` (reads the session or the clock); never: `Volatile` (random, nextval).
    pub volatility: Volatility,
    /// The function itself, as DataFusion sees it.
    pub udf: Arc<ScalarUDF>,
}

/// One overload of an aggregate function.
#[derive(Clone)]
pub struct AggregateOverload {
    /// Name in lower case.
    pub name: String,
    /// Arguments in order; empty for `count(*)`.
    pub arguments: Vec<Argument>,
    /// The last argument may be given once or more often.
    pub variadic: bool,
    /// Result type.
    pub returns: Returns,
    /// `WITHIN GROUP (ORDER BY …)`: the ordered column is the first argument.
    pub ordered_set: bool,
    /// The function itself.
    pub udf: Arc<AggregateUDF>,
}

/// One overload of a function that only makes sense with OVER.
#[derive(Clone)]
pub struct WindowOverload {
    /// Name in lower case.
    pub name: String,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
    /// How many trailing arguments may be left out.
    pub optional: usize,
    /// Result type.
    pub returns: Returns,
    /// The function itself.
    pub udf: Arc<WindowUDF>,
}

/// An iterator over the rows of a set-returning function.
pub type RowIterator = Box<dyn Iterator<Item = Result<Vec<Value>, Report>> + Send>;

/// Makes the rows of a set-returning function from its (already cast) arguments.
pub type RowSource =
    Arc<dyn Fn(&[Value], &ConfigOptions) -> Result<RowIterator, Report> + Send + Sync>;

/// One overload of a set-returning function (`FROM name(…)`, or in a select list).
#[derive(Clone)]
pub struct SetOverload {
    /// Name in lower case.
    pub name: String,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
    /// How many trailing arguments may be left out.
    pub optional: usize,
    /// Columns of the result.
    pub columns: SetColumns,
    /// Makes the rows.
    pub rows: RowSource,
}

/// Columns of a set-returning function.
#[derive(Clone)]
pub enum SetColumns {
    /// One column, named like the function or its alias.
    One(Returns),
    /// Named columns.
    Record(Vec<(String, SqlType)>),
}

/// All functions, operators and special casts.
#[derive(Default)]
pub struct FunctionRegistry {
    scalars: HashMap<String, Vec<Arc<ScalarOverload>>>,
    operators: HashMap<String, Vec<Arc<ScalarOverload>>>,
    aggregates: HashMap<String, Vec<Arc<AggregateOverload>>>,
    windows: HashMap<String, Vec<Arc<WindowOverload>>>,
    sets: HashMap<String, Vec<Arc<SetOverload>>>,
    cast: Option<CastFactory>,
    special_casts: HashMap<(u32, u32), Arc<ScalarUDF>>,
}

/// Makes the function that casts between two types when DataFusion's own cast would not do.
pub type CastFactory =
    Arc<dyn Fn(&SqlType, &SqlType, tessera_types::CastKind) -> Arc<ScalarUDF> + Send + Sync>;

/// What a call looks like when it is written short: see [`FunctionRegistry::scalar`].
pub struct Scalar {
    overload: ScalarOverload,
    kernel: Kernel,
}

impl Scalar {
    /// A function with exactly these argument types and this result; immutable, not variadic.
    pub fn new(
        name: &str,
        arguments: impl IntoIterator<Item = Argument>,
        returns: Returns,
        kernel: impl Fn(ScalarFunctionArgs) -> DfResult<ColumnarValue> + Send + Sync + 'static,
    ) -> Scalar {
        let kernel: Kernel = Arc::new(kernel);
        let overload = ScalarOverload {
            name: name.to_owned(),
            arguments: arguments.into_iter().collect(),
            optional: 0,
            variadic: false,
            returns,
            volatility: Volatility::Immutable,
            // Replaced when it is registered, by when all else is known.
            udf: kernel::placeholder(),
        };
        Scalar { overload, kernel }
    }

    /// The function reads the session or the clock.
    pub fn stable(mut self) -> Scalar {
        self.overload.volatility = Volatility::Stable;
        self
    }

    /// The function gives a new result each time, or has an effect.
    pub fn volatile(mut self) -> Scalar {
        self.overload.volatility = Volatility::Volatile;
        self
    }

    /// The last argument may be given once or more often.
    pub fn variadic(mut self) -> Scalar {
        self.overload.variadic = true;
        self
    }

    /// So many trailing arguments may be left out.
    pub fn optional(mut self, count: usize) -> Scalar {
        self.overload.optional = count;
        self
    }

    fn finish(self) -> Arc<ScalarOverload> {
        let Scalar {
            mut overload,
            kernel,
        } = self;
        overload.udf = kernel::udf_of(&overload, kernel);
        Arc::new(overload)
    }
}

impl FunctionRegistry {
    /// An empty registry.
    pub fn new() -> FunctionRegistry {
        FunctionRegistry::default()
    }

    /// Adds a scalar function made of a kernel.
    pub fn scalar(&mut self, scalar: Scalar) {
        self.scalar_overload(scalar.finish());
    }

    /// Adds a scalar function that is a DataFusion function already (also asynchronous ones).
    pub fn scalar_overload(&mut self, overload: Arc<ScalarOverload>) {
        self.scalars
            .entry(overload.name.clone())
            .or_default()
            .push(overload);
    }

    /// Adds an operator made of a kernel; its name is the symbol.
    pub fn operator(&mut self, scalar: Scalar) {
        let overload = scalar.finish();
        self.operators
            .entry(overload.name.clone())
            .or_default()
            .push(overload);
    }

    /// Adds an aggregate function.
    pub fn aggregate(&mut self, overload: AggregateOverload) {
        self.aggregates
            .entry(overload.name.clone())
            .or_default()
            .push(Arc::new(overload));
    }

    /// Adds a window function.
    pub fn window(&mut self, overload: WindowOverload) {
        self.windows
            .entry(overload.name.clone())
            .or_default()
            .push(Arc::new(overload));
    }

    /// Adds a set-returning function.
    pub fn set_returning(&mut self, overload: SetOverload) {
        self.sets
            .entry(overload.name.clone())
            .or_default()
            .push(Arc::new(overload));
    }

    /// Says how casts are made that DataFusion's own cast does differently.
    pub fn set_cast_factory(&mut self, factory: CastFactory) {
        self.cast = Some(factory);
    }

    /// Adds a cast that needs more than the value, such as text to `regclass`. It goes before
    /// the factory's, and exists for explicit casts even where `types::coerce` knows none.
    pub fn special_cast(&mut self, from: &SqlType, to: &SqlType, udf: Arc<ScalarUDF>) {
        self.special_casts.insert((from.oid(), to.oid()), udf);
    }

    /// Whether there is such a special cast.
    pub fn has_special_cast(&self, from: &SqlType, to: &SqlType) -> bool {
        self.special_casts.contains_key(&(from.oid(), to.oid()))
    }

    /// The function that casts `from` to `to`.
    pub fn cast(
        &self,
        from: &SqlType,
        to: &SqlType,
        kind: tessera_types::CastKind,
    ) -> Option<Arc<ScalarUDF>> {
        match self.special_casts.get(&(from.oid(), to.oid())) {
            Some(udf) => Some(udf.clone()),
            None => self.cast.as_ref().map(|factory| factory(from, to, kind)),
        }
    }

    /// Overloads of a scalar function.
    pub fn scalars(&self, name: &str) -> &[Arc<ScalarOverload>] {
        self.scalars.get(name).map_or(&[], Vec::as_slice)
    }

    /// Overloads of an operator.
    pub fn operators(&self, symbol: &str) -> &[Arc<ScalarOverload>] {
        self.operators.get(symbol).map_or(&[], Vec::as_slice)
    }

    /// Overloads of an aggregate function.
    pub fn aggregates(&self, name: &str) -> &[Arc<AggregateOverload>] {
        self.aggregates.get(name).map_or(&[], Vec::as_slice)
    }

    /// Overloads of a window function.
    pub fn windows(&self, name: &str) -> &[Arc<WindowOverload>] {
        self.windows.get(name).map_or(&[], Vec::as_slice)
    }

    /// Overloads of a set-returning function.
    pub fn sets(&self, name: &str) -> &[Arc<SetOverload>] {
        self.sets.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every function: name, argument types and kind (`f`, `a`, `w`), for `pg_proc` and `\df`.
    pub fn describe_all(&self) -> Vec<FunctionDescription> {
        let mut all = Vec::new();
        for overload in self.scalars.values().flatten() {
            all.push(FunctionDescription {
                name: overload.name.clone(),
                arguments: overload.arguments.clone(),
                returns: overload.returns.clone(),
                kind: 'f',
                returns_set: false,
                variadic: overload.variadic,
                volatility: overload.volatility,
            });
        }
        for overload in self.aggregates.values().flatten() {
            all.push(FunctionDescription {
                name: overload.name.clone(),
                arguments: overload.arguments.clone(),
                returns: overload.returns.clone(),
                kind: 'a',
                returns_set: false,
                variadic: overload.variadic,
                volatility: Volatility::Immutable,
            });
        }
        for overload in self.windows.values().flatten() {
            all.push(FunctionDescription {
                name: overload.name.clone(),
                arguments: overload.arguments.clone(),
                returns: overload.returns.clone(),
                kind: 'w',
                returns_set: false,
                variadic: false,
                volatility: Volatility::Immutable,
            });
        }
        for overload in self.sets.values().flatten() {
            let returns = match &overload.columns {
                SetColumns::One(returns) => returns.clone(),
                SetColumns::Record(_) => Returns::Exact(SqlType::Record),
            };
            all.push(FunctionDescription {
                name: overload.name.clone(),
                arguments: overload.arguments.clone(),
                returns,
                kind: 'f',
                returns_set: true,
                variadic: false,
                volatility: Volatility::Immutable,
            });
        }
        all.sort_by(|a, b| {
            a.name
                .cmp(&b.name)
                .then(a.arguments.len().cmp(&b.arguments.len()))
        });
        all
    }
}

/// One function as the system catalog shows it.
#[derive(Clone)]
pub struct FunctionDescription {
    /// Name.
    pub name: String,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
    /// Result.
    pub returns: Returns,
    /// `f` for ordinary, `a` for aggregate, `w` for window functions.
    pub kind: char,
    /// Gives a set of rows.
    pub returns_set: bool,
    /// The last argument may be given once or more often.
    pub variadic: bool,
    /// Volatility.
    pub volatility: Volatility,
}

impl fmt::Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionRegistry")
            .field("scalars", &self.scalars.len())
            .field("operators", &self.operators.len())
            .field("aggregates", &self.aggregates.len())
            .finish_non_exhaustive()
    }
}

impl From<SqlType> for Argument {
    fn from(sql_type: SqlType) -> Argument {
        Argument::Exact(sql_type)
    }
}

impl From<SqlType> for Returns {
    fn from(sql_type: SqlType) -> Returns {
        Returns::Exact(sql_type)
    }
}

pub(crate) use kernel::result_field;

/// Chooses among an operator's overloads; one literal without type has the other side's type.
pub(crate) fn choose_operator(
    overloads: &[Arc<ScalarOverload>],
    given: &[SqlType],
) -> Result<Chosen<Arc<ScalarOverload>>, choose::NoChoice> {
    if let [left, right] = given {
        // PostgreSQL has operators of real with double precision, and takes those for any other
        // number beside a real.
        let mixed =
            |a: &SqlType, b: &SqlType| *a == SqlType::Real && b.is_number() && *b != SqlType::Real;
        if mixed(left, right) || mixed(right, left) {
            return choose::choose(overloads, &[SqlType::Double, SqlType::Double]);
        }
        let same = match (left, right) {
            (SqlType::Unknown, known) | (known, SqlType::Unknown) if *known != SqlType::Unknown => {
                Some(known)
            }
            _ => None,
        };
        if let Some(known) = same {
            let both = [known.clone(), known.clone()];
            let exact = choose::choose(overloads, &both).ok().filter(|chosen| {
                chosen
                    .argument_types
                    .iter()
                    .all(|t| coercion::same_base(t, known))
            });
            if let Some(chosen) = exact {
                return Ok(chosen);
            }
        }
    }
    choose::choose(overloads, given)
}

pub(crate) use choose::{NoChoice, choose};
