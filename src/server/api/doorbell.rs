//! How another thread wakes the event loop without touching the server: it writes to a file descriptor of our own.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::Arc;

use redis_module::raw;

use super::{Context, DetachedContext, Refused, api, checked, guarded};

/// The bell, as the thread that rings it has it. The main thread hears it until the last of these is gone.
#[derive(Clone)]
pub struct Bell(Arc<File>);

impl Bell {
    /// Wakes the event loop, which then answers once, however often this was called.
    pub fn ring(&self) {
        // It can only fail when it has been rung 2^64 times.
        let _ = (&*self.0).write_all(&1_u64.to_ne_bytes());
    }
}

/// The bell in the event loop.
pub struct Doorbell {
    bell: Bell,
    /// Ours; the event loop has the address, too.
    answer: NonNull<Answer>,
}

/// What is done when it was rung, and the context for that.
struct Answer {
    context: DetachedContext,
    body: fn(&Context),
}

impl Doorbell {
    /// Hangs it up. `answer` is called on the main thread after it was rung, also while a long call lets the server
    /// answer others.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new(context: &Context, answer: fn(&Context)) -> Result<Self, String> {
        // SAFETY: takes numbers. The descriptor is new, and ours alone.
        let file = unsafe {
            let descriptor = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if descriptor < 0 {
                return Err(format!("no bell for the event loop: {}", io::Error::last_os_error()));
            }
            File::from_raw_fd(descriptor)
        };
        let answer = Box::new(Answer { context: DetachedContext::of(context), body: answer });
        let doorbell = Self { bell: Bell(Arc::new(file)), answer: NonNull::from(Box::leak(answer)) };
        // SAFETY: Main thread. The descriptor stays open for as long as it is in the event loop. The data is what
        // `on_ring` expects, and lives as long.
        let added = unsafe {
            api!(RedisModule_EventLoopAdd)(
                doorbell.bell.0.as_raw_fd(),
                raw::REDISMODULE_EVENTLOOP_READABLE as c_int,
                Some(on_ring),
                doorbell.answer.as_ptr().cast(),
            )
        };
        checked(added).map_err(|Refused| "the server refused a bell for its event loop".to_owned())?;
        Ok(doorbell)
    }

    /// What rings it.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: Main thread; a descriptor that is not in the event loop is an error of the call. After it nothing but
        // this has the address of the answer, which was a box.
        unsafe {
            api!(RedisModule_EventLoopDel)(self.bell.0.as_raw_fd(), raw::REDISMODULE_EVENTLOOP_READABLE as c_int);
            drop(Box::from_raw(self.answer.as_ptr()));
        }
    }
}

unsafe extern "C" fn on_ring(descriptor: c_int, answer: *mut c_void, _: c_int) {
    guarded(|| {
        // SAFETY: the descriptor is open while it is in the event loop, and is not closed here. The data is what `new`
        // gave the server, and lives as long.
        let (file, answer) = unsafe { (ManuallyDrop::new(File::from_raw_fd(descriptor)), &*answer.cast::<Answer>()) };
        let _ = (&*file).read(&mut [0; 8]);
        (answer.body)(answer.context.get());
    });
}
