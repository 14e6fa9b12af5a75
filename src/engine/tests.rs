//! The engine without a server: a host that is made up stands for it.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Answers every command with its own words, `PANIC` by panicking, and keeps what is logged.
#[derive(Default)]
pub struct Echo {
    reply: Vec<u8>,
    log: Vec<(LogLevel, String)>,
    modes: Vec<CallMode>,
}

impl Host for Echo {
    fn call(&mut self, name: &CStr, arguments: &[&[u8]], mode: CallMode, _: Caller) -> &[u8] {
        assert_eq!(arguments[0], name.to_bytes());
        assert_ne!(arguments[0], b"PANIC", "the host panics");
        self.modes.push(mode);
        self.reply = match arguments[0] {
            b"ERROR" => b"-WRONG it is\r\n".to_vec(),
            _ => {
                let words = arguments.join(&b' ');
                [format!("${}\r\n", words.len()).as_bytes(), &words, b"\r\n"].concat()
            }
        };
        &self.reply
    }

    fn permits(&mut self, arguments: &[&[u8]]) -> Permission {
        match (arguments[0], arguments.len()) {
            (b"nosuch", _) => Permission::Unknown,
            (b"forbidden", _) => Permission::Denied,
            (_, 1) => Permission::WrongArity,
            _ => Permission::Granted,
        }
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.log.push((level, String::from_utf8_lossy(message).into_owned()));
    }
}

/// Keeps the last string written to it.
#[derive(Default)]
pub struct Last(String);

impl Sink for Last {
    fn put(&mut self, item: Item<'_>) {
        let text = String::from_utf8_lossy;
        self.0 = match item {
            Item::Null | Item::NullBulk => "null".to_owned(),
            Item::Boolean(value) => value.to_string(),
            Item::Integer(value) => value.to_string(),
            Item::Double(value) => value.to_string(),
            Item::Bulk(bytes) | Item::BigNumber(bytes) | Item::Verbatim { text: bytes, .. } => text(bytes).into_owned(),
            Item::Status(bytes) => format!("+{}", text(bytes)),
            Item::Error(bytes) => format!("-{}", text(bytes)),
            Item::Array(length) => format!("*{length}"),
            Item::Map(pairs) => format!("%{pairs}"),
            Item::Set(length) => format!("~{length}"),
        };
    }
}

pub fn engine() -> FunctionEngine {
    FunctionEngine::new(Dialect::default()).unwrap()
}

/// Loads the body of a library that registers one function and gives its slot.
pub fn load(engine: &mut FunctionEngine, body: &str, host: &mut Echo) -> u32 {
    let body = format!("\nredis.register_function('f', function(KEYS, ARGV) {body} end)");
    engine.load(body.as_bytes(), None, host).unwrap().functions[0].slot
}

pub fn call(engine: &FunctionEngine, slot: u32, host: &mut Echo) -> Result<String, String> {
    let mut last = Last::default();
    let keys = [b"key".as_slice()];
    let result = engine.call(slot, "f", keys.into_iter(), [].into_iter(), host, &mut last);
    result.map(|()| last.0).map_err(|error| String::from_utf8_lossy(&error.0).into_owned())
}

pub fn run(body: &str) -> Result<String, String> {
    let (mut engine, mut host) = (engine(), Echo::default());
    let slot = load(&mut engine, body, &mut host);
    call(&engine, slot, &mut host)
}

#[test]
fn a_command_of_a_function_reaches_the_host_and_its_reply_comes_back() {
    assert_eq!(run("return redis.call('GET', KEYS[1], 3)"), Ok("GET key 3".to_owned()));
}

#[test]
fn an_error_reply_is_raised_by_call_and_returned_by_pcall() {
    assert_eq!(run("redis.call('ERROR')"), Err("WRONG it is script: f, on @user_function:2.".to_owned()));
    assert_eq!(run("return redis.pcall('ERROR')"), Ok("-WRONG it is".to_owned()));
}

