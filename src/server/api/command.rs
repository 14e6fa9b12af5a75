//! Commands of the module: how the server enters them, and what it is told about them.

use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::{Arguments, Context, Refused, api, checked};

/// What a command does when the server calls it.
pub trait Enter {
    /// Runs the command and replies.
    fn enter(context: &Context, arguments: Arguments);

    /// Replies after a panic of `enter`. Part of a reply may have been sent by then.
    fn recover(context: &Context);
}

/// The C function of a command.
#[derive(Clone, Copy)]
pub struct Handler(unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut *mut raw::RedisModuleString, c_int) -> c_int);

impl Handler {
    /// The C function that enters `E`.
    pub const fn of<E: Enter>() -> Self {
        Self(enter::<E>)
    }
}

unsafe extern "C" fn enter<E: Enter>(
    context: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server calls this with the context and the arguments of a command, which live until it returns.
    let (context, arguments) = unsafe { (Context::new(context), Arguments::new(argv, argc)) };
    if context.guarded(|| E::enter(&context, arguments)).is_none() {
        context.guarded(|| E::recover(&context));
    }
    raw::REDISMODULE_OK as c_int
}

/// A command or subcommand that was created.
pub struct Command<'a> {
    raw: NonNull<raw::RedisModuleCommand>,
    /// Its full name: `command` or `command|subcommand`.
    name: CString,
    context: PhantomData<&'a Context<'a>>,
}

impl<'a> Command<'a> {
    /// Creates a command, to be called while the module is loaded. `flags` are in the words of `RM_CreateCommand`; a
    /// command without `handler` is a container.
    ///
    /// # Errors
    /// When the server refuses the name or a flag.
    pub fn create(
        context: &'a Context,
        name: &'static CStr,
        handler: Option<Handler>,
        flags: &CStr,
    ) -> Result<Self, Refused> {
        let function = handler.map(|handler| handler.0 as _);
        // SAFETY: Living context, C strings. The server keeps a copy of the name.
        checked(unsafe {
            api!(RedisModule_CreateCommand)(context.raw(), name.as_ptr(), function, flags.as_ptr(), 0, 0, 0)
        })?;
        Self::find(context, name.to_owned())
    }

    /// Creates a subcommand of this command.
    ///
    /// # Errors
    /// When the server refuses the name or a flag.
    pub fn create_subcommand(
        &self,
        context: &'a Context,
        name: &'static CStr,
        handler: Option<Handler>,
        flags: &CStr,
    ) -> Result<Self, Refused> {
        let function = handler.map(|handler| handler.0 as _);
        // SAFETY: this command is alive. C strings; the server keeps a copy of the name.
        checked(unsafe {
            api!(RedisModule_CreateSubcommand)(self.raw.as_ptr(), name.as_ptr(), function, flags.as_ptr(), 0, 0, 0)
        })?;
        let full = [self.name.to_bytes(), b"|", name.to_bytes()].concat();
        Self::find(context, CString::new(full).map_err(|_| Refused)?)
    }

    fn find(context: &'a Context, name: CString) -> Result<Self, Refused> {
        // SAFETY: Living context, C strings. The command lives as long as the module, which outlives the callback.
        let raw = unsafe { api!(RedisModule_GetCommand)(context.raw(), name.as_ptr()) };
        Ok(Self { raw: NonNull::new(raw).ok_or(Refused)?, name, context: PhantomData })
    }

    /// Gives the server what the command says about itself.
    ///
    /// # Errors
    /// When the server finds a fault in it.
    pub fn describe(&self, description: &Description) -> Result<(), Refused> {
        let version = raw::RedisModuleCommandInfoVersion {
            version: 1,
            sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
            sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
            sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
        };
        let since = description.since.as_ptr();
        let mut history = [
            raw::RedisModuleCommandHistoryEntry { since, changes: c"First version.".as_ptr() },
            raw::RedisModuleCommandHistoryEntry { since: ptr::null(), changes: ptr::null() },
        ];
        let mut keys = description.keys.map(KeySpec::list);
        let mut lists = Vec::new();
        let arguments = argument_list(description.arguments, &mut lists);
        let info = raw::RedisModuleCommandInfo {
            version: &raw const version,
            summary: description.summary.as_ptr(),
            complexity: description.complexity.as_ptr(),
            since,
            history: history.as_mut_ptr(),
            tips: description.tips.map_or(ptr::null(), CStr::as_ptr),
            arity: description.arity,
            key_specs: keys.as_mut().map_or(ptr::null_mut(), |keys| keys.as_mut_ptr()),
            args: arguments,
        };
        // SAFETY: everything that `info` points to lives until the end of this function, and the server copies it; the
        // lists end in an empty entry.
        checked(unsafe { api!(RedisModule_SetCommandInfo)(self.raw.as_ptr(), &raw const info) })
    }

