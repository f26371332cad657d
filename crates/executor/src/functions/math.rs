//! Functions on numbers.

use arrow::datatypes::FieldRef;
use tessera_planner::decimals::numeric_overflow;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{BigInt, Double, Integer, Numeric, Real, SmallInt};
use tessera_types::{DECIMAL_SCALE_MAX, Decimal, Report, SqlType, Value, ValueRef, codes};

use super::exact;
use super::kernel::{
    NOTHING, Row, RowResult, function, integer, operator, out_of_range, per_row, strict,
};

const NUMERIC: SqlType = Numeric(None);

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    rounding(registry);
    division(registry);
    transcendental(registry);
    numerics(registry);
    buckets(registry);
    random(registry);
}

fn overflow() -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}

/// The result has the Arrow type of the argument: a decimal keeps its scale.
fn first_field(fields: &[FieldRef]) -> datafusion::common::Result<FieldRef> {
    Ok(fields[0].clone())
}

fn keep_scale(
    registry: &mut FunctionRegistry,
    name: &str,
    body: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) {
    let arguments = [Argument::Exact(NUMERIC)];
    registry.scalar(Scalar::new(
        name,
        arguments,
        Returns::Field(first_field),
        strict(body),
    ));
}

fn doubles(
    r: &mut FunctionRegistry,
    name: &str,
    body: impl Fn(f64) -> Result<f64, Report> + Send + Sync + 'static,
) {
    function(r, name, [Double], Double, move |row| {
        let argument = row.double(0);
        let result = body(argument)?;
        if result.is_infinite() && argument.is_finite() {
            return Err(overflow());
        }
        Ok(Value::Double(result))
    });
}

fn decimal(value: Option<Decimal>) -> RowResult {
    value.map(Value::Numeric).ok_or_else(numeric_overflow)
}

fn rounding(r: &mut FunctionRegistry) {
    function(r, "abs", [SmallInt], SmallInt, |row| match row.value(0) {
        ValueRef::SmallInt(v) => v
            .checked_abs()
            .map(Value::SmallInt)
            .ok_or_else(|| out_of_range("smallint")),
        _ => Ok(Value::Null),
    });
    function(r, "abs", [Integer], Integer, |row| {
        integer(row.integer(0).abs())
    });
    function(r, "abs", [BigInt], BigInt, |row| {
        row.integer(0)
            .checked_abs()
            .map(Value::BigInt)
            .ok_or_else(|| out_of_range("bigint"))
    });
    function(r, "abs", [Real], Real, |row| {
        Ok(Value::Real(row.double(0).abs() as f32))
    });
    function(r, "abs", [Double], Double, |row| {
        Ok(Value::Double(row.double(0).abs()))
    });
    keep_scale(r, "abs", |row| Ok(Value::Numeric(row.decimal(0).abs())));
    for name in ["ceil", "ceiling"] {
        doubles(r, name, |v| Ok(v.ceil()));
        function(r, name, [NUMERIC], NUMERIC, |row| {
            decimal(row.decimal(0).ceil())
        });
    }
    doubles(r, "floor", |v| Ok(v.floor()));
    function(r, "floor", [NUMERIC], NUMERIC, |row| {
        decimal(row.decimal(0).floor())
    });
    doubles(r, "round", |v| Ok(v.round_ties_even()));
    doubles(r, "trunc", |v| Ok(v.trunc()));
    function(r, "round", [NUMERIC], NUMERIC, |row| {
        decimal(row.decimal(0).round(0))
    });
    function(r, "trunc", [NUMERIC], NUMERIC, |row| {
        decimal(row.decimal(0).trunc(0))
    });
    function(r, "round", [NUMERIC, Integer], NUMERIC, |row| {
        let (value, places) = (row.decimal(0), places(row.integer(1)));
        decimal(at_most(places, |places| value.round(places)))
    });
    function(r, "trunc", [NUMERIC, Integer], NUMERIC, |row| {
        let (value, places) = (row.decimal(0), places(row.integer(1)));
        decimal(at_most(places, |places| value.trunc(places)))
    });
    doubles(r, "sign", |v| Ok(if v == 0.0 { 0.0 } else { v.signum() }));
    function(r, "sign", [NUMERIC], NUMERIC, |row| {
        Ok(Value::Numeric(Decimal {
            unscaled: row.decimal(0).unscaled.signum(),
            scale: 0,
        }))
    });
}

/// With so many digits after the point, or as many as there is room for.
fn at_most(places: i32, body: impl Fn(i32) -> Option<Decimal>) -> Option<Decimal> {
    match places.min(i32::from(DECIMAL_SCALE_MAX)) {
        before @ ..0 => body(before),
        after => (0..=after).rev().find_map(body),
    }
}

fn places(value: i64) -> i32 {
    i32::try_from(value.clamp(-2000, 2000)).unwrap_or(0)
}

