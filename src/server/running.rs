//! The function that is running, as commands see it that come in meanwhile.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use smallvec::SmallVec;

use super::api::{Arguments, Context};
use super::stock;
use crate::clock;
use crate::watch::Watch;

/// How many calls were ended before they returned, since the module was loaded or this was reset.
#[derive(Debug, Default)]
pub struct Ended {
    /// By KILL.
    pub kills: Cell<u64>,
    /// By the limit for calls that have written nothing.
    pub timeouts: Cell<u64>,
}

impl Ended {
    /// Begins anew.
    pub fn reset(&self) {
        self.kills.set(0);
        self.timeouts.set(0);
    }
}

/// A call of a function.
pub struct Running<'a> {
    /// The function's name as registered.
    pub name: &'a str,
    /// The command that called it.
    pub arguments: Arguments<'a>,
    /// Whether the command came from the master or out of a file.
    pub obeys: bool,
    /// When it began, in milliseconds of the coarse clock.
    began: u64,
    /// The same by the finest clock.
    first_tick: u64,
    killed: Cell<bool>,
    /// The names of the commands that it ran.
    commands: RefCell<SmallVec<[CommandName; 4]>>,
}

/// The longest name of a command that is remembered in full.
const NAME_LIMIT: usize = 23;

/// A command's name, kept without an allocation; a longer one by its length alone.
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
    pub fn new(name: &'a str, arguments: Arguments<'a>, obeys: bool) -> Self {
        Self {
            name,
            arguments,
            obeys,
            began: clock::coarse(),
            first_tick: clock::ticks(),
            killed: Cell::new(false),
            commands: RefCell::default(),
        }
    }

    /// For how many milliseconds it has been running, to within a few.
    pub fn elapsed(&self) -> u64 {
        clock::coarse().saturating_sub(self.began)
    }

    /// For how many ticks of the finest clock it has been running.
    pub fn ticks(&self) -> u64 {
        clock::ticks().saturating_sub(self.first_tick)
    }

    /// Has it ended at its next safepoint.
    pub fn kill(&self) {
        self.killed.set(true);
    }

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

    /// Whether one of the commands that it ran is one that writes. Asks the server, which knows its commands.
    pub fn has_written(&self, context: &Context) -> bool {
        self.commands.borrow().iter().any(|name| name.get().is_none_or(|name| stock::command_writes(context, name)))
    }
}

struct MainThread(Cell<Option<NonNull<Running<'static>>>>);

// SAFETY: read and written by callbacks of the server only, which all run on its main thread.
unsafe impl Sync for MainThread {}

static CURRENT: MainThread = MainThread(Cell::new(None));

/// Runs `body` as the call `running` (there is no other one), which commands that come in meanwhile can see, under the watch.
pub fn during<T>(running: &Running, watch: &Watch, body: impl FnOnce() -> T) -> T {
    /// Forgets the call however `body` ends.
    struct Leave<'a>(&'a Watch);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.end();
            CURRENT.0.set(None);
        }
    }
    let address = NonNull::from(running).cast::<Running<'static>>();
    CURRENT.0.set(Some(address));
    watch.begin();
    let _leave = Leave(watch);
    body()
}

/// Lends the running call to `body`, if there is one.
pub fn with_current<T>(body: impl FnOnce(Option<&Running>) -> T) -> T {
    // SAFETY: `during` borrows the call for as long as its address is there; it is lent for the time of `body` alone.
    body(CURRENT.0.get().map(|address| unsafe { address.as_ref() }))
}
