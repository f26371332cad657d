//! Binds SQL expressions to [`Scalar`]s: names, types of parameters and literals, implicit casts.
//!
//! # Invariants
//! 1. What is bound means exactly what PostgreSQL means; whatever is not certain is
//!    [`Unbound::Unsupported`] and goes to DataFusion.
//! 2. Depth is bounded (`DEPTH_MAX`); chains of AND and OR are walked without recursion.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function as AstFunction, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, UnaryOperator, Value as AstValue,
};
use tessera_catalog::{ColumnDef, TableDef};
use tessera_types::{CastKind, FormatContext, Report, SqlType, Value, coerce, text};

use crate::ddl::data_type::sql_type_of;

use super::scalar::{
    Arithmetic, ArithmeticOp, Cast, Compare, CompareOp, Function, Like, NumberKind, Scalar,
};

/// Nesting that the binder follows; deeper expressions are DataFusion's.
const DEPTH_MAX: usize = 48;
/// Elements of an IN list that are compared one by one.
const IN_LIST_MAX: usize = 64;

/// Why an expression was not bound.
#[derive(Debug)]
pub enum Unbound {
    /// Not an expression of the short path; the general path decides.
    Unsupported,
    /// The statement is wrong whichever path runs it.
    Error(Box<Report>),
}

impl From<Report> for Unbound {
    fn from(report: Report) -> Self {
        Unbound::Error(Box::new(report))
    }
}

/// Result of binding.
pub type Bound<T> = Result<T, Unbound>;

/// An expression with its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// The expression.
    pub scalar: Scalar,
    /// Its SQL type.
    pub sql_type: SqlType,
}

/// The folded form of an identifier: as written when quoted, else lower case.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// One relation whose columns an expression may name.
#[derive(Debug, Clone)]
pub struct ScopeRelation<'a> {
    /// Alias, or the table's own name.
    pub name: String,
    /// Schema, unless an alias hides it.
    pub schema: Option<String>,
    /// Columns in row order.
    pub columns: &'a [ColumnDef],
    /// Position of the first column in the input row.
    pub offset: usize,
    /// Columns are found only with the relation's name in front (`excluded`).
    pub qualified_only: bool,
}

/// Resolves `nextval('…')` and tells the binder which sequences exist.
pub type SequenceLookup<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// What names mean while an expression is bound.
pub struct Scope<'a> {
    /// Relations, at most two on the short path (target and `excluded`).
    pub relations: Vec<ScopeRelation<'a>>,
    /// Sequence by text, for `nextval`.
    pub sequences: Option<SequenceLookup<'a>>,
}

