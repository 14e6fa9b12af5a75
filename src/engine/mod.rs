//! The Luau VM: what runs functions and scripts. It knows no server; it reaches one through [`Host`].

mod alarm;
mod argument;
mod bit;
mod builtin;
mod callable;
mod cjson;
mod cmsgpack;
mod compile;
mod deadline;
mod dialect;
mod environment;
mod error;
mod functions;
mod globals;
mod host;
mod limits;
mod machine_code;
mod memory;
mod number;
mod pace;
mod patience;
mod pressure;
mod pusher;
mod random;
mod redis_api;
mod registration;
mod resp;
mod result;
mod sampling;
mod scripts;
mod sink;
mod slots;
mod source;
mod stack;
mod state;
mod strings;
mod struct_pack;
mod vm;
mod words;

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;

pub use alarm::Alarm;
pub use callable::Callable;
pub use deadline::{LOAD_LIMIT, load_timeouts, reset_load_timeouts};
pub use dialect::Dialect;
pub use error::ScriptError;
pub use functions::{FunctionEngine, Loaded};
pub use host::{CallMode, Caller, Frame, Host, LogLevel, NoServer, Permission, Replication, Tick};
pub use machine_code::NativeCode;
pub use memory::{out_of_memory, refusals, reset_refusals};
pub use registration::Registration;
pub use scripts::{Compiled, ScriptEngine};
pub use sink::{Item, Sink};
#[cfg(test)]
pub use stack::refusing::refusing;
pub use stack::{COMPILER_STACK, fit_nesting_to_stack, note_compiler_stack};
pub use vm::{Engine, Vm};
