//! Bad neighbours: other modules and clients that do what they can at the worst moment, and a machine that fails. The
//! module answers as the server's own functions do, or refuses, and goes on.

mod clients;
mod disk;
mod links;
mod modules;
mod permissions;
mod settings;
mod shutdown;
mod twice;

use crate::support::library::source;
use crate::support::server::neighbour_path;
use crate::support::{Client, Options, Server, Value, wait_until};

/// A server that has loaded the module of `tests/neighbour/` as well.
fn beside_neighbour() -> Options {
    let path = neighbour_path();
    Options::new().set("loadmodule", path.to_str().expect("a path of UTF-8"))
}

/// Gives a place a command to run whenever the server comes by.
fn arm(client: &mut Client, place: &str, flags: &str, command: &[&str]) {
    let reply = client.call(&[&["NEIGHBOUR.ARM", place, flags], command].concat());
    assert_eq!(reply.text(), "OK");
}

/// Takes all places their commands away, and gives what came of them.
fn results(client: &mut Client) -> Vec<String> {
    assert_eq!(client.run("NEIGHBOUR.DISARM").text(), "OK");
    client.run("NEIGHBOUR.RESULTS").items().iter().map(Value::text).collect()
}

/// The library `lib`: `get` reads nothing, `set` writes a key, `echo` runs ECHO, `loop` does not end.
fn library() -> String {
    source(
        "lib",
        "redis.register_function('get', function() return 'got' end)
         redis.register_function('set', function(keys) return redis.call('SET', keys[1], 'value') end)
         redis.register_function('echo', function() return redis.call('ECHO', 'said') end)
         redis.register_function('loop', function() while true do end end)",
    )
}

/// Loads [`library`] into the module's registry and the server's own.
fn load_both(client: &mut Client) {
    for command in ["SHADOW.FUNCTION", "FUNCTION"] {
        assert_eq!(client.call(&[command, "LOAD", "REPLACE", &library()]).text(), "lib");
    }
}

/// The text of a reply of the module with the server's own names in it.
fn as_stock(text: &str) -> String {
    text.replace("SHADOW.", "").replace("shadow.", "")
}

/// Waits until a function or a script keeps others waiting. What another client is told.
fn wait_until_busy(other: &mut Client) -> String {
    let mut told = String::new();
    wait_until("the server is busy", || {
        told = other.run("PING").text();
        told.starts_with("BUSY ")
    });
    told
}

/// Checks that functions and scripts still do what they should, and that nothing has panicked.
fn check_unharmed(server: &Server) {
    let mut client = server.client();
    assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &library()]).text(), "lib");
    assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
    assert_eq!(client.run("SHADOW.FCALL set 1 key").text(), "OK");
    assert_eq!(client.call(&["SHADOW.EVAL", "return redis.call('GET', KEYS[1])", "1", "key"]).text(), "value");
    let deployed = client.call(&["SHADOW.FUNCTION", "DEPLOY", "VERSION", "unharmed", &library()]);
    assert_eq!(deployed.text(), "unharmed");
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
    wait_until("the worker frees", || client.info_number("shadow_pending_libraries") == 0);
    assert!(!server.log().contains("internal error"), "{}", server.log());
}
