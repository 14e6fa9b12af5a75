//! A server process of its own for a test, on a free port, in a directory of its own.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{Client, PATIENCE, holds_within, wait_until};

/// A free port may be taken by another process before the server binds it; another one is then used, this many times.
const PORTS_TO_TRY: usize = 5;

/// How long a server may take to end in order.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// Which server was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Redis
    Redis,
    /// Valkey
    Valkey,
}

/// How to start a server.
#[derive(Clone)]
pub struct Options {
    binary: String,
    configuration: Option<PathBuf>,
    settings: Vec<String>,
    module: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    file_limit: Option<u32>,
    fixed_code: bool,
    under: Vec<String>,
}

impl Options {
    /// A server that keeps nothing on disk, with the module and its default load arguments. `JIT=always` in the
    /// environment has every function compiled to machine code, `CALL_PATH=rm-call` every inner command run by that.
    pub fn new() -> Self {
        let mut options = Self {
            binary: server_binary(),
            configuration: None,
            settings: Vec::new(),
            module: Some(Vec::new()),
            environment: Vec::new(),
            file_limit: None,
            fixed_code: false,
            under: Vec::new(),
        };
        for (name, value) in [
            ("bind", "127.0.0.1"),
            ("save", ""),
            ("appendonly", "no"),
            ("enable-debug-command", "yes"),
            ("enable-module-command", "yes"),
            ("repl-diskless-sync-delay", "0"),
            // On a busy machine its entries would count where memory is compared.
            ("slowlog-log-slower-than", "-1"),
        ] {
            options = options.set(name, value);
        }
        options
    }

    /// Takes another server than the environment names.
    pub fn binary(mut self, binary: &str) -> Self {
        self.binary = binary.to_owned();
        self
    }

    /// Adds a setting of the server; a later one of the same name wins.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Gives a command of the server another name.
    pub fn rename_command(mut self, from: &str, to: &str) -> Self {
        self.settings.extend(["--rename-command", from, to].map(str::to_owned));
        self
    }

    /// Sets a variable of the process's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds load arguments of the module.
    pub fn module_arguments(mut self, arguments: &str) -> Self {
        let all = self.module.get_or_insert_default();
        all.extend(arguments.split_whitespace().map(str::to_owned));
        self
    }

    /// Makes the server read a configuration file before everything else.
    pub fn configuration(mut self, path: &Path) -> Self {
        self.configuration = Some(path.to_owned());
        self
    }

    /// Leaves the module out.
    pub fn without_module(mut self) -> Self {
        self.module = None;
        self
    }

    /// Limits the server's files to this many KiB: writing beyond fails, as on a full disk.
    pub fn file_limit(mut self, kib: u32) -> Self {
        self.file_limit = Some(kib);
        self
    }

    /// Lets the server make no code at run time, as systemd does with `MemoryDenyWriteExecute`.
    pub fn fixed_code(mut self) -> Self {
        self.fixed_code = true;
        self
    }

    /// Has another program run the server, in its own process: `words` are its name and arguments.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// With the server's log, when it does not come up.
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// Starts the server; when it gives up, returns what it had logged.
    pub fn try_start(self) -> Result<Server, String> {
        let directory = TempDir::with_prefix("shadow-").expect("a temporary directory");
        let (port, child) = self.spawn(directory.path());
        let mut server = Server { child, port, directory, abandoned: AtomicBool::new(false) };
        match server.come_up(&self) {
            Ok(()) => Ok(server),
            Err(log) => {
                server.abandoned.store(true, Ordering::Relaxed);
                Err(log)
            }
        }
    }

    /// Starts the process, on a port that is returned as well.
    fn spawn(&self, directory: &Path) -> (u16, Child) {
        let log = File::create(log_path(directory)).expect("a log file");
        let port = free_port();
        let mut command = match self.file_limit {
            None => {
                let mut words = self.under.iter().chain([&self.binary]);
                let mut command = Command::new(words.next().expect("at least the server"));
                command.args(words);
                command
            }
            Some(kib) => {
                // The shell counts in blocks of 512 bytes. The signal would end the process that writes.
                let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
                let mut shell = Command::new("sh");
                shell.args(["-c", &limited, &self.binary]);
                shell
            }
        };
        if self.fixed_code {
            // SAFETY: between fork and exec the closure makes two system calls and touches no lock and no heap.
            unsafe { command.pre_exec(refuse_new_code) };
        }
        command
            .current_dir(directory)
            .envs(self.environment.iter().cloned())
            .args(&self.configuration)
            .args(["--port", &port.to_string()])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        if let Some(arguments) = &self.module {
            command.arg("--loadmodule").arg(module_path());
            // What a test says of it comes later and wins.
            for (variable, setting) in [("JIT", "jit"), ("CALL_PATH", "call-path")] {
                if let Ok(value) = env::var(variable) {
                    command.args([setting, &value]);
                }
            }
            command.args(arguments);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary));
        (port, child)
    }
}

