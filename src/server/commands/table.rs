//! The one table of the module's commands. Registration, COMMAND DOCS, HELP, interception and its ACL rules all use it.

use std::ffi::CStr;

use super::super::api::KeyAccess;
use super::super::api::command::{Argument, Handler, Kind};
use super::super::settings;
use super::entry::{OfFunctions, OfScripts};
use super::spec::{Line, List, Spec};
use super::{
    debug, delete, deploy, dump, eval, fcall, flush, help, histogram, kept, keys, kill, list, load, metrics, profile,
    resetstat, restore, script, slowlog, stats, versions,
};
use crate::engine::{Callable, Dialect};

/// What most subcommands have in common: no stock command, no keys, no arguments. Rows begin with their differences and
/// end with `..BLANK`.
const BLANK: Spec = Spec {
    name: c"",
    callable: Callable::Function,
    handler: None,
    since: c"0.1.0",
    arity: 2,
    stock: None,
    stock_on: |_| true,
    flags: c"",
    stale_on_valkey_9_1: false,
    acl: c"slow scripting",
    summary: c"",
    complexity: c"O(1)",
    tips: None,
    keys: None,
    explains_keys: true,
    arguments: &[],
    subcommands: &[],
    help: &[],
};

/// The server's lines about HELP.
const HELP_OF_HELP: &[Line] = &[
    Line::Always("HELP"),
    Line::By(|dialect| Some(if dialect.is_7_0() { "    Prints this help." } else { "    Print this help." })),
];

const ALL_SHARDS: Option<&CStr> = Some(c"request_policy:all_shards response_policy:all_succeeded");

const ALL_NODES: Option<&CStr> = Some(c"request_policy:all_nodes response_policy:all_succeeded");

const CALL_ARGUMENTS: &[Argument] = &[
    Argument::new(c"function", Kind::String),
    Argument::new(c"numkeys", Kind::Integer),
    Argument::new(c"key", Kind::Key).optional().multiple(),
    Argument::new(c"arg", Kind::String).optional().multiple(),
];

const EVAL_ARGUMENTS: &[Argument] = &[
    Argument::new(c"script", Kind::String),
    Argument::new(c"numkeys", Kind::Integer),
    Argument::new(c"key", Kind::Key).optional().multiple(),
    Argument::new(c"arg", Kind::String).optional().multiple(),
];

const EVALSHA_ARGUMENTS: &[Argument] = &[
    Argument::new(c"sha1", Kind::String),
    Argument::new(c"numkeys", Kind::Integer),
    Argument::new(c"key", Kind::Key).optional().multiple(),
    Argument::new(c"arg", Kind::String).optional().multiple(),
];

/// How a flush frees what it deletes.
const FLUSH_TYPE: Argument = Argument::new(c"flush-type", Kind::OneOf).optional().of(&[
    Argument::new(c"async", Kind::PureToken).token(c"ASYNC"),
    Argument::new(c"sync", Kind::PureToken).token(c"SYNC"),
]);

/// What RESTORE and IMPORT do with the existing libraries.
const POLICY: Argument = Argument::new(c"policy", Kind::OneOf).optional().of(&[
    Argument::new(c"flush", Kind::PureToken).token(c"FLUSH"),
    Argument::new(c"append", Kind::PureToken).token(c"APPEND"),
    Argument::new(c"replace", Kind::PureToken).token(c"REPLACE"),
]);

/// What a deploy is called.
const VERSION: Argument = Argument::new(c"version", Kind::String).token(c"VERSION");

