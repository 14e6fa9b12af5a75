//! The registries: which libraries exist, which functions they offer, and the rules their names and headers obey; which
//! scripts are cached.
//!
//! Plain data. Nothing here knows the server or the VM: a function's callback is an opaque [`Slot`], and every error
//! carries the text that goes over the wire.

pub mod callback;
pub mod counters;
pub mod declaration;
pub mod digest;
pub mod error;
pub mod findings;
pub mod flags;
mod folded;
pub mod glob;
pub mod histogram;
pub mod hot_check;
pub mod library;
mod lzf;
pub mod name;
pub mod payload;
pub mod release;
pub mod scripts;
pub mod shebang;
pub mod table;
mod tokens;

pub use callback::{Callback, Slot};
pub use counters::{Counters, Counts};
pub use digest::Digest;
pub use error::RegistryError;
pub use findings::{Case, Findings};
pub use flags::FunctionFlags;
pub use histogram::Times;

pub use library::{Function, Library};
pub use release::{Label, Release, SetHash};
pub use scripts::{Origin, Script, ScriptCache};
pub use shebang::Header;
pub use table::{FunctionRef, Registry};
