//! `sum` and `avg` of integers and decimals.
//!
//! | argument | sum | avg |
//! |---|---|---|
//! | smallint, integer | bigint | numeric |
//! | bigint | numeric | numeric |
//! | numeric | numeric, largest scale | numeric |
//!
//! Sums are kept in 128 bits, those of unconstrained numerics in 256, with the largest display
//! scale that went in; an overflow is an error, never a wrap.

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
use tessera_planner::arrow_types::{NUMERIC_ANY, NUMERIC_ANY_SCALE, metadata_of};
use tessera_planner::decimals::{
    from_i256, narrow, numeric_overflow, shown_of, to_any, value_of, with_shown,
};
use tessera_planner::errors::external;
use tessera_types::{DECIMAL_SCALE_MAX, Decimal, Report, SqlType};

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
        (Kind::Avg, _) => NUMERIC_ANY,
    })
}

/// The type in which sums are kept.
fn sum_type(argument: &DataType) -> Result<DataType> {
    Ok(match argument {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Decimal128(38, 0),
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        DataType::Decimal256(..) => NUMERIC_ANY,
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
        let plain = Box::new(One {
            totals,
            shown: [0; SCALES],
        });
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
    Wide(Vec<Wide>),
}

/// A sum of unconstrained numerics.
#[derive(Debug, Clone, Copy)]
struct Wide {
    /// The value, without digits to show.
    sum: i256,
    /// The most digits after the point that a number in it shows.
    shown: u8,
}

impl Wide {
    const ZERO: Wide = Wide {
        sum: i256::ZERO,
        shown: 0,
    };

    fn add(&mut self, mantissa: i256, sign: i64) -> Result<()> {
        let value = value_of(mantissa);
        let sum = if sign < 0 {
            self.sum.checked_sub(value)
        } else {
            self.sum.checked_add(value)
        };
        self.sum = sum.ok_or_else(|| external(numeric_overflow()))?;
        self.shown = self.shown.max(shown_of(mantissa));
        Ok(())
    }

    fn mantissa(self) -> i256 {
        with_shown(self.sum, self.shown)
    }
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
            Sums::Wide(sums) => sums.resize(groups, Wide::ZERO),
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
                    sums[index].add(values.value(row), sign)?;
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
            match &mut self.sums {
                Sums::Narrow(sums) => {
                    sums[index] = sums[index]
                        .checked_add(partial.as_primitive::<Decimal128Type>().value(row))
                        .ok_or_else(|| external(numeric_overflow()))?;
                }
                Sums::Wide(sums) => {
                    sums[index].add(partial.as_primitive::<Decimal256Type>().value(row), 1)?;
                }
            }
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
                        _ if counts[index] == 0 => return Ok(None),
                        Sums::Narrow(sums) => narrow(i256::from_i128(sums[index]), scale),
                        Sums::Wide(sums) => from_i256(sums[index].mantissa(), NUMERIC_ANY_SCALE),
                    };
                    sum.and_then(|sum| quotient(sum, counts[index]))
                        .map(Some)
                        .map_err(external)
                });
                let array: Decimal256Array = values.collect::<Result<_>>()?;
                Ok(Arc::new(array.with_data_type(result)))
            }
        }
    }

    fn size(&self) -> usize {
        let sums = match &self.sums {
            Sums::Narrow(sums) => sums.capacity() * size_of::<i128>(),
            Sums::Wide(sums) => sums.capacity() * size_of::<Wide>(),
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

/// `sum / count` as PostgreSQL divides.
fn quotient(sum: Decimal, count: i64) -> Result<i256, Report> {
    let mean = sum
        .checked_div(Decimal::from(count))
        .map_err(|error| error.report())?;
    to_any(mean).ok_or_else(numeric_overflow)
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
                .map(|(sum, count)| (*count != 0).then_some(sum.mantissa()));
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

/// One group. Rows may leave it again, and with them the largest display scale.
#[derive(Debug)]
struct One {
    totals: Totals,
    /// How many numbers of each display scale are in it; only for unconstrained numerics.
    shown: [i64; SCALES],
}

/// Display scales that there are.
const SCALES: usize = DECIMAL_SCALE_MAX as usize + 1;

impl One {
    fn one(&mut self) -> &mut Totals {
        self.totals.resize(1);
        &mut self.totals
    }

    fn change(&mut self, array: &ArrayRef, sign: i64) -> Result<()> {
        self.one().add(array, |_| 0, None, sign)?;
        if let Sums::Wide(sums) = &mut self.totals.sums {
            let values = array.as_primitive::<Decimal256Type>();
            for mantissa in values.iter().flatten() {
                self.shown[usize::from(shown_of(mantissa))] += sign;
            }
            if sign < 0 {
                let largest = self.shown.iter().rposition(|count| *count > 0);
                sums[0].shown = largest.and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
            }
        }
        Ok(())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], -1)
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