/// The VM's own conversion prints other texts: a program that was linked with it fails here.
#[test]
fn every_way_from_a_number_to_a_string_prints_fourteen_digits() {
    let third = Ok("0.33333333333333".to_owned());
    for body in [
        "return tostring(1/3)",
        "local x = 1 return tostring(x/3)",
        "local x = 1 return x/3 .. ''",
        "return 1/3 .. ''",
        "return `{1/3}`",
        "local x = 1 return `{x/3}`",
        "return table.concat({1/3})",
        "return table.concat({1/3}, '')",
        "local t = {} for i = 1, 20 do t[i] = '' end t[7] = 1/3 return table.concat(t)",
        "return string.format('%s', 1/3)",
        "return string.format('%.50s', 1/3)",
        "return (string.rep(1/3, 1))",
        "return (string.gsub('x', 'x', 1/3))",
        "return (string.gsub('x', 'x', {x = 1/3}))",
        "return (string.gsub('x', 'x', function() return 1/3 end))",
        "return string.sub(1/3, 1)",
        "return string.lower(1/3)",
        "return (cjson.encode({[1/3] = 1}):match('[%d.]+'))",
        "return select(2, pcall(error, 1/3)) .. ''",
    ] {
        let (mut engine, mut host) = (engine(), Echo::default());
        let slot = load(&mut engine, body, &mut host);
        assert_eq!(call(&engine, slot, &mut host), third, "{body}");
        while !engine.vm().compile_native(slot) {}
        assert_eq!(call(&engine, slot, &mut host), third, "{body}, compiled");
    }
}

#[test]
fn a_panic_of_the_host_leaves_the_vm_usable() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let fine = load(&mut engine, "return redis.call('GET')", &mut host);
    for body in [
        "redis.call('PANIC')",
        "pcall(redis.call, 'PANIC')",
        "coroutine.wrap(function() redis.call('PANIC') end)()",
        "table.sort({2, 1}, function() redis.call('PANIC') end)",
    ] {
        let slot = load(&mut engine, body, &mut host);
        let panicked = catch_unwind(AssertUnwindSafe(|| call(&engine, slot, &mut host)));
        assert!(panicked.is_err(), "{body}: a script cannot catch a panic");
        assert_eq!(call(&engine, fine, &mut host), Ok("GET".to_owned()), "after {body}");
    }
}

#[test]
fn what_a_call_sets_does_not_outlast_it() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let sets = load(&mut engine, "redis.setresp(3) redis.set_repl(redis.REPL_NONE) redis.call('A')", &mut host);
    let plain = load(&mut engine, "redis.call('B')", &mut host);
    call(&engine, sets, &mut host).unwrap();
    call(&engine, plain, &mut host).unwrap();
    assert!(host.modes[0].resp3 && host.modes[0].replication.is_empty());
    assert!(!host.modes[1].resp3 && host.modes[1].replication.is_all());
}

#[test]
fn a_failed_load_gives_its_slots_back() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let body = b"\nredis.register_function('a', function() end) redis.register_function('b', 1)";
    for _ in 0..3 {
        assert!(engine.load(body, None, &mut host).is_err());
    }
    assert_eq!(load(&mut engine, "return 1", &mut host), 0);
}

#[test]
fn a_released_slot_is_used_again_and_the_others_stay() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let slots: Vec<u32> = (0..600).map(|number| load(&mut engine, &format!("return {number}"), &mut host)).collect();
    engine.release([slots[300]]);
    let again = load(&mut engine, "return 'new'", &mut host);
    assert_eq!(again, slots[300]);
    assert_eq!(call(&engine, again, &mut host), Ok("new".to_owned()));
    for number in [0, 255, 256, 299, 301, 599] {
        assert_eq!(call(&engine, slots[number], &mut host), Ok(number.to_string()));
    }
}

#[test]
fn a_script_logs_at_the_level_it_names() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let slot = load(&mut engine, "redis.log(redis.LOG_WARNING, 'a', nil, 1, {})", &mut host);
    call(&engine, slot, &mut host).unwrap();
    assert_eq!(host.log, [(LogLevel::Warning, "a 1".to_owned())]);
}

