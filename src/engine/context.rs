//! What a VM's native functions share: the call that is running, and what it has set.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use super::alarm::{self, Patience};
use super::cjson;
use super::error::{Place, ScriptError};
use super::host::{CallMode, Dialect, Host, Replication};
use super::memory::Memory;
use super::native::Native;
use super::register::Registration;
use super::slots::Slots;
use super::stack::{Raise, Stack};

/// One per VM, at a fixed address: every native carries it.
pub struct Context {
    /// The host of the running call or load. Set by `running` for exactly that time.
    host: Cell<Option<NonNull<dyn Host>>>,
    /// Set for as long; the host is not there while one of its own calls runs.
    running: Cell<bool>,
    /// Inside LOAD: what the library has registered so far.
    registrations: RefCell<Option<Vec<Registration>>>,
    /// Why the server will refuse them when the body has ended.
    refusal: RefCell<Option<ScriptError>>,
    /// The protocol of inner replies, and so of booleans that the function returns.
    resp3: Cell<bool>,
    replication: Cell<Replication>,
    /// Where the last error arose that left a call; written by the error handler.
    pub failure: RefCell<Option<Place>>,
    pub slots: RefCell<Slots>,
    /// The slot of the callback that runs, or ran last.
    pub running_slot: Cell<u32>,
    pub json: cjson::Shared,
    pub patience: Patience,
    pub memory: Memory,
    pub native: Native,
    pub dialect: Dialect,
}

impl Context {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            host: Cell::new(None),
            running: Cell::new(false),
            registrations: RefCell::new(None),
            refusal: RefCell::new(None),
            resp3: Cell::new(false),
            replication: Cell::new(Replication::all()),
            failure: RefCell::new(None),
            slots: RefCell::default(),
            running_slot: Cell::new(0),
            json: cjson::Shared::default(),
            patience: Patience::default(),
            memory: Memory::default(),
            native: Native::default(),
            dialect,
        }
    }

    /// The context of the native that runs on `stack`.
    pub fn of(stack: &Stack) -> &Self {
        // SAFETY: every native is pushed with the address of its VM's context, which the engine keeps in a box that is
        // dropped after the VM.
        unsafe { &*stack.context::<Self>() }
    }

    /// An error of the server's API. The text is as Redis has it; what it calls `redis` gets the name that this server
    /// has for it.
    pub fn api_error(&self, text: &str) -> Raise {
        Raise::api(&text.replacen("redis.", &format!("{}.", self.dialect.words.api), 1))
    }

    /// Whether a call or load is running.
    pub fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Runs `body` as one call or load: natives reach `host`, and what they set starts from the defaults.
    pub fn running<T>(&self, host: &mut dyn Host, body: impl FnOnce() -> T) -> T {
        /// Forgets the host however `body` ends.
        struct Leave<'a>(&'a Context);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.host.set(None);
                self.0.running.set(false);
            }
        }
        // SAFETY: only the lifetime is changed. The pointer is forgotten before the borrow of `host` ends.
        let host = unsafe { std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host + 'static>>(host.into()) };
        self.host.set(Some(host));
        self.running.set(true);
        self.resp3.set(false);
        self.replication.set(Replication::all());
        let _leave = Leave(self);
        alarm::during(self, body)
    }

    /// Runs `body` with the host of the running call. The host must not be asked for again inside.
    pub fn with_host<T>(&self, body: impl FnOnce(&mut dyn Host) -> T) -> Result<T, Raise> {
        /// Puts the host back however the use of it ends.
        struct Return<'a>(&'a Cell<Option<NonNull<dyn Host>>>, NonNull<dyn Host>);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.set(Some(self.1));
            }
        }
        // Taken out for the time of the use, so that there never are two references to the host.
        let Some(host) = self.host.take() else {
            return Err(Raise::api("The server cannot be reached from here"));
        };
        let mut back = Return(&self.host, host);
        // SAFETY: `running` set the pointer and holds the borrow behind it; it was taken, so this is its only use.
        Ok(body(unsafe { back.1.as_mut() }))
    }

    /// Whether a function (rather than the body of a library) is running.
    pub fn loading(&self) -> bool {
        self.registrations.borrow().is_some()
    }

    pub fn begin_load(&self) {
        *self.registrations.borrow_mut() = Some(Vec::new());
        self.refusal.take();
    }

    pub fn end_load(&self) -> Vec<Registration> {
        self.registrations.borrow_mut().take().unwrap_or_default()
    }

    /// Has the load fail when the library's body has ended. The first refusal counts.
    pub fn refuse_registrations(&self, refusal: ScriptError) {
        self.refusal.borrow_mut().get_or_insert(refusal);
    }

    /// Why the load fails although the library's body did not.
    pub fn take_refusal(&self) -> Option<ScriptError> {
        self.refusal.take()
    }

    /// Runs `body` with the registrations of the load; None outside one.
    pub fn with_registrations<T>(&self, body: impl FnOnce(&mut Vec<Registration>) -> T) -> Option<T> {
        self.registrations.borrow_mut().as_mut().map(body)
    }

    pub fn resp3(&self) -> bool {
        self.resp3.get()
    }

    pub fn set_resp3(&self, resp3: bool) {
        self.resp3.set(resp3);
    }

    pub fn set_replication(&self, replication: Replication) {
        self.replication.set(replication);
    }

    pub fn mode(&self) -> CallMode {
        CallMode { resp3: self.resp3.get(), replication: self.replication.get() }
    }
}
