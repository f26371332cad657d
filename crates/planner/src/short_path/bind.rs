//! Binds SQL expressions to [`Scalar`]s: names, types of parameters and literals, implicit casts.
//!
//! # Invariants
//! 1. What is bound means exactly what PostgreSQL means; whatever is not certain is
//!    [`Unbound::Unsupported`] and goes to DataFusion.
//! 2. Depth is bounded (`DEPTH_MAX`); chains of AND and OR are walked without recursion.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, Ident, UnaryOperator, Value as AstValue};
use tessera_catalog::{ColumnDef, TableDef};
use tessera_types::{Report, SqlType, Value};

use crate::ddl::data_type::sql_type_of;

use super::call::bare_function;
use super::coercion::{
    assignment_cast, castable, comparable, implicit_cast, is_ordered, same_type,
};
use super::literal::{bind_literal, cast_literal, negated_literal, number_literal, string_of};
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
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
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
        Scope {
            relations: Vec::new(),
            sequences: None,
        }
    }

    /// The columns of one table under its alias.
    pub fn table(table: &'a TableDef, alias: Option<String>) -> Scope<'a> {
        let schema = if alias.is_none() {
            Some(table.schema.to_string())
        } else {
            None
        };
        let name = alias.unwrap_or_else(|| table.name.to_string());
        let columns = &table.columns;
        Scope {
            relations: vec![ScopeRelation {
                name,
                schema,
                columns,
                offset: 0,
                qualified_only: false,
            }],
            sequences: None,
        }
    }

    /// Adds a relation behind the others.
    #[must_use]
    pub fn with(mut self, name: &str, columns: &'a [ColumnDef]) -> Scope<'a> {
        let offset = self
            .relations
            .iter()
            .map(|relation| relation.columns.len())
            .sum();
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
        ParamTypes {
            types: declared.to_vec(),
        }
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
        let number = placeholder
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok());
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
        Ok(Typed {
            scalar: Scalar::Param(index),
            sql_type,
        })
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
        Binder {
            scope,
            params,
            depth: 0,
        }
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
                cast_literal(text, &to)
            }
            Expr::Cast {
                kind,
                expr,
                data_type,
                array,
                format,
            } => {
                use sqlparser::ast::CastKind;
                if *array
                    || format.is_some()
                    || !matches!(kind, CastKind::Cast | CastKind::DoubleColon)
                {
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
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let lower = self.bind_compare(expr, CompareOp::GtEq, low)?;
                let upper = self.bind_compare(expr, CompareOp::LtEq, high)?;
                let both = Scalar::And(vec![lower.scalar, upper.scalar]);
                Ok(boolean(if *negated {
                    Scalar::Not(Box::new(both))
                } else {
                    both
                }))
            }
            Expr::InList {
                expr,
                list,
                negated,
            } => self.bind_in_list(expr, list, *negated),
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.bind_like(
                expr,
                pattern,
                escape_char.as_ref().map(|e| &e.value),
                false,
                *negated,
            ),
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.bind_like(
                expr,
                pattern,
                escape_char.as_ref().map(|e| &e.value),
                true,
                *negated,
            ),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.bind_case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                expected,
            ),
            Expr::Function(function) => self.bind_function(function, expected),
            _ => Err(Unbound::Unsupported),
        }
    }

    fn bind_cast(&mut self, expr: &Expr, to: SqlType) -> Bound<Typed> {
        // `'…'::type` and `$1::type` are constants and parameters of that type.
        let inner = strip_nested(expr);
        if let Expr::Value(value) = inner {
            if let Some(text) = string_of(&value.value) {
                return cast_literal(text, &to);
            }
            if matches!(value.value, AstValue::Null) {
                return Ok(Typed {
                    scalar: Scalar::Literal(Value::Null),
                    sql_type: to,
                });
            }
        }
        let typed = self.bind(expr, Some(&to))?;
        if typed.sql_type == to {
            return Ok(typed);
        }
        if !castable(&typed.sql_type, &to) {
            return Err(Unbound::Unsupported);
        }
        let cast = Cast {
            input: typed.scalar,
            from: typed.sql_type,
            to: to.clone(),
            explicit: true,
        };
        Ok(Typed {
            scalar: Scalar::Cast(Box::new(cast)),
            sql_type: to,
        })
    }

    fn bind_unary(
        &mut self,
        op: UnaryOperator,
        expr: &Expr,
        expected: Option<&SqlType>,
    ) -> Bound<Typed> {
        match op {
            UnaryOperator::Not => Ok(boolean(Scalar::Not(Box::new(self.bind_boolean(expr)?)))),
            UnaryOperator::Plus | UnaryOperator::Minus => {
                let expected = expected.filter(|ty| NumberKind::of(ty).is_some());
                // The sign decides the type: 2147483648 is no integer, -2147483648 is one.
                if let (UnaryOperator::Minus, Expr::Value(value)) = (op, expr)
                    && let AstValue::Number(digits, false) = &value.value
                {
                    return number_literal(&format!("-{digits}"));
                }
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
                Ok(Typed {
                    scalar,
                    sql_type: typed.sql_type,
                })
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
                return Ok(boolean(if is_and {
                    Scalar::And(parts)
                } else {
                    Scalar::Or(parts)
                }));
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
        let (Some(a), Some(b)) = (
            NumberKind::of(&left.sql_type),
            NumberKind::of(&right.sql_type),
        ) else {
            return Err(Unbound::Unsupported);
        };
        let kind = a.common(b);
        // Scale rules of numeric quotients and products are DataFusion's side of the house.
        let exact = matches!(arithmetic, ArithmeticOp::Add | ArithmeticOp::Subtract);
        if kind == NumberKind::Numeric && !exact {
            return Err(Unbound::Unsupported);
        }
        if matches!(kind, NumberKind::Real | NumberKind::Double)
            && arithmetic == ArithmeticOp::Modulo
        {
            return Err(Unbound::Unsupported);
        }
        let sql_type = kind.sql_type();
        let node = Arithmetic {
            op: arithmetic,
            kind,
            left: implicit_cast(left, &sql_type),
            right: implicit_cast(right, &sql_type),
        };
        Ok(Typed {
            scalar: Scalar::Arithmetic(Box::new(node)),
            sql_type,
        })
    }

    /// Binds two operands so that a parameter or quoted literal takes the other one's type.
    pub(super) fn bind_pair(
        &mut self,
        left: &Expr,
        right: &Expr,
        expected: Option<&SqlType>,
    ) -> Bound<(Typed, Typed)> {
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
        Ok(boolean(Scalar::Compare(Box::new(Compare {
            op,
            blank_padded,
            left,
            right,
        }))))
    }

    fn bind_is_null(&mut self, input: &Expr, negated: bool) -> Bound<Typed> {
        let input = Box::new(self.bind(input, None)?.scalar);
        Ok(boolean(Scalar::IsNull { input, negated }))
    }

    fn bind_truth(&mut self, input: &Expr, truth: Option<bool>, negated: bool) -> Bound<Typed> {
        let input = Box::new(self.bind_boolean(input)?);
        Ok(boolean(Scalar::IsTruth {
            input,
            truth,
            negated,
        }))
    }

    fn bind_distinct(&mut self, left: &Expr, right: &Expr, negated: bool) -> Bound<Typed> {
        let (left, right) = self.bind_pair(left, right, None)?;
        let (left, right, blank_padded) = comparable(left, right)?;
        if blank_padded {
            return Err(Unbound::Unsupported);
        }
        Ok(boolean(Scalar::IsDistinct {
            left: Box::new(left),
            right: Box::new(right),
            negated,
        }))
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
                let (a, b) = (
                    NumberKind::of(&item.sql_type),
                    NumberKind::of(&input.sql_type),
                );
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
        Ok(boolean(Scalar::InList {
            input: Box::new(input.scalar),
            list: items,
            negated,
        }))
    }

    fn bind_concat(&mut self, left: &Expr, right: &Expr) -> Bound<Typed> {
        let left = self.bind(left, Some(&SqlType::Text))?;
        let right = self.bind(right, Some(&SqlType::Text))?;
        let text = |ty: &SqlType| matches!(ty, SqlType::Text | SqlType::Varchar(_));
        if !text(&left.sql_type) || !text(&right.sql_type) {
            return Err(Unbound::Unsupported);
        }
        let scalar = Scalar::Call(Function::Concat, vec![left.scalar, right.scalar]);
        Ok(Typed {
            scalar,
            sql_type: SqlType::Text,
        })
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
                let Some(text) = string_of(value) else {
                    return Err(Unbound::Unsupported);
                };
                let mut chars = text.chars();
                let first = chars.next();
                if chars.next().is_some() {
                    return Err(Unbound::Unsupported);
                }
                first
            }
        };
        let (input, pattern) = (input.scalar, pattern.scalar);
        Ok(boolean(Scalar::Like(Box::new(Like {
            input,
            pattern,
            escape,
            case_insensitive,
            negated,
        }))))
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
                Some(operand) => {
                    self.bind_compare(operand, CompareOp::Eq, &when.condition)?
                        .scalar
                }
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
        Ok(Typed {
            scalar: Scalar::Case {
                whens,
                otherwise: Box::new(otherwise),
            },
            sql_type,
        })
    }
}

pub(super) fn boolean(scalar: Scalar) -> Typed {
    Typed {
        scalar,
        sql_type: SqlType::Boolean,
    }
}

pub(super) fn strip_nested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// A parameter, NULL or quoted literal: its type comes from its surroundings.
pub(super) fn is_open(expr: &Expr) -> bool {
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
