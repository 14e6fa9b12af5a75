//! The server's module API, as far as it is used: the one place that calls it.
//!
//! Thin and unopinionated: each function is one call of the API, with Rust's types. The invariants that the unsafe
//! code leans on:
//!
//! * **Initialised**: the API's pointers are filled by `init` before anything else runs, and never change. A pointer
//!   that an older server lacks is None; only calls marked optional may meet that.
//! * **Main thread**: everything here runs on the server's thread, inside a callback of the server.
//! * **Living context**: a `Context` lives no longer than the callback that got it.
//! * **C strings**: a text passed as one has no NUL inside, or is cut there.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_int, c_long};
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use bitflags::bitflags;
use redis_module::raw;

/// A function of the API that every supported server has.
macro_rules! api {
    ($name:ident) => {
        // Initialised; a missing one is a panic, which the guard turns into an error.
        raw::$name.expect(concat!(stringify!($name), " is missing in this server"))
    };
}
pub(super) use api;

/// The server refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// OK or an error, as the API's functions return.
pub fn checked(status: c_int) -> Result<(), Refused> {
    if status as isize == raw::REDISMODULE_OK { Ok(()) } else { Err(Refused) }
}

bitflags! {
    /// The server's state, as `RM_GetContextFlags` tells it; the bits used here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct State: u32 {
        const SLAVE = raw::REDISMODULE_CTX_FLAGS_SLAVE;
        const READONLY = raw::REDISMODULE_CTX_FLAGS_READONLY;
        const CLUSTER = raw::REDISMODULE_CTX_FLAGS_CLUSTER;
        const OOM = raw::REDISMODULE_CTX_FLAGS_OOM;
        const REPLICATED = raw::REDISMODULE_CTX_FLAGS_REPLICATED;
        const LOADING = raw::REDISMODULE_CTX_FLAGS_LOADING;
        const ASYNC_LOADING = raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
        const REPLICA_IS_STALE = raw::REDISMODULE_CTX_FLAGS_REPLICA_IS_STALE;
        const _ = !0;
    }
}

impl State {
    /// Whether the command comes from the master or out of a file and must be obeyed.
    pub const fn obeys(self) -> bool {
        self.intersects(Self::REPLICATED.union(Self::LOADING))
    }
}

/// Registers the module under its name and fills the API's pointers.
///
/// # Safety
/// Called first thing from the module's entry point with the context that the server gave it.
pub unsafe fn init(context: *mut raw::RedisModuleCtx, name: &CStr, version: c_int) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    let status =
        unsafe { raw::Export_RedisModule_Init(context, name.as_ptr(), version, raw::REDISMODULE_APIVER_1 as c_int) };
    checked(status)
}

/// A callback of the server's event loop.
pub type Timer = unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut std::ffi::c_void);

/// The context of a callback.
pub struct Context<'a> {
    raw: *mut raw::RedisModuleCtx,
    /// Whether a reply was begun. A panic after that leaves half a reply behind.
    replied: Cell<bool>,
    lifetime: PhantomData<&'a ()>,
}

