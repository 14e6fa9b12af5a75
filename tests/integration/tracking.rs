//! Client-side caching: which keys the server remembers for a client that has called a function or a script.

use crate::support::library::source;
use crate::support::{Client, Server, Value};

const FUNCTIONS: &str = "
    redis.register_function('get', function(KEYS) return redis.call('get', KEYS[1]) end)
    redis.register_function{function_name='ro', flags={'no-writes'}, callback=function(KEYS)
        return redis.call('get', KEYS[1])
    end}
    redis.register_function('undeclared', function() return redis.call('get', 'other') end)
    redis.register_function('caught', function(KEYS)
        redis.call('get', KEYS[1])
        return redis.pcall('get')
    end)
    redis.register_function('set', function(KEYS) return redis.call('set', KEYS[1], 'own') end)
    redis.register_function('nothing', function() return 1 end)";

const KEYS: [&str; 3] = ["key", "second", "other"];

/// The keys of which a client is told that they have changed, after it has sent `commands` with tracking on.
fn invalidated(server: &Server, options: &str, commands: &[&str]) -> Vec<String> {
    let (mut client, mut writer): (Client, Client) = (server.client(), server.client());
    client.hello3();
    let tracking = format!("CLIENT TRACKING ON {options}");
    assert_eq!(client.run(&tracking).text(), "OK");
    for key in KEYS {
        writer.run(&format!("SET {key} before"));
    }
    for command in commands {
        client.send(&command.split(' ').collect::<Vec<_>>());
        // What it writes itself it is told of, too.
        while matches!(client.read(), Value::Push(_)) {}
    }
    for key in KEYS {
        writer.run(&format!("SET {key} after"));
    }
    client.send(&["ECHO", "end"]);
    let mut keys = Vec::new();
    while let Value::Push(parts) = client.read() {
        keys.extend(parts[1].items().iter().map(Value::text));
    }
    keys.sort();
    keys
}

fn both() -> Server {
    let server = Server::start();
    let mut client = server.client();
    for command in ["FUNCTION", "SHADOW.FUNCTION"] {
        assert_eq!(client.call(&[command, "LOAD", &source("mylib", FUNCTIONS)]).text(), "mylib");
    }
    server
}

#[test]
fn keys_that_a_function_reads_are_tracked_alike() {
    let server = both();
    for call in [
        "FCALL get 1 key",
        "FCALL ro 1 key",
        "FCALL_RO ro 1 key",
        "FCALL undeclared 1 key",
        "FCALL caught 1 key",
        "EVAL return(redis.call('get',KEYS[1])) 1 key",
        "EVAL_RO return(redis.call('get',KEYS[1])) 1 key",
        "EVAL return(redis.call('get','other')) 1 key",
        "EVAL return(#{redis.call('get',KEYS[1]),redis.pcall('get')}) 1 key",
    ] {
        let shadow = format!("SHADOW.{call}");
        for (options, before, after) in [
            ("", &[][..], &[][..]),
            ("OPTIN", &["CLIENT CACHING YES"], &[]),
            ("OPTIN", &[], &[]),
            ("", &["MULTI"], &["EXEC"]),
        ] {
            let run = |call: &str| {
                let commands = [before, &[call], after].concat();
                invalidated(&server, options, &commands)
            };
            let own = run(call);
            assert_eq!(own.is_empty(), options == "OPTIN" && before.is_empty(), "{call} {options} {before:?}");
            assert_eq!(own, run(&shadow), "{call} {options} {before:?}");
        }
    }
}

#[test]
fn declared_keys_that_are_not_read_may_be_tracked_as_well() {
    let server = both();
    let all_declared = server.version() < (7, 2, 0);
    for (call, own, shadow) in [
        ("FCALL nothing 1 key", &[][..], if all_declared { &["key"][..] } else { &[] }),
        ("FCALL set 1 key", &[], if all_declared { &["key"] } else { &[] }),
        (
            "FCALL get 2 key second",
            if all_declared { &["key", "second"] } else { &["key"] },
            if all_declared { &["key", "second"] } else { &["key"] },
        ),
        ("EVAL return(1) 1 key", &[], if all_declared { &["key"] } else { &[] }),
        ("EVAL return(redis.call('set',KEYS[1],'own')) 1 key", &[], if all_declared { &["key"] } else { &[] }),
        (
            "EVAL_RO return(redis.call('get',KEYS[1])) 2 key second",
            if all_declared { &["key", "second"] } else { &["key"] },
            &["key", "second"],
        ),
        ("FCALL_RO ro 2 key second", if all_declared { &["key", "second"] } else { &["key"] }, &["key", "second"]),
    ] {
        assert_eq!(invalidated(&server, "", &[call]), own, "{call}");
        assert_eq!(invalidated(&server, "", &[&format!("SHADOW.{call}")]), shadow, "SHADOW.{call}");
    }
}
