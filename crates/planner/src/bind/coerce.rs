//! Literals and casts: an expression in the type that its place wants.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use tessera_types::{CastKind, Report, SqlType, Value, codes, coerce, text};

use super::{Binder, Typed};
use crate::arrow_types::{NUMERIC_ANY, data_type_of, metadata_of, sql_type_of_data_type};
use crate::by_value;
use crate::decimals;
use crate::errors::report_of;
use crate::functions::coercion::{casts_implicitly, common_type, same_base, without_modifier};
use crate::scalar;

impl Binder<'_> {
    /// Whether there is such a cast.
    pub(super) fn can_cast(&self, from: &SqlType, to: &SqlType, kind: CastKind) -> bool {
        casts_implicitly(from, to)
            || (kind != CastKind::Implicit && coerce::exists(from, to, kind))
            || (kind == CastKind::Explicit
                && self.environment.registry().has_special_cast(from, to))
    }

    /// The expression as a value of type `to`.
    pub(super) fn coerce(
        &mut self,
        typed: Typed,
        to: &SqlType,
        kind: CastKind,
    ) -> Result<Typed, Report> {
        if typed.sql_type == *to {
            return Ok(typed);
        }
        if typed.sql_type == SqlType::Unknown {
            return self.coerce_unknown(typed, to, kind);
        }
        let from = typed.sql_type.clone();
        if !self.can_cast(&from, to, kind) {
            return Err(Report::error(
                codes::CANNOT_COERCE,
                format!(
                    "cannot cast type {} to {}",
                    from.base_name(),
                    to.base_name()
                ),
            ));
        }
        if same_base(&from, to) && *to == without_modifier(to) && !matches!(to, SqlType::Char(_)) {
            return Ok(Typed {
                sql_type: to.clone(),
                ..typed
            });
        }
        if is_relabel(&from, to) && !self.environment.registry().has_special_cast(&from, to) {
            return Ok(Typed {
                sql_type: to.clone(),
                ..typed.detached()
            });
        }
        if let Expr::Literal(value, _) = &typed.expr
            && let Some(folded) = self.fold_literal(value, &from, to, kind)?
        {
            return Ok(folded);
        }
        if let Some(data_type) = native_cast(&from, to) {
            return Ok(cast_to(typed, to.clone(), data_type));
        }
        self.call_cast(typed, to, kind)
    }

    /// A cast that PostgreSQL does in its own way.
    fn call_cast(&mut self, typed: Typed, to: &SqlType, kind: CastKind) -> Result<Typed, Report> {
        let Some(udf) = self.environment.registry().cast(&typed.sql_type, to, kind) else {
            return Err(Report::internal("no cast functions are registered"));
        };
        Ok(Typed::new(
            Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![typed.expr])),
            to.clone(),
        ))
    }

    /// A literal cast at once. `None`: only when it runs, because the session decides.
    fn fold_literal(
        &self,
        value: &ScalarValue,
        from: &SqlType,
        to: &SqlType,
        kind: CastKind,
    ) -> Result<Option<Typed>, Report> {
        if to.is_oid_like() || from.is_oid_like() || matches!(to, SqlType::Array(_)) {
            return Ok(None);
        }
        let value = scalar::from_scalar(value, from)?;
        let value = coerce::to_column(value, from, to, kind, self.environment.format())
            .map_err(|error| error.report())?;
        literal(&value, to).map(Some)
    }

    /// A literal without type, a parameter without type, or a column of such literals.
    fn coerce_unknown(
        &mut self,
        typed: Typed,
        to: &SqlType,
        kind: CastKind,
    ) -> Result<Typed, Report> {
        if *to == SqlType::Unknown {
            return Ok(typed);
        }
        match &typed.expr {
            Expr::Placeholder(placeholder) => {
                let base = match to {
                    SqlType::Char(_) => SqlType::Char(u32::MAX),
                    other => without_modifier(other),
                };
                let base = if matches!(base, SqlType::Char(_)) {
                    SqlType::Text
                } else {
                    base
                };
                let typed = self.typed_placeholder(&placeholder.id.clone(), &base)?;
                self.coerce(typed, to, kind)
            }
            Expr::Literal(value, _) if value.is_null() => literal(&Value::Null, to),
            Expr::Literal(ScalarValue::Utf8(Some(content)), _) => {
                let content = content.clone();
                if reads_session(to, &content) {
                    let typed = Typed {
                        expr: Expr::Literal(ScalarValue::Utf8View(Some(content)), None),
                        sql_type: SqlType::Text,
                        data_type: DataType::Utf8View,
                        origin: None,
                    };
                    return self.call_cast(typed, to, CastKind::Explicit);
                }
                self.parse_literal(&content, to, kind)
            }
            _ => {
                let typed = cast_to(typed, SqlType::Text, DataType::Utf8View);
                if *to == SqlType::Text {
                    Ok(typed)
                } else {
                    self.call_cast(typed, to, kind)
                }
            }
        }
    }

    fn parse_literal(&self, content: &str, to: &SqlType, kind: CastKind) -> Result<Typed, Report> {
        let format = self.environment.format();
        let base = match to {
            // Read without the length, then cast: an explicit cast cuts, a stored value fails.
            SqlType::Varchar(Some(_)) | SqlType::Char(_) => SqlType::Text,
            SqlType::Numeric(Some(_)) => SqlType::Numeric(None),
            other => other.clone(),
        };
        let mut value = text::parse(&base, content, format).map_err(|error| error.report())?;
        if base != *to {
            value = coerce::to_column(value, &base, to, kind, format)
                .map_err(|error| error.report())?;
        }
        literal(&value, to)
    }

    /// `$n` with its type set.
    fn typed_placeholder(&mut self, id: &str, sql_type: &SqlType) -> Result<Typed, Report> {
        let index: usize = id.trim_start_matches('$').parse().unwrap_or(0);
        let slot = self
            .params
            .get_mut(index.wrapping_sub(1))
            .ok_or_else(|| Report::internal("a parameter without a place"))?;
        *slot = Some(sql_type.clone());
        Ok(placeholder(id, sql_type))
    }

    /// All expressions in their common type; `what` begins the error, such as `CASE`.
    pub(super) fn unify(
        &mut self,
        all: Vec<Typed>,
        what: &str,
    ) -> Result<(Vec<Typed>, SqlType, DataType), Report> {
        let common = common_type(all.iter().map(|typed| &typed.sql_type)).map_err(|(a, b)| {
            Report::error(
                codes::DATATYPE_MISMATCH,
                format!(
                    "{what} types {} and {} cannot be matched",
                    a.base_name(),
                    b.base_name()
                ),
            )
        })?;
        let all = all
            .into_iter()
            .map(|typed| {
                self.coerce(typed, &common, CastKind::Implicit)
                    .map(Typed::detached)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let all = unify_shown(all)?;
        let data_type = all
            .first()
            .map_or_else(|| data_type_of(&common), |t| t.data_type.clone());
        Ok((all, common, data_type))
    }
}

/// Gives all decimals one Arrow type, in which each shows the digits that it has; others stay.
pub(super) fn unify_shown(all: Vec<Typed>) -> Result<Vec<Typed>, Report> {
    let is_decimal = |typed: &Typed| matches!(typed.sql_type, SqlType::Numeric(_));
    let null_literal = |typed: &Typed| matches!(&typed.expr, Expr::Literal(v, _) if v.is_null());
    let mut scales = all
        .iter()
        .filter(|typed| is_decimal(typed) && !null_literal(typed))
        .map(|typed| scalar_scale(&typed.data_type));
    let Some(first) = scales.next() else {
        return Ok(all);
    };
    if first.is_some() && scales.all(|scale| scale == first) {
        return Ok(unify_decimals(all));
    }
    all.into_iter()
        .map(|typed| {
            if !is_decimal(&typed) || typed.data_type == NUMERIC_ANY {
                return Ok(typed);
            }
            if null_literal(&typed) {
                let sql_type = typed.sql_type.clone();
                return Ok(cast_to(typed, sql_type, NUMERIC_ANY));
            }
            Ok(Typed {
                expr: by_value::shown(typed.expr).map_err(report_of)?,
                data_type: NUMERIC_ANY,
                sql_type: typed.sql_type,
                origin: None,
            })
        })
        .collect()
}

/// The scale that all values of a decimal type show; `None` where each shows its own.
fn scalar_scale(data_type: &DataType) -> Option<i8> {
    (*data_type != NUMERIC_ANY).then(|| decimals::scale_of(data_type))
}

/// Gives all decimals the Arrow type in which each of them fits, to compare them; others stay.
pub(super) fn unify_decimals(all: Vec<Typed>) -> Vec<Typed> {
    let is_decimal = |typed: &Typed| matches!(typed.sql_type, SqlType::Numeric(_));
    let null_literal = |typed: &Typed| matches!(&typed.expr, Expr::Literal(v, _) if v.is_null());
    let common = all
        .iter()
        .filter(|typed| is_decimal(typed) && !null_literal(typed))
        .map(|typed| typed.data_type.clone())
        .reduce(|a, b| decimals::common_decimal(&a, &b));
    let Some(common) = common else { return all };
    all.into_iter()
        .map(|typed| {
            if is_decimal(&typed) && typed.data_type != common {
                let sql_type = typed.sql_type.clone();
                cast_to(typed, sql_type, common.clone())
            } else {
                typed
            }
        })
        .collect()
}

/// The expression in another Arrow type, by DataFusion's cast.
pub(super) fn cast_to(typed: Typed, sql_type: SqlType, data_type: DataType) -> Typed {
    if typed.data_type == data_type {
        return Typed { sql_type, ..typed };
    }
    if let Expr::Literal(value, _) = &typed.expr
        && let Ok(value) = value.cast_to(&data_type)
    {
        return literal_of(value, sql_type);
    }
    let field = Field::new("cast", data_type.clone(), true).with_metadata(metadata_of(&sql_type));
    Typed {
        expr: Expr::Cast(Cast::new_from_field(Box::new(typed.expr), Arc::new(field))),
        sql_type,
        data_type,
        origin: None,
    }
}

/// A constant of a type.
pub(super) fn literal(value: &Value, sql_type: &SqlType) -> Result<Typed, Report> {
    if let (Value::Numeric(decimal), SqlType::Numeric(None)) = (value, sql_type) {
        return Ok(literal_of(
            decimals::decimal_literal(*decimal),
            sql_type.clone(),
        ));
    }
    Ok(literal_of(
        scalar::to_scalar(value, sql_type)?,
        sql_type.clone(),
    ))
}

/// A scalar as a typed literal; its metadata says the SQL type where the Arrow type does not.
pub(super) fn literal_of(value: ScalarValue, sql_type: SqlType) -> Typed {
    let data_type = value.data_type();
    let metadata = (sql_type_of_data_type(&data_type) != sql_type
        && !matches!(sql_type, SqlType::Numeric(_)))
    .then(|| {
        FieldMetadata::new_from_field(
            &Field::new("", data_type.clone(), true).with_metadata(metadata_of(&sql_type)),
        )
    });
    Typed {
        expr: Expr::Literal(value, metadata),
        sql_type,
        data_type,
        origin: None,
    }
}

/// A parameter of a known type.
pub(super) fn placeholder(id: &str, sql_type: &SqlType) -> Typed {
    let typed = Typed::new(Expr::Literal(ScalarValue::Null, None), sql_type.clone());
    let field = typed.field(id);
    Typed {
        expr: Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(field))),
        ..typed
    }
}

