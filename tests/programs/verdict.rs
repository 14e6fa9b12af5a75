//! Whether two replies to a program are the same, but for what docs/compatibility.md lists.

use super::support::Value;
use super::support::resp::parse;

/// What the VM of the server says in errors of its own (`vm-error-text`, `compile-error-text`).
const TEXTS_OF_THE_VM: [&str; 35] = [
    "attempt to ",
    "bad argument #",
    "malformed ",
    "no loop to break",
    "escape sequence too large",
    "syntax error",
    "invalid long string",
    "unbalanced pattern",
    "missing '",
    "unfinished ",
    "unexpected symbol",
    "invalid capture index",
    "invalid pattern capture",
    "invalid option ",
    "invalid format",
    "invalid conversion",
    "invalid value ",
    "invalid replacement value",
    "invalid key to 'next'",
    "pattern too complex",
    "too many ",
    "stack overflow",
    "string slice too long",
    "wrong number of arguments",
    "table index is ",
    "cannot ",
    "calling '",
    "'for' ",
    "'for limit'",
    "position out of bounds",
    "base out of range",
    "value expected",
    "interval is empty",
    " expected",
    "ambiguous syntax",
];

/// Whether the replies are the same, or differ as they may.
pub fn agree(stock: &[u8], shadow: &[u8]) -> bool {
    stock == shadow || values_agree(&parse(stock), &parse(shadow))
}

fn values_agree(stock: &Value, shadow: &Value) -> bool {
    match (stock, shadow) {
        (Value::Error(stock), Value::Error(shadow)) => errors_agree(stock, shadow),
        (Value::Array(stock), Value::Array(shadow)) => {
            stock.len() == shadow.len() && stock.iter().zip(shadow).all(|(stock, shadow)| values_agree(stock, shadow))
        }
        (Value::Bulk(stock), Value::Bulk(shadow)) => {
            let [stock, shadow] = [stock, shadow].map(|text| String::from_utf8_lossy(text));
            stock == shadow
                || (stock.starts_with('!') && errors_agree(&stock, &shadow))
                || quote_agrees(&stock, &shadow)
        }
        _ => stock == shadow,
    }
}

/// The texts of two errors are the same, or both the VM's, at the same place.
fn errors_agree(stock: &str, shadow: &str) -> bool {
    if stock == shadow {
        return true;
    }
    // A line end is a space here, and may be anything there (`crlf-in-errors`).
    let [stock, shadow] = [stock, shadow].map(|text| text.replace(['\r', '\n'], " "));
    let [stock, shadow] = [stock.trim_end(), shadow.trim_end()];
    if stock == shadow {
        return true;
    }
    let ((stock_place, stock_text, stock_end), (place, _, end)) = (parts(stock), parts(shadow));
    // A built-in function that another one called stands for no place here (`vm-error-text`).
    let same_end = stock_end == end || (stock_end.ends_with(" on =[C]:-1.") && end.is_empty());
    stock_place == place && same_end && TEXTS_OF_THE_VM.iter().any(|text| stock_text.contains(text))
}

/// Values that hold an error of the VM among others are the same up to its text.
fn quote_agrees(stock: &str, shadow: &str) -> bool {
    let place = TEXTS_OF_THE_VM.iter().filter_map(|text| stock.find(text)).min();
    place.is_some_and(|at| shadow.as_bytes().starts_with(&stock.as_bytes()[..at]))
}

/// What stands before the text of an error, the text, and what the server adds.
fn parts(error: &str) -> (&str, &str, &str) {
    let (error, end) = error.find(" script: ").map_or((error, ""), |at| error.split_at(at));
    let place = error.find(": ").map_or(0, |at| {
        let line = error[..at].rfind(':').map_or("", |colon| &error[colon + 1..at]);
        if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) { at + 2 } else { 0 }
    });
    (&error[..place], &error[place..], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_vm_may_differ_and_nothing_else() {
        let differ = |stock: &str, shadow: &str| assert!(!errors_agree(stock, shadow), "{stock}\n{shadow}");
        assert!(errors_agree("ERR user_function:3: attempt to call x", "ERR user_function:3: something else"));
        assert!(errors_agree("mine\r", "mine "));
        let called_by_another = "ERR bad argument #1 to '?' script: f, on =[C]:-1.";
        assert!(errors_agree(called_by_another, "ERR invalid argument #1 to 'upper'"));
        differ(called_by_another, "ERR invalid argument #1 to 'upper' script: f, on @x:1.");
        assert!(errors_agree("!user_function:3: bad argument #1 to 'f'", "!user_function:3: missing argument"));
        differ("!user_function:3: attempt to call x", "!user_function:4: attempt to call x");
        differ("!user_function:3: my own", "!user_function:3: mine");
        differ("!attempt to call x", "!user_function:3: attempt to call x");
        differ("ERR attempt to a script: f1, on @x:1.", "ERR attempt to a script: f1, on @x:2.");
    }

    #[test]
    fn values_are_compared_one_by_one() {
        assert!(agree(b"*2\r\n$2\r\n!x\r\n:1\r\n", b"*2\r\n$2\r\n!x\r\n:1\r\n"));
        assert!(!agree(b"*2\r\n$1\r\nx\r\n:1\r\n", b"*2\r\n$1\r\nx\r\n:2\r\n"));
        assert!(!agree(b"*1\r\n$1\r\nx\r\n", b"*1\r\n+x\r\n"));
        assert!(!agree(b"*1\r\n$7\r\n!cannot\r\n", b"*1\r\n$4\r\ndone\r\n"));
    }
}
