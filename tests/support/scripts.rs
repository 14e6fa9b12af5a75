//! Scripts by their digests.

/// The digest that a script is known by.
pub fn digest(script: impl AsRef<[u8]>) -> String {
    sha1_smol::Sha1::from(script).digest().to_string()
}
