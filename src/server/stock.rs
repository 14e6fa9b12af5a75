//! What the module asks of the server's own commands.

use std::ffi::CStr;

use super::api::{CallReply, ClientId, CommandInfo, Context, Flags, call};

/// Plain commands: no reply but a value.
const PLAIN: Flags = Flags::new(b"");
/// An error is a reply as well.
const ERRORS: Flags = Flags::new(b"E");
/// As in a script: what scripts may not do is refused.
const AS_SCRIPT: Flags = Flags::new(b"ES");
/// The same, but what is not refused is not run either. From 7.2 on.
const UNRUN_AS_SCRIPT: Flags = Flags::new(b"ESD");

/// A setting of the server, as `CONFIG GET` returns it.
pub fn setting(context: &Context, name: &CStr) -> Option<Vec<u8>> {
    let reply = run(context, c"CONFIG", &[b"GET", name.to_bytes()], PLAIN)?;
    reply.string(&[1]).map(<[u8]>::to_vec)
}

/// The same of several settings, in one call; None for those that are not there.
pub fn settings<const N: usize>(context: &Context, names: [&CStr; N]) -> [Option<Vec<u8>>; N] {
    let words: Vec<&[u8]> = [&b"GET"[..]].into_iter().chain(names.map(CStr::to_bytes)).collect();
    let reply = run(context, c"CONFIG", &words, PLAIN);
    // Names and values by turns, in whatever order.
    names.map(|name| {
        let reply = reply.as_ref()?;
        let at = (0..N).find(|at| reply.string(&[2 * at]) == Some(name.to_bytes()))?;
        reply.string(&[2 * at + 1]).map(<[u8]>::to_vec)
    })
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

/// Whether the server takes writes of scripts as far as it shows without running one, from 7.2 on: false where
/// something else is in the way, or is asked first. It is not in the statistics of commands.
///
/// The command has no key, which could be another node's. If it were run, it would do nothing.
pub fn takes_writes(context: &Context) -> bool {
    match call(context, c"SWAPDB", &[b"0", b"0"], None, UNRUN_AS_SCRIPT) {
        (None, errno) => errno == 0,
        // Asked last.
        (Some(reply), _) => reply.wire().starts_with(b"-READONLY "),
    }
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

/// The address of a client, as `CLIENT LIST` shows it; None for one that is not in that list, and where CLIENT was
/// renamed away.
pub fn client_address(context: &Context, client: ClientId) -> Option<Vec<u8>> {
    let number = itoa::Buffer::new().format(client.get()).as_bytes().to_vec();
    let reply = run(context, c"CLIENT", &[b"LIST", b"ID", &number], ERRORS)?;
    let mut fields = reply.string(&[])?.split(|byte| *byte == b' ');
    fields.find_map(|field| field.strip_prefix(b"addr=")).map(<[u8]>::to_vec)
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