impl Context<'_> {
    /// # Safety
    /// `raw` is the context of the callback that is running, and the result does not outlive it.
    pub const unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self { raw, replied: Cell::new(false), lifetime: PhantomData }
    }

    pub const fn raw(&self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    /// Whether a reply was begun.
    pub const fn replied(&self) -> bool {
        self.replied.get()
    }

    // ---- replies --------------------------------------------------------------------------------------------

    /// Replies with an error, its code first. Line breaks become spaces; the text ends at the first NUL.
    pub fn reply_error(&self, text: &[u8]) {
        self.replied.set(true);
        let text = one_line(text);
        // SAFETY: Living context, C strings. This call takes no format.
        unsafe { api!(RedisModule_ReplyWithError)(self.raw, text.as_ptr()) };
    }

    /// Replies with a simple string. Line breaks become spaces; the text ends at the first NUL.
    pub fn reply_status(&self, text: &[u8]) {
        self.replied.set(true);
        let text = one_line(text);
        // SAFETY: Living context, C strings.
        unsafe { api!(RedisModule_ReplyWithSimpleString)(self.raw, text.as_ptr()) };
    }

    pub fn reply_bulk(&self, bytes: &[u8]) {
        self.replied.set(true);
        // SAFETY: Living context; the server copies the bytes.
        unsafe { api!(RedisModule_ReplyWithStringBuffer)(self.raw, bytes.as_ptr().cast(), bytes.len()) };
    }

    pub fn reply_integer(&self, value: i64) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithLongLong)(self.raw, value) };
    }

    pub fn reply_null(&self) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithNull)(self.raw) };
    }

    pub fn reply_boolean(&self, value: bool) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithBool)(self.raw, value.into()) };
    }

    pub fn reply_double(&self, value: f64) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithDouble)(self.raw, value) };
    }

    /// Replies with a big number. Line breaks become spaces.
    pub fn reply_big_number(&self, digits: &[u8]) {
        self.replied.set(true);
        let digits: Vec<u8> = digits.iter().map(|&byte| without_break(byte)).collect();
        // SAFETY: Living context; the server copies the bytes.
        unsafe { api!(RedisModule_ReplyWithBigNumber)(self.raw, digits.as_ptr().cast(), digits.len()) };
    }

    pub fn reply_verbatim(&self, format: [u8; 3], text: &[u8]) {
        self.replied.set(true);
        // SAFETY: Living context; the server reads three bytes of the format and copies the text.
        unsafe {
            api!(RedisModule_ReplyWithVerbatimStringType)(
                self.raw,
                text.as_ptr().cast(),
                text.len(),
                format.as_ptr().cast(),
            )
        };
    }

    pub fn reply_array(&self, length: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithArray)(self.raw, length as c_long) };
    }

    pub fn reply_map(&self, pairs: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithMap)(self.raw, pairs as c_long) };
    }

    pub fn reply_set(&self, length: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithSet)(self.raw, length as c_long) };
    }

    // ---- the command that is running --------------------------------------------------------------------------

    /// Sends the command as it came to the replicas and the append-only file.
    pub fn replicate_verbatim(&self) {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplicateVerbatim)(self.raw) };
    }

    /// Sends `SHADOW.FUNCTION RESTORE <payload> <policy>` to the replicas and the append-only file.
    pub fn replicate_restore(&self, payload: &[u8], policy: &CStr) {
        self.send_restore(c"cbc", payload, policy);
    }

    /// Sends it to the append-only file alone.
    pub fn log_restore(&self, payload: &[u8], policy: &CStr) {
        self.send_restore(c"Rcbc", payload, policy);
    }

    fn send_restore(&self, format: &CStr, payload: &[u8], policy: &CStr) {
        // SAFETY: Living context; the format names a C string, a buffer with its length, and a C string.
        unsafe {
            api!(RedisModule_Replicate)(
                self.raw,
                c"SHADOW.FUNCTION".as_ptr(),
                format.as_ptr(),
                c"RESTORE".as_ptr(),
                payload.as_ptr(),
                payload.len(),
                policy.as_ptr(),
            )
        };
    }

    pub fn state(&self) -> State {
        // SAFETY: Living context.
        let flags = unsafe { api!(RedisModule_GetContextFlags)(self.raw) };
        State::from_bits_retain(flags as u32)
    }

    /// Whether the command is not to run but only to say which of its words are keys (`getkeys-api`).
    pub fn asks_for_keys(&self) -> bool {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_IsKeysPositionRequest)(self.raw) != 0 }
    }

    /// Answers that: `count` words from word `first` on are keys.
    pub fn name_keys(&self, first: usize, count: usize, access: KeyAccess) {
        for position in first..first + count {
            // SAFETY: Living context; the command checked that it has so many words.
            unsafe { api!(RedisModule_KeyAtPosWithFlags)(self.raw, position as c_int, access.flags() as c_int) };
        }
    }

    /// Whether the server holds back everything that replicas would have to follow (CLIENT PAUSE, a failover). What is
    /// sent to them or to the append-only file nevertheless ends the server.
    pub fn replication_is_held(&self) -> bool {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_AvoidReplicaTraffic)() != 0 }
    }

    pub fn selected_db(&self) -> c_int {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_GetSelectedDb)(self.raw) }
    }

    pub fn select_db(&self, db: c_int) {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_SelectDb)(self.raw, db) };
    }

    /// Closes the client whose command is running, once the command has returned.
    pub fn close_client(&self) {
        // SAFETY: Living context; an id that is gone is an error of the call, which changes nothing.
        unsafe {
            let id = api!(RedisModule_GetClientId)(self.raw);
            api!(RedisModule_DeauthenticateAndCloseClient)(self.raw, id);
        }
    }

    /// The name of the user of the client whose command is running; None for a caller without one (another module).
    pub fn user_name(&self) -> Option<Text> {
        // SAFETY: Living context. Asked by the client's id, for the direct call reads through a null user.
        let name = unsafe {
            let id = api!(RedisModule_GetClientId)(self.raw);
            api!(RedisModule_GetClientUserNameById)(self.raw, id)
        };
        // SAFETY: a new string, owned by the caller.
        (!name.is_null()).then(|| unsafe { Text::own(name) })
    }

    /// Has the server's event loop call `callback` once what it is doing now is done.
    pub fn soon(&self, callback: Timer) {
        // SAFETY: Living context; the callback needs no data.
        unsafe { api!(RedisModule_CreateTimer)(self.raw, 0, Some(callback), ptr::null_mut()) };
    }

    /// Whether the user of that name may run a command with its keys and channels; None when there is no such command.
    pub fn user_may(&self, user: &Text, words: &mut [*mut raw::RedisModuleString]) -> Option<bool> {
        // SAFETY: the caller keeps the words alive; the user is freed here.
        unsafe {
            let user = api!(RedisModule_GetModuleUserFromUserName)(user.raw());
            if user.is_null() {
                // The user was deleted, and its clients with it: nothing is refused that way.
                return Some(true);
            }
            *libc::__errno_location() = 0;
            let status = api!(RedisModule_ACLCheckCommandPermissions)(user, words.as_mut_ptr(), words.len() as c_int);
            let errno = *libc::__errno_location();
            api!(RedisModule_FreeModuleUser)(user);
            match checked(status) {
                Ok(()) => Some(true),
                Err(Refused) if errno == libc::ENOENT => None,
                Err(Refused) => Some(false),
            }
        }
    }

    // ---- the server -------------------------------------------------------------------------------------------

    /// Writes a line to the server's log at a level: `debug`, `verbose`, `notice` or `warning`.
    pub fn log(&self, level: &CStr, text: &[u8]) {
        log(self.raw, level, text);
    }

    /// A setting of the server, as `CONFIG GET` gives it.
    pub fn setting(&self, name: &CStr) -> Option<Vec<u8>> {
        // SAFETY: Living context; the format names one C string.
        let reply = unsafe {
            api!(RedisModule_Call)(self.raw, c"CONFIG".as_ptr(), c"cc".as_ptr(), c"GET".as_ptr(), name.as_ptr())
        };
        let reply = CallReply::own(reply)?;
        reply.element(1).map(|value| value.to_vec())
    }

    /// What the server says when a script of its own keeps everybody waiting.
    pub fn own_busy(&self) -> Option<Vec<u8>> {
        // SAFETY: Living context; the format names one C string.
        let reply =
            unsafe { api!(RedisModule_Call)(self.raw, c"FUNCTION".as_ptr(), c"Ec".as_ptr(), c"STATS".as_ptr()) };
        let reply = CallReply::own(reply)?;
        reply.wire().strip_prefix(b"-")?.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
    }

    /// Whether the command of that name, or one of its subcommands, writes. An unknown one does not.
    pub fn command_writes(&self, name: &[u8]) -> bool {
        // SAFETY: Living context; the format names a C string and a buffer with its length.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.raw,
                c"COMMAND".as_ptr(),
                c"cb".as_ptr(),
                c"INFO".as_ptr(),
                name.as_ptr(),
                name.len(),
            )
        };
        const FLAG: &[u8] = b"+write\r\n";
        CallReply::own(reply).is_some_and(|reply| reply.wire().windows(FLAG.len()).any(|part| part == FLAG))
    }

    /// Lets the server serve others for a moment; who may not be served is answered `-BUSY <text>`.
    pub fn yield_to_clients(&self, text: &CStr) {
        // SAFETY: Living context; the text is static and outlives the call.
        unsafe {
            api!(RedisModule_Yield)(self.raw, raw::REDISMODULE_YIELD_FLAG_CLIENTS as c_int, text.as_ptr());
        }
    }

    /// Whether a script of the server's own engine runs `source` without an error.
    pub fn script_may_run(&self, source: &CStr) -> bool {
        // SAFETY: Living context; the format names two C strings.
        let reply = unsafe {
            api!(RedisModule_Call)(self.raw, c"EVAL".as_ptr(), c"Ecc".as_ptr(), source.as_ptr(), c"0".as_ptr())
        };
        CallReply::own(reply).is_some_and(|reply| !reply.wire().starts_with(b"-"))
    }

    /// The libraries of the server's own registry, as FUNCTION DUMP gives them.
    pub fn own_functions(&self) -> Option<Vec<u8>> {
        // SAFETY: Living context; the format names one C string.
        let reply = unsafe { api!(RedisModule_Call)(self.raw, c"FUNCTION".as_ptr(), c"c".as_ptr(), c"DUMP".as_ptr()) };
        CallReply::own(reply)?.string().map(<[u8]>::to_vec)
    }

    /// Fields of a section of INFO; None for those that are not there. Runs no command.
    pub fn info<const N: usize>(&self, section: &CStr, fields: [&CStr; N]) -> [Option<Vec<u8>>; N] {
        // SAFETY: Living context, C strings; the data is freed here and the fields' strings by `Text`.
        unsafe {
            let data = api!(RedisModule_GetServerInfo)(ptr::null_mut(), section.as_ptr());
            let values = fields.map(|field| {
                let value = api!(RedisModule_ServerInfoGetField)(ptr::null_mut(), data, field.as_ptr());
                (!value.is_null()).then(|| Text::own(value).bytes().to_vec())
            });
            api!(RedisModule_FreeServerInfo)(ptr::null_mut(), data);
            values
        }
    }
}

