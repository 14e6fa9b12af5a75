//! A server that is asked twice: by the server's own commands and by the module's.

use std::collections::HashMap;

use super::body::{Body, library};
use super::{Everywhere, Runs};
use crate::support::resp::map_lines;
use crate::support::{Client, Options, Server};

/// How much of a word is shown of a command that was answered differently.
const SHOWN_OF_A_WORD: usize = 240;

/// A server with both registries and both caches of scripts, and connections of both protocol versions to it.
pub struct Pair {
    server: Server,
    /// The connections, RESP2 and RESP3.
    pub clients: [Client; 2],
    /// The server whose own commands are asked, where it is another one, and the connections to it.
    stock: Option<(Server, [Client; 2])>,
    keyspace: Option<&'static [&'static str]>,
    /// What a difference is reported to come after.
    pub loaded: String,
    /// The scripts that functions are sent as, too, by the names of the functions.
    scripts: HashMap<String, String>,
    differences: Vec<String>,
    compared: usize,
}

impl Pair {
    /// Starts the server.
    pub fn start() -> Self {
        Self::with(Server::start())
    }

    /// A server that intercepts everything, and beside it one that does not: commands go to both as they are.
    pub fn intercepting() -> Self {
        let stock = Server::start();
        let clients = connections(&stock);
        let server = Options::new().module_arguments("intercept all").start();
        Self { stock: Some((stock, clients)), ..Self::with(server) }
    }

    /// Takes a server that runs.
    pub fn with(server: Server) -> Self {
        let clients = connections(&server);
        Self {
            server,
            clients,
            stock: None,
            keyspace: None,
            loaded: String::new(),
            scripts: HashMap::new(),
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
        let stock = self.stock.as_mut().map(|(_, clients)| &mut clients[0]);
        for client in [&mut self.clients[0]].into_iter().chain(stock) {
            let reply = client.call(arguments);
            assert!(!reply.is_error(), "{reply:?}");
        }
    }

    /// Sends the command to the server's own registry, then to the shadow's, over the connection of each protocol
    /// version, and notes a difference. `arguments` begin with the server's name of the command.
    ///
    /// A call of a function that [`Pair::load_bodies`] has loaded is sent as a script as well.
    pub fn compare<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        for protocol in [2, 3] {
            self.compare_in(protocol, arguments);
        }
    }

    /// [`Pair::compare`] in one version of the protocol.
    pub fn compare_in<A: AsRef<[u8]>>(&mut self, protocol: usize, arguments: &[A]) {
        let words: Vec<Vec<u8>> = arguments.iter().map(|word| word.as_ref().to_vec()).collect();
        self.compare_sequence_in(protocol, std::slice::from_ref(&words));
        if let Some(words) = self.as_script(&words) {
            self.compare_sequence_in(protocol, &[words]);
        }
    }

    /// The same call of the same body as a script.
    fn as_script(&self, words: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
        let command = match &words.first()?.to_ascii_uppercase()[..] {
            b"FCALL" => "EVAL",
            b"FCALL_RO" => "EVAL_RO",
            _ => return None,
        };
        let script = self.scripts.get(std::str::from_utf8(words.get(1)?).ok()?)?;
        let start = [command.as_bytes().to_vec(), script.as_bytes().to_vec()];
        Some(start.into_iter().chain(words[2..].iter().cloned()).collect())
    }

    /// Sends a sequence of commands to one side, then to the other, and notes a difference in any reply. Commands that
    /// only the server has are sent as they are to both: those of a transaction.
    pub fn compare_sequence_in<A: AsRef<[u8]>>(&mut self, protocol: usize, commands: &[Vec<A>]) {
        self.restore_keyspace();
        let stock = self.stock.as_mut().map_or(&mut self.clients, |(_, clients)| clients);
        let expected: Vec<Vec<u8>> = commands.iter().map(|words| wording(&stock[protocol - 2].raw(words))).collect();
        self.restore_keyspace();
        let intercepting = self.stock.is_some();
        let client = &mut self.clients[protocol - 2];
        let answer = |words: &Vec<A>| if intercepting { client.raw(words) } else { client.raw(&shadowed(words)) };
        let answered: Vec<Vec<u8>> = commands.iter().map(answer).map(|raw| wording(&raw)).collect();
        for (words, (expected, answered)) in commands.iter().zip(expected.iter().zip(&answered)) {
            self.note(protocol, words, expected, answered);
        }
    }

