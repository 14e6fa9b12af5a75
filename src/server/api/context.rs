//! The context of a callback: replies, the command that is running, the server's state.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_long, c_void};
use std::marker::PhantomData;
use std::ptr;

use redis_module::raw;

use super::guard::guarded_in;
use super::text::{one_line, without_break};
use super::{KeyAccess, Options, ServerString, State, Words, api, log_in};

/// The context of a callback.
pub struct Context<'a> {
    raw: *mut raw::RedisModuleCtx,
    /// Whether a reply was begun. A panic after that leaves half a reply behind.
    replied: Cell<bool>,
    /// Whether an error was among what was replied.
    replied_error: Cell<bool>,
    lifetime: PhantomData<&'a ()>,
}

/// A context that belongs to no command, for callbacks that get none.
pub struct DetachedContext(Context<'static>);

impl DetachedContext {
    /// Makes one, on the main thread, which may use it without a lock.
    pub fn new() -> Self {
        // SAFETY: Main thread. A null client is allowed. The context lives until it is freed in `drop`.
        Self(unsafe { Context::new(api!(RedisModule_GetThreadSafeContext)(ptr::null_mut())) })
    }

    /// Makes one of this module, whose name its lines in the log have.
    pub fn of(context: &Context) -> Self {
        // SAFETY: Living context. The new one lives until it is freed in `drop`.
        Self(unsafe { Context::new(api!(RedisModule_GetDetachedThreadSafeContext)(context.raw)) })
    }

    /// The context.
    pub const fn get(&self) -> &Context<'_> {
        &self.0
    }
}

impl Drop for DetachedContext {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing refers to it.
        unsafe { api!(RedisModule_FreeThreadSafeContext)(self.0.raw) };
    }
}

