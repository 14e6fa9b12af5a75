//! Commands of scripts: how a running function reaches the server.

use std::ffi::{CStr, CString, c_int};

use redis_module::raw;

use super::api::{CallReply, Context, Text, api, c_text};
use crate::engine::{CallMode, Host, LogLevel, Replication};
use crate::registry::FunctionFlags;

/// Commands that count as writes in a function that must not write although the server does not flag them so: what
/// they do reaches replicas. With the smallest number of words that each takes.
const REPLICATING: [(&[u8], usize); 3] = [(b"pfcount", 2), (b"publish", 3), (b"spublish", 3)];

const WRITE_REFUSED: &[u8] = b"ERR Write commands are not allowed from read-only scripts.";

/// The server as one call of a function (or one load of a library) sees it.
pub struct ServerHost<'a> {
    context: &'a Context<'a>,
    dialect_7_0: bool,
    read_only: bool,
    /// Inner commands run as the caller's user. Off once the caller proves to have none (another module).
    as_user: bool,
    /// The database that was selected when the call began, once a script selects another.
    home_db: Option<c_int>,
    /// The words of the inner command; kept for its room.
    words: Vec<Text>,
    reply: Option<CallReply>,
    /// A reply that the server did not write.
    own_reply: Vec<u8>,
}

impl<'a> ServerHost<'a> {
    /// The host of a call of a function with `flags`. `dialect_7_0`: the server is 7.0, whose texts differ.
    pub fn new(context: &'a Context<'a>, flags: FunctionFlags, dialect_7_0: bool) -> Self {
        Self {
            context,
            dialect_7_0,
            read_only: flags.contains(FunctionFlags::NO_WRITES),
            as_user: true,
            home_db: None,
            words: Vec::new(),
            reply: None,
            own_reply: Vec::new(),
        }
    }

    fn refuse(&mut self, text: &[u8]) -> &[u8] {
        self.own_reply.clear();
        self.own_reply.push(b'-');
        self.own_reply.extend_from_slice(text);
        self.own_reply.extend_from_slice(b"\r\n");
        &self.own_reply
    }

    /// Runs the command in `self.words[1..]` named `name`; the reply and the errno that a refusal left.
    fn execute(&self, name: &CStr, mode: CallMode) -> (Option<CallReply>, c_int) {
        let mut words: Vec<*mut raw::RedisModuleString> = self.words.iter().map(Text::raw).collect();
        let format = format(mode, self.read_only, self.as_user);
        // SAFETY: the thread's own errno. The format ends in `v`, which takes an array of strings and its length; the
        // array and the strings live until the call returns.
        unsafe {
            *libc::__errno_location() = 0;
            let reply = api!(RedisModule_Call)(
                self.context.raw(),
                name.as_ptr(),
                format.as_ptr(),
                words.as_mut_ptr(),
                words.len(),
            );
            let errno = *libc::__errno_location();
            (CallReply::own(reply), errno)
        }
    }

    /// A script changed the database of its calls: the server forgets that after each call, so it is done here.
    fn follow_select(&mut self, arguments: &[&[u8]]) {
        if !arguments[0].eq_ignore_ascii_case(b"select") || self.reply.as_ref().map(CallReply::wire) != Some(b"+OK\r\n")
        {
            return;
        }
        let db = arguments.get(1).and_then(|db| std::str::from_utf8(db).ok()?.parse().ok());
        if let Some(db) = db {
            self.home_db.get_or_insert(self.context.selected_db());
            self.context.select_db(db);
        }
    }

    /// The words that scripts know for a refusal of the server's `RM_Call`; None when the reply is the command's own.
    fn translate(&self, wire: &[u8], errno: c_int) -> Option<Vec<u8>> {
        let text = wire.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
        let plain = |text: &str| Some([b"ERR ", text.as_bytes()].concat());
        match errno {
            libc::ENOENT if text.starts_with(b"ERR unknown ") => plain("Unknown Redis command called from script"),
            libc::EINVAL if text.starts_with(b"ERR wrong number of arguments") => {
                plain("Wrong number of args calling Redis command from script")
            }
            libc::ESPIPE if text.starts_with(b"ERR command '") => {
                plain("This Redis command is not allowed from script")
            }
            libc::ESPIPE if text.starts_with(b"MASTERDOWN") => plain("Can not execute the command on a stale replica"),
            libc::ENOSPC if text.starts_with(b"ERR Write command") => Some(WRITE_REFUSED.to_vec()),
            libc::EACCES => {
                let reason = text.strip_prefix(b"ERR acl verification failed, ")?;
                let reason = reason.strip_suffix(b".").unwrap_or(reason);
                let prefix: &[u8] = if self.dialect_7_0 {
                    b"ERR The user executing the script "
                } else {
                    b"ERR ACL failure in script: "
                };
                Some([prefix, reason].concat())
            }
            libc::EPERM if text.starts_with(b"ERR Attempted to access a non local key") => {
                plain("Script attempted to access a non local key in a cluster node")
            }
            libc::EROFS if text.starts_with(b"ERR Can not execute a write command") => {
                plain("Script attempted to execute a write command while the cluster is down and readonly")
            }
            libc::ENETDOWN if text.starts_with(b"ERR Can not execute a command") => {
                plain("Script attempted to execute a command while the cluster is down")
            }
            _ => None,
        }
    }
}

