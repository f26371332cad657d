//! `sum` and `avg` of integers and decimals.
//!
//! | argument | sum | avg |
//! |---|---|---|
//! | smallint, integer | bigint | numeric |
//! | bigint | numeric | numeric |
//! | numeric | numeric, same scale | numeric |
//!
//! Sums are kept in 128 bits, those of wide decimals in 256; an overflow is an error, never a wrap.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Decimal256Array,
    Int64Array,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int16Type, Int32Type, Int64Type,
    i256,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use tessera_planner::arrow_types::{NUMERIC_QUOTIENT, NUMERIC_QUOTIENT_SCALE, metadata_of};
use tessera_planner::errors::external;
use tessera_planner::scalar::{numeric_overflow, power_of_ten, round_i256};
use tessera_types::SqlType;

use super::super::kernel::out_of_range;
use super::collect;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Avg,
}

pub(super) fn sum_udaf() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Exact::new(Kind::Sum)))
}

pub(super) fn avg_udaf() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Exact::new(Kind::Avg)))
}

/// The Arrow field of a sum.
pub(super) fn sum_field(fields: &[FieldRef]) -> Result<FieldRef> {
    field_of(Kind::Sum, fields)
}

/// The Arrow field of an average.
pub(super) fn avg_field(fields: &[FieldRef]) -> Result<FieldRef> {
    field_of(Kind::Avg, fields)
}

fn field_of(kind: Kind, fields: &[FieldRef]) -> Result<FieldRef> {
    let Some(field) = fields.first() else {
        return internal_err!("sum and avg have an argument");
    };
    let data_type = result_type(kind, field.data_type())?;
    let sql_type = if data_type == DataType::Int64 {
        SqlType::BigInt
    } else {
        SqlType::Numeric(None)
    };
    Ok(Arc::new(
        Field::new("", data_type, true).with_metadata(metadata_of(&sql_type)),
    ))
}

fn result_type(kind: Kind, argument: &DataType) -> Result<DataType> {
    Ok(match (kind, argument) {
        (Kind::Sum, DataType::Int16 | DataType::Int32) => DataType::Int64,
        (Kind::Sum, other) => sum_type(other)?,
        (Kind::Avg, _) => NUMERIC_QUOTIENT,
    })
}