impl<'a> Scope<'a> {
    /// A scope without columns: defaults, VALUES.
    pub fn empty() -> Scope<'a> {
        Scope { relations: Vec::new(), sequences: None }
    }

    /// The columns of one table under its alias.
    pub fn table(table: &'a TableDef, alias: Option<String>) -> Scope<'a> {
        let schema = if alias.is_none() { Some(table.schema.to_string()) } else { None };
        let name = alias.unwrap_or_else(|| table.name.to_string());
        let columns = &table.columns;
        Scope {
            relations: vec![ScopeRelation { name, schema, columns, offset: 0, qualified_only: false }],
            sequences: None,
        }
    }

    /// Adds a relation behind the others.
    #[must_use]
    pub fn with(mut self, name: &str, columns: &'a [ColumnDef]) -> Scope<'a> {
        let offset = self.relations.iter().map(|relation| relation.columns.len()).sum();
        self.relations.push(ScopeRelation {
            name: name.to_owned(),
            schema: None,
            columns,
            offset,
            qualified_only: true,
        });
        self
    }

    /// Lets `nextval` find sequences.
    #[must_use]
    pub fn with_sequences(mut self, lookup: SequenceLookup<'a>) -> Scope<'a> {
        self.sequences = Some(lookup);
        self
    }

    fn resolve(&self, parts: &[Ident]) -> Bound<Typed> {
        let (schema, relation, column) = match parts {
            [column] => (None, None, folded(column)),
            [relation, column] => (None, Some(folded(relation)), folded(column)),
            [schema, relation, column] => {
                (Some(folded(schema)), Some(folded(relation)), folded(column))
            }
            _ => return Err(Unbound::Unsupported),
        };
        for candidate in &self.relations {
            let named = match &relation {
                Some(relation) => *relation == candidate.name,
                None => !candidate.qualified_only,
            };
            if !named || (schema.is_some() && schema != candidate.schema) {
                continue;
            }
            if let Some(at) = candidate.columns.iter().position(|c| *c.name == *column) {
                return Ok(Typed {
                    scalar: Scalar::Column(candidate.offset + at),
                    sql_type: candidate.columns[at].sql_type.clone(),
                });
            }
        }
        // The general path words the error (with a position and a hint).
        Err(Unbound::Unsupported)
    }
}

/// Parameter types: given by the client, or inferred from where the parameter stands.
#[derive(Debug, Clone, Default)]
pub struct ParamTypes {
    types: Vec<Option<SqlType>>,
}

impl ParamTypes {
    /// Starts with what the client declared.
    pub fn new(declared: &[Option<SqlType>]) -> ParamTypes {
        ParamTypes { types: declared.to_vec() }
    }

    /// All types, or `None` when one is still open.
    pub fn finish(&self) -> Option<Vec<SqlType>> {
        self.types.iter().cloned().collect()
    }

    /// The types as far as they are known.
    pub fn into_inner(self) -> Vec<Option<SqlType>> {
        self.types
    }

    fn bind(&mut self, placeholder: &str, expected: Option<&SqlType>) -> Bound<Typed> {
        let number = placeholder.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let Some(index) = number.and_then(|n| n.checked_sub(1)) else {
            return Err(Unbound::Unsupported);
        };
        if index >= usize::from(u16::MAX) {
            return Err(Unbound::Unsupported);
        }
        if self.types.len() <= index {
            self.types.resize(index + 1, None);
        }
        let slot = &mut self.types[index];
        let known = slot.as_ref().filter(|ty| !matches!(ty, SqlType::Unknown));
        let sql_type = match (known, expected) {
            (Some(known), _) => known.clone(),
            (None, Some(expected)) => {
                let base = expected.base();
                *slot = Some(base.clone());
                base
            }
            (None, None) => return Err(Unbound::Unsupported),
        };
        Ok(Typed { scalar: Scalar::Param(index), sql_type })
    }
}

/// Binds the expressions of one statement.
pub struct Binder<'a> {
    /// Names in scope.
    pub scope: Scope<'a>,
    /// Parameters seen so far.
    pub params: &'a mut ParamTypes,
    depth: usize,
}

impl<'a> Binder<'a> {
    /// A binder over `scope`.
    pub fn new(scope: Scope<'a>, params: &'a mut ParamTypes) -> Binder<'a> {
        Binder { scope, params, depth: 0 }
    }

    /// Binds an expression; `expected` types parameters and quoted literals.
    pub fn bind(&mut self, expr: &Expr, expected: Option<&SqlType>) -> Bound<Typed> {
        if self.depth == DEPTH_MAX {
            return Err(Unbound::Unsupported);
        }
        self.depth += 1;
        let bound = self.bind_inner(expr, expected);
        self.depth -= 1;
        bound
    }

    /// Binds an expression that must be boolean.
    pub fn bind_boolean(&mut self, expr: &Expr) -> Bound<Scalar> {
        let typed = self.bind(expr, Some(&SqlType::Boolean))?;
        if matches!(typed.sql_type, SqlType::Boolean) {
            Ok(typed.scalar)
        } else {
            Err(Unbound::Unsupported)
        }
    }

    /// Binds an expression assigned to a column of type `target`.
    pub fn bind_assignment(&mut self, expr: &Expr, target: &SqlType) -> Bound<Scalar> {
        let typed = self.bind(expr, Some(target))?;
        assignment_cast(typed, target)
    }

    fn bind_inner(&mut self, expr: &Expr, expected: Option<&SqlType>) -> Bound<Typed> {
        match expr {
            Expr::Nested(inner) => self.bind(inner, expected),
            Expr::Identifier(ident) => match self.scope.resolve(std::slice::from_ref(ident)) {
                Err(Unbound::Unsupported) => bare_function(ident),
                bound => bound,
            },
            Expr::CompoundIdentifier(parts) => self.scope.resolve(parts),
            Expr::Value(value) => match &value.value {
                AstValue::Placeholder(name) => self.params.bind(name, expected),
                literal => bind_literal(literal, expected),
            },
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {
                let to = sql_type_of(&typed.data_type)?;
                let Some(text) = string_of(&typed.value.value) else {
                    return Err(Unbound::Unsupported);
                };
                literal_of_text(text, &to)
            }
            Expr::Cast { kind, expr, data_type, array, format } => {
                use sqlparser::ast::CastKind;
                if *array || format.is_some() || !matches!(kind, CastKind::Cast | CastKind::DoubleColon) {
                    return Err(Unbound::Unsupported);
                }
                let to = sql_type_of(data_type)?;
                self.bind_cast(expr, to)
            }
            Expr::UnaryOp { op, expr } => self.bind_unary(*op, expr, expected),
            Expr::BinaryOp { left, op, right } => self.bind_binary(expr, left, op, right, expected),
            Expr::IsNull(input) => self.bind_is_null(input, false),
            Expr::IsNotNull(input) => self.bind_is_null(input, true),
            Expr::IsTrue(input) => self.bind_truth(input, Some(true), false),
            Expr::IsNotTrue(input) => self.bind_truth(input, Some(true), true),
            Expr::IsFalse(input) => self.bind_truth(input, Some(false), false),
            Expr::IsNotFalse(input) => self.bind_truth(input, Some(false), true),
            Expr::IsUnknown(input) => self.bind_truth(input, None, false),
            Expr::IsNotUnknown(input) => self.bind_truth(input, None, true),
            Expr::IsDistinctFrom(left, right) => self.bind_distinct(left, right, false),
            Expr::IsNotDistinctFrom(left, right) => self.bind_distinct(left, right, true),
            Expr::Between { expr, negated, low, high } => {
                let lower = self.bind_compare(expr, CompareOp::GtEq, low)?;
                let upper = self.bind_compare(expr, CompareOp::LtEq, high)?;
                let both = Scalar::And(vec![lower.scalar, upper.scalar]);
                Ok(boolean(if *negated { Scalar::Not(Box::new(both)) } else { both }))
            }
            Expr::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.bind_like(expr, pattern, escape_char.as_ref().map(|e| &e.value), false, *negated)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.bind_like(expr, pattern, escape_char.as_ref().map(|e| &e.value), true, *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref(), expected)
            }
            Expr::Function(function) => self.bind_function(function, expected),
            _ => Err(Unbound::Unsupported),
        }
    }

    fn bind_cast(&mut self, expr: &Expr, to: SqlType) -> Bound<Typed> {
        // `'…'::type` and `$1::type` are constants and parameters of that type.
        let inner = strip_nested(expr);
        if let Expr::Value(value) = inner {
            if let Some(text) = string_of(&value.value) {
                return literal_of_text(text, &to);
            }
            if matches!(value.value, AstValue::Null) {
                return Ok(Typed { scalar: Scalar::Literal(Value::Null), sql_type: to });
            }
        }
        let typed = self.bind(expr, Some(&to))?;
        if typed.sql_type == to {
            return Ok(typed);
        }
        if !castable(&typed.sql_type, &to) {
            return Err(Unbound::Unsupported);
        }
        let cast = Cast { input: typed.scalar, from: typed.sql_type, to: to.clone(), explicit: true };
        Ok(Typed { scalar: Scalar::Cast(Box::new(cast)), sql_type: to })
    }

    fn bind_unary(&mut self, op: UnaryOperator, expr: &Expr, expected: Option<&SqlType>) -> Bound<Typed> {
        match op {
            UnaryOperator::Not => Ok(boolean(Scalar::Not(Box::new(self.bind_boolean(expr)?)))),
            UnaryOperator::Plus | UnaryOperator::Minus => {
                let expected = expected.filter(|ty| NumberKind::of(ty).is_some());
                let typed = self.bind(expr, expected)?;
                let Some(kind) = NumberKind::of(&typed.sql_type) else {
                    return Err(Unbound::Unsupported);
                };
                if op == UnaryOperator::Plus {
                    return Ok(typed);
                }
                let scalar = match typed.scalar {
                    Scalar::Literal(value) => Scalar::Literal(negated_literal(value)?),
                    other => Scalar::Negate(Box::new(other), kind),
                };
                Ok(Typed { scalar, sql_type: typed.sql_type })
            }
            _ => Err(Unbound::Unsupported),
        }
    }

    fn bind_binary(
        &mut self,
        whole: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        expected: Option<&SqlType>,
    ) -> Bound<Typed> {
        let arithmetic = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let mut parts = Vec::new();
                for part in chain(whole, op) {
                    parts.push(self.bind_boolean(part)?);
                }
                let is_and = matches!(op, BinaryOperator::And);
                return Ok(boolean(if is_and { Scalar::And(parts) } else { Scalar::Or(parts) }));
            }
            BinaryOperator::Eq => return self.bind_compare(left, CompareOp::Eq, right),
            BinaryOperator::NotEq => return self.bind_compare(left, CompareOp::NotEq, right),
            BinaryOperator::Lt => return self.bind_compare(left, CompareOp::Lt, right),
            BinaryOperator::LtEq => return self.bind_compare(left, CompareOp::LtEq, right),
            BinaryOperator::Gt => return self.bind_compare(left, CompareOp::Gt, right),
            BinaryOperator::GtEq => return self.bind_compare(left, CompareOp::GtEq, right),
            BinaryOperator::StringConcat => return self.bind_concat(left, right),
            BinaryOperator::Plus => ArithmeticOp::Add,
            BinaryOperator::Minus => ArithmeticOp::Subtract,
            BinaryOperator::Multiply => ArithmeticOp::Multiply,
            BinaryOperator::Divide => ArithmeticOp::Divide,
            BinaryOperator::Modulo => ArithmeticOp::Modulo,
            _ => return Err(Unbound::Unsupported),
        };
        let expected = expected.filter(|ty| NumberKind::of(ty).is_some());
        let (left, right) = self.bind_pair(left, right, expected)?;
        let (Some(a), Some(b)) = (NumberKind::of(&left.sql_type), NumberKind::of(&right.sql_type))
        else {
            return Err(Unbound::Unsupported);
        };
        let kind = a.common(b);
        // Scale rules of numeric quotients and products are DataFusion's side of the house.
        let exact = matches!(arithmetic, ArithmeticOp::Add | ArithmeticOp::Subtract);
        if kind == NumberKind::Numeric && !exact {
            return Err(Unbound::Unsupported);
        }
        if matches!(kind, NumberKind::Real | NumberKind::Double) && arithmetic == ArithmeticOp::Modulo {
            return Err(Unbound::Unsupported);
        }
        let sql_type = kind.sql_type();
        let node = Arithmetic {
            op: arithmetic,
            kind,
            left: implicit_cast(left, &sql_type),
            right: implicit_cast(right, &sql_type),
        };
        Ok(Typed { scalar: Scalar::Arithmetic(Box::new(node)), sql_type })
    }

    /// Binds two operands so that a parameter or quoted literal takes the other one's type.
    fn bind_pair(&mut self, left: &Expr, right: &Expr, expected: Option<&SqlType>) -> Bound<(Typed, Typed)> {
        if is_open(left) && !is_open(right) {
            let right = self.bind(right, None)?;
            let left = self.bind(left, Some(&right.sql_type))?;
            return Ok((left, right));
        }
        let left = self.bind(left, expected)?;
        let right = self.bind(right, Some(&left.sql_type))?;
        Ok((left, right))
    }

    fn bind_compare(&mut self, left: &Expr, op: CompareOp, right: &Expr) -> Bound<Typed> {
        let (left, right) = self.bind_pair(left, right, None)?;
        let (left, right, blank_padded) = comparable(left, right)?;
        Ok(boolean(Scalar::Compare(Box::new(Compare { op, blank_padded, left, right }))))
    }

    fn bind_is_null(&mut self, input: &Expr, negated: bool) -> Bound<Typed> {
        let input = Box::new(self.bind(input, None)?.scalar);
        Ok(boolean(Scalar::IsNull { input, negated }))
    }

    fn bind_truth(&mut self, input: &Expr, truth: Option<bool>, negated: bool) -> Bound<Typed> {
        let input = Box::new(self.bind_boolean(input)?);
        Ok(boolean(Scalar::IsTruth { input, truth, negated }))
    }

    fn bind_distinct(&mut self, left: &Expr, right: &Expr, negated: bool) -> Bound<Typed> {
        let (left, right) = self.bind_pair(left, right, None)?;
        let (left, right, blank_padded) = comparable(left, right)?;
        if blank_padded {
            return Err(Unbound::Unsupported);
        }
        Ok(boolean(Scalar::IsDistinct { left: Box::new(left), right: Box::new(right), negated }))
    }

    fn bind_in_list(&mut self, input: &Expr, list: &[Expr], negated: bool) -> Bound<Typed> {
        if list.len() > IN_LIST_MAX || is_open(input) {
            return Err(Unbound::Unsupported);
        }
        let input = self.bind(input, None)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let item = self.bind(item, Some(&input.sql_type))?;
            // One type for all, so that the operand is not cast per element.
            if item.sql_type.base() != input.sql_type.base() {
                let (a, b) = (NumberKind::of(&item.sql_type), NumberKind::of(&input.sql_type));
                let narrows = matches!((a, b), (Some(a), Some(b)) if a.common(b) != b);
                if a.is_none() || b.is_none() || narrows {
                    return Err(Unbound::Unsupported);
                }
                let sql_type = input.sql_type.base();
                items.push(implicit_cast(item, &sql_type));
            } else {
                items.push(item.scalar);
            }
        }
        if !is_ordered(&input.sql_type) || matches!(input.sql_type, SqlType::Char(_)) {
            return Err(Unbound::Unsupported);
        }
        Ok(boolean(Scalar::InList { input: Box::new(input.scalar), list: items, negated }))
    }

    fn bind_concat(&mut self, left: &Expr, right: &Expr) -> Bound<Typed> {
        let left = self.bind(left, Some(&SqlType::Text))?;
        let right = self.bind(right, Some(&SqlType::Text))?;
        let text = |ty: &SqlType| matches!(ty, SqlType::Text | SqlType::Varchar(_));
        if !text(&left.sql_type) || !text(&right.sql_type) {
            return Err(Unbound::Unsupported);
        }
        let scalar = Scalar::Call(Function::Concat, vec![left.scalar, right.scalar]);
        Ok(Typed { scalar, sql_type: SqlType::Text })
    }

    fn bind_like(
        &mut self,
        input: &Expr,
        pattern: &Expr,
        escape: Option<&AstValue>,
        case_insensitive: bool,
        negated: bool,
    ) -> Bound<Typed> {
        let input = self.bind(input, Some(&SqlType::Text))?;
        let pattern = self.bind(pattern, Some(&SqlType::Text))?;
        let text = |ty: &SqlType| matches!(ty, SqlType::Text | SqlType::Varchar(_) | SqlType::Name);
        if !text(&input.sql_type) || !text(&pattern.sql_type) {
            return Err(Unbound::Unsupported);
        }
        let escape = match escape {
            None => Some('\\'),
            Some(value) => {
                let Some(text) = string_of(value) else { return Err(Unbound::Unsupported) };
                let mut chars = text.chars();
                let first = chars.next();
                if chars.next().is_some() {
                    return Err(Unbound::Unsupported);
                }
                first
            }
        };
        let (input, pattern) = (input.scalar, pattern.scalar);
        Ok(boolean(Scalar::Like(Box::new(Like { input, pattern, escape, case_insensitive, negated }))))
    }

    fn bind_case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        expected: Option<&SqlType>,
    ) -> Bound<Typed> {
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            let condition = match operand {
                Some(operand) => self.bind_compare(operand, CompareOp::Eq, &when.condition)?.scalar,
                None => self.bind_boolean(&when.condition)?,
            };
            whens.push(condition);
            results.push(self.bind(&when.result, expected)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.bind(otherwise, expected)?);
        }
        let (mut results, sql_type) = same_type(results)?;
        let otherwise = match otherwise {
            Some(_) => results.pop().ok_or(Unbound::Unsupported)?,
            None => Scalar::Literal(Value::Null),
        };
        let whens = whens.into_iter().zip(results).collect();
        Ok(Typed { scalar: Scalar::Case { whens, otherwise: Box::new(otherwise) }, sql_type })
    }

    fn bind_function(&mut self, function: &AstFunction, expected: Option<&SqlType>) -> Bound<Typed> {
        if function.over.is_some()
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None)
        {
            return Err(Unbound::Unsupported);
        }
        let name = function_name(function).ok_or(Unbound::Unsupported)?;
        let args = plain_arguments(function).ok_or(Unbound::Unsupported)?;
        let call = |function, args, sql_type| {
            Ok(Typed { scalar: Scalar::Call(function, args), sql_type })
        };
        match (name.as_str(), args.as_slice()) {
            ("now" | "current_timestamp" | "transaction_timestamp", []) => {
                call(Function::Now, Vec::new(), SqlType::TimestampTz)
            }
            ("clock_timestamp", []) => call(Function::ClockTimestamp, Vec::new(), SqlType::TimestampTz),
            ("current_date", []) => call(Function::CurrentDate, Vec::new(), SqlType::Date),
            ("localtimestamp", []) => call(Function::LocalTimestamp, Vec::new(), SqlType::Timestamp),
            ("gen_random_uuid", []) => call(Function::GenRandomUuid, Vec::new(), SqlType::Uuid),
            ("current_user" | "session_user" | "user", []) => {
                call(Function::CurrentUser, Vec::new(), SqlType::Name)
            }
            ("nextval", [sequence]) => {
                let Some(lookup) = self.scope.sequences else { return Err(Unbound::Unsupported) };
                let text = sequence_text(sequence).ok_or(Unbound::Unsupported)?;
                let oid = lookup(text).ok_or(Unbound::Unsupported)?;
                call(Function::NextVal, vec![Scalar::Literal(Value::Oid(oid))], SqlType::BigInt)
            }
            ("coalesce" | "greatest" | "least", [_, ..]) => {
                let function = match name.as_str() {
                    "coalesce" => Function::Coalesce,
                    "greatest" => Function::Greatest,
                    _ => Function::Least,
                };
                let mut bound = Vec::with_capacity(args.len());
                let first = args.iter().position(|arg| !is_open(arg));
                let known = match first {
                    Some(at) => Some(self.bind(args[at], expected)?.sql_type),
                    None => expected.cloned(),
                };
                for arg in &args {
                    bound.push(self.bind(arg, known.as_ref())?);
                }
                let (bound, sql_type) = same_type(bound)?;
                if function != Function::Coalesce && !is_ordered(&sql_type) {
                    return Err(Unbound::Unsupported);
                }
                call(function, bound, sql_type)
            }
            ("nullif", [left, right]) => {
                let (left, right) = self.bind_pair(left, right, expected)?;
                let sql_type = left.sql_type.clone();
                if sql_type.base() != right.sql_type.base()
                    || !is_ordered(&sql_type)
                    || matches!(sql_type, SqlType::Char(_))
                {
                    return Err(Unbound::Unsupported);
                }
                call(Function::NullIf, vec![left.scalar, right.scalar], sql_type)
            }
            ("abs", [arg]) => {
                let arg = self.bind(arg, expected)?;
                NumberKind::of(&arg.sql_type).ok_or(Unbound::Unsupported)?;
                let sql_type = arg.sql_type.base();
                call(Function::Abs, vec![arg.scalar], sql_type)
            }
            ("lower" | "upper" | "length" | "char_length" | "character_length" | "octet_length", [arg]) => {
                let arg = self.bind(arg, Some(&SqlType::Text))?;
                if !matches!(arg.sql_type, SqlType::Text | SqlType::Varchar(_)) {
                    return Err(Unbound::Unsupported);
                }
                let (function, sql_type) = match name.as_str() {
                    "lower" => (Function::Lower, SqlType::Text),
                    "upper" => (Function::Upper, SqlType::Text),
                    "octet_length" => (Function::OctetLength, SqlType::Integer),
                    _ => (Function::Length, SqlType::Integer),
                };
                call(function, vec![arg.scalar], sql_type)
            }
            _ => Err(Unbound::Unsupported),
        }
    }
}

