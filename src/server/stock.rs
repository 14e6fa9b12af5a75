//! What the module asks of the server's own commands.

use std::ffi::CStr;

use super::api::{CallReply, CommandInfo, Context, Flags, call};

/// Plain commands: no reply but a value.
const PLAIN: Flags = Flags::new(b"");
/// An error is a reply as well.
const ERRORS: Flags = Flags::new(b"E");
/// As in a script: what scripts may not do is refused.
const AS_SCRIPT: Flags = Flags::new(b"ES");

/// A setting of the server, as `CONFIG GET` returns it.
pub fn setting(context: &Context, name: &CStr) -> Option<Vec<u8>> {
    let reply = run(context, c"CONFIG", &[b"GET", name.to_bytes()], PLAIN)?;
    reply.string(&[1]).map(<[u8]>::to_vec)
}

/// The libraries of the server's own registry, as `FUNCTION DUMP` returns them; None where FUNCTION was renamed away.
pub fn functions(context: &Context) -> Option<Vec<u8>> {
    run(context, c"FUNCTION", &[b"DUMP"], PLAIN)?.string(&[]).map(<[u8]>::to_vec)
}

/// The server's BUSY error, while one of its own scripts runs too long.
pub fn busy_error(context: &Context) -> Option<Vec<u8>> {
    let error = error(&run(context, c"FUNCTION", &[b"STATS"], ERRORS)?);
    // Where FUNCTION was renamed away, it is another one.
    error.filter(|text| text.starts_with(b"BUSY "))
}

/// The error that the server replies to a write of a script; None if it permits the write. Writes nothing.
pub fn write_error(context: &Context) -> Option<Vec<u8>> {
    error(&run(context, c"SETRANGE", &[b"", b"0", b""], AS_SCRIPT)?)
}

/// Whether the command of that name, or one of its subcommands, writes. An unknown command does not. Where COMMAND was
/// renamed away, every command may.
pub fn command_writes(context: &Context, name: &[u8]) -> bool {
    CommandInfo::of(context, name).is_none_or(|info| info.mentions("write"))
}

/// Whether the server's own engine runs the script `source` without an error.
pub fn runs_script(context: &Context, source: &[u8]) -> bool {
    run(context, c"EVAL", &[source, b"0"], ERRORS).is_some_and(|reply| !reply.wire().starts_with(b"-"))
}

/// Whether the key holds a set.
pub fn is_set(context: &Context, key: &[u8]) -> bool {
    run(context, c"TYPE", &[key], PLAIN).is_some_and(|reply| reply.wire() == b"+set\r\n")
}

/// `CLUSTER SLOTS`: a range of slots in each element.
pub fn cluster_slots(context: &Context) -> Option<CallReply> {
    run(context, c"CLUSTER", &[b"SLOTS"], PLAIN)
}

/// `CLUSTER NODES`: a line for each node.
pub fn cluster_nodes(context: &Context) -> Option<CallReply> {
    run(context, c"CLUSTER", &[b"NODES"], PLAIN)
}

fn run(context: &Context, name: &CStr, words: &[&[u8]], flags: Flags) -> Option<CallReply> {
    call(context, name, words, None, flags).0
}

/// The text of an error, without the dash and the line break.
fn error(reply: &CallReply) -> Option<Vec<u8>> {
    reply.wire().strip_prefix(b"-")?.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}
