//! SHADOW.FCALL and SHADOW.FCALL_RO.

use crate::support::library::{callback, evaluate, load, numbered, source};
use crate::support::{Flavour, Server, Value, Words};

#[test]
fn keys_and_arguments_arrive_as_they_were_sent() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return {KEYS, ARGV}"));
    let command = [b"SHADOW.FCALL".as_slice(), b"f", b"2", b"k\0\r\n1", b"", b"\xff\xfe", b"last"];
    let bulk = |bytes: &[u8]| Value::Bulk(bytes.to_vec());
    assert_eq!(
        client.call(&command),
        Value::Array(vec![
            Value::Array(vec![bulk(b"k\0\r\n1"), bulk(b"")]),
            Value::Array(vec![bulk(b"\xff\xfe"), bulk(b"last")])
        ])
    );
}

#[test]
fn ten_thousand_keys_and_arguments_arrive() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return {#KEYS, #ARGV, KEYS[#KEYS], ARGV[#ARGV]}"));
    let mut command: Vec<String> = ["SHADOW.FCALL", "f", "10000"].map(str::to_owned).to_vec();
    command.extend((0..10_000).map(|number| format!("k{number}")));
    command.extend((0..10_000).map(|number| format!("a{number}")));
    let texts: Vec<String> = client.call(&command).items().iter().map(Value::text).collect();
    assert_eq!(texts, ["10000", "10000", "k9999", "a9999"]);
}

#[test]
fn names_of_functions_fold_case() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "redis.register_function('MixedCase', function() return 1 end)"));
    for name in ["MixedCase", "mixedcase", "MIXEDCASE"] {
        assert_eq!(client.call(&["SHADOW.FCALL", name, "0"]), Value::Integer(1));
    }
}

#[test]
fn upvalues_persist_between_calls_and_belong_to_the_library() {
    let server = Server::start();
    let mut client = server.client();
    for name in ["one", "two"] {
        let body = format!("local n=0 redis.register_function('{name}', function() n=n+1 return n end)");
        load(&mut client, &source(name, &body));
    }
    assert_eq!(client.run("SHADOW.FCALL one 0"), Value::Integer(1));
    assert_eq!(client.run("SHADOW.FCALL one 0"), Value::Integer(2));
    assert_eq!(client.run("SHADOW.FCALL two 0"), Value::Integer(1));
}

#[test]
fn a_call_works_in_the_callers_database_and_leaves_it_selected() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set','here',1) redis.call('select',5) redis.call('set','there',1)"));
    client.run("SELECT 3");
    client.run("SHADOW.FCALL f 0");
    assert_eq!(client.run("EXISTS here there"), Value::Integer(1));
    client.run("SELECT 5");
    assert_eq!(client.run("EXISTS here there"), Value::Integer(1));
    client.run("SELECT 0");
    assert_eq!(client.run("EXISTS here there"), Value::Integer(0));
}

#[test]
fn an_error_after_select_leaves_the_callers_database_selected() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET zero 1");
    evaluate(&mut client, "redis.call('select',5) error('x')");
    assert_eq!(client.run("EXISTS zero"), Value::Integer(1));
}

#[test]
fn a_call_has_the_rights_of_the_caller() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return redis.call(ARGV[1], KEYS[1], ARGV[2])"));
    client.run("ACL SETUSER ann on nopass ~mine* +shadow.fcall +set +acl|whoami");
    let mut ann = server.client();
    ann.run("AUTH ann x");
    assert_eq!(ann.run("SHADOW.FCALL f 1 mine set v"), Value::Simple("OK".to_owned()));
    assert!(ann.run("SHADOW.FCALL f 1 mine append v").is_error(), "a command she may not run");
    let reply = ann.run("SHADOW.FCALL f 1 other set v");
    assert!(reply.text().starts_with("NOPERM"), "a key she may not declare: {reply:?}");
    assert_eq!(client.run("EXISTS mine other"), Value::Integer(1));
}