/// Whether a literal's value is not known before it runs: names of objects, `now`, `today`.
fn reads_session(to: &SqlType, content: &str) -> bool {
    match to {
        SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => !content.trim().bytes().all(|b| b.is_ascii_digit()),
        SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Time => {
            let lower = content.to_ascii_lowercase();
            ["now", "today", "tomorrow", "yesterday"]
                .iter()
                .any(|word| lower.contains(word))
        }
        SqlType::Array(element) if element.is_oid_like() => reads_session(element, "x"),
        SqlType::Array(element) => reads_session(element, content),
        _ => false,
    }
}

/// Whether a cast changes only the name of the type.
fn is_relabel(from: &SqlType, to: &SqlType) -> bool {
    use SqlType as T;
    match (from, to) {
        (T::Varchar(_) | T::Name | T::InternalChar, T::Text | T::Varchar(None)) => true,
        (T::Text, T::Varchar(None)) => true,
        (T::Json | T::Jsonb, T::Text | T::Varchar(None)) => true,
        (from, to) if from.is_oid_like() && to.is_oid_like() => true,
        _ => false,
    }
}

/// The Arrow type of a cast that DataFusion does as PostgreSQL does.
fn native_cast(from: &SqlType, to: &SqlType) -> Option<DataType> {
    use SqlType as T;
    match (from, to) {
        (T::SmallInt, T::Integer | T::BigInt)
        | (T::Integer, T::BigInt)
        | (T::SmallInt | T::Integer | T::BigInt, T::Real | T::Double)
        | (T::Real, T::Double) => Some(data_type_of(to)),
        (from, T::Numeric(None)) => decimals::decimal_of_integer(from),
        _ => None,
    }
}
