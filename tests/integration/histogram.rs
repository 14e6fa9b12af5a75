//! How long calls take: HISTOGRAM, and the percentiles in LIST and in INFO.

use std::collections::{BTreeMap, BTreeSet};

use crate::list::number;
use crate::support::{Client, KINDS, Kind, Options, Server, Value, Words, wait_until};

/// The latency percentiles of a line of INFO, by name; None without the line.
fn percentiles(client: &mut Client, line: &str) -> Option<BTreeMap<String, f64>> {
    // The server has a line without pairs as well.
    let line = client.info(line).filter(|line| !line.is_empty())?;
    let pairs = line.split(',').map(|pair| pair.split_once('=').unwrap_or_else(|| panic!("no pair in {line}")));
    Some(pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect())
}

fn of_callee(client: &mut Client, kind: Kind, callee: &str) -> Option<BTreeMap<String, f64>> {
    percentiles(client, &format!("shadow_latency_percentiles_usec_{}_{callee}", kind.word()))
}

/// The entry of a function or a script in LIST WITHSTATS.
fn entry(client: &mut Client, kind: Kind, callee: &str) -> Value {
    let list = kind.run(client, "LIST WITHSTATS").items();
    let (all, name): (Vec<Value>, _) = match kind {
        Kind::Function => {
            (list.iter().flat_map(|one| one.field("functions").expect("functions").items()).collect(), "name")
        }
        Kind::Script => (list, "sha1"),
    };
    let is = |entry: &&Value| entry.field(name).is_some_and(|name| name.text() == callee);
    all.iter().find(is).unwrap_or_else(|| panic!("no {callee} in {all:?}")).clone()
}

/// The histogram of a function or a script: the calls, and the bounds with their counts. None if it has none.
fn histogram(client: &mut Client, kind: Kind, callee: &str) -> Option<(i64, Vec<(i64, i64)>)> {
    let reply = kind.run(client, &format!("HISTOGRAM {callee}"));
    assert!(matches!(reply, Value::Array(_) | Value::Map(_)), "{reply:?}");
    reply.field(callee).map(|entry| read(&entry))
}

fn read(entry: &Value) -> (i64, Vec<(i64, i64)>) {
    let steps = entry.field("histogram_usec").expect("a histogram").items();
    let integer = |value: &Value| value.text().parse().expect("an integer");
    let steps = steps.chunks(2).map(|pair| (integer(&pair[0]), integer(&pair[1]))).collect();
    (number(entry, "calls"), steps)
}

/// A loop of as many rounds as the first argument says.
const LOOP: &str = "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return n";

const NONE: [&str; 0] = [];

#[test]
fn list_info_and_histogram_tell_the_same() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", LOOP);
        let shown = entry(&mut client, kind, &callee);
        assert_eq!(
            ["p50_usec", "p99_usec", "p99.9_usec"].map(|field| shown.field(field)),
            [const { Some(Value::Null) }; 3]
        );
        assert_eq!((histogram(&mut client, kind, &callee), of_callee(&mut client, kind, &callee)), (None, None));
        // Of a thousand calls, 19 are a hundred times as long as the others, and one ten times as long as these.
        let rounds = |call: usize| match call {
            0 => "1000000",
            1..20 => "100000",
            _ => "1000",
        };
        let calls: Vec<_> = (0..1_000).map(|call| kind.words(&callee, &NONE, &[rounds(call)])).collect();
        assert!(client.pipeline(&calls).iter().all(|reply| !reply.is_error()));
        for protocol in [2, 3] {
            if protocol == 3 {
                client.hello3();
            }
            let shown = entry(&mut client, kind, &callee);
            let percentile = |field: &str| match shown.field(field) {
                Some(Value::Bulk(text)) => String::from_utf8_lossy(&text).parse::<f64>().expect("a number"),
                other => panic!("{field} is {other:?}"),
            };
            let listed = ["p50_usec", "p99_usec", "p99.9_usec"].map(percentile);
            assert!(listed[0] * 5.0 < listed[1] && listed[1] <= listed[2], "{listed:?}");
            let longest = number(&shown, "max_usec") as f64;
            assert!(listed[2] <= longest + 1.0 && longest > listed[0] * 100.0, "{listed:?} of {longest}");
            let told = of_callee(&mut client, kind, &callee).expect("a line");
            // How fast the processor's counter runs is known the better the longer it has run.
            let same = |left: f64, right: f64| (left / right - 1.0).abs() < 0.001;
            let told = ["p50", "p99", "p99.9"].map(|name| told[name]);
            assert!(listed.iter().zip(told).all(|(left, right)| same(*left, right)), "{listed:?}, {told:?} in INFO");
            let (counted, steps) = histogram(&mut client, kind, &callee).expect("a histogram");
            assert_eq!((counted, number(&shown, "calls")), (1_000, 1_000));
            assert_eq!(steps.last().expect("steps").1, 1_000, "{steps:?}");
            assert!(steps.is_sorted() && steps.windows(2).all(|pair| pair[0].1 < pair[1].1), "{steps:?}");
            // What half of the calls do not exceed, half of them are counted up to.
            for (percentile, count) in listed.iter().zip([500, 990, 999]) {
                let up_to =
                    |bound: f64| steps.iter().rev().find(|step| step.0 as f64 <= bound).map_or(0, |step| step.1);
                assert!(up_to(percentile * 0.98 - 1.0) < count, "{count}, {percentile}: {steps:?}");
                assert!(up_to(percentile * 2.1 + 1.0) >= count, "{count}, {percentile}: {steps:?}");
            }
        }
        client = server.client();
        client.run("SHADOW.FUNCTION RESETSTAT");
        assert_eq!((histogram(&mut client, kind, &callee), of_callee(&mut client, kind, &callee)), (None, None));
        assert_eq!(entry(&mut client, kind, &callee).field("p50_usec"), Some(Value::Null));
        kind.call(&mut client, &callee, &NONE, &["10"]);
        assert_eq!(histogram(&mut client, kind, &callee).expect("a histogram").0, 1);
    }
}

