//! A server, and the ways in which it runs programs.

use super::library;
use super::support::{Client, Server};
use super::tree::Node;

/// Who runs the programs, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// The server's own commands.
    Stock,
    /// The module's, interpreted.
    Interpreted,
    /// The module's, as machine code.
    Compiled,
}

/// What the programs are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Functions of one library.
    Functions,
    /// A script each.
    Scripts,
}

impl Form {
    /// Both.
    pub const ALL: [Form; 2] = [Form::Functions, Form::Scripts];
}

impl Way {
    /// The module's ways.
    pub const SHADOW: [Way; 2] = [Way::Interpreted, Way::Compiled];
}

/// The replies to each program, the raw bytes in RESP2 and in RESP3; or to the LOAD that was refused.
pub type Replies = Result<Vec<[Vec<u8>; 2]>, Vec<u8>>;

/// A server with connections in both versions of the protocol.
pub struct Subject {
    server: Server,
    clients: [Client; 2],
}

impl Subject {
    pub fn start() -> Self {
        let server = Server::start();
        let (plain, mut third) = (server.client(), server.client());
        third.hello3();
        Self { server, clients: [plain, third] }
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    fn command<A: AsRef<[u8]>>(&mut self, words: &[A]) {
        let reply = self.clients[0].call(words);
        assert!(!reply.is_error(), "{reply:?}");
    }

    /// Runs the programs: loads them and calls each, or evaluates each.
    pub fn run(&mut self, programs: &[Node], way: Way, form: Form) -> Replies {
        match way {
            Way::Stock => {}
            Way::Interpreted => self.command(&["CONFIG", "SET", "shadow.jit", "off"]),
            Way::Compiled => self.command(&["CONFIG", "SET", "shadow.jit", "always"]),
        }
        let prefix = if way == Way::Stock { "" } else { "SHADOW." };
        match form {
            Form::Functions => self.call_functions(programs, prefix),
            Form::Scripts => self.evaluate(programs, prefix),
        }
    }

    fn call_functions(&mut self, programs: &[Node], prefix: &str) -> Replies {
        let (function, call) = (format!("{prefix}FUNCTION"), format!("{prefix}FCALL"));
        self.command(&[&function, "FLUSH"]);
        let loaded = self.clients[0].raw(&[function.as_bytes(), b"LOAD", &library::source(programs)]);
        if loaded.starts_with(b"-") {
            return Err(loaded);
        }
        let names: Vec<String> = (0..programs.len()).map(library::name).collect();
        let commands: Vec<[&str; 5]> =
            names.iter().map(|name| [&call, name.as_str(), "1", "key", "argument"]).collect();
        Ok(self.send(&commands))
    }

    /// From an empty cache, so that code that was compiled in one way is not run in another.
    fn evaluate(&mut self, programs: &[Node], prefix: &str) -> Replies {
        self.command(&[&format!("{prefix}SCRIPT"), "FLUSH"]);
        let eval = format!("{prefix}EVAL");
        let scripts: Vec<Vec<u8>> = programs.iter().map(library::script).collect();
        let commands: Vec<[&[u8]; 5]> =
            scripts.iter().map(|script| [eval.as_bytes(), script, b"1", b"key", b"argument"]).collect();
        Ok(self.send(&commands))
    }

    fn send<A: AsRef<[u8]>, C: AsRef<[A]>>(&mut self, commands: &[C]) -> Vec<[Vec<u8>; 2]> {
        let [plain, third] = &mut self.clients;
        let pairs = plain.pipeline_raw(commands).into_iter().zip(third.pipeline_raw(commands));
        pairs.map(|(plain, third)| [plain, third]).collect()
    }
}
