//! `to_number`: text and template side by side, as `NUM_processor` of PostgreSQL walks them.

use tessera_types::{Decimal, Report, Value, codes, coerce};

use super::super::exact;
use super::super::kernel::{Row, RowResult};
use super::numbers::{Item, Sign, Template, parse};

/// A text that is read place by place.
struct Reader<'a> {
    text: Vec<char>,
    at: usize,
    template: &'a Template,
    sign: Option<char>,
    digits: String,
    before: usize,
    after: usize,
    seen_point: bool,
}

/// `to_number(text, template)`.
pub(super) fn to_number(row: &Row<'_>) -> RowResult {
    let template = parse(row.text(1))?;
    let mut reader = Reader {
        text: row.text(0).chars().collect(),
        at: 0,
        template: &template,
        sign: None,
        digits: String::new(),
        before: 0,
        after: 0,
        seen_point: false,
    };
    for item in &template.items {
        if reader.at >= reader.text.len() {
            break;
        }
        reader.step(item);
    }
    if !reader.digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(Report::error(
            codes::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type numeric: \" \"",
        ));
    }
    let number: Decimal = reader.digits.parse()?;
    let number = if reader.sign == Some('-') {
        -number
    } else {
        number
    };
    let scale = u8::try_from(template.digits_after).unwrap_or(u8::MAX);
    let precision = template.digits_before + template.digits_after + template.shift;
    let precision = u8::try_from(precision).unwrap_or(u8::MAX);
    let mut number =
        coerce::fit_numeric(number, Some((precision, scale))).map_err(|error| error.report())?;
    if template.shift > 0 {
        let shift = i64::try_from(template.shift).unwrap_or(i64::MAX);
        let factor = exact::power(Decimal::from(10i64), Decimal::from(-shift))?;
        number = number
            .checked_mul(factor)
            .ok_or_else(tessera_planner::decimals::numeric_overflow)?;
    }
    Ok(Value::Numeric(number))
}

impl Reader<'_> {
    fn now(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// What one place of the template takes from the text.
    fn step(&mut self, item: &Item) {
        match item {
            Item::Digit | Item::Zero | Item::Point => self.place(*item == Item::Point),
            Item::Group if self.now() != Some(',') => return,
            Item::Group => {}
            // It is read together with the digit beside it.
            Item::Sign if self.template.sign == Sign::Anchored => return,
            Item::Sign => match (self.template.sign, self.now()) {
                (Sign::Minus | Sign::Both, Some('-')) => self.sign = Some('-'),
                (Sign::Plus | Sign::Both, Some('+')) => self.sign = Some('+'),
                _ => {
                    self.skip_other(1);
                    return;
                }
            },
            Item::Ordinal(_) => {
                self.skip_other(2);
                return;
            }
            Item::Literal(text) => {
                self.at += text.chars().count();
                return;
            }
        }
        self.at += 1;
    }

    /// `NUM_numpart_from_char`: a digit, the point, and the sign before or behind the number.
    fn place(&mut self, no_leading_sign: bool) {
        if self.now() == Some(' ') {
            self.at += 1;
        }
        if self.sign.is_none() && !no_leading_sign && self.before + self.after == 0 {
            let brackets = self.template.sign == Sign::Brackets;
            match self.now() {
                Some('-') => self.take_sign('-'),
                Some('+') => self.take_sign('+'),
                Some('<') if brackets => self.take_sign('-'),
                _ => {}
            }
        }
        let mut read = false;
        match self.now() {
            Some(digit) if digit.is_ascii_digit() => {
                if self.seen_point && self.after == self.template.digits_after {
                    return;
                }
                self.digits.push(digit);
                if self.seen_point {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
                read = true;
            }
            Some('.') if !self.seen_point && self.template.items.contains(&Item::Point) => {
                self.digits.push('.');
                self.seen_point = true;
                read = true;
            }
            _ => {}
        }
        if self.sign.is_some() || self.before + self.after == 0 {
            return;
        }
        let next = self.text.get(self.at + 1).copied();
        let anchored = self.template.sign == Sign::Anchored;
        if anchored && read {
            if let Some(sign @ ('-' | '+')) = next {
                self.sign = Some(sign);
                self.at += 1;
            }
        } else if !read
            && matches!(self.template.sign, Sign::Plus | Sign::Minus | Sign::Both)
            && let Some(sign @ ('-' | '+')) = self.now()
        {
            self.sign = Some(sign);
        }
    }

    fn take_sign(&mut self, sign: char) {
        self.sign = Some(sign);
        self.at += 1;
    }

    /// Skips so many characters that cannot belong to a number.
    fn skip_other(&mut self, count: usize) {
        for _ in 0..count {
            match self.now() {
                Some(c) if !c.is_ascii_digit() && !matches!(c, '.' | ',' | '+' | '-') => {
                    self.at += 1;
                }
                _ => return,
            }
        }
    }
}
