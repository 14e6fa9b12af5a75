//! The sections of INFO about what is loaded.

use crate::support::library::{load, load_many, source};
use crate::support::{Client, Flavour, Options, Server, wait_until};

const FIELDS_OF_FUNCTIONS: &[&str] = &[
    "shadow_vm_bytes",
    "shadow_native_code_bytes",
    "shadow_native_functions",
    "shadow_native_code_open",
    "shadow_registry_bytes",
    "shadow_calls",
    "shadow_rejected_calls",
    "shadow_failed_calls",
    "shadow_load_timeouts",
    "shadow_pending_bytes",
    "shadow_freed_bytes",
    "shadow_memory_limit",
    "shadow_memory_refusals",
    "shadow_timeouts",
    "shadow_kills",
    "shadow_libraries",
    "shadow_functions",
    "shadow_reclaim_queue",
    "shadow_pending_libraries",
    "shadow_freed_libraries",
    "shadow_flushes",
    "shadow_flushes_in_place",
    "shadow_spare_ready",
    "shadow_spares_missed",
    "shadow_reclaim_alive",
    "shadow_call_path",
];

const FIELDS_OF_SCRIPTS: &[&str] = &[
    "shadow_scripts",
    "shadow_scripts_loaded",
    "shadow_scripts_evictable",
    "shadow_scripts_vm_bytes",
    "shadow_scripts_native_code_bytes",
    "shadow_scripts_native_functions",
    "shadow_scripts_native_code_open",
    "shadow_scripts_cache_bytes",
    "shadow_scripts_calls",
    "shadow_scripts_rejected_calls",
    "shadow_scripts_failed_calls",
    "shadow_scripts_missed_calls",
    "shadow_scripts_timeouts",
    "shadow_scripts_kills",
    "shadow_scripts_flushes",
    "shadow_scripts_flushes_in_place",
    "shadow_scripts_pending",
    "shadow_scripts_pending_bytes",
    "shadow_scripts_freed",
    "shadow_scripts_freed_bytes",
    "shadow_scripts_spare_ready",
    "shadow_scripts_spares_missed",
    "shadow_scripts_evicted",
];

#[test]
fn each_section_has_its_fields_and_can_be_asked_for() {
    let server = Server::start();
    let mut client = server.client();
    for (own, fields) in [("shadow_functions", FIELDS_OF_FUNCTIONS), ("shadow_scripts", FIELDS_OF_SCRIPTS)] {
        for section in [own, "shadow", "everything", "modules"] {
            let text = client.call(&["INFO", section]).text();
            assert!(text.contains(&format!("# {own}\r\n")), "INFO {section}: {text}");
            for field in fields {
                assert_eq!(text.matches(&format!("\r\n{field}:")).count(), 1, "{field} in INFO {section}");
            }
        }
    }
}

#[test]
fn libraries_and_functions_are_counted() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 5);
    let body = "for i=1,5 do redis.register_function('m'..i, function() end) end";
    load(&mut client, &source("many", body));
    assert_eq!(client.info_number("shadow_libraries"), 6);
    assert_eq!(client.info_number("shadow_functions"), 10);
    client.run("SHADOW.FUNCTION DELETE many");
    assert_eq!(client.info_number("shadow_libraries"), 5);
    assert_eq!(client.info_number("shadow_functions"), 5);
}

#[test]
fn a_flush_is_followed_from_pending_to_freed() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 100);
    assert_eq!(client.info_number("shadow_flushes"), 0);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.info_number("shadow_flushes"), 1);
    assert_eq!(client.info_number("shadow_libraries"), 0);
    wait_until("all hundred libraries are freed", || client.info_number("shadow_freed_libraries") == 100);
    wait_until("none is pending", || client.info_number("shadow_pending_libraries") == 0);
    assert_eq!(client.info_number("shadow_reclaim_queue"), 0);
    assert_eq!(client.info_number("shadow_flushes_in_place"), 0);
    wait_until("a spare is ready again", || client.info_number("shadow_spare_ready") == 1);
}

#[test]
fn scripts_are_counted_by_how_they_came() {
    let server = Server::start();
    let mut client = server.client();
    let counts = |client: &mut Client| {
        ["", "_loaded", "_evictable"].map(|field| client.info_number(&format!("shadow_scripts{field}")))
    };
    for code in ["return 1", "return 2", "return 1"] {
        client.call(&["SHADOW.EVAL", code, "0"]);
    }
    assert!(client.call(&["SHADOW.EVAL", "return (", "0"]).is_error());
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 3"]);
    assert_eq!(counts(&mut client), [3, 1, 2]);
    assert_eq!(client.info_number("shadow_libraries"), 0);
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    let promoted = i64::from(server.flavour() == Flavour::Valkey);
    assert_eq!(counts(&mut client), [3, 1 + promoted, 2 - promoted]);
    client.run("SHADOW.SCRIPT FLUSH");
    assert_eq!(counts(&mut client), [0, 0, 0]);
}

