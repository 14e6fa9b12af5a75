//! The module's settings: configs of the server named `shadow.<name>`, and load arguments of the same names.
//!
//! A load argument is the default of its setting. A value in the configuration file takes precedence over it, and
//! CONFIG SET over both. So CONFIG REWRITE writes what differs from the load arguments, and a restart finds what was
//! set.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::api::config::{self, Config, Kind};
use super::api::{Arguments, Context};
use super::intercept::Scope;
use super::module;
use crate::generation::Compilation;

const MIB: i64 = 1 << 20;

/// Retired generations that may wait for the worker; one more is freed in place.
pub static RECLAIM_QUEUE: Setting =
    Setting::new(c"reclaim-queue", Shape::Number { least: 1, most: 65_536 }, 64, Change::Never);

/// Which of the server's commands the module answers. `yes` dates from when there was nothing but functions.
pub static INTERCEPT: Setting = Setting::new(
    c"intercept",
    Shape::Choice(&[
        (c"no", Scope::empty().bits()),
        (c"functions", Scope::FUNCTIONS.bits()),
        (c"scripts", Scope::SCRIPTS.bits()),
        (c"all", Scope::all().bits()),
        (c"yes", Scope::FUNCTIONS.bits()),
    ]),
    Scope::empty().bits(),
    Change::Never,
);

/// Whether SHADOW.DEBUG is registered: fault injection for tests.
pub static ENABLE_DEBUG_COMMAND: Setting = Setting::new(c"enable-debug-command", Shape::Switch, 0, Change::Never);

/// Bytes that the VM of functions and that of scripts may hold, each; 0 for no limit. An empty one holds less than the
/// least.
pub static MEMORY_LIMIT: Setting =
    Setting::new(c"memory-limit", Shape::Memory { least: MIB }, 0, Change::Then(limit_memory));

/// For how many milliseconds a function may run that has written nothing; 0 for no limit.
pub static READ_ONLY_TIMEOUT: Setting =
    Setting::new(c"read-only-timeout", Shape::Number { least: 0, most: i64::MAX }, 0, Change::Free);

/// Bytes that all cached scripts may take; 0 for no bound but the server's own.
static SCRIPT_CACHE: Setting =
    Setting::new(c"script-cache", Shape::Memory { least: MIB }, 0, Change::Then(bound_script_cache));

/// Whether cached scripts are in the server's files and on its replicas.
static KEEP_SCRIPTS: Setting = Setting::new(c"keep-scripts", Shape::Switch, 0, Change::Then(keep_scripts));

/// What becomes of an inner command that reaches a key which its call does not declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undeclared {
    /// It runs.
    Off,
    /// It runs, and is noted.
    Report,
    /// It is refused, and noted.
    Deny,
}

/// Which of these.
pub static UNDECLARED_KEYS: Setting = Setting::new(
    c"undeclared-keys",
    Shape::Choice(&[
        (c"off", Undeclared::Off as i64),
        (c"report", Undeclared::Report as i64),
        (c"deny", Undeclared::Deny as i64),
    ]),
    Undeclared::Off as i64,
    Change::Free,
);

/// How inner commands reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The fastest way that the server has and the module knows.
    Auto,
    /// By `RM_Call`, as on every server.
    RmCall,
}

/// Which of these.
pub static CALL_PATH: Setting = Setting::new(
    c"call-path",
    Shape::Choice(&[(c"auto", Path::Auto as i64), (c"rm-call", Path::RmCall as i64)]),
    Path::Auto as i64,
    Change::Then(module::set_call_path),
);

/// Whether keys and arguments are left out of what the module keeps of calls.
pub static HIDE_USER_DATA: Setting = Setting::new(c"hide-user-data", Shape::Switch, 0, Change::Free);

/// How many generations that deploys have replaced are kept, so that they can come back.
pub static KEEP_GENERATIONS: Setting =
    Setting::new(c"keep-generations", Shape::Number { least: 0, most: 16 }, 1, Change::Free);

/// Bytes that all of them may hold; 0 for no bound.
pub static KEEP_GENERATIONS_BYTES: Setting =
    Setting::new(c"keep-generations-bytes", Shape::Memory { least: 1 }, 256 * MIB, Change::Free);

