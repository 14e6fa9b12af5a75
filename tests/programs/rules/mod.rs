//! The rules of the grammar, by the kind of hole that they fill.
//!
//! None makes what docs/compatibility.md lists: the order of `pairs`, the length of tables with holes, a base of
//! logarithms, `%g`, syntax that Luau adds. Nor what ends a server or never ends. What the rules would say without a
//! row is left out where `rows` says so.

mod codecs;
mod numbers;
mod rows;
mod statements;
mod strings;
mod tables;

/// What a line may end with; most end as they do everywhere.
pub const LINES: [&str; 8] = ["\n", "\n", "\n", "\n", "\n", "\r\n", "\r", "\n\r"];

/// Kinds that a literal must not take the place of.
pub const FIXED: [&str; 16] = [
    "conversion",
    "flags",
    "width",
    "item",
    "quantity",
    "set",
    "event",
    "slot",
    "comment",
    "count",
    "limit",
    "step",
    "char",
    "name",
    "few",
    "escape",
];

/// The rules for a kind of hole, without those that a row forbids.
///
/// # Panics
/// When there are none: a rule names a kind that does not exist.
pub fn of(kind: &str) -> Vec<&'static str> {
    all(kind).iter().copied().filter(|rule| !rows::forbid(kind, rule)).collect()
}

fn all(kind: &str) -> &'static [&'static str] {
    match kind {
        "n" => numbers::NUMBERS,
        "digits" => numbers::DIGITS,
        "i" => numbers::POSITIONS,
        "count" => &["0", "1", "2", "3", "5", "-1", "2.7", "'3'"],
        "few" => &["0", "1", "2", "3"],
        "slot" => &["1", "3", "4", "0", "-1", "-3", "5", "9", "1.5", "'2'", "2^32 + 2", "{}", "0/0"],
        "base" => &["2", "8", "10", "16", "36", "1", "37", "'16'", "2.9", "nil", "-16", "<s>"],
        "bits" => numbers::BITS,
        "s" => strings::STRINGS,
        "subject" => strings::SUBJECTS,
        "escape" => strings::ESCAPES,
        "char" => strings::CHARACTERS,
        "comment" => &["", "text", "'", "\"", "[[", "x = 1", "~"],
        "p" => strings::PATTERNS,
        "item" => strings::ITEMS,
        "quantity" => strings::QUANTITIES,
        "set" => strings::SETS,
        "r" => strings::REPLACEMENTS,
        "conversion" => strings::CONVERSIONS,
        "flags" => strings::FLAGS,
        "width" => strings::WIDTHS,
        "b" => tables::BOOLEANS,
        "a" => tables::ANYTHING,
        "t" => tables::LISTS,
        "tn" => tables::LISTS_OF_NUMBERS,
        "ts" => tables::LISTS_OF_STRINGS,
        "m" => tables::CALLS,
        "event" => tables::EVENTS,
        "object" => tables::OBJECTS,
        "f" => tables::FUNCTIONS,
        "j" => codecs::VALUES,
        "json" => codecs::JSON,
        "packed" => codecs::PACKED,
        "layout" => codecs::LAYOUTS,
        "code" => codecs::CODE,
        "reply" => codecs::REPLIES,
        "bytes" => codecs::BYTES,
        "statement" => statements::STATEMENTS,
        "limit" => statements::LIMITS,
        "step" => statements::STEPS,
        "name" => statements::FIELDS,
        "last" => statements::LAST,
        _ => panic!("no rules for <{kind}>"),
    }
}