/// What is done with the keys of a call. It is not known beforehand, so the most that may be is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    ReadWrite,
    ReadOnly,
}

impl KeyAccess {
    /// The flags of a key spec.
    pub const fn flags(self) -> u32 {
        match self {
            Self::ReadWrite => {
                raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
            }
            Self::ReadOnly => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        }
    }
}

/// Writes a line to the server's log; `context` may be null.
pub fn log(context: *mut raw::RedisModuleCtx, level: &CStr, text: &[u8]) {
    let text = c_text(text);
    // SAFETY: the format is ours and takes one C string; a null context is allowed.
    unsafe { api!(RedisModule_Log)(context, level.as_ptr(), c"%s".as_ptr(), text.as_ptr()) }
}

/// A string of the server that we own.
pub struct Text(*mut raw::RedisModuleString);

impl Text {
    /// # Safety
    /// `string` is a string that the caller owns and gives up.
    pub const unsafe fn own(string: *mut raw::RedisModuleString) -> Self {
        Self(string)
    }

    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: without a context the string is the caller's alone; the server copies the bytes.
        Self(unsafe { api!(RedisModule_CreateString)(ptr::null_mut(), bytes.as_ptr().cast(), bytes.len()) })
    }

    pub const fn raw(&self) -> *mut raw::RedisModuleString {
        self.0
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a live string that only we own.
        unsafe { string_bytes(self.0) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards.
        unsafe { api!(RedisModule_FreeString)(ptr::null_mut(), self.0) }
    }
}