    /// Puts the command into ACL categories, where the server lets modules choose (from 7.2 on). Earlier servers derive
    /// them from the flags.
    ///
    /// # Errors
    /// When the server does not know a category.
    pub fn set_categories(&self, categories: &CStr) -> Result<(), Refused> {
        // SAFETY: Initialised. The command is alive; C strings, which the server only reads.
        unsafe {
            raw::RedisModule_SetCommandACLCategories
                .map_or(Ok(()), |set| checked(set(self.raw.as_ptr(), categories.as_ptr())))
        }
    }
}

/// What COMMAND INFO and COMMAND DOCS say about a command.
pub struct Description<'a> {
    /// The number of words that the command takes, its names included; negative: at least this number.
    pub arity: c_int,
    /// The version of the module that introduced it.
    pub since: &'a CStr,
    pub summary: &'a CStr,
    pub complexity: &'a CStr,
    /// Command tips, separated by spaces.
    pub tips: Option<&'a CStr>,
    pub keys: Option<KeySpec<'a>>,
    pub arguments: &'a [Argument],
}

/// Where the keys of a command are: after their number.
#[derive(Clone, Copy)]
pub struct KeySpec<'a> {
    /// The position of the number of keys among the words.
    pub count_at: c_int,
    pub access: KeyAccess,
    pub notes: Option<&'a CStr>,
}

impl KeySpec<'_> {
    /// The spec and the empty entry that ends the list.
    fn list(self) -> [raw::RedisModuleCommandKeySpec; 2] {
        // SAFETY: all-zero bytes are a valid entry (null pointers and numbers), and the one that ends the list.
        let mut specs: [raw::RedisModuleCommandKeySpec; 2] = unsafe { std::mem::zeroed() };
        specs[0].notes = self.notes.map_or(ptr::null(), CStr::as_ptr);
        specs[0].flags = self.access.flags().into();
        specs[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
        specs[0].bs.index.pos = self.count_at;
        specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
        specs[0].fk.keynum.keynumidx = 0;
        specs[0].fk.keynum.firstkey = 1;
        specs[0].fk.keynum.keystep = 1;
        specs
    }
}

/// What a command may do with its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    ReadWrite,
    ReadOnly,
}

impl KeyAccess {
    /// The flags of a key spec.
    pub(super) const fn flags(self) -> u32 {
        match self {
            Self::ReadWrite => {
                raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
            }
            Self::ReadOnly => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        }
    }
}

/// An argument in COMMAND DOCS.
pub struct Argument {
    name: &'static CStr,
    kind: Kind,
    token: Option<&'static CStr>,
    optional: bool,
    multiple: bool,
    parts: &'static [Self],
}

/// The type of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    /// A key of the command's only key spec.
    Key,
    PureToken,
    OneOf,
    /// Several, in this order.
    Block,
}

impl Argument {
    /// An argument that is given once.
    pub const fn new(name: &'static CStr, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, multiple: false, parts: &[] }
    }

    /// The argument after this word, or, for a pure token, the word itself.
    pub const fn token(self, token: &'static CStr) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The argument, which can be left out.
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The argument, which can be repeated.
    pub const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }

    /// The argument with these alternatives or parts.
    pub const fn of(self, parts: &'static [Self]) -> Self {
        Self { parts, ..self }
    }
}

/// The list of `arguments` as the API takes it; null when there are none. `lists` owns the lists.
fn argument_list(
    arguments: &[Argument],
    lists: &mut Vec<Vec<raw::RedisModuleCommandArg>>,
) -> *mut raw::RedisModuleCommandArg {
    if arguments.is_empty() {
        return ptr::null_mut();
    }
    let mut list: Vec<raw::RedisModuleCommandArg> = Vec::new();
    for argument in arguments {
        let parts = argument_list(argument.parts, lists);
        list.push(raw::RedisModuleCommandArg {
            name: argument.name.as_ptr(),
            type_: match argument.kind {
                Kind::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
                Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
                Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                Kind::PureToken => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                Kind::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            },
            key_spec_index: if argument.kind == Kind::Key { 0 } else { -1 },
            token: argument.token.map_or(ptr::null(), CStr::as_ptr),
            summary: ptr::null(),
            since: ptr::null(),
            flags: (if argument.optional { raw::REDISMODULE_CMD_ARG_OPTIONAL } else { 0 }
                | if argument.multiple { raw::REDISMODULE_CMD_ARG_MULTIPLE } else { 0 }) as c_int,
            deprecated_since: ptr::null(),
            subargs: parts,
            // Servers show the name where this is absent; the stock commands set it.
            display_text: match argument.kind {
                Kind::OneOf | Kind::Block => ptr::null(),
                _ => argument.name.as_ptr(),
            },
        });
    }
    // SAFETY: all-zero bytes are a valid argument, and the one that ends the list.
    list.push(unsafe { std::mem::zeroed() });
    lists.push(list);
    lists.last_mut().map_or(ptr::null_mut(), |list| list.as_mut_ptr())
}
