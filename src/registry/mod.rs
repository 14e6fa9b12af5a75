//! The registry: which libraries exist, which functions they offer, and the rules their names and headers obey.
//!
//! Plain data. Nothing here knows the server or the VM: a function's callback is an opaque [`Slot`], and every error
//! carries the text that goes over the wire.

pub mod counters;
pub mod error;
pub mod flags;
pub mod glob;
pub mod hot_check;
pub mod library;
mod lzf;
pub mod name;
pub mod payload;
pub mod shebang;
pub mod table;
mod tokens;

pub use counters::{Counters, Counts};
pub use error::RegistryError;
pub use flags::FunctionFlags;
pub use hot_check::HotCheck;
pub use library::{Function, Library, Slot};
pub use shebang::Header;
pub use table::{FunctionRef, Registry};
