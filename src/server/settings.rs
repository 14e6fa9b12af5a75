//! The module's settings: configs of the server named `shadow.<name>`, and load arguments of the same names.
//!
//! A load argument is the default of its setting. What the configuration file says wins over it, and CONFIG SET over
//! both: so CONFIG REWRITE writes down what differs from the load arguments, and a restart finds what was set.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};

use redis_module::raw;

use super::api::{Arguments, Context, Text, api, checked};
use super::path_setting::PathSetting;
use super::{guard, module};
use crate::generation::Compilation;

/// What values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `yes` or `no`.
    Switch,
    /// A whole number from 0 or 1 up.
    Number { least: i64, most: i64 },
    /// Bytes, with or without a unit: 0, or so many at least.
    Memory { least: i64 },
    /// One of these words; the value is its place among them.
    Choice(&'static [&'static CStr]),
}

impl Shape {
    /// The value that `text` stands for.
    ///
    /// # Errors
    /// What it must be.
    fn read(self, text: &str) -> Result<i64, String> {
        let value = match self {
            Self::Switch => yes_or_no(text).map(i64::from),
            Self::Number { .. } => text.parse().ok(),
            Self::Memory { .. } => bytes(text),
            Self::Choice(words) => place(words, text),
        };
        value.filter(|&value| self.takes(value)).ok_or_else(|| self.wanted())
    }

    fn takes(self, value: i64) -> bool {
        match self {
            Self::Switch => true,
            Self::Number { least, most } => (least..=most).contains(&value),
            Self::Memory { least } => value == 0 || value >= least,
            Self::Choice(words) => usize::try_from(value).is_ok_and(|place| place < words.len()),
        }
    }

