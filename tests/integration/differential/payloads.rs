//! Payloads of DUMP and RESTORE: the same bytes are written, and the same bytes are taken and refused.

use crc::{CRC_64_REDIS, Crc};

use super::Pair;
use crate::support::library::{numbered, source};
use crate::support::{Flavour, Server, Value};

/// The bytes behind the records: the version and the checksum.
const FOOTER: usize = 10;

/// What a server without libraries dumps, up to the checksum: its version.
fn version(pair: &mut Pair) -> u16 {
    pair.flush();
    let empty = dump(pair, "FUNCTION");
    u16::from_le_bytes([empty[0], empty[1]])
}

fn dump(pair: &mut Pair, container: &str) -> Vec<u8> {
    match pair.clients[0].call(&[container, "DUMP"]) {
        Value::Bulk(payload) => payload,
        reply => panic!("{reply:?}"),
    }
}

/// A payload of these records with a right checksum.
fn sealed(records: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [records, &version.to_le_bytes()].concat();
    payload.extend_from_slice(&Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload).to_le_bytes());
    payload
}

/// The record of a library, its length in four bytes.
fn record(code: &str) -> Vec<u8> {
    [b"\xf5\x80".as_slice(), &(code.len() as u32).to_be_bytes(), code.as_bytes()].concat()
}

/// The records of libraries.
fn records(codes: &[&str]) -> Vec<u8> {
    codes.iter().flat_map(|code| record(code)).collect()
}

fn function(library: &str, functions: &[&str]) -> String {
    let body =
        functions.iter().map(|name| format!("redis.register_function('{name}', function() return '{library}' end)\n"));
    source(library, &body.collect::<String>())
}

/// Sends RESTORE to both and compares what they say, and what is there afterwards.
fn compare_restore(pair: &mut Pair, prepared: &[&str], payload: &[u8], policy: &[&str]) {
    for protocol in [2, 3] {
        pair.flush();
        for code in prepared {
            pair.load(code);
        }
        pair.loaded = format!(" after {} libraries", prepared.len());
        let mut command: Vec<&[u8]> = vec![b"FUNCTION", b"RESTORE", payload];
        command.extend(policy.iter().map(|word| word.as_bytes()));
        pair.compare_in(protocol, &command);
        // No order is promised where there are several.
        let lists: Vec<Vec<String>> = ["FUNCTION", "SHADOW.FUNCTION"]
            .iter()
            .map(|container| {
                let list = pair.clients[0].call(&[container, "LIST", "WITHCODE"]).items();
                let mut codes: Vec<String> =
                    list.iter().map(|library| library.field("library_code").expect("asked for").text()).collect();
                codes.sort();
                codes
            })
            .collect();
        assert_eq!(lists[0], lists[1], "after {}", payload.escape_ascii());
    }
}

#[test]
fn the_payload_of_one_library_is_the_same() {
    let mut pair = Pair::start();
    let long = "-- a line that comes again and again\n".repeat(1000);
    // Too different in itself to get shorter.
    let noise: String =
        (0..2000u32).map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90)).collect();
    let bodies =
        ["".to_owned(), long.clone(), format!("--{noise}\n"), format!("{long}--{noise}\n{long}"), long.repeat(20)];
    for compression in ["yes", "no"] {
        pair.command(&["CONFIG", "SET", "rdbcompression", compression]);
        pair.flush();
        pair.compare(&["FUNCTION", "DUMP"]);
        for body in &bodies {
            pair.load(&source("mylib", &format!("{body}redis.register_function('f', function() return 1 end)")));
            pair.compare(&["FUNCTION", "DUMP"]);
        }
    }
    pair.finish();
}

#[test]
fn a_payload_of_either_is_taken_by_the_other() {
    let mut pair = Pair::start();
    let mut codes: Vec<String> = (0..20).map(numbered).collect();
    codes.push(source("long", &format!("{}redis.register_function('g', function() end)", "-- again\n".repeat(500))));
    for compression in ["yes", "no"] {
        pair.command(&["CONFIG", "SET", "rdbcompression", compression]);
        pair.flush();
        codes.iter().for_each(|code| pair.load(code));
        let payloads = ["FUNCTION", "SHADOW.FUNCTION"].map(|container| dump(&mut pair, container));
        assert_eq!(payloads[0].len(), payloads[1].len());
        for payload in payloads {
            compare_restore(&mut pair, &[], &payload, &[]);
            compare_restore(&mut pair, &[&numbered(3), &numbered(30)], &payload, &["REPLACE"]);
            compare_restore(&mut pair, &[&numbered(3), &numbered(30)], &payload, &["FLUSH"]);
            compare_restore(&mut pair, &[&numbered(3), &numbered(30)], &payload, &["APPEND"]);
        }
    }
    pair.finish();
}