/// Which functions are compiled to machine code.
static JIT: Setting =
    Setting::new(c"jit", Shape::Choice(&[(c"off", 0), (c"hot", 1), (c"always", 2)]), 1, Change::Then(set_compilation));

/// The directory whose libraries are loaded at start; empty for none.
pub static LIBRARY_DIR: Setting = Setting::new(c"library-dir", Shape::Path, 0, Change::Never);

/// All settings, in the order of registration.
static ALL: [&Setting; 14] = [
    &RECLAIM_QUEUE,
    &INTERCEPT,
    &ENABLE_DEBUG_COMMAND,
    &MEMORY_LIMIT,
    &READ_ONLY_TIMEOUT,
    &SCRIPT_CACHE,
    &KEEP_SCRIPTS,
    &UNDECLARED_KEYS,
    &CALL_PATH,
    &HIDE_USER_DATA,
    &KEEP_GENERATIONS,
    &KEEP_GENERATIONS_BYTES,
    &JIT,
    &LIBRARY_DIR,
];

fn limit_memory() {
    module::set_memory_limit(usize::try_from(MEMORY_LIMIT.get()).unwrap_or(usize::MAX));
}

fn bound_script_cache() {
    module::set_script_cache(usize::try_from(SCRIPT_CACHE.get()).unwrap_or(usize::MAX));
}

fn keep_scripts() {
    module::set_keep_scripts(KEEP_SCRIPTS.is_on());
}

fn set_compilation() {
    module::set_compilation(match JIT.get() {
        0 => Compilation::Off,
        1 => Compilation::Hot,
        _ => Compilation::Always,
    });
}

/// The values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `yes` or `no`.
    Switch,
    /// A whole number.
    Number { least: i64, most: i64 },
    /// A number of bytes, with or without a unit: 0, or `least` and more.
    Memory { least: i64 },
    /// One of these words, in any case, each with its value.
    Choice(&'static [(&'static CStr, i64)]),
    /// Any bytes but NUL; empty for none.
    Path,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(i64),
    Path(Vec<u8>),
}

impl Shape {
    /// The value that `word` stands for.
    ///
    /// # Errors
    /// What the value must be.
    fn read(self, word: &[u8]) -> Result<Value, String> {
        let text = String::from_utf8_lossy(word);
        let number = match self {
            Self::Switch => yes_or_no(&text).map(i64::from),
            Self::Number { .. } => text.parse().ok(),
            Self::Memory { .. } => bytes(&text),
            Self::Choice(words) => value_of(words, &text),
            Self::Path => return Ok(Value::Path(word.to_vec())),
        };
        number.filter(|&number| self.takes(number)).map(Value::Number).ok_or_else(|| self.wanted())
    }

    fn takes(self, number: i64) -> bool {
        match self {
            Self::Switch => true,
            Self::Number { least, most } => (least..=most).contains(&number),
            Self::Memory { least } => number == 0 || number >= least,
            Self::Choice(words) => words.iter().any(|&(_, value)| value == number),
            Self::Path => false,
        }
    }

    /// What a value must be.
    fn wanted(self) -> String {
        match self {
            Self::Switch => "yes or no".to_owned(),
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Memory { least } => format!("0 for no limit, or a memory value of {}mb or more", least >> 20),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| word.to_string_lossy()).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Path => "a path".to_owned(),
        }
    }
}

/// Whether CONFIG SET may change a setting.
#[derive(Clone, Copy)]
enum Change {
    Never,
    Free,
    /// It may. This is called after each change, and once at the load of the module.
    Then(fn()),
}

/// A setting and its value.
pub struct Setting {
    name: &'static CStr,
    shape: Shape,
    /// The number that it has unless a load argument gives another; a path is empty.
    default: i64,
    change: Change,
    number: AtomicI64,
    path: Mutex<Vec<u8>>,
}

impl Setting {
    const fn new(name: &'static CStr, shape: Shape, default: i64, change: Change) -> Self {
        Self { name, shape, default, change, number: AtomicI64::new(default), path: Mutex::new(Vec::new()) }
    }

