//! Where a page is carried out: servers, a directory, and programs under the names that the page has for them.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::block::{Exchange, Step, is_shown};
use super::page::root;
use crate::support::server::{free_port, module_path, server_binary};
use crate::support::{Client, Options, PATIENCE, Server, Words, holds_within, wait_until};

/// Ends the reply to each command: `redis-cli` itself answers a line whose quotes do not end, whatever state the
/// connection is in.
const OPEN_QUOTE: &str = "\"";
const ENDED: &str = "Invalid argument(s)";

/// What did not go as the page says.
pub struct Miss {
    /// The line of the page.
    pub line: usize,
    pub what: String,
}

/// What one page is carried out on.
pub struct Stage {
    directory: TempDir,
    server: Server,
    words: &'static Words,
    second: Option<Server>,
    cluster: Option<Server>,
    bare: Option<Server>,
    background: Vec<Running>,
}

/// A program that ends with this value.
struct Running(Child);

impl Running {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child of ours").is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    /// A fresh server in which a page begins, and a directory that looks like the top of the tree.
    pub fn new() -> Self {
        let server = Server::start();
        let words = Words::of(&server);
        let directory = TempDir::with_prefix("shadow-page-").expect("a temporary directory");
        let programs = directory.path().join(".programs");
        fs::create_dir(&programs).expect("a directory");
        for entry in fs::read_dir(root()).expect("the tree").map(|entry| entry.expect("an entry")) {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                symlink(entry.path(), directory.path().join(entry.file_name())).expect("a link");
            }
        }
        // What would be printed on the terminal is formatted for people, what goes to another program is not.
        let cli = "#!/bin/sh\n[ /dev/stdout -ef \"$TERMINAL\" ] && form=--no-raw || form=\n\
                   PATH=$OUTER; exec \"$CLI\" $STRICT -p \"$PORT\" $form \"$@\"\n";
        let start = "#!/bin/sh\nPATH=$OUTER; exec \"$SERVER\" \"$@\" --port \"$PORT\" --bind 127.0.0.1 --save ''\n";
        for (name, text) in [("redis-cli", cli), ("redis-server", start)] {
            let path = programs.join(name);
            fs::write(&path, text).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script of ours");
        }
        Self { directory, server, words, second: None, cluster: None, bare: None, background: Vec::new() }
    }

    /// Carries out a step. What the page does not say, or says otherwise, goes to `misses`.
    pub fn play(&mut self, step: &Step, misses: &mut Vec<Miss>) {
        match step {
            Step::Session { options, exchanges } => self.session(options, exchanges, misses),
            Step::Shell(exchange) => self.shell(exchange, misses),
            Step::Quiet { line, command } => self.quiet(*line, command, misses),
            Step::File { name, text } => {
                let path = self.directory.path().join(name);
                fs::write(path, text).expect("a file in the directory of the page");
            }
        }
    }

    fn session(&mut self, options: &str, exchanges: &[Exchange], misses: &mut Vec<Miss>) {
        let mut typed = String::new();
        for exchange in exchanges {
            typed.push_str(&format!("{}\n{OPEN_QUOTE}\n", self.with_files(&exchange.command)));
        }
        let input = self.directory.path().join(".typed");
        fs::write(&input, typed).expect("a file in the directory of the page");
        let mut command = Command::new(client_binary());
        command.args(["--no-raw", "-p", &self.server.port().to_string()]).args(options.split_whitespace());
        command.stdin(File::open(&input).expect("the file just written"));
        let (_, printed) = self.run(command);
        let mut replies = printed.split(|line| line == ENDED);
        for exchange in exchanges {
            compare(exchange, replies.next().unwrap_or(&["(nothing more was printed)".to_owned()]), self.words, misses);
        }
        let kills = |exchange: &Exchange| exchange.command.contains(" KILL") && exchange.reply == ["OK"];
        if exchanges.iter().any(kills) {
            wait_until("what was killed ends", || self.background.iter_mut().all(Running::has_ended));
        }
        if replies.next() != Some(&[]) || replies.next().is_some() {
            let what = format!("more or less replies than commands: {printed:#?}");
            misses.push(Miss { line: exchanges[0].line, what });
        }
    }

    /// The command with `"$(cat file)"` as what is in the file.
    fn with_files(&self, command: &str) -> String {
        let Some((before, rest)) = command.split_once("\"$(cat ") else { return command.to_owned() };
        let (file, after) = rest.split_once(")\"").expect("the form is \"$(cat file)\"");
        let text = fs::read_to_string(self.directory.path().join(file)).expect("a file of the tree or of the page");
        // As a shell does it.
        let text = text.trim_end_matches('\n').replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{before}\"{text}\"{after}")
    }

    fn shell(&mut self, exchange: &Exchange, misses: &mut Vec<Miss>) {
        if let Some(command) = exchange.command.strip_suffix('&') {
            let shell = self.shell_command(&format!("exec {command}"), self.server.port());
            self.background.push(Running(self.spawn(shell, "background")));
            let mut client = self.server.client();
            if !holds_within(PATIENCE, || client.run("PING").text().starts_with("BUSY ")) {
                misses
                    .push(Miss { line: exchange.line, what: "the command in the background keeps nobody".to_owned() });
            }
            return;
        }
        let port = self.port_for(&exchange.command);
        let (_, printed) = self.run(self.shell_command(&exchange.command, port));
        compare(exchange, &printed, self.words, misses);
    }

    /// Runs what the page only names: it must succeed.
    fn quiet(&mut self, line: usize, command: &str, misses: &mut Vec<Miss>) {
        let miss = match command.split_whitespace().next() {
            Some("redis-server") => self.starts(command),
            Some("redis-cli") => {
                let port = self.port_for(command);
                let mut shell = self.shell_command(command, port);
                shell.env("STRICT", "-e");
                let (status, printed) = self.run(shell);
                // Where it asks several servers, its status tells of none of them.
                let failed = !status.success() || printed.iter().any(|line| line.contains(": ERR "));
                failed.then(|| format!("{command}\n--- printed was\n{}", printed.join("\n")))
            }
            // The targets of the Makefile have a test of their own.
            _ => None,
        };
        misses.extend(miss.map(|what| Miss { line, what }));
    }

    /// Why a server does not come up with this command line, with the module in it.
    fn starts(&self, command: &str) -> Option<String> {
        let port = free_port();
        let mut server = Running(self.spawn(self.shell_command(&format!("exec {command}"), port), "server"));
        let (mut ended, mut loaded) = (false, false);
        holds_within(PATIENCE, || {
            ended = server.has_ended();
            // A server that is about to give up closes the connection.
            let reply = Client::connect(port).and_then(|mut client| client.try_raw(&["SHADOW.FUNCTION", "LIST"]));
            loaded = reply.is_ok_and(|reply| reply == b"*0\r\n");
            ended || loaded
        });
        (ended || !loaded).then(|| format!("no server comes up: {}", self.printed("server").join("\n")))
    }

    /// The port of the server that a line means: one without the module where it is to be loaded, one in cluster mode
    /// where it is about one, or that of the page.
    fn port_for(&mut self, command: &str) -> u16 {
        if command.contains("-p 6380") {
            self.second.get_or_insert_with(Server::start);
        }
        let (place, options) = if command.contains("MODULE LOAD") {
            (&mut self.bare, Options::new().without_module())
        } else if command.contains("--cluster") {
            (&mut self.cluster, Options::new().set("cluster-enabled", "yes"))
        } else {
            return self.server.port();
        };
        place.get_or_insert_with(|| options.start()).port()
    }

    /// A shell that runs this line, with the paths and the ports of the stage in place of those of the page.
    fn shell_command(&self, line: &str, port: u16) -> Command {
        let second = self.second.as_ref().map_or(0, Server::port);
        let words: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                "6379" => port.to_string(),
                "6380" => second.to_string(),
                "127.0.0.1:6379" => format!("127.0.0.1:{port}"),
                _ if word.ends_with("libshadow.so") => module_path().display().to_string(),
                _ if word.ends_with("module.conf") => root().join("module.conf").display().to_string(),
                _ => word.to_owned(),
            })
            .collect();
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = self.directory.path().join(".programs");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &words.join(" ")])
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("OUTER", path)
            .env("PORT", port.to_string())
            .env("CLI", client_binary())
            .env("SERVER", server_binary())
            .stdin(Stdio::null());
        shell
    }

    fn run(&self, command: Command) -> (ExitStatus, Vec<String>) {
        let mut program = Running(self.spawn(command, "program"));
        let mut status = None;
        holds_within(PATIENCE, || {
            status = program.0.try_wait().expect("a child of ours");
            status.is_some()
        });
        let printed = self.printed("program");
        (status.unwrap_or_else(|| panic!("a program does not end; it has printed {printed:#?}")), printed)
    }

    fn spawn(&self, mut command: Command, name: &str) -> Child {
        let terminal = self.terminal(name);
        let output = File::create(&terminal).expect("a file in the directory of the page");
        command
            .current_dir(self.directory.path())
            .env("TERMINAL", &terminal)
            .stdout(output.try_clone().expect("a second handle of the file"))
            .stderr(output);
        command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
    }

    fn terminal(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!(".{name}"))
    }

    /// What a program has printed, without empty lines, spaces at the ends of lines, and the times of slow commands.
    fn printed(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.terminal(name)).expect("a file in the directory of the page");
        let is_time = |line: &str| {
            line.strip_prefix('(')
                .and_then(|rest| rest.strip_suffix("s)"))
                .is_some_and(|time| time.parse::<f64>().is_ok())
        };
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !is_time(line)).map(str::to_owned).collect()
    }
}

fn compare(exchange: &Exchange, printed: &[String], words: &Words, misses: &mut Vec<Miss>) {
    let reply: Vec<String> = exchange.reply.iter().map(|line| words.said(line)).collect();
    if !is_shown(&reply, printed) {
        let what = format!(
            "{}\n--- the page shows\n{}\n--- printed was\n{}",
            exchange.command,
            exchange.reply.join("\n"),
            printed.join("\n")
        );
        misses.push(Miss { line: exchange.line, what });
    }
}

fn client_binary() -> String {
    std::env::var("CLI").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "redis-cli".to_owned())
}
