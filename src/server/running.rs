//! The running call, as other commands see it.

#![allow(unsafe_code, reason = "knows the running call by its address")]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use smallvec::SmallVec;

use super::api::{Arguments, Context};
use super::main_thread::MainThread;
use super::stock;
use super::totals::Totals;
use crate::clock::{Milliseconds, Ticks};
use crate::engine::Callable;
use crate::registry::{Callback, FunctionFlags, Library};
use crate::watch::Watch;

/// The words of a call before the keys: the command, what it calls, the number of keys.
pub const HEAD: usize = 3;

/// What is called.
#[derive(Clone, Copy)]
pub struct Callee<'a> {
    pub callable: Callable,
    /// The function's name as registered, or the digest of the script.
    pub name: &'a str,
    /// The library of a function; None for a script.
    pub library: Option<&'a Library>,
    /// What it declares; None for a script that declares nothing.
    pub flags: Option<FunctionFlags>,
    /// What is known of its calls.
    pub callback: &'a Callback,
    /// Where it is counted with all others of its kind.
    pub totals: &'a Totals,
}

/// A call of a function or a script.
pub struct Running<'a> {
    /// What is called.
    pub callee: &'a Callee<'a>,
    /// The command that called it.
    pub arguments: Arguments<'a>,
    /// Where the keys end among its words.
    pub keys_end: usize,
    /// Whether that command came from the master or out of a file.
    pub obeys: bool,
    /// When it began.
    began: Milliseconds,
    /// The same by the finest clock.
    began_exactly: Ticks,
    killed: Cell<bool>,
    /// The commands that it has run.
    pub commands: InnerCommands,
    /// The names of those that may have written, each once.
    names: RefCell<SmallVec<[CommandName; 4]>>,
}

/// What is measured of the commands that a call runs.
#[derive(Default)]
pub struct InnerCommands {
    count: Cell<u64>,
    spent: Cell<Ticks>,
    longest: Cell<Ticks>,
    slowest: Cell<CommandName>,
}

impl InnerCommands {
    /// Notes that `command` took `took`.
    #[inline]
    pub fn note(&self, command: &[u8], took: Ticks) {
        self.count.set(self.count.get() + 1);
        self.spent.set(Ticks(self.spent.get().0 + took.0));
        if took > self.longest.get() {
            self.longest.set(took);
            self.slowest.set(CommandName::new(command));
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// How long they took together.
    pub fn spent(&self) -> Ticks {
        self.spent.get()
    }

    /// The name of the one that took longest, as it was written, and its time; None without any. A name that is too
    /// long is empty.
    pub fn slowest(&self) -> Option<(Vec<u8>, Ticks)> {
        (self.count.get() > 0).then(|| (self.slowest.get().get().unwrap_or_default().to_vec(), self.longest.get()))
    }
}

/// The longest name of a command that is kept, in bytes.
const NAME_LIMIT: usize = 23;

/// A command's name, kept without an allocation. Of a longer name only that it was too long is known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
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
    #[inline]
    pub fn new(callee: &'a Callee<'a>, arguments: Arguments<'a>, keys_end: usize, obeys: bool) -> Self {
        Self {
            callee,
            arguments,
            keys_end,
            obeys,
            began: Milliseconds::now(),
            began_exactly: Ticks::now(),
            killed: Cell::new(false),
            commands: InnerCommands::default(),
            names: RefCell::default(),
        }
    }

    /// The keys that it declares.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        self.arguments.range(HEAD, self.keys_end)
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

    /// Remembers that it ran a command, which may have written.
    pub fn note(&self, command: &[u8]) {
        let mut names = self.names.borrow_mut();
        if names.iter().all(|known| known.get() != Some(command)) {
            let name = CommandName::new(command);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }

    /// Whether it has run the command of this name, which writes.
    pub fn has_run(&self, name: &[u8]) -> bool {
        self.names.borrow().iter().filter_map(CommandName::get).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether it has run a command that writes, by what the server says of the commands.
    pub fn has_written(&self, context: &Context) -> bool {
        self.names.borrow().iter().any(|name| name.get().is_none_or(|name| stock::command_writes(context, name)))
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
    watch.begin(running.callee.callable);
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