/// Brings an expression to a column's type by the assignment rules; identity when it has it.
pub fn assignment_cast(typed: Typed, target: &SqlType) -> Bound<Scalar> {
    if typed.sql_type == *target && !has_modifier(target) {
        return Ok(typed.scalar);
    }
    if matches!(typed.scalar, Scalar::Literal(Value::Null)) {
        return Ok(typed.scalar);
    }
    if !assignable(&typed.sql_type, target) {
        return Err(Unbound::Unsupported);
    }
    Ok(Scalar::Cast(Box::new(Cast {
        input: typed.scalar,
        from: typed.sql_type,
        to: target.clone(),
        explicit: false,
    })))
}

/// True when two values of the type are compared as `Value::cmp_sql` does.
pub fn is_ordered(ty: &SqlType) -> bool {
    use SqlType::{
        BigInt, Boolean, Bytea, Char, Date, Double, Integer, Interval, Name, Numeric, Oid, Real,
        SmallInt, Text, Time, Timestamp, TimestampTz, Uuid, Varchar,
    };
    matches!(
        ty,
        Boolean | SmallInt | Integer | BigInt | Real | Double | Numeric(_) | Text | Varchar(_)
            | Char(_) | Bytea | Date | Time | Timestamp | TimestampTz | Interval | Uuid | Oid | Name
    )
}

