//! Variances, correlations and regressions of floating point numbers.
//!
//! The sums are kept by the algorithm of Youngs and Cramer, step by step as in PostgreSQL's
//! float.c, so that the last digits agree.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use tessera_planner::errors::external;
use tessera_types::{Report, codes};

use super::collect;

/// Which result is made of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    Corr,
    CovarPop,
    CovarSamp,
    RegrCount,
    RegrSlope,
    RegrIntercept,
    RegrR2,
    RegrAvgx,
    RegrAvgy,
    RegrSxx,
    RegrSyy,
    RegrSxy,
}

impl Moment {
    fn is_of_one(self) -> bool {
        use Moment::{StddevPop, StddevSamp, VarPop, VarSamp};
        matches!(self, VarPop | VarSamp | StddevPop | StddevSamp)
    }
}

pub(super) fn udaf(name: &'static str, moment: Moment) -> Arc<AggregateUDF> {
    let arguments = if moment.is_of_one() { 1 } else { 2 };
    Arc::new(AggregateUDF::new_from_impl(Moments {
        name,
        moment,
        signature: Signature::any(arguments, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Moments {
    name: &'static str,
    moment: Moment,
    signature: Signature,
}

impl AggregateUDFImpl for Moments {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.moment {
            Moment::RegrCount => DataType::Int64,
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let plain = Box::new(Running {
            moment: self.moment,
            sums: Sums::default(),
        });
        match args.expr_fields {
            [only] if args.is_distinct => Ok(Box::new(collect::Distinct::new(plain, only.clone()))),
            _ if args.is_distinct => Err(external(Report::unsupported(format!(
                "DISTINCT in {} of two arguments",
                self.name
            )))),
            _ => Ok(plain),
        }
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding {
            moment: self.moment,
            rows: VecDeque::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            let data_type = args.input_fields[0].data_type();
            return Ok(vec![collect::list_state(args.name, data_type)]);
        }
        let field = |part: &str| {
            let name = format!("{}[{part}]", args.name);
            Arc::new(Field::new(name, DataType::Float64, true))
        };
        Ok(["n", "sx", "sxx", "sy", "syy", "sxy"].map(field).to_vec())
    }
}

/// Count, sums, and sums of squared differences from the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    sx: f64,
    sxx: f64,
    sy: f64,
    syy: f64,
    sxy: f64,
}

impl Sums {
    /// `float8_accum` and `float8_regr_accum`.
    fn add(&mut self, x: f64, y: f64) -> Result<(), Report> {
        let before = *self;
        self.n += 1.0;
        self.sx += x;
        self.sy += y;
        if before.n > 0.0 {
            let (dx, dy) = (x * self.n - self.sx, y * self.n - self.sy);
            let scale = self.n * before.n;
            self.sxx += dx * dx / scale;
            self.syy += dy * dy / scale;
            self.sxy += dx * dy / scale;
            let sums = [self.sx, self.sxx, self.sy, self.syy, self.sxy];
            if sums.iter().any(|sum| sum.is_infinite()) {
                let given = [before.sx, before.sy, x, y];
                if given.iter().all(|value| !value.is_infinite()) {
                    return Err(overflow());
                }
                // Infinite input: what is not known is not a number.
                for sum in [&mut self.sxx, &mut self.syy, &mut self.sxy] {
                    if sum.is_infinite() {
                        *sum = f64::NAN;
                    }
                }
            }
        } else {
            if !x.is_finite() {
                (self.sxx, self.sxy) = (f64::NAN, f64::NAN);
            }
            if !y.is_finite() {
                (self.syy, self.sxy) = (f64::NAN, f64::NAN);
            }
        }
        Ok(())
    }

    /// `float8_regr_combine`.
    fn merge(&mut self, other: Sums) {
        if self.n == 0.0 {
            *self = other;
            return;
        }
        if other.n == 0.0 {
            return;
        }
        let n = self.n + other.n;
        let dx = self.sx / self.n - other.sx / other.n;
        let dy = self.sy / self.n - other.sy / other.n;
        let weight = self.n * other.n;
        self.sxx = self.sxx + other.sxx + weight * dx * dx / n;
        self.syy = self.syy + other.syy + weight * dy * dy / n;
        self.sxy = self.sxy + other.sxy + weight * dx * dy / n;
        self.sx += other.sx;
        self.sy += other.sy;
        self.n = n;
    }

    /// The result; NULL where there are too few rows or no spread.
    fn result(&self, moment: Moment) -> ScalarValue {
        let Sums {
            n,
            sx,
            sxx,
            sy,
            syy,
            sxy,
        } = *self;
        let least = match moment {
            Moment::RegrCount => return ScalarValue::Int64(Some(n as i64)),
            Moment::VarSamp | Moment::StddevSamp | Moment::CovarSamp => 2.0,
            _ => 1.0,
        };
        let flat = match moment {
            Moment::Corr => sxx == 0.0 || syy == 0.0,
            Moment::RegrSlope | Moment::RegrIntercept | Moment::RegrR2 => sxx == 0.0,
            _ => false,
        };
        if n < least || flat {
            return ScalarValue::Float64(None);
        }
        ScalarValue::Float64(Some(match moment {
            Moment::VarPop => sxx / n,
            Moment::VarSamp => sxx / (n - 1.0),
            Moment::StddevPop => (sxx / n).sqrt(),
            Moment::StddevSamp => (sxx / (n - 1.0)).sqrt(),
            Moment::Corr => sxy / (sxx * syy).sqrt(),
            Moment::CovarPop => sxy / n,
            Moment::CovarSamp => sxy / (n - 1.0),
            Moment::RegrCount => n,
            Moment::RegrSlope => sxy / sxx,
            Moment::RegrIntercept => (sy - sx * sxy / sxx) / n,
            Moment::RegrR2 if syy == 0.0 => 1.0,
            Moment::RegrR2 => (sxy * sxy) / (sxx * syy),
            Moment::RegrAvgx => sx / n,
            Moment::RegrAvgy => sy / n,
            Moment::RegrSxx => sxx,
            Moment::RegrSyy => syy,
            Moment::RegrSxy => sxy,
        }))
    }
}

fn overflow() -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}

/// The rows without NULL as (x, y); of one argument, y is 0.
fn rows(values: &[ArrayRef]) -> Result<Vec<(f64, f64)>> {
    let doubles = |array: &ArrayRef| array.as_primitive_opt::<Float64Type>().cloned();
    match values {
        [x] => match doubles(x) {
            Some(x) => Ok(x.iter().flatten().map(|x| (x, 0.0)).collect()),
            None => internal_err!("a double is expected"),
        },
        // The dependent variable comes first.
        [y, x] => match (doubles(x), doubles(y)) {
            (Some(x), Some(y)) => Ok(x
                .iter()
                .zip(y.iter())
                .filter_map(|(x, y)| x.zip(y))
                .collect()),
            _ => internal_err!("doubles are expected"),
        },
        _ => internal_err!("one or two arguments are expected"),
    }
}

#[derive(Debug)]
struct Running {
    moment: Moment,
    sums: Sums,
}

impl Accumulator for Running {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (x, y) in rows(values)? {
            self.sums.add(x, y).map_err(external)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.sums.result(self.moment))
    }

    fn size(&self) -> usize {
        size_of::<Running>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Sums {
            n,
            sx,
            sxx,
            sy,
            syy,
            sxy,
        } = self.sums;
        let parts = [n, sx, sxx, sy, syy, sxy];
        Ok(parts.map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let parts: Vec<_> = states
            .iter()
            .map(|state| state.as_primitive::<Float64Type>())
            .collect();
        let [n, sx, sxx, sy, syy, sxy] = parts.as_slice() else {
            return internal_err!("state of moments");
        };
        for row in (0..n.len()).filter(|row| n.is_valid(*row)) {
            self.sums.merge(Sums {
                n: n.value(row),
                sx: sx.value(row),
                sxx: sxx.value(row),
                sy: sy.value(row),
                syy: syy.value(row),
                sxy: sxy.value(row),
            });
        }
        Ok(())
    }
}

/// For window frames that rows leave again: computed anew each time, as PostgreSQL does.
#[derive(Debug)]
struct Sliding {
    moment: Moment,
    rows: VecDeque<(f64, f64)>,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.extend(rows(values)?);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = rows(values)?.len().min(self.rows.len());
        self.rows.drain(..leaving);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sums = Sums::default();
        for (x, y) in &self.rows {
            sums.add(*x, *y).map_err(external)?;
        }
        Ok(sums.result(self.moment))
    }

    fn size(&self) -> usize {
        size_of::<Sliding>() + self.rows.capacity() * size_of::<(f64, f64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window frame has no partial state")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a window frame has no partial state")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: &[(f64, f64)]) -> Sums {
        let mut sums = Sums::default();
        for (x, y) in rows {
            sums.add(*x, *y).expect("finite");
        }
        sums
    }

    #[test]
    fn last_digits_are_those_of_postgresql() {
        let spread = sums(&[(1.0, 0.0), (2.0, 0.0), (4.0, 0.0)]);
        let check = |moment, expected| {
            assert_eq!(spread.result(moment), ScalarValue::Float64(Some(expected)));
        };
        check(Moment::StddevSamp, 1.5275252316519468);
        check(Moment::VarSamp, 2.3333333333333335);
        check(Moment::VarPop, 1.5555555555555556);
    }

    #[test]
    fn partial_sums_add_up() {
        let rows = [(1.0, 2.0), (2.0, 4.0), (3.0, 7.0), (9.0, -1.0)];
        let mut left = sums(&rows[..1]);
        left.merge(sums(&rows[1..]));
        left.merge(Sums::default());
        let whole = sums(&rows);
        for (a, b) in [
            (left.n, whole.n),
            (left.sxy, whole.sxy),
            (left.syy, whole.syy),
        ] {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn too_few_rows_give_null() {
        assert!(sums(&[(1.0, 1.0)]).result(Moment::VarSamp).is_null());
        assert!(
            sums(&[(1.0, 1.0), (1.0, 2.0)])
                .result(Moment::Corr)
                .is_null()
        );
        assert!(Sums::default().result(Moment::RegrSxx).is_null());
    }
}
