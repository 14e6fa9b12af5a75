//! The list of unsafe code: SAFETY.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files below `directory` whose code has the word `unsafe` in it.
fn unsafe_files(directory: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            unsafe_files(&path, root, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut words = code.flat_map(|line| line.split(|letter: char| !letter.is_ascii() || !is_word(letter as u8)));
        if words.any(|word| word == "unsafe") {
            let relative = path.strip_prefix(root).expect("it is below the root");
            found.insert(relative.to_str().expect("a plain name").to_owned());
        }
    }
}

/// The files in the first column of the tables.
fn listed_files(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `src/"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    cells.flat_map(|cell| cell.split(", `src/")).map(|name| format!("src/{}", name.trim_end_matches('`'))).collect()
}

#[test]
fn every_file_with_unsafe_code_is_listed_once_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    unsafe_files(&root.join("src"), root, &mut found);
    assert!(found.contains("src/engine/stack/mod.rs"), "{found:?}");
    let listed = listed_files(include_str!("../../SAFETY.md"));
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a file is listed twice: {listed:?}");
    assert_eq!(found, once, "the sources, and the tables of SAFETY.md");
}