/// A running server. It ends with this value; when that is because a test fails, its log is printed.
pub struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
    abandoned: AtomicBool,
}

impl Server {
    /// Starts a server with the module and its default load arguments.
    pub fn start() -> Self {
        Options::new().start()
    }

    /// Waits until the process that was just started serves; another port is used if its own is taken. The log when
    /// it gives up.
    fn come_up(&mut self, options: &Options) -> Result<(), String> {
        for attempt in 1.. {
            let mut ended = false;
            let settled = holds_within(PATIENCE, || {
                ended = self.child.try_wait().expect("the server is a child of ours").is_some();
                ended || self.answers()
            });
            if settled && !ended {
                break;
            }
            let log = self.log();
            if attempt == PORTS_TO_TRY || !log.contains("Address already in use") {
                return Err(log);
            }
            (self.port, self.child) = options.spawn(self.directory.path());
        }
        Ok(())
    }

    /// Kills the process, with signal 9 as a crash would. A child of it that writes a file goes on; this waits for its
    /// end.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server is a child of ours");
        self.child.wait().expect("the server is a child of ours");
        wait_until("the server's children end", || self.processes().is_empty());
    }

    /// [`Server::kill`], its children as well, as a machine that goes down would.
    pub fn kill_all(&mut self) {
        self.child.kill().expect("the server is a child of ours");
        for process in self.processes() {
            // It may have ended by itself in the meantime.
            let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
        }
        self.kill();
    }

    /// The processes that work in its directory: itself and its children.
    fn processes(&self) -> Vec<u32> {
        let own = |entry: fs::DirEntry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            (fs::read_link(entry.path().join("cwd")).ok()? == self.directory()).then_some(process)
        };
        fs::read_dir("/proc").expect("a list of processes").filter_map(|entry| own(entry.ok()?)).collect()
    }

    /// Starts the server anew in its directory, on what it has left there; kills it first if it still runs.
    ///
    /// # Panics
    ///
    /// With the server's log, when it does not come up.
    pub fn restart(&mut self, options: &Options) {
        self.try_restart(options).unwrap_or_else(|log| panic!("the server did not start again:\n{log}"));
    }

    /// [`Server::restart`]; when the server gives up, returns what it had logged.
    pub fn try_restart(&mut self, options: &Options) -> Result<(), String> {
        self.kill();
        (self.port, self.child) = options.spawn(self.directory.path());
        self.come_up(options)
    }

    /// Whether this very process answers and has loaded its files: another one may have got the port.
    fn answers(&self) -> bool {
        let Ok(mut client) = Client::connect(self.port) else { return false };
        let Ok(reply) = client.try_raw(&["INFO", "everything"]) else { return false };
        let reply = String::from_utf8_lossy(&reply);
        reply.contains(&format!("process_id:{}\r", self.pid())) && reply.contains("\nloading:0\r")
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.port).expect("the server accepts connections")
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory, where it keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(log_path(self.directory.path())).unwrap_or_default()).into_owned()
    }

    /// Returns once the log holds `text`.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text:?}"), || self.log().contains(text));
    }

    /// Redis or Valkey.
    pub fn flavour(&self) -> Flavour {
        match self.client().info("server_name").as_deref() {
            Some("valkey") => Flavour::Valkey,
            _ => Flavour::Redis,
        }
    }

    /// The version of Redis that it is, or says it is compatible with.
    pub fn version(&self) -> (u32, u32, u32) {
        numbers(&self.client().info("redis_version").expect("INFO has redis_version"))
    }

    /// Valkey's own version; None of a Redis.
    pub fn valkey_version(&self) -> Option<(u32, u32, u32)> {
        let mut client = self.client();
        client.info("redis_version").expect("INFO has redis_version");
        client.info("valkey_version").map(|text| numbers(&text))
    }

    /// Whether it keeps the keys of each slot of a cluster apart.
    pub fn keeps_slots_apart(&self) -> bool {
        self.version() >= (7, 4, 0) || self.flavour() == Flavour::Valkey
    }

    /// Whether its scripts have `os.clock`.
    pub fn has_os_clock(&self) -> bool {
        self.version() >= (7, 4, 0) || self.flavour() == Flavour::Valkey
    }

    /// Whether its `cjson` has `decode_array_with_array_mt`.
    pub fn marks_json_arrays(&self) -> bool {
        self.version() >= (8, 4, 0)
    }

    /// The names of its threads, sorted.
    pub fn thread_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .thread_files("comm")
            .into_iter()
            .filter_map(|path| Some(fs::read_to_string(path).ok()?.trim().to_owned()))
            .collect();
        names.sort();
        names
    }

    /// A field of `/proc/<pid>/task/<tid>/status` of the thread with this name.
    pub fn thread_status(&self, thread: &str, field: &str) -> Option<String> {
        let statuses = self.thread_files("status").into_iter().filter_map(|path| fs::read_to_string(path).ok());
        let value = |status: &str, field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
            Some(line.trim().to_owned())
        };
        statuses
            .into_iter()
            .find(|status| value(status, "Name").as_deref() == Some(thread))
            .and_then(|status| value(&status, field))
    }

    /// Waits until the module has found that no calls come: its watch sleeps while the server's timer runs ten times.
    pub fn wait_until_at_rest(&self) {
        let switches = |path: String| {
            let status = fs::read_to_string(path).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok()).expect("the thread runs")
        };
        let of_the_server = || switches(format!("/proc/{0}/task/{0}/status", self.pid()));
        let of_the_watch = || self.thread_status("shadow-watch", "voluntary_ctxt_switches");
        let mut seen = (of_the_server(), of_the_watch());
        wait_until("the watch sleeps", || {
            let now = of_the_watch();
            if now != seen.1 {
                seen = (of_the_server(), now.clone());
            }
            now.is_some() && of_the_server() >= seen.0 + 10
        });
    }

    fn thread_files(&self, file: &str) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server is running");
        tasks.filter_map(|task| Some(task.ok()?.path().join(file))).collect()
    }

    /// Asks the process to end, and waits a while for that: a function that runs for ever keeps it from doing so.
    fn shut_down(&mut self) {
        // The number of a process that has been waited for may be another's.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).stderr(Stdio::null()).status();
            holds_within(SHUTDOWN_LIMIT, || self.child.try_wait().is_ok_and(|status| status.is_some()));
        }
    }

    /// How the process ended, once it has.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server ends", || {
            status = self.child.try_wait().expect("the server is a child of ours");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// The commands in its append only file.
    pub fn aof(&self) -> Vec<Vec<String>> {
        self.commands_in(".incr.aof")
    }

    /// The commands of the file that the last rewrite without a preamble has left.
    pub fn rewritten_aof(&self) -> Vec<Vec<String>> {
        self.commands_in(".base.aof")
    }

    fn commands_in(&self, ending: &str) -> Vec<Vec<String>> {
        let directory = self.directory().join("appendonlydir");
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        files.sort();
        files.iter().flat_map(|path| super::resp::parse_commands(&fs::read(path).unwrap_or_default())).collect()
    }
}

