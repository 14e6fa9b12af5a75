//! Settings of the module: configs of the server, whose names get the module's name as a prefix.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_void};
use std::ptr;

use redis_module::raw;

use super::super::main_thread::MainThread;
use super::{Context, Refused, ServerString, api, checked, guarded, string_bytes};

/// What the server is told about a setting.
pub struct Config<'a> {
    /// The name without the prefix.
    pub name: &'static CStr,
    /// The type of its value, and the value before anything sets it.
    pub kind: Kind<'a>,
    /// Whether CONFIG SET is refused.
    pub fixed: bool,
}

/// The types of settings, each with a default.
pub enum Kind<'a> {
    /// `yes` or `no`.
    Switch(bool),
    /// An integer from `least` to `most`.
    Number { default: i64, least: i64, most: i64 },
    /// A number of bytes, which may have a unit.
    Memory(i64),
    /// One of these words, each with its value. Of several words for one value, the first is shown.
    Choice { default: i64, words: &'static [(&'static CStr, i64)] },
    /// Any text.
    Text(&'a CStr),
}

/// Where the server reads and writes the value of a setting. A setting has either a number (a switch is 0 or 1, a
/// choice the value of its word) or a text.
pub trait Value: Sync + 'static {
    /// The number.
    fn number(&self) -> i64;

    /// The text.
    fn text(&self) -> Vec<u8>;

    /// Changes the number.
    ///
    /// # Errors
    /// Why the value is refused, for the client that gave it.
    fn set_number(&self, value: i64) -> Result<(), String>;

    /// Changes the text.
    ///
    /// # Errors
    /// Why the value is refused, for the client that gave it.
    fn set_text(&self, value: &[u8]) -> Result<(), String>;
}

/// Registers a setting, while the module is loaded.
///
/// # Errors
/// When the server refuses it.
pub fn register<V: Value>(context: &Context, config: &Config, value: &'static V) -> Result<(), Refused> {
    let (context, name, private) = (context.raw(), config.name.as_ptr(), ptr::from_ref(value).cast_mut().cast());
    let flags: c_uint = if config.fixed { raw::REDISMODULE_CONFIG_IMMUTABLE } else { 0 };
    let (get_int, set_int) = (Some(get_int::<V> as _), Some(set_int::<V> as _));
    let (get_number, set_number) = (Some(get_number::<V> as _), Some(set_number::<V> as _));
    // SAFETY: Living context, C strings; the server keeps copies of all texts. The callbacks get the address of a
    // static back, of the type that they were made for.
    checked(unsafe {
        match config.kind {
            Kind::Switch(default) => api!(RedisModule_RegisterBoolConfig)(
                context,
                name,
                default.into(),
                flags,
                get_int,
                set_int,
                None,
                private,
            ),
            Kind::Choice { default, words } => {
                let mut texts: Vec<*const c_char> = words.iter().map(|(word, _)| word.as_ptr()).collect();
                let values: Vec<c_int> = words.iter().map(|&(_, value)| value as c_int).collect();
                api!(RedisModule_RegisterEnumConfig)(
                    context,
                    name,
                    default as c_int,
                    flags,
                    texts.as_mut_ptr(),
                    values.as_ptr(),
                    words.len() as c_int,
                    get_int,
                    set_int,
                    None,
                    private,
                )
            }
            Kind::Number { default, least, most } => api!(RedisModule_RegisterNumericConfig)(
                context, name, default, flags, least, most, get_number, set_number, None, private,
            ),
            Kind::Memory(default) => api!(RedisModule_RegisterNumericConfig)(
                context,
                name,
                default,
                flags | raw::REDISMODULE_CONFIG_MEMORY,
                0,
                i64::MAX,
                get_number,
                set_number,
                None,
                private,
            ),
            Kind::Text(default) => api!(RedisModule_RegisterStringConfig)(
                context,
                name,
                default.as_ptr(),
                flags,
                Some(get_text::<V>),
                Some(set_text::<V>),
                None,
                private,
            ),
        }
    })
}

/// Makes the server set the values that it has for the registered settings.
///
/// # Errors
/// When a setting does not take its value.
pub fn load(context: &Context) -> Result<(), Refused> {
    // SAFETY: Living context.
    checked(unsafe { api!(RedisModule_LoadConfigs)(context.raw()) })
}

/// # Safety
/// `pointer` is the address of a static `V`.
unsafe fn value<V>(pointer: *mut c_void) -> &'static V {
    // SAFETY: the caller's promise.
    unsafe { &*pointer.cast::<V>() }
}

unsafe extern "C" fn get_int<V: Value>(_: *const c_char, pointer: *mut c_void) -> c_int {
    // SAFETY: the server passes what `register` gave it.
    guarded(|| unsafe { value::<V>(pointer) }.number() as c_int).unwrap_or_default()
}

unsafe extern "C" fn get_number<V: Value>(_: *const c_char, pointer: *mut c_void) -> c_longlong {
    // SAFETY: the server passes what `register` gave it.
    guarded(|| unsafe { value::<V>(pointer) }.number()).unwrap_or_default()
}

/// The text that the server got last. It copies the text at once and does not free the string.
static GIVEN: MainThread<Cell<Option<ServerString>>> = MainThread::new(Cell::new(None));

unsafe extern "C" fn get_text<V: Value>(_: *const c_char, pointer: *mut c_void) -> *mut raw::RedisModuleString {
    // SAFETY: the server passes what `register` gave it.
    let text = guarded(|| ServerString::new(&unsafe { value::<V>(pointer) }.text()));
    let address = text.as_ref().map_or(ptr::null_mut(), ServerString::raw);
    GIVEN.set(text);
    address
}

unsafe extern "C" fn set_int<V: Value>(
    name: *const c_char,
    number: c_int,
    pointer: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the same arguments.
    unsafe { set_number::<V>(name, number.into(), pointer, error) }
}

unsafe extern "C" fn set_number<V: Value>(
    _: *const c_char,
    number: c_longlong,
    pointer: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server passes what `register` gave it, and a place for an error.
    unsafe { answer(guarded(|| value::<V>(pointer).set_number(number)), error) }
}

unsafe extern "C" fn set_text<V: Value>(
    _: *const c_char,
    text: *mut raw::RedisModuleString,
    pointer: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server passes what `register` gave it, a string that lives during the call, and a place for an error.
    unsafe { answer(guarded(|| value::<V>(pointer).set_text(string_bytes(text))), error) }
}

/// # Safety
/// `error` is a place for a string, which the server takes over.
unsafe fn answer(set: Option<Result<(), String>>, error: *mut *mut raw::RedisModuleString) -> c_int {
    let set = set.unwrap_or_else(|| Err("internal error, see the server's log".to_owned()));
    let Err(reason) = set else { return raw::REDISMODULE_OK as c_int };
    // SAFETY: the caller's promise.
    unsafe { *error = ServerString::new(reason.as_bytes()).give() };
    raw::REDISMODULE_ERR as c_int
}
