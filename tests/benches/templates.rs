use crate::template::*;

#[test]
fn a_template_gets_its_gaps_filled() {
    let gaps = [("day", "2026-01-31\n".to_owned()), ("time", "1 us".to_owned())];
    assert_eq!(fill("On {{day}}: {{time}}, {{time}}.", &gaps), "On 2026-01-31: 1 us, 1 us.");
}

#[test]
#[should_panic(expected = "no gap {{time}}")]
fn a_filling_without_a_gap_is_refused() {
    fill("On {{day}}.", &[("day", String::new()), ("time", String::new())]);
}

#[test]
#[should_panic(expected = "nothing fills the gap")]
fn a_gap_without_a_filling_is_refused() {
    fill("On {{day}}.", &[]);
}

#[test]
fn what_stands_between_two_lines_is_replaced_and_nothing_else() {
    let page = "above\n<!-- begin -->\nold\n<!-- end -->\nbelow\n";
    let replaced = replace_between(page, "<!-- begin -->", "<!-- end -->", "new\n");
    assert_eq!(replaced, "above\n<!-- begin -->\nnew\n<!-- end -->\nbelow\n");
    assert_eq!(replace_between(&replaced, "<!-- begin -->", "<!-- end -->", "new\n"), replaced);
}
