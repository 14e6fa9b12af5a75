//! Rules that lead to a difference that is known.

/// What is left out for a row of docs/compatibility.md: the row, the kind of hole (any, if it is empty), and a text
/// that the rules for it contain.
const ROWS: &[(&str, &str, &str)] = &[
    ("table-constructor", "", "[1] = <a>"),
    ("integer-arguments", "", "<i>, <a>, <a>, <a>"),
    ("integer-arguments", "", "pcall(select"),
    ("extra-syntax", "conversion", "%*d"),
    ("vm-error-text", "f", "math.floor"),
    ("vm-error-text", "", "loadstring(<code>)()"),
    ("vm-error-text", "", "(loadstring(<code>) or type)(<a>)"),
    ("vm-error-text", "", "#cmsgpack.pack(<j>)"),
    ("compile-error-text", "", "loadstring(<code>, <s>)"),
];

/// Whether a rule leads to a known difference.
pub fn forbid(kind: &str, rule: &str) -> bool {
    ROWS.iter().any(|(_, of, text)| (of.is_empty() || *of == kind) && rule.contains(text))
}

#[test]
fn each_rule_that_is_left_out_has_a_row() {
    let page = include_str!("../../../docs/compatibility.md");
    for (row, _, text) in ROWS {
        assert!(page.contains(&format!("| `{row}` |")), "{text}: there is no row {row}");
    }
}