#[test]
fn permissions_are_asked_of_the_host() {
    assert_eq!(run("return tostring(redis.acl_check_cmd('get', 'key'))"), Ok("true".to_owned()));
    assert_eq!(run("return tostring(redis.acl_check_cmd('forbidden'))"), Ok("false".to_owned()));
    assert!(run("redis.acl_check_cmd('nosuch')").unwrap_err().starts_with("ERR Invalid command passed"));
    assert!(run("redis.acl_check_cmd('get')").unwrap_err().starts_with("ERR Wrong number of args for "));
}

#[test]
fn an_engine_can_be_dropped_on_another_thread() {
    let (mut engine, mut host) = (engine(), Echo::default());
    for number in 0..100 {
        load(&mut engine, &format!("return {number}"), &mut host);
    }
    std::thread::spawn(move || drop(engine)).join().unwrap();
}

/// Calls a function again from inside the call.
struct Nested<'a> {
    engine: &'a FunctionEngine,
    slot: u32,
    answer: Option<String>,
}

impl Host for Nested<'_> {
    fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
        let outcome = call(self.engine, self.slot, &mut Echo::default());
        self.answer = Some(outcome.unwrap_or_else(|error| error));
        b"+OK\r\n"
    }
}

#[test]
fn a_call_inside_a_call_is_refused_and_the_outer_one_goes_on() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let slot = load(&mut engine, "return redis.call('anything').ok .. ' and on'", &mut host);
    let mut nested = Nested { engine: &engine, slot, answer: None };
    let mut last = Last::default();
    engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut nested, &mut last).unwrap();
    assert_eq!(last.0, "OK and on");
    assert_eq!(nested.answer.unwrap(), "ERR A function cannot be called while another one is running");
    assert_eq!(
        call(&engine, slot, &mut host),
        Err("ERR user_function:2: attempt to concatenate nil with string script: f, on @user_function:2.".to_owned())
    );
}

#[test]
fn sizes_that_data_claims_take_no_memory() {
    let claims = [
        "cmsgpack.unpack, ('\\221\\255\\255\\255\\255'):rep(3000)",
        "cmsgpack.unpack, ('\\223\\255\\255\\255\\255\\1'):rep(3000)",
        "cmsgpack.unpack, '\\219\\255\\255\\255\\255x'",
        "struct.unpack, 'c2147483647', 'x'",
        "struct.pack, 'c2147483647', 'x'",
    ];
    for claim in claims {
        let body = format!(
            "collectgarbage() local before = collectgarbage('count') assert(not pcall({claim})) \
             return collectgarbage('count') - before < 4096 and 'little'"
        );
        assert_eq!(run(&body), Ok("little".to_owned()), "{claim}");
    }
}

#[test]
fn a_load_is_measured_whatever_the_collector_frees_meanwhile() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let mut measured = Vec::new();
    // More loads than there are memory categories.
    for _ in 0..300 {
        let large =
            "\nlocal t = {} for i = 1, 1000 do t[i] = {} end redis.register_function('g', function() return t end)";
        let large = engine.load(large.as_bytes(), None, &mut host).unwrap();
        let small = engine.load(b"\nredis.register_function('f', function() return 1 end)", None, &mut host).unwrap();
        assert!(large.bytes > 48_000, "{}", large.bytes);
        measured.push(small.bytes);
        engine.release([&large, &small].map(|loaded| loaded.functions[0].slot));
    }
    let (least, most) = (*measured.iter().min().unwrap(), *measured.iter().max().unwrap());
    assert!(least > 300 && most < 2_000, "{least} to {most}");
}

#[test]
fn a_function_gets_what_it_has_parameters_for() {
    for (callback, expected) in [
        ("function() return 'none' end", "none"),
        ("function(keys) return keys[1] end", "key"),
        ("function(keys, args) return keys[1] .. #args end", "key0"),
        ("function(...) return select('#', ...) .. (...)[1] end", "2key"),
        ("function(keys, ...) return keys[1] .. select('#', ...) end", "key1"),
        ("function(keys, args, more) return tostring(more) end", "nil"),
        ("redis.log", "First argument must be a number"),
    ] {
        let (mut engine, mut host) = (engine(), Echo::default());
        let body = format!("redis.register_function('f', {callback})");
        let slot = engine.load(body.as_bytes(), None, &mut host).unwrap().functions[0].slot;
        let text = call(&engine, slot, &mut host).unwrap_or_else(|text| text);
        assert!(text.contains(expected), "{callback}: {text}");
    }
}