    /// The value: a number, bytes, 1 for yes, or the value of a word.
    pub fn get(&self) -> u64 {
        u64::try_from(self.number.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Whether a switch is on.
    pub fn is_on(&self) -> bool {
        self.get() != 0
    }

    /// The value of a path.
    pub fn path(&self) -> Vec<u8> {
        self.path.lock().clone()
    }

    fn set(&self, value: Value) {
        match value {
            Value::Number(number) => self.number.store(number, Ordering::Relaxed),
            Value::Path(path) => *self.path.lock() = path,
        }
    }

    /// Lets those know who do not ask for the value.
    fn follow(&self) {
        if let Change::Then(follow) = self.change {
            follow();
        }
    }

    /// The value that it has without a load argument.
    fn default(&self) -> Value {
        if self.shape == Shape::Path { Value::Path(Vec::new()) } else { Value::Number(self.default) }
    }

    /// Registers the setting with the server; the value that it has now is the default.
    fn register(&'static self, context: &Context) -> Result<(), String> {
        let number = self.number.load(Ordering::Relaxed);
        let path = CString::new(self.path()).map_err(|_| format!("'{}' has a NUL in it", self.plain_name()))?;
        let kind = match self.shape {
            Shape::Switch => Kind::Switch(number != 0),
            Shape::Number { least, most } => Kind::Number { default: number, least, most },
            Shape::Memory { .. } => Kind::Memory(number),
            Shape::Choice(words) => Kind::Choice { default: number, words },
            Shape::Path => Kind::Text(&path),
        };
        let fixed = matches!(self.change, Change::Never);
        config::register(context, &Config { name: self.name, kind, fixed }, self)
            .map_err(|_| format!("the server refused the setting '{}'", self.plain_name()))
    }

    /// The name without `shadow.`.
    fn plain_name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }
}

impl config::Value for Setting {
    fn number(&self) -> i64 {
        self.number.load(Ordering::Relaxed)
    }

    fn text(&self) -> Vec<u8> {
        self.path()
    }

    fn set_number(&self, value: i64) -> Result<(), String> {
        if !self.shape.takes(value) {
            return Err(format!("argument must be {}", self.shape.wanted()));
        }
        self.set(Value::Number(value));
        self.follow();
        Ok(())
    }

    fn set_text(&self, value: &[u8]) -> Result<(), String> {
        self.set(Value::Path(value.to_vec()));
        Ok(())
    }
}

/// Reads the load arguments, registers the settings with the server, and gives them the values that it has for them.
///
/// # Errors
/// A sentence for the log that names the argument or the setting.
pub fn load(context: &Context, arguments: Arguments) -> Result<(), String> {
    let given = parse(&arguments.range(0, arguments.len()).collect::<Vec<_>>())?;
    reset();
    for (setting, value) in given {
        setting.set(value);
    }
    for setting in ALL {
        setting.register(context)?;
    }
    config::load(context).map_err(|_| "a setting of the module has a value that it does not take".to_owned())?;
    ALL.into_iter().for_each(Setting::follow);
    Ok(())
}

/// Gives the settings the values that they have without load arguments. What they had is freed: no destructor of theirs
/// runs when the module goes.
pub fn reset() {
    for setting in ALL {
        setting.set(setting.default());
    }
}

/// The plain name of the setting that a load argument means.
fn known_as(word: &[u8]) -> String {
    let name = String::from_utf8_lossy(word).to_ascii_lowercase();
    name.strip_prefix("shadow.").unwrap_or(&name).to_owned()
}

/// The settings that pairs of a name and a value stand for.
fn parse(words: &[&[u8]]) -> Result<Vec<(&'static Setting, Value)>, String> {
    let pair = |pair: &[&[u8]]| {
        let name = known_as(pair[0]);
        let word = pair.get(1).ok_or_else(|| format!("load argument '{name}' has no value"))?;
        let setting = ALL.into_iter().find(|setting| setting.plain_name() == name);
        let setting = setting.ok_or_else(|| format!("unknown load argument '{name}'"))?;
        let value = setting.shape.read(word).map_err(|wanted| {
            format!("load argument '{name}' must be {wanted}, not '{}'", String::from_utf8_lossy(word))
        })?;
        Ok((setting, value))
    };
    words.chunks(2).map(pair).collect()
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The value of `text`, in any case, among `words`.
fn value_of(words: &[(&CStr, i64)], text: &str) -> Option<i64> {
    let found = words.iter().find(|(word, _)| word.to_bytes().eq_ignore_ascii_case(text.as_bytes()));
    found.map(|&(_, value)| value)
}

/// A number of bytes with one of the server's units, or without.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(&'static str, Value)>, String> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        Ok(parse(&words)?.into_iter().map(|(setting, value)| (setting.plain_name(), value)).collect())
    }

