//! Every case goes to the server's own command and to the shadow's in the same server, and the bytes of both replies
//! must be equal, in both versions of the protocol. A body that is sent as a function is sent as a script as well.

mod api;
mod bodies;
mod body;
mod chunks;
mod globals;
mod language;
mod nul;
mod order;
mod pair;
mod payloads;
mod registrations;
mod rights;
pub mod scripts;
mod sessions;

use crate::support::library::source;

pub use body::{Body, library};
pub use pair::{Pair, wording};

/// Where a case is sent.
#[derive(Clone, Copy, PartialEq)]
pub enum Runs {
    /// To every server.
    Everywhere,
    /// Not to Valkey 9.1 and later: the server does not survive its own function.
    UnlessFatal,
}

pub use Runs::{Everywhere, UnlessFatal};

#[test]
fn libraries_are_taken_and_refused_alike() {
    let mut pair = Pair::start();
    for code in chunks::SHEBANGS {
        pair.flush();
        for protocol in [2, 3] {
            pair.compare_in(protocol, &[b"FUNCTION", b"LOAD".as_slice(), b"REPLACE", code]);
        }
        pair.compare(&["FUNCTION", "LIST", "WITHCODE"]);
    }
    pair.finish();
}

#[test]
fn bodies_are_run_alike_at_load() {
    let mut pair = Pair::start();
    for (body, runs) in chunks::BODIES {
        if pair.runs(*runs) {
            pair.flush();
            pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]);
        }
    }
    pair.finish();
}

#[test]
fn functions_are_registered_alike() {
    let mut pair = Pair::start();
    for body in registrations::BODIES {
        pair.flush();
        pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]);
        pair.compare(&["FUNCTION", "LIST"]);
        pair.compare(&["FUNCTION", "STATS"]);
    }
    pair.finish();
}

fn compare_bodies(bodies: &[(&str, Runs)]) {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for (body, runs) in bodies {
        if !pair.runs(*runs) {
            continue;
        }
        for protocol in [2, 3] {
            pair.load_body(body);
            pair.compare_in(protocol, &["FCALL", "f", "1", "key", "argument"]);
        }
    }
    pair.finish();
}

/// Cases that are sent to every server.
fn compare_everywhere(cases: &[&str]) {
    let bodies: Vec<(&str, Runs)> = cases.iter().map(|case| (*case, Everywhere)).collect();
    compare_bodies(&bodies);
}

#[test]
fn json_is_written_and_read_alike() {
    compare_everywhere(crate::cjson::CASES);
}

#[test]
fn messages_are_packed_and_unpacked_alike() {
    compare_everywhere(crate::cmsgpack::CASES);
}

#[test]
fn structures_are_packed_and_unpacked_alike() {
    compare_everywhere(crate::struct_pack::CASES);
}

#[test]
fn bit_operations_work_alike() {
    compare_everywhere(crate::bit::CASES);
}

#[test]
fn values_are_replied_alike() {
    compare_bodies(bodies::VALUES);
}

#[test]
fn errors_are_replied_alike() {
    compare_bodies(bodies::ERRORS);
}

#[test]
fn the_redis_table_works_alike() {
    compare_bodies(bodies::REDIS_API);
}

#[test]
fn the_standard_library_works_alike() {
    compare_bodies(bodies::STANDARD_LIBRARY);
}

#[test]
fn numbers_become_text_alike() {
    let mut pair = Pair::start();
    for number in bodies::NUMBERS.iter().chain(language::NUMBERS) {
        pair.load_body(&language::NUMBER_TO_TEXT.replace("$", number));
        pair.compare(&["FCALL", "f", "0"]);
    }
    pair.finish();
}

