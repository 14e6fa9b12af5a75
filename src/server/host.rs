//! Commands of scripts: how a running function reaches the server.

use std::cell::OnceCell;
use std::ffi::{CStr, CString, c_int};

use super::api::{Context, Flags, InnerCommand, InnerReply, ServerString, State, User, Word, Words};
use super::busy;
use super::cluster::{ClientSlot, Keys, OneSlot};
use super::declared_keys::DeclaredKeys;
use super::gate::is_stale;
use super::intercept::debug::scripts_are_unlocked;
use super::load_host::log;
use super::module::Module;
use super::refusal::{Refusals, STALE, refused};
use super::running::{HEAD, Running};
use super::settings::READ_ONLY_TIMEOUT;
use super::stock;
use super::totals::Counter;
use crate::c_string::to_nul;
use crate::clock::Ticks;
use crate::engine::{CallMode, Callable, Caller, Dialect, Frame, Host, LogLevel, Permission, Replication, Tick};
use crate::registry::FunctionFlags;

/// A command that counts as a write in a function that must not write although the server does not flag it so: what it
/// does reaches replicas.
struct Replicating {
    name: &'static [u8],
    /// The least number of words that it takes; with fewer the server's complaint about that comes first.
    words: usize,
    /// Whether a replica that has lost its master still runs it.
    served_stale: bool,
}

impl Replicating {
    fn is(&self, arguments: &[&[u8]]) -> bool {
        arguments.len() >= self.words && arguments[0].eq_ignore_ascii_case(self.name)
    }
}

const REPLICATING: [Replicating; 3] = [
    Replicating { name: b"pfcount", words: 2, served_stale: false },
    Replicating { name: b"publish", words: 3, served_stale: true },
    Replicating { name: b"spublish", words: 3, served_stale: true },
];

/// Whether this is a read of streams that waits for entries. Later servers run it as if the time were up.
fn asks_to_block(arguments: &[&[u8]]) -> bool {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if !is(arguments[0], "xread") && !is(arguments[0], "xreadgroup") {
        return false;
    }
    arguments.iter().take_while(|word| !is(word, "streams")).any(|word| is(word, "block"))
}

/// A SORT of a set BY a constant, without STORE, as the words that make the server order it. It orders that for its
/// own scripts alone, so that their effects are the same everywhere. None for any other command.
fn ordered_sort<'a>(context: &Context, arguments: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if !is(arguments[0], "sort") && !is(arguments[0], "sort_ro") {
        return None;
    }
    let (head, mut options) = arguments.split_at_checked(2)?;
    let mut words = head.to_vec();
    let mut constant = false;
    while let Some(&option) = options.first() {
        let length = match option {
            _ if is(option, "asc") || is(option, "desc") || is(option, "alpha") => 1,
            _ if is(option, "limit") => 3,
            _ if is(option, "get") || is(option, "by") => 2,
            _ => return None,
        };
        let (these, rest) = options.split_at_checked(length)?;
        if is(option, "by") {
            constant |= !to_nul(these[1]).contains(&b'*');
        } else {
            words.extend(these);
        }
        options = rest;
    }
    if !constant || !stock::is_set(context, arguments[1]) {
        return None;
    }
    words.push(b"ALPHA");
    Some(words)
}

/// Whether a write is refused for the state of the server, whatever its key.
fn is_state_error(text: &[u8]) -> bool {
    [&b"NOREPLICAS "[..], b"MISCONF ", b"OOM ", b"READONLY "].iter().any(|code| text.starts_with(code))
}

/// How a call ends that has written nothing and runs for too long.
const TIMED_OUT: &str = "Script timed out, it ran longer than 'shadow.read-only-timeout' allows.";
const WRITE_REFUSED: &[u8] = b"ERR Write commands are not allowed from read-only scripts.";