#[test]
fn the_form_is_that_of_latency_histogram() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let [first, second] = ["one", "two"].map(|name| {
            let callee = kind.prepare(&mut client, name, &format!("local name = '{name}' {LOOP}"));
            for round in 0..24 {
                kind.call(&mut client, &callee, &NONE, &[(1_u32 << round).to_string().as_str()]);
                client.run("PING");
            }
            callee
        });
        let command = if kind == Kind::Function { "shadow.fcall" } else { "shadow.evalsha" };
        for protocol in [2, 3] {
            if protocol == 3 {
                client.hello3();
            }
            let own = client.call(&["LATENCY", "HISTOGRAM", command]);
            let ours = kind.run(&mut client, "HISTOGRAM");
            assert_eq!(std::mem::discriminant(&ours), std::mem::discriminant(&own));
            let names: Vec<String> = ours.items().chunks(2).map(|pair| pair[0].text()).collect();
            let mut expected = vec![first.clone(), second.clone()];
            expected.sort();
            assert_eq!(names, expected, "by their names");
            let (own, ours) = (own.field(command).expect("an entry"), ours.field(&first).expect("an entry"));
            assert_eq!(std::mem::discriminant(&ours), std::mem::discriminant(&own));
            let names = |entry: &Value| entry.items().chunks(2).map(|pair| pair[0].clone()).collect::<Vec<_>>();
            assert_eq!(names(&ours), names(&own));
            let steps = |entry: &Value| entry.field("histogram_usec").expect("a histogram");
            assert_eq!(std::mem::discriminant(&steps(&ours)), std::mem::discriminant(&steps(&own)));
            // The loops fall between so many bounds of the server that each of ours is among them.
            let bounds = |entry: &Value| read(entry).1.iter().map(|step| step.0).collect::<BTreeSet<_>>();
            let known: BTreeSet<i64> = bounds(&own);
            // Those of the server end with that of a second, which a call may take on a slow machine.
            let bound = |power: u32| ((((1_i64 << 10) + (1 << 3)) << power) - 1) / 1_000;
            let all: Vec<i64> = (0..20).map(bound).chain([1_073_741]).collect();
            assert!(known.iter().all(|bound| all.contains(bound)), "{known:?} of the server");
            let all: Vec<i64> = (0..30).map(bound).collect();
            assert!(bounds(&ours).len() > 10 && bounds(&ours).iter().all(|bound| all.contains(bound)), "{ours:?}");
        }
        client = server.client();
        let both = client.call(&[kind.container(), "histogram", &second.to_uppercase(), &first]);
        let names: Vec<String> = both.items().chunks(2).map(|pair| pair[0].text()).collect();
        assert_eq!(names, [second, first], "in the order in which they were asked for");
    }
}

#[test]
fn the_percentiles_are_those_that_the_server_shows() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", LOOP);
        for rounds in ["10", "1000", "100000"] {
            kind.call(&mut client, &callee, &NONE, &[rounds]);
        }
        let command = if kind == Kind::Function { "shadow.fcall" } else { "shadow.evalsha" };
        for setting in ["50 99 99.9", "0 25 50 75 100", "99.99", "", "12.5 99.999999", "50 99 99.9"] {
            assert_eq!(client.call(&["CONFIG", "SET", "latency-tracking-info-percentiles", setting]).text(), "OK");
            let own = percentiles(&mut client, &format!("latency_percentiles_usec_{command}"));
            let own: Vec<String> = own.map(|line| line.into_keys().collect()).unwrap_or_default();
            let names = |client: &mut Client| -> Vec<String> {
                of_callee(client, kind, &callee).map(|line| line.into_keys().collect()).unwrap_or_default()
            };
            wait_until(&format!("INFO has the percentiles {setting}"), || names(&mut client) == own);
        }
        let told = of_callee(&mut client, kind, &callee).expect("a line");
        assert!(told["p50"] < told["p99"] && (told["p99"] - told["p99.9"]).abs() < 1.0, "{told:?}");
    }
}

