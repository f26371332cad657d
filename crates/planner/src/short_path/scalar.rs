//! Scalar expressions of the short path: typed, bound to row positions, free of DataFusion.
//!
//! A [`Scalar`] is what the binder makes of an SQL expression that the executor can evaluate on one
//! row of `Value`s. What cannot be expressed here is planned by DataFusion instead, so this enum may
//! stay small; it must only never answer differently.
//!
//! # Not here
//! Binding (`bind`), evaluation (executor, `short_path::eval`).

use tessera_types::{SqlType, Value};

/// One expression over a row, the statement's parameters and its environment (clock, sequences).
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Value at this position of the input row.
    Column(usize),
    /// Zero-based parameter.
    Param(usize),
    /// Constant of the plan.
    Literal(Value),
    /// Type conversion by PostgreSQL's rules.
    Cast(Box<Cast>),
    /// `+ - * / %` on two operands of one numeric type.
    Arithmetic(Box<Arithmetic>),
    /// Unary minus.
    Negate(Box<Scalar>, NumberKind),
    /// Comparison of two operands of one type.
    Compare(Box<Compare>),
    /// Conjunction with three-valued logic.
    And(Vec<Scalar>),
    /// Disjunction with three-valued logic.
    Or(Vec<Scalar>),
    /// Negation with three-valued logic.
    Not(Box<Scalar>),
    /// `IS NULL`, or `IS NOT NULL` when `negated`.
    IsNull {
        /** Operand. */
        input: Box<Scalar>,
        /** `IS NOT NULL`. */
        negated: bool,
    },
    /// `IS [NOT] TRUE | FALSE | UNKNOWN`; `truth: None` is UNKNOWN.
    IsTruth {
        /** Operand. */
        input: Box<Scalar>,
        /** Expected truth. */
        truth: Option<bool>,
        /** `IS NOT`. */
        negated: bool,
    },
    /// `IS [NOT] DISTINCT FROM`; `negated` is the NOT form (null-safe equality).
    IsDistinct {
        /** Left operand. */
        left: Box<Scalar>,
        /** Right operand. */
        right: Box<Scalar>,
        /** Null-safe equality. */
        negated: bool,
    },
    /// `[NOT] IN (list)` over operands of one type.
    InList {
        /** Operand. */
        input: Box<Scalar>,
        /** Candidates. */
        list: Vec<Scalar>,
        /** `NOT IN`. */
        negated: bool,
    },
    /// `[NOT] LIKE` or `ILIKE`.
    Like(Box<Like>),
    /// Searched CASE (a simple CASE is bound to comparisons).
    Case {
        /** Conditions and results. */
        whens: Vec<(Scalar, Scalar)>,
        /** ELSE. */
        otherwise: Box<Scalar>,
    },
    /// Built-in function.
    Call(Function, Vec<Scalar>),
}

/// A type conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Cast {
    /// Operand.
    pub input: Scalar,
    /// Type of the operand.
    pub from: SqlType,
    /// Wanted type.
    pub to: SqlType,
    /// True for `CAST`/`::`, false for an assignment.
    pub explicit: bool,
}

/// An arithmetic operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Arithmetic {
    /// Operator.
    pub op: ArithmeticOp,
    /// Type of both operands and of the result.
    pub kind: NumberKind,
    /// Left operand.
    pub left: Scalar,
    /// Right operand.
    pub right: Scalar,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Compare {
    /// Operator.
    pub op: CompareOp,
    /// `char(n)` semantics: trailing blanks do not count.
    pub blank_padded: bool,
    /// Left operand.
    pub left: Scalar,
    /// Right operand.
    pub right: Scalar,
}

/// A pattern match.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    /// Text operand.
    pub input: Scalar,
    /// Pattern operand.
    pub pattern: Scalar,
    /// Escape character; `None` switches escaping off (`ESCAPE ''`).
    pub escape: Option<char>,
    /// ILIKE.
    pub case_insensitive: bool,
    /// NOT LIKE.
    pub negated: bool,
}

/// Operators of [`Scalar::Arithmetic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

/// Operators of [`Scalar::Compare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

impl CompareOp {
    /// The operator with its operands exchanged: `a < b` is `b > a`.
    pub fn flipped(self) -> CompareOp {
        match self {
            CompareOp::Eq | CompareOp::NotEq => self,
            CompareOp::Lt => CompareOp::Gt,
            CompareOp::LtEq => CompareOp::GtEq,
            CompareOp::Gt => CompareOp::Lt,
            CompareOp::GtEq => CompareOp::LtEq,
        }
    }
}

