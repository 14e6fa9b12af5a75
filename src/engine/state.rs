//! What the natives of a VM share: the call that is running, and what it has set.

#![allow(unsafe_code, reason = "finds the state of a VM by its address")]

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use super::callable::Callable;
use super::cjson::shared::Shared;
use super::dialect::Dialect;
use super::error::Place;
use super::host::{CallMode, Host, Replication};
use super::machine_code::MachineCode;
use super::memory::Memory;
use super::patience::Patience;
use super::registration::Registrations;
use super::slots::Slots;
use super::stack::{Raise, Stack};

thread_local! {
    /// The VM whose call or load runs on this thread.
    static CURRENT: Cell<*const VmState> = const { Cell::new(ptr::null()) };
}

/// Lends the state of the VM whose call or load runs on this thread to `body`; None without one.
pub fn with_current<T>(body: impl FnOnce(&VmState) -> T) -> Option<T> {
    // SAFETY: `running` borrows the state for as long as its address is there.
    unsafe { CURRENT.get().as_ref() }.map(body)
}

/// Notes where the running call or load is when the VM on `stack` is refused memory: there may be none for the error
/// handler either, which would note it.
pub fn note_refusal(stack: &Stack) {
    with_current(|state| {
        if let Ok(mut failure) = state.failure.try_borrow_mut() {
            let place = [0, 1, 2].into_iter().find_map(|level| stack.place(level));
            *failure = place.map(|(chunk, line)| Place { chunk, line });
        }
    });
}

/// One per VM, at a fixed address: every native carries it.
pub struct VmState {
    /// The host of the running call or load. Set by `running` for exactly that time.
    host: Cell<Option<NonNull<dyn Host>>>,
    /// Set for as long; the host is not there while one of its own calls runs.
    running: Cell<bool>,
    /// While the body of a library runs: what it has registered.
    registrations: RefCell<Option<Registrations>>,
    /// The protocol of inner replies, and so of booleans that the function returns.
    resp3: Cell<bool>,
    /// Where the effects of commands go.
    replication: Cell<Replication>,
    /// Where the last error arose that left a call; written by the error handler.
    pub failure: RefCell<Option<Place>>,
    /// Where the callbacks are.
    pub slots: RefCell<Slots>,
    /// The slot of the callback that runs, or ran last.
    pub running_slot: Cell<u32>,
    /// What `cjson` keeps.
    pub json: Shared,
    /// The time that the running call or load takes.
    pub patience: Patience,
    /// The memory limit.
    pub memory: Memory,
    /// What is compiled to machine code.
    pub machine_code: MachineCode,
    /// What is called in the VM.
    pub callable: Callable,
    /// The server's dialect.
    pub dialect: Dialect,
}

impl VmState {
    /// The state of a new VM.
    pub fn new(callable: Callable, dialect: Dialect) -> Self {
        Self {
            host: Cell::new(None),
            running: Cell::new(false),
            registrations: RefCell::new(None),
            resp3: Cell::new(false),
            replication: Cell::new(Replication::all()),
            failure: RefCell::new(None),
            slots: RefCell::default(),
            running_slot: Cell::new(0),
            json: Shared::default(),
            patience: Patience::default(),
            memory: Memory::default(),
            machine_code: MachineCode::default(),
            callable,
            dialect,
        }
    }

    /// The state of the native that runs on `stack`.
    pub fn of(stack: &Stack) -> &Self {
        // SAFETY: every native is pushed with the address of its VM's state, which the engine keeps in a box that is
        // dropped after the VM.
        unsafe { &*stack.carried::<Self>() }
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
        /// Forgets the host, and goes back to the call around this one, that of another VM, however `body` ends.
        struct Leave<'a>(&'a VmState, *const VmState);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                CURRENT.set(self.1);
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
        self.patience.begin();
        let _leave = Leave(self, CURRENT.replace(self));
        body()
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

    /// Whether the body of a library is running, rather than a function.
    pub fn is_loading(&self) -> bool {
        self.registrations.borrow().is_some()
    }

    /// The body of a library begins to run.
    pub fn begin_load(&self) {
        self.registrations.replace(Some(Registrations::default()));
    }

    /// It has ended. Gives what it registered.
    pub fn end_load(&self) -> Registrations {
        self.registrations.take().unwrap_or_default()
    }

    /// Runs `body` with what the library has registered so far; None when no library is being loaded.
    pub fn with_registrations<T>(&self, body: impl FnOnce(&mut Registrations) -> T) -> Option<T> {
        self.registrations.borrow_mut().as_mut().map(body)
    }

    /// Whether inner replies come in RESP3.
    pub fn resp3(&self) -> bool {
        self.resp3.get()
    }

    /// Sets whether they do, for the rest of the call.
    pub fn set_resp3(&self, resp3: bool) {
        self.resp3.set(resp3);
    }

    /// Sets where the effects of commands go, for the rest of the call.
    pub fn set_replication(&self, replication: Replication) {
        self.replication.set(replication);
    }

    /// How the next command runs.
    pub fn mode(&self) -> CallMode {
        CallMode { resp3: self.resp3.get(), replication: self.replication.get() }
    }
}
