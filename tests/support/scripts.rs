//! Scripts by their digests.

use sha1::{Digest, Sha1};

/// The digest that a script is known by.
pub fn digest(script: impl AsRef<[u8]>) -> String {
    Sha1::digest(script).iter().map(|byte| format!("{byte:02x}")).collect()
}
