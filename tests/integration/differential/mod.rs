//! Every case goes to the server's own command and to the shadow's in the same server, and the bytes of both replies
//! must be equal, in both versions of the protocol.

mod api;
mod bodies;
mod chunks;
mod globals;
mod language;
mod order;
mod payloads;
mod registrations;
mod rights;
mod sessions;

use crate::support::library::{callback, source};
use crate::support::resp::map_lines;
use crate::support::{Client, Server};

/// Where a case is sent.
#[derive(Clone, Copy, PartialEq)]
pub enum Runs {
    /// To every server.
    Everywhere,
    /// Not to Valkey 9.1 and later: the server does not survive its own function.
    UnlessFatal,
}

pub use Runs::{Everywhere, UnlessFatal};

/// A server with both registries, and connections of both protocol versions to it.
pub struct Pair {
    server: Server,
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
        Self {
            server,
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

    /// Whether a case is sent to the server.
    pub fn runs(&self, runs: Runs) -> bool {
        runs == Everywhere || self.server.valkey_version().is_none_or(|version| version < (9, 1, 0))
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

    /// Sends the command to the server's own registry, then to the shadow's, over the connection of each protocol
    /// version, and notes a difference. `arguments` begin with the server's name of the command.
    pub fn compare<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        for protocol in [2, 3] {
            self.compare_in(protocol, arguments);
        }
    }

    /// [`Pair::compare`] in one version of the protocol.
    pub fn compare_in<A: AsRef<[u8]>>(&mut self, protocol: usize, arguments: &[A]) {
        self.restore_keyspace();
        let expected = wording(&self.clients[protocol - 2].raw(arguments));
        self.restore_keyspace();
        let answered = wording(&self.clients[protocol - 2].raw(&shadowed(arguments)));
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

/// A reply in the words that both sides are compared in: the shadow's commands are called like the server's. Only lines
/// of text change, so that no length goes wrong.
fn wording(raw: &[u8]) -> Vec<u8> {
    map_lines(raw, |line| {
        let mut line = line.to_owned();
        for name in ["FUNCTION", "FCALL", "function", "fcall"] {
            let prefix = if name.starts_with('F') { "SHADOW." } else { "shadow." };
            line = line.replace(&format!("{prefix}{name}"), name);
        }
        line
    })
}

#[test]
fn libraries_are_taken_and_refused_alike() {
    let mut pair = Pair::start();
    for code in chunks::SHEBANGS {
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
    for body in registrations::BODIES {
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

/// Of one in sixty, the newer servers print neither the fewest digits nor the closest.
#[test]
fn random_numbers_become_arguments_alike() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut pair = Pair::start();
    pair.load(&callback(
        "local texts = {} for i = 1, #ARGV do texts[i] = redis.call('echo', (struct.unpack('<d', ARGV[i]))) end return texts",
    ));
    for _ in 0..20 {
        let numbers: Vec<[u8; 8]> = (0..500)
            .flat_map(|_| {
                let (any, near) = (rng.u64(..), rng.f64() * 10f64.powi(rng.i32(-10..20)));
                let decimal = rng.i64(..) as f64 / 10f64.powi(rng.i32(0..18));
                let edge = (rng.u64(..2047) << 52).wrapping_add(rng.u64(..3)).wrapping_sub(1);
                [any, near.to_bits(), decimal.to_bits(), edge, any >> 12 >> rng.u32(..52)].map(u64::to_le_bytes)
            })
            .collect();
        let mut command: Vec<&[u8]> = vec![b"FCALL", b"f", b"0"];
        command.extend(numbers.iter().map(|number| &number[..]));
        pair.compare(&command);
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

/// Compares functions with these bodies; a hundred at a time are in one library.
fn compare_many(bodies: &[String]) {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for bodies in bodies.chunks(100) {
        let register = |(number, body): (usize, &String)| {
            format!("redis.register_function('f{number}', function(KEYS, ARGV) {body} end)\n")
        };
        pair.load(&source("mylib", &bodies.iter().enumerate().map(register).collect::<String>()));
        for (number, body) in bodies.iter().enumerate() {
            pair.loaded = format!(" as {body}");
            pair.compare(&["FCALL", &format!("f{number}"), "1", "key", "argument"]);
        }
    }
    pair.finish();
}

#[test]
fn functions_of_the_api_take_and_refuse_arguments_alike() {
    let mut bodies = Vec::new();
    for function in api::FUNCTIONS {
        bodies.push(format!("return redis.{function}()"));
        bodies.push(format!("return redis.{function}(1, 2, 3)"));
        for (number, value) in api::VALUES.iter().enumerate() {
            let other = api::VALUES[(number * 7 + 4) % api::VALUES.len()];
            bodies.push(format!("return redis.{function}({value})"));
            bodies.push(format!("return redis.{function}({value}, {other})"));
            bodies.push(format!("return {{pcall(redis.{function}, {value})}}"));
        }
    }
    compare_many(&bodies);
}

#[test]
fn names_of_the_api_are_there_alike() {
    let ask = |name: &&str| {
        let questions = api::QUESTIONS.iter().map(|question| question.replace("NAME", name));
        questions.collect::<Vec<_>>()
    };
    compare_many(&api::NAMES.iter().flat_map(ask).collect::<Vec<_>>());
}

#[test]
fn names_of_the_api_are_there_alike_at_load() {
    let mut pair = Pair::start();
    for name in api::NAMES {
        for body in ["local x = redis.NAME", "local x = server.NAME", "local x = NAME", "redis.NAME = 1", "NAME = 1"] {
            pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", &body.replace("NAME", name))]);
        }
    }
    pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", "if server == redis then error('same') end")]);
    pair.finish();
}

#[test]
fn commands_of_functions_are_refused_alike() {
    let mut bodies = Vec::new();
    for command in api::COMMANDS {
        let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
        bodies.extend(api::WAYS.iter().map(|way| way.replace("WORDS", &words.join(", "))));
    }
    compare_many(&bodies);
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
        body.push_str(&format!(
            "redis.register_function{{function_name='read{number}', flags={{'no-writes'}}, \
             callback=function() return redis.call({command}) end}}\n"
        ));
    }
    pair.load(&source("mylib", &body));
    let rules =
        "on nopass resetchannels ~mine &mine +fcall +shadow.fcall +set +get +mget +publish +object|encoding +ping";
    let rules: Vec<&str> = ["ACL", "SETUSER", "ann"].into_iter().chain(rules.split(' ')).collect();
    pair.command(&rules);
    pair.log_in("ann");
    for number in 0..bodies::RIGHTS.len() {
        for name in ["call", "pcall", "check", "read"] {
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
