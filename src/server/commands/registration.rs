//! Tells the server about the commands in the table.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::ptr;

use redis_module::raw;

use super::super::api::{Context, KeyAccess, api, checked};
use super::spec::{Argument, Kind, Spec};
use super::table::registered;
use crate::engine::Dialect;

/// Where the number of keys stands among the words of FCALL.
const NUMKEYS: c_int = 2;

/// Registers all commands.
///
/// # Errors
/// A sentence for the log with the name of the command that the server refused.
pub fn register(context: &Context, dialect: &Dialect) -> Result<(), String> {
    for spec in registered() {
        let flags = flags(spec, dialect);
        // SAFETY: the context is that of the module's entry point; the strings are static.
        let command = unsafe {
            checked(api!(RedisModule_CreateCommand)(
                context.raw(),
                spec.name.as_ptr(),
                spec.handler.map(|handler| handler as _),
                flags.as_ptr(),
                0,
                0,
                0,
            ))
            .map_err(|_| refused(spec))?;
            api!(RedisModule_GetCommand)(context.raw(), spec.name.as_ptr())
        };
        describe(command, spec)?;
        for subcommand in spec.subcommands {
            // SAFETY: the parent was just made; the strings are static.
            let child = unsafe {
                checked(api!(RedisModule_CreateSubcommand)(
                    command,
                    subcommand.name.as_ptr(),
                    subcommand.handler.map(|handler| handler as _),
                    subcommand.flags.as_ptr(),
                    0,
                    0,
                    0,
                ))
                .map_err(|_| refused(subcommand))?;
                let full = [spec.name.to_bytes(), b"|", subcommand.name.to_bytes_with_nul()].concat();
                let full = CStr::from_bytes_with_nul(&full).map_err(|_| refused(subcommand))?;
                api!(RedisModule_GetCommand)(context.raw(), full.as_ptr())
            };
            describe(child, subcommand)?;
        }
    }
    Ok(())
}

/// The flags of a command. One with keys counts as a reader where its keys are not remembered for client-side caching
/// otherwise: a client would keep stale values. There the flag means nothing else to a command that may write.
fn flags(spec: &Spec, dialect: &Dialect) -> Cow<'static, CStr> {
    if spec.keys == Some(KeyAccess::ReadWrite) && dialect.tracks_by_the_outer_command() {
        let flags = [b"readonly ", spec.flags.to_bytes()].concat();
        return CString::new(flags).map_or(Cow::Borrowed(spec.flags), Cow::Owned);
    }
    Cow::Borrowed(spec.flags)
}

fn refused(spec: &Spec) -> String {
    format!("the server refused the command '{}'", spec.name.to_string_lossy())
}

/// Gives the server what a command says about itself: it copies all of it.
fn describe(command: *mut raw::RedisModuleCommand, spec: &Spec) -> Result<(), String> {
    if command.is_null() {
        return Err(refused(spec));
    }
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    let mut history = [
        raw::RedisModuleCommandHistoryEntry { since: spec.since.as_ptr(), changes: c"First version.".as_ptr() },
        raw::RedisModuleCommandHistoryEntry { since: ptr::null(), changes: ptr::null() },
    ];
    let mut keys = key_specs(spec.keys);
    let mut tree = Vec::new();
    let arguments = arguments(spec.arguments, &mut tree);
    let info = raw::RedisModuleCommandInfo {
        version: &raw const version,
        summary: spec.summary.as_ptr(),
        complexity: spec.complexity.as_ptr(),
        since: spec.since.as_ptr(),
        history: history.as_mut_ptr(),
        tips: spec.tips.map_or(ptr::null(), CStr::as_ptr),
        arity: spec.arity,
        key_specs: keys.as_mut().map_or(ptr::null_mut(), |keys| keys.as_mut_ptr()),
        args: arguments,
    };
    // SAFETY: everything that `info` points to lives until the end of this function; the lists end in an empty entry.
    unsafe {
        checked(api!(RedisModule_SetCommandInfo)(command, &raw const info)).map_err(|_| refused(spec))?;
        // From 7.2 on. Earlier servers derive the categories from the flags alone.
        if let Some(set_categories) = raw::RedisModule_SetCommandACLCategories
            && !spec.acl.is_empty()
        {
            checked(set_categories(command, spec.acl.as_ptr())).map_err(|_| refused(spec))?;
        }
    }
    Ok(())
}

/// The key spec of FCALL, and the empty entry that ends the list.
fn key_specs(keys: Option<KeyAccess>) -> Option<[raw::RedisModuleCommandKeySpec; 2]> {
    let keys = keys?;
    let notes = match keys {
        KeyAccess::ReadWrite => c"We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
        KeyAccess::ReadOnly => c"We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
    };
    // SAFETY: all-zero bytes are a valid entry (null pointers and numbers), and the one that ends the list.
    let mut specs: [raw::RedisModuleCommandKeySpec; 2] = unsafe { std::mem::zeroed() };
    specs[0].notes = notes.as_ptr();
    specs[0].flags = keys.flags().into();
    specs[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    specs[0].bs.index.pos = NUMKEYS;
    specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
    specs[0].fk.keynum.keynumidx = 0;
    specs[0].fk.keynum.firstkey = 1;
    specs[0].fk.keynum.keystep = 1;
    Some(specs)
}

/// The list of `arguments` as the API takes it, or null when there are none. `keep` owns the lists.
fn arguments(
    arguments: &[Argument],
    keep: &mut Vec<Vec<raw::RedisModuleCommandArg>>,
) -> *mut raw::RedisModuleCommandArg {
    if arguments.is_empty() {
        return ptr::null_mut();
    }
    let mut list: Vec<raw::RedisModuleCommandArg> = Vec::new();
    for argument in arguments {
        let parts = self::arguments(argument.parts, keep);
        list.push(raw::RedisModuleCommandArg {
            name: argument.name.as_ptr(),
            type_: match argument.kind {
                Kind::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
                Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
                Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                Kind::PureToken => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
            },
            key_spec_index: if argument.kind == Kind::Key { 0 } else { -1 },
            token: argument.token.map_or(ptr::null(), CStr::as_ptr),
            summary: ptr::null(),
            since: ptr::null(),
            flags: (if argument.optional { raw::REDISMODULE_CMD_ARG_OPTIONAL } else { 0 }
                | if argument.multiple { raw::REDISMODULE_CMD_ARG_MULTIPLE } else { 0 }) as c_int,
            deprecated_since: ptr::null(),
            subargs: parts,
            // Servers show the name in its place when it is absent; the stock commands say it outright.
            display_text: if argument.kind == Kind::OneOf { ptr::null() } else { argument.name.as_ptr() },
        });
    }
    // SAFETY: all-zero bytes are a valid argument, and the one that ends the list.
    list.push(unsafe { std::mem::zeroed() });
    keep.push(list);
    keep.last_mut().map_or(ptr::null_mut(), |list| list.as_mut_ptr())
}
