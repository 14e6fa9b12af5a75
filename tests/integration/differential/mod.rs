//! Every case goes to the server's own command and to the shadow's in the same server, and the bytes of both replies must
//! be equal, in both versions of the protocol.

mod bodies;
mod chunks;
mod language;
mod payloads;
mod registrations;
mod sessions;

use crate::library::{callback, source};
use crate::support::resp::map_lines;
use crate::support::{Client, Flavour, Server};

/// What Valkey words in its own way, and how Redis says it. The shadow words it like Redis in every server.
const WORDINGS_OF_VALKEY: &[(&str, &str)] = &[
    ("server.", "redis."),
    ("Valkey ", "Redis "),
    ("argument for this call", "argument for this redis lib call"),
    ("-ERR Command arguments must be", "-ERR Lua redis lib command arguments must be"),
    ("Unknown command called from script", "Unknown Redis command called from script"),
    ("Attempted to access a non local key", "Script attempted to access a non local key"),
    ("calling command from script", "calling Redis command from script"),
    ("-ERR Function names can only", "-ERR Error registering functions: ERR Library names can only"),
    ("-ERR Function already exists in", "-ERR Error registering functions: ERR Function already exists in"),
];

/// Where a case is sent.
#[derive(Clone, Copy, PartialEq)]
pub enum Runs {
    /// On every server.
    Everywhere,
    /// Not on Valkey, which words a value that the case looks at in its own way, or crashes.
    OnRedis,
}

pub use Runs::{Everywhere, OnRedis};

/// A server with both registries, and connections of both protocol versions to it.
pub struct Pair {
    server: Server,
    flavour: Flavour,
    clients: [Client; 2],
    keyspace: Option<&'static [&'static str]>,
    loaded: String,
    differences: Vec<String>,
    compared: usize,
}

impl Pair {
    /// Starts the server.
    pub fn start() -> Self {
        Self::with(Server::start())
    }

    /// Takes a server that runs.
    pub fn with(server: Server) -> Self {
        let (plain, mut third) = (server.client(), server.client());
        third.hello3();
        let flavour = server.flavour();
        Self {
            server,
            flavour,
            clients: [plain, third],
            keyspace: None,
            loaded: String::new(),
            differences: Vec::new(),
            compared: 0,
        }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn runs(&self, runs: Runs) -> bool {
        runs == Everywhere || self.flavour == Flavour::Redis
    }

    /// Has every command find a keyspace that these commands have filled.
    pub fn keyspace(&mut self, commands: &'static [&'static str]) {
        self.keyspace = Some(commands);
    }

    fn restore_keyspace(&mut self) {
        if let Some(commands) = self.keyspace {
            self.command(&["FLUSHALL"]);
            for command in commands {
                self.command(&command.split(' ').collect::<Vec<_>>());
            }
        }
    }

    /// Sends a command to neither registry in particular.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        let reply = self.clients[0].call(arguments);
        assert!(!reply.is_error(), "{reply:?}");
    }

    /// Sends the command to the server's own registry, then to the shadow's, over the connection of each protocol version,
    /// and notes a difference. `arguments` begin with the server's name of the command.
    pub fn compare<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        for protocol in [2, 3] {
            self.compare_in(protocol, arguments);
        }
    }

    /// [`Pair::compare`] in one version of the protocol.
    pub fn compare_in<A: AsRef<[u8]>>(&mut self, protocol: usize, arguments: &[A]) {
        self.restore_keyspace();
        let expected = wording(self.flavour, &self.clients[protocol - 2].raw(arguments));
        self.restore_keyspace();
        let answered = wording(self.flavour, &self.clients[protocol - 2].raw(&shadowed(arguments)));
        self.compared += 1;
        if expected != answered {
            let words: Vec<_> = arguments.iter().map(|word| word.as_ref().escape_ascii().to_string()).collect();
            self.differences.push(format!(
                "RESP{protocol} {}{}\n  server {}\n  shadow {}",
                words.join(" "),
                self.loaded,
                around_difference(&expected, &answered),
                around_difference(&answered, &expected)
            ));
        }
    }

    /// Has both connections speak for another user from here on.
    pub fn log_in(&mut self, user: &str) {
        for client in &mut self.clients {
            let reply = client.call(&["AUTH", user, "any"]);
            assert!(!reply.is_error(), "{reply:?}");
        }
    }

    /// Empties both registries.
    pub fn flush(&mut self) {
        self.command(&["FUNCTION", "FLUSH", "SYNC"]);
        self.command(&["SHADOW.FUNCTION", "FLUSH", "SYNC"]);
    }

    /// Loads a library into both registries, in place of its older self; both must take it.
    pub fn load(&mut self, source: &str) {
        self.loaded = format!(" after {:.160}", source.escape_debug().to_string());
        self.command(&["FUNCTION", "LOAD", "REPLACE", source]);
        self.command(&["SHADOW.FUNCTION", "LOAD", "REPLACE", source]);
    }

    /// Fails the test if anything differed.
    pub fn finish(self) {
        assert!(self.compared > 0, "nothing was compared");
        let count = self.differences.len();
        assert!(count == 0, "{count} of {} replies differ:\n{}", self.compared, self.differences.join("\n"));
    }
}