#[test]
fn without_tracking_nothing_is_kept_and_what_was_kept_stays() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "redis.call('PING') return 1");
        kind.call(&mut client, &callee, &NONE, &NONE);
        client.run("CONFIG SET latency-tracking no");
        let (mut calls, mut counted) = (1, 1);
        wait_until("the module has seen the setting", || {
            let before = counted;
            kind.call(&mut client, &callee, &NONE, &NONE);
            calls += 1;
            counted = histogram(&mut client, kind, &callee).expect("a histogram").0;
            counted == before
        });
        kind.call(&mut client, &callee, &NONE, &NONE);
        let shown = entry(&mut client, kind, &callee);
        assert_eq!(histogram(&mut client, kind, &callee).expect("a histogram").0, counted);
        assert_eq!((number(&shown, "calls"), number(&shown, "commands")), (calls + 1, counted));
        client.run("CONFIG SET latency-tracking yes");
        wait_until("it counts again", || {
            kind.call(&mut client, &callee, &NONE, &NONE);
            histogram(&mut client, kind, &callee).expect("a histogram").0 > counted
        });
    }
    let server = Options::new().set("latency-tracking", "no").start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        kind.call(&mut client, &callee, &NONE, &NONE);
        assert_eq!(histogram(&mut client, kind, &callee), None, "the server was started so");
        assert_eq!(number(&entry(&mut client, kind, &callee), "calls"), 1);
    }
}

#[test]
fn commands_are_counted_and_timed_apart() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SETRANGE long 10000000 x");
    for kind in KINDS {
        let body = "for i = 1, tonumber(ARGV[1]) do redis.call('BITCOUNT', 'long') end
            redis.pcall('NOSUCH')
            local n = 0 for i = 1, tonumber(ARGV[2]) do n = n + i % 7 end return n";
        let callee = kind.prepare(&mut client, "f", body);
        let measured = |client: &mut Client| {
            let line = client.info(&format!("shadow_{}_{callee}", kind.word())).expect("a line");
            let told = ["usec", "commands", "commands_usec"].map(|field| {
                let pair = line.split(',').find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='));
                pair.expect(field).parse::<i64>().expect("a number")
            });
            let shown = entry(client, kind, &callee);
            let listed = ["usec", "commands", "commands_usec"].map(|field| number(&shown, field));
            // How fast the processor's counter runs is known the better the longer it has run.
            assert!(
                listed.iter().zip(told).all(|(one, other)| (one - other).abs() <= 1 + one / 1_000),
                "{listed:?}, {told:?}"
            );
            listed
        };
        kind.call(&mut client, &callee, &NONE, &["20", "0"]);
        let [all, commands, inner] = measured(&mut client);
        assert_eq!(commands, 21);
        assert!(inner <= all && inner * 10 > all * 9, "{inner} of {all}");
        client.run("SHADOW.FUNCTION RESETSTAT");
        kind.call(&mut client, &callee, &NONE, &["0", "3000000"]);
        let [all, commands, inner] = measured(&mut client);
        assert_eq!(commands, 1);
        assert!(inner * 10 < all, "{inner} of {all}");
    }
}

#[test]
fn a_call_that_fails_has_its_time_and_one_that_is_refused_has_none() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "error('x')");
        assert!(kind.call(&mut client, &callee, &NONE, &NONE).is_error());
        client.call(&[kind.words(&callee, &NONE, &NONE)[0].as_slice(), callee.as_bytes(), b"5"]);
        assert_eq!(histogram(&mut client, kind, &callee).expect("a histogram").0, 1);
    }
}

#[test]
fn a_name_that_does_not_exist_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let words = Words::of(&server);
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        kind.call(&mut client, &callee, &NONE, &NONE);
        for line in ["HISTOGRAM nosuch".to_owned(), format!("HISTOGRAM {callee} {}", "0".repeat(40))] {
            assert_eq!(kind.run(&mut client, &line), Value::Error(kind.unknown(words).to_owned()));
        }
        let many = format!("HISTOGRAM {}", format!("{callee} ").repeat(1_000));
        assert_eq!(kind.run(&mut client, &many).items().len(), 2_000);
    }
}