/// The type in which sums are kept.
fn sum_type(argument: &DataType) -> Result<DataType> {
    Ok(match argument {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Decimal128(38, 0),
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        DataType::Decimal256(_, scale) => DataType::Decimal256(76, *scale),
        other => return internal_err!("sum of {other}"),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    kind: Kind,
    signature: Signature,
}

impl Exact {
    fn new(kind: Kind) -> Exact {
        Exact {
            kind,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => result_type(self.kind, argument),
            _ => internal_err!("{} has one argument", self.name()),
        }
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let field = field_of(self.kind, fields)?;
        Ok(Arc::new(field.as_ref().clone().with_name(self.name())))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let totals = Totals::new(self.kind, args.expr_fields[0].data_type())?;
        let plain = Box::new(One { totals });
        if args.is_distinct {
            return Ok(Box::new(collect::Distinct::new(
                plain,
                args.expr_fields[0].clone(),
            )));
        }
        Ok(plain)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(vec![collect::list_state(
                args.name,
                args.input_fields[0].data_type(),
            )]);
        }
        Ok(vec![
            Arc::new(Field::new(
                format!("{}[sum]", args.name),
                sum_type(args.input_fields[0].data_type())?,
                true,
            )),
            Arc::new(Field::new(
                format!("{}[count]", args.name),
                DataType::Int64,
                true,
            )),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups {
            totals: Totals::new(self.kind, args.expr_fields[0].data_type())?,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Sums and counts of all groups.
#[derive(Debug)]
struct Totals {
    kind: Kind,
    argument: DataType,
    sums: Sums,
    counts: Vec<i64>,
}

#[derive(Debug)]
enum Sums {
    Narrow(Vec<i128>),
    Wide(Vec<i256>),
}

impl Totals {
    fn new(kind: Kind, argument: &DataType) -> Result<Totals> {
        let sums = match sum_type(argument)? {
            DataType::Decimal256(..) => Sums::Wide(Vec::new()),
            _ => Sums::Narrow(Vec::new()),
        };
        Ok(Totals {
            kind,
            argument: argument.clone(),
            sums,
            counts: Vec::new(),
        })
    }

    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match &mut self.sums {
            Sums::Narrow(sums) => sums.resize(groups, 0),
            Sums::Wide(sums) => sums.resize(groups, i256::ZERO),
        }
    }

    /// Adds (or, for `sign` -1, takes away) rows; `group` says of which group each is.
    fn add(
        &mut self,
        array: &ArrayRef,
        group: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: i64,
    ) -> Result<()> {
        match array.data_type() {
            DataType::Int16 => self.add_narrow::<Int16Type>(array, group, filter, sign),
            DataType::Int32 => self.add_narrow::<Int32Type>(array, group, filter, sign),
            DataType::Int64 => self.add_narrow::<Int64Type>(array, group, filter, sign),
            DataType::Decimal128(..) => {
                self.add_narrow::<Decimal128Type>(array, group, filter, sign)
            }
            DataType::Decimal256(..) => {
                let values = array.as_primitive::<Decimal256Type>();
                let Sums::Wide(sums) = &mut self.sums else {
                    return internal_err!("sum of another width");
                };
                for row in selected(values, filter) {
                    let index = group(row);
                    let value = if sign < 0 {
                        values.value(row).wrapping_neg()
                    } else {
                        values.value(row)
                    };
                    sums[index] = sums[index]
                        .checked_add(value)
                        .ok_or_else(|| external(numeric_overflow()))?;
                    self.counts[index] += sign;
                }
                Ok(())
            }
            other => internal_err!("sum of {other}"),
        }
    }

    fn add_narrow<T>(
        &mut self,
        array: &ArrayRef,
        group: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: i64,
    ) -> Result<()>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i128>,
    {
        let values = array.as_primitive::<T>();
        let Sums::Narrow(sums) = &mut self.sums else {
            return internal_err!("sum of another width");
        };
        if values.null_count() == 0 && filter.is_none() {
            for (row, value) in values.values().iter().enumerate() {
                let index = group(row);
                let value: i128 = (*value).into();
                sums[index] = sums[index]
                    .checked_add(value * i128::from(sign))
                    .ok_or_else(|| external(numeric_overflow()))?;
                self.counts[index] += sign;
            }
            return Ok(());
        }
        for row in selected(values, filter) {
            let index = group(row);
            let value: i128 = values.value(row).into();
            sums[index] = sums[index]
                .checked_add(value * i128::from(sign))
                .ok_or_else(|| external(numeric_overflow()))?;
            self.counts[index] += sign;
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let [partial, counts] = states else {
            return internal_err!("state of sum");
        };
        let counts = counts.as_primitive::<Int64Type>();
        for row in 0..counts.len() {
            if partial.is_null(row) {
                continue;
            }
            let index = group(row);
            self.counts[index] += counts.value(row);
            let fits = match &mut self.sums {
                Sums::Narrow(sums) => {
                    let sum = sums[index]
                        .checked_add(partial.as_primitive::<Decimal128Type>().value(row));
                    sum.map(|sum| sums[index] = sum)
                }
                Sums::Wide(sums) => {
                    let sum = sums[index]
                        .checked_add(partial.as_primitive::<Decimal256Type>().value(row));
                    sum.map(|sum| sums[index] = sum)
                }
            };
            fits.ok_or_else(|| external(numeric_overflow()))?;
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> (Sums, Vec<i64>) {
        let sums = match &mut self.sums {
            Sums::Narrow(sums) => Sums::Narrow(emit_to.take_needed(sums)),
            Sums::Wide(sums) => Sums::Wide(emit_to.take_needed(sums)),
        };
        (sums, emit_to.take_needed(&mut self.counts))
    }

    fn copy(&self) -> (Sums, Vec<i64>) {
        let sums = match &self.sums {
            Sums::Narrow(sums) => Sums::Narrow(sums.clone()),
            Sums::Wide(sums) => Sums::Wide(sums.clone()),
        };
        (sums, self.counts.clone())
    }

    /// The results; NULL for groups without rows.
    fn results(&self, sums: &Sums, counts: &[i64]) -> Result<ArrayRef> {
        let result = result_type(self.kind, &self.argument)?;
        match (self.kind, sums) {
            (Kind::Sum, Sums::Narrow(sums)) if result == DataType::Int64 => {
                let values = sums.iter().zip(counts).map(|(sum, count)| match count {
                    0 => Ok(None),
                    _ => i64::try_from(*sum)
                        .map(Some)
                        .map_err(|_| external(out_of_range("bigint"))),
                });
                Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
            }
            (Kind::Sum, _) => states_of(sums, counts, &result),
            (Kind::Avg, sums) => {
                let scale = scale_of(&self.argument);
                let values = (0..counts.len()).map(|index| {
                    let sum = match sums {
                        Sums::Narrow(sums) => i256::from_i128(sums[index]),
                        Sums::Wide(sums) => sums[index],
                    };
                    match counts[index] {
                        0 => Ok(None),
                        count => quotient(sum, scale, count).map(Some),
                    }
                });
                let array: Decimal256Array = values.collect::<Result<_>>()?;
                Ok(Arc::new(array.with_data_type(result)))
            }
        }
    }

    fn size(&self) -> usize {
        let sums = match &self.sums {
            Sums::Narrow(sums) => sums.capacity() * size_of::<i128>(),
            Sums::Wide(sums) => sums.capacity() * size_of::<i256>(),
        };
        size_of::<Totals>() + sums + self.counts.capacity() * size_of::<i64>()
    }
}

fn scale_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            u8::try_from(*scale).unwrap_or(0)
        }
        _ => 0,
    }
}

/// `sum / count` with the scale of quotients, rounded half away from zero.
fn quotient(sum: i256, scale: u8, count: i64) -> Result<i256> {
    // One digit more than is kept, so that the rounding is decided by the true next digit.
    let target = u8::try_from(NUMERIC_QUOTIENT_SCALE).unwrap_or(20);
    let overflow = || external(numeric_overflow());
    let divisor = i256::from_i128(i128::from(count));
    let working = scale.max(target + 2);
    let factor = power_of_ten(working - scale).ok_or_else(overflow)?;
    let numerator = match sum.checked_mul(factor) {
        Some(numerator) => numerator,
        // A sum near the limit: whole digits matter more than the last ones.
        None => {
            let whole = sum.checked_div(divisor).ok_or_else(overflow)?;
            let shown = power_of_ten(target.saturating_sub(scale)).ok_or_else(overflow)?;
            return whole.checked_mul(shown).ok_or_else(overflow);
        }
    };
    let exact = numerator.checked_div(divisor).ok_or_else(overflow)?;
    Ok(round_i256(exact, working - target))
}

fn states_of(sums: &Sums, counts: &[i64], data_type: &DataType) -> Result<ArrayRef> {
    Ok(match sums {
        Sums::Narrow(sums) => {
            let limit = 10i128.pow(38);
            let values = sums.iter().zip(counts).map(|(sum, count)| match count {
                0 => Ok(None),
                _ if sum.abs() >= limit => Err(external(numeric_overflow())),
                _ => Ok(Some(*sum)),
            });
            Arc::new(
                values
                    .collect::<Result<Decimal128Array>>()?
                    .with_data_type(data_type.clone()),
            )
        }
        Sums::Wide(sums) => {
            let values = sums
                .iter()
                .zip(counts)
                .map(|(sum, count)| (*count != 0).then_some(*sum));
            Arc::new(
                values
                    .collect::<Decimal256Array>()
                    .with_data_type(data_type.clone()),
            )
        }
    })
}

/// Rows that are not NULL and pass the filter.
fn selected<'a, T: ArrowPrimitiveType>(
    values: &'a arrow::array::PrimitiveArray<T>,
    filter: Option<&'a BooleanArray>,
) -> impl Iterator<Item = usize> + 'a {
    (0..values.len()).filter(move |row| {
        values.is_valid(*row)
            && filter.is_none_or(|filter| filter.is_valid(*row) && filter.value(*row))
    })
}

/// One group.
#[derive(Debug)]
struct One {
    totals: Totals,
}

impl One {
    fn one(&mut self) -> &mut Totals {
        self.totals.resize(1);
        &mut self.totals
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.one().add(&values[0], |_| 0, None, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.one().add(&values[0], |_| 0, None, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let totals = self.one();
        // A window goes on after it was asked, so nothing is taken.
        let (sums, counts) = totals.copy();
        ScalarValue::try_from_array(&totals.results(&sums, &counts)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let totals = self.one();
        let (sums, counts) = totals.copy();
        let states = states_of(&sums, &counts, &sum_type(&totals.argument)?)?;
        Ok(vec![
            ScalarValue::try_from_array(&states, 0)?,
            ScalarValue::Int64(Some(counts[0])),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.one().merge(states, |_| 0)
    }

    fn size(&self) -> usize {
        self.totals.size()
    }
}

/// All groups of a GROUP BY.
struct Groups {
    totals: Totals,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.totals.resize(total);
        self.totals.add(&values[0], |row| groups[row], filter, 1)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = self.totals.take(emit_to);
        self.totals.results(&sums, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.totals.take(emit_to);
        let states = states_of(&sums, &counts, &sum_type(&self.totals.argument)?)?;
        Ok(vec![states, Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.totals.resize(total);
        self.totals.merge(values, |row| groups[row])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut totals = Totals::new(self.totals.kind, &self.totals.argument)?;
        totals.resize(values[0].len());
        totals.add(&values[0], |row| row, filter, 1)?;
        let states = states_of(&totals.sums, &totals.counts, &sum_type(&totals.argument)?)?;
        Ok(vec![states, Arc::new(Int64Array::from(totals.counts))])
    }

    fn size(&self) -> usize {
        self.totals.size()
    }
}