/// The server as one call of a function sees it.
pub struct CallHost<'a> {
    context: &'a Context<'a>,
    module: &'a Module,
    dialect: &'a Dialect,
    read_only: bool,
    allows_oom: bool,
    /// Commands are refused that take memory. On for a call that began while memory was short and declares nothing,
    /// until it has run a command that writes.
    lacks_memory: bool,
    /// Inner commands run as the caller's user. Off once the caller proves to have none (another module).
    as_user: bool,
    /// The database that was selected when the call began, once a script selects another.
    home_db: Option<c_int>,
    /// The reply of the last command.
    reply: InnerReply,
    /// The call that is running.
    running: &'a Running<'a>,
    /// Whether its commands are timed.
    is_timed: bool,
    /// What holds its commands to the keys that it declares, if something does.
    declared: Option<DeclaredKeys<'a>>,
    /// When other clients are served, in milliseconds from the start of the call; None until the server was asked.
    threshold: Option<u64>,
    /// When the call is ended, in the same way.
    timeout: Option<u64>,
    /// What other clients are told once it runs too long.
    busy: Option<CString>,
    /// The call's first key.
    key: Option<Word<'a>>,
    /// In a cluster: what keeps the call to the keys of one slot.
    slot: Option<OneSlot>,
    /// In a cluster: where the server looks for keys.
    client_slot: ClientSlot,
    /// Keys in several slots must not reach the server.
    hides_scattered_keys: bool,
    /// The caller's user, once a script asks for its rights. It stays the same while the call runs.
    user: OnceCell<Option<User>>,
}

impl<'a> CallHost<'a> {
    /// The host of the call `running`.
    #[inline(always)]
    pub fn new(context: &'a Context<'a>, module: &'a Module, running: &'a Running<'a>) -> Self {
        let flags = running.callee.flags;
        Self {
            context,
            module,
            dialect: &module.dialect,
            read_only: flags.is_some_and(|flags| flags.contains(FunctionFlags::NO_WRITES)),
            allows_oom: flags.is_some_and(|flags| flags.contains(FunctionFlags::ALLOW_OOM)),
            lacks_memory: false,
            as_user: true,
            home_db: None,
            reply: InnerReply::default(),
            running,
            is_timed: module.followed.tracks_latency(),
            declared: DeclaredKeys::of(running),
            threshold: None,
            timeout: None,
            busy: None,
            key: running.arguments.word(HEAD).filter(|_| running.keys_end > HEAD),
            slot: None,
            client_slot: ClientSlot::Free,
            hides_scattered_keys: false,
            user: OnceCell::new(),
        }
    }

    /// Refuses commands that write.
    pub fn deny_writes(&mut self) {
        self.read_only = true;
    }

    /// Refuses commands that take memory, until one has run that writes.
    pub fn deny_memory(&mut self) {
        self.lacks_memory = true;
    }

    /// Refuses commands whose keys are not in one slot: that of the declared key, else that of the first key used.
    pub fn keep_to_one_slot(&mut self, declared: Option<&[u8]>) {
        self.slot = Some(OneSlot::new(declared));
    }

    /// Makes it a call in a cluster, where the server checks that the keys of a command are in one slot. `declared`:
    /// the first declared key.
    pub fn in_cluster(&mut self, declared: Option<&[u8]>) {
        self.hides_scattered_keys = self.dialect.keeps_refusing_scattered_keys();
        if self.dialect.looks_in_the_slot_of_the_client() {
            let in_transaction = self.context.state().contains(State::MULTI);
            self.client_slot = ClientSlot::of(declared, in_transaction);
        }
    }