#[test]
fn words_of_restore_are_taken_and_refused_alike() {
    let mut pair = Pair::start();
    let version = version(&mut pair);
    let good = sealed(&records(&[&numbered(1)]), version);
    for words in [
        &[][..],
        &["FLUSH"],
        &["append"],
        &["Replace"],
        &["BAD"],
        &[""],
        &["FLUSH\0"],
        &["a\r\nb"],
        &["FLUSH", "APPEND"],
        &["BAD", "BAD"],
        &["FLUSH", "APPEND", "REPLACE"],
    ] {
        compare_restore(&mut pair, &[], &good, words);
        // What is wrong with the words comes before what is wrong with the payload.
        compare_restore(&mut pair, &[&numbered(1)], b"nonsense", words);
    }
    for words in [
        &["FUNCTION", "DUMP", "x"][..],
        &["FUNCTION", "RESTORE"],
        &["function", "restore"],
        // The words of the others are read alike.
        &["FUNCTION", "LOAD", "REPLACE\0x", &numbered(1)],
        &["FUNCTION", "LIST", "WITHCODE\0", "libraryname\0x", "*"],
        &["FUNCTION", "FLUSH", "sync\0x"],
        &["FUNCTION", "FLUSH", "\0sync"],
    ] {
        pair.compare(words);
    }
    pair.finish();
}

#[test]
fn footers_are_checked_alike() {
    let mut pair = Pair::start();
    let own = version(&mut pair);
    let body = records(&[&numbered(1)]);
    for version in (0..=100).chain([0xff, 0x100, 0x5000, 0xffff]) {
        compare_restore(&mut pair, &[], &sealed(&body, version), &[]);
    }
    let good = sealed(&body, own);
    for length in (0..FOOTER + 3).chain([good.len() - 1]) {
        compare_restore(&mut pair, &[&numbered(2)], &good[..length], &["FLUSH"]);
        compare_restore(&mut pair, &[&numbered(2)], &good[good.len() - length..], &["FLUSH"]);
    }
    for at in [0, 1, 8, good.len() - 10, good.len() - 9, good.len() - 8, good.len() - 1] {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        compare_restore(&mut pair, &[&numbered(2)], &damaged, &["REPLACE"]);
    }
    let mut unsummed = good.clone();
    let end = unsummed.len();
    unsummed[end - 8..].fill(0);
    compare_restore(&mut pair, &[], &unsummed, &[]);
    // Without libraries, of versions that are read and of others, with what is no record, and with one bit set.
    for version in [0, 1, 9, own, own + 1, 100] {
        let [low, high] = version.to_le_bytes();
        for records in [b"".as_slice(), &body, b"\xf5\x03abc", b"\xf7", b"\xf5\x08abc"] {
            let unsealed = [records, &[low, high], &[0; 8]].concat();
            compare_restore(&mut pair, &[&numbered(2)], &unsealed, &[]);
            let one_bit = [&unsealed[..unsealed.len() - 1], &[1]].concat();
            compare_restore(&mut pair, &[&numbered(2)], &one_bit, &[]);
        }
    }
    compare_restore(&mut pair, &[], &[good.as_slice(), b"x"].concat(), &[]);
    pair.finish();
}

