//! Templates of numbers.

use tessera_planner::functions::FunctionRegistry;
use tessera_types::SqlType::{BigInt, Double, Integer, Numeric, Real, Text};
use tessera_types::{Decimal, Report, Value, ValueRef, codes};

use super::super::kernel::{Row, function};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    for ty in [Integer, BigInt, Numeric(None), Double, Real] {
        function(r, "to_char", [ty, Text], Text, |row| {
            to_char(row).map(Value::from)
        });
    }
    function(
        r,
        "to_number",
        [Text, Text],
        Numeric(None),
        super::number_in::to_number,
    );
}

/// What a template says.
#[derive(Default)]
pub(super) struct Template {
    fill: bool,
    /// Places before and after the point, in the order written
    pub(super) items: Vec<Item>,
    pub(super) digits_before: usize,
    pub(super) digits_after: usize,
    /// Where the first 0 stands among the places before the point
    first_zero: Option<usize>,
    pub(super) sign: Sign,
    sign_first: bool,
    roman: Option<bool>,
    scientific: bool,
    pub(super) shift: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sign {
    /// A minus right before the number
    #[default]
    Plain,
    /// `S`: plus or minus
    Anchored,
    /// `MI`
    Minus,
    /// `PL`
    Plus,
    /// `SG`
    Both,
    /// `PR`: angle brackets
    Brackets,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Item {
    Digit,
    Zero,
    Point,
    Group,
    Sign,
    Ordinal(bool),
    Literal(String),
}

pub(super) fn parse(template: &str) -> Result<Template, Report> {
    let mut out = Template::default();
    let mut rest = template;
    let mut after = false;
    let fault = |message: &str| Err(Report::error(codes::SYNTAX_ERROR, message.to_owned()));
    while let Some(c) = rest.chars().next() {
        let starts = |word: &str| {
            rest.get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let mut length = c.len_utf8();
        if c == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |at| at + 2);
            let inner = rest[1..end].trim_end_matches('"');
            out.items.push(Item::Literal(inner.to_owned()));
            length = end;
        } else if starts("FM") {
            out.fill = true;
            length = 2;
        } else if starts("EEEE") {
            out.scientific = true;
            length = 4;
        } else if starts("RN") {
            out.roman = Some(c == 'R');
            length = 2;
        } else if starts("TH") {
            out.items.push(Item::Ordinal(c == 'T'));
            length = 2;
        } else if starts("PR") {
            out.sign = Sign::Brackets;
            length = 2;
        } else if starts("MI") || starts("PL") || starts("SG") {
            out.sign = match c.to_ascii_uppercase() {
                'M' => Sign::Minus,
                'P' => Sign::Plus,
                _ => Sign::Both,
            };
            out.items.push(Item::Sign);
            length = 2;
        } else {
            match c.to_ascii_uppercase() {
                '9' | '0' => {
                    if after {
                        out.digits_after += 1;
                    } else {
                        if c == '0' && out.first_zero.is_none() {
                            out.first_zero = Some(out.digits_before);
                        }
                        out.digits_before += 1;
                    }
                    out.items
                        .push(if c == '0' { Item::Zero } else { Item::Digit });
                }
                '.' | 'D' => {
                    if after {
                        return fault("multiple decimal points");
                    }
                    after = true;
                    out.items.push(Item::Point);
                }
                'V' => {
                    // Digits behind it multiply by ten each.
                    let digits = rest[1..]
                        .bytes()
                        .take_while(|b| matches!(b, b'9' | b'0'))
                        .count();
                    out.shift = digits;
                }
                ',' | 'G' => out.items.push(Item::Group),
                'S' => {
                    out.sign = Sign::Anchored;
                    out.sign_first = !out
                        .items
                        .iter()
                        .any(|item| matches!(item, Item::Digit | Item::Zero | Item::Point));
                    out.items.push(Item::Sign);
                }
                'L' => out.items.push(Item::Literal(" ".to_owned())),
                _ => out.items.push(Item::Literal(c.to_string())),
            }
        }
        rest = &rest[length..];
    }
    Ok(out)
}

fn to_char(row: &Row<'_>) -> Result<String, Report> {
    let template = parse(row.text(1))?;
    let value = match row.value(0) {
        ValueRef::Double(v) if !v.is_finite() => return Ok(not_finite(*v, &template)),
        ValueRef::Real(v) if !v.is_finite() => return Ok(not_finite(f64::from(*v), &template)),
        ValueRef::Double(v) => {
            Decimal::from_f64(*v).ok_or_else(tessera_planner::decimals::numeric_overflow)?
        }
        ValueRef::Real(v) => {
            Decimal::from_f32(*v).ok_or_else(tessera_planner::decimals::numeric_overflow)?
        }
        ValueRef::Numeric(v) => *v,
        _ => Decimal::from(row.integer(0)),
    };
    if let Some(upper) = template.roman {
        return Ok(roman(value, upper, template.fill));
    }
    if template.scientific {
        let digits = template.digits_after;
        let float = value.to_f64();
        let text = format!("{float:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        let lead = if float >= 0.0 && !template.fill {
            " "
        } else {
            ""
        };
        return Ok(format!(
            "{lead}{mantissa}e{sign}{:02}",
            exponent.unsigned_abs()
        ));
    }
    let value = if template.shift > 0 {
        let factor = Decimal::new(
            10i128.pow(u32::try_from(template.shift.min(37)).unwrap_or(0)),
            0,
        )
        .unwrap_or_default();
        value
            .checked_mul(factor)
            .ok_or_else(tessera_planner::decimals::numeric_overflow)?
    } else {
        value
    };
    Ok(layout(value, &template))
}

fn not_finite(value: f64, template: &Template) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    let width = if template.fill {
        0
    } else {
        template.digits_before + 1
    };
    format!("{text:>width$}")
}