fn has_modifier(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Varchar(Some(_)) | SqlType::Char(_) | SqlType::Numeric(Some(_)))
}

fn is_text(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Text | SqlType::Varchar(_) | SqlType::Name)
}

/// Explicit casts that the short path does itself: all that need no catalog.
fn castable(from: &SqlType, to: &SqlType) -> bool {
    let plain = |ty: &SqlType| is_ordered(ty) && !matches!(ty, SqlType::Oid | SqlType::Name);
    plain(from) && plain(to) && coerce::exists(from, to, CastKind::Explicit)
}

/// Assignment casts that the short path does itself.
fn assignable(from: &SqlType, to: &SqlType) -> bool {
    from.base() == to.base()
        || matches!(from, SqlType::Unknown)
        || coerce::exists(from, to, CastKind::Assignment)
}

fn implicit_cast(typed: Typed, to: &SqlType) -> Scalar {
    if typed.sql_type.base() == to.base() {
        return typed.scalar;
    }
    if let Scalar::Literal(value) = &typed.scalar {
        if let Some(value) = widened(value, to) {
            return Scalar::Literal(value);
        }
    }
    Scalar::Cast(Box::new(Cast {
        input: typed.scalar,
        from: typed.sql_type,
        to: to.clone(),
        explicit: true,
    }))
}