/// The same command for the shadow: its first word gets the prefix.
fn shadowed<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = arguments.iter().map(|word| word.as_ref().to_vec()).collect();
    words[0].splice(0..0, *b"SHADOW.");
    words
}

/// What can be shown of a reply: all of a short one, of a long one where it begins to differ from the other.
fn around_difference(reply: &[u8], other: &[u8]) -> String {
    const SHOWN: usize = 400;
    let same = reply.iter().zip(other).take_while(|(left, right)| left == right).count();
    let start = if reply.len() > SHOWN { same.saturating_sub(SHOWN / 4) } else { 0 };
    let end = reply.len().min(start + SHOWN);
    let place =
        if (start, end) == (0, reply.len()) { String::new() } else { format!("{start}..{end} of {}: ", reply.len()) };
    format!("{place}{}", reply[start..end].escape_ascii())
}

/// A reply in the words that both sides are compared in: the shadow's commands are called like the server's, and Valkey's
/// own wordings are put as Redis has them. Only lines of text change, so that no length goes wrong.
fn wording(flavour: Flavour, raw: &[u8]) -> Vec<u8> {
    map_lines(raw, |line| {
        let mut line = line.to_owned();
        for name in ["FUNCTION", "FCALL", "function", "fcall"] {
            let prefix = if name.starts_with('F') { "SHADOW." } else { "shadow." };
            line = line.replace(&format!("{prefix}{name}"), name);
        }
        if flavour == Flavour::Valkey {
            for (valkey, redis) in WORDINGS_OF_VALKEY {
                line = line.replace(valkey, redis);
            }
            line = without_function_name(&line);
        }
        line
    })
}

/// An error without the name of the function that it came from, which Valkey leaves out.
fn without_function_name(line: &str) -> String {
    const BEFORE: &str = " script: ";
    let parts = line.rsplit_once(BEFORE).and_then(|(text, origin)| Some((text, origin.split_once(", on ")?.1)));
    parts.map_or_else(|| line.to_owned(), |(text, place)| format!("{text}{BEFORE}on {place}"))
}

#[test]
fn libraries_are_taken_and_refused_alike() {
    let mut pair = Pair::start();
    let own = if pair.runs(OnRedis) { chunks::SHEBANGS_ON_REDIS } else { &[] };
    for code in chunks::SHEBANGS.iter().chain(own) {
        pair.flush();
        for protocol in [2, 3] {
            pair.compare_in(protocol, &[b"FUNCTION", b"LOAD".as_slice(), b"REPLACE", code]);
        }
        pair.compare(&["FUNCTION", "LIST", "WITHCODE"]);
    }
    pair.finish();
}

#[test]
fn bodies_are_run_alike_at_load() {
    let mut pair = Pair::start();
    for (body, runs) in chunks::BODIES {
        if pair.runs(*runs) {
            pair.flush();
            pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]);
        }
    }
    pair.finish();
}

#[test]
fn functions_are_registered_alike() {
    let mut pair = Pair::start();
    let own = if pair.runs(OnRedis) { registrations::BODIES_ON_REDIS } else { &[] };
    for body in registrations::BODIES.iter().chain(own) {
        pair.flush();
        pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]);
        pair.compare(&["FUNCTION", "LIST"]);
        pair.compare(&["FUNCTION", "STATS"]);
    }
    pair.finish();
}

fn compare_bodies(bodies: &[(&str, Runs)]) {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for (body, runs) in bodies {
        if !pair.runs(*runs) {
            continue;
        }
        let code = callback(body);
        for protocol in [2, 3] {
            pair.load(&code);
            pair.compare_in(protocol, &["FCALL", "f", "1", "key", "argument"]);
        }
    }
    pair.finish();
}

/// Cases that are sent to every server.
fn compare_everywhere(cases: &[&str]) {
    let bodies: Vec<(&str, Runs)> = cases.iter().map(|case| (*case, Everywhere)).collect();
    compare_bodies(&bodies);
}

#[test]
fn json_is_written_and_read_alike() {
    compare_everywhere(crate::cjson::CASES);
}

#[test]
fn messages_are_packed_and_unpacked_alike() {
    compare_everywhere(crate::cmsgpack::CASES);
}

#[test]
fn structures_are_packed_and_unpacked_alike() {
    compare_everywhere(crate::struct_pack::CASES);
}

