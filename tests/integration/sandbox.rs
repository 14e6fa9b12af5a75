//! What a library can reach, and that it is no more than that.

use crate::support::library::{callback, evaluate, load, source};
use crate::support::walk::walk;
use crate::support::{Client, Flavour, Options, Server, Value, Words};

/// Globals while a function runs.
const GLOBALS: &str = "_G _VERSION assert bit cjson cmsgpack collectgarbage coroutine error gcinfo getmetatable ipairs load loadstring \
                       math next pairs pcall rawequal rawget rawset redis select setmetatable string struct table tonumber \
                       tostring type unpack xpcall";

/// Fields of each table while a function runs.
const FIELDS: &[(&str, &str)] = &[
    ("bit", "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex"),
    (
        "cjson",
        "_NAME _VERSION decode decode_invalid_numbers decode_max_depth encode encode_invalid_numbers \
         encode_keep_buffer encode_max_depth encode_number_precision encode_sparse_array new null",
    ),
    ("cmsgpack", "_COPYRIGHT _DESCRIPTION _NAME _VERSION pack unpack unpack_limit unpack_one"),
    ("struct", "pack size unpack"),
    ("coroutine", "create resume running status wrap yield"),
    (
        "math",
        "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf pi pow rad \
         random randomseed sin sinh sqrt tan tanh",
    ),
    ("string", "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper"),
    ("table", "concat foreach foreachi getn insert maxn remove setn sort"),
    (
        "redis",
        "LOG_DEBUG LOG_NOTICE LOG_VERBOSE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM REPL_ALL REPL_AOF REPL_NONE \
         REPL_REPLICA REPL_SLAVE acl_check_cmd call error_reply log pcall set_repl setresp sha1hex status_reply",
    ),
];

/// The fields of `redis` while a library loads.
const AT_LOAD: &str =
    "register_function log LOG_DEBUG LOG_VERBOSE LOG_NOTICE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM";

/// Names that Lua, Luau or a host of theirs knows and that must not exist here.
const ABSENT: &[&str] = &[
    "ARGV", "KEYS", "bit32", "buffer", "collect", "debug", "dofile", "getfenv", "io", "loadfile", "module", "newproxy",
    "package", "print", "require", "setfenv", "typeof", "utf8", "vector", "warn", "script", "game", "integer",
];

fn fields_of(client: &mut Client, table: &str) -> Vec<String> {
    let body =
        format!("local names = {{}} for name in next, {table} do names[#names + 1] = tostring(name) end return names");
    evaluate(client, &body).sorted_texts()
}

/// What a Valkey adds to the table `redis`.
fn fields_of_valkey(server: &Server) -> &'static str {
    if server.flavour() == Flavour::Valkey { "SERVER_NAME VALKEY_VERSION VALKEY_VERSION_NUM" } else { "" }
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    words.sort();
    words
}

#[test]
fn the_globals_of_a_running_function_are_exactly_these() {
    let server = Server::start();
    let mut client = server.client();
    let mut expected = words(GLOBALS);
    // The server's own functions have it from there on.
    if server.has_os_clock() {
        expected.push("os".to_owned());
        assert_eq!(fields_of(&mut client, "os"), ["clock"]);
    }
    if server.flavour() == Flavour::Valkey {
        expected.push("server".to_owned());
    }
    expected.sort();
    assert_eq!(fields_of(&mut client, "_G"), expected);
}

#[test]
fn the_fields_of_each_table_are_exactly_these() {
    let server = Server::start();
    let mut client = server.client();
    for (table, fields) in FIELDS {
        let own = match *table {
            "redis" => fields_of_valkey(&server),
            "cjson" if server.marks_json_arrays() => "decode_array_with_array_mt",
            _ => "",
        };
        assert_eq!(fields_of(&mut client, table), words(&format!("{fields} {own}")), "{table}");
    }
}

#[test]
fn on_valkey_the_api_is_the_global_server_as_well_at_load_and_in_calls() {
    let server = Server::start();
    let mut client = server.client();
    let Some((major, minor, patch)) = server.valkey_version() else {
        return;
    };
    let body = "local same = server == redis and 'same' or 'other'
        local at_load = {server.SERVER_NAME, server.VALKEY_VERSION, server.VALKEY_VERSION_NUM}";
    let function = "server.register_function('f', function()
        return {same, rawequal(server, redis) and 'same' or 'other', at_load,
            {redis.SERVER_NAME, server.VALKEY_VERSION, server.VALKEY_VERSION_NUM}, server.call('ping')}
        end)";
    load(&mut client, &source("mylib", &format!("{body}\n{function}")));
    let reply = client.run("SHADOW.FCALL f 0").items();
    let version = [
        Value::Bulk(b"valkey".to_vec()),
        Value::Bulk(format!("{major}.{minor}.{patch}").into_bytes()),
        Value::Integer((major << 16 | minor << 8 | patch).into()),
    ];
    assert_eq!([reply[0].text(), reply[1].text()], ["same", "same"]);
    assert_eq!([reply[2].items(), reply[3].items()], [version.clone(), version]);
    assert_eq!(reply[4].text(), "PONG");
}

