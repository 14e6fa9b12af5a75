//! SHADOW.SCRIPT LIST.

use crate::list::{CALL_STATS, field_names, number};
use crate::support::{Client, Flavour, Server, Value, wait_until};

/// Caches a script and returns its digest.
fn cache(client: &mut Client, code: impl AsRef<[u8]>) -> String {
    let reply = client.call(&[b"SHADOW.SCRIPT", b"LOAD".as_slice(), code.as_ref()]);
    assert!(!reply.is_error(), "{reply:?}");
    reply.text()
}

fn list(client: &mut Client, options: &str) -> Vec<Value> {
    client.run(&format!("SHADOW.SCRIPT LIST {options}")).items()
}

fn text(entry: &Value, field: &str) -> String {
    entry.field(field).unwrap_or_else(|| panic!("no {field} in {entry:?}")).text()
}

/// The names of the scripts in their order.
fn names(client: &mut Client) -> Vec<String> {
    list(client, "").iter().map(|entry| text(entry, "name")).collect()
}

/// The bytes of a list of one script, without the digits of the time since its last use.
fn raw_without_time(client: &mut Client) -> String {
    let raw = String::from_utf8(client.raw(&["SHADOW.SCRIPT", "LIST"])).expect("plain text");
    let (before, time) = raw.split_once("$7\r\nidle_ms\r\n:").expect("a time");
    format!("{before}{}", time.trim_start_matches(|letter: char| letter.is_ascii_digit()))
}

#[test]
fn an_entry_has_its_fields_in_order_in_both_protocols() {
    let server = Server::start();
    let mut client = server.client();
    cache(&mut client, "return 1");
    let entry = |head: &str, flags: &str, code: &str, digest: &str| {
        format!(
            "*1\r\n{head}\r\n$4\r\nsha1\r\n$40\r\n{digest}\r\n$4\r\nname\r\n${0}\r\n{code}\r\n$4\r\nsize\r\n:{0}\r\n\
             \r\n$6\r\norigin\r\n$4\r\nload\r\n$5\r\nflags\r\n{flags}\r\n",
            code.len()
        )
    };
    let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(raw_without_time(&mut client), entry("*12", "$-1", "return 1", digest));
    client.hello3();
    assert_eq!(raw_without_time(&mut client), entry("%6", "_", "return 1", digest));
    for (first_line, flags) in [("#!lua", "~0"), ("#!lua flags=allow-oom,no-writes", "~2\r\n+no-writes\r\n+allow-oom")]
    {
        client.run("SHADOW.SCRIPT FLUSH");
        let code = format!("{first_line}\nreturn 1");
        let digest = cache(&mut client, &code);
        assert_eq!(raw_without_time(&mut client), entry("%6", flags, &code, &digest));
    }
}

#[test]
fn options_add_their_fields_in_any_order() {
    let server = Server::start();
    let mut client = server.client();
    let code = [b"return 1 --\xff ".as_slice(), &[b'x'; 100]].concat();
    client.call(&[b"SHADOW.EVAL".as_slice(), &code, b"0"]);
    client.call(&[b"SHADOW.EVAL".as_slice(), &code, b"5"]);
    let stats = [&["bytes"][..], &CALL_STATS].concat();
    for protocol in [2, 3] {
        if protocol == 3 {
            client.hello3();
        }
        let plain = field_names(&list(&mut client, "")[0]);
        for (options, added) in [
            ("withcode", &["code"][..]),
            ("WITHSTATS", &stats),
            ("WITHCODE WITHSTATS", &[&["code"][..], &stats].concat()),
            ("WithStats WithCode", &[&["code"][..], &stats].concat()),
        ] {
            let entry = list(&mut client, options).remove(0);
            assert_eq!(matches!(entry, Value::Map(_)), protocol == 3);
            let expected: Vec<String> = plain.iter().cloned().chain(added.iter().map(ToString::to_string)).collect();
            assert_eq!(field_names(&entry), expected, "{options}");
            if added.contains(&"code") {
                assert_eq!(entry.field("code"), Some(Value::Bulk(code.clone())));
            }
            if added.contains(&"calls") {
                assert_eq!(["calls", "rejected_calls", "failed_calls"].map(|field| number(&entry, field)), [1, 1, 0]);
                assert!(number(&entry, "usec") >= number(&entry, "max_usec"));
            }
        }
    }
}

#[test]
fn a_script_is_named_by_the_first_sixty_bytes_of_its_text() {
    let server = Server::start();
    let mut client = server.client();
    for length in [59, 60, 61, 5_000] {
        let code = format!("--{}", "x".repeat(length - 2));
        cache(&mut client, &code);
        let entry = list(&mut client, "").remove(0);
        assert_eq!((text(&entry, "name"), number(&entry, "size")), (code[..length.min(60)].to_owned(), length as i64));
    }
    cache(&mut client, "");
    let entry = list(&mut client, "").remove(0);
    assert_eq!((text(&entry, "name"), number(&entry, "size")), (String::new(), 0));
    // The sixtieth byte may be in the middle of a letter.
    let code = format!("-{}", "-é".repeat(40));
    cache(&mut client, &code);
    assert_eq!(list(&mut client, "")[0].field("name"), Some(Value::Bulk(code.as_bytes()[..60].to_vec())));
}