/// The three numbers of a version.
fn numbers(version: &str) -> (u32, u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().expect("a number in the version"));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

impl Drop for Server {
    fn drop(&mut self) {
        if env::var_os("END").is_some_and(|end| end == "orderly") && !std::thread::panicking() {
            self.shut_down();
        }
        // It may have ended by itself, which is not for this place to judge.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && !self.abandoned.load(Ordering::Relaxed) {
            eprintln!("--- log of the server on port {} ---\n{}", self.port, self.log());
        }
    }
}

/// The binary to test with.
pub fn server_binary() -> String {
    env::var("SERVER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "redis-server".to_owned())
}

/// Makes the kernel refuse, from now on, to make memory executable that was not.
fn refuse_new_code() -> io::Result<()> {
    const fn statement(code: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }
    const fn skip_unless(code: u32, k: u32, skipped: u8) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: skipped, k }
    }
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // Where the number of the system call and the lower half of its third argument are.
    const NUMBER: u32 = 0;
    const PROTECTION: u32 = 16 + 2 * 8;
    let mut filter = [
        statement(LOAD, NUMBER),
        skip_unless(EQUAL, libc::SYS_mprotect as u32, 3),
        statement(LOAD, PROTECTION),
        skip_unless(HAS, libc::PROT_EXEC as u32, 1),
        statement(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its statements live until the calls return.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The built module.
///
/// # Panics
///
/// When there is none.
pub fn module_path() -> PathBuf {
    let path = env::var_os("SHADOW_MODULE").map_or_else(|| built("libshadow.so"), PathBuf::from);
    fs::canonicalize(&path)
        .unwrap_or_else(|_| panic!("there is no module at {}: run `make build` first", path.display()))
}

/// The module of `tests/neighbour/`.
///
/// # Panics
///
/// When there is none.
pub fn neighbour_path() -> PathBuf {
    let path = built("examples/libneighbour.so");
    let build = "cargo build --release --example neighbour";
    fs::canonicalize(&path).unwrap_or_else(|_| panic!("there is nothing at {}: run `{build}` first", path.display()))
}

/// Where cargo puts what it builds.
fn built(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| manifest.join("target"), PathBuf::from);
    manifest.join(target).join("release").join(name)
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("server.log")
}
