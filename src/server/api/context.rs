//! The context of a callback: replies, the command that is running, the server's state.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_long};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;

use redis_module::raw;

use super::text::{one_line, without_break};
use super::{CallReply, Refused, State, Text, Words, api, checked, log};
use crate::engine::Permission;

/// A callback of the server's event loop.
pub type Timer = unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut std::ffi::c_void);

/// The context of a callback.
pub struct Context<'a> {
    raw: *mut raw::RedisModuleCtx,
    /// Whether a reply was begun. A panic after that leaves half a reply behind.
    replied: Cell<bool>,
    /// Whether an error was among what was replied.
    replied_error: Cell<bool>,
    lifetime: PhantomData<&'a ()>,
}

impl Context<'_> {
    /// # Safety
    /// `raw` is the context of the callback that is running, and the result does not outlive it.
    pub const unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self { raw, replied: Cell::new(false), replied_error: Cell::new(false), lifetime: PhantomData }
    }

    pub const fn raw(&self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    /// Whether a reply was begun.
    pub const fn replied(&self) -> bool {
        self.replied.get()
    }

    /// Whether the reply is an error or has one in it: what the server counts as a failed call.
    pub const fn replied_error(&self) -> bool {
        self.replied_error.get()
    }

    // ---- replies --------------------------------------------------------------------------------------------

    /// Replies with an error, its code first. Line breaks become spaces; the text ends at the first NUL.
    pub fn reply_error(&self, text: &[u8]) {
        self.replied.set(true);
        self.replied_error.set(true);
        let text = one_line(text);
        // SAFETY: Living context, C strings. This call takes no format.
        unsafe { api!(RedisModule_ReplyWithError)(self.raw, text.as_ptr().cast()) };
    }

    /// Replies with a simple string. Line breaks become spaces; the text ends at the first NUL.
    pub fn reply_status(&self, text: &[u8]) {
        // Next to every status is this one.
        if text == b"OK" {
            return self.reply_ok();
        }
        self.replied.set(true);
        let text = one_line(text);
        // SAFETY: Living context, C strings.
        unsafe { api!(RedisModule_ReplyWithSimpleString)(self.raw, text.as_ptr().cast()) };
    }

    pub fn reply_ok(&self) {
        self.replied.set(true);
        // SAFETY: Living context, C strings.
        unsafe { api!(RedisModule_ReplyWithSimpleString)(self.raw, c"OK".as_ptr()) };
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
        // SAFETY: Living context; the format names a C string, a buffer with its length, and a C string.
        unsafe {
            api!(RedisModule_Replicate)(
                self.raw,
                c"SHADOW.FUNCTION".as_ptr(),
                c"cbc".as_ptr(),
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

    /// Whether the user of that name may run a command with its keys and channels, where there are rules for databases
    /// in the selected one. Most servers do not look at the number of words, and read past the last one when keys are
    /// to be found further on.
    ///
    /// # Safety
    /// Unless the server looks, the words are as many as the command takes, or its keys are in fixed places.
    pub unsafe fn user_may(&self, user: &Text, words: &mut Words) -> Permission {
        let (argv, argc) = (words.as_mut_ptr(), words.len() as c_int);
        // SAFETY: the caller's promise. The user is freed here.
        unsafe {
            let user = api!(RedisModule_GetModuleUserFromUserName)(user.raw());
            if user.is_null() {
                // The user was deleted, and its clients with it: nothing is refused that way.
                return Permission::Granted;
            }
            *libc::__errno_location() = 0;
            let (status, unknown) = match check_permissions() {
                Some(check) => (check(user, argv, argc, self.selected_db(), ptr::null_mut()), libc::EINVAL),
                None => (api!(RedisModule_ACLCheckCommandPermissions)(user, argv, argc), libc::ENOENT),
            };
            let errno = *libc::__errno_location();
            api!(RedisModule_FreeModuleUser)(user);
            match (checked(status), errno) {
                (Ok(()), _) => Permission::Granted,
                (Err(Refused), errno) if errno == unknown => Permission::Unknown,
                (Err(Refused), libc::EINVAL) => Permission::WrongArity,
                (Err(Refused), _) => Permission::Denied,
            }
        }
    }

    /// What COMMAND INFO says of a command or, as `command|subcommand`, of a subcommand; None where COMMAND was renamed
    /// away.
    pub fn command_info(&self, name: &[u8]) -> Option<CallReply> {
        // SAFETY: Living context; the format names a C string and a buffer with its length.
        CallReply::own(unsafe {
            api!(RedisModule_Call)(
                self.raw,
                c"COMMAND".as_ptr(),
                c"cb".as_ptr(),
                c"INFO".as_ptr(),
                name.as_ptr(),
                name.len(),
            )
        })
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
        reply.string(&[1]).map(|value| value.to_vec())
    }

    /// What the server says when a script of its own keeps everybody waiting.
    pub fn own_busy(&self) -> Option<Vec<u8>> {
        // SAFETY: Living context; the format names one C string.
        let reply =
            unsafe { api!(RedisModule_Call)(self.raw, c"FUNCTION".as_ptr(), c"Ec".as_ptr(), c"STATS".as_ptr()) };
        let reply = CallReply::own(reply)?;
        reply.wire().strip_prefix(b"-")?.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
    }

    /// What the server says to a write of a script; None if it permits it. The write changes nothing.
    pub fn refusal_of_writes(&self) -> Option<Vec<u8>> {
        // SAFETY: Living context; the format names three C strings.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.raw,
                c"SETRANGE".as_ptr(),
                c"ESccc".as_ptr(),
                c"".as_ptr(),
                c"0".as_ptr(),
                c"".as_ptr(),
            )
        };
        let reply = CallReply::own(reply)?;
        reply.wire().strip_prefix(b"-")?.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
    }

    /// Whether the command of that name, or one of its subcommands, writes. An unknown one does not; where COMMAND was
    /// renamed away, every one may.
    pub fn command_writes(&self, name: &[u8]) -> bool {
        self.command_info(name).is_none_or(|info| info.mentions("write"))
    }

    /// Lets the server serve others for a moment; who may not be served is answered `-BUSY <text>`.
    pub fn yield_to_clients(&self, text: &CStr) {
        // SAFETY: Living context; the server forgets the text when the call returns.
        unsafe {
            api!(RedisModule_Yield)(self.raw, raw::REDISMODULE_YIELD_FLAG_CLIENTS as c_int, text.as_ptr());
        }
    }

    /// Whether nothing may be sent to the replicas now: writes are paused, for a failover or by a client.
    pub fn writes_are_paused(&self) -> bool {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_AvoidReplicaTraffic)() != 0 }
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
        CallReply::own(reply)?.string(&[]).map(<[u8]>::to_vec)
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

/// Valkey's check of permissions in a database: a user, the words of a command and their number, the database, a place
/// for a reason.
type CheckPermissions = unsafe extern "C" fn(
    *mut raw::RedisModuleUser,
    *mut *mut raw::RedisModuleString,
    c_int,
    c_int,
    *mut c_int,
) -> c_int;

/// That check, from Valkey 9.1 on. The older one, which knows no database, refuses everything there to a user who may
/// not use all of them.
fn check_permissions() -> Option<CheckPermissions> {
    static FOUND: OnceLock<Option<CheckPermissions>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut found: Option<CheckPermissions> = None;
        // SAFETY: Initialised. The server writes the address of its function of that name, whose type this is, or
        // nothing.
        let status =
            unsafe { api!(RedisModule_GetApi)(c"RedisModule_ACLCheckPermissions".as_ptr(), (&raw mut found).cast()) };
        checked(status).ok().and(found)
    })
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