/// The bytes of a string of the server.
///
/// # Safety
/// `string` is alive and unchanged for `'a`.
pub unsafe fn string_bytes<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller's promise; the server gives the address of `length` bytes.
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(string, &mut length);
        slice::from_raw_parts(start.cast(), length)
    }
}

/// A command that passes the module's filter, before the server looks it up.
#[derive(Clone, Copy)]
pub struct FilteredCommand(*mut raw::RedisModuleCommandFilterCtx);

impl FilteredCommand {
    /// # Safety
    /// `context` is that of the filter callback that is running, which the result does not outlive.
    pub const unsafe fn new(context: *mut raw::RedisModuleCommandFilterCtx) -> Self {
        Self(context)
    }

    /// The number of words, the name included.
    pub fn len(&self) -> usize {
        // SAFETY: the context is alive during the callback.
        usize::try_from(unsafe { api!(RedisModule_CommandFilterArgsCount)(self.0) }).unwrap_or(0)
    }

    /// The word at `position`; empty beyond the end. It lives until it is replaced.
    pub fn word(&self, position: usize) -> &[u8] {
        // SAFETY: the context is alive during the callback; beyond the end the server answers null.
        unsafe {
            let word = api!(RedisModule_CommandFilterArgGet)(self.0, position as c_int);
            if word.is_null() { &[] } else { string_bytes(word) }
        }
    }

    /// Puts `word` in the place of the one at `position`.
    pub fn replace(&self, position: usize, word: &Text) {
        // SAFETY: the context is alive; the server takes over the reference that is added here.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgReplace)(self.0, position as c_int, word.raw());
        }
    }

    /// Puts `word` before the one at `position`.
    pub fn insert(&self, position: usize, word: &Text) {
        // SAFETY: as in `replace`.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgInsert)(self.0, position as c_int, word.raw());
        }
    }
}

/// The words of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [*mut raw::RedisModuleString]);