#[test]
fn the_language_works_alike() {
    compare_everywhere(language::BODIES);
    let chains: Vec<String> =
        language::CHAINS.iter().map(|[start, link, end]| format!("{start}{}{end}", link.repeat(1_000))).collect();
    compare_everywhere(&chains.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_is_read_only_is_refused_alike() {
    compare_bodies(bodies::READ_ONLY);
}

#[test]
fn numbers_become_arguments_alike() {
    let mut pair = Pair::start();
    for number in bodies::NUMBERS {
        pair.load_body(&format!("return redis.call('echo', {number})"));
        pair.compare(&["FCALL", "f", "0"]);
        pair.load_body(&format!("return {{{number}, {{double = {number}}}}}"));
        pair.compare(&["FCALL", "f", "0"]);
    }
    pair.finish();
}

/// Of one in sixty, the newer servers print neither the fewest digits nor the closest.
#[test]
fn random_numbers_become_arguments_alike() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut pair = Pair::start();
    pair.load_body(
        "local texts = {} for i = 1, #ARGV do texts[i] = redis.call('echo', (struct.unpack('<d', ARGV[i]))) end return texts",
    );
    for _ in 0..20 {
        let numbers: Vec<[u8; 8]> = (0..500)
            .flat_map(|_| {
                let (any, near) = (rng.u64(..), rng.f64() * 10f64.powi(rng.i32(-10..20)));
                let decimal = rng.i64(..) as f64 / 10f64.powi(rng.i32(0..18));
                let edge = (rng.u64(..2047) << 52).wrapping_add(rng.u64(..3)).wrapping_sub(1);
                [any, near.to_bits(), decimal.to_bits(), edge, any >> 12 >> rng.u32(..52)].map(u64::to_le_bytes)
            })
            .collect();
        let mut command: Vec<&[u8]> = vec![b"FCALL", b"f", b"0"];
        command.extend(numbers.iter().map(|number| &number[..]));
        pair.compare(&command);
    }
    pair.finish();
}

#[test]
fn replies_of_inner_commands_are_converted_alike() {
    let mut pair = Pair::start();
    pair.keyspace(bodies::KEYSPACE);
    for (command, described) in bodies::INNER_COMMANDS {
        // One of the commands has an opinion of a server that uses more memory.
        pair.flush_scripts();
        for version in [2, 3] {
            let describe = bodies::DESCRIBE;
            let call = format!("redis.setresp({version}) local reply = redis.pcall({command})");
            if pair.runs(*described) {
                pair.load_body(&format!("{describe} {call} return describe(reply)"));
                pair.compare(&["FCALL", "f", "0"]);
            }
            pair.load_body(&format!("{call} return reply"));
            pair.compare(&["FCALL", "f", "0"]);
        }
    }
    pair.finish();
}

/// Compares these bodies; as functions, a hundred at a time are in one library.
fn compare_many(codes: &[String]) {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for codes in codes.chunks(100) {
        let bodies: Vec<Body> =
            codes.iter().enumerate().map(|(number, code)| Body::plain(&format!("f{number}"), code)).collect();
        pair.load_bodies(&bodies);
        for (body, code) in bodies.iter().zip(codes) {
            pair.loaded = format!(" as {code}");
            pair.compare(&["FCALL", body.name(), "1", "key", "argument"]);
        }
    }
    pair.finish();
}

#[test]
fn functions_of_the_api_take_and_refuse_arguments_alike() {
    let mut bodies = Vec::new();
    for function in api::FUNCTIONS {
        bodies.push(format!("return redis.{function}()"));
        bodies.push(format!("return redis.{function}(1, 2, 3)"));
        for (number, value) in api::VALUES.iter().enumerate() {
            let other = api::VALUES[(number * 7 + 4) % api::VALUES.len()];
            bodies.push(format!("return redis.{function}({value})"));
            bodies.push(format!("return redis.{function}({value}, {other})"));
            bodies.push(format!("return {{pcall(redis.{function}, {value})}}"));
        }
    }
    compare_many(&bodies);
}

#[test]
fn names_of_the_api_are_there_alike() {
    let ask = |name: &&str| {
        let questions = api::QUESTIONS.iter().map(|question| question.replace("NAME", name));
        questions.collect::<Vec<_>>()
    };
    compare_many(&api::NAMES.iter().flat_map(ask).collect::<Vec<_>>());
}

#[test]
fn names_of_the_api_are_there_alike_at_load() {
    let mut pair = Pair::start();
    for name in api::NAMES {
        for body in ["local x = redis.NAME", "local x = server.NAME", "local x = NAME", "redis.NAME = 1", "NAME = 1"] {
            pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", &body.replace("NAME", name))]);
        }
    }
    pair.compare(&["FUNCTION", "LOAD", "REPLACE", &source("mylib", "if server == redis then error('same') end")]);
    pair.finish();
}

#[test]
fn commands_of_functions_are_refused_alike() {
    let mut bodies = Vec::new();
    for command in api::COMMANDS {
        let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
        bodies.extend(api::WAYS.iter().map(|way| way.replace("WORDS", &words.join(", "))));
    }
    compare_many(&bodies);
}

#[test]
fn the_rights_of_the_caller_are_respected_alike() {
    let mut pair = Pair::start();
    let mut functions = Vec::new();
    for (number, command) in bodies::RIGHTS.iter().enumerate() {
        let call = format!("return redis.call({command})");
        functions.push(Body::plain(&format!("call{number}"), &call));
        functions.push(Body::plain(&format!("pcall{number}"), &format!("return redis.pcall({command})")));
        functions.push(Body::plain(&format!("check{number}"), &format!("return redis.acl_check_cmd({command})")));
        functions.push(Body::flagged(&format!("read{number}"), "no-writes", &call));
    }
    pair.load_bodies(&functions);
    let rules = "on nopass resetchannels ~mine &mine +fcall +shadow.fcall +eval +shadow.eval +set +get +mget +publish \
                 +object|encoding +ping";
    let rules: Vec<&str> = ["ACL", "SETUSER", "ann"].into_iter().chain(rules.split(' ')).collect();
    pair.command(&rules);
    pair.log_in("ann");
    for function in &functions {
        pair.compare(&["FCALL", function.name(), "0"]);
    }
    pair.compare(&["FCALL", "call0", "1", "mine"]);
    pair.finish();
}

#[test]
fn sequences_of_commands_are_answered_alike() {
    let mut pair = Pair::start();
    for session in sessions::SESSIONS {
        for protocol in [2, 3] {
            pair.flush();
            pair.command(&["FLUSHALL"]);
            for words in *session {
                pair.compare_in(protocol, words);
            }
        }
    }
    pair.finish();
}

#[test]
fn functions_share_the_state_of_their_library_alike() {
    let mut pair = Pair::start();
    for (body, calls) in sessions::LIBRARIES {
        pair.flush();
        pair.load(&source("mylib", body));
        for call in *calls {
            pair.compare(&call.split_whitespace().collect::<Vec<_>>());
        }
    }
    pair.finish();
}

#[test]
fn libraries_in_a_list_are_described_alike() {
    let mut pair = Pair::start();
    pair.load(&source(
        "Alpha",
        "redis.register_function{function_name='one', callback=function() end, description='first'}",
    ));
    for pattern in sessions::PATTERNS {
        pair.compare(&["FUNCTION", "LIST", "LIBRARYNAME", pattern]);
        pair.compare(&["function", "list", "withcode", "libraryname", pattern]);
    }
    pair.finish();
}
