//! Libraries and their functions, as the registry keeps them.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::callback::Callback;
use super::flags::FunctionFlags;
use crate::block;

/// A loaded library. Never changes once it is registered, but for what is counted of its calls: a replacement is
/// another library.
#[derive(Debug)]
pub struct Library {
    /// Its name; case matters.
    pub name: Box<str>,
    /// The whole code as it was sent, first line included.
    pub code: Box<[u8]>,
    /// Its functions, at least one, no two of the same name in any case.
    pub functions: Box<[Function]>,
    /// Bytes that it had taken in the VM when it was loaded.
    pub vm_bytes: usize,
    /// When it was loaded, in milliseconds since 1970.
    pub loaded_at: u64,
    /// Whether its functions may reach no keys but those that a call declares.
    pub keys_declared: bool,
    /// What tells its source from another, once somebody has asked.
    pub version: Version,
}

/// The SHA-256 of a source. It is computed when it is asked for.
#[derive(Debug, Default)]
pub struct Version(OnceLock<Box<[u8; 32]>>);

impl Library {
    /// What tells its source from another: its SHA-256 in hexadecimal digits.
    pub fn version(&self) -> String {
        let hash = self.version.0.get_or_init(|| Box::new(Sha256::digest(&self.code).into()));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes that it takes outside of the VM: its source, its names and descriptions, in the blocks that they are
    /// in.
    pub fn bytes(&self) -> usize {
        let functions = block::size(size_of_val(&*self.functions));
        let texts = self.functions.iter().map(Function::bytes).sum::<usize>();
        block::shared_size::<Self>() + block::size(self.name.len()) + block::size(self.code.len()) + functions + texts
    }
}

impl Function {
    /// Bytes that its texts take.
    fn bytes(&self) -> usize {
        block::size(self.name.len()) + block::size(self.description.as_ref().map_or(0, |text| text.len()))
    }
}

/// One function of a library.
#[derive(Debug)]
pub struct Function {
    /// Its name as registered; callers may use any case.
    pub name: Box<str>,
    /// What it says about itself, any bytes.
    pub description: Option<Box<[u8]>>,
    /// What it declares about itself.
    pub flags: FunctionFlags,
    /// What is called.
    pub callback: Callback,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_sha_256_of_the_source() {
        for (code, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let library = Library {
                name: "l".into(),
                code: code.as_bytes().into(),
                functions: Box::default(),
                vm_bytes: 0,
                loaded_at: 0,
                keys_declared: false,
                version: Version::default(),
            };
            assert_eq!([library.version(), library.version()], [expected; 2]);
        }
    }
}