#[test]
fn a_key_that_was_not_declared_needs_the_callers_rights_too() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return redis.call('set', ARGV[1], 'v')"));
    client.run("ACL SETUSER ann on nopass ~mine* +shadow.fcall +set");
    let mut ann = server.client();
    ann.run("AUTH ann x");
    assert!(ann.run("SHADOW.FCALL f 0 other").is_error());
    assert_eq!(client.run("EXISTS other"), Value::Integer(0));
}

#[test]
fn a_denied_inner_command_is_in_the_acl_log_under_the_callers_name() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return redis.pcall('append', 'mine', 'v')"));
    client.run("ACL SETUSER ann on nopass ~mine +shadow.fcall");
    let mut ann = server.client();
    ann.run("AUTH ann x");
    ann.run("SHADOW.FCALL f 0");
    let log = client.run("ACL LOG").items();
    assert_eq!(log.len(), 1);
    for (field, value) in [("reason", "command"), ("object", "append"), ("username", "ann")] {
        assert_eq!(log[0].field(field).expect("a field").text(), value);
    }
}

#[test]
fn calls_from_scripts_and_functions_are_refused() {
    let server = Server::start();
    let mut client = server.client();
    let words = Words::of(&server);
    let refusal = format!("{}{}", words.not_for_scripts, words.place("f", 2));
    load(&mut client, &callback("return redis.call(unpack(ARGV))"));
    for command in [
        "shadow.fcall f 0",
        "shadow.fcall_ro f 0",
        "shadow.function flush",
        "shadow.function list",
        "shadow.function stats",
        "shadow.function delete x",
        "shadow.function load x",
    ] {
        let reply = client.run(&format!("SHADOW.FCALL f 0 {command}"));
        assert_eq!(reply, Value::Error(refusal.clone()), "{command}");
        let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
        let reply = client.call(&["EVAL", &format!("return redis.call({})", words.join(",")), "0"]);
        assert!(reply.text().contains("command is not allowed from script"), "{command}: {reply:?}");
    }
    assert_eq!(client.run("SHADOW.FUNCTION LIST").items().len(), 1);
}

#[test]
fn calls_can_be_queued_and_are_looked_up_when_they_run() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MULTI");
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Simple("QUEUED".to_owned()));
    assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", &numbered(1)]).text(), "QUEUED");
    assert_eq!(client.run("SHADOW.FCALL_RO f1 0").text(), "QUEUED");
    assert_eq!(client.run("SHADOW.FCALL f1 0").text(), "QUEUED");
    let replies = client.run("EXEC").items();
    assert_eq!(replies[0], Value::Error("ERR Function not found".to_owned()));
    assert_eq!(replies[3], Value::Integer(1));
}

#[test]
fn text_beyond_ascii_goes_through() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set', KEYS[1], 'größe') return redis.call('get', KEYS[1])"));
    assert_eq!(client.run("SHADOW.FCALL f 1 schlüssel").text(), "größe");
}

#[test]
fn a_function_calls_a_hundred_thousand_commands() {
    let server = Server::start();
    let mut client = server.client();
    let body = "for i = 1, 100000 do redis.call('incr', KEYS[1]) end return redis.call('get', KEYS[1])";
    load(&mut client, &callback(body));
    assert_eq!(client.run("SHADOW.FCALL f 1 counter").text(), "100000");
}

#[test]
fn a_write_done_before_an_error_stays() {
    let server = Server::start();
    let mut client = server.client();
    assert!(evaluate(&mut client, "redis.call('set','kept',1) error('x')").is_error());
    assert_eq!(client.run("GET kept").text(), "1");
}

#[test]
fn a_blocked_client_wakes_on_a_write_of_a_function() {
    let server = Server::start();
    let mut waiting = server.client();
    waiting.send(&["BLPOP", "list", "0"]);
    let mut client = server.client();
    crate::support::wait_until("a client is blocked", || client.info_number("blocked_clients") == 1);
    evaluate(&mut client, "redis.call('rpush','list','x')");
    assert_eq!(waiting.read().items().iter().map(Value::text).collect::<Vec<_>>(), ["list", "x"]);
}