    const fn refusals(&self) -> Refusals<'a> {
        Refusals { context: self.context, dialect: self.dialect, command_keys: &self.module.command_keys }
    }

    /// Refuses a command whose keys are in several slots without letting the server see them. To learn what it
    /// would refuse before, it is asked with the first key in place of all others, and does not run the command.
    fn refuse_scattered(&mut self, name: &CStr, arguments: &[&[u8]]) {
        let keys = self.module.command_keys.places(self.context, arguments);
        let mut words = arguments.to_vec();
        for &at in &keys {
            words[at] = arguments[keys[0]];
        }
        let flags = if self.as_user { Flags::new(b"ESDC") } else { Flags::new(b"ESD") };
        let mut reply = InnerReply::default();
        let errno = self.ask(name, &words[1..], flags, &mut reply);
        let text =
            if refused(&reply, errno, libc::ESPIPE, b"-ERR command '") || refused(&reply, errno, libc::EACCES, b"") {
                self.refusals().translate(arguments, reply.wire(), errno)
            } else if self.permits(arguments) == Permission::Denied {
                Some([b"ERR ", self.dialect.words.no_permission.as_bytes(), b"No permissions to access a key"].concat())
            } else {
                None
            };
        let text = text.unwrap_or_else(|| self.refusals().not_here(arguments));
        self.refuse(&text);
    }

    /// The refusal of a write in a function that must not write. What the server's own functions would be told first
    /// comes first here, too.
    fn refuse_write(&mut self, name: &CStr, arguments: &[&[u8]], served_stale: bool) {
        match self.earlier_refusal(name, arguments, served_stale) {
            Some(text) => self.refuse(&text),
            None => self.refuse(WRITE_REFUSED),
        }
    }

    /// What stands against a command before it matters that it writes.
    fn earlier_refusal(&mut self, name: &CStr, arguments: &[&[u8]], served_stale: bool) -> Option<Vec<u8>> {
        let as_user = self.as_user;
        let mut flags = Flags::new(b"ES");
        if as_user {
            flags.push(b'C');
        }
        if self.dialect.runs_functions_by_module() {
            flags.push(b'D');
            if !self.allows_oom {
                flags.push(b'M');
            }
        } else {
            if !served_stale && is_stale(self.context) {
                return Some(STALE.to_vec());
            }
            // Without a right to it, the command is refused rather than run.
            if !as_user || self.permits(arguments) != Permission::Denied {
                return None;
            }
        }
        let mut reply = InnerReply::default();
        let errno = self.ask(name, &arguments[1..], flags, &mut reply);
        match errno {
            libc::EACCES | libc::ENOSPC | libc::EPERM | libc::EROFS | libc::ENETDOWN => {
                let wire = reply.wire();
                self.refusals()
                    .translate(arguments, wire, errno)
                    .or_else(|| wire.strip_prefix(b"-")?.strip_suffix(b"\r\n").map(<[u8]>::to_vec))
            }
            _ => None,
        }
    }

    fn refuse(&mut self, text: &[u8]) {
        self.reply.refuse(text);
    }

    /// When other clients are served. As in the server, 0 means never.
    fn threshold(&mut self) -> u64 {
        let context = self.context;
        *self.threshold.get_or_insert_with(|| {
            let setting = stock::setting(context, c"busy-reply-threshold");
            let threshold = setting.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
            threshold.filter(|&threshold| threshold > 0).unwrap_or(u64::MAX)
        })
    }

    /// How a call ends that was killed.
    const fn killed(&self) -> &'static str {
        match self.running.callee.callable {
            Callable::Function => self.dialect.words.killed,
            Callable::Script => self.dialect.words.killed_script,
        }
    }

    /// When a call that has written nothing is ended.
    fn timeout(&mut self) -> u64 {
        let running = self.running;
        *self.timeout.get_or_insert_with(|| match READ_ONLY_TIMEOUT.get() {
            timeout if timeout > 0 && !running.obeys => timeout,
            _ => u64::MAX,
        })
    }

    /// Runs the command `arguments`, whose first is `name`, as a script would or as a client; the errno that a refusal
    /// left. `key`: its second word, if that is the call's first key.
    #[inline]
    fn execute(&mut self, name: &CStr, arguments: &[&[u8]], key: Option<Word>, mode: CallMode, script: bool) -> c_int {
        let plain = script && self.as_user && !self.read_only && !self.lacks_memory && mode.is_plain();
        let flags = if plain { PLAIN_FLAGS } else { self.flags(mode, script) };
        // Commands keep no first word: it is a key, or a word like one. So the server is spared a copy of it.
        let words = &arguments[1..];
        let command = InnerCommand { context: self.context, name, words, first: key, flags, reply: &mut self.reply };
        self.module.inner_calls.run(command)
    }

    /// Runs a command to learn what the server has to say of it.
    fn ask(&self, name: &CStr, words: &[&[u8]], flags: Flags, reply: &mut InnerReply) -> c_int {
        self.module.inner_calls.run(InnerCommand { context: self.context, name, words, first: None, flags, reply })
    }

    /// The flags for a script's command: effects replicated (`!`, less what A and R leave out), errors as
    /// replies (E), refusing what scripts may not do (S), no writes (W), nothing that takes memory (M), as the caller's
    /// user (C), RESP3 (3).
    fn flags(&self, mode: CallMode, script: bool) -> Flags {
        let mut flags = Flags::new(b"E!");
        let mut add = |flag, wanted: bool| {
            if wanted {
                flags.push(flag);
            }
        };
        add(b'S', script);
        add(b'A', !mode.replication.contains(Replication::AOF));
        add(b'R', !mode.replication.contains(Replication::REPLICAS));
        add(b'W', self.read_only);
        // What takes memory writes, and is refused as such.
        add(b'M', self.lacks_memory && !self.read_only);
        add(b'C', self.as_user);
        add(b'3', mode.resp3);
        flags
    }

    /// A script changed the database of its calls: the server forgets that after each call, so it is done here.
    fn follow_select(&mut self, arguments: &[&[u8]]) {
        if !arguments[0].eq_ignore_ascii_case(b"select") || self.reply.wire() != b"+OK\r\n" {
            return;
        }
        let db = arguments.get(1).and_then(|db| std::str::from_utf8(db).ok()?.parse().ok());
        if let Some(db) = db {
            self.home_db.get_or_insert(self.context.selected_db());
            self.context.select_db(db);
        }
    }

    /// Runs a command, or refuses it, and leaves its reply. `key`: its second word, if that is the call's first key.
    #[inline(always)]
    fn run(&mut self, name: &CStr, arguments: &[&[u8]], key: Option<Word>, mode: CallMode) {
        if self.read_only
            && let Some(known) = REPLICATING.iter().find(|known| known.is(arguments))
        {
            return self.refuse_write(name, arguments, known.served_stale);
        }
        if self.dialect.is_7_0() && asks_to_block(arguments) {
            let text = [b"ERR ", name.to_bytes(), b" command is not allowed with BLOCK option from scripts"].concat();
            return self.refuse(&text);
        }
        let keys = if self.slot.is_some() || self.hides_scattered_keys || self.client_slot != ClientSlot::Free {
            Keys::of(&self.module.command_keys.places(self.context, arguments), arguments)
        } else {
            Keys::None
        };
        if self.slot.as_ref().is_some_and(|slot| !slot.admits(keys)) {
            let text = self.refusals().other_slot(arguments, keys);
            return self.refuse(&text);
        }
        if let Some(text) = self.client_slot.refusal(keys) {
            return self.refuse(text);
        }
        if self.hides_scattered_keys && keys == Keys::Scattered {
            return self.refuse_scattered(name, arguments);
        }
        let ordered = ordered_sort(self.context, arguments);
        let arguments = ordered.as_deref().unwrap_or(arguments);
        let mut errno = self.execute(name, arguments, key, mode, true);
        if self.as_user && refused(&self.reply, errno, libc::ENOTSUP, b"") {
            self.as_user = false;
            errno = self.execute(name, arguments, key, mode, true);
        }
        if self.lacks_memory
            && !self.dialect.runs_functions_by_module()
            && refused(&self.reply, errno, libc::ENOSPC, b"-OOM")
            && let Some(text) = stock::write_error(self.context).filter(|text| is_state_error(text))
        {
            // The server's own scripts are told of these first.
            return self.refuse(&text);
        }
        if refused(&self.reply, errno, libc::ESPIPE, b"-ERR command '") && scripts_are_unlocked(self.context) {
            errno = self.execute(name, arguments, key, mode, false);
        }
        if [libc::ESPIPE, libc::ENOSPC].contains(&errno)
            && self.reply.wire().strip_prefix(b"-").is_some_and(is_state_error)
        {
            // The state of the server stops only what has not written yet.
            if !self.running.has_written(self.context) {
                let text = self.reply.wire().trim_ascii_end()[1..].to_vec();
                return self.refuse(&text);
            }
            errno = self.execute(name, arguments, key, mode, false);
        }
        let was_refused = errno != 0 && self.reply.is_error();
        if let Some(slot) = &mut self.slot
            && !was_refused
        {
            slot.enter(keys);
        }
        if refused(&self.reply, errno, libc::ENOSPC, b"-ERR Write command") {
            return self.refuse_write(name, arguments, false);
        }
        if errno != 0
            && let Some(text) = self.refusals().translate(arguments, self.reply.wire(), errno)
        {
            return self.refuse(&text);
        }
        if !self.read_only {
            self.running.note(arguments[0]);
            self.lacks_memory =
                self.lacks_memory && (was_refused || !stock::command_writes(self.context, arguments[0]));
        }
        self.follow_select(arguments);
        // Only a call without the flag E has none.
        if !self.reply.is_there() {
            self.refuse(b"ERR The command could not be run");
        }
    }
}