/// An integer constant in a wider integer type.
fn widened(value: &Value, to: &SqlType) -> Option<Value> {
    let number = match value {
        Value::Null => return Some(Value::Null),
        Value::SmallInt(n) => i64::from(*n),
        Value::Integer(n) => i64::from(*n),
        Value::BigInt(n) => *n,
        _ => return None,
    };
    match to {
        SqlType::SmallInt => i16::try_from(number).ok().map(Value::SmallInt),
        SqlType::Integer => i32::try_from(number).ok().map(Value::Integer),
        SqlType::BigInt => Some(Value::BigInt(number)),
        _ => None,
    }
}

/// Two operands in one type, and whether blanks at the end count.
fn comparable(left: Typed, right: Typed) -> Bound<(Scalar, Scalar, bool)> {
    if matches!(left.scalar, Scalar::Literal(Value::Null))
        || matches!(right.scalar, Scalar::Literal(Value::Null))
    {
        return Ok((left.scalar, right.scalar, false));
    }
    if let (Some(a), Some(b)) = (NumberKind::of(&left.sql_type), NumberKind::of(&right.sql_type)) {
        let both_integers = a <= NumberKind::BigInt && b <= NumberKind::BigInt;
        if a == b || both_integers {
            // Integers of any width compare as they are.
            return Ok((left.scalar, right.scalar, false));
        }
        let sql_type = a.common(b).sql_type();
        return Ok((implicit_cast(left, &sql_type), implicit_cast(right, &sql_type), false));
    }
    if is_text(&left.sql_type) && is_text(&right.sql_type) {
        return Ok((left.scalar, right.scalar, false));
    }
    if let (SqlType::Char(_), SqlType::Char(_)) = (&left.sql_type, &right.sql_type) {
        return Ok((left.scalar, right.scalar, true));
    }
    if left.sql_type == right.sql_type && is_ordered(&left.sql_type) {
        return Ok((left.scalar, right.scalar, false));
    }
    Err(Unbound::Unsupported)
}

