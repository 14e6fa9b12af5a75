//! One registry for a cluster.

pub mod change;
pub mod clash;
pub mod core;
pub mod delta;
pub mod digest;
pub mod entry;
pub mod input;
pub mod message;
pub mod node;
pub mod peer;
pub mod proof;
pub mod pull;
pub mod registry;
pub mod serving;
pub mod stamp;
pub mod status;
pub mod wait;
pub mod wire;