impl Host for CallHost<'_> {
    fn call(&mut self, name: &CStr, arguments: &[&[u8]], mode: CallMode, caller: Caller) -> &[u8] {
        self.reply.clear();
        let key = self.key.filter(|key| arguments.get(1).is_some_and(|&word| word == key.bytes()));
        if let Some(declared) = &mut self.declared
            && let Some(refusal) = declared.check(self.context, self.module, arguments, key.is_some(), caller)
        {
            self.refuse(&refusal);
            return self.reply.wire();
        }
        let began = if self.is_timed { Some(Ticks::now()) } else { None };
        self.run(name, arguments, key, mode);
        if let Some(began) = began {
            self.running.commands.note(arguments[0], began.elapsed());
        }
        self.reply.wire()
    }

    fn permits(&mut self, arguments: &[&[u8]]) -> Permission {
        let texts: Vec<ServerString> = arguments.iter().map(|word| ServerString::new(word)).collect();
        match self.user.get_or_init(|| User::of_caller(self.context)) {
            Some(user) => user.may_run(self.context, Words::new(&texts)),
            // A caller without a user may do everything.
            None => Permission::Granted,
        }
    }

    fn tick(&mut self) -> Tick {
        let running = self.running;
        let (totals, watch) = (running.callee.totals, &self.module.threads.watch);
        if running.is_killed() {
            return end(&totals.kills, self.killed());
        }
        let elapsed = running.elapsed();
        if elapsed >= self.timeout() {
            if !running.has_written(self.context) {
                self.log(LogLevel::Warning, format!("{TIMED_OUT} Script name is: {}.", running.callee.name).as_bytes());
                return end(&totals.timeouts, TIMED_OUT);
            }
            self.timeout = Some(u64::MAX);
        }
        let threshold = self.threshold();
        if elapsed < threshold {
            watch.postpone(threshold.min(self.timeout()));
            return Tick::Silence;
        }
        let busy = self.busy.take().unwrap_or_else(|| {
            let kill = busy::kill_command(running.callee.callable);
            let line = format!(
                "Slow script detected: still in execution after {elapsed} milliseconds. You can try killing the script \
                 using the {kill} command. Script name is: {}.",
                running.callee.name
            );
            self.context.log(c"warning", line.as_bytes());
            CString::new(busy::text(self.context, self.dialect, running.callee.callable)).unwrap_or_default()
        });
        let served = self.context.yield_to_clients(&busy);
        self.busy = Some(busy);
        if !served {
            watch.postpone(self.timeout());
            return Tick::Silence;
        }
        if running.is_killed() { end(&totals.kills, self.killed()) } else { Tick::GoOn }
    }

    fn samples_due(&mut self) -> u32 {
        match self.module.threads.watch.take_due() {
            0 => 0,
            due if self.module.profiler.takes(self.running) => due,
            _ => 0,
        }
    }

    fn sample(&mut self, frames: &[Frame], samples: u32) {
        self.module.profiler.record(self.running, frames, samples);
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(self.context, level, message);
    }
}

/// Ends the call with this error, and counts it.
fn end(counter: &Counter, text: &'static str) -> Tick {
    counter.count();
    Tick::Kill(text)
}

impl Drop for CallHost<'_> {
    fn drop(&mut self) {
        self.module.inner_calls.recycle(&mut self.reply);
        if let Some(db) = self.home_db {
            self.context.select_db(db);
        }
    }
}

/// The flags for the plainest of a script's commands.
pub const PLAIN_FLAGS: Flags = Flags::new(b"E!SC");