#[test]
fn bit_operations_work_alike() {
    compare_everywhere(crate::bit::CASES);
}

#[test]
fn values_are_replied_alike() {
    compare_bodies(bodies::VALUES);
}

#[test]
fn errors_are_replied_alike() {
    compare_bodies(bodies::ERRORS);
}

#[test]
fn the_redis_table_works_alike() {
    compare_bodies(bodies::REDIS_API);
}

#[test]
fn the_standard_library_works_alike() {
    compare_bodies(bodies::STANDARD_LIBRARY);
}

#[test]
fn numbers_become_text_alike() {
    let mut pair = Pair::start();
    for number in bodies::NUMBERS.iter().chain(language::NUMBERS) {
        pair.load(&callback(&language::NUMBER_TO_TEXT.replace("$", number)));
        pair.compare(&["FCALL", "f", "0"]);
    }
    pair.finish();
}

#[test]
fn the_language_works_alike() {
    compare_everywhere(language::BODIES);
    let chains: Vec<String> =
        language::CHAINS.iter().map(|[start, link, end]| format!("{start}{}{end}", link.repeat(1_000))).collect();
    compare_everywhere(&chains.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_is_read_only_is_refused_alike() {
    compare_bodies(bodies::READ_ONLY);
}

#[test]
fn numbers_become_arguments_alike() {
    let mut pair = Pair::start();
    for number in bodies::NUMBERS {
        pair.load(&callback(&format!("return redis.call('echo', {number})")));
        pair.compare(&["FCALL", "f", "0"]);
        pair.load(&callback(&format!("return {{{number}, {{double = {number}}}}}")));
        pair.compare(&["FCALL", "f", "0"]);
    }
    pair.finish();
}

#[test]
fn replies_of_inner_commands_are_converted_alike() {
    let mut pair = Pair::start();
    pair.keyspace(bodies::KEYSPACE);
    for (command, described) in bodies::INNER_COMMANDS {
        for version in [2, 3] {
            let describe = bodies::DESCRIBE;
            let call = format!("redis.setresp({version}) local reply = redis.pcall({command})");
            if pair.runs(*described) {
                pair.load(&callback(&format!("{describe} {call} return describe(reply)")));
                pair.compare(&["FCALL", "f", "0"]);
            }
            pair.load(&callback(&format!("{call} return reply")));
            pair.compare(&["FCALL", "f", "0"]);
        }
    }
    pair.finish();
}

#[test]
fn the_rights_of_the_caller_are_respected_alike() {
    let mut pair = Pair::start();
    let mut body = String::new();
    for (number, command) in bodies::RIGHTS.iter().enumerate() {
        for (name, code) in [
            ("call", format!("return redis.call({command})")),
            ("pcall", format!("return redis.pcall({command})")),
            ("check", format!("return redis.acl_check_cmd({command})")),
        ] {
            body.push_str(&format!("redis.register_function('{name}{number}', function() {code} end)\n"));
        }
    }
    pair.load(&source("mylib", &body));
    let rules =
        "on nopass resetchannels ~mine &mine +fcall +shadow.fcall +set +get +mget +publish +object|encoding +ping";
    let rules: Vec<&str> = ["ACL", "SETUSER", "ann"].into_iter().chain(rules.split(' ')).collect();
    pair.command(&rules);
    pair.log_in("ann");
    for number in 0..bodies::RIGHTS.len() {
        for name in ["call", "pcall", "check"] {
            pair.compare(&["FCALL", &format!("{name}{number}"), "0"]);
        }
    }
    pair.compare(&["FCALL", "call0", "1", "mine"]);
    pair.finish();
}

#[test]
fn sequences_of_commands_are_answered_alike() {
    let mut pair = Pair::start();
    for session in sessions::SESSIONS {
        for protocol in [2, 3] {
            pair.flush();
            pair.command(&["FLUSHALL"]);
            for words in *session {
                pair.compare_in(protocol, words);
            }
        }
    }
    pair.finish();
}

#[test]
fn functions_share_the_state_of_their_library_alike() {
    let mut pair = Pair::start();
    for (body, calls) in sessions::LIBRARIES {
        pair.flush();
        pair.load(&source("mylib", body));
        for call in *calls {
            pair.compare(&call.split_whitespace().collect::<Vec<_>>());
        }
    }
    pair.finish();
}

#[test]
fn libraries_in_a_list_are_described_alike() {
    let mut pair = Pair::start();
    pair.load(&source(
        "Alpha",
        "redis.register_function{function_name='one', callback=function() end, description='first'}",
    ));
    for pattern in sessions::PATTERNS {
        pair.compare(&["FUNCTION", "LIST", "LIBRARYNAME", pattern]);
        pair.compare(&["function", "list", "withcode", "libraryname", pattern]);
    }
    pair.finish();
}