/// All commands, in the order of HELP.
const COMMANDS: &[Spec] = &[
    Spec {
        name: c"shadow.function",
        arity: -2,
        stock: Some(-2),
        acl: c"slow",
        summary: c"A container for function commands of the shadow registry.",
        complexity: c"Depends on subcommand.",
        subcommands: FUNCTION,
        ..BLANK
    },
    Spec {
        name: c"shadow.fcall",
        handler: Some(Handler::of::<fcall::Fcall>()),
        arity: -3,
        stock: Some(-3),
        flags: c"deny-script allow-stale no-monitor may-replicate no-mandatory-keys getkeys-api",
        summary: c"Invokes a function of the shadow registry.",
        complexity: c"Depends on the function that is executed.",
        keys: Some(KeyAccess::ReadWrite),
        arguments: CALL_ARGUMENTS,
        ..BLANK
    },
    Spec {
        name: c"shadow.fcall_ro",
        handler: Some(Handler::of::<fcall::FcallReadOnly>()),
        arity: -3,
        stock: Some(-3),
        flags: c"readonly deny-script allow-stale no-monitor no-mandatory-keys getkeys-api",
        summary: c"Invokes a read-only function of the shadow registry.",
        complexity: c"Depends on the function that is executed.",
        keys: Some(KeyAccess::ReadOnly),
        arguments: CALL_ARGUMENTS,
        ..BLANK
    },
    Spec {
        name: c"shadow.script",
        callable: Callable::Script,
        arity: -2,
        stock: Some(-2),
        acl: c"slow",
        summary: c"A container for commands of the shadow cache of scripts.",
        complexity: c"Depends on subcommand.",
        subcommands: SCRIPT,
        ..BLANK
    },
    Spec {
        name: c"shadow.eval",
        handler: Some(Handler::of::<eval::Eval>()),
        keys: Some(KeyAccess::ReadWrite),
        summary: c"Runs a script, and caches it.",
        arguments: EVAL_ARGUMENTS,
        ..EVAL
    },
    Spec {
        name: c"shadow.evalsha",
        handler: Some(Handler::of::<eval::EvalSha>()),
        keys: Some(KeyAccess::ReadWrite),
        explains_keys: false,
        summary: c"Runs a cached script by its SHA-1.",
        arguments: EVALSHA_ARGUMENTS,
        ..EVAL
    },
    Spec {
        name: c"shadow.eval_ro",
        handler: Some(Handler::of::<eval::EvalReadOnly>()),
        flags: EVAL_RO_FLAGS,
        keys: Some(KeyAccess::ReadOnly),
        summary: c"Runs a read-only script, and caches it.",
        arguments: EVAL_ARGUMENTS,
        ..EVAL
    },
    Spec {
        name: c"shadow.evalsha_ro",
        handler: Some(Handler::of::<eval::EvalShaReadOnly>()),
        flags: EVAL_RO_FLAGS,
        keys: Some(KeyAccess::ReadOnly),
        explains_keys: false,
        summary: c"Runs a cached read-only script by its SHA-1.",
        arguments: EVALSHA_ARGUMENTS,
        ..EVAL
    },
    Spec {
        name: c"shadow.metrics",
        handler: Some(Handler::of::<metrics::Metrics>()),
        arity: -1,
        // As INFO; and it answers while a call runs long, which is when somebody looks.
        flags: c"deny-script allow-loading allow-stale allow-busy",
        acl: c"slow dangerous",
        summary: c"Returns what INFO tells of functions and scripts, for Prometheus.",
        complexity: c"O(N) where N is the number of functions and scripts",
        tips: Some(c"nondeterministic_output request_policy:all_shards response_policy:special"),
        arguments: &[Argument::new(c"form", Kind::OneOf).optional().of(&[
            Argument::new(c"openmetrics", Kind::PureToken).token(c"OPENMETRICS"),
            Argument::new(c"prometheus", Kind::PureToken).token(c"PROMETHEUS"),
        ])],
        ..BLANK
    },
];

/// What the commands that run scripts have in common.
const EVAL: Spec = Spec {
    callable: Callable::Script,
    arity: -3,
    stock: Some(-3),
    flags: c"deny-script allow-stale no-monitor may-replicate no-mandatory-keys getkeys-api",
    complexity: c"Depends on the script that is executed.",
    ..BLANK
};

const EVAL_RO_FLAGS: &CStr = c"readonly deny-script allow-stale no-monitor no-mandatory-keys getkeys-api";

/// What the commands that look inside have in common.
const INSIDE: Spec =
    Spec { flags: c"admin deny-script allow-loading allow-stale", acl: c"admin slow dangerous scripting", ..BLANK };

const KEYS: Spec = Spec {
    name: c"keys",
    arity: -2,
    complexity: c"O(N log N) where N is the number of functions or scripts",
    tips: Some(c"nondeterministic_output"),
    ..INSIDE
};

const HISTOGRAM: Spec = Spec {
    name: c"histogram",
    arity: -2,
    complexity: c"O(N log N) where N is the number of functions or scripts",
    tips: Some(c"nondeterministic_output"),
    ..INSIDE
};

