//! Templates: text with gaps such as `{{date}}`.

/// The template with each gap filled by what stands beside its name.
///
/// # Panics
///
/// When the template lacks one of the gaps, or has one that is not named.
pub fn fill(template: &str, gaps: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (name, filling) in gaps {
        let gap = format!("{{{{{name}}}}}");
        assert!(text.contains(&gap), "the template has no gap {gap}");
        text = text.replace(&gap, filling.trim_end_matches('\n'));
    }
    let left = text.split("{{").nth(1);
    assert!(left.is_none(), "nothing fills the gap {left:?}");
    text
}

/// The page with `filling` between the lines `begin` and `end`, in place of what is there.
///
/// # Panics
///
/// When the page lacks one of these lines.
pub fn replace_between(page: &str, begin: &str, end: &str, filling: &str) -> String {
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("the page has no {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("the page has no {end}"));
    format!("{before}{begin}\n{}\n{end}{after}", filling.trim_matches('\n'))
}
