//! The instructions that calls take, counted by Valgrind.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::servers::Identity;
use crate::support::{Client, Server, wait_until};

/// The function of the module in which each of its commands runs, as a pattern. It is counted with all that it calls.
const COUNTED: &str = "_ZN6shadow6server3api7command5enter*";

/// A server that counts the instructions of the module's commands.
pub struct Instructions {
    server: Server,
    /// Where the counts are written.
    directory: TempDir,
    counts: usize,
}

impl Instructions {
    /// None where there is no Valgrind.
    pub fn of(identity: &Identity) -> Option<Self> {
        let runs = |program| {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !["valgrind", "callgrind_control"].into_iter().all(runs) {
            eprintln!("There is no Valgrind: instructions are not counted.");
            return None;
        }
        let directory = TempDir::with_prefix("shadow-").expect("a temporary directory");
        let output = format!("--callgrind-out-file={}", directory.path().join("count").display());
        let toggle = format!("--toggle-collect={COUNTED}");
        // A server may be started by a program that takes the server's place.
        let words = ["valgrind", "--tool=callgrind", "--trace-children=yes", "--demangle=no", &toggle, &output];
        let server = identity.start_under(&words);
        Some(Self { server, directory, counts: 0 })
    }

    /// A connection to the server.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// How many instructions the module's commands take that `run` sends.
    pub fn count(&mut self, run: impl FnOnce()) -> f64 {
        self.control("--zero");
        run();
        self.control("--dump");
        self.counts += 1;
        let path = self.directory.path().join(format!("count.{}", self.counts));
        let mut total = None;
        wait_until("the instructions are counted", || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
            total.is_some()
        });
        total.filter(|&total| total > 0.0).unwrap_or_else(|| panic!("the module has no function {COUNTED}"))
    }

    fn control(&self, what: &str) {
        let mut command = Command::new("callgrind_control");
        command.args([what, &self.server.pid().to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let done = command.status().is_ok_and(|status| status.success());
        assert!(done, "callgrind_control {what} failed");
    }
}
