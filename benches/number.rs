//! Numbers for readers.

/// A ratio; none where one of the two sides never got there.
pub fn ratio(value: f64) -> String {
    if value.is_normal() { format!("{}x", number(value)) } else { "-".to_owned() }
}

/// A difference in percent, with its sign.
pub fn percent(value: f64) -> String {
    format!("{value:+.1} %")
}

/// A difference, with its sign.
pub fn difference(value: f64) -> String {
    format!("{value:+.2}")
}

/// A count, its thousands apart.
pub fn count(value: usize) -> String {
    grouped(&value.to_string())
}

/// A count where there is little room: from 10,000 on in thousands (k) or millions (M), if it is round.
pub fn short(value: usize) -> String {
    match value {
        1_000_000.. if value.is_multiple_of(1_000_000) => format!("{}M", count(value / 1_000_000)),
        10_000.. if value.is_multiple_of(1_000) => format!("{}k", count(value / 1_000)),
        _ => count(value),
    }
}

/// A number with as many decimals as are worth reading, its thousands apart. Not below zero.
pub fn number(value: f64) -> String {
    if value.is_infinite() {
        return "never".to_owned();
    }
    let decimals = match value {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{}{fraction}", grouped(whole))
}

/// Digits without a sign, with a comma before every three.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
