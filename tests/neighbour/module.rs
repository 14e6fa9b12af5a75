//! A module that runs commands wherever the server lets one: a bad neighbour, for `tests/integration/neighbours/`.
//!
//! `NEIGHBOUR.CALL`, `NEIGHBOUR.TIMER` and `NEIGHBOUR.THREAD` run the command that they are given. `NEIGHBOUR.ARM`
//! gives a place one to run whenever the server comes by. What came of it is in the log and, but for what a forked
//! process has run, in `NEIGHBOUR.RESULTS`.
//!
//! It is written for tests: what the server gives it is taken as it is, and a panic ends the process.

#![allow(unsafe_code, reason = "calls the module API and is called by it")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all: pointers come from the server, are used in the callback that got them or owned here"
)]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;
use std::thread;

use redis_module::raw;

type Context = *mut raw::RedisModuleCtx;
type Text = *mut raw::RedisModuleString;
type Reply = *mut raw::RedisModuleCallReply;

/// A function of the API that every supported server has.
macro_rules! api {
    ($name:ident) => {
        raw::$name.expect(concat!("the server has ", stringify!($name)))
    };
}

const OK: c_int = raw::REDISMODULE_OK as c_int;

/// A command to run, and the flags of `RM_Call`.
#[derive(Clone)]
struct Errand {
    flags: Vec<u8>,
    words: Vec<Vec<u8>>,
}

/// What is run where.
static ARMED: Mutex<Vec<(String, Errand)>> = Mutex::new(Vec::new());

/// What came of it.
static RESULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether a place runs something: what that sets off is left alone.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

fn bytes(text: Text) -> Vec<u8> {
    let mut length = 0;
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(text, &raw mut length);
        std::slice::from_raw_parts(start.cast::<u8>(), length).to_vec()
    }
}

fn words(argv: *mut Text, argc: c_int) -> Vec<Vec<u8>> {
    (0..argc as usize).map(|at| bytes(unsafe { *argv.add(at) })).collect()
}

impl Errand {
    /// The errand of a command whose words from `first` on are the flags and the words to run. `-`: no flags.
    fn of(words: &[Vec<u8>], first: usize) -> Option<Self> {
        let flags = words.get(first)?;
        let flags = if flags == b"-" { Vec::new() } else { flags.clone() };
        let words = words.get(first + 1..).filter(|words| !words.is_empty())?.to_vec();
        Some(Self { flags, words })
    }

    /// Runs it; the reply, which is the caller's, and errno.
    fn run(&self, context: Context) -> (Reply, c_int) {
        let name = CString::new(self.words[0].clone()).expect("a name without NUL");
        let format = CString::new([&self.flags, &b"v"[..]].concat()).expect("flags without NUL");
        unsafe {
            let create = api!(RedisModule_CreateString);
            let mut texts: Vec<Text> =
                self.words[1..].iter().map(|word| create(null_mut(), word.as_ptr().cast(), word.len())).collect();
            *libc::__errno_location() = 0;
            let reply =
                api!(RedisModule_Call)(context, name.as_ptr(), format.as_ptr(), texts.as_mut_ptr(), texts.len());
            let errno = *libc::__errno_location();
            for text in texts {
                api!(RedisModule_FreeString)(null_mut(), text);
            }
            (reply, errno)
        }
    }

    /// Runs it for a place, and notes what came of it.
    fn run_in(&self, place: &str, context: Context) {
        let (reply, errno) = self.run(context);
        note(context, place, &shown(reply, errno));
        if !reply.is_null() {
            unsafe { api!(RedisModule_FreeCallReply)(reply) };
        }
    }

    /// Runs it and passes the reply on.
    fn run_and_reply(&self, context: Context) {
        let (reply, errno) = self.run(context);
        unsafe {
            if reply.is_null() {
                let text = CString::new(format!("ERR no reply, errno {errno}")).expect("no NUL");
                api!(RedisModule_ReplyWithError)(context, text.as_ptr());
            } else if api!(RedisModule_CallReplyType)(reply) == raw::REDISMODULE_REPLY_PROMISE as c_int {
                let client = api!(RedisModule_BlockClient)(context, None, None, None, 0);
                api!(RedisModule_CallReplyPromiseSetUnblockHandler)(reply, Some(on_promise), client.cast());
                api!(RedisModule_FreeCallReply)(reply);
            } else {
                // It refuses one of RESP3 for a client of RESP2.
                if api!(RedisModule_ReplyWithCallReply)(context, reply) != OK {
                    let text = shown(reply, errno);
                    api!(RedisModule_ReplyWithStringBuffer)(context, text.as_ptr().cast(), text.len());
                }
                api!(RedisModule_FreeCallReply)(reply);
            }
        }
    }
}

