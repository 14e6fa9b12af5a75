//! `VM_CallArgv`: how Valkey's own Lua runs commands, from 9.1 on.
//!
//! It borrows its words as an array, takes flags instead of a format, and shows the reply as it stands in the buffer of
//! the client that ran the command. `RM_Call` makes a copy of all three, and parses the reply.
//!
//! The server exports it and does not offer it: `GetApi` does not know it, and no header promises that it stays as it
//! is. So it is taken from servers of exactly the versions that the tests have run on, and only after it has done the
//! same as `RM_Call`.
//!
//! Should Valkey make it public (pull request 3911 proposes that): ask `GetApi` for `RedisModule_CallArgv` instead of
//! searching for the symbol, compare the declarations below with those of the header, and take every version that has
//! it. The comparison at the start may stay.

use std::ffi::{c_char, c_int, c_void};
use std::{mem, ptr, slice};

use redis_module::raw;

use super::guard::guarded;
use super::{Context, api};

/// The versions of Valkey that it was tested on: major << 16 | minor << 8 | patch.
const TESTED: [u32; 1] = [0x09_01_02];

/// The function. It is called with the words, which stay the caller's, and their number, with flags, and with what is
/// called with the reply and the address that is passed on to it.
type Function = unsafe extern "C" fn(
    *mut raw::RedisModuleCtx,
    *mut *mut raw::RedisModuleString,
    c_int,
    c_int,
    *const Handlers,
    *mut c_void,
) -> c_int;

/// What is called with the reply: its address and its length. 0 is the answer for a reply that the server need not
/// parse.
type Handler = unsafe extern "C" fn(*mut c_void, *mut raw::RedisModuleCtx, *const c_char, usize) -> c_int;

/// The functions that are called with a reply (`ValkeyModuleReplyHandlersV1`).
#[repr(C)]
struct Handlers {
    version: u64,
    /// One for each type of a reply, one for a reply that cannot be parsed, and one for a command that waits. None of
    /// them is ever called: the answer of `available` is 0, and no command may wait.
    others: [*const c_void; 21],
    available: Option<Handler>,
}

// Where the server's machine code looks for them.
const _: () = assert!(mem::offset_of!(Handlers, available) == 0xb0 && size_of::<Handlers>() == 0xb8);

// SAFETY: it never changes, and the addresses of others are null.
unsafe impl Sync for Handlers {}

static HANDLERS: Handlers = Handlers { version: 1, others: [ptr::null(); 21], available: Some(keep) };

/// `VM_CallArgv` of this server.
#[derive(Clone, Copy)]
pub struct CallArgv(Function);

impl CallArgv {
    /// The function, where this server is a Valkey of that version and the function is known. Nothing tells yet that it
    /// does as it should.
    pub fn find(valkey: u32) -> Option<Self> {
        if !TESTED.contains(&valkey) {
            return None;
        }
        // SAFETY: the name ends in a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"VM_CallArgv".as_ptr()) };
        // SAFETY: it is a C function of that type in these versions of Valkey.
        (is_of_server(found)).then(|| Self(unsafe { mem::transmute::<*mut c_void, Function>(found) }))
    }

    /// Runs the command that `argv` is, its name first, under flags of [`Flags`](super::Flags). The reply is put into
    /// `reply`; None stays there if there was none. Returns the errno that the call left.
    ///
    /// # Safety
    /// The strings are alive until this returns, and one of them that the server does not own is not shared with it.
    #[inline]
    pub unsafe fn call(
        self,
        context: &Context,
        argv: &mut [*mut raw::RedisModuleString],
        flags: c_int,
        reply: &mut Vec<u8>,
    ) -> Option<c_int> {
        let mut received = Received { reply, errno: None };
        let Ok(argc) = c_int::try_from(argv.len()) else { return None };
        // SAFETY: Living context. The strings are alive; the server gives them back as they are. The handlers are a
        // static, and `received` outlives the call, in which its address is used.
        unsafe {
            (self.0)(context.raw(), argv.as_mut_ptr(), argc, flags, &HANDLERS, (&raw mut received).cast());
        }
        received.errno
    }
}

/// What the handler was told.
struct Received<'a> {
    reply: &'a mut Vec<u8>,
    /// The errno when it was called; None before.
    errno: Option<c_int>,
}

/// Keeps a copy of the reply.
unsafe extern "C" fn keep(
    received: *mut c_void,
    _: *mut raw::RedisModuleCtx,
    start: *const c_char,
    length: usize,
) -> c_int {
    // SAFETY: errno is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    guarded(|| {
        // SAFETY: the address is that of the `Received` of the call that is running, which nothing else uses meanwhile;
        // the reply has that many bytes.
        let (received, bytes) =
            unsafe { (&mut *received.cast::<Received>(), slice::from_raw_parts(start.cast::<u8>(), length)) };
        received.reply.clear();
        received.reply.extend_from_slice(bytes);
        received.errno = Some(errno);
    });
    0
}

/// Whether the address is one of the program or library that offers the module API.
fn is_of_server(address: *const c_void) -> bool {
    // SAFETY: Initialised. The addresses are compared and not called.
    let call = unsafe { api!(RedisModule_Call) as *const c_void };
    !address.is_null() && base_of(address).is_some_and(|base| base_of(call) == Some(base))
}

/// Where the program or library begins that the address is in.
fn base_of(address: *const c_void) -> Option<usize> {
    // SAFETY: all of it may be zero. It has room for what `dladdr` tells, which looks up the address and nothing else.
    let (found, info) = unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        (libc::dladdr(address, &raw mut info), info)
    };
    (found != 0).then_some(info.dli_fbase as usize)
}