const SLOWLOG: Spec = Spec {
    name: c"slowlog",
    arity: -3,
    complexity: c"O(N) where N is the number of calls returned",
    tips: Some(c"nondeterministic_output"),
    arguments: &[Argument::new(c"operation", Kind::OneOf).of(&[
        Argument::new(c"get", Kind::Block).of(&[
            Argument::new(c"get", Kind::PureToken).token(c"GET"),
            Argument::new(c"count", Kind::Integer).optional(),
        ]),
        Argument::new(c"len", Kind::PureToken).token(c"LEN"),
        Argument::new(c"reset", Kind::PureToken).token(c"RESET"),
        Argument::new(c"help", Kind::PureToken).token(c"HELP"),
    ])],
    ..INSIDE
};

/// What the two commands of profiles have in common. A profile takes some of the server's time and shows what goes on
/// in the code of others: it is for who may see the slow log.
const PROFILE: Spec = Spec {
    name: c"profile",
    arity: -3,
    flags: c"admin deny-script allow-busy allow-loading allow-stale",
    complexity: c"O(N) with N being the number of distinct stacks",
    // Each node has a profile of its own.
    tips: Some(c"nondeterministic_output request_policy:all_nodes response_policy:special"),
    ..INSIDE
};

const PROFILE_HERTZ: Argument = Argument::new(c"hz", Kind::Integer).token(c"HZ").optional();
const PROFILE_SECONDS: Argument = Argument::new(c"seconds", Kind::Integer).token(c"SECONDS").optional();
const PROFILE_START: Argument = Argument::new(c"start", Kind::PureToken).token(c"START");
const PROFILE_STOP: Argument = Argument::new(c"stop", Kind::PureToken).token(c"STOP");
const PROFILE_GET: Argument = Argument::new(c"get", Kind::Block).of(&[
    Argument::new(c"get", Kind::PureToken).token(c"GET"),
    Argument::new(c"format", Kind::OneOf).optional().of(&[
        Argument::new(c"folded", Kind::PureToken).token(c"FOLDED"),
        Argument::new(c"speedscope", Kind::PureToken).token(c"SPEEDSCOPE"),
    ]),
]);
const PROFILE_HELP: Argument = Argument::new(c"help", Kind::PureToken).token(c"HELP");

