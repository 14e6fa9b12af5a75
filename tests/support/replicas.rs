//! Masters and replicas, and what is waited for between them.

use std::net::Ipv4Addr;

use super::{Client, Options, Server, wait_until};

/// Makes a server follow `master` from here on.
pub fn follow(replica: &Server, master: &Server) {
    let reply = replica.client().run(&format!("REPLICAOF {} {}", Ipv4Addr::LOCALHOST, master.port()));
    assert!(!reply.is_error(), "{reply:?}");
}

/// Starts a replica of `master` and waits until it is in step.
pub fn replica_of(master: &Server) -> Server {
    replica_with(Options::new(), master)
}

/// [`replica_of`] with options of its own.
pub fn replica_with(options: Options, master: &Server) -> Server {
    let replica = options.set("replicaof", &format!("{} {}", Ipv4Addr::LOCALHOST, master.port())).start();
    wait_in_step(master, &replica);
    replica
}

/// Waits until the replica has executed all that its master sent.
pub fn wait_in_step(master: &Server, replica: &Server) {
    let (mut above, mut below) = (master.client(), replica.client());
    wait_until("the replica is in step", || {
        below.info("master_link_status").as_deref() == Some("up")
            && below.info("master_port") == Some(master.port().to_string())
            && below.info("slave_repl_offset") == above.info("master_repl_offset")
    });
}

/// The commands that a server is seen to run, in lower case, without those that keep a link alive.
pub struct Monitor(Client);

impl Monitor {
    pub fn of(server: &Server) -> Self {
        let mut client = server.client();
        assert_eq!(client.run("MONITOR").text(), "OK");
        Self(client)
    }

    /// The commands before the one that begins with `last`.
    pub fn until(&mut self, last: &str) -> Vec<String> {
        let mut commands = Vec::new();
        loop {
            let line = self.0.read().text();
            let (_, command) = line.split_once("] ").expect("a line of MONITOR");
            let command = command.replace('"', "").to_lowercase();
            if command.starts_with(last) {
                return commands;
            }
            if !["select", "ping", "replconf", "info"].iter().any(|word| command.starts_with(word)) {
                commands.push(command);
            }
        }
    }
}
