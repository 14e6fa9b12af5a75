//! DEBUG commands whose effect on the server's own functions the module has to follow.
//!
//! The filter sees a command before the server accepts it. So what is noted here is only a hint, which is used when the
//! server shows that it took the command.

use std::cell::Cell;

use super::super::api::{Context, FilteredCommand};
use super::super::main_thread::MainThread;
use super::super::module::loading::Reload;
use super::super::stock;

static RELOAD: MainThread<Cell<Option<Reload>>> = MainThread::new(Cell::new(None));
static SCRIPTS_UNLOCKED: MainThread<Cell<bool>> = MainThread::new(Cell::new(false));

/// Notes a DEBUG command that passes the filter.
pub fn note(command: &FilteredCommand) {
    let word = |position| command.word(position).to_ascii_lowercase();
    match (word(1).as_slice(), command.word_count()) {
        (b"reload", words) => {
            let has = |option: &[u8]| (2..words).any(|position| word(position) == option);
            RELOAD.set(Some(Reload { keep: has(b"noflush"), merge: has(b"merge") }));
        }
        (b"set-disable-deny-scripts", 3) => SCRIPTS_UNLOCKED.set(word(2) != b"0"),
        _ => {}
    }
}

/// The options of the load that begins now. A load that no DEBUG command asked for replaces what is in memory.
pub fn take_reload() -> Reload {
    RELOAD.take().unwrap_or_default()
}

/// Whether the server lets scripts run what is not for scripts (`DEBUG SET-DISABLE-DENY-SCRIPTS`). Asks the server, if
/// there was a hint that it might, by a script of the server's own.
pub fn scripts_are_unlocked(context: &Context) -> bool {
    SCRIPTS_UNLOCKED.get() && stock::runs_script(context, b"return redis.pcall('debug', 'help')")
}
