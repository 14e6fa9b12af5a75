//! Clients that asked for the server's debugger, by SCRIPT DEBUG. A session needs their connection, which the server
//! gives to no module: so the calls of their scripts are the server's.
//!
//! The filter sees a SCRIPT DEBUG before the server accepts it, and never learns whether it did. So a client that asked
//! is believed only as long as its user may ask. Nobody reaches the server's engine by a request that was refused.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use super::super::api::{ClientId, Context, FilteredCommand, Sender, ServerString, User, Words};
use crate::engine::Permission;

/// The clients that asked.
#[derive(Default)]
pub struct Requests {
    clients: RefCell<HashSet<ClientId>>,
    /// The number of them at which those who left are forgotten.
    limit: Cell<usize>,
}

/// The least of these numbers.
const LEAST: usize = 16;

impl Requests {
    /// Notes a `SCRIPT DEBUG YES | SYNC | NO [engine]` that passes the filter.
    pub fn note(&self, command: &FilteredCommand, sender: Sender) {
        let Sender::Client(client) = sender else { return };
        let engine = command.word(3);
        if !engine.is_empty() && !engine.eq_ignore_ascii_case(b"lua") {
            return;
        }
        let mut clients = self.clients.borrow_mut();
        match command.word(2).to_ascii_lowercase().as_slice() {
            b"yes" | b"sync" => {
                if clients.len() >= self.limit.get() {
                    clients.retain(|client| client.is_connected());
                    self.limit.set(LEAST.max(2 * clients.len()));
                }
                clients.insert(client);
            }
            b"no" => {
                clients.remove(&client);
            }
            _ => {}
        }
    }

    /// Whether the server debugs the scripts of this client.
    pub fn holds(&self, context: &Context, sender: Sender) -> bool {
        let Sender::Client(client) = sender else { return false };
        self.clients.borrow().contains(&client) && may_debug(context, client)
    }
}

fn may_debug(context: &Context, client: ClientId) -> bool {
    let request = [b"script".as_slice(), b"debug", b"yes"].map(ServerString::new);
    User::of_client(context, client)
        .is_ok_and(|user| user.may_run(context, Words::new(&request)) == Permission::Granted)
}