/// Results of CASE, COALESCE: all of one type after promotion.
fn same_type(list: Vec<Typed>) -> Bound<(Vec<Scalar>, SqlType)> {
    let is_null = |typed: &Typed| matches!(typed.scalar, Scalar::Literal(Value::Null));
    let mut common: Option<SqlType> = None;
    for typed in list.iter().filter(|typed| !is_null(typed)) {
        common = Some(match common {
            None => typed.sql_type.clone(),
            Some(so_far) if so_far == typed.sql_type => so_far,
            Some(so_far) => match (NumberKind::of(&so_far), NumberKind::of(&typed.sql_type)) {
                (Some(a), Some(b)) => a.common(b).sql_type(),
                _ if is_text(&so_far) && is_text(&typed.sql_type) => SqlType::Text,
                _ => return Err(Unbound::Unsupported),
            },
        });
    }
    let Some(sql_type) = common else { return Err(Unbound::Unsupported) };
    let scalars = list
        .into_iter()
        .map(|typed| {
            if is_null(&typed) || (is_text(&typed.sql_type) && is_text(&sql_type)) {
                typed.scalar
            } else {
                implicit_cast(typed, &sql_type)
            }
        })
        .collect();
    Ok((scalars, sql_type))
}

fn boolean(scalar: Scalar) -> Typed {
    Typed { scalar, sql_type: SqlType::Boolean }
}