    /// Notes a comparison and its outcome.
    fn note<A: AsRef<[u8]>>(&mut self, protocol: usize, words: &[A], expected: &[u8], answered: &[u8]) {
        self.compared += 1;
        if expected != answered {
            let words: Vec<_> = words.iter().map(|word| shown(word.as_ref())).collect();
            self.differences.push(format!(
                "RESP{protocol} {}{}\n  server {}\n  shadow {}",
                words.join(" "),
                self.loaded,
                around_difference(expected, answered),
                around_difference(answered, expected)
            ));
        }
    }

    /// Has both connections speak for another user from here on.
    pub fn log_in(&mut self, user: &str) {
        let stock = self.stock.iter_mut().flat_map(|(_, clients)| clients);
        for client in self.clients.iter_mut().chain(stock) {
            let reply = client.call(&["AUTH", user, "any"]);
            assert!(!reply.is_error(), "{reply:?}");
        }
    }

    /// Empties both registries.
    pub fn flush(&mut self) {
        self.scripts.clear();
        self.command(&["FUNCTION", "FLUSH", "SYNC"]);
        self.command(&["SHADOW.FUNCTION", "FLUSH", "SYNC"]);
    }

    /// Empties both caches of scripts.
    pub fn flush_scripts(&mut self) {
        self.command(&["SCRIPT", "FLUSH", "SYNC"]);
        self.command(&["SHADOW.SCRIPT", "FLUSH", "SYNC"]);
    }

    /// Loads a library into both registries, in place of its older self; both must take it.
    pub fn load(&mut self, source: &str) {
        self.loaded = format!(" after {:.160}", source.escape_debug().to_string());
        self.command(&["FUNCTION", "LOAD", "REPLACE", source]);
        self.command(&["SHADOW.FUNCTION", "LOAD", "REPLACE", source]);
    }

    /// [`Pair::load`] of a library `mylib` with these bodies. Calls of its functions are compared as scripts as well.
    pub fn load_bodies(&mut self, bodies: &[Body]) {
        self.load(&library("mylib", bodies));
        self.send_as_scripts(bodies);
    }

    /// Has calls of these functions, which are loaded already, compared as scripts as well.
    pub fn send_as_scripts(&mut self, bodies: &[Body]) {
        self.scripts.extend(bodies.iter().map(|body| (body.name().to_owned(), body.script())));
    }

    /// [`Pair::load_bodies`] of one body without flags, the function `f`.
    pub fn load_body(&mut self, code: &str) {
        self.load_bodies(&[Body::plain("f", code)]);
    }

    /// Fails the test if anything differed.
    pub fn finish(self) {
        assert!(self.compared > 0, "nothing was compared");
        let count = self.differences.len();
        assert!(count == 0, "{count} of {} replies differ:\n{}", self.compared, self.differences.join("\n"));
    }
}

/// Connections in both versions of the protocol.
fn connections(server: &Server) -> [Client; 2] {
    let (plain, mut third) = (server.client(), server.client());
    third.hello3();
    [plain, third]
}

/// The server's commands that the module has as well.
const SHADOWED: &[&str] = &["FUNCTION", "FCALL", "EVAL", "SCRIPT"];

/// The same command for the shadow: its first word gets the prefix. Others stay as they are.
fn shadowed<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = arguments.iter().map(|word| word.as_ref().to_vec()).collect();
    let first = String::from_utf8_lossy(&words[0]).to_ascii_uppercase();
    if SHADOWED.iter().any(|name| first.starts_with(name)) {
        words[0].splice(0..0, *b"SHADOW.");
    }
    words
}

/// A word of a command, or its beginning.
fn shown(word: &[u8]) -> String {
    let text = word[..word.len().min(SHOWN_OF_A_WORD)].escape_ascii().to_string();
    if word.len() > SHOWN_OF_A_WORD { format!("{text}... of {} bytes", word.len()) } else { text }
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

/// A reply in the words that both sides are compared in: the shadow's commands are called like the server's, and the
/// words of the compiler are left out (the row `compile-error-text`). Only lines of text change, so that no length goes
/// wrong.
pub fn wording(raw: &[u8]) -> Vec<u8> {
    if let Some(place) = place_of_compile_error(raw) {
        return place.to_vec();
    }
    map_lines(raw, |line| {
        let mut line = line.to_owned();
        for name in SHADOWED {
            line = line.replace(&format!("SHADOW.{name}"), name);
            let name = name.to_lowercase();
            line = line.replace(&format!("shadow.{name}"), &name);
        }
        line
    })
}

/// The error of a script that does not compile, up to its line.
fn place_of_compile_error(raw: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = b"-ERR Error compiling script (new function): user_script:";
    let digits = raw.strip_prefix(BEFORE)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(&raw[..BEFORE.len() + digits])
}