#[test]
fn records_are_read_and_refused_alike() {
    let mut pair = Pair::start();
    let own = version(&mut pair);
    // Refused as a library whatever follows it, so that it is seen whether it was read.
    let code = "no metadata";
    let length = code.len() as u32;
    let with = |prefix: &[u8]| [prefix, code.as_bytes()].concat();
    let fine = record(&numbered(2));
    let mut cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        // Every form of a length.
        with(&[0xf5, 0x40 | (length >> 8) as u8, length as u8]),
        with(&[b"\xf5\x80".as_slice(), &length.to_be_bytes()].concat()),
        with(&[b"\xf5\x81".as_slice(), &u64::from(length).to_be_bytes()].concat()),
        with(&[b"\xf5\x80".as_slice(), &(length - 1).to_be_bytes()].concat()),
        // Into the footer, and beyond it.
        with(&[b"\xf5\x80".as_slice(), &(length + 10).to_be_bytes()].concat()),
        with(&[b"\xf5\x80".as_slice(), &(length + 11).to_be_bytes()].concat()),
        with(b"\xf5\x80\xff\xff\xff\xff"),
        with(b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff"),
        with(b"\xf5\x82"),
        with(b"\xf5\xbf"),
        // Numbers instead of text.
        b"\xf5\xc0\x07".to_vec(),
        b"\xf5\xc1\x07\x07".to_vec(),
        b"\xf5\xc2\x07\x07\x07\x07".to_vec(),
        b"\xf5\xc4\x07".to_vec(),
        b"\xf5\xff".to_vec(),
        b"\xf5".to_vec(),
        b"\xf5\0".to_vec(),
        // Compressed: broken, empty, of a wrong length.
        b"\xf5\xc3\x05\x0a\0a\xe0\0\0".to_vec(),
        b"\xf5\xc3\x05\x0b\0a\xe0\0\0".to_vec(),
        b"\xf5\xc3\x05\x09\0a\xe0\0\0".to_vec(),
        b"\xf5\xc3\x02\x05\xff\xff".to_vec(),
        b"\xf5\xc3\0\0".to_vec(),
        b"\xf5\xc3\x02\0\xff\xff".to_vec(),
        b"\xf5\xc3\xc3\xc2\x01ab".to_vec(),
        b"\xf5\xc3\x82\x02\x01ab".to_vec(),
        b"\xf5\xc3\x20\x02\x01ab".to_vec(),
        b"\xf5\xc3\x03\x81\x00\x00\x20\x00\x00\x00\x00\x00\x01ab".to_vec(),
        // What is no library.
        b"\0\x03abc".to_vec(),
        b"\xf4\x03abc".to_vec(),
        b"\xf7\x03abc".to_vec(),
        b"\xfa\x03abc\x03abc".to_vec(),
        b"\xfe\0".to_vec(),
        b"\xff".to_vec(),
        // The format before the first release, which 7.0 converts.
        b"\xf6\x02l1\x03LUA\0\x36redis.register_function('x', function() return 1 end)\n".to_vec(),
        b"\xf6\x02l1\x03LUA\x01\x04text\x36redis.register_function('x', function() return 1 end)\n".to_vec(),
        b"\xf6\xc4".to_vec(),
        b"\xf6\x01l\xc4".to_vec(),
        b"\xf6\x01l\x01e\x82".to_vec(),
        b"\xf6\x01l\x01e\x01\xc4".to_vec(),
        b"\xf6\x01l\x01e\x01\x01d\xc4".to_vec(),
        b"\xf6\x01l\x01e\0\xc4".to_vec(),
        b"\xf6\x01l\x02js\0\x01x".to_vec(),
    ];
    // One that is fine before it, or after it.
    let several: Vec<Vec<u8>> =
        cases.iter().flat_map(|case| [[&fine[..], case].concat(), [case, &fine[..]].concat()]).collect();
    cases.extend(several);
    for case in cases {
        compare_restore(&mut pair, &[&numbered(9)], &sealed(&case, own), &["REPLACE"]);
    }
    pair.finish();
}

#[test]
fn libraries_in_a_payload_are_checked_alike() {
    let mut pair = Pair::start();
    let own = version(&mut pair);
    let (a, b) = (function("a", &["f"]), function("b", &["g"]));
    for sources in [
        &["return 1"][..],
        &[""],
        &["#!js name=x\n"],
        &["#!lua\n"],
        &["#!lua name=a-b\n"],
        &["#!lua name=x\n"],
        &["#!lua name=x\nreturn 1"],
        &["#!lua name=x\nredis.call('get', 'a')"],
        &["#!lua name=x\nredis.register_function('not a name', function() end)"],
        &["#!lua name=x\nredis.register_function('y', function() end, 'z')"],
        // Twice in the payload.
        &[&a, &a],
        &[&a, &b, &function("a", &["h"])],
        &[&a, &function("c", &["F"])],
        // The first that is wrong counts.
        &[&a, "return 1", "#!js name=x\n"],
        &["#!lua name=x\n", "return 1"],
        &[&a, &a, "return 1"],
    ] {
        let payload = sealed(&records(sources), own);
        for policy in [&[][..], &["FLUSH"], &["REPLACE"]] {
            compare_restore(&mut pair, &[&function("live", &["l"])], &payload, policy);
        }
    }
    pair.finish();
}