const SCRIPT: &[Spec] = &[
    Spec {
        name: c"debug",
        handler: Some(Handler::of::<script::Debug>()),
        arity: -3,
        flags: c"deny-script",
        summary: c"Says that scripts of the shadow cache cannot be debugged.",
        arguments: &[Argument::new(c"mode", Kind::OneOf).of(&[
            Argument::new(c"yes", Kind::PureToken).token(c"YES"),
            Argument::new(c"sync", Kind::PureToken).token(c"SYNC"),
            Argument::new(c"no", Kind::PureToken).token(c"NO"),
        ])],
        help: &[
            Line::By(|dialect| {
                Some(if dialect.runs_functions_by_module() {
                    "DEBUG (YES|SYNC|NO) [<engine_name>]"
                } else {
                    "DEBUG (YES|SYNC|NO)"
                })
            }),
            Line::By(|dialect| {
                Some(if dialect.runs_functions_by_module() {
                    "    Set the debug mode for subsequent scripts executed of the specified engine."
                } else {
                    "    Set the debug mode for subsequent scripts executed."
                })
            }),
            Line::By(|dialect| dialect.runs_functions_by_module().then_some("    Default engine name: 'lua'")),
        ],
        ..BLANK
    },
    Spec {
        name: c"exists",
        handler: Some(Handler::of::<script::Exists>()),
        arity: -3,
        stock: Some(-3),
        flags: c"deny-script",
        stale_on_valkey_9_1: true,
        summary: c"Determines whether scripts are cached.",
        complexity:
            c"O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
        tips: Some(c"request_policy:all_shards response_policy:agg_logical_and"),
        arguments: &[Argument::new(c"sha1", Kind::String).multiple()],
        help: &[
            Line::Always("EXISTS <sha1> [<sha1> ...]"),
            Line::Always("    Return information about the existence of the scripts in the script cache."),
        ],
        ..BLANK
    },
    Spec {
        name: c"flush",
        handler: Some(Handler::of::<script::Flush>()),
        arity: -2,
        stock: Some(-2),
        flags: c"deny-script",
        stale_on_valkey_9_1: true,
        summary: c"Deletes all cached scripts.",
        complexity: c"O(1) with ASYNC; O(N) where N is the number of scripts deleted with SYNC",
        tips: ALL_NODES,
        arguments: &[FLUSH_TYPE],
        help: &[
            Line::Always("FLUSH [ASYNC|SYNC]"),
            Line::Always("    Flush the Lua scripts cache. Very dangerous on replicas."),
            Line::By(|dialect| {
                Some(if dialect.is_valkey() {
                    "    When called without the optional mode argument, the behavior is determined"
                } else {
                    "    When called without the optional mode argument, the behavior is determined by the"
                })
            }),
            Line::By(|dialect| {
                Some(if dialect.is_valkey() {
                    "     by the lazyfree-lazy-user-flush configuration directive. Valid modes are:"
                } else {
                    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:"
                })
            }),
            Line::Always("    * ASYNC: Asynchronously flush the scripts cache."),
            Line::Always("    * SYNC: Synchronously flush the scripts cache."),
        ],
        ..BLANK
    },
    Spec {
        name: c"kept",
        handler: Some(Handler::of::<kept::Kept>()),
        arity: -3,
        flags: c"write deny-script",
        acl: c"write slow scripting",
        summary: c"Changes the cache of a replica, or from a file, as that of the master was changed.",
        complexity: c"O(N) with N being the length in bytes of the script, or the number of scripts deleted",
        arguments: &[Argument::new(c"change", Kind::OneOf).of(&[
            Argument::new(c"script", Kind::String).token(c"LOAD"),
            Argument::new(c"script", Kind::String).token(c"EVAL"),
            Argument::new(c"evict", Kind::Block).of(&[
                Argument::new(c"evict", Kind::PureToken).token(c"EVICT"),
                Argument::new(c"sha1", Kind::String).multiple(),
            ]),
            Argument::new(c"flush", Kind::Block)
                .of(&[Argument::new(c"flush", Kind::PureToken).token(c"FLUSH"), FLUSH_TYPE]),
        ])],
        ..BLANK
    },
    Spec {
        name: c"kill",
        handler: Some(Handler::of::<script::Kill>()),
        arity: -2,
        stock: Some(2),
        flags: c"deny-script allow-busy",
        summary: c"Terminates a script during execution.",
        tips: Some(c"request_policy:all_shards response_policy:one_succeeded"),
        arguments: &[Argument::new(c"force", Kind::PureToken).token(c"FORCE").optional()],
        help: &[Line::Always("KILL"), Line::Always("    Kill the currently executing Lua script.")],
        ..BLANK
    },
    Spec {
        name: c"load",
        handler: Some(Handler::of::<script::Load>()),
        arity: 3,
        stock: Some(3),
        flags: c"deny-script allow-stale",
        summary: c"Caches a script.",
        complexity: c"O(N) with N being the length in bytes of the script body.",
        tips: ALL_NODES,
        arguments: &[Argument::new(c"script", Kind::String)],
        help: &[
            Line::Always("LOAD <script>"),
            Line::Always("    Load a script into the scripts cache without executing it."),
        ],
        ..BLANK
    },
    Spec {
        name: c"show",
        handler: Some(Handler::of::<script::Show>()),
        arity: 3,
        stock: Some(3),
        stock_on: Dialect::is_valkey,
        flags: c"deny-script",
        stale_on_valkey_9_1: true,
        summary: c"Returns the text of a cached script.",
        arguments: &[Argument::new(c"sha1", Kind::String)],
        help: &[
            Line::By(|dialect| dialect.is_valkey().then_some("SHOW <sha1>")),
            Line::By(|dialect| dialect.is_valkey().then_some("    Show a script from the scripts cache.")),
        ],
        ..BLANK
    },
    Spec {
        name: c"list",
        handler: Some(Handler::of::<script::List>()),
        arity: -2,
        flags: c"deny-script",
        summary: c"Returns information about all cached scripts.",
        complexity: c"O(N log N) where N is the number of scripts",
        tips: Some(c"nondeterministic_output"),
        arguments: &[
            Argument::new(c"withcode", Kind::PureToken).token(c"WITHCODE").optional(),
            Argument::new(c"withstats", Kind::PureToken).token(c"WITHSTATS").optional(),
        ],
        help: &[
            Line::Always("LIST [WITHCODE] [WITHSTATS]"),
            Line::Always("    Return information about all cached scripts, the one used last first:"),
            Line::Always("    * SHA-1, beginning and size of its text"),
            Line::Always("    * How long it has not been used, how it came to the cache, its flags"),
            Line::Always("    * Its text (if WITHCODE is given)"),
            Line::Always("    * Its memory and usage (if WITHSTATS is given)"),
        ],
        ..BLANK
    },
    Spec {
        handler: Some(Handler::of::<keys::Keys<OfScripts>>()),
        summary: c"Returns the keys that scripts reached and their calls did not declare.",
        arguments: &[Argument::new(c"sha1", Kind::String).optional()],
        help: &[
            Line::Always("KEYS [<sha1>]"),
            Line::Always("    Return which commands of scripts reached keys that their calls did not declare."),
            Line::Always("    The setting shadow.undeclared-keys says whether they are looked for."),
        ],
        ..KEYS
    },
    Spec {
        handler: Some(Handler::of::<histogram::Histogram<OfScripts>>()),
        summary: c"Returns the distribution of the times that calls of scripts took.",
        arguments: &[Argument::new(c"sha1", Kind::String).optional().multiple()],
        help: &[
            Line::Always("HISTOGRAM [<sha1> ...]"),
            Line::Always("    Return how many calls of each script took how many microseconds, as LATENCY HISTOGRAM."),
        ],
        ..HISTOGRAM
    },
    Spec {
        handler: Some(Handler::of::<slowlog::SlowLog<OfScripts>>()),
        summary: c"Returns or forgets the calls of scripts that took long.",
        help: &[
            Line::Always("SLOWLOG (GET [<count>]|LEN|RESET|HELP)"),
            Line::Always("    Return or forget the calls that took longer than slowlog-log-slower-than."),
        ],
        ..SLOWLOG
    },
    Spec {
        handler: Some(Handler::of::<profile::Profile<OfScripts>>()),
        summary: c"Shows where the time of scripts goes.",
        arguments: &[Argument::new(c"action", Kind::OneOf).of(&[
            Argument::new(c"start", Kind::Block).of(&[
                PROFILE_START,
                Argument::new(c"sha1", Kind::String).token(c"SCRIPT").optional(),
                PROFILE_HERTZ,
                PROFILE_SECONDS,
            ]),
            PROFILE_STOP,
            PROFILE_GET,
            PROFILE_HELP,
        ])],
        help: &[
            Line::Always("PROFILE <subcommand> [<arg> [value] [opt] ...]"),
            Line::Always("    Show where the time of scripts goes; PROFILE HELP has the subcommands."),
        ],
        ..PROFILE
    },
    Spec {
        name: c"help",
        handler: Some(Handler::of::<help::Help<ScriptSubcommands>>()),
        stock: Some(2),
        flags: c"allow-loading allow-stale",
        summary: c"Returns helpful text about the different subcommands.",
        help: HELP_OF_HELP,
        ..BLANK
    },
];

