//! The module's commands: a file each, and the table that registers them.

mod debug;
mod delete;
mod fcall;
mod flush;
mod help;
mod list;
mod load;
mod registration;
mod stats;
mod table;

pub use registration::register;