/// A reply as it goes over the wire.
fn shown(reply: Reply, errno: c_int) -> String {
    if reply.is_null() {
        return format!("no reply, errno {errno}");
    }
    let mut length = 0;
    unsafe {
        let start = api!(RedisModule_CallReplyProto)(reply, &raw mut length);
        String::from_utf8_lossy(std::slice::from_raw_parts(start.cast::<u8>(), length)).into_owned()
    }
}

fn note(context: Context, place: &str, what: &str) {
    let line = format!("{place}: {what}").replace("\r\n", " ").trim_end().replace('\0', " ");
    let text = CString::new(line.clone()).expect("no NUL is left");
    unsafe { api!(RedisModule_Log)(context, c"notice".as_ptr(), c"%s".as_ptr(), text.as_ptr()) };
    RESULTS.lock().expect("no panic").push(line);
}

/// What a promise has become.
unsafe extern "C" fn on_promise(_: Context, reply: Reply, client: *mut c_void) {
    unsafe {
        let client = client.cast();
        let context = api!(RedisModule_GetThreadSafeContext)(client);
        api!(RedisModule_ReplyWithCallReply)(context, reply);
        api!(RedisModule_FreeThreadSafeContext)(context);
        api!(RedisModule_UnblockClient)(client, null_mut());
    }
}

/// Runs what a place was given.
fn pass_by(place: &str, context: Context) {
    let is_here = |(armed, _): &&(String, Errand)| armed == place;
    let errands: Vec<Errand> =
        ARMED.lock().expect("no panic").iter().filter(is_here).map(|(_, errand)| errand.clone()).collect();
    if errands.is_empty() || IS_BUSY.replace(true) {
        return;
    }
    for errand in errands {
        errand.run_in(place, context);
    }
    IS_BUSY.set(false);
}

// ---- the commands --------------------------------------------------------------------------------------------------

/// Runs `body` with the words of a command; `None` is a wrong number of them.
fn command(context: Context, argv: *mut Text, argc: c_int, body: impl FnOnce(&[Vec<u8>]) -> Option<()>) -> c_int {
    if body(&words(argv, argc)).is_none() {
        unsafe { api!(RedisModule_WrongArity)(context) };
    }
    OK
}

fn reply_ok(context: Context) {
    unsafe { api!(RedisModule_ReplyWithSimpleString)(context, c"OK".as_ptr()) };
}

/// `NEIGHBOUR.CALL flags command [word ...]`: runs it in a command.
unsafe extern "C" fn call(context: Context, argv: *mut Text, argc: c_int) -> c_int {
    command(context, argv, argc, |words| {
        Errand::of(words, 1)?.run_and_reply(context);
        Some(())
    })
}

/// `NEIGHBOUR.TIMER flags command [word ...]`: has a timer run it.
unsafe extern "C" fn timer(context: Context, argv: *mut Text, argc: c_int) -> c_int {
    command(context, argv, argc, |words| {
        let errand = Box::into_raw(Box::new(Errand::of(words, 1)?));
        unsafe { api!(RedisModule_CreateTimer)(context, 0, Some(on_timer), errand.cast()) };
        reply_ok(context);
        Some(())
    })
}

unsafe extern "C" fn on_timer(context: Context, errand: *mut c_void) {
    unsafe { Box::from_raw(errand.cast::<Errand>()) }.run_in("timer", context);
}

/// Of a thread, in bytes: an eighth of what the main thread has.
const THREAD_STACK: usize = 1 << 20;

/// `NEIGHBOUR.THREAD flags command [word ...]`: has a thread run it, as soon as the server lets it.
unsafe extern "C" fn in_thread(context: Context, argv: *mut Text, argc: c_int) -> c_int {
    command(context, argv, argc, |words| {
        let errand = Errand::of(words, 1)?;
        let client = unsafe { api!(RedisModule_BlockClient)(context, None, None, None, 0) } as usize;
        let body = move || unsafe {
            let client = client as *mut raw::RedisModuleBlockedClient;
            let context = api!(RedisModule_GetThreadSafeContext)(client);
            api!(RedisModule_ThreadSafeContextLock)(context);
            errand.run_and_reply(context);
            api!(RedisModule_ThreadSafeContextUnlock)(context);
            api!(RedisModule_FreeThreadSafeContext)(context);
            api!(RedisModule_UnblockClient)(client, null_mut());
        };
        thread::Builder::new().stack_size(THREAD_STACK).spawn(body).expect("a thread can be started");
        Some(())
    })
}

/// `NEIGHBOUR.ARM place flags command [word ...]`: has a place run it whenever the server comes by, after what it was
/// given before.
unsafe extern "C" fn arm(context: Context, argv: *mut Text, argc: c_int) -> c_int {
    command(context, argv, argc, |words| {
        let place = String::from_utf8(words.get(1)?.clone()).ok()?;
        ARMED.lock().expect("no panic").push((place, Errand::of(words, 2)?));
        reply_ok(context);
        Some(())
    })
}