#[test]
fn monitor_shows_inner_commands_as_those_of_a_module() {
    const BODY: &str = "return redis.call('set', KEYS[1], 'v')";
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback(BODY));
    for call in [["SHADOW.FCALL", "f", "1", "key"], ["SHADOW.EVAL", BODY, "1", "key"]] {
        let mut monitor = server.client();
        assert_eq!(monitor.run("MONITOR").text(), "OK");
        assert!(!client.call(&call).is_error(), "{call:?}");
        client.run("ECHO end");
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.ends_with("\"end\"")) {
            lines.push(monitor.read().text());
        }
        let inner = lines.iter().find(|line| line.ends_with("\"set\" \"key\" \"v\""));
        let inner = inner.expect("the inner command is shown");
        assert!(!inner.contains("lua]"), "{inner}");
    }
}

#[test]
fn the_log_of_slow_commands_names_inner_commands_without_a_caller() {
    let server = Server::start();
    let mut client = server.client();
    let code = callback("return redis.call('set', 'key', 'v')");
    load(&mut client, &code);
    client.call(&["FUNCTION", "LOAD", &code]);
    client.run("CONFIG SET slowlog-log-slower-than 0");
    let mut address = |call: &[&str]| {
        client.run("SLOWLOG RESET");
        client.call(call);
        let entries: Vec<Vec<Value>> = client.run("SLOWLOG GET").items().iter().map(Value::items).collect();
        let entry = |name: &str| {
            let found = entries.iter().find(|entry| entry[3].items()[0].text().eq_ignore_ascii_case(name));
            found.unwrap_or_else(|| panic!("no {name} in {entries:?}"))[4].text()
        };
        (entry(call[0]), entry("set"))
    };
    let script = "return redis.call('set', 'key', 'v')";
    for (own, ours) in
        [(["FCALL", "f", "0"], ["SHADOW.FCALL", "f", "0"]), (["EVAL", script, "0"], ["SHADOW.EVAL", script, "0"])]
    {
        let ((caller, own), (our_caller, ours)) = (address(&own), address(&ours));
        assert_eq!(our_caller, caller, "the outer command has an address");
        assert!(["", "?:0"].contains(&&*ours), "{ours}");
        assert_eq!(own, if server.flavour() == Flavour::Valkey { caller } else { ours });
    }
}

#[test]
fn the_log_of_the_acl_names_inner_commands_as_those_of_a_module() {
    let server = Server::start();
    let mut client = server.client();
    let code = callback("return redis.call('get', 'secret')");
    load(&mut client, &code);
    client.call(&["FUNCTION", "LOAD", &code]);
    client.run("ACL SETUSER ann on nopass ~mine +fcall +shadow.fcall +get");
    let mut ann = server.client();
    ann.run("AUTH ann any");
    for (command, context) in [("FCALL", "lua"), ("SHADOW.FCALL", "module")] {
        client.run("ACL LOG RESET");
        assert!(ann.run(&format!("{command} f 0")).is_error());
        let entries = client.run("ACL LOG").items();
        let field = |name: &str| entries[0].field(name).map(|value| value.text());
        assert_eq!(field("context").as_deref(), Some(context), "{command}");
        assert_eq!(field("object").as_deref(), Some("secret"), "{command}");
        assert_eq!(field("username").as_deref(), Some("ann"), "{command}");
    }
}

/// Whether the server's own functions are run by a module, which holds the words of their commands, and those of our
/// module are not called in the same way.
fn stores_words_otherwise(server: &Server) -> bool {
    let by_module = server.valkey_version().is_some_and(|version| version >= (9, 1, 0));
    by_module && server.client().info("shadow_call_path").as_deref() != Some("call-argv")
}