#[test]
fn policies_meet_what_is_there_alike() {
    let mut pair = Pair::start();
    let own = version(&mut pair);
    let live = [function("a", &["f", "g"]), function("b", &["h"]), function("C", &["i"])];
    let live: Vec<&str> = live.iter().map(String::as_str).collect();
    for sources in [
        vec![],
        vec![function("x", &["y"])],
        // A library that is there, alone or behind a new one.
        vec![function("a", &["f"])],
        vec![function("x", &["y"]), function("b", &["z"])],
        // Another case is another name.
        vec![function("c", &["y"])],
        vec![function("A", &["f"])],
        // A function that is there, in any case.
        vec![function("x", &["H"])],
        vec![function("a", &["i"])],
        vec![function("a", &["f"]), function("x", &["h"])],
        // Functions change places.
        vec![function("a", &["h"]), function("b", &["f", "g"])],
        vec![function("b", &["F"]), function("a", &["H"])],
        vec![function("b", &["f"]), function("a", &["i"])],
        // One moves out of a library that is replaced, or out of one that is not.
        vec![function("a", &["f"]), function("x", &["g"])],
        vec![function("b", &["i"])],
    ] {
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        let payload = sealed(&records(&sources), own);
        // Which of two collisions is named goes by an order that is not promised.
        let both = sources.iter().filter(|source| ["a", "b"].iter().any(|name| source.contains(&format!("={name}\n"))));
        let appended = if both.count() == 2 { &[][..] } else { &[&[][..], &["APPEND"]] };
        for policy in appended.iter().chain([&["REPLACE"][..], &["FLUSH"]].iter()) {
            compare_restore(&mut pair, &live, &payload, policy);
        }
    }
    pair.finish();
}

#[test]
fn a_refused_payload_leaves_functions_as_they_were() {
    let mut pair = Pair::start();
    let own = version(&mut pair);
    pair.flush();
    pair.load(&source("counter", "local n = 0 redis.register_function('n', function() n = n + 1 return n end)"));
    let late = sealed(&records(&[&source("counter", "redis.register_function('x', function() end)"), "return 1"]), own);
    for policy in ["APPEND", "REPLACE", "FLUSH"] {
        pair.compare(&["FCALL", "n", "0"]);
        pair.compare(&[b"FUNCTION", b"RESTORE".as_slice(), &late, policy.as_bytes()]);
        pair.compare(&["FCALL", "n", "0"]);
        pair.compare(&["FUNCTION", "STATS"]);
    }
    // An error that comes after everything was built.
    pair.load(&function("other", &["taken"]));
    let colliding = sealed(&records(&[&function("counter", &["n"]), &function("x", &["taken"])]), own);
    pair.compare(&[b"FUNCTION", b"RESTORE".as_slice(), &colliding, b"REPLACE"]);
    pair.compare(&["FCALL", "n", "0"]);
    pair.compare(&["FUNCTION", "LIST", "LIBRARYNAME", "counter"]);
    pair.finish();
}

#[test]
fn relaxed_version_checks_are_relaxed_alike() {
    let mut pair = Pair::start();
    if pair.server().flavour() == Flavour::Redis {
        return;
    }
    pair.command(&["CONFIG", "SET", "rdb-version-check", "relaxed"]);
    let body = records(&[&numbered(1)]);
    for version in (0..=100).chain([0xffff]) {
        compare_restore(&mut pair, &[], &sealed(&body, version), &[]);
    }
    pair.finish();
}

#[test]
fn payloads_of_another_server_process_are_taken_alike() {
    let other = Server::start();
    let mut client = other.client();
    (0..5).for_each(|number| crate::support::library::load(&mut client, &numbered(number)));
    let Value::Bulk(payload) = client.run("SHADOW.FUNCTION DUMP") else { panic!("a payload") };
    let mut pair = Pair::start();
    compare_restore(&mut pair, &[], &payload, &[]);
    pair.finish();
}
