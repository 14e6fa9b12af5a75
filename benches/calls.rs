//! The time that a call takes inside the server.

use crate::plan::Plan;
use crate::servers::Identity;
use crate::side::{Side, settle};
use crate::support::Client;
use crate::trial::{self, Command, Found, Subject, command};

/// One library with the functions of all cases.
const LIBRARY: &str = include_str!("calls.lua");

/// A function to call.
pub struct Case {
    pub name: &'static str,
    function: &'static str,
    /// Keys and arguments, with the number of keys before them.
    arguments: &'static str,
    /// Calls in one measurement.
    calls: usize,
    /// The commands that it runs, for `SHADOW.DEBUG CALL`: how often, and what.
    floor: Option<&'static str>,
}

impl Case {
    /// A function that only computes.
    const fn computing(name: &'static str, function: &'static str, calls: usize) -> Self {
        Self { name, function, arguments: "0", calls, floor: None }
    }

    /// A function that runs commands on one key.
    const fn calling(
        name: &'static str,
        function: &'static str,
        arguments: &'static str,
        calls: usize,
        floor: &'static str,
    ) -> Self {
        Self { name, function, arguments, calls, floor: Some(floor) }
    }
}

/// Also measured from a client.
pub const EMPTY: Case = Case::computing("an empty function", "bench_empty", 5_000);

/// Also measured from a client.
pub const GET: Case = Case::calling("one GET", "bench_get", "1 bench:text", 5_000, "1 GET bench:text");

/// Also measured while something looks at it.
pub const INCRBY: Case =
    Case::calling("fifty INCRBY", "bench_incrby", "1 bench:number", 500, "50 INCRBY bench:number 1");

/// Also measured while something looks at it.
pub const FIB: Case = Case::computing("fib(25)", "bench_fib", 20);

/// Entering a function, and inner commands.
pub const CALLS: [Case; 6] = [
    EMPTY,
    Case {
        arguments: "0 one two three four five six seven eight nine ten 11 12 13 14 15 16 17 18 19 20",
        ..Case::computing("20 arguments", "bench_arguments", 5_000)
    },
    GET,
    Case::calling("one SET", "bench_set", "1 bench:text", 5_000, "1 SET bench:text value"),
    INCRBY,
    Case::calling("HGETALL of 50 fields", "bench_hgetall", "1 bench:hash", 1_000, "1 HGETALL bench:hash"),
];

/// Computation alone.
pub const COMPUTATIONS: [Case; 7] = [
    FIB,
    Case::computing("primes below 10,000", "bench_sieve", 50),
    Case::computing("counting 1,000 words", "bench_words", 100),
    Case::computing("building a string of 1,000 parts", "bench_building", 100),
    Case::computing("600 numbers as text", "bench_numbers", 100),
    Case::computing("JSON there and back", "bench_json", 300),
    Case::computing("MessagePack there and back", "bench_msgpack", 300),
];

/// A hundred errors that are raised and caught, or are replies.
pub const ERRORS: [Case; 9] = [
    Case::computing(ERROR_TEXT, "bench_error", 200),
    Case::computing("`error` with a table", "bench_error_table", 200),
    Case::computing("`error` four functions below", "bench_error_below", 200),
    Case::computing("nil that is indexed", "bench_error_vm", 200),
    Case::computing(ERROR_JSON, "bench_error_json", 200),
    // Without a floor: a command that fails ends `SHADOW.DEBUG CALL`.
    Case { arguments: "1 bench:text", ..Case::computing(ERROR_CALL, "bench_error_call", 200) },
    Case { arguments: "1 bench:text", ..Case::computing("`redis.pcall` that fails", "bench_error_reply", 200) },
    Case::computing("`string.rep` without arguments", "bench_error_argument", 200),
    Case::computing("`pcall` without an error", "bench_no_error", 200),
];

/// The names of the rows that have goals.
pub const ERROR_TEXT: &str = "`error` with a text";
/// The same.
pub const ERROR_JSON: &str = "`cjson.decode` of what is no JSON";
/// The same.
pub const ERROR_CALL: &str = "`redis.call` that fails";

impl Case {
    /// The words of the call.
    pub fn command(&self, side: Side) -> Vec<&'static str> {
        [side.fcall(), self.function].into_iter().chain(self.arguments()).collect()
    }

    /// The function as a script: its body, after what all functions of the library share if it uses that.
    pub fn script(&self) -> String {
        let head = format!("redis.register_function('{}', function(", self.function);
        let body = LIBRARY.split("\n\n").find_map(|part| {
            let (_, body) = part.strip_prefix(&head)?.split_once(')')?;
            body.trim_end().strip_suffix("end)")
        });
        let body = body.expect("the library has the function").replace("keys[", "KEYS[").replace("args[", "ARGV[");
        let (_, shared) = LIBRARY.split_once('\n').expect("a first line");
        let (shared, _) = shared.split_once("redis.register_function").expect("functions");
        let uses_shared = ["fib(", "prepare("].iter().any(|name| body.contains(name));
        if uses_shared { format!("{shared}{}", body.trim()) } else { body.trim().to_owned() }
    }

    /// Its keys and arguments, with the number of keys before them.
    pub fn arguments(&self) -> impl Iterator<Item = &'static str> {
        self.arguments.split(' ')
    }

    /// Its measurement, under a name and with these commands.
    pub fn subject(&self, name: String, commands: [Command; 2]) -> Subject {
        let floor = self.floor.map(|commands| command(["SHADOW.DEBUG", "CALL"].into_iter().chain(commands.split(' '))));
        Subject { name, commands, floor, calls: self.calls }
    }
}

/// Loads the library into both registries, and the keys that its functions need.
pub fn prepare(client: &mut Client) {
    settle(client);
    Side::BOTH.iter().for_each(|side| side.load(client, LIBRARY));
    client.run("SET bench:text value");
    let fields: String = (0..50).map(|number| format!(" field{number} value{number}")).collect();
    client.run(&format!("HSET bench:hash{fields}"));
}

/// The calls, the computations and the errors: microseconds in the server.
pub fn measure(identity: &Identity, plan: &Plan) -> Found<3> {
    trial::measure(identity, plan, |client| {
        prepare(client);
        let subject =
            |case: &Case| case.subject(case.name.to_owned(), Side::BOTH.map(|side| command(case.command(side))));
        [&CALLS[..], &COMPUTATIONS, &ERRORS].map(|cases| cases.iter().map(subject).collect())
    })
}
