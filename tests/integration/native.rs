//! Machine code: which functions are compiled, and that nobody can tell but by the time.

use crate::support::library::load;
use crate::support::{Client, Options, Value, wait_until};

const SUM: &str = "#!lua name=sum\n\
    local function step(n, i) return n + i end\n\
    redis.register_function('sum', function(keys, args)\n\
        local n = 0\n\
        for i = 1, tonumber(args[1]) do n = step(n, i) end\n\
        return n\n\
    end)\n\
    redis.register_function('idle', function() return 1 end)";

/// More than the functions of one library take, or what is never compiled.
fn long_source() -> String {
    format!("{SUM}\n-- {}", "x".repeat(32 << 10))
}

fn options(jit: &str) -> Options {
    Options::new().module_arguments(&format!("jit {jit}"))
}

fn sum(client: &mut Client, to: u64) -> Value {
    client.run(&format!("SHADOW.FCALL sum 0 {to}"))
}

fn native_functions(client: &mut Client) -> i64 {
    client.info_number("shadow_native_functions")
}

/// Calls the function until it and the one that it reaches are compiled. When the first takes long, as on a busy
/// machine, the second waits for a later call.
fn wait_until_compiled(client: &mut Client) {
    wait_until("both functions are compiled", || {
        assert_eq!(sum(client, 10), Value::Integer(55));
        native_functions(client) == 2
    });
}

#[test]
fn a_function_that_has_run_for_long_is_compiled_and_one_that_has_not_is_not() {
    let server = options("hot").start();
    let mut client = server.client();
    load(&mut client, SUM);
    client.run("SHADOW.FCALL idle 0");
    assert_eq!(sum(&mut client, 10), Value::Integer(55));
    assert_eq!(native_functions(&mut client), 0);
    assert_eq!(client.info_number("shadow_native_code_bytes"), 0);
    wait_until("the function is compiled", || {
        assert_eq!(sum(&mut client, 100_000), Value::Integer(5_000_050_000));
        native_functions(&mut client) > 0
    });
    // With the function that it reaches; the other one was called once.
    wait_until_compiled(&mut client);
    assert!(client.info_number("shadow_native_code_bytes") > 0);
    assert_eq!(sum(&mut client, 10), Value::Integer(55));
}

#[test]
fn a_flush_takes_the_machine_code_along() {
    let server = options("always").start();
    let mut client = server.client();
    for mode in ["ASYNC", "SYNC"] {
        load(&mut client, SUM);
        wait_until_compiled(&mut client);
        client.run(&format!("SHADOW.FUNCTION FLUSH {mode}"));
        assert_eq!(native_functions(&mut client), 0);
        assert_eq!(client.info_number("shadow_native_code_bytes"), 0);
    }
}

#[test]
fn off_compiles_nothing_and_leaves_what_is_compiled_to_the_interpreter() {
    let server = options("off").start();
    let mut client = server.client();
    load(&mut client, SUM);
    for _ in 0..20 {
        assert_eq!(sum(&mut client, 100_000), Value::Integer(5_000_050_000));
    }
    assert_eq!(native_functions(&mut client), 0);
    for jit in ["always", "off", "hot", "off", "always"] {
        assert_eq!(client.call(&["CONFIG", "SET", "shadow.jit", jit]).text(), "OK");
        wait_until_compiled(&mut client);
    }
}

#[test]
fn the_setting_holds_for_the_generation_after_a_flush() {
    let server = options("off").start();
    let mut client = server.client();
    load(&mut client, SUM);
    client.call(&["CONFIG", "SET", "shadow.jit", "always"]);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    load(&mut client, SUM);
    wait_until_compiled(&mut client);
}

#[test]
fn a_function_of_a_long_source_is_never_hot() {
    let server = options("hot").start();
    let mut client = server.client();
    load(&mut client, &long_source());
    for _ in 0..50 {
        sum(&mut client, 100_000);
    }
    assert_eq!(native_functions(&mut client), 0);
}

#[test]
fn a_replaced_function_is_compiled_anew() {
    let server = options("always").start();
    let mut client = server.client();
    for round in 1..=3 {
        let code = format!("#!lua name=one\nredis.register_function('one', function() return {round} end)");
        client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &code]);
        assert_eq!(client.run("SHADOW.FCALL one 0"), Value::Integer(round));
        assert_eq!(native_functions(&mut client), round);
    }
}

#[test]
fn functions_run_where_the_system_allows_no_code_made_at_run_time() {
    let server = options("always").fixed_code().start();
    let mut client = server.client();
    load(&mut client, SUM);
    assert_eq!(client.info_number("shadow_native_code_open"), 1);
    for _ in 0..3 {
        assert_eq!(sum(&mut client, 10), Value::Integer(55));
        assert_eq!(client.run("SHADOW.FCALL idle 0"), Value::Integer(1));
    }
    assert_eq!(native_functions(&mut client), 0);
    assert_eq!(client.info_number("shadow_native_code_open"), 0);
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    load(&mut client, SUM);
    assert_eq!(sum(&mut client, 10), Value::Integer(55));
}

#[test]
fn many_libraries_that_are_called_once_stay_in_the_interpreter() {
    let server = options("hot").start();
    let mut client = server.client();
    crate::support::library::load_many(&mut client, 2_000);
    for number in 0..2_000 {
        client.run(&format!("SHADOW.FCALL f{number} 0"));
    }
    assert_eq!(native_functions(&mut client), 0);
}

#[test]
fn machine_code_ends_at_its_cap_and_functions_go_on() {
    let server = options("always").start();
    let mut client = server.client();
    crate::support::library::load_many(&mut client, 1_200);
    for round in 0..2 {
        for number in 0..1_200 {
            assert!(!client.run(&format!("SHADOW.FCALL f{number} 0")).is_error(), "{round}: {number}");
        }
    }
    assert_eq!(native_functions(&mut client), 1_000);
    assert_eq!(client.info_number("shadow_native_code_open"), 0);
    assert!(client.info_number("shadow_native_code_bytes") <= 16 << 20);
}

#[test]
fn a_nan_times_minus_one_has_another_sign_in_machine_code_alone() {
    let source = "#!lua name=sign\n\
        redis.register_function('sign', function(keys, args)\n\
            local nan = tonumber(args[1]) % 0\n\
            return {tostring(nan), tostring(nan * -1)}\n\
        end)";
    let texts = |jit: &str| {
        let server = options(jit).start();
        let mut client = server.client();
        load(&mut client, source);
        let reply = client.run("SHADOW.FCALL sign 0 1").items();
        [reply[0].text(), reply[1].text()]
    };
    let [nan, product] = texts("off");
    assert!(nan.ends_with("nan") && product == nan, "{nan}, {product}");
    let [nan, product] = texts("always");
    assert!(product.ends_with("nan") && product != nan, "{nan}, {product}");
}