#[test]
fn values_are_stored_in_the_encodings_that_the_servers_own_functions_get() {
    let server = Server::start();
    if stores_words_otherwise(&server) {
        return;
    }
    let mut client = server.client();
    let writes = "redis.call('set', p .. 'number', 12345) redis.call('set', p .. 'text', '77') \
                  redis.call('set', p .. 'float', 1.5) redis.call('mset', p .. 'a', 1, p .. 'b', 'b') \
                  redis.call('getset', p .. 'a', 2) redis.call('set', p .. 'argument', ARGV[2]) \
                  redis.call('set', p .. 'long', ('x'):rep(60)) redis.call('append', p .. 'b', 3)";
    let code = callback(&format!("local p = ARGV[1] {writes}"));
    for (load, call, prefix) in [("FUNCTION", "FCALL", "own:"), ("SHADOW.FUNCTION", "SHADOW.FCALL", "our:")] {
        client.call(&[load, "LOAD", &code]);
        client.call(&[call, "f", "0", prefix, "99"]);
    }
    for key in ["number", "text", "float", "a", "b", "argument", "long"] {
        let [own, ours] = ["own:", "our:"].map(|prefix| client.run(&format!("OBJECT ENCODING {prefix}{key}")).text());
        assert_eq!(ours, own, "{key}");
    }
}

#[test]
fn a_command_of_any_length_gets_all_its_words() {
    let server = Server::start();
    let mut client = server.client();
    for words in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 1000] {
        let body = format!(
            "redis.call('del', 'l') local t = {{}} for i = 1, {words} do t[i] = 'word' .. i end \
             if #t > 0 then redis.call('rpush', 'l', unpack(t)) end return redis.call('lrange', 'l', 0, -1)"
        );
        let list = evaluate(&mut client, &body);
        let expected: Vec<String> = (1..=words).map(|number| format!("word{number}")).collect();
        assert_eq!(list.items().iter().map(Value::text).collect::<Vec<_>>(), expected, "{words} words");
    }
    // In a long command a number is stored as its text.
    evaluate(
        &mut client,
        "local t = {} for i = 1, 20 do t[#t + 1] = 'k' .. i t[#t + 1] = i end redis.call('mset', unpack(t))",
    );
    assert_eq!(client.run("OBJECT ENCODING k1").text(), "embstr");
    assert_eq!(client.run("GET k20").text(), "20");
}

#[test]
fn a_key_as_a_commands_first_word_is_that_word_in_a_command_of_any_length() {
    let server = Server::start();
    let mut client = server.client();
    for words in 1..=6 {
        let body = format!(
            "redis.call('del', KEYS[1]) local t = {{}} for i = 1, {words} do t[i] = KEYS[i % 2 + 1] end \
             redis.call('rpush', KEYS[1], unpack(t)) return redis.call('lrange', KEYS[1], 0, -1)"
        );
        client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &callback(&body)]);
        let list = client.run("SHADOW.FCALL f 2 key other");
        let expected: Vec<&str> = (1..=words).map(|word| ["key", "other"][word % 2]).collect();
        assert_eq!(list.items().iter().map(Value::text).collect::<Vec<_>>(), expected, "{words} words");
    }
}

#[test]
fn a_key_that_is_also_a_value_is_stored_as_a_value() {
    let server = Server::start();
    let mut client = server.client();
    let code = callback(
        "redis.call('set', KEYS[1], KEYS[1]) redis.call('rename', KEYS[1], 'moved') redis.call('append', KEYS[1], 'x') \
         redis.call('rpush', 'list', KEYS[1]) redis.call('hset', 'hash', KEYS[1], KEYS[1]) \
         redis.call('set', ARGV[1], ARGV[1]) return {redis.call('echo', KEYS[1]), redis.call('get', KEYS[1]), KEYS[1]}",
    );
    load(&mut client, &code);
    client.call(&["FUNCTION", "LOAD", &code]);
    let mut seen = Vec::new();
    for command in ["FCALL", "SHADOW.FCALL"] {
        assert_eq!(client.run("FLUSHALL").text(), "OK");
        let reply = client.run(&format!("{command} f 1 12345 678"));
        assert_eq!(reply.items().iter().map(Value::text).collect::<Vec<_>>(), ["12345", "x", "12345"]);
        seen.push(["moved", "12345", "list", "hash", "678"].map(|key| {
            let encoding = client.run(&format!("OBJECT ENCODING {key}")).text();
            (client.run(&format!("DUMP {key}")), encoding)
        }));
    }
    if !stores_words_otherwise(&server) {
        assert_eq!(seen[0], seen[1]);
    }
    assert_eq!(client.run("GET moved").text(), "12345");
}
