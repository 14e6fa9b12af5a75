//! Numbers as the server prints and reads them.

mod decimal;
mod grisu;
mod integer;
mod print;
mod read;
mod text;

pub use integer::truncated;
pub use print::{general, set_argument, text};
pub use read::read;
pub use text::{NumberText, TEXT_ROOM};

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose bits are spread over everything.
    pub fn spread(count: u64) -> impl Iterator<Item = u64> {
        (1..=count)
            .map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    fn argument(number: f64, short: bool) -> String {
        let mut text = NumberText::EMPTY;
        set_argument(&mut text, number, short);
        String::from_utf8(text.to_vec()).unwrap()
    }

    fn old(number: f64) -> String {
        argument(number, false)
    }

    fn new(number: f64) -> String {
        argument(number, true)
    }

    #[test]
    fn seventeen_digits_are_printed_for_7_0() {
        assert_eq!(old(3.0), "3");
        assert_eq!(old(0.1), "0.10000000000000001");
        assert_eq!(old(1e15), "1000000000000000");
        assert_eq!(old(1e17), "1e+17");
        assert_eq!(old(-0.0), "-0");
        assert_eq!(old(9_223_372_036_854_775_808.0), "9.2233720368547758e+18");
        assert_eq!(old(f64::INFINITY), "inf");
        assert_eq!(old(f64::NAN), "nan");
        assert_eq!(old(-f64::NAN), "-nan");
    }

    #[test]
    fn later_servers_print_integers_first_and_then_a_short_text() {
        assert_eq!(new(1e17), "100000000000000000");
        assert_eq!(new(-0.0), "0");
        assert_eq!(new(0.1), "0.1");
        assert_eq!(new(1e-5), "0.00001");
        assert_eq!(new(1e-7), "1e-7");
        assert_eq!(new(9_223_372_036_854_775_808.0), "9223372036854776000");
        assert_eq!(new(-9_223_372_036_854_775_808.0), "-9223372036854776000");
        assert_eq!(new(4_611_686_018_427_387_904.0), "4611686018427387904");
        assert_eq!(new(1e21), "1e+21");
        assert_eq!(new(1e19), "1e+19");
        assert_eq!(new(12_345_678_901_234_567_890.0), "12345678901234567000");
        assert_eq!(new(1.5), "1.5");
        assert_eq!(new(-0.000_123_456_7), "-1.234567e-4");
        assert_eq!(new(0.001_234_567_89), "0.00123456789");
        assert_eq!(new(f64::NEG_INFINITY), "-inf");
        // Neither the closest nor the fewest digits, but the servers'.
        assert_eq!(new(2.045_599_743_943_924_3e133), "2.0455997439439244e+133");
        assert_eq!(new(228_429_866_853_658_850.0), "228429866853658848");
        assert_eq!(new(1.539_920_307_372_461_3e100), "1.5399203073724613e+100");
    }

    #[test]
    fn truncation_is_the_processors() {
        assert_eq!(truncated(3.99), 3);
        assert_eq!(truncated(-3.99), -3);
        assert_eq!(truncated(f64::NAN), i64::MIN);
        assert_eq!(truncated(1e300), i64::MIN);
        assert_eq!(truncated(-1e300), i64::MIN);
        assert_eq!(truncated(9_007_199_254_740_992.0), 9_007_199_254_740_992);
    }
}