/// `NEIGHBOUR.DISARM`: no place runs anything.
unsafe extern "C" fn disarm(context: Context, _: *mut Text, _: c_int) -> c_int {
    ARMED.lock().expect("no panic").clear();
    reply_ok(context);
    OK
}

/// `NEIGHBOUR.RESULTS`: what came of it since the last time.
unsafe extern "C" fn results(context: Context, _: *mut Text, _: c_int) -> c_int {
    let results = std::mem::take(&mut *RESULTS.lock().expect("no panic"));
    unsafe { api!(RedisModule_ReplyWithArray)(context, results.len() as _) };
    for line in results {
        unsafe { api!(RedisModule_ReplyWithStringBuffer)(context, line.as_ptr().cast(), line.len()) };
    }
    OK
}

// ---- the places ----------------------------------------------------------------------------------------------------

/// The key whose events are followed.
const WATCHED: &[u8] = b"watched";

/// `keyspace`: an event of the key `watched`. `job`: after the command that has caused it, where the server can do
/// that.
unsafe extern "C" fn on_keyspace(context: Context, _: c_int, _: *const c_char, key: Text) -> c_int {
    if bytes(key) == WATCHED {
        pass_by("keyspace", context);
        unsafe {
            if let Some(add) = raw::RedisModule_AddPostNotificationJob
                && ARMED.lock().expect("no panic").iter().any(|(place, _)| place == "job")
            {
                add(context, Some(on_job), null_mut(), None);
            }
        }
    }
    OK
}

unsafe extern "C" fn on_job(context: Context, _: *mut c_void) {
    pass_by("job", context);
}

/// `filter:echo`: whenever a command of that name is about to run.
unsafe extern "C" fn on_command(filtered: *mut raw::RedisModuleCommandFilterCtx) {
    if ARMED.lock().expect("no panic").is_empty() {
        return;
    }
    unsafe {
        let name = api!(RedisModule_CommandFilterArgGet)(filtered, 0);
        let place = format!("filter:{}", String::from_utf8_lossy(&bytes(name)).to_lowercase());
        let context = api!(RedisModule_GetThreadSafeContext)(null_mut());
        pass_by(&place, context);
        api!(RedisModule_FreeThreadSafeContext)(context);
    }
}

/// Events of the server, and the places that they are.
const EVENTS: [(u64, &str); 9] = [
    (raw::REDISMODULE_EVENT_FLUSHDB, "event:flushdb"),
    (raw::REDISMODULE_EVENT_CRON_LOOP, "event:cron"),
    (raw::REDISMODULE_EVENT_PERSISTENCE, "event:persistence"),
    (raw::REDISMODULE_EVENT_SHUTDOWN, "event:shutdown"),
    (raw::REDISMODULE_EVENT_LOADING, "event:loading"),
    (raw::REDISMODULE_EVENT_CLIENT_CHANGE, "event:client"),
    (raw::REDISMODULE_EVENT_FORK_CHILD, "event:fork"),
    (raw::REDISMODULE_EVENT_MODULE_CHANGE, "event:module"),
    // From 7.2 on.
    (raw::REDISMODULE_EVENT_CONFIG, "event:config"),
];

unsafe extern "C" fn on_event(context: Context, event: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    if let Some((_, place)) = EVENTS.iter().find(|(id, _)| *id == event.id) {
        pass_by(place, context);
    }
}

// ---- the entry point -----------------------------------------------------------------------------------------------

type Handler = unsafe extern "C" fn(Context, *mut Text, c_int) -> c_int;

const COMMANDS: [(&CStr, Handler); 6] = [
    (c"neighbour.call", call),
    (c"neighbour.timer", timer),
    (c"neighbour.thread", in_thread),
    (c"neighbour.arm", arm),
    (c"neighbour.disarm", disarm),
    (c"neighbour.results", results),
];

/// Registers the commands and goes to the places.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(context: Context, _: *mut Text, _: c_int) -> c_int {
    unsafe {
        let version = raw::REDISMODULE_APIVER_1 as c_int;
        if raw::Export_RedisModule_Init(context, c"neighbour".as_ptr(), 1, version) != OK {
            return raw::REDISMODULE_ERR as c_int;
        }
        for (name, handler) in COMMANDS {
            api!(RedisModule_CreateCommand)(context, name.as_ptr(), Some(handler), c"".as_ptr(), 0, 0, 0);
        }
        let kinds = raw::REDISMODULE_NOTIFY_STRING | raw::REDISMODULE_NOTIFY_GENERIC;
        api!(RedisModule_SubscribeToKeyspaceEvents)(context, kinds, Some(on_keyspace));
        let flags = raw::REDISMODULE_CMDFILTER_NOSELF as c_int;
        api!(RedisModule_RegisterCommandFilter)(context, Some(on_command), flags);
        for (id, _) in EVENTS {
            let event = raw::RedisModuleEvent { id, dataver: 1 };
            api!(RedisModule_SubscribeToServerEvent)(context, event, Some(on_event));
        }
    }
    OK
}