impl Context<'_> {
    /// # Safety
    /// `raw` is the context of the callback that is running, and the result does not outlive it.
    pub(super) const unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self { raw, replied: Cell::new(false), replied_error: Cell::new(false), lifetime: PhantomData }
    }

    /// The context as the API takes it.
    pub(super) const fn raw(&self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    /// Runs `body` in the guard; None after a panic, which is logged.
    pub fn guarded<T>(&self, body: impl FnOnce() -> T) -> Option<T> {
        guarded_in(Some(self), body)
    }

    /// Whether a reply was begun.
    pub const fn replied(&self) -> bool {
        self.replied.get()
    }

    /// Whether the reply is an error or contains one: what the server counts as a failed call.
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
        // Almost every status is this one.
        if text == b"OK" {
            return self.reply_ok();
        }
        self.replied.set(true);
        let text = one_line(text);
        // SAFETY: Living context, C strings.
        unsafe { api!(RedisModule_ReplyWithSimpleString)(self.raw, text.as_ptr().cast()) };
    }

    /// Replies with `OK`.
    pub fn reply_ok(&self) {
        self.replied.set(true);
        // SAFETY: Living context, C strings.
        unsafe { api!(RedisModule_ReplyWithSimpleString)(self.raw, c"OK".as_ptr()) };
    }

    /// Replies with a string of any bytes.
    pub fn reply_bulk(&self, bytes: &[u8]) {
        self.replied.set(true);
        // SAFETY: Living context; the server copies the bytes.
        unsafe { api!(RedisModule_ReplyWithStringBuffer)(self.raw, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// Replies with an integer.
    pub fn reply_integer(&self, value: i64) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithLongLong)(self.raw, value) };
    }

    /// Replies with null.
    pub fn reply_null(&self) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithNull)(self.raw) };
    }

    /// Replies with a boolean; in RESP2 with 1 or 0.
    pub fn reply_boolean(&self, value: bool) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithBool)(self.raw, value.into()) };
    }

    /// Replies with a double; in RESP2 with its digits.
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

    /// Replies with a verbatim string; in RESP2 with a plain one.
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

    /// Begins an array: that number of replies follows.
    pub fn reply_array(&self, length: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithArray)(self.raw, length as c_long) };
    }

    /// Begins a map: that number of pairs of replies follows.
    pub fn reply_map(&self, pairs: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithMap)(self.raw, pairs as c_long) };
    }

    /// Begins a set: that number of replies follows.
    pub fn reply_set(&self, length: usize) {
        self.replied.set(true);
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplyWithSet)(self.raw, length as c_long) };
    }

    // ---- the command that is running --------------------------------------------------------------------------

    /// Sends the running command to the replicas and the append-only file as it came.
    pub fn replicate_verbatim(&self) {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_ReplicateVerbatim)(self.raw) };
    }

    /// Sends the command `name` with `words` after it to the replicas and the append-only file.
    pub fn replicate(&self, name: &CStr, words: &[&[u8]]) {
        let words: Vec<ServerString> = words.iter().map(|word| ServerString::new(word)).collect();
        self.replicate_words(name, &mut Words::new(&words));
    }

    /// Does the same with strings that the server has.
    pub fn replicate_words(&self, name: &CStr, words: &mut Words) {
        // SAFETY: Living context, C strings; the format names an array of strings and their number. The server takes
        // references of its own.
        unsafe { api!(RedisModule_Replicate)(self.raw, name.as_ptr(), c"v".as_ptr(), words.as_mut_ptr(), words.len()) };
    }

    /// Sends a command of one word to the replicas alone. Whether there are any or not, the server counts a change of
    /// the data set, of which its save points depend.
    pub fn replicate_to_replicas(&self, name: &CStr) {
        // SAFETY: Living context, C strings; the format names nothing that follows, and leaves out the file (A).
        unsafe { api!(RedisModule_Replicate)(self.raw, name.as_ptr(), c"A".as_ptr()) };
    }

    /// The server's state.
    pub fn state(&self) -> State {
        // SAFETY: Living context.
        let flags = unsafe { api!(RedisModule_GetContextFlags)(self.raw) };
        State::from_bits_retain(flags as u32)
    }

    /// Whether the command must not run, but only say which of its words are keys (`getkeys-api`).
    pub fn asks_for_keys(&self) -> bool {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_IsKeysPositionRequest)(self.raw) != 0 }
    }

    /// Says that `count` words from word `first` on are keys.
    pub fn name_keys(&self, first: usize, count: usize, access: KeyAccess) {
        for position in first..first + count {
            // SAFETY: Living context; a position beyond the words is the server's to refuse.
            unsafe { api!(RedisModule_KeyAtPosWithFlags)(self.raw, position as c_int, access.flags() as c_int) };
        }
    }

    /// The number of the selected database.
    pub fn selected_db(&self) -> c_int {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_GetSelectedDb)(self.raw) }
    }

    /// Selects a database.
    pub fn select_db(&self, db: c_int) {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_SelectDb)(self.raw, db) };
    }

    /// Whether the selected database has this key.
    pub fn has_key(&self, key: &ServerString) -> bool {
        // SAFETY: Living context; the string is alive.
        unsafe { api!(RedisModule_KeyExists)(self.raw, key.raw()) != 0 }
    }

    /// Closes the client whose command is running, once the command has returned.
    pub fn close_client(&self) {
        // SAFETY: Living context; an id that is gone is an error of the call, which changes nothing.
        unsafe {
            let id = api!(RedisModule_GetClientId)(self.raw);
            api!(RedisModule_DeauthenticateAndCloseClient)(self.raw, id);
        }
    }

    /// Makes the server's event loop call `callback` after what it is doing now.
    pub fn soon(&self, callback: fn(&Context)) {
        // SAFETY: Living context. The data is the address of a function, which `on_timer` expects.
        unsafe { api!(RedisModule_CreateTimer)(self.raw, 0, Some(on_timer), callback as *mut c_void) };
    }

    // ---- the server -------------------------------------------------------------------------------------------

    /// Says which features of the server the module can live with, while it is loaded.
    pub fn set_options(&self, options: Options) {
        // SAFETY: Living context.
        unsafe { api!(RedisModule_SetModuleOptions)(self.raw, options.bits() as c_int) };
    }

    /// Writes a line to the server's log at a level: `debug`, `verbose`, `notice` or `warning`.
    pub fn log(&self, level: &CStr, text: &[u8]) {
        log_in(Some(self), level, text);
    }

    /// Lets the server serve other clients for a moment. Those whose command must wait get `-BUSY <text>`. False where
    /// the server must not: inside a transaction or a script of its own it ends itself when a client sends anything.
    pub fn yield_to_clients(&self, text: &CStr) -> bool {
        if self.state().intersects(State::MULTI | State::LUA) {
            return false;
        }
        // SAFETY: Living context; the server forgets the text when the call returns.
        unsafe {
            api!(RedisModule_Yield)(self.raw, raw::REDISMODULE_YIELD_FLAG_CLIENTS as c_int, text.as_ptr());
        }
        true
    }

    /// Whether nothing may be sent to the replicas now, because writes are paused, for a failover or by a client.
    pub fn writes_are_paused(&self) -> bool {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_AvoidReplicaTraffic)() != 0 }
    }

    /// Fields of a section of INFO; None for those that are not there. Runs no command.
    pub fn info<const N: usize>(&self, section: &CStr, fields: [&CStr; N]) -> [Option<Vec<u8>>; N] {
        // SAFETY: Living context, C strings; the data is freed here and the fields' strings by `ServerString`.
        unsafe {
            let data = api!(RedisModule_GetServerInfo)(ptr::null_mut(), section.as_ptr());
            let values = fields.map(|field| {
                let value = api!(RedisModule_ServerInfoGetField)(ptr::null_mut(), data, field.as_ptr());
                ServerString::own(value).map(|value| value.bytes().to_vec())
            });
            api!(RedisModule_FreeServerInfo)(ptr::null_mut(), data);
            values
        }
    }
}

unsafe extern "C" fn on_timer(context: *mut raw::RedisModuleCtx, callback: *mut c_void) {
    // SAFETY: the context of the callback that is running, and the function that `soon` gave the server.
    let (context, callback) =
        unsafe { (Context::new(context), std::mem::transmute::<*mut c_void, fn(&Context)>(callback)) };
    context.guarded(|| callback(&context));
}