/// Loads a library's body in the VM of a server with this dialect, and calls its first function.
fn run_on(dialect: Dialect, body: &str) -> Result<String, String> {
    let (mut engine, mut host) = (FunctionEngine::new(dialect).unwrap(), Echo::default());
    let loaded = engine.load(body.as_bytes(), None, &mut host);
    let loaded = loaded.map_err(|error| String::from_utf8_lossy(&error.0).into_owned())?;
    call(&engine, loaded.functions[0].slot, &mut host)
}

#[test]
fn each_server_has_its_own_words() {
    let body = "\nredis.register_function('f', function() redis.setresp() end)";
    for (dialect, text) in [
        (Dialect::redis("7.0.15"), "ERR redis.setresp() requires one argument. script: f, on @user_function:2."),
        (
            Dialect::valkey("7.2.4", "8.1.1"),
            "ERR server.setresp() requires one argument. script: f, on @user_function:2.",
        ),
        (Dialect::valkey("7.2.4", "9.1.2"), "ERR server.setresp() requires one argument. script: on @user_function:2."),
    ] {
        assert_eq!(run_on(dialect, body), Err(text.to_owned()));
    }
}

#[test]
fn on_valkey_the_api_has_two_names_at_load_and_in_calls() {
    let valkey = || Dialect::valkey("7.2.4", "8.1.1");
    let body = "\nlocal loaded = server == redis and server.VALKEY_VERSION
        server.register_function('f', function()
            return loaded .. ' ' .. redis.VALKEY_VERSION_NUM .. ' ' .. server.SERVER_NAME .. ' ' .. redis.REDIS_VERSION
                .. (rawequal(server, redis) and ' same' or ' other')
        end)";
    assert_eq!(run_on(valkey(), body), Ok("8.1.1 524545 valkey 7.2.4 same".to_owned()));
    let refusal = run_on(Dialect::redis("8.6.2"), body).unwrap_err();
    assert!(refusal.ends_with("Script attempted to access nonexistent global variable 'server'"), "{refusal}");
}

#[test]
fn on_valkey_names_are_looked_at_when_the_body_has_ended() {
    let name = |name: &str| format!("redis.register_function('{name}', function() end) ");
    let twice = [name("f"), name("f"), name("a-b")].concat();
    let bad = "can only contain letters, numbers, or underscores(_) and must be at least one character long";
    for (body, redis, valkey) in [
        (
            name("a-b"),
            format!("ERR Error registering functions: ERR Library names {bad}"),
            format!("ERR Function names {bad}"),
        ),
        (
            twice,
            "ERR Error registering functions: ERR Function already exists in the library".to_owned(),
            "ERR Function already exists in the library".to_owned(),
        ),
        (
            [name("a-b"), "redis.log()".to_owned()].concat(),
            format!("ERR Error registering functions: ERR Library names {bad}"),
            "ERR Error registering functions: ERR server.log() requires two arguments or more.".to_owned(),
        ),
    ] {
        assert_eq!(run_on(Dialect::redis("8.6.2"), &body), Err(redis));
        assert_eq!(run_on(Dialect::valkey("7.2.4", "8.1.1"), &body), Err(valkey));
    }
}

#[test]
fn a_load_that_is_refused_for_its_names_leaves_nothing_behind() {
    let (mut engine, mut host) = (FunctionEngine::new(Dialect::valkey("7.2.4", "8.1.1")).unwrap(), Echo::default());
    let body = "redis.register_function('f', function() end) redis.register_function('a-b', function() end)";
    assert!(engine.load(body.as_bytes(), None, &mut host).is_err());
    // The slot is free again, and the refusal is not the next load's.
    let good = engine.load(b"redis.register_function('f', function() return 'f' end)", None, &mut host).unwrap();
    assert_eq!(good.functions[0].slot, 0);
    assert_eq!(call(&engine, 0, &mut host), Ok("f".to_owned()));
}