#[test]
fn a_missing_global_is_an_error_at_load_and_at_run_time() {
    let server = Server::start();
    let mut client = server.client();
    for name in ABSENT {
        let missing = format!("user_function:2: Script attempted to access nonexistent global variable '{name}'");
        // Without names for its parameters, so that KEYS and ARGV are globals like any other.
        load(&mut client, &source("mylib", &format!("redis.register_function('f', function() return {name} end)")));
        assert_eq!(
            client.run("SHADOW.FCALL f 0"),
            Value::Error(format!("ERR {missing}{}", Words::of(&server).place("f", 2)))
        );
        assert_eq!(
            client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", &format!("local x = {name}"))]),
            Value::Error(format!("ERR Error registering functions: ERR {missing}"))
        );
    }
}

#[test]
fn what_the_server_has_deprecated_is_missing_even_where_it_is_enabled() {
    let server = Options::new().set("lua-enable-deprecated-api", "yes").start();
    let mut client = server.client();
    for name in ["getfenv", "setfenv", "newproxy"] {
        let code = callback(&format!("return type({name})"));
        for prefix in ["", "SHADOW."] {
            let reply = client.call(&[&format!("{prefix}FUNCTION"), "LOAD", "REPLACE", &code]);
            assert!(!reply.is_error(), "{reply:?}");
        }
        assert_eq!(client.run("FCALL f 0").text(), "function");
        let refusal = client.run("SHADOW.FCALL f 0").text();
        let text =
            format!("ERR user_function:2: Script attempted to access nonexistent global variable '{name}' script: ");
        assert!(refusal.starts_with(&text), "{refusal}");
    }
}

#[test]
fn only_redis_is_known_at_load() {
    let server = Server::start();
    let mut client = server.client();
    for name in words(GLOBALS).iter().filter(|name| *name != "redis") {
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &source("mylib", &format!("local x = {name}"))]);
        assert!(
            reply.text().ends_with(&format!("Script attempted to access nonexistent global variable '{name}'")),
            "{name}: {reply:?}"
        );
    }
    let (_, fields) = FIELDS.iter().find(|(table, _)| *table == "redis").expect("redis is listed");
    let at_load = words(&format!("{AT_LOAD} {}", fields_of_valkey(&server)));
    for name in words(fields).iter().chain(&at_load) {
        let body = format!("local x = redis.{name} redis.register_function('f', function() end)");
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", &body)]);
        assert_eq!(!reply.is_error(), at_load.contains(name), "redis.{name}: {reply:?}");
    }
}

#[test]
fn libraries_do_not_see_each_other() {
    let server = Server::start();
    let mut client = server.client();
    load(
        &mut client,
        &source("one", "local secret = 'secret' redis.register_function('one', function() return secret end)"),
    );
    for body in ["return secret", "return _G.secret", "return one", "return getmetatable(_G).secret or 'none'"] {
        let reply = evaluate(&mut client, body);
        assert!(!reply.text().contains("secret") || reply.is_error(), "{body}: {reply:?}");
    }
}

#[test]
fn nothing_shared_can_be_changed() {
    let server = Server::start();
    let mut client = server.client();
    for table in [
        "_G",
        "redis",
        "string",
        "table",
        "math",
        "coroutine",
        "bit",
        "cjson",
        "cmsgpack",
        "struct",
        "getmetatable('')",
        "getmetatable(_G)",
    ] {
        for change in [
            format!("{table}.added = 1"),
            format!("rawset({table}, 'added', 1)"),
            format!("setmetatable({table}, {{}})"),
            format!("table.insert({table}, 1)"),
            format!("for name in pairs({table}) do {table}[name] = nil end {table}.added = nil"),
        ] {
            let reply = evaluate(&mut client, &change);
            assert!(reply.text().contains("Attempt to modify a readonly table"), "{change}: {reply:?}");
        }
    }
    assert_eq!(evaluate(&mut client, "return rawget(_G, 'added') == nil and ('x'):rep(2)").text(), "xx");
}

#[test]
fn bytecode_is_neither_made_nor_run() {
    let server = Server::start();
    let mut client = server.client();
    let dumped = evaluate(&mut client, "return string.dump(function() return 'a secret constant' end)");
    assert!(!dumped.text().contains("secret"), "{dumped:?}");
    for first in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 27] {
        let reply = evaluate(
            &mut client,
            &format!("local f, e = loadstring('\\{first}garbage\\0\\1\\2') return {{type(f), type(e)}}"),
        );
        assert_eq!(reply.items().iter().map(Value::text).collect::<Vec<_>>(), ["nil", "string"], "first byte {first}");
    }
    assert_eq!(client.run("PING").text(), "PONG");
}

