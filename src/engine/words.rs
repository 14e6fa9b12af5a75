//! What servers say in words of their own: a table for each server whose words differ from another's.

/// The texts of a server. An error's text stands here without its code.
#[derive(Debug)]
pub struct Words {
    /// The server's name, as it speaks of itself.
    pub server: &'static str,
    /// The global that its errors name the API by. Texts that name it do it as Redis does here.
    pub api: &'static str,
    /// `call` without arguments.
    pub no_arguments: &'static str,
    /// An argument of `call` that is neither string nor number.
    pub bad_argument: &'static str,
    /// A command that the server does not know.
    pub unknown_command: &'static str,
    /// A command with too few or too many arguments.
    pub wrong_arity: &'static str,
    /// A command that scripts may not run.
    pub not_for_scripts: &'static str,
    /// What comes before the reason why the caller may not run a command.
    pub no_permission: &'static str,
    /// `set_repl` without its argument.
    pub set_repl_arity: &'static str,
    /// `log` with a level that there is not.
    pub bad_log_level: &'static str,
    /// A function's name with other than letters, digits and underscores.
    pub bad_function_name: &'static str,
    /// How a function ends that was killed.
    pub killed: &'static str,
    /// How a script ends that was killed.
    pub killed_script: &'static str,
    /// A digest that no cached script has.
    pub no_script: &'static str,
    /// A key that another node of the cluster serves.
    pub not_local: &'static str,
    /// `cmsgpack._COPYRIGHT`.
    pub message_pack_copyright: &'static str,
}

/// Redis 7.0.
pub static REDIS_7_0: Words = Words {
    server: "Redis",
    api: "redis",
    no_arguments: "Please specify at least one argument for this redis lib call",
    bad_argument: "Lua redis lib command arguments must be strings or integers",
    unknown_command: "Unknown Redis command called from script",
    wrong_arity: "Wrong number of args calling Redis command from script",
    not_for_scripts: "This Redis command is not allowed from script",
    no_permission: "The user executing the script ",
    set_repl_arity: "redis.set_repl() requires two arguments.",
    bad_log_level: "Invalid debug level.",
    // It says "Library" of functions, too.
    bad_function_name: "Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                        character long",
    // It names SCRIPT KILL for functions, too.
    killed: "Script killed by user with SCRIPT KILL...",
    killed_script: "Script killed by user with SCRIPT KILL...",
    no_script: "NOSCRIPT No matching script. Please use EVAL.",
    not_local: "Script attempted to access a non local key in a cluster node",
    message_pack_copyright: "Copyright (C) 2012, Salvatore Sanfilippo",
};

/// Redis from 7.2 on.
pub static REDIS_7_2: Words = Words {
    no_permission: "ACL failure in script: ",
    set_repl_arity: "redis.set_repl() requires one argument.",
    ..REDIS_7_0
};

/// Redis from 7.4 on.
pub static REDIS_7_4: Words = Words { bad_log_level: "Invalid log level.", ..REDIS_7_2 };

/// Valkey before 9.1.
pub static VALKEY: Words = Words {
    server: "Valkey",
    api: "server",
    no_arguments: "Please specify at least one argument for this call",
    bad_argument: "Command arguments must be strings or integers",
    unknown_command: "Unknown command called from script",
    wrong_arity: "Wrong number of args calling command from script",
    bad_function_name: "Function names can only contain letters, numbers, or underscores(_) and must be at least one \
                        character long",
    killed: "Script killed by user with FUNCTION KILL.",
    killed_script: "Script killed by user with SCRIPT KILL.",
    no_script: "NOSCRIPT No matching script.",
    message_pack_copyright: "Copyright (C) 2012, Redis Ltd.",
    ..REDIS_7_4
};

/// Valkey from 9.1 on, whose functions are run by a module.
pub static VALKEY_9_1: Words = Words {
    not_for_scripts: "This Valkey command is not allowed from script",
    not_local: "Attempted to access a non local key in a cluster node",
    ..VALKEY
};
