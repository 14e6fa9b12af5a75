//! A client that sends what it is told to and hands out replies as bytes.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::resp::{self, Value};

/// Longer than any reply of a test may take, so that a server that hangs fails the test instead of stopping the run.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// A connection to a server.
pub struct Client {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a server on this machine.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        let replies = BufReader::with_capacity(1 << 16, stream.try_clone()?);
        Ok(Self { stream, replies })
    }

    /// Switches the connection to RESP3.
    pub fn hello3(&mut self) {
        let reply = self.call(&["HELLO", "3"]);
        assert!(!reply.is_error(), "{reply:?}");
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        self.write(&resp::encode(arguments)).expect("the command is written");
    }

    /// Reads the bytes of the next reply.
    pub fn read_raw(&mut self) -> io::Result<Vec<u8>> {
        resp::read_reply(&mut self.replies)
    }

    /// Reads the next reply.
    pub fn read(&mut self) -> Value {
        resp::parse(&self.read_raw().expect("a reply"))
    }

    /// Sends a command and returns its reply, or what became of the connection.
    pub fn try_raw<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Vec<u8>> {
        self.write(&resp::encode(arguments))?;
        self.read_raw()
    }

    /// Sends a command and returns the bytes of its reply.
    pub fn raw<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Vec<u8> {
        self.try_raw(arguments).expect("a reply")
    }

    /// Sends a command and returns its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        resp::parse(&self.raw(arguments))
    }

    /// [`Client::call`] of a command written as one line of words without spaces in them.
    pub fn run(&mut self, line: &str) -> Value {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Sends all commands in one write, then reads all replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Value> {
        self.pipeline_raw(commands).iter().map(|reply| resp::parse(reply)).collect()
    }

    /// [`Client::pipeline`], with the bytes of the replies.
    pub fn pipeline_raw<A: AsRef<[u8]>, C: AsRef<[A]>>(&mut self, commands: &[C]) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| resp::encode(command.as_ref())).collect();
        // The server may stop reading while its replies to us pile up, so they are read while the commands are written.
        std::thread::scope(|scope| {
            let mut stream = &self.stream;
            let writer = scope.spawn(move || stream.write_all(&bytes));
            let replies = commands.iter().map(|_| resp::read_reply(&mut self.replies).expect("a reply")).collect();
            writer.join().expect("the writer ends").expect("the commands are written");
            replies
        })
    }

    /// A field of INFO, from whichever section holds it.
    pub fn info(&mut self, field: &str) -> Option<String> {
        let text = self.call(&["INFO", "everything"]).text();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }

    /// A field of INFO that holds a whole number.
    pub fn info_number(&mut self, field: &str) -> i64 {
        let value = self.info(field).unwrap_or_else(|| panic!("INFO has no field {field}"));
        value.parse().unwrap_or_else(|_| panic!("INFO field {field} is no whole number: {value}"))
    }

    /// A field of one command's line in INFO commandstats, such as `calls`.
    pub fn command_stat(&mut self, command: &str, field: &str) -> f64 {
        let line = self.info(&format!("cmdstat_{command}")).unwrap_or_default();
        let value = line.split(',').find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='));
        value.map_or(0.0, |value| value.parse().expect("a number in commandstats"))
    }
}
