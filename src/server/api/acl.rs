//! What a user may run.
//!
//! The server finds the keys of a command to check them. Most servers do so for any number of words and read past the
//! last word when there are too few. Clients cannot cause that, because the server checks their number of words first;
//! a script that asks what its caller may run can. So missing words are added here before the server is asked.

use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

use redis_module::raw;

use super::{Arguments, ClientId, CommandInfo, Context, KeyPositions, Refused, ServerString, Words, api, checked};
use crate::engine::Permission;

/// A user, known by name.
pub struct User(ServerString);

/// A command that users are checked for again and again.
pub struct KnownCommand {
    name: ServerString,
    /// With this number of words the server reads past none of them.
    enough: usize,
    is_there: bool,
}

impl KnownCommand {
    /// Asks the server about the command of this name.
    pub fn new(context: &Context, name: &str) -> Self {
        let info = CommandInfo::of(context, name.as_bytes());
        let alone = info.as_ref().filter(|info| !info.is_container());
        let enough = alone.and_then(CommandInfo::least_words).unwrap_or(usize::MAX);
        let is_there = info.is_none_or(|info| info.exists());
        Self { name: ServerString::new(name.as_bytes()), enough, is_there }
    }

    /// Whether the server has it: it may have been renamed away. Where COMMAND was, true.
    pub const fn is_there(&self) -> bool {
        self.is_there
    }
}

impl User {
    /// The user of the client whose command is running; None for a caller without one (another module).
    pub fn of_caller(context: &Context) -> Option<Self> {
        // The name is asked for by the client's id, because the direct call reads through a null user.
        Self::of_client(context, ClientId::of_caller(context)).ok()
    }

    /// The user of a connection.
    ///
    /// # Errors
    /// The errno of the refusal: ENOTSUP for a connection without a user, ENOENT for one that is in no list.
    pub fn of_client(context: &Context, client: ClientId) -> Result<Self, c_int> {
        // SAFETY: Living context; an id of no client gives null and an errno. The name is a new string, which we own.
        unsafe {
            let name = ServerString::own(api!(RedisModule_GetClientUserNameById)(context.raw(), client.get()));
            name.map(Self).ok_or_else(|| *libc::__errno_location())
        }
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Whether the user may run the command `words`, with its keys and channels. Where there are rules for databases,
    /// the selected database decides.
    pub fn may_run(&self, context: &Context, mut words: Words) -> Permission {
        if KeyPositions::of(context, &mut words).err() == Some(libc::EINVAL) && !self.server_checks_arity(context) {
            let Some(missing) = missing_words(context, &words) else { return Permission::WrongArity };
            // An empty word ends the server's search: it is an empty key, or no number of keys.
            words.pad(missing);
        }
        // SAFETY: there are enough words by the server's own count or with what was added, or the server checks.
        unsafe { self.check(context, &mut words) }
    }

    /// Whether the user may run `command` with the words of another one, less its name.
    pub fn may_run_as(&self, context: &Context, command: &KnownCommand, arguments: Arguments) -> Permission {
        let mut words = arguments.with_name(&command.name);
        if words.len() < command.enough {
            return self.may_run(context, words);
        }
        // SAFETY: there are as many words as the command needs.
        unsafe { self.check(context, &mut words) }
    }

    /// Whether the server refuses a command for its number of words before it looks for keys. Tested with a command
    /// that has no keys.
    fn server_checks_arity(&self, context: &Context) -> bool {
        let container = [ServerString::new(b"shadow.function")];
        // SAFETY: the command has no keys.
        unsafe { self.check(context, &mut Words::new(&container)) == Permission::WrongArity }
    }

    /// Asks the server.
    ///
    /// # Safety
    /// The command has at least as many words as it needs, or its keys are in fixed places, or the server checks the
    /// number of words.
    unsafe fn check(&self, context: &Context, words: &mut Words) -> Permission {
        let (argv, argc) = (words.as_mut_ptr(), words.len() as c_int);
        // SAFETY: the caller's promise. The user is freed here.
        unsafe {
            let user = api!(RedisModule_GetModuleUserFromUserName)(self.0.raw());
            if user.is_null() {
                // The user was deleted, and its clients with it: there is nothing to refuse.
                return Permission::Granted;
            }
            *libc::__errno_location() = 0;
            let (status, unknown) = match check_in_database() {
                Some(check) => (check(user, argv, argc, context.selected_db(), ptr::null_mut()), libc::EINVAL),
                None => (api!(RedisModule_ACLCheckCommandPermissions)(user, argv, argc), libc::ENOENT),
            };
            let errno = *libc::__errno_location();
            api!(RedisModule_FreeModuleUser)(user);
            match (checked(status), errno) {
                (Ok(()), _) => Permission::Granted,
                (Err(Refused), errno) if errno == unknown => Permission::Unknown,
                (Err(Refused), libc::EINVAL) => Permission::WrongArity,
                (Err(Refused), _) => Permission::Denied,
            }
        }
    }
}

/// How many words to add so that the server does not read past the last one: none when the keys are in fixed places,
/// where it sees the end of the words. None when the server does not tell how many words the command takes.
fn missing_words(context: &Context, words: &Words) -> Option<usize> {
    let name = words.get(0)?;
    let subcommand = words.get(1).map(|subcommand| [name, b"|", subcommand].concat());
    let info = [subcommand.as_deref(), Some(name)]
        .into_iter()
        .flatten()
        .filter_map(|name| CommandInfo::of(context, name))
        .find(CommandInfo::exists)?;
    if !info.mentions("movablekeys") && !info.mentions("variable_flags") {
        return Some(0);
    }
    Some(info.least_words()?.saturating_sub(words.len()))
}

/// Valkey's check of permissions in a database: a user, the words of a command and their number, the database, a place
/// for a reason.
type CheckInDatabase = unsafe extern "C" fn(
    *mut raw::RedisModuleUser,
    *mut *mut raw::RedisModuleString,
    c_int,
    c_int,
    *mut c_int,
) -> c_int;

/// That check, from Valkey 9.1 on. The older check knows no databases: there it refuses everything to a user who may
/// not use all of them.
fn check_in_database() -> Option<CheckInDatabase> {
    static FOUND: OnceLock<Option<CheckInDatabase>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut found: Option<CheckInDatabase> = None;
        // SAFETY: Initialised. The server writes the address of its function of that name, whose type this is, or
        // nothing.
        let status =
            unsafe { api!(RedisModule_GetApi)(c"RedisModule_ACLCheckPermissions".as_ptr(), (&raw mut found).cast()) };
        checked(status).ok().and(found)
    })
}
