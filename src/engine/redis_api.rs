//! The table `redis` that functions see: commands, replies, the log, and what a call can set.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use memchr::memchr;
use sha1::{Digest as _, Sha1};

use super::host::{Caller, LogLevel, Permission, Replication};
use super::limits::{LENGTH, STRIDE};
use super::number::{self, NumberText};
use super::pusher::Pusher;
use super::resp;
use super::sampling::sample;
use super::sink::{Item, Sink};
use super::stack::{Kind, Outcome, Raise, Stack, natives};
use super::state::VmState;
use crate::c_string::to_nul;
use crate::registry::Digest;

natives! {
    /// `redis.call(command, ...)`: raises an error reply.
    Call = c"call", call;
    /// `redis.pcall(command, ...)`: returns an error reply.
    ProtectedCall = c"pcall", protected_call;
    ErrorReply = c"error_reply", error_reply;
    StatusReply = c"status_reply", status_reply;
    Log = c"log", log;
    Sha1Hex = c"sha1hex", sha1hex;
    SetResp = c"setresp", set_resp;
    SetReplication = c"set_repl", set_replication;
    AclCheckCommand = c"acl_check_cmd", acl_check_command;
}

/// How long the arguments of a command may be together, in bytes: the longest value, and room for the others. Nothing
/// interrupts the server while it copies them.
const ARGUMENTS_LIMIT: usize = LENGTH + (1 << 20);

/// After how many bytes of a message nothing is added: the server cuts its log lines far before that.
const MESSAGE_LIMIT: usize = 1 << 16;

/// Commands of up to this many words need no allocation here.
const FEW: usize = 8;

fn call(stack: &Stack) -> Outcome {
    let failed = execute(stack)?;
    if failed { Err(Raise::Top) } else { Ok(1) }
}

fn protected_call(stack: &Stack) -> Outcome {
    match execute(stack) {
        Ok(_) => Ok(1),
        Err(Raise::Table(text)) => {
            push_error(stack, &text);
            Ok(1)
        }
        Err(raise) => Err(raise),
    }
}

/// Runs the command on the stack and pushes its reply; true when that is an error.
fn execute(stack: &Stack) -> Result<bool, Raise> {
    let state = VmState::of(stack);
    if state.is_loading() {
        return Err(Raise::api("redis.call/pcall can only be called inside a script invocation"));
    }
    let mode = state.mode();
    let mut pusher = Pusher::new(stack);
    with_arguments(state, stack, |name, arguments| match CStr::from_bytes_with_nul(name) {
        Ok(name) => {
            let result =
                state.with_host(|host| resp::read(host.call(name, arguments, mode, Caller(stack)), &mut pusher));
            if stack.is_armed() {
                // The next safepoint comes after the command, where its time would be another's.
                sample(state, stack, Some(name.to_bytes()));
            }
            result
        }
        // No command's name has a NUL in it: C would read another one.
        Err(_) => {
            pusher.put(Item::Error(&[b"ERR ", state.dialect.words.unknown_command.as_bytes()].concat()));
            Ok(())
        }
    })?;
    Ok(pusher.failed())
}

/// Runs `body` with the arguments on the stack, as the words of a command: the first with a NUL after it, and all.
#[inline]
fn with_arguments<T>(
    state: &VmState,
    stack: &Stack,
    body: impl FnOnce(&[u8], &[&[u8]]) -> Result<T, Raise>,
) -> Result<T, Raise> {
    let (mut few_texts, mut many_texts);
    let (mut few_words, mut many_words): ([&[u8]; FEW], Vec<&[u8]>);
    let (texts, words) = match stack.top() as usize {
        0 => return Err(Raise::api(state.dialect.words.no_arguments)),
        count @ ..=FEW => {
            few_texts = [const { MaybeUninit::uninit() }; FEW];
            few_words = [&[]; FEW];
            (&mut few_texts[..count], &mut few_words[..count])
        }
        count => {
            many_texts = vec![MaybeUninit::uninit(); count];
            many_words = vec![&[]; count];
            (many_texts.as_mut_slice(), many_words.as_mut_slice())
        }
    };
    let name = collect(state, stack, texts, words)?;
    body(name, words)
}

/// Collects the arguments in `words`, and gives the first of them with a NUL after it. Those that are numbers get their
/// texts in `texts`: strings of the VM would be the collector's to free.
fn collect<'a>(
    state: &VmState,
    stack: &'a Stack,
    texts: &'a mut [MaybeUninit<NumberText>],
    words: &mut [&'a [u8]],
) -> Result<&'a [u8], Raise> {
    let mut name: &[u8] = &[];
    let mut length = 0_usize;
    for (index, (word, text)) in (1..).zip(words.iter_mut().zip(texts)) {
        let with_nul = match stack.bytes_with_nul(index) {
            Some(bytes) => bytes,
            // What is no string is no number either, unless it is one.
            None => match stack.number(index) {
                Some(number) => {
                    let text = text.write(NumberText::EMPTY);
                    number::set_argument(text, number, state.dialect.short_numbers());
                    text.with_nul()
                }
                None => return Err(Raise::api(state.dialect.words.bad_argument)),
            },
        };
        if index == 1 {
            name = with_nul;
        }
        *word = &with_nul[..with_nul.len() - 1];
        // The server copies each of them, also those that are one string here.
        length += word.len();
        if length > ARGUMENTS_LIMIT {
            return Err(Raise::api("Lua redis lib command arguments are too long"));
        }
    }
    state.memory.check(length)?;
    Ok(name)
}