/// The row `info-fields` of docs/compatibility.md.
#[test]
fn the_servers_own_fields_are_about_its_own_functions_and_scripts() {
    let server = Server::start();
    let mut client = server.client();
    let fields = ["number_of_functions", "number_of_cached_scripts", "used_memory_scripts_eval", "lazyfreed_objects"];
    let numbers = |client: &mut Client| fields.map(|field| client.info_number(field));
    let before = numbers(&mut client);
    load_many(&mut client, 100);
    let command = |number: usize| ["SHADOW.SCRIPT", "LOAD", &format!("return {number}")].map(str::to_owned).to_vec();
    client.pipeline(&(0..100).map(command).collect::<Vec<_>>());
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    wait_until("all is freed", || client.info_number("shadow_scripts_freed") == 100);
    assert_eq!(numbers(&mut client), before);
    client.call(&["EVAL", "return 1", "0"]);
    assert_eq!(client.info_number("number_of_cached_scripts"), 1);
    assert_eq!(client.info_number("shadow_scripts"), 0);
}

#[test]
fn what_is_evicted_is_counted() {
    let server = Server::start();
    let mut client = server.client();
    let bounded = server.version() >= (7, 4, 0) || server.flavour() == Flavour::Valkey;
    let command = |number: usize| ["SHADOW.EVAL", &format!("return {number}"), "0"].map(str::to_owned).to_vec();
    client.pipeline(&(0..503).map(command).collect::<Vec<_>>());
    let (evicted, left) = if bounded { (3, 500) } else { (0, 503) };
    assert_eq!(client.info_number("shadow_scripts_evicted"), evicted);
    assert_eq!(client.info_number("shadow_scripts_evictable"), left);
}

#[test]
fn calls_of_what_is_not_cached_are_counted() {
    let server = Server::start();
    let mut client = server.client();
    for digest in ["x", &"0".repeat(40)] {
        for command in ["SHADOW.EVALSHA", "SHADOW.EVALSHA_RO"] {
            assert!(client.call(&[command, digest, "0"]).text().starts_with("NOSCRIPT "));
        }
    }
    assert_eq!(client.info_number("shadow_scripts_missed_calls"), 4);
    client.call(&["SHADOW.EVALSHA", &"0".repeat(40), "x"]);
    client.call(&["SHADOW.SCRIPT", "EXISTS", &"0".repeat(40)]);
    assert_eq!(client.info_number("shadow_scripts_missed_calls"), 4);
    assert_eq!(client.info_number("shadow_scripts_calls"), 0);
}

#[test]
fn a_flush_of_scripts_is_followed_from_pending_to_freed() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    assert_eq!(client.info("shadow_scripts_last_flush_mode"), None);
    assert_eq!(client.info_number("shadow_scripts_cache_bytes"), 0);
    let command = |number: usize| ["SHADOW.SCRIPT", "LOAD", &format!("return {number}")].map(str::to_owned).to_vec();
    client.pipeline(&(0..300).map(command).collect::<Vec<_>>());
    let held = client.info_number("shadow_scripts_vm_bytes") + client.info_number("shadow_scripts_cache_bytes");
    assert!(client.info_number("shadow_scripts_cache_bytes") > 300 * 100);
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    assert_eq!(client.info("shadow_scripts_last_flush_mode").as_deref(), Some("async"));
    assert_eq!(client.info_number("shadow_scripts_last_flushed"), 300);
    assert_eq!(client.info_number("shadow_scripts"), 0);
    assert_eq!(client.info_number("shadow_scripts_pending"), 300);
    let pending = client.info_number("shadow_scripts_pending_bytes");
    assert!((pending - held).abs() < held / 100, "{pending} of {held}");
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    wait_until("all scripts are freed", || client.info_number("shadow_scripts_freed") == 300);
    assert_eq!(client.info_number("shadow_scripts_freed_bytes"), pending);
    assert_eq!(client.info_number("shadow_scripts_pending"), 0);
    wait_until("a spare is ready again", || client.info_number("shadow_scripts_spare_ready") == 1);
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    client.run("SHADOW.SCRIPT FLUSH SYNC");
    assert_eq!(client.info("shadow_scripts_last_flush_mode").as_deref(), Some("sync"));
    assert_eq!(client.info_number("shadow_scripts_last_flushed"), 1);
    assert_eq!(client.info_number("shadow_scripts_flushes"), 2);
    assert_eq!(client.info_number("shadow_scripts_flushes_in_place"), 0);
    assert_eq!(client.info_number("shadow_flushes"), 0, "those of libraries are counted apart");
}