    /// What a value must be.
    fn wanted(self) -> String {
        match self {
            Self::Switch => "yes or no".to_owned(),
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Memory { least } => format!("0 for no limit, or a memory value of {}mb or more", least >> 20),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

/// A setting and its value.
pub struct Setting {
    name: &'static CStr,
    shape: Shape,
    default: i64,
    /// Whether CONFIG SET is refused.
    fixed: bool,
    value: AtomicI64,
}

impl Setting {
    const fn new(name: &'static CStr, shape: Shape, default: i64, fixed: bool) -> Self {
        Self { name, shape, default, fixed, value: AtomicI64::new(default) }
    }

    /// The value: a number, bytes, 1 for yes, or the place of a word.
    pub fn get(&self) -> u64 {
        u64::try_from(self.value.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Whether a switch is on.
    pub fn is_on(&self) -> bool {
        self.get() != 0
    }

    fn set(&self, value: i64) -> Result<(), String> {
        if !self.shape.takes(value) {
            return Err(format!("argument must be {}", self.shape.wanted()));
        }
        self.value.store(value, Ordering::Relaxed);
        if ptr::eq(self, &raw const MEMORY_LIMIT) {
            module::limit_memory();
        } else if ptr::eq(self, &raw const JIT) {
            module::set_compilation();
        }
        Ok(())
    }

    fn register(&'static self, context: &Context) -> Result<(), String> {
        let default = self.value.load(Ordering::Relaxed);
        let memory = if matches!(self.shape, Shape::Memory { .. }) { raw::REDISMODULE_CONFIG_MEMORY } else { 0 };
        let fixed = if self.fixed { raw::REDISMODULE_CONFIG_IMMUTABLE } else { 0 };
        let flags: c_uint = memory | fixed;
        let name = self.name.as_ptr();
        let setting = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the context is that of the module's entry point, the name a C string. The callbacks get the address
        // of a static back and only read through it. The server keeps both for as long as the module is loaded; of the
        // words of a choice it keeps copies.
        let registered = unsafe {
            match self.shape {
                Shape::Switch => {
                    let (default, get, set) = (default as c_int, Some(get_int as _), Some(set_int as _));
                    api!(RedisModule_RegisterBoolConfig)(context.raw(), name, default, flags, get, set, None, setting)
                }
                Shape::Choice(words) => {
                    let (default, get, set) = (default as c_int, Some(get_int as _), Some(set_int as _));
                    let mut texts: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
                    let values: Vec<c_int> = (0..).take(words.len()).collect();
                    api!(RedisModule_RegisterEnumConfig)(
                        context.raw(),
                        name,
                        default,
                        flags,
                        texts.as_mut_ptr(),
                        values.as_ptr(),
                        words.len() as c_int,
                        get,
                        set,
                        None,
                        setting,
                    )
                }
                Shape::Number { .. } | Shape::Memory { .. } => {
                    let (least, most) = match self.shape {
                        Shape::Number { least, most } => (least, most),
                        _ => (0, i64::MAX),
                    };
                    let (get, set) = (Some(get_number as _), Some(set_number as _));
                    api!(RedisModule_RegisterNumericConfig)(
                        context.raw(),
                        name,
                        default,
                        flags,
                        least,
                        most,
                        get,
                        set,
                        None,
                        setting,
                    )
                }
            }
        };
        checked(registered).map_err(|_| format!("the server refused the setting '{}'", self.plain_name()))
    }

    fn plain_name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }
}

const MIB: i64 = 1 << 20;

/// Retired generations that may wait for the worker; what does not fit is freed in place.
pub static RECLAIM_QUEUE: Setting = Setting::new(c"reclaim-queue", Shape::Number { least: 1, most: 65_536 }, 64, true);

/// Whether FUNCTION, FCALL and FCALL_RO are answered by the shadow registry.
pub static INTERCEPT: Setting = Setting::new(c"intercept", Shape::Switch, 0, true);

/// Whether SHADOW.DEBUG is there: fault injection for tests.
pub static ENABLE_DEBUG_COMMAND: Setting = Setting::new(c"enable-debug-command", Shape::Switch, 0, true);

/// Bytes that the VM of the functions may hold; 0 for no limit. A VM without functions holds less than the least.
pub static MEMORY_LIMIT: Setting = Setting::new(c"memory-limit", Shape::Memory { least: MIB }, 0, false);

/// For how many milliseconds a function may run that has written nothing; 0 for no limit.
pub static READ_ONLY_TIMEOUT: Setting =
    Setting::new(c"read-only-timeout", Shape::Number { least: 0, most: i64::MAX }, 0, false);

/// Which functions are compiled to machine code; [`compilation`] says it in the generation's words.
static JIT: Setting = Setting::new(c"jit", Shape::Choice(&[c"off", c"hot", c"always"]), 1, false);

/// Which functions are compiled to machine code.
pub fn compilation() -> Compilation {
    match JIT.get() {
        0 => Compilation::Off,
        1 => Compilation::Hot,
        _ => Compilation::Always,
    }
}

static ALL: [&Setting; 6] =
    [&RECLAIM_QUEUE, &INTERCEPT, &ENABLE_DEBUG_COMMAND, &MEMORY_LIMIT, &READ_ONLY_TIMEOUT, &JIT];

/// The directory whose libraries are loaded at start; empty for none.
pub static LIBRARY_DIR: PathSetting = PathSetting::new(c"library-dir");

/// Reads the load arguments, registers the settings with the server, and gives them the values that it has for them.
///
/// # Errors
/// A sentence for the log that names the argument or the setting.
pub fn load(context: &Context, arguments: Arguments) -> Result<(), String> {
    let (paths, others) = split(&arguments.range(0, arguments.len()).collect::<Vec<_>>());
    let given = parse(&others)?;
    for setting in ALL {
        setting.value.store(setting.default, Ordering::Relaxed);
    }
    for (setting, value) in given {
        setting.value.store(value, Ordering::Relaxed);
    }
    for setting in ALL {
        setting.register(context)?;
    }
    LIBRARY_DIR.register(context, paths.last().copied().unwrap_or_default())?;
    // SAFETY: the context is that of the module's entry point.
    unsafe { checked(api!(RedisModule_LoadConfigs)(context.raw())) }
        .map_err(|_| "a setting of the module has a value that it does not take".to_owned())
}

/// The values of the setting that is a path, and the other words.
fn split<'w>(words: &[&'w [u8]]) -> (Vec<&'w [u8]>, Vec<&'w [u8]>) {
    let is_path = |pair: &[&[u8]]| pair.len() == 2 && known_as(pair[0]) == LIBRARY_DIR.plain_name();
    let (paths, others): (Vec<&[&[u8]]>, Vec<_>) = words.chunks(2).partition(|pair| is_path(pair));
    (paths.iter().map(|pair| pair[1]).collect(), others.concat())
}

/// The plain name of the setting that a load argument means.
fn known_as(word: &[u8]) -> String {
    let name = String::from_utf8_lossy(word).to_ascii_lowercase();
    name.strip_prefix("shadow.").unwrap_or(&name).to_owned()
}

/// The settings that pairs of a name and a value stand for.
fn parse(words: &[&[u8]]) -> Result<Vec<(&'static Setting, i64)>, String> {
    let pair = |pair: &[&[u8]]| {
        let name = known_as(pair[0]);
        let value = pair.get(1).map(|value| String::from_utf8_lossy(value).into_owned());
        let value = value.ok_or_else(|| format!("load argument '{name}' has no value"))?;
        let setting = ALL.into_iter().find(|setting| setting.plain_name() == name);
        let setting = setting.ok_or_else(|| format!("unknown load argument '{name}'"))?;
        let read = setting.shape.read(&value);
        let number = read.map_err(|wanted| format!("load argument '{name}' must be {wanted}, not '{value}'"))?;
        Ok((setting, number))
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

/// The place of `text`, in any case, among `words`.
fn place(words: &[&CStr], text: &str) -> Option<i64> {
    let place = words.iter().position(|word| word.to_bytes().eq_ignore_ascii_case(text.as_bytes()))?;
    i64::try_from(place).ok()
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

/// # Safety
/// `setting` is what `register` gave the server.
unsafe fn setting<'a>(setting: *mut c_void) -> &'a Setting {
    // SAFETY: the caller's promise: the address of a static.
    unsafe { &*setting.cast::<Setting>() }
}

unsafe extern "C" fn get_number(_: *const c_char, pointer: *mut c_void) -> c_longlong {
    // SAFETY: the server passes what it was given.
    unsafe { setting(pointer) }.value.load(Ordering::Relaxed)
}

unsafe extern "C" fn get_int(_: *const c_char, pointer: *mut c_void) -> c_int {
    // SAFETY: the server passes what it was given.
    unsafe { setting(pointer) }.value.load(Ordering::Relaxed) as c_int
}

unsafe extern "C" fn set_number(
    _: *const c_char,
    value: c_longlong,
    pointer: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server passes what it was given.
    let setting = unsafe { setting(pointer) };
    let set = guard::callback(ptr::null_mut(), || setting.set(value));
    let Err(reason) = set.unwrap_or_else(|| Err("internal error, see the server's log".to_owned())) else {
        return raw::REDISMODULE_OK as c_int;
    };
    // SAFETY: the server takes over the string.
    unsafe { *error = Text::new(reason.as_bytes()).give() };
    raw::REDISMODULE_ERR as c_int
}

unsafe extern "C" fn set_int(
    name: *const c_char,
    value: c_int,
    pointer: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the same arguments.
    unsafe { set_number(name, value.into(), pointer, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(&'static str, i64)>, String> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        Ok(parse(&words)?.into_iter().map(|(setting, value)| (setting.plain_name(), value)).collect())
    }

    #[test]
    fn names_are_taken_in_any_case_with_or_without_the_prefix() {
        let expected = vec![("reclaim-queue", 5), ("intercept", 1), ("memory-limit", 64 << 20), ("jit", 0)];
        assert_eq!(read("reclaim-queue 5 intercept yes memory-limit 64mb jit off"), Ok(expected.clone()));
        assert_eq!(read("SHADOW.Reclaim-Queue 5 Intercept Yes shadow.memory-limit 64MB Jit OFF"), Ok(expected));
        assert_eq!(read(""), Ok(Vec::new()));
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
    fn the_path_is_told_from_the_other_arguments() {
        let words = |line: &'static str| line.split(' ').map(str::as_bytes).collect::<Vec<_>>();
        for (line, paths, others) in [
            ("library-dir /a", "/a", ""),
            ("intercept yes SHADOW.Library-Dir /A reclaim-queue 5", "/A", "intercept yes reclaim-queue 5"),
            ("library-dir /a library-dir /b", "/a /b", ""),
            ("intercept library-dir /a yes", "", "intercept library-dir /a yes"),
            ("intercept yes library-dir", "", "intercept yes library-dir"),
        ] {
            let (found, rest) = split(&words(line));
            assert_eq!((found.join(&b' '), rest.join(&b' ')), (paths.into(), others.into()), "{line}");
        }
        assert_eq!(read("library-dir").unwrap_err(), "load argument 'library-dir' has no value");
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