/// The subcommands of SHADOW.SCRIPT.
struct ScriptSubcommands;

impl List for ScriptSubcommands {
    fn specs() -> impl Iterator<Item = &'static Spec> {
        SCRIPT.iter()
    }
}

const FUNCTION: &[Spec] = &[
    Spec {
        name: c"load",
        handler: Some(Handler::of::<load::Load>()),
        arity: -3,
        stock: Some(-3),
        flags: c"write deny-oom deny-script",
        acl: c"write slow scripting",
        summary: c"Creates a library.",
        complexity: c"O(1) (considering compilation time is redundant)",
        tips: ALL_SHARDS,
        arguments: &[
            Argument::new(c"replace", Kind::PureToken).token(c"REPLACE").optional(),
            Argument::new(c"function-code", Kind::String),
        ],
        help: &[
            Line::Always("LOAD [REPLACE] <FUNCTION CODE>"),
            Line::Always("    Create a new library with the given library name and code."),
        ],
        ..BLANK
    },
    Spec {
        name: c"delete",
        handler: Some(Handler::of::<delete::Delete>()),
        arity: 3,
        stock: Some(3),
        flags: c"write deny-script",
        acl: c"write slow scripting",
        summary: c"Deletes a library and its functions.",
        tips: ALL_SHARDS,
        arguments: &[Argument::new(c"library-name", Kind::String)],
        help: &[Line::Always("DELETE <LIBRARY NAME>"), Line::Always("    Delete the given library.")],
        ..BLANK
    },
    Spec {
        name: c"list",
        handler: Some(Handler::of::<list::List>()),
        arity: -2,
        stock: Some(-2),
        flags: c"deny-script",
        summary: c"Returns information about all libraries.",
        complexity: c"O(N) where N is the number of functions",
        tips: Some(c"nondeterministic_output_order"),
        arguments: &[
            Argument::new(c"library-name-pattern", Kind::String).token(c"LIBRARYNAME").optional(),
            Argument::new(c"withcode", Kind::PureToken).token(c"WITHCODE").optional(),
            Argument::new(c"withstats", Kind::PureToken).token(c"WITHSTATS").optional(),
        ],
        help: &[
            Line::Always("LIST [LIBRARYNAME PATTERN] [WITHCODE] [WITHSTATS]"),
            Line::Always("    Return general information on all the libraries:"),
            Line::Always("    * Library name"),
            Line::Always("    * The engine used to run the Library"),
            // Later servers dropped it.
            Line::By(|dialect| dialect.is_7_0().then_some("    * Library description")),
            Line::Always("    * Functions list"),
            Line::Always("    * Library code (if WITHCODE is given)"),
            Line::Always("    * Size of the library and usage of its functions (if WITHSTATS is given)"),
            Line::Always(
                "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
            ),
        ],
        ..BLANK
    },
    Spec {
        name: c"stats",
        handler: Some(Handler::of::<stats::Stats>()),
        stock: Some(2),
        flags: c"deny-script allow-busy",
        summary: c"Returns information about a function during execution.",
        tips: Some(c"nondeterministic_output request_policy:all_shards response_policy:special"),
        help: &[
            Line::Always("STATS"),
            Line::Always("    Return information about the current function running:"),
            Line::Always("    * Function name"),
            Line::Always("    * Command used to run the function"),
            Line::Always("    * Duration in MS that the function is running"),
            Line::Always("    If no function is running, return nil"),
            Line::Always("    In addition, returns a list of available engines."),
        ],
        ..BLANK
    },
    Spec {
        name: c"kill",
        handler: Some(Handler::of::<kill::Kill>()),
        arity: -2,
        stock: Some(2),
        flags: c"deny-script allow-busy",
        summary: c"Terminates a function during execution.",
        tips: Some(c"request_policy:all_shards response_policy:one_succeeded"),
        arguments: &[Argument::new(c"force", Kind::PureToken).token(c"FORCE").optional()],
        help: &[Line::Always("KILL"), Line::Always("    Kill the current running function.")],
        ..BLANK
    },
    Spec {
        name: c"flush",
        handler: Some(Handler::of::<flush::Flush>()),
        arity: -2,
        stock: Some(-2),
        flags: c"write deny-script",
        acl: c"write slow scripting",
        summary: c"Deletes all libraries and functions.",
        complexity: c"O(1) with ASYNC; O(N) where N is the number of functions deleted with SYNC",
        tips: ALL_SHARDS,
        arguments: &[FLUSH_TYPE],
        help: &[
            Line::Always("FLUSH [ASYNC|SYNC]"),
            Line::Always("    Delete all the libraries."),
            Line::Always("    When called without the optional mode argument, the behavior is determined by the"),
            Line::Always("    lazyfree-lazy-user-flush configuration directive. Valid modes are:"),
            Line::Always("    * ASYNC: Asynchronously flush the libraries."),
            Line::Always("    * SYNC: Synchronously flush the libraries."),
        ],
        ..BLANK
    },
    Spec {
        name: c"dump",
        handler: Some(Handler::of::<dump::Dump>()),
        stock: Some(2),
        flags: c"deny-script",
        summary: c"Dumps all libraries into a serialized binary payload.",
        complexity: c"O(N) where N is the number of functions",
        help: &[
            Line::Always("DUMP"),
            Line::Always(
                "    Return a serialized payload representing the current libraries, can be restored using \
                 FUNCTION RESTORE command",
            ),
        ],
        ..BLANK
    },
    Spec {
        name: c"restore",
        handler: Some(Handler::of::<restore::Restore>()),
        arity: -3,
        stock: Some(-3),
        flags: c"write deny-oom deny-script",
        acl: c"write slow scripting",
        summary: c"Restores all libraries from a payload.",
        complexity: c"O(N) where N is the number of functions on the payload",
        tips: ALL_SHARDS,
        arguments: &[Argument::new(c"serialized-value", Kind::String), POLICY],
        help: &[
            Line::Always("RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]"),
            Line::Always(
                "    Restore the libraries represented by the given payload, it is possible to give a restore \
                 policy to",
            ),
            Line::Always("    control how to handle existing libraries (default APPEND):"),
            Line::Always("    * FLUSH: delete all existing libraries."),
            Line::Always(
                "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
            ),
            Line::Always(
                "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace \
                 the old",
            ),
            Line::Always(
                "      libraries with the new libraries (notice that even on this option there is a chance of failure",
            ),
            Line::Always("      in case of functions name collision with another library)."),
        ],
        ..BLANK
    },
    Spec {
        name: c"deploy",
        handler: Some(Handler::of::<deploy::Deploy>()),
        arity: -3,
        flags: c"write deny-oom deny-script",
        acl: c"write slow scripting",
        summary: c"Puts these libraries in the place of all, at once.",
        complexity: c"O(1) on the main thread, but for the words of the command; O(N) on the worker, where N is the number of libraries",
        tips: ALL_SHARDS,
        arguments: &[
            VERSION.optional(),
            Argument::new(c"current", Kind::String).token(c"IFVERSION").optional(),
            Argument::new(c"try", Kind::PureToken).token(c"TRY").optional(),
            Argument::new(c"libraries", Kind::OneOf).of(&[
                Argument::new(c"dir", Kind::PureToken).token(c"DIR"),
                Argument::new(c"function-code", Kind::String).multiple(),
            ]),
        ],
        help: &[
            Line::Always("DEPLOY [VERSION <label>] [IFVERSION <label>] [TRY] (DIR|<FUNCTION CODE> [<FUNCTION CODE> ...])"),
            Line::Always("    Put these libraries in the place of all: all of them, at once, or none."),
            Line::Always("    * VERSION: What to call them."),
            Line::Always("    * IFVERSION: Only if this is the current version."),
            Line::Always("    * TRY: Check everything and change nothing."),
            Line::Always("    * DIR: The library files of the directory shadow.library-dir."),
        ],
        ..BLANK
    },
    Spec {
        name: c"rollback",
        handler: Some(Handler::of::<deploy::Rollback>()),
        arity: -2,
        flags: c"write deny-script",
        acl: c"write slow scripting",
        summary: c"Brings back the libraries that a deploy has replaced.",
        complexity: c"O(1); O(N) where N is the number of libraries if there is a replica or an append-only file",
        tips: ALL_SHARDS,
        arguments: &[VERSION.optional()],
        help: &[
            Line::Always("ROLLBACK [VERSION <label>]"),
            Line::Always("    Bring back the libraries that the last deploy has replaced, or those of this version."),
        ],
        ..BLANK
    },
    Spec {
        name: c"versions",
        handler: Some(Handler::of::<versions::Versions>()),
        flags: c"deny-script",
        summary: c"Returns the current version of the libraries and those that can come back.",
        complexity: c"O(N) where N is the number of libraries that were changed since their deploy",
        tips: Some(c"nondeterministic_output"),
        help: &[
            Line::Always("VERSIONS"),
            Line::Always("    Return the current version of the libraries, then those that ROLLBACK can bring back."),
        ],
        ..BLANK
    },
    Spec {
        name: c"import",
        handler: Some(Handler::of::<restore::Import>()),
        arity: -2,
        flags: c"write deny-oom deny-script",
        acl: c"write slow scripting",
        summary: c"Copies the libraries of the server's own registry.",
        complexity: c"O(N) where N is the number of the server's functions",
        tips: ALL_SHARDS,
        arguments: &[POLICY],
        help: &[
            Line::Always("IMPORT [FLUSH|APPEND|REPLACE]"),
            Line::Always("    Copy the libraries of the server's own registry, under the same policies as RESTORE."),
        ],
        ..BLANK
    },
    Spec {
        handler: Some(Handler::of::<keys::Keys<OfFunctions>>()),
        summary: c"Returns the keys that functions reached and their calls did not declare.",
        arguments: &[Argument::new(c"function", Kind::String).optional()],
        help: &[
            Line::Always("KEYS [<function>]"),
            Line::Always("    Return which commands of functions reached keys that their calls did not declare."),
            Line::Always("    The setting shadow.undeclared-keys says whether they are looked for."),
        ],
        ..KEYS
    },
    Spec {
        handler: Some(Handler::of::<histogram::Histogram<OfFunctions>>()),
        summary: c"Returns the distribution of the times that calls of functions took.",
        arguments: &[Argument::new(c"function", Kind::String).optional().multiple()],
        help: &[
            Line::Always("HISTOGRAM [<function> ...]"),
            Line::Always(
                "    Return how many calls of each function took how many microseconds, as LATENCY HISTOGRAM.",
            ),
        ],
        ..HISTOGRAM
    },
    Spec {
        handler: Some(Handler::of::<slowlog::SlowLog<OfFunctions>>()),
        summary: c"Returns or forgets the calls of functions that took long.",
        help: &[
            Line::Always("SLOWLOG (GET [<count>]|LEN|RESET|HELP)"),
            Line::Always("    Return or forget the calls that took longer than slowlog-log-slower-than."),
        ],
        ..SLOWLOG
    },
    Spec {
        handler: Some(Handler::of::<profile::Profile<OfFunctions>>()),
        summary: c"Shows where the time of functions goes.",
        arguments: &[Argument::new(c"action", Kind::OneOf).of(&[
            Argument::new(c"start", Kind::Block).of(&[
                PROFILE_START,
                Argument::new(c"function", Kind::String).token(c"FUNCTION").optional(),
                PROFILE_HERTZ,
                PROFILE_SECONDS,
            ]),
            PROFILE_STOP,
            PROFILE_GET,
            PROFILE_HELP,
        ])],
        help: &[
            Line::Always("PROFILE <subcommand> [<arg> [value] [opt] ...]"),
            Line::Always("    Show where the time of functions goes; PROFILE HELP has the subcommands."),
        ],
        ..PROFILE
    },
    Spec {
        name: c"resetstat",
        handler: Some(Handler::of::<resetstat::ResetStat>()),
        flags: c"admin deny-script allow-loading allow-stale",
        acl: c"admin slow dangerous scripting",
        summary: c"Resets the statistics of functions and scripts.",
        complexity: c"O(N) where N is the number of functions and scripts",
        // Each node counts for itself.
        tips: ALL_NODES,
        help: &[
            Line::Always("RESETSTAT"),
            Line::Always("    Reset the statistics that INFO and LIST WITHSTATS return."),
        ],
        ..BLANK
    },
    Spec {
        name: c"help",
        handler: Some(Handler::of::<help::Help<Subcommands>>()),
        stock: Some(2),
        flags: c"allow-loading allow-stale",
        summary: c"Returns helpful text about the different subcommands.",
        help: HELP_OF_HELP,
        ..BLANK
    },
];

/// The subcommands of SHADOW.FUNCTION.
struct Subcommands;

impl List for Subcommands {
    fn specs() -> impl Iterator<Item = &'static Spec> {
        FUNCTION.iter()
    }
}

/// All commands that are registered.
struct Registered;

impl List for Registered {
    fn specs() -> impl Iterator<Item = &'static Spec> {
        registered()
    }
}

/// The commands to register: SHADOW.DEBUG only if the load argument asks for it.
pub fn registered() -> impl Iterator<Item = &'static Spec> {
    COMMANDS.iter().chain(settings::ENABLE_DEBUG_COMMAND.is_on().then_some(&DEBUG))
}

/// Fault injection for tests; registered only when the load argument `enable-debug-command` asks for it.
const DEBUG: Spec = Spec {
    name: c"shadow.debug",
    handler: Some(Handler::of::<debug::Debug<Registered>>()),
    arity: -2,
    flags: c"admin deny-script",
    acl: c"admin slow dangerous",
    summary: c"Injects faults into the shadow module, for its tests.",
    ..BLANK
};
