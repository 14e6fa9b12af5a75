//! The running call, as other commands see it.

#![allow(unsafe_code, reason = "knows the running call by its address")]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use smallvec::SmallVec;

use super::api::{Arguments, Context};
use super::main_thread::MainThread;
use super::stock;
use crate::clock::{Milliseconds, Ticks};
use crate::engine::Callable;
use crate::watch::Watch;

/// A call of a function or a script.
pub struct Running<'a> {
    /// What is called.
    pub callable: Callable,
    /// The function's name as registered, or the digest of the script.
    pub name: &'a str,
    /// The command that called it.
    pub arguments: Arguments<'a>,
    /// Whether that command came from the master or out of a file.
    pub obeys: bool,
    /// When it began.
    began: Milliseconds,
    /// The same by the finest clock.
    began_exactly: Ticks,
    killed: Cell<bool>,
    /// The names of the commands that it has run, each once.
    commands: RefCell<SmallVec<[CommandName; 4]>>,
}

/// The longest name of a command that is kept, in bytes.
const NAME_LIMIT: usize = 23;

/// A command's name, kept without an allocation. Of a longer name only that it was too long is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CommandName {
    length: u8,
    bytes: [u8; NAME_LIMIT],
}

impl CommandName {
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; NAME_LIMIT];
        match bytes.get_mut(..name.len()) {
            Some(start) => {
                start.copy_from_slice(name);
                Self { length: name.len() as u8, bytes }
            }
            None => Self { length: u8::MAX, bytes },
        }
    }

    /// The name; None for one that was too long.
    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length))
    }
}

impl<'a> Running<'a> {
    /// A call that begins now.
    pub fn new(callable: Callable, name: &'a str, arguments: Arguments<'a>, obeys: bool) -> Self {
        Self {
            callable,
            name,
            arguments,
            obeys,
            began: Milliseconds::now(),
            began_exactly: Ticks::now(),
            killed: Cell::new(false),
            commands: RefCell::default(),
        }
    }

    /// When it began, to within a few milliseconds.
    pub const fn began(&self) -> Milliseconds {
        self.began
    }

    /// How long it has been running, in milliseconds, to within a few.
    pub fn elapsed(&self) -> u64 {
        self.began.elapsed().0
    }

    /// How long it has been running, by the finest clock.
    pub fn elapsed_exactly(&self) -> Ticks {
        self.began_exactly.elapsed()
    }

    /// Makes it end at its next safepoint.
    pub fn kill(&self) {
        self.killed.set(true);
    }

    /// Whether it is to end.
    pub fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Remembers that it ran a command.
    pub fn note(&self, command: &[u8]) {
        let mut commands = self.commands.borrow_mut();
        if commands.iter().all(|known| known.get() != Some(command)) {
            let name = CommandName::new(command);
            if !commands.contains(&name) {
                commands.push(name);
            }
        }
    }

    /// Whether it has run a command that writes, by what the server says of the commands.
    pub fn has_written(&self, context: &Context) -> bool {
        self.commands.borrow().iter().any(|name| name.get().is_none_or(|name| stock::command_writes(context, name)))
    }
}

/// The running call, for commands that come in meanwhile. The engine notes it in two more places, and none follows from
/// another. Each VM notes its host, for its native functions; a load has a host as well, and a host says nothing of a
/// caller. The thread notes the VM that it is in, for the VM's callbacks, which are told nothing.
static CURRENT: MainThread<Cell<Option<NonNull<Running<'static>>>>> = MainThread::new(Cell::new(None));

/// Runs `body` as the call `running`, under the watch. There must be no other one.
pub fn during<T>(running: &Running, watch: &Watch, body: impl FnOnce() -> T) -> T {
    /// Forgets the call however `body` ends.
    struct Leave<'a>(&'a Watch);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.end();
            CURRENT.set(None);
        }
    }
    let address = NonNull::from(running).cast::<Running<'static>>();
    CURRENT.set(Some(address));
    watch.begin(running.callable);
    let _leave = Leave(watch);
    body()
}

/// Whether a call is running.
pub fn is_any() -> bool {
    CURRENT.get().is_some()
}

/// Lends the running call to `body`, if there is one.
pub fn with_current<T>(body: impl FnOnce(Option<&Running>) -> T) -> T {
    // SAFETY: `during` borrows the call for as long as its address is there; it is lent for the time of `body` alone.
    body(CURRENT.get().map(|address| unsafe { address.as_ref() }))
}