fn strip_nested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// A parameter, NULL or quoted literal: its type comes from its surroundings.
fn is_open(expr: &Expr) -> bool {
    match strip_nested(expr) {
        Expr::Value(value) => {
            matches!(value.value, AstValue::Placeholder(_) | AstValue::Null)
                || string_of(&value.value).is_some()
        }
        _ => false,
    }
}

/// The operands of a chain of one logical operator, left to right, without recursion.
fn chain<'e>(whole: &'e Expr, wanted: &BinaryOperator) -> Vec<&'e Expr> {
    let mut parts = Vec::new();
    let mut rest = whole;
    while let Expr::BinaryOp { left, op, right } = rest {
        if op != wanted {
            break;
        }
        parts.push(&**right);
        rest = left;
    }
    parts.push(rest);
    parts.reverse();
    parts
}

/// The conjuncts of a WHERE clause.
pub fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let mut out = Vec::new();
    let mut todo = vec![expr];
    while let Some(expr) = todo.pop() {
        match expr {
            Expr::Nested(inner) => todo.push(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                todo.push(right);
                todo.push(left);
            }
            other => out.push(other),
        }
    }
    out
}

/// Text of a character literal.
pub fn string_of(value: &AstValue) -> Option<&str> {
    match value {
        AstValue::SingleQuotedString(text)
        | AstValue::EscapedStringLiteral(text)
        | AstValue::UnicodeStringLiteral(text)
        | AstValue::NationalStringLiteral(text) => Some(text),
        AstValue::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn sequence_text(expr: &Expr) -> Option<&str> {
    match strip_nested(expr) {
        Expr::Value(value) => string_of(&value.value),
        Expr::Cast { expr, data_type, .. } => {
            let ty = data_type.to_string().to_lowercase();
            if ty == "regclass" || ty == "text" { sequence_text(expr) } else { None }
        }
        _ => None,
    }
}

fn bind_literal(literal: &AstValue, expected: Option<&SqlType>) -> Bound<Typed> {
    match literal {
        AstValue::Null => {
            let sql_type = expected.cloned().unwrap_or(SqlType::Text);
            Ok(Typed { scalar: Scalar::Literal(Value::Null), sql_type })
        }
        AstValue::Boolean(value) => Ok(boolean(Scalar::Literal(Value::Boolean(*value)))),
        AstValue::Number(text, false) => number_literal(text),
        other => match string_of(other) {
            Some(text) => literal_of_text(text, expected.unwrap_or(&SqlType::Text)),
            None => Err(Unbound::Unsupported),
        },
    }
}

fn number_literal(text: &str) -> Bound<Typed> {
    let (value, sql_type) = if let Ok(number) = text.parse::<i32>() {
        (Value::Integer(number), SqlType::Integer)
    } else if let Ok(number) = text.parse::<i64>() {
        (Value::BigInt(number), SqlType::BigInt)
    } else {
        let numeric = SqlType::Numeric(None);
        let value = text::parse(&numeric, text, &FormatContext::default())
            .map_err(|_| Unbound::Unsupported)?;
        (value, numeric)
    };
    Ok(Typed { scalar: Scalar::Literal(value), sql_type })
}

/// A quoted literal in the type it is wanted in. Types whose text depends on the session (dates,
/// times) are converted when the statement runs.
fn literal_of_text(text: &str, wanted: &SqlType) -> Bound<Typed> {
    use SqlType::{Date, Interval, Time, Timestamp, TimestampTz};
    let raw = || Scalar::Literal(Value::Text(text.into()));
    match wanted {
        SqlType::Unknown | SqlType::Text | SqlType::Varchar(_) | SqlType::Name => {
            // The length is the assignment's business: 'abc' compared with a varchar(2) stays 'abc'.
            let sql_type = if matches!(wanted, SqlType::Name) { SqlType::Name } else { SqlType::Text };
            Ok(Typed { scalar: raw(), sql_type })
        }
        SqlType::Char(_) => Ok(Typed { scalar: raw(), sql_type: wanted.clone() }),
        Date | Time | Timestamp | TimestampTz | Interval => {
            let cast = Cast {
                input: raw(),
                from: SqlType::Unknown,
                to: wanted.clone(),
                explicit: true,
            };
            Ok(Typed { scalar: Scalar::Cast(Box::new(cast)), sql_type: wanted.clone() })
        }
        SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace
        | SqlType::Regrole => Err(Unbound::Unsupported),
        other => {
            let base = other.base();
            // The general path reports bad text with its position.
            let value = text::parse(&base, text, &FormatContext::default())
                .map_err(|_| Unbound::Unsupported)?;
            Ok(Typed { scalar: Scalar::Literal(value), sql_type: base })
        }
    }
}

fn negated_literal(value: Value) -> Bound<Value> {
    Ok(match value {
        Value::Integer(n) => match n.checked_neg() {
            Some(n) => Value::Integer(n),
            None => return Err(Unbound::Unsupported),
        },
        Value::BigInt(n) => match n.checked_neg() {
            Some(n) => Value::BigInt(n),
            None => return Err(Unbound::Unsupported),
        },
        Value::Numeric(mut n) => {
            n.unscaled = -n.unscaled;
            Value::Numeric(n)
        }
        Value::Double(n) => Value::Double(-n),
        Value::Null => Value::Null,
        _ => return Err(Unbound::Unsupported),
    })
}

/// SQL functions written without parentheses that the parser leaves as identifiers.
fn bare_function(ident: &Ident) -> Bound<Typed> {
    if ident.quote_style.is_some() {
        return Err(Unbound::Unsupported);
    }
    let (function, sql_type) = match ident.value.to_lowercase().as_str() {
        "current_timestamp" => (Function::Now, SqlType::TimestampTz),
        "current_date" => (Function::CurrentDate, SqlType::Date),
        "localtimestamp" => (Function::LocalTimestamp, SqlType::Timestamp),
        "current_user" | "session_user" | "user" => (Function::CurrentUser, SqlType::Name),
        _ => return Err(Unbound::Unsupported),
    };
    Ok(Typed { scalar: Scalar::Call(function, Vec::new()), sql_type })
}

fn function_name(function: &AstFunction) -> Option<String> {
    let parts = &function.name.0;
    let last = parts.last()?.as_ident()?;
    match parts.len() {
        1 => Some(folded(last)),
        2 if folded(parts[0].as_ident()?) == "pg_catalog" => Some(folded(last)),
        _ => None,
    }
}

fn plain_arguments(function: &AstFunction) -> Option<Vec<&Expr>> {
    match &function.args {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return None;
            }
            list.args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect()
        }
    }
}
