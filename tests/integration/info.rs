//! The section of INFO.

use crate::support::library::{load, load_many, source};
use crate::support::{Server, wait_until};

const FIELDS: &[&str] = &[
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
];

#[test]
fn the_section_has_its_fields_and_can_be_asked_for() {
    let server = Server::start();
    let mut client = server.client();
    for section in ["shadow_functions", "shadow", "everything", "modules"] {
        let text = client.call(&["INFO", section]).text();
        assert!(text.contains("# shadow_functions\r\n"), "INFO {section}: {text}");
        for field in FIELDS {
            assert!(text.contains(&format!("\r\n{field}:")), "INFO {section} lacks {field}");
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
