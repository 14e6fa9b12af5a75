//! SHADOW.FUNCTION LOAD.

use crate::support::library::{callback, load, load_many, names, numbered, source};
use crate::support::{Server, Value};

#[test]
fn the_reply_is_the_name_of_the_library_in_both_protocols() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.raw(&["SHADOW.FUNCTION", "LOAD", &callback("return 1")]), b"$5\r\nmylib\r\n");
    client.hello3();
    assert_eq!(client.raw(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &callback("return 1")]), b"$5\r\nmylib\r\n");
}

/// The server's own functions must not: that ends the process of Valkey 9.1.
#[test]
fn the_body_of_a_library_may_write_to_the_log() {
    let server = Server::start();
    let body = "redis.log(redis.LOG_WARNING, 'loading', 1) redis.register_function('f', function() end)";
    load(&mut server.client(), &source("mylib", body));
    server.wait_for_log("loading 1");
}

#[test]
fn the_source_is_kept_byte_for_byte() {
    let server = Server::start();
    let mut client = server.client();
    let code = b"#!lua  name=mylib\t\r\n-- \x01 \xff \x1b\r\nredis.register_function('f', function() end)\r\n\n\n";
    client.call(&[b"SHADOW.FUNCTION", b"LOAD".as_slice(), code]);
    let list = client.run("SHADOW.FUNCTION LIST WITHCODE");
    assert_eq!(list.items()[0].field("library_code"), Some(Value::Bulk(code.to_vec())));
}

#[test]
fn a_failed_replace_keeps_the_old_library_working() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "local n=0 redis.register_function('f', function() n=n+1 return n end)"));
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1));
    for body in ["", "redis.foo()", "redis.register_function(", "redis.register_function('f', 1)"] {
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]);
        assert!(reply.is_error(), "{reply:?} for {body:?}");
    }
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(2), "its upvalue has survived as well");
    assert_eq!(names(&mut client), ["mylib"]);
}

#[test]
fn a_failed_load_leaves_nothing_behind() {
    let server = Server::start();
    let mut client = server.client();
    let body = "redis.register_function('f', function() end) redis.foo()";
    let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &source("mylib", body)]);
    assert!(reply.is_error());
    assert_eq!(names(&mut client), [""; 0]);
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Error("ERR Function not found".to_owned()));
    load(&mut client, &source("other", "redis.register_function('f', function() return 1 end)"));
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1));
}

#[test]
fn replace_exchanges_the_functions_of_the_library_only() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    load(&mut client, &source("mylib", "redis.register_function('old', function() return 'old' end)"));
    load(&mut client, &source("mylib", "redis.register_function('new', function() return 'new' end)"));
    assert!(client.run("SHADOW.FCALL old 0").is_error());
    assert_eq!(client.run("SHADOW.FCALL new 0").text(), "new");
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn functions_that_differ_by_case_only_are_refused() {
    let server = Server::start();
    let mut client = server.client();
    let body = "redis.register_function('B1', function() end) redis.register_function('b1', function() end)";
    assert_eq!(
        client.call(&["SHADOW.FUNCTION", "LOAD", &source("mylib", body)]),
        Value::Error(
            "ERR Error registering functions: ERR Function names of a library must differ by more than case: 'B1' and 'b1'"
                .to_owned()
        )
    );
    assert_eq!(names(&mut client), [""; 0]);
}

#[test]
fn each_of_thousands_of_libraries_answers_for_itself() {
    const COUNT: usize = 3000;
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, COUNT);
    let calls: Vec<_> =
        (0..COUNT).map(|number| vec!["SHADOW.FCALL".to_owned(), format!("F{number}"), "0".to_owned()]).collect();
    let expected: Vec<_> = (0..COUNT).map(|number| Value::Integer(i64::try_from(number).expect("small"))).collect();
    assert_eq!(client.pipeline(&calls), expected);
}

#[test]
fn a_library_of_a_megabyte_loads() {
    let server = Server::start();
    let mut client = server.client();
    let filler: String =
        (0..20_000).map(|number| format!("-- a line of comment that counts for little {number}\n")).collect();
    load(&mut client, &source("mylib", &format!("{filler}redis.register_function('f', function() return 'end' end)")));
    assert_eq!(client.run("SHADOW.FCALL f 0").text(), "end");
}

#[test]
fn replacing_a_library_over_and_over_keeps_memory_in_bounds() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local t = {1,2,3,4,5,6,7,8} for i = 1, 2000 do t[i] = 'text number ' .. i end \
                redis.register_function('f', function() return #t end)";
    let replace = ["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", body)].map(str::to_owned).to_vec();
    client.pipeline(&vec![replace.clone(); 20]);
    let before = client.info_number("used_memory");
    let refused = client.pipeline(&vec![replace; 1000]).into_iter().find(Value::is_error);
    assert_eq!(refused, None);
    let grown = client.info_number("used_memory") - before;
    // A thousand copies that stayed would be well over 100 MB.
    assert!(grown < 30_000_000, "grew by {grown} bytes");
}

#[test]
fn the_body_never_counts_as_bytecode() {
    let server = Server::start();
    let mut client = server.client();
    for first in 1..32_u8 {
        let mut code = b"#!lua name=mylib\n".to_vec();
        code.push(first);
        code.extend_from_slice(b"\x01\x02\xff\xfe garbage");
        let reply = client.call(&[b"SHADOW.FUNCTION", b"LOAD".as_slice(), &code]);
        assert!(reply.text().starts_with("ERR Error compiling function: user_function:"), "{first}: {reply:?}");
    }
    assert_eq!(client.run("PING").text(), "PONG");
}

#[test]
fn a_body_that_does_not_end_is_stopped_after_half_a_second() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("other", "redis.register_function('other', function() return 'here' end)"));
    for body in [
        "while true do end",
        "local function f() return f end while f() do end",
        "('x'):rep(10):gsub('.', function() while true do end end)",
        "while true do local s = ('x'):rep(100) end",
    ] {
        let began = std::time::Instant::now();
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &source("mylib", body)]);
        assert_eq!(reply.text(), "ERR Error registering functions: ERR FUNCTION LOAD timeout", "{body}");
        assert!(began.elapsed().as_millis() >= 500, "{body}");
    }
    assert_eq!(names(&mut client), ["other"]);
    assert_eq!(client.run("SHADOW.FCALL other 0").text(), "here");
}
