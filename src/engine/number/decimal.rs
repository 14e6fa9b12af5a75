//! The digits of a number.

/// Decimal digits, and the power of ten that the first one counts.
#[derive(Debug)]
pub struct Decimal {
    /// As many as `count` says, the last one not a zero unless it is the only one.
    digits: [u8; 24],
    count: usize,
    pub exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as `value`, which is positive and finite.
    pub fn shortest(value: f64) -> Self {
        let mut buffer = ryu_js::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        let mut decimal = Self { exponent: -1, ..Self::EMPTY };
        let (mantissa, power) = match text.iter().position(|&byte| byte == b'e') {
            Some(place) => (&text[..place], parse_power(&text[place + 1..])),
            None => (text, 0),
        };
        let mut after_point = false;
        for &byte in mantissa {
            if byte == b'.' {
                after_point = true;
                continue;
            }
            decimal.push_significant(byte - b'0');
            let significant = decimal.count > 0;
            decimal.exponent += i32::from(significant && !after_point) - i32::from(!significant && after_point);
        }
        decimal.exponent += power;
        decimal.trim();
        decimal
    }

    /// No digits yet.
    pub const EMPTY: Self = Self { digits: [0; 24], count: 0, exponent: 0 };

    /// Appends a digit, unless it is a zero and the first.
    pub fn push_significant(&mut self, digit: u8) {
        if self.count > 0 || digit != 0 {
            self.digits[self.count] = b'0' + digit;
            self.count += 1;
        }
    }

    /// Makes the last digit one less.
    pub fn lower_last(&mut self) {
        self.digits[self.count - 1] -= 1;
    }

    /// The digits, of which the last one counts this power of ten.
    pub fn scaled(mut self, last: i32) -> Self {
        self.exponent = last + self.count as i32 - 1;
        self
    }

    /// The digits as text.
    pub fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn trim(&mut self) {
        while self.count > 1 && self.digits[self.count - 1] == b'0' {
            self.count -= 1;
        }
    }

    /// Rounds the shortest decimal of a number to what the number itself is with at most `most` digits; None when only
    /// the exact value decides.
    pub fn rounded(mut self, most: usize) -> Option<Self> {
        if self.count <= most {
            return Some(self);
        }
        // The shortest decimal and the value lie on the same side of the middle between two shorter ones: the middle
        // is shorter itself, so if it were between them, it would have been chosen. Only when the shortest decimal
        // is the middle, the side of the value is unknown.
        if self.count == most + 1 && self.digits[most] == b'5' {
            return None;
        }
        let up = self.digits[most] >= b'5';
        self.count = most;
        if up {
            while self.count > 0 && self.digits[self.count - 1] == b'9' {
                self.count -= 1;
            }
            if self.count == 0 {
                (self.digits[0], self.count) = (b'1', 1);
                self.exponent += 1;
            } else {
                self.digits[self.count - 1] += 1;
            }
        }
        self.trim();
        Some(self)
    }
}

/// The number after an `e`.
fn parse_power(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let power = digits.iter().fold(0, |power, &digit| power * 10 + i32::from(digit - b'0'));
    if negative { -power } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortest(value: f64) -> (String, i32) {
        let decimal = Decimal::shortest(value);
        (String::from_utf8(decimal.digits().to_vec()).unwrap(), decimal.exponent)
    }

    #[test]
    fn the_shortest_digits_are_found_with_the_power_of_the_first() {
        assert_eq!(shortest(1.0), ("1".into(), 0));
        assert_eq!(shortest(1200.0), ("12".into(), 3));
        assert_eq!(shortest(0.00012), ("12".into(), -4));
        assert_eq!(shortest(1.5e-300), ("15".into(), -300));
        assert_eq!(shortest(123.456), ("123456".into(), 2));
        assert_eq!(shortest(1e21), ("1".into(), 21));
        assert_eq!(shortest(5e-324), ("5".into(), -324));
        assert_eq!(shortest(f64::MAX), ("17976931348623157".into(), 308));
    }

    #[test]
    fn a_middle_is_not_rounded() {
        assert!(Decimal::shortest(0.125).rounded(2).is_none());
        let rounded =
            |value, most| Decimal::shortest(value).rounded(most).map(|it| (it.digits().to_vec(), it.exponent));
        assert_eq!(rounded(9.99, 2), Some((b"1".to_vec(), 1)));
        assert_eq!(rounded(0.1251, 2), Some((b"13".to_vec(), -1)));
        assert_eq!(rounded(1.0049, 3), Some((b"1".to_vec(), 0)));
    }
}
