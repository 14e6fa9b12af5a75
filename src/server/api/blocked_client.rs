//! Clients that wait for a reply.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use redis_module::raw;

use super::{Context, api};
use crate::error::INTERNAL;

/// What becomes of a client that waits. It is known by a number, which is not 0.
pub trait Waiting {
    /// It goes on: replies to its command.
    fn resume(context: &Context, number: u64);

    /// It has gone while it was waiting.
    fn leave(context: &Context, client: BlockedClient);

    /// Nothing waits for this number any more, whether it was resumed or has gone.
    fn forget(context: &Context, number: u64);
}

/// A client that waits. It waits until it is let go, which must be done once, whether it is still there or not.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockedClient(NonNull<raw::RedisModuleBlockedClient>);

impl BlockedClient {
    /// Makes the client whose command is running wait. None when the server does not let it.
    pub fn new<W: Waiting>(context: &Context) -> Option<Self> {
        // SAFETY: Living context; the callbacks are of the API's types. Without a limit of time there is nothing to
        // call at its end.
        let client =
            unsafe { api!(RedisModule_BlockClient)(context.raw(), Some(resume::<W>), None, Some(forget::<W>), 0) };
        let client = NonNull::new(client)?;
        // SAFETY: the client was just blocked.
        unsafe { api!(RedisModule_SetDisconnectCallback)(client.as_ptr(), Some(leave::<W>)) };
        Some(Self(client))
    }

    /// Lets it go: the event loop resumes it as `number`, if it is still there; 0 to forget it.
    pub fn release(self, number: u64) {
        // SAFETY: it is blocked, and given up here. The data is a number, which only our callbacks read.
        unsafe { api!(RedisModule_UnblockClient)(self.0.as_ptr(), number as *mut c_void) };
    }
}

unsafe extern "C" fn resume<W: Waiting>(
    context: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the context of the callback that is running, and the number that `release` gave.
    let (context, number) =
        unsafe { (Context::new(context), api!(RedisModule_GetBlockedClientPrivateData)(context) as u64) };
    if context.guarded(|| W::resume(&context, number)).is_none() && !context.replied() {
        context.reply_error(INTERNAL.as_bytes());
    }
    raw::REDISMODULE_OK as c_int
}

unsafe extern "C" fn forget<W: Waiting>(context: *mut raw::RedisModuleCtx, number: *mut c_void) {
    // SAFETY: the context of the callback that is running.
    let context = unsafe { Context::new(context) };
    context.guarded(|| W::forget(&context, number as u64));
}

unsafe extern "C" fn leave<W: Waiting>(context: *mut raw::RedisModuleCtx, client: *mut raw::RedisModuleBlockedClient) {
    // SAFETY: the context of the callback that is running.
    let context = unsafe { Context::new(context) };
    if let Some(client) = NonNull::new(client) {
        context.guarded(|| W::leave(&context, BlockedClient(client)));
    }
}