fn layout(value: Decimal, template: &Template) -> String {
    let rounded = value
        .round(i32::try_from(template.digits_after).unwrap_or(0))
        .unwrap_or(value);
    let negative = rounded.unscaled < 0;
    let text = rounded.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = if whole == "0" { "" } else { whole };
    let overflow = whole.len() > template.digits_before;
    // Digits from the first place, blank where there is none.
    let missing = template.digits_before.saturating_sub(whole.len());
    let mut fraction: String = format!("{fraction:0<width$}", width = template.digits_after);
    fraction.truncate(template.digits_after);
    let kept_fraction = if template.fill {
        // 9s at the end that print zeros are left out, 0s are not.
        let forced = template
            .items
            .iter()
            .skip_while(|item| **item != Item::Point)
            .filter(|item| matches!(item, Item::Digit | Item::Zero))
            .enumerate()
            .filter(|(_, item)| **item == Item::Zero)
            .map(|(index, _)| index + 1)
            .last()
            .unwrap_or(0);
        let used = fraction.trim_end_matches('0').len();
        used.max(forced)
    } else {
        template.digits_after
    };
    let zero_from = template.first_zero.unwrap_or(usize::MAX);
    let mut out = String::new();
    let mut sign_done = false;
    let (mut place, mut decimal_place) = (0, 0);
    let mut after = false;
    let started = |place: usize| place >= missing || place >= zero_from;
    // Without any whole digit, one zero stands before the point.
    let lone_zero = whole.is_empty() && zero_from >= template.digits_before;
    let sign_text = |sign: Sign| match (sign, negative) {
        (Sign::Anchored | Sign::Both, true) | (Sign::Minus, true) | (Sign::Plain, true) => "-",
        (Sign::Anchored | Sign::Both, false) | (Sign::Plus, false) => "+",
        (Sign::Brackets, true) => "<",
        _ => " ",
    };
    let put_leading_sign = |out: &mut String, done: &mut bool| {
        if *done {
            return;
        }
        *done = true;
        match template.sign {
            Sign::Plain | Sign::Brackets => {
                let text = sign_text(template.sign);
                if !(template.fill && text == " ") {
                    out.push_str(text);
                }
            }
            Sign::Anchored if template.sign_first => out.push_str(sign_text(Sign::Anchored)),
            _ => {}
        }
    };
    for item in &template.items {
        match item {
            Item::Digit | Item::Zero if after => {
                if decimal_place < kept_fraction {
                    out.push(if overflow {
                        '#'
                    } else {
                        fraction
                            .as_bytes()
                            .get(decimal_place)
                            .map_or('0', |b| char::from(*b))
                    });
                }
                decimal_place += 1;
            }
            Item::Digit | Item::Zero => {
                let last_lone =
                    lone_zero && place + 1 == template.digits_before && template.digits_after == 0;
                if overflow {
                    put_leading_sign(&mut out, &mut sign_done);
                    out.push('#');
                } else if started(place) || last_lone {
                    put_leading_sign(&mut out, &mut sign_done);
                    let digit = place
                        .checked_sub(missing)
                        .and_then(|at| whole.as_bytes().get(at));
                    out.push(digit.map_or('0', |b| char::from(*b)));
                } else if !template.fill {
                    out.push(' ');
                }
                place += 1;
            }
            Item::Group => {
                if overflow && place > 0 {
                    out.push(',');
                } else if place > 0 && started(place - 1) {
                    out.push(',');
                } else if !template.fill {
                    out.push(' ');
                }
            }
            Item::Point => {
                put_leading_sign(&mut out, &mut sign_done);
                after = true;
                if lone_zero && template.fill && template.digits_before > 0 {
                    out.push('0');
                }
                out.push('.');
            }
            Item::Sign => {
                if !(template.sign == Sign::Anchored && template.sign_first) {
                    let text = sign_text(template.sign);
                    if !(template.fill && text == " ") {
                        out.push_str(text);
                    }
                }
            }
            Item::Ordinal(upper) => {
                if rounded.scale == 0 && !negative {
                    let digits = whole.as_bytes();
                    let suffix = match digits {
                        [.., b'1', _] => "th",
                        [.., b'1'] => "st",
                        [.., b'2'] => "nd",
                        [.., b'3'] => "rd",
                        _ => "th",
                    };
                    out.push_str(&if *upper {
                        suffix.to_uppercase()
                    } else {
                        suffix.to_owned()
                    });
                }
            }
            Item::Literal(text) => out.push_str(text),
        }
    }
    put_leading_sign(&mut out, &mut sign_done);
    if template.sign == Sign::Brackets {
        out.push_str(match (negative, template.fill) {
            (true, _) => ">",
            (false, true) => "",
            (false, false) => " ",
        });
    }
    out
}

fn roman(value: Decimal, upper: bool, fill: bool) -> String {
    const STEPS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut left = value.to_i64().unwrap_or(0);
    let text = if (1..4000).contains(&left) {
        let mut text = String::new();
        for (step, numeral) in STEPS {
            while left >= step {
                text.push_str(numeral);
                left -= step;
            }
        }
        if upper { text } else { text.to_lowercase() }
    } else {
        "#".repeat(15)
    };
    if fill { text } else { format!("{text:>15}") }
}
