//! What a deploy says of the libraries that it puts in place.

use sha2::{Digest, Sha256};

use super::library::Library;
use crate::error::Error;

/// A version of the whole registry: the libraries that one deploy has put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What it is called.
    pub label: Label,
    /// Whether libraries have come, gone or been replaced since then.
    pub changed: bool,
    /// What told its libraries from others when it was deployed.
    pub hash: SetHash,
    /// When it was deployed, in milliseconds since 1970.
    pub time: u64,
    /// The name of the client that deployed it; empty for one without a name.
    pub client: Box<[u8]>,
    /// The user of that client; empty for none.
    pub user: Box<[u8]>,
}

/// What is added to the label of a version that was changed after its deploy.
const CHANGED: &str = "+changes";

impl Release {
    /// The label, as it is shown: with `+changes` if libraries were changed since the deploy.
    pub fn shown(&self) -> String {
        format!("{}{}", self.label.0, if self.changed { CHANGED } else { "" })
    }

    /// Reads what [`shown`](Self::shown) has written: the label, and whether it was changed.
    ///
    /// # Errors
    /// The text for a bad label.
    pub fn read_shown(text: &[u8]) -> Result<(Label, bool), Error> {
        match text.strip_suffix(CHANGED.as_bytes()) {
            Some(label) => Ok((Label::new(label)?, true)),
            None => Ok((Label::new(text)?, false)),
        }
    }
}

/// The label of a version: 1 to 64 letters, digits and any of `. _ - : / @`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Box<str>);

/// The longest label, in bytes.
const LONGEST: usize = 64;

impl Label {
    /// A label.
    ///
    /// # Errors
    /// What a label must be.
    pub fn new(text: &[u8]) -> Result<Self, Error> {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(byte);
        let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| fits(&byte)));
        text.filter(|text| (1..=LONGEST).contains(&text.len()))
            .map(|text| Self(text.into()))
            .ok_or_else(|| "ERR The label of a version has 1 to 64 letters, digits and any of . _ - : / @".into())
    }

    /// That of a version which was given none: the beginning of the hash of its libraries.
    pub fn of_hash(hash: &SetHash) -> Self {
        Self(hash.to_string()[..12].into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What tells a set of libraries from another: the SHA-256 of the SHA-256s of their sources, in the order of their
/// names by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetHash([u8; 32]);

impl SetHash {
    /// That of these libraries. Reads every source.
    pub fn of<'l>(libraries: impl Iterator<Item = &'l Library>) -> Self {
        let mut libraries: Vec<&Library> = libraries.collect();
        libraries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut hash = Sha256::new();
        libraries.iter().for_each(|library| hash.update(Sha256::digest(&library.code)));
        Self(hash.finalize().into())
    }
}

impl std::fmt::Display for SetHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_short_and_of_plain_characters() {
        for fine in ["v1", "1.2.3-rc_1", "main@4f2a", "team/cart:7", &"x".repeat(64)] {
            assert_eq!(Label::new(fine.as_bytes()).unwrap().as_str(), fine);
        }
        for bad in [&b""[..], b"a b", b"v1+changes", b"\xff", b"a\nb", "\u{e4}".as_bytes(), &[b'x'; 65]] {
            assert!(Label::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        let release = |changed| Release {
            label: Label::new(b"v1").unwrap(),
            changed,
            hash: SetHash([0; 32]),
            time: 0,
            client: Box::default(),
            user: Box::default(),
        };
        for (changed, shown) in [(false, "v1"), (true, "v1+changes")] {
            let release = release(changed);
            assert_eq!(release.shown(), shown);
            assert_eq!(Release::read_shown(shown.as_bytes()).unwrap(), (release.label, changed));
        }
        assert!(Release::read_shown(b"+changes").is_err());
    }
}