    #[test]
    fn names_are_taken_in_any_case_with_or_without_the_prefix() {
        let expected: Vec<_> = [("reclaim-queue", 5), ("intercept", 1), ("memory-limit", 64 << 20), ("jit", 0)]
            .map(|(name, number)| (name, Value::Number(number)))
            .into();
        assert_eq!(read("reclaim-queue 5 intercept yes memory-limit 64mb jit off"), Ok(expected.clone()));
        assert_eq!(read("SHADOW.Reclaim-Queue 5 Intercept Yes shadow.memory-limit 64MB Jit OFF"), Ok(expected));
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn every_word_for_interception_has_its_scope() {
        let (functions, scripts) = (Scope::FUNCTIONS, Scope::SCRIPTS);
        for (word, scope) in [
            ("no", Scope::empty()),
            ("functions", functions),
            ("yes", functions),
            ("Scripts", scripts),
            ("ALL", functions | scripts),
        ] {
            assert_eq!(read(&format!("intercept {word}")), Ok(vec![("intercept", Value::Number(scope.bits()))]));
        }
    }

    #[test]
    fn a_wrong_argument_is_refused_by_name() {
        assert_eq!(read("colour red").unwrap_err(), "unknown load argument 'colour'");
        assert_eq!(read("reclaim-queue").unwrap_err(), "load argument 'reclaim-queue' has no value");
        assert!(read("reclaim-queue 0").unwrap_err().contains("must be a number from 1 to 65536, not '0'"));
        assert!(read("enable-debug-command maybe").unwrap_err().contains("must be yes or no"));
        assert_eq!(read("jit on").unwrap_err(), "load argument 'jit' must be one of off, hot, always, not 'on'");
        for value in ["-1", "1", "1000kb", "64 mb", "mb", "64tb", "9999999999999gb", "1.5gb"] {
            let refused = read(&format!("memory-limit {}", value.replace(' ', ""))).map(drop);
            assert_eq!(refused.is_err(), value != "64 mb", "{value}");
        }
        let text = read("memory-limit 64").unwrap_err();
        assert_eq!(
            text,
            "load argument 'memory-limit' must be 0 for no limit, or a memory value of 1mb or more, not '64'"
        );
        assert!(read("read-only-timeout -5").is_err());
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let path = |text: &str| ("library-dir", Value::Path(text.into()));
        assert_eq!(read("library-dir /a"), Ok(vec![path("/a")]));
        assert_eq!(read("intercept yes SHADOW.Library-Dir /A"), Ok(vec![("intercept", Value::Number(1)), path("/A")]));
        assert_eq!(read("library-dir /a library-dir /b"), Ok(vec![path("/a"), path("/b")]));
        assert_eq!(read("library-dir jit"), Ok(vec![path("jit")]));
        assert_eq!(
            parse(&[b"library-dir", b"/\xff"]).map(|mut pairs| pairs.remove(0).1),
            Ok(Value::Path(b"/\xff".into()))
        );
        assert_eq!(read("library-dir").unwrap_err(), "load argument 'library-dir' has no value");
        let refused = read("intercept library-dir /a yes").unwrap_err();
        assert!(refused.contains("must be one of no, functions, scripts, all, yes, not 'library-dir'"), "{refused}");
    }

    #[test]
    fn units_of_memory_are_the_servers() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("7b", 7),
            ("2k", 2_000),
            ("2kb", 2_048),
            ("2m", 2_000_000),
            ("2MB", 2 << 20),
            ("2g", 2_000_000_000),
            ("2Gb", 2 << 30),
        ] {
            assert_eq!(bytes(text), Some(value), "{text}");
        }
        assert_eq!([bytes("kb"), bytes("1x"), bytes("-1")], [None; 3]);
    }
}
