//! Trigonometric functions in degrees, exact where the result is: `sind(30)` is 0.5.
//!
//! After PostgreSQL's float.c: each function is reduced to the first quadrant, and scaled by its
//! own value at 30, 45 or 60 degrees.

use tessera_planner::functions::FunctionRegistry;
use tessera_types::SqlType::Double;
use tessera_types::{Report, Value, codes};

use super::kernel::function;

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    let mut one = |name: &str, body: fn(f64) -> Result<f64, Report>| {
        function(r, name, [Double], Double, move |row| {
            body(row.double(0)).map(Value::Double)
        });
    };
    one("sind", |angle| of_finite(angle, sin));
    one("cosd", |angle| of_finite(angle, cos));
    one("tand", |angle| of_finite(angle, tan));
    one("cotd", |angle| of_finite(angle, cot));
    one("asind", |value| of_unit(value, asin));
    one("acosd", |value| of_unit(value, acos));
    one("atand", |value| Ok(value.atan() / 1f64.atan() * 45.0));
    function(r, "atan2d", [Double, Double], Double, |row| {
        let angle = row.double(0).atan2(row.double(1));
        Ok(Value::Double(angle / 1f64.atan() * 45.0))
    });
}

fn out_of_range() -> Report {
    Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}

fn of_finite(angle: f64, function: fn(f64) -> f64) -> Result<f64, Report> {
    if angle.is_infinite() {
        return Err(out_of_range());
    }
    Ok(function(angle))
}

fn of_unit(value: f64, function: fn(f64) -> f64) -> Result<f64, Report> {
    if value.abs() > 1.0 {
        return Err(out_of_range());
    }
    Ok(function(value))
}

/// Sine of 0 to 30 degrees.
fn sin_to_30(angle: f64) -> f64 {
    angle.to_radians().sin() / 30f64.to_radians().sin() / 2.0
}

/// Cosine of 0 to 60 degrees.
fn cos_to_60(angle: f64) -> f64 {
    let numerator = 1.0 - angle.to_radians().cos();
    let denominator = 1.0 - 60f64.to_radians().cos();
    1.0 - numerator / denominator / 2.0
}

/// Sine of 0 to 90 degrees.
fn sin_to_90(angle: f64) -> f64 {
    if angle <= 30.0 {
        sin_to_30(angle)
    } else {
        cos_to_60(90.0 - angle)
    }
}

/// Cosine of 0 to 90 degrees.
fn cos_to_90(angle: f64) -> f64 {
    if angle <= 60.0 {
        cos_to_60(angle)
    } else {
        sin_to_30(90.0 - angle)
    }
}

fn sin(angle: f64) -> f64 {
    let (mut angle, mut sign) = (angle % 360.0, 1.0);
    if angle < 0.0 {
        (angle, sign) = (-angle, -sign);
    }
    if angle > 180.0 {
        (angle, sign) = (360.0 - angle, -sign);
    }
    if angle > 90.0 {
        angle = 180.0 - angle;
    }
    sign * sin_to_90(angle)
}

fn cos(angle: f64) -> f64 {
    let (mut angle, mut sign) = ((angle % 360.0).abs(), 1.0);
    if angle > 180.0 {
        angle = 360.0 - angle;
    }
    if angle > 90.0 {
        (angle, sign) = (180.0 - angle, -sign);
    }
    sign * cos_to_90(angle)
}

/// The angle between 0 and 90 degrees with the same tangent, and its sign.
fn tangent_quadrant(angle: f64) -> (f64, f64) {
    let (mut angle, mut sign) = (angle % 360.0, 1.0);
    if angle < 0.0 {
        (angle, sign) = (-angle, -sign);
    }
    if angle > 180.0 {
        (angle, sign) = (360.0 - angle, -sign);
    }
    if angle > 90.0 {
        (angle, sign) = (180.0 - angle, -sign);
    }
    (angle, sign)
}

fn tan(angle: f64) -> f64 {
    let (angle, sign) = tangent_quadrant(angle);
    let of_45 = sin_to_90(45.0) / cos_to_90(45.0);
    let result = sign * (sin_to_90(angle) / cos_to_90(angle) / of_45);
    // Zero has no sign here.
    if result == 0.0 { 0.0 } else { result }
}

fn cot(angle: f64) -> f64 {
    let (angle, sign) = tangent_quadrant(angle);
    let of_45 = cos_to_90(45.0) / sin_to_90(45.0);
    let result = sign * (cos_to_90(angle) / sin_to_90(angle) / of_45);
    if result == 0.0 { 0.0 } else { result }
}

/// Arc sine of 0 to 1.
fn asin_of_positive(value: f64) -> f64 {
    if value <= 0.5 {
        value.asin() / 0.5f64.asin() * 30.0
    } else {
        90.0 - value.acos() / 0.5f64.acos() * 60.0
    }
}

/// Arc cosine of 0 to 1.
fn acos_of_positive(value: f64) -> f64 {
    if value <= 0.5 {
        90.0 - value.asin() / 0.5f64.asin() * 30.0
    } else {
        value.acos() / 0.5f64.acos() * 60.0
    }
}

fn asin(value: f64) -> f64 {
    if value >= 0.0 {
        asin_of_positive(value)
    } else {
        -asin_of_positive(-value)
    }
}

fn acos(value: f64) -> f64 {
    if value >= 0.0 {
        acos_of_positive(value)
    } else {
        90.0 + asin_of_positive(-value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_exact_where_they_can_be() {
        for (angle, sine) in [
            (0.0, 0.0),
            (30.0, 0.5),
            (90.0, 1.0),
            (210.0, -0.5),
            (-90.0, -1.0),
        ] {
            assert_eq!(sin(angle), sine, "{angle}");
            assert_eq!(cos(90.0 - angle), sine, "{angle}");
        }
        assert_eq!((tan(45.0), cot(45.0), tan(135.0)), (1.0, 1.0, -1.0));
        assert_eq!((asin(0.5), acos(0.5), acos(-0.5)), (30.0, 60.0, 120.0));
    }
}