/// Number types that arithmetic works in; the order is PostgreSQL's promotion order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberKind {
    /// `smallint`
    SmallInt,
    /// `integer`
    Integer,
    /// `bigint`
    BigInt,
    /// `numeric`
    Numeric,
    /// `real`
    Real,
    /// `double precision`
    Double,
}

impl NumberKind {
    /// The kind of a numeric SQL type.
    pub fn of(ty: &SqlType) -> Option<NumberKind> {
        Some(match ty {
            SqlType::SmallInt => NumberKind::SmallInt,
            SqlType::Integer => NumberKind::Integer,
            SqlType::BigInt => NumberKind::BigInt,
            SqlType::Numeric(_) => NumberKind::Numeric,
            SqlType::Real => NumberKind::Real,
            SqlType::Double => NumberKind::Double,
            _ => return None,
        })
    }

    /// The SQL type of a result of this kind.
    pub fn sql_type(self) -> SqlType {
        match self {
            NumberKind::SmallInt => SqlType::SmallInt,
            NumberKind::Integer => SqlType::Integer,
            NumberKind::BigInt => SqlType::BigInt,
            NumberKind::Numeric => SqlType::Numeric(None),
            NumberKind::Real => SqlType::Real,
            NumberKind::Double => SqlType::Double,
        }
    }

    /// The kind both operands are brought to: only two `real`s compute in `real`.
    pub fn common(self, other: NumberKind) -> NumberKind {
        match self.max(other) {
            NumberKind::Real if self != other => NumberKind::Double,
            kind => kind,
        }
    }
}

/// Built-in functions of the short path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// First argument that is not null.
    Coalesce,
    /// Null when both arguments are equal, else the first.
    NullIf,
    /// Largest argument that is not null.
    Greatest,
    /// Smallest argument that is not null.
    Least,
    /// Absolute value of a number.
    Abs,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// Characters of a text.
    Length,
    /// Bytes of a text or bytea.
    OctetLength,
    /// `||` on texts.
    Concat,
    /// Start of the transaction.
    Now,
    /// The clock at this moment.
    ClockTimestamp,
    /// Date of `now()` in the session's time zone.
    CurrentDate,
    /// `now()` without time zone.
    LocalTimestamp,
    /// Random (version 4) uuid.
    GenRandomUuid,
    /// Name of the session's user.
    CurrentUser,
    /// Next value of a sequence; the argument is its oid.
    NextVal,
}

impl Scalar {
    /// Calls `visit` on this expression and everything below it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        visit(self);
        match self {
            Scalar::Column(_) | Scalar::Param(_) | Scalar::Literal(_) => {}
            Scalar::Cast(cast) => cast.input.walk(visit),
            Scalar::Arithmetic(node) => {
                node.left.walk(visit);
                node.right.walk(visit);
            }
            Scalar::Negate(input, _) | Scalar::Not(input) => input.walk(visit),
            Scalar::Compare(node) => {
                node.left.walk(visit);
                node.right.walk(visit);
            }
            Scalar::And(list) | Scalar::Or(list) | Scalar::Call(_, list) => {
                list.iter().for_each(|item| item.walk(visit));
            }
            Scalar::IsNull { input, .. } | Scalar::IsTruth { input, .. } => input.walk(visit),
            Scalar::IsDistinct { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            Scalar::InList { input, list, .. } => {
                input.walk(visit);
                list.iter().for_each(|item| item.walk(visit));
            }
            Scalar::Like(like) => {
                like.input.walk(visit);
                like.pattern.walk(visit);
            }
            Scalar::Case { whens, otherwise } => {
                for (condition, result) in whens {
                    condition.walk(visit);
                    result.walk(visit);
                }
                otherwise.walk(visit);
            }
        }
    }

    /// True when no row is needed: the value can be computed once per statement (or per row, for
    /// functions with an effect such as `nextval`).
    pub fn is_row_free(&self) -> bool {
        let mut free = true;
        self.walk(&mut |node| free &= !matches!(node, Scalar::Column(_)));
        free
    }

    /// True when evaluating twice may give two answers (sequences, random, the clock).
    pub fn is_volatile(&self) -> bool {
        let mut volatile = false;
        self.walk(&mut |node| {
            volatile |= matches!(
                node,
                Scalar::Call(
                    Function::NextVal | Function::GenRandomUuid | Function::ClockTimestamp,
                    _
                )
            );
        });
        volatile
    }
}