impl Host for ServerHost<'_> {
    fn call(&mut self, arguments: &[&[u8]], mode: CallMode) -> &[u8] {
        self.reply = None;
        let Some((&command, rest)) = arguments.split_first() else {
            return self.refuse(b"ERR Unknown Redis command called from script");
        };
        let Ok(name) = CString::new(command) else {
            return self.refuse(b"ERR Unknown Redis command called from script");
        };
        if self.read_only
            && REPLICATING.iter().any(|&(name, words)| command.eq_ignore_ascii_case(name) && arguments.len() >= words)
        {
            return self.refuse(WRITE_REFUSED);
        }
        self.words.clear();
        self.words.extend(rest.iter().map(|word| Text::new(word)));
        let (mut reply, mut errno) = self.execute(&name, mode);
        if self.as_user && errno == libc::ENOTSUP {
            self.as_user = false;
            (reply, errno) = self.execute(&name, mode);
        }
        self.words.clear();
        self.reply = reply;
        if errno != 0
            && let Some(reply) = &self.reply
            && let Some(text) = self.translate(reply.wire(), errno)
        {
            return self.refuse(&text);
        }
        self.follow_select(arguments);
        match &self.reply {
            Some(reply) => reply.wire(),
            // Only a call without the flag E answers null.
            None => b"-ERR The command could not be run\r\n",
        }
    }

    fn permits(&mut self, arguments: &[&[u8]]) -> Option<bool> {
        let texts: Vec<Text> = arguments.iter().map(|word| Text::new(word)).collect();
        let mut words: Vec<*mut raw::RedisModuleString> = texts.iter().map(Text::raw).collect();
        let name = self.context.user_name();
        // SAFETY: the strings live until the end of the block, the user until it is freed.
        unsafe {
            let user = match &name {
                Some(name) => api!(RedisModule_GetModuleUserFromUserName)(name.raw()),
                None => std::ptr::null_mut(),
            };
            if user.is_null() {
                // A caller without a user may do everything.
                return Some(true);
            }
            *libc::__errno_location() = 0;
            let status = api!(RedisModule_ACLCheckCommandPermissions)(user, words.as_mut_ptr(), words.len() as c_int);
            let errno = *libc::__errno_location();
            api!(RedisModule_FreeModuleUser)(user);
            match status as isize {
                raw::REDISMODULE_OK => Some(true),
                _ if errno == libc::ENOENT => None,
                _ => Some(false),
            }
        }
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        let level = match level {
            LogLevel::Debug => c"debug",
            LogLevel::Verbose => c"verbose",
            LogLevel::Notice => c"notice",
            LogLevel::Warning => c"warning",
        };
        self.context.log(level, c_text(message).as_bytes());
    }
}

impl Drop for ServerHost<'_> {
    fn drop(&mut self) {
        if let Some(db) = self.home_db {
            self.context.select_db(db);
        }
    }
}

/// The format of `RM_Call` for a script's command: effects replicated (`!`, less what A and R leave out), errors as
/// replies (E), refusing what scripts may not do (S), no writes (W), as the caller's user (C), RESP3 (3).
fn format(mode: CallMode, read_only: bool, as_user: bool) -> CString {
    // The server makes room for as many words as the format has characters and grows it word by word beyond: the
    // repeated flag saves that.
    let mut format = b"EEEEEEEEEES!".to_vec();
    if !mode.replication.contains(Replication::AOF) {
        format.push(b'A');
    }
    if !mode.replication.contains(Replication::REPLICAS) {
        format.push(b'R');
    }
    if read_only {
        format.push(b'W');
    }
    if as_user {
        format.push(b'C');
    }
    if mode.resp3 {
        format.push(b'3');
    }
    format.push(b'v');
    CString::new(format).unwrap_or_default()
}