impl<'a> Arguments<'a> {
    /// # Safety
    /// `argv` and `argc` are what the server gave the callback that is running.
    pub unsafe fn new(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Self {
        let count = usize::try_from(argc).unwrap_or(0);
        if count == 0 {
            return Self(&[]);
        }
        // SAFETY: the server keeps the array and its strings alive while the callback runs.
        Self(unsafe { slice::from_raw_parts(argv, count) })
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the command's name is the very string `name`, not only one that reads the same.
    pub fn is_named_by(&self, name: &Text) -> bool {
        self.0.first() == Some(&name.raw())
    }

    /// The words as strings of the server, with another name. They live as long as `name` and the command.
    pub fn with_name(&self, name: &Text) -> Vec<*mut raw::RedisModuleString> {
        std::iter::once(name.raw()).chain(self.0.iter().skip(1).copied()).collect()
    }

    /// The word at `index`; empty beyond the end.
    pub fn get(&self, index: usize) -> &'a [u8] {
        // SAFETY: the strings live while the callback runs, which `'a` does not outlive.
        self.0.get(index).map_or(&[], |&string| unsafe { string_bytes(string) })
    }

    /// The words from `start` up to `end`.
    pub fn range(&self, start: usize, end: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let words = self.0.get(start..end).unwrap_or_default();
        // SAFETY: as in `get`.
        words.iter().map(|&string| unsafe { string_bytes(string) })
    }
}

/// A reply of `RM_Call` that we own.
pub struct CallReply(ptr::NonNull<raw::RedisModuleCallReply>);

impl CallReply {
    /// Takes the result of `RM_Call`; None when it is null.
    pub fn own(reply: *mut raw::RedisModuleCallReply) -> Option<Self> {
        ptr::NonNull::new(reply).map(Self)
    }

    /// The reply as it would go over the wire.
    pub fn wire(&self) -> &[u8] {
        let mut length = 0;
        // SAFETY: the reply is alive; the server gives the address of `length` bytes that live as long as it does.
        unsafe {
            let start = api!(RedisModule_CallReplyProto)(self.0.as_ptr(), &mut length);
            if start.is_null() { &[] } else { slice::from_raw_parts(start.cast(), length) }
        }
    }

    /// The number of elements of an array.
    pub fn len(&self) -> usize {
        // SAFETY: the reply is alive.
        unsafe { api!(RedisModule_CallReplyLength)(self.0.as_ptr()) }
    }

    /// The integer at `inner` of the array at `outer` of an array.
    pub fn integer_within(&self, outer: usize, inner: usize) -> Option<i64> {
        // SAFETY: the reply is alive and owns its elements; on a reply that is no array the calls answer null.
        unsafe {
            let element = api!(RedisModule_CallReplyArrayElement)(self.0.as_ptr(), outer);
            if element.is_null() {
                return None;
            }
            let element = api!(RedisModule_CallReplyArrayElement)(element, inner);
            (!element.is_null()).then(|| api!(RedisModule_CallReplyInteger)(element))
        }
    }

    /// The bytes of a string.
    fn string(&self) -> Option<&[u8]> {
        let mut length = 0;
        // SAFETY: the reply is alive; on one that is no string the call answers null.
        unsafe {
            let start = api!(RedisModule_CallReplyStringPtr)(self.0.as_ptr(), &mut length);
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), length))
        }
    }

    /// The string at `index` of an array.
    fn element(&self, index: usize) -> Option<&[u8]> {
        let mut length = 0;
        // SAFETY: the reply is alive and owns its elements; on a reply that is no array, or an element that is no
        // string, the calls answer null.
        unsafe {
            let element = api!(RedisModule_CallReplyArrayElement)(self.0.as_ptr(), index);
            if element.is_null() {
                return None;
            }
            let start = api!(RedisModule_CallReplyStringPtr)(element, &mut length);
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), length))
        }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards.
        unsafe { api!(RedisModule_FreeCallReply)(self.0.as_ptr()) }
    }
}

/// The version of the server: major << 16 | minor << 8 | patch.
pub fn server_version() -> u32 {
    // SAFETY: takes nothing. Absent before 6.2.
    unsafe { raw::RedisModule_GetServerVersion }.map_or(0, |version| unsafe { version() } as u32)
}

/// A text for the wire's simple strings and errors: line breaks become spaces, and it ends at the first NUL.
fn one_line(text: &[u8]) -> CString {
    let text = text.iter().map(|&byte| without_break(byte)).take_while(|&byte| byte != 0).collect::<Vec<u8>>();
    CString::new(text).unwrap_or_default()
}

const fn without_break(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// A C string of what is before the first NUL.
pub fn c_text(text: &[u8]) -> CString {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_wire_has_no_breaks_and_ends_at_a_nul() {
        assert_eq!(one_line(b"ERR a\r\nb").as_bytes(), b"ERR a  b");
        assert_eq!(one_line(b"a\0b").as_bytes(), b"a");
        assert_eq!(one_line(b"\xff\n").as_bytes(), b"\xff ");
    }
}