#[test]
fn code_made_at_run_time_is_in_the_same_sandbox() {
    let server = Server::start();
    let mut client = server.client();
    for body in
        ["return loadstring('x = 1')()", "return loadstring('redis.x = 1')()", "loadstring('function g() end')()"]
    {
        let reply = evaluate(&mut client, body);
        assert!(reply.text().contains("Attempt to modify a readonly table"), "{body}: {reply:?}");
    }
    assert_eq!(evaluate(&mut client, "return loadstring('return redis.call(\"ping\")')().ok").text(), "PONG");
}

#[test]
fn stubborn_recursion_ends_in_an_error() {
    let server = Server::start();
    let mut client = server.client();
    for body in [
        "local function f() return 1 + f() end return f()",
        "local function f(s) return (string.gsub(s, '.', f)) end return f('x')",
        "local function f() local ok, e = pcall(f) return e end f() error('ended')",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end return t.x",
        "local function f() return coroutine.wrap(f)() end return f()",
        "local t = {} t.__tostring = function(x) return tostring(x) end return tostring(setmetatable(t, t))",
    ] {
        let reply = evaluate(&mut client, body);
        assert!(reply.is_error(), "{body}: {reply:?}");
    }
    assert_eq!(evaluate(&mut client, "return 'alive'").text(), "alive");
}

/// The path of a thing and its type. What was met before is named by the path that it had there.
const LINE: &str = "function(path, value, earlier)
        if earlier and type(value) ~= 'userdata' then return path .. ' = ' .. earlier end
        return path .. ' ' .. type(value)
    end";

/// The lines of a walk with [`LINE`], beside this file.
const REACHABLE: &str = include_str!("reachable.txt");

/// The lines of the list that hold for this server.
fn reachable(server: &Server) -> Vec<&'static str> {
    let (clock, marks) = (server.has_os_clock(), server.marks_json_arrays());
    let valkey = server.flavour() == Flavour::Valkey;
    let is_of_valkey = |line: &str| {
        ["_G.server", "_G.redis.SERVER_", "_G.redis.VALKEY_"].iter().any(|beginning| line.starts_with(beginning))
    };
    let holds = |line: &&str| {
        !line.starts_with('#')
            && (clock || !line.starts_with("_G.os"))
            && (marks || !line.contains("decode_array_with_array_mt"))
            && (valkey || !is_of_valkey(line))
    };
    REACHABLE.lines().filter(holds).collect()
}

#[test]
fn everything_that_a_function_can_reach_is_on_the_list() {
    let server = Server::start();
    let mut client = server.client();
    let reached: Vec<String> =
        evaluate(&mut client, &format!("{} return lines", walk("", LINE))).items().iter().map(Value::text).collect();
    let expected = reachable(&server);
    assert_eq!(reached, expected, "what is reached, and what tests/integration/reachable.txt lists");
}

#[test]
fn no_table_that_libraries_share_can_be_changed() {
    let server = Server::start();
    let mut client = server.client();
    // What a call gets for itself may be changed.
    let walk = walk("", LINE);
    let body = format!(
        "{walk} local changed, count = {{}}, 0
        local changes = {{
            function(t) t.added = 1 end, function(t) t[1] = 1 end, function(t) rawset(t, 'added', 1) end,
            function(t) t[next(t)] = nil end, function(t) setmetatable(t, {{}}) end, function(t) setmetatable(t, nil) end,
            function(t) table.insert(t, 1) end, function(t) table.sort(t, function() return true end) end,
            function(t) table.foreach(t, function(k) t[k] = nil error('reached') end) end,
        }}
        for value, path in pairs(seen) do
            local own = path:find('^KEYS') or path:find('^ARGV') or path:find('^cjson%.new')
            if type(value) == 'table' and not own then
                count = count + 1
                for number, change in ipairs(changes) do
                    local ok, message = pcall(change, value)
                    if ok or not message:find('modify a readonly table', 1, true) then
                        changed[#changed + 1] = path .. ' by change ' .. number .. ': ' .. tostring(message)
                    end
                end
            end
        end
        return {{count, changed}}"
    );
    let reply = evaluate(&mut client, &body).items();
    let own = ["KEYS table", "ARGV table", "cjson.new() table"];
    let tables = reachable(&server).iter().filter(|line| line.ends_with(" table") && !own.contains(line)).count();
    assert_eq!(reply[0], Value::Integer(tables as i64));
    assert_eq!(reply[1].items(), [], "tables that were changed");
}

#[test]
fn a_library_that_loads_reaches_no_more_than_redis() {
    let server = Server::start();
    let mut client = server.client();
    // The language goes through a table without a function.
    let body = "local names = {} for name in redis do names[#names + 1] = name end \
                redis.register_function('f', function() return names end)";
    load(&mut client, &source("mylib", body));
    let at_load = words(&format!("{AT_LOAD} {}", fields_of_valkey(&server)));
    assert_eq!(client.run("SHADOW.FCALL f 0").sorted_texts(), at_load);
}
