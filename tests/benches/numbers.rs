use crate::number::*;

#[test]
fn a_number_has_the_decimals_that_are_worth_reading() {
    let shown = [0.0, 0.354, 9.99, 12.34, 99.99, 123.4, 148_276.0, 1_000_000.4].map(number);
    assert_eq!(shown, ["0.00", "0.35", "9.99", "12.3", "100.0", "123", "148,276", "1,000,000"]);
    assert_eq!(number(f64::INFINITY), "never");
}

#[test]
fn thousands_stand_apart() {
    assert_eq!([10, 999, 1_000, 100_000, 1_000_000].map(count), ["10", "999", "1,000", "100,000", "1,000,000"]);
}

#[test]
fn round_thousands_are_shortened_where_there_is_little_room() {
    let shown = [10, 1_000, 10_000, 12_500, 100_000, 1_000_000, 1_500_000].map(short);
    assert_eq!(shown, ["10", "1,000", "10k", "12,500", "100k", "1M", "1,500k"]);
}

#[test]
fn a_side_that_never_got_there_has_no_ratio() {
    assert_eq!([1.384, f64::INFINITY, 0.0, f64::NAN].map(ratio), ["1.38x", "-", "-", "-"]);
}

#[test]
fn a_difference_shows_its_sign() {
    assert_eq!([0.94, -2.06].map(percent), ["+0.9 %", "-2.1 %"]);
}
