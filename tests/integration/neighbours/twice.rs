//! The module beside itself.

use std::fs;

use super::{beside_neighbour, check_unharmed, library, wait_until_busy};
use crate::support::library::{load, names};
use crate::support::server::module_path;
use crate::support::{Options, wait_until};

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let server = Options::new().start();
    let mut client = server.client();
    load(&mut client, &library());
    let copy = server.directory().join("another.so");
    fs::copy(module_path(), &copy).expect("a copy of the module");
    wait_until("its threads run", || {
        server.thread_names().iter().filter(|name| name.starts_with("shadow-")).count() == 2
    });
    let threads = server.thread_names();
    for path in [module_path(), copy] {
        for arguments in [&[][..], &["reclaim-queue", "1"]] {
            let path = path.to_str().expect("a path of UTF-8");
            let reply = client.call(&[&["MODULE", "LOAD", path], arguments].concat());
            assert_eq!(reply.text(), "ERR Error loading the extension. Please check the server logs.");
            assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
            assert_eq!(names(&mut client), ["lib"]);
        }
    }
    let of_the_module =
        |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("shadow-")).collect::<Vec<_>>();
    assert_eq!(of_the_module(server.thread_names()), of_the_module(threads));
    let modules = client.run("MODULE LIST").items();
    assert_eq!(
        modules.iter().filter(|module| module.field("name").is_some_and(|name| name.text() == "shadow")).count(),
        1
    );
    check_unharmed(&server);
}

#[test]
fn it_is_not_unloaded_during_a_call_or_after_it() {
    let server = beside_neighbour().set("busy-reply-threshold", "50").start();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &library());
    caller.send(&["SHADOW.FCALL", "loop", "0"]);
    wait_until_busy(&mut other);
    assert!(other.run("MODULE UNLOAD shadow").text().starts_with("BUSY "));
    assert!(other.run("MODULE LOAD shadow").text().starts_with("BUSY "));
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert!(caller.read().is_error());
    let script = "return redis.pcall('MODULE', 'UNLOAD', 'shadow').err";
    let reply = caller.call(&["SHADOW.EVAL", script, "0"]);
    assert!(reply.text().contains("not allowed from script"), "{reply:?}");
    for place in ["CALL", "THREAD"] {
        let reply = caller.run(&format!("NEIGHBOUR.{place} E MODULE UNLOAD shadow"));
        assert!(reply.is_error() && reply.text().contains("data types"), "{reply:?}");
    }
    check_unharmed(&server);
}

/// Others come and go as they like.
#[test]
fn a_neighbour_may_leave() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load(&mut client, &library());
    assert_eq!(client.run("NEIGHBOUR.CALL E SHADOW.FCALL get 0").text(), "got");
    assert_eq!(client.run("MODULE UNLOAD neighbour").text(), "OK");
    assert!(client.run("NEIGHBOUR.CALL E SHADOW.FCALL get 0").is_error());
    check_unharmed(&server);
}
