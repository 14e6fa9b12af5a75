//! The list of unsafe code: SAFETY.md.
//!
//! The compiler refuses unsafe code in every file but those that allow it (`src/lib.rs`). These are compared with the
//! list here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files below `directory` that allow unsafe code.
fn allowing_files(directory: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            allowing_files(&path, root, found);
        } else if fs::read_to_string(&path).expect("a source").contains("[allow(unsafe_code") {
            let relative = path.strip_prefix(root).expect("it is below the root");
            found.insert(relative.to_str().expect("a plain name").to_owned());
        }
    }
}

/// The files and directories in the first column of the tables.
fn listed_places(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `src/"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    cells.flat_map(|cell| cell.split(", `src/")).map(|name| format!("src/{}", name.trim_end_matches('`'))).collect()
}

#[test]
fn every_file_that_allows_unsafe_code_is_listed_once_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    allowing_files(&root.join("src"), root, &mut found);
    let listed = listed_places(include_str!("../../SAFETY.md"));
    // What a file allows, it allows for the modules below it, too: such a place is listed as a directory.
    let is_below = |file: &str, place: &str| file == place || place.ends_with('/') && file.starts_with(place);
    for place in &listed {
        let names: Vec<&String> = listed.iter().filter(|other| is_below(place, other)).collect();
        assert_eq!(names, [place], "listed twice");
        let allows = if place.ends_with('/') { format!("{place}mod.rs") } else { place.clone() };
        assert!(found.contains(&allows), "{place} is listed and allows no unsafe code");
    }
    for file in &found {
        assert!(listed.iter().any(|place| is_below(file, place)), "{file} allows unsafe code and is not listed");
    }
}