fn division(r: &mut FunctionRegistry) {
    let zero = || Report::error(codes::DIVISION_BY_ZERO, "division by zero");
    function(
        r,
        "mod",
        [SmallInt, SmallInt],
        SmallInt,
        move |row| match row.integer(1) {
            0 => Err(zero()),
            // The remainder is smaller than the divisor, so it fits.
            divisor => Ok(Value::SmallInt((row.integer(0) % divisor) as i16)),
        },
    );
    function(
        r,
        "mod",
        [Integer, Integer],
        Integer,
        move |row| match row.integer(1) {
            0 => Err(zero()),
            divisor => integer(row.integer(0) % divisor),
        },
    );
    function(r, "mod", [BigInt, BigInt], BigInt, move |row| {
        match row.integer(1) {
            0 => Err(zero()),
            divisor => Ok(Value::BigInt(row.integer(0).wrapping_rem(divisor))),
        }
    });
    function(r, "mod", [NUMERIC, NUMERIC], NUMERIC, |row| {
        Ok(Value::Numeric(row.decimal(0).checked_rem(row.decimal(1))?))
    });
    function(r, "div", [NUMERIC, NUMERIC], NUMERIC, move |row| {
        let (a, b) = (row.decimal(0), row.decimal(1));
        if b.is_zero() {
            return Err(zero());
        }
        let rest = a.checked_rem(b)?;
        let whole = a.checked_sub(rest).and_then(|a| a.div_to_scale(b, 0));
        decimal(whole)
    });
    for ty in [Integer, BigInt] {
        let narrow = ty == Integer;
        let name = if narrow { "integer" } else { "bigint" };
        let result = move |value: Option<i128>| -> RowResult {
            let value = value
                .and_then(|v| i64::try_from(v).ok())
                .ok_or_else(|| out_of_range(name))?;
            if narrow {
                integer(value)
            } else {
                Ok(Value::BigInt(value))
            }
        };
        function(r, "gcd", [ty.clone(), ty.clone()], ty.clone(), move |row| {
            result(Some(gcd(row.integer(0).into(), row.integer(1).into())))
        });
        function(r, "lcm", [ty.clone(), ty.clone()], ty, move |row| {
            let (a, b) = (i128::from(row.integer(0)), i128::from(row.integer(1)));
            result(if a == 0 || b == 0 {
                Some(0)
            } else {
                (a / gcd(a, b)).checked_mul(b).map(i128::abs)
            })
        });
    }
    function(r, "gcd", [NUMERIC, NUMERIC], NUMERIC, |row| {
        let (a, b, scale) = same_scale(row)?;
        decimal(Decimal::new(gcd(a, b), scale))
    });
    function(r, "lcm", [NUMERIC, NUMERIC], NUMERIC, |row| {
        let (a, b, scale) = same_scale(row)?;
        decimal(if a == 0 || b == 0 {
            Decimal::new(0, scale)
        } else {
            let multiple = (a / gcd(a, b)).checked_mul(b).map(i128::abs);
            multiple.and_then(|multiple| Decimal::new(multiple, scale))
        })
    });
    function(r, "factorial", [BigInt], NUMERIC, |row| {
        let n = row.integer(0);
        if n < 0 {
            return Err(Report::error(
                codes::NUMERIC_VALUE_OUT_OF_RANGE,
                "factorial of a negative number is undefined",
            ));
        }
        let mut product = Decimal::from(1i64);
        for factor in 2..=n {
            product = product.checked_mul(Decimal::from(factor)).ok_or_else(|| {
                Report::error(
                    codes::NUMERIC_VALUE_OUT_OF_RANGE,
                    "value overflows numeric format",
                )
            })?;
        }
        Ok(Value::Numeric(product))
    });
}