/// Pushes `{err = text}`.
fn push_error(stack: &Stack, text: &[u8]) {
    stack.push_table(0, 1);
    stack.push_bytes(text);
    stack.raw_set_field(-2, c"err");
}

fn error_reply(stack: &Stack) -> Outcome {
    let Some(text) = only_string(stack) else {
        push_error(stack, b"ERR wrong number or type of arguments");
        return Ok(1);
    };
    // A leading dash is the wire's, not the text's; a text of one word is not a code.
    let text = to_nul(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (code, message) = match memchr(b' ', text) {
        Some(space) => (&text[..space], without_line_ends(&text[space + 1..])),
        None if VmState::of(stack).dialect.keeps_line_ends_of_one_word() => (&b"ERR"[..], text),
        None => (&b"ERR"[..], without_line_ends(text)),
    };
    push_error(stack, &[code, b" ", message].concat());
    Ok(1)
}

fn without_line_ends(text: &[u8]) -> &[u8] {
    let is_other = |byte: &u8| !b"\r\n".contains(byte);
    let start = text.iter().position(is_other).unwrap_or(text.len());
    let end = text.iter().rposition(is_other).map_or(start, |last| last + 1);
    &text[start..end]
}

fn status_reply(stack: &Stack) -> Outcome {
    if only_string(stack).is_none() {
        push_error(stack, b"ERR wrong number or type of arguments");
        return Ok(1);
    }
    stack.push_table(0, 1);
    stack.push_value(1);
    stack.raw_set_field(-2, c"ok");
    Ok(1)
}

fn only_string(stack: &Stack) -> Option<&[u8]> {
    if stack.top() == 1 { stack.bytes(1) } else { None }
}

fn log(stack: &Stack) -> Outcome {
    let state = VmState::of(stack);
    let count = stack.top();
    if count < 2 {
        return Err(state.api_error("redis.log() requires two arguments or more."));
    }
    let level = stack.number(1).ok_or_else(|| Raise::api("First argument must be a number (log level)."))?;
    let level = match number::truncated(level) {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => return Err(Raise::api(state.dialect.words.bad_log_level)),
    };
    let mut message = Vec::new();
    for index in 2..=count {
        // What is neither string nor number is left out, its separator too.
        if matches!(stack.kind(index), Kind::String | Kind::Number) && message.len() < MESSAGE_LIMIT {
            if index > 2 {
                message.push(b' ');
            }
            let text = stack.text(index).unwrap_or_default();
            let text = &text[..text.len().min(MESSAGE_LIMIT)];
            state.memory.check(message.len() + text.len())?;
            message.extend_from_slice(text);
        }
    }
    state.with_host(|host| host.log(level, &message))?;
    Ok(0)
}

fn sha1hex(stack: &Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(Raise::api("wrong number of arguments"));
    }
    // What has no text is hashed as the empty string.
    let text = if matches!(stack.kind(1), Kind::String | Kind::Number) { stack.text(1) } else { None };
    let mut hash = Sha1::new();
    for part in text.unwrap_or_default().chunks(STRIDE) {
        stack.safepoint();
        hash.update(part);
    }
    stack.push_bytes(Digest::from(hash).as_bytes());
    Ok(1)
}

fn set_resp(stack: &Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(VmState::of(stack).api_error("redis.setresp() requires one argument."));
    }
    let version = number::truncated(stack.number(1).unwrap_or(0.0));
    if version != 2 && version != 3 {
        return Err(Raise::api("RESP version must be 2 or 3."));
    }
    VmState::of(stack).set_resp3(version == 3);
    Ok(0)
}

fn set_replication(stack: &Stack) -> Outcome {
    let state = VmState::of(stack);
    if stack.top() != 1 {
        return Err(state.api_error(state.dialect.words.set_repl_arity));
    }
    // What is no number counts as 0, as in the server.
    let bits = number::truncated(stack.number(1).unwrap_or(0.0));
    let replication = u8::try_from(bits)
        .ok()
        .and_then(Replication::from_bits)
        .ok_or_else(|| Raise::api("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."))?;
    state.set_replication(replication);
    Ok(0)
}

fn acl_check_command(stack: &Stack) -> Outcome {
    let state = VmState::of(stack);
    match with_arguments(state, stack, |_, arguments| state.with_host(|host| host.permits(arguments)))? {
        Permission::Granted => stack.push_boolean(true),
        Permission::Denied => stack.push_boolean(false),
        Permission::Unknown => return Err(state.api_error("Invalid command passed to redis.acl_check_cmd()")),
        Permission::WrongArity => return Err(state.api_error("Wrong number of args for redis.acl_check_cmd()")),
    }
    Ok(1)
}
