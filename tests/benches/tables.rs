use crate::table::*;

#[test]
fn a_table_lines_up() {
    let mut table = Table::new(["", "time"]);
    table.push(["a call", "1.00"]);
    table.push(["two", "12,345"]);
    assert_eq!(
        table.to_string(),
        "|        |   time |\n|--------|-------:|\n| a call |   1.00 |\n| two    | 12,345 |\n"
    );
}

#[test]
#[should_panic(expected = "cells of a row")]
fn a_row_has_a_cell_for_each_column() {
    Table::new(["", "time"]).push(["a call"]);
}

#[test]
fn what_was_never_reached_has_no_unit() {
    assert_eq!([1.5, f64::INFINITY].map(|value| quantity(value, "ms")), ["1.50 ms", "never"]);
}