/// Both arguments as integers, and the scale at which they are.
fn same_scale(row: &Row<'_>) -> Result<(i128, i128, u8), Report> {
    let (a, b) = (row.decimal(0), row.decimal(1));
    let scale = a.scale.max(b.scale);
    match (a.rescale(scale), b.rescale(scale)) {
        (Some(a), Some(b)) => Ok((a.unscaled, b.unscaled, scale)),
        _ => Err(numeric_overflow()),
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn transcendental(r: &mut FunctionRegistry) {
    let domain = || Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range");
    function(r, "pi", [], Double, |_| {
        Ok(Value::Double(std::f64::consts::PI))
    });
    doubles(r, "sqrt", |v| {
        if v < 0.0 {
            Err(negative_root())
        } else {
            Ok(v.sqrt())
        }
    });
    doubles(r, "cbrt", |v| Ok(v.cbrt()));
    doubles(r, "exp", |v| {
        let result = v.exp();
        if result == 0.0 && v.is_finite() {
            return Err(Report::error(
                codes::NUMERIC_VALUE_OUT_OF_RANGE,
                "value out of range: underflow",
            ));
        }
        Ok(result)
    });
    doubles(r, "ln", |v| logarithm(v).map(f64::ln));
    doubles(r, "log", |v| logarithm(v).map(f64::log10));
    doubles(r, "log10", |v| logarithm(v).map(f64::log10));
    function(r, "log", [NUMERIC, NUMERIC], NUMERIC, |row| {
        exact::log(row.decimal(0), row.decimal(1)).map(Value::Numeric)
    });
    for name in ["power", "pow"] {
        function(r, name, [Double, Double], Double, |row| {
            power(row.double(0), row.double(1)).map(Value::Double)
        });
        function(r, name, [NUMERIC, NUMERIC], NUMERIC, |row| {
            decimal_power(row.decimal(0), row.decimal(1))
        });
    }
    operator(r, "^", [NUMERIC, NUMERIC], NUMERIC, |row| {
        decimal_power(row.decimal(0), row.decimal(1))
    });
    doubles(r, "degrees", |v| Ok(v.to_degrees()));
    doubles(r, "radians", |v| Ok(v.to_radians()));
    let angle = move |v: f64, f: fn(f64) -> f64| {
        if v.is_infinite() {
            Err(domain())
        } else {
            Ok(f(v))
        }
    };
    doubles(r, "sin", move |v| angle(v, f64::sin));
    doubles(r, "cos", move |v| angle(v, f64::cos));
    doubles(r, "tan", move |v| angle(v, f64::tan));
    doubles(r, "cot", move |v| angle(v, |v| 1.0 / v.tan()));
    let unit = move |v: f64, f: fn(f64) -> f64| {
        if v.abs() > 1.0 {
            Err(domain())
        } else {
            Ok(f(v))
        }
    };
    doubles(r, "asin", move |v| unit(v, f64::asin));
    doubles(r, "acos", move |v| unit(v, f64::acos));
    doubles(r, "atan", |v| Ok(v.atan()));
    function(r, "atan2", [Double, Double], Double, |row| {
        Ok(Value::Double(row.double(0).atan2(row.double(1))))
    });
    doubles(r, "sinh", |v| Ok(v.sinh()));
    doubles(r, "cosh", |v| Ok(v.cosh()));
    doubles(r, "tanh", |v| Ok(v.tanh()));
    doubles(r, "asinh", |v| Ok(v.asinh()));
    doubles(r, "acosh", move |v| {
        if v < 1.0 {
            Err(domain())
        } else {
            Ok(v.acosh())
        }
    });
    doubles(r, "atanh", move |v| unit(v, f64::atanh));
}

fn negative_root() -> Report {
    Report::error(
        codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
        "cannot take square root of a negative number",
    )
}

fn logarithm(value: f64) -> Result<f64, Report> {
    let fault = |what: &str| {
        Err(Report::error(
            codes::INVALID_ARGUMENT_FOR_LOG,
            format!("cannot take logarithm of {what}"),
        ))
    };
    if value == 0.0 {
        fault("zero")
    } else if value < 0.0 {
        fault("a negative number")
    } else {
        Ok(value)
    }
}

fn check_power(
    base_is_zero: bool,
    base_is_negative: bool,
    exponent_is_negative: bool,
    exponent_is_whole: bool,
) -> Result<(), Report> {
    let fault = |message: &str| {
        Err(Report::error(
            codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            message,
        ))
    };
    if base_is_zero && exponent_is_negative {
        return fault("zero raised to a negative power is undefined");
    }
    if base_is_negative && !exponent_is_whole {
        return fault("a negative number raised to a non-integer power yields a complex result");
    }
    Ok(())
}

fn power(base: f64, exponent: f64) -> Result<f64, Report> {
    check_power(
        base == 0.0,
        base < 0.0,
        exponent < 0.0,
        exponent.fract() == 0.0 || exponent.is_infinite(),
    )?;
    let result = base.powf(exponent);
    let finite = base.is_finite() && exponent.is_finite();
    if result.is_infinite() && finite {
        return Err(overflow());
    }
    if result == 0.0 && finite && base != 0.0 {
        return Err(Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: underflow",
        ));
    }
    Ok(result)
}

/// Exact for whole exponents as far as the digits go.
pub(crate) fn decimal_power(base: Decimal, exponent: Decimal) -> RowResult {
    let is_whole = exponent.trunc(0).is_some_and(|whole| whole == exponent);
    check_power(
        base.is_zero(),
        base.unscaled < 0,
        exponent.unscaled < 0,
        is_whole,
    )?;
    exact::power(base, exponent).map(Value::Numeric)
}

fn numerics(r: &mut FunctionRegistry) {
    let mut one = |name, body: fn(Decimal) -> Result<Decimal, Report>| {
        function(r, name, [NUMERIC], NUMERIC, move |row| {
            body(row.decimal(0)).map(Value::Numeric)
        });
    };
    one("sqrt", exact::square_root);
    one("exp", exact::exp);
    one("ln", exact::ln);
    for name in ["log", "log10"] {
        one(name, |number| exact::log(Decimal::from(10i64), number));
    }
    function(r, "scale", [NUMERIC], Integer, |row| {
        integer(row.decimal(0).scale.into())
    });
    function(r, "min_scale", [NUMERIC], Integer, |row| {
        integer(row.decimal(0).normalize().scale.into())
    });
    function(r, "trim_scale", [NUMERIC], NUMERIC, |row| {
        Ok(Value::Numeric(row.decimal(0).normalize()))
    });
}

fn buckets(r: &mut FunctionRegistry) {
    let fault =
        |message: &str| Report::error(codes::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, message);
    function(
        r,
        "width_bucket",
        [Double, Double, Double, Integer],
        Integer,
        move |row| {
            let (value, low, high, count) =
                (row.double(0), row.double(1), row.double(2), row.integer(3));
            if count <= 0 {
                return Err(fault("count must be greater than zero"));
            }
            if value.is_nan() || low.is_nan() || high.is_nan() {
                return Err(fault("operand, lower bound, and upper bound cannot be NaN"));
            }
            if low.is_infinite() || high.is_infinite() {
                return Err(fault("lower and upper bounds must be finite"));
            }
            if low == high {
                return Err(fault("lower bound cannot equal upper bound"));
            }
            let (before, after) = if low < high {
                (value < low, value >= high)
            } else {
                (value > low, value <= high)
            };
            integer(if before {
                0
            } else if after {
                count + 1
            } else {
                (count as f64 * ((value - low) / (high - low))).floor() as i64 + 1
            })
        },
    );
    function(
        r,
        "width_bucket",
        [NUMERIC, NUMERIC, NUMERIC, Integer],
        Integer,
        move |row| {
            let (value, low, high, count) = (
                row.decimal(0),
                row.decimal(1),
                row.decimal(2),
                row.integer(3),
            );
            if count <= 0 {
                return Err(fault("count must be greater than zero"));
            }
            if low == high {
                return Err(fault("lower bound cannot equal upper bound"));
            }
            let (before, after) = if low < high {
                (value < low, value >= high)
            } else {
                (value > low, value <= high)
            };
            if before {
                return integer(0);
            }
            if after {
                return integer(count + 1);
            }
            let bucket = || -> Option<i64> {
                let offset = value
                    .checked_sub(low)?
                    .abs()
                    .checked_mul(Decimal::from(count))?;
                offset
                    .checked_div(high.checked_sub(low)?.abs())
                    .ok()?
                    .floor()?
                    .to_i64()
            };
            integer(bucket().ok_or_else(numeric_overflow)? + 1)
        },
    );
    let arguments = [Argument::AnyElement, Argument::AnyArray];
    r.scalar(Scalar::new(
        "width_bucket",
        arguments,
        Returns::Exact(Integer),
        strict(|row| {
            let ValueRef::Array(thresholds) = row.value(1) else {
                return Ok(Value::Null);
            };
            let value = row.value(0).to_owned();
            if thresholds.elements.iter().any(Value::is_null) {
                return Err(Report::error(
                    codes::NULL_VALUE_NOT_ALLOWED,
                    "thresholds array must not contain NULLs",
                ));
            }
            integer(
                thresholds
                    .elements
                    .partition_point(|threshold| *threshold <= value) as i64,
            )
        }),
    ));
}

fn random(r: &mut FunctionRegistry) {
    let body = |row: &Row<'_>| {
        let seed = &row.statement()?.session.state.random_seed;
        let mut seed = seed.lock();
        let bits = match seed.as_mut() {
            Some(state) => split_mix(state),
            None => rand::random::<u64>(),
        };
        // 53 bits: every result is exact and below one.
        Ok(Value::Double((bits >> 11) as f64 / (1u64 << 53) as f64))
    };
    r.scalar(Scalar::new("random", [], Returns::Exact(Double), per_row(body)).volatile());
    let body = |row: &Row<'_>| {
        if row.is_null(0) {
            return Ok(Value::Null);
        }
        let seed = row.double(0);
        if !(-1.0..=1.0).contains(&seed) {
            return Err(super::kernel::invalid(format!(
                "setseed parameter {seed} is out of allowed range [-1,1]"
            )));
        }
        *row.statement()?.session.state.random_seed.lock() = Some(seed.to_bits());
        Ok(Value::from(NOTHING))
    };
    let arguments = [Argument::Exact(Double)];
    r.scalar(
        Scalar::new(
            "setseed",
            arguments,
            Returns::Exact(SqlType::Void),
            per_row(body),
        )
        .volatile(),
    );
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