#[test]
fn the_script_that_was_used_last_comes_first() {
    let server = Server::start();
    let mut client = server.client();
    let writer = "#!lua\nreturn 'writer'";
    let [one, two, last] = ["return 1", "error('two')", writer].map(|code| cache(&mut client, code));
    assert_eq!(names(&mut client), [writer, "error('two')", "return 1"]);
    client.call(&["SHADOW.EVALSHA", &one, "0"]);
    assert_eq!(names(&mut client), ["return 1", writer, "error('two')"]);
    client.call(&["SHADOW.EVAL_RO", "error('two')", "0"]);
    let expected = ["error('two')", "return 1", writer];
    assert_eq!(names(&mut client), expected, "also one that failed was used");
    client.call(&["SHADOW.SCRIPT", "EXISTS", &one, &last]);
    client.call(&["SHADOW.SCRIPT", "SHOW", &one]);
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    assert!(client.call(&["SHADOW.EVALSHA_RO", &last, "0"]).is_error());
    assert!(client.call(&["SHADOW.EVALSHA", &two, "9"]).is_error());
    assert!(client.call(&["SHADOW.EVAL", "return (", "0"]).is_error());
    assert_eq!(names(&mut client), expected, "none of these is a use");
}

#[test]
fn the_time_since_the_last_use_begins_anew_with_each() {
    let server = Server::start();
    let mut client = server.client();
    let used = cache(&mut client, "return 'used'");
    cache(&mut client, "return 'idle'");
    wait_until("both were idle for some time", || {
        list(&mut client, "").iter().all(|entry| number(entry, "idle_ms") >= 100)
    });
    client.call(&["SHADOW.EVALSHA", &used, "0"]);
    let entries = list(&mut client, "");
    assert_eq!(text(&entries[0], "sha1"), used);
    let times: Vec<i64> = entries.iter().map(|entry| number(entry, "idle_ms")).collect();
    assert!(times[1] - times[0] >= 90, "{times:?}");
    assert!(times[1] < 60_000, "{times:?}");
}

#[test]
fn an_entry_tells_how_the_script_came() {
    let server = Server::start();
    let mut client = server.client();
    let origin = |client: &mut Client| text(&list(client, "")[0], "origin");
    for command in ["SHADOW.EVAL", "SHADOW.EVAL_RO"] {
        client.call(&[command, "return 1", "0"]);
        assert_eq!(origin(&mut client), "eval");
        cache(&mut client, "return 1");
        // Only Valkey keeps it for good then.
        assert_eq!(origin(&mut client), if server.flavour() == Flavour::Valkey { "load" } else { "eval" });
        client.run("SHADOW.SCRIPT FLUSH");
    }
    cache(&mut client, "return 1");
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    assert_eq!(origin(&mut client), "load");
}

#[test]
fn the_bytes_of_scripts_add_up_to_what_they_take() {
    let server = Server::start();
    let mut client = server.client();
    let held = |client: &mut Client| {
        client.info_number("shadow_scripts_vm_bytes") + client.info_number("shadow_scripts_cache_bytes")
    };
    let before = held(&mut client);
    let load = |number: usize| {
        let code = format!("local key = KEYS[1] return redis.call('GET', key .. {number})");
        ["SHADOW.SCRIPT", "LOAD", &code].map(str::to_owned).to_vec()
    };
    client.pipeline(&(0..2_000).map(load).collect::<Vec<_>>());
    let taken = held(&mut client) - before;
    let entries = list(&mut client, "WITHSTATS");
    assert_eq!(entries.len(), 2_000);
    let sum: i64 = entries.iter().map(|entry| number(entry, "bytes")).sum();
    // Some of what compiling throws away has been collected since; and the tables that find scripts belong to none.
    assert!(sum > taken * 8 / 10 && sum <= taken * 14 / 10, "{sum} of {taken}");
}

#[test]
fn each_option_may_be_given_once_and_there_are_no_others() {
    let server = Server::start();
    let mut client = server.client();
    cache(&mut client, "return 1");
    for words in ["x", "WITHCODE withcode", "WITHSTATS WITHCODE WITHSTATS", "WITHCOD", "LIBRARYNAME", "WITHCODE *"] {
        let last = words.split(' ').next_back().expect("a word");
        assert_eq!(
            client.run(&format!("SHADOW.SCRIPT LIST {words}")),
            Value::Error(format!("ERR Unknown argument {last}"))
        );
    }
    let refused = client.call(&["SHADOW.EVAL", "return redis.call('shadow.script', 'list')", "0"]);
    assert!(refused.text().contains("command is not allowed from script"), "{refused:?}");
    assert!(client.call(&["EVAL", "return redis.call('shadow.script', 'list')", "0"]).is_error());
    client.run("MULTI");
    client.run("SHADOW.SCRIPT LIST");
    client.run("SHADOW.SCRIPT FLUSH");
    client.run("SHADOW.SCRIPT LIST");
    let replies = client.run("EXEC").items();
    assert_eq!([0, 2].map(|reply| replies[reply].items().len()), [2, 0]);
}
