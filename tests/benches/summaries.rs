use std::time::Duration;

use crate::summary::*;

#[test]
fn a_spread_has_the_middle_sample_or_the_mean_of_two() {
    assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
    assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    assert_eq!(Spread::of(&[1.0, f64::INFINITY, f64::INFINITY]).median, f64::INFINITY);
}

#[test]
fn a_spread_shows_its_ends_where_there_are_two() {
    assert_eq!(Spread::of(&[1.0, 2.0, 3.0]).to_string(), "2.00 (1.00 .. 3.00)");
    assert_eq!(Spread::of(&[2.0]).to_string(), "2.00");
}

#[test]
fn a_ratio_is_taken_of_each_pair() {
    let mut pairs = Pairs::of(Better::Lower);
    for pair in [[2.0, 1.0], [20.0, 10.0], [3.0, 3.0]] {
        pairs.push(pair);
    }
    // The ratio of the medians would be 1.
    assert_eq!(pairs.ratio(), Spread { median: 2.0, min: 1.0, max: 2.0 });
    assert_eq!(pairs.cells(), ["3.00 / 3.00", "2.00x (1.00x .. 2.00x)"]);
}

#[test]
fn a_ratio_is_above_one_where_the_module_is_better() {
    let ratio = |better| {
        let mut pairs = Pairs::of(better);
        pairs.push([100.0, 200.0]);
        pairs.ratio().median
    };
    assert_eq!([Better::Lower, Better::Higher].map(ratio), [0.5, 2.0]);
}

#[test]
fn percentiles_are_times_that_were_seen() {
    let quantiles = Quantiles::of((1..=1_000).rev().map(Duration::from_micros).collect());
    let expected = [quantiles.half, quantiles.hundredth, quantiles.thousandth, quantiles.slowest];
    assert_eq!(expected.map(f64::round), [500.0, 990.0, 999.0, 1_000.0]);
    let few = Quantiles::of([3, 1, 2].map(Duration::from_micros).to_vec());
    assert_eq!([few.half, few.thousandth].map(f64::round), [2.0, 3.0]);
}

#[test]
fn the_mean_of_ratios_is_the_geometric_one() {
    assert!((mean([0.5, 2.0].into_iter()) - 1.0).abs() < 1e-9);
    assert!((mean([1.0, 4.0].into_iter()) - 2.0).abs() < 1e-9);
}
