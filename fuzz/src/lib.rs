//! What the fuzz targets share: a module without a server, and the memory that it may take.

mod host;
pub mod memory;
mod oracle;
mod reply;
pub mod source;
mod vm;

pub use oracle::Oracle;
pub use reply::Reply;
pub use vm::{ENDED, Round, Vm, redis_7_0, redis_8_2, valkey_9_1};
