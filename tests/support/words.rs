//! What servers say in words of their own, as tests expect it.

use super::Server;
use super::scripts::digest;

/// The words of a server.
pub struct Words {
    /// What it calls itself.
    pub name: &'static str,
    /// The global that its errors name the API by.
    pub api: &'static str,
    /// How a function ends that was killed.
    pub killed: &'static str,
    /// How a script ends that was killed.
    pub killed_script: &'static str,
    /// The answer to a digest that no script has.
    pub no_script: &'static str,
    /// The refusal of a command that scripts may not run.
    pub not_for_scripts: &'static str,
    /// Whether an error that leaves a function is followed by the function's name.
    names_functions: bool,
}

const REDIS: Words = Words {
    name: "Redis",
    api: "redis",
    killed: "ERR Script killed by user with SCRIPT KILL...",
    killed_script: "ERR Script killed by user with SCRIPT KILL...",
    no_script: "NOSCRIPT No matching script. Please use EVAL.",
    not_for_scripts: "ERR This Redis command is not allowed from script",
    names_functions: true,
};

const VALKEY: Words = Words {
    name: "Valkey",
    api: "server",
    killed: "ERR Script killed by user with FUNCTION KILL.",
    killed_script: "ERR Script killed by user with SCRIPT KILL.",
    no_script: "NOSCRIPT No matching script.",
    ..REDIS
};

const VALKEY_9_1: Words =
    Words { not_for_scripts: "ERR This Valkey command is not allowed from script", names_functions: false, ..VALKEY };

impl Words {
    /// Those of this server.
    pub fn of(server: &Server) -> &'static Self {
        match server.valkey_version() {
            None => &REDIS,
            Some(version) if version < (9, 1, 0) => &VALKEY,
            Some(_) => &VALKEY_9_1,
        }
    }

    /// What follows an error that left the function on this line of its library.
    pub fn place(&self, function: &str, line: u32) -> String {
        let name = if self.names_functions { format!("{function}, ") } else { String::new() };
        format!(" script: {name}on @user_function:{line}.")
    }

    /// What follows an error that left the script on this line.
    pub fn place_in_script(&self, script: &str, line: u32) -> String {
        let name = if self.names_functions { format!("{}, ", digest(script)) } else { String::new() };
        format!(" script: {name}on @user_script:{line}.")
    }

    /// A line that other servers print, as this one prints it: without the name of the function that an error has left.
    pub fn said(&self, line: &str) -> String {
        const BEFORE: &str = " script: ";
        let parts = line.rsplit_once(BEFORE).filter(|_| !self.names_functions);
        let shorter = parts.and_then(|(text, origin)| Some(format!("{text}{BEFORE}{}", origin.split_once(", ")?.1)));
        shorter.unwrap_or_else(|| line.to_owned())
    }

    /// What clients are told that have to wait for a function, which this command ends.
    pub fn busy(&self, kill: &str) -> String {
        format!("BUSY {} is busy running a script. You can only call {kill} or SHUTDOWN NOSAVE.", self.name)
    }
}
