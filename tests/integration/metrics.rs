//! SHADOW.METRICS: what INFO tells, for Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use crate::security::impatient;
use crate::support::library::{callback, evaluate, load, load_many, source};
use crate::support::{Client, Flavour, Options, Server, Value, wait_until};

/// The form that a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OpenMetrics,
    Prometheus,
}

type Labels = BTreeMap<String, String>;

/// A metric with its values.
#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
    help: String,
    /// The values by the names of their samples and their labels.
    values: BTreeMap<(String, Labels), String>,
}

impl Family {
    /// What the samples are called.
    fn sample(&self, form: Form) -> String {
        let suffix = match (form, self.kind.as_str()) {
            (Form::OpenMetrics, "counter") => "_total",
            (Form::OpenMetrics, "info") => "_info",
            _ => "",
        };
        format!("{}{suffix}", self.name)
    }
}

/// Reads a text as its form wants it, and fails where it is not.
fn parse(text: &str, form: Form) -> Vec<Family> {
    let lines = match form {
        Form::OpenMetrics => text.strip_suffix("# EOF").unwrap_or_else(|| panic!("no end: {text}")),
        Form::Prometheus => text,
    };
    assert!(lines.ends_with('\n') && !lines.contains("# EOF") && !lines.contains('\r'), "{text}");
    let mut families: Vec<Family> = Vec::new();
    for line in lines.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        if let ["#", what, name, rest] = words[..] {
            if what == "HELP" {
                assert!(rest.ends_with('.') && !rest.contains(['\\', '"']), "{line}");
                let [name, help] = [name, rest].map(str::to_owned);
                families.push(Family { name, kind: String::new(), unit: None, help, values: BTreeMap::new() });
                continue;
            }
            let family = families.last_mut().expect("a metric begins with its help");
            assert!(family.name == name && family.values.is_empty(), "{line}");
            match what {
                "TYPE" => family.kind = rest.to_owned(),
                "UNIT" => family.unit = Some(rest.to_owned()),
                _ => panic!("{line}"),
            }
            continue;
        }
        let family = families.last_mut().expect("a value comes after its metric");
        let (name, labels, value) = sample(line);
        assert_eq!(name, family.sample(form), "{line}");
        assert!(value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{line}");
        assert_eq!(family.values.insert((name, labels), value), None, "twice: {line}");
    }
    for family in &families {
        let Family { name, kind, unit, .. } = family;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(plain) && name.starts_with("shadow"), "{name}");
        assert!(!family.values.is_empty(), "{name} has no value");
        let kinds: &[&str] = if form == Form::OpenMetrics {
            &["counter", "gauge", "summary", "info"]
        } else {
            &["counter", "gauge", "summary"]
        };
        assert!(kinds.contains(&kind.as_str()), "{family:?}");
        let total = form == Form::Prometheus && kind == "counter";
        assert_eq!(name.ends_with("_total"), total, "{family:?}");
        match unit {
            Some(unit) => assert!(form == Form::OpenMetrics && name.ends_with(&format!("_{unit}")), "{family:?}"),
            None => assert!(form == Form::Prometheus || !name.ends_with("_bytes") && !name.ends_with("_seconds")),
        }
    }
    let names: BTreeSet<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names.len(), families.len(), "a metric is in two places");
    families
}

/// The name, the labels and the value of a line.
fn sample(line: &str) -> (String, Labels, String) {
    let (name, mut rest) = line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}")));
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            let end = after.find('"').unwrap_or_else(|| panic!("no end of a label: {line}"));
            assert_eq!(labels.insert(label.to_owned(), after[..end].to_owned()), None, "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("no end of the labels: {line}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    (name.to_owned(), labels, value.to_owned())
}

/// All values of a text by their names and labels.
fn values(text: &str, form: Form) -> BTreeMap<(String, Labels), String> {
    parse(text, form).into_iter().flat_map(|family| family.values).collect()
}

fn metrics(client: &mut Client) -> BTreeMap<(String, Labels), String> {
    values(&client.run("SHADOW.METRICS").text(), Form::OpenMetrics)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(label, value)| [label, value].map(|text| (*text).to_owned())).map(|[a, b]| (a, b)).collect()
}

/// A server on which functions and scripts were called, refused and flushed, and that is at rest.
fn used_server() -> (Server, Client) {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 3);
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.run("SHADOW.SCRIPT FLUSH SYNC");
    load_many(&mut client, 3);
    let body = "redis.register_function('Mixed_Case_9', function() error('x') end)
                redis.register_function('slow', function() for i = 1, 1e6 do end end)";
    load(&mut client, &source("Lib_1", body));
    for call in ["f0 0", "f1 0", "f1 0", "mixed_case_9 0", "slow 0", "slow 0"] {
        client.run(&format!("SHADOW.FCALL {call}"));
    }
    client.run("SHADOW.FCALL_RO f2 0");
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    client.call(&["SHADOW.EVAL", "for i = 1, 1e6 do end return {err = 'x'}", "0"]);
    client.call(&["SHADOW.EVALSHA", "x", "0"]);
    wait_until("the worker is at rest", || {
        let rest = [("pending_libraries", 0), ("scripts_pending", 0), ("spare_ready", 1), ("scripts_spare_ready", 1)];
        rest.iter().all(|(field, value)| client.info_number(&format!("shadow_{field}")) == *value)
            && client.info_number("shadow_reclaim_queue") == 0
    });
    // From a tenth of a second on, ticks are always the same time. The server counts in seconds that have begun.
    wait_until("it is known how long a tick is", || client.info_number("uptime_in_seconds") >= 2);
    (server, client)
}

/// INFO and both forms, of one moment.
fn at_once(client: &mut Client) -> [String; 3] {
    client.run("MULTI");
    client.run("INFO shadow");
    client.run("SHADOW.METRICS");
    client.run("SHADOW.METRICS PROMETHEUS");
    let replies: Vec<String> = client.run("EXEC").items().iter().map(Value::text).collect();
    replies.try_into().expect("three replies")
}

/// What a field of INFO is called as a metric, without what marks a counter, and how many of its units make one there.
fn renamed(field: &str) -> (String, f64) {
    let name = match field {
        // What a label says of a metric.
        "cache_bytes" => "registry_bytes",
        "last_flush_libraries" | "last_flushed" => "last_flush_programs",
        "pending_libraries" | "pending" => "pending_programs",
        "freed_libraries" | "freed" => "freed_programs",
        // What a metric has its unit after.
        "memory_limit" => "memory_limit_bytes",
        "usec" => "call_usec",
        "max_usec" => "longest_call_usec",
        other => other,
    };
    name.strip_suffix("_usec").map_or((name.to_owned(), 1.0), |stem| (format!("{stem}_seconds"), 1e6))
}

#[test]
fn every_field_of_info_is_a_metric_of_the_same_value_and_nothing_else_is() {
    let (server, mut client) = used_server();
    let [info, open, _] = at_once(&mut client);
    let mut left = values(&open, Form::OpenMetrics);
    // The value of a metric, which is taken out of what is left.
    let mut take = |candidates: &[(String, Labels)], what: &str| -> String {
        let names = candidates
            .iter()
            .flat_map(|(name, labels)| ["", "_total"].map(|suffix| (format!("shadow_{name}{suffix}"), labels.clone())));
        let found: Vec<String> = names.filter_map(|name| left.remove(&name)).collect();
        assert_eq!(found.len(), 1, "{what} is {found:?} in\n{open}");
        found[0].clone()
    };
    let same = |value: &str, units: f64, metric: &str, what: &str| {
        let (value, metric): (f64, f64) = (value.parse().expect("a number"), metric.parse().expect("a number"));
        assert!((value / units - metric).abs() < 1e-9, "{what} is {metric}");
    };
    let (mut kind, mut fields) = ("", 0);
    for line in info.lines().filter(|line| !line.is_empty()) {
        if let Some(section) = line.strip_prefix("# shadow_") {
            kind = if section.starts_with("function") { "function" } else { "script" };
            continue;
        }
        let (field, value) = line.strip_prefix("shadow_").and_then(|line| line.split_once(':')).expect("a field");
        fields += 1;
        // A function or a script.
        let own = |name: &str, more: &[(&str, &str)]| {
            let library = match name {
                "Mixed_Case_9" | "slow" => "Lib_1".to_owned(),
                _ => name.replace('f', "lib"),
            };
            match kind {
                "function" => labels(&[&[("library", library.as_str()), ("function", name)], more].concat()),
                _ => labels(&[&[("sha1", name)], more].concat()),
            }
        };
        if let Some(name) = field.strip_prefix(&format!("latency_percentiles_usec_{kind}_")) {
            for (field, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
                let quantile = match field {
                    "p50" => "0.5",
                    "p99" => "0.99",
                    "p99.9" => "0.999",
                    _ => panic!("{line}"),
                };
                let metric = (format!("{kind}_latency_seconds"), own(name, &[("quantile", quantile)]));
                same(value, 1e6, &take(&[metric], line), line);
            }
            continue;
        }
        if let Some(name) = field.strip_prefix(&format!("{kind}_")) {
            for (field, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
                // The quotient of two others.
                if field != "usec_per_call" {
                    let (metric, units) = renamed(field);
                    same(value, units, &take(&[(format!("{kind}_{metric}"), own(name, &[]))], line), line);
                }
            }
            continue;
        }
        // A metric of the whole module, or one of both kinds.
        let of_kind = |more: &[(&str, &str)]| labels(&[&[("kind", kind)][..], more].concat());
        let (whole, _) = renamed(field);
        let (common, units) = renamed(field.strip_prefix("scripts_").unwrap_or(field));
        match value.parse::<f64>() {
            Ok(_) => same(value, units, &take(&[(whole, Labels::new()), (common, of_kind(&[]))], line), line),
            Err(_) => {
                let text = |label| [(label, value)];
                let candidates = [(common, of_kind(&text("mode"))), (whole, labels(&text("path")))];
                assert_eq!(take(&candidates, line), "1", "{line}");
            }
        }
    }
    assert!(fields > 60, "{info}");
    let version = (server.version(), server.valkey_version());
    let (name, (major, minor, patch)) = match (server.flavour(), version) {
        (Flavour::Valkey, (_, Some(own))) => ("Valkey", own),
        (_, (redis, _)) => ("Redis", redis),
    };
    let server = format!("{major}.{minor}.{patch}");
    let own = [("version", env!("CARGO_PKG_VERSION")), ("server", name), ("server_version", server.as_str())];
    assert_eq!(left, BTreeMap::from([(("shadow_info".to_owned(), labels(&own)), "1".to_owned())]));
}

#[test]
fn both_forms_tell_the_same() {
    let (_server, mut client) = used_server();
    let [_, open, older] = at_once(&mut client);
    assert_eq!(values(&open, Form::OpenMetrics), values(&older, Form::Prometheus));
    let told = |text: &str, form| -> BTreeMap<String, (String, String)> {
        let kind = |family: &Family| family.kind.replace("info", "gauge");
        parse(text, form).iter().map(|family| (family.sample(form), (kind(family), family.help.clone()))).collect()
    };
    assert_eq!(told(&open, Form::OpenMetrics), told(&older, Form::Prometheus));
    for (word, expected) in [("openmetrics", &open), ("OpenMetrics", &open), ("prometheus", &older)] {
        assert_eq!(client.call(&["SHADOW.METRICS", word]).text(), *expected, "{word}");
    }
}

#[test]
fn a_server_that_nothing_was_done_with_has_no_metric_without_a_value() {
    let server = Server::start();
    let [_, open, older] = at_once(&mut server.client());
    let (open, older) = (parse(&open, Form::OpenMetrics), parse(&older, Form::Prometheus));
    assert!(open.len() > 20, "{open:?}");
    assert_eq!(open.len(), older.len());
}

#[test]
fn the_reply_is_a_text_like_that_of_info() {
    let server = Server::start();
    let mut client = server.client();
    assert!(matches!(client.run("SHADOW.METRICS"), Value::Bulk(_)));
    client.hello3();
    assert!(matches!(client.run("SHADOW.METRICS"), Value::Verbatim(form, _) if form == "txt"));
    assert!(client.raw(&["SHADOW.METRICS"]).ends_with(b"\n# EOF\r\n"));
    assert!(client.raw(&["SHADOW.METRICS", "PROMETHEUS"]).ends_with(b"\n\r\n"));
}

#[test]
fn no_more_functions_and_scripts_are_listed_than_a_reply_can_bear() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 1_200);
    load(&mut client, &callback("local n = 0 for i = 1, 1e6 do n = n + i % 7 end return n"));
    let call = |number: usize| ["SHADOW.FCALL", &format!("f{number}"), "0"].map(str::to_owned).to_vec();
    client.pipeline(&(0..1_200).map(call).collect::<Vec<_>>());
    client.run("SHADOW.FCALL f 0");
    // Those of SCRIPT LOAD are not evicted.
    let texts: Vec<String> = (0..1_200).map(|number| format!("return {number}")).collect();
    let load = |text: &String| ["SHADOW.SCRIPT", "LOAD", text].map(str::to_owned).to_vec();
    let digests = client.pipeline(&texts.iter().map(load).collect::<Vec<_>>());
    let call = |digest: &Value| ["SHADOW.EVALSHA", &digest.text(), "0"].map(str::to_owned).to_vec();
    client.pipeline(&digests.iter().map(call).collect::<Vec<_>>());
    let told = metrics(&mut client);
    let called = |what: &str| told[&(format!("shadow_{what}s_called"), Labels::new())].clone();
    assert_eq!((called("function"), called("script")), ("1201".to_owned(), "1200".to_owned()));
    for metric in
        ["calls_total", "call_seconds_total", "rejected_calls_total", "failed_calls_total", "longest_call_seconds"]
    {
        for kind in ["function", "script"] {
            let name = format!("shadow_{kind}_{metric}");
            assert_eq!(told.keys().filter(|(sample, _)| *sample == name).count(), 1_000, "{name}");
        }
    }
    let longest = labels(&[("library", "mylib"), ("function", "f")]);
    assert!(told.contains_key(&("shadow_function_calls_total".to_owned(), longest)), "that which took most time");
}

/// The running call as the metrics have it: its kind, its name, and when it began.
fn running(client: &mut Client) -> Option<(String, String, f64)> {
    let told = metrics(client);
    let ((_, labels), value) = told.iter().find(|((name, _), _)| name == "shadow_running")?;
    assert_eq!(value, "1");
    let kind = Labels::from([("kind".to_owned(), labels["kind"].clone())]);
    let since = &told[&("shadow_running_since_timestamp_seconds".to_owned(), kind)];
    Some((labels["kind"].clone(), labels["name"].clone(), since.parse().expect("a number")))
}

#[test]
fn a_call_that_runs_long_is_told_of_while_it_runs() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    assert_eq!(running(&mut other), None);
    load(&mut caller, &callback("while true do end"));
    let endless = "while true do end";
    let digest = caller.call(&["SHADOW.SCRIPT", "LOAD", endless]).text();
    for (kind, name, command, kill) in [
        ("function", "f", vec!["SHADOW.FCALL", "f", "0"], "SHADOW.FUNCTION KILL"),
        ("script", digest.as_str(), vec!["SHADOW.EVAL", endless, "0"], "SHADOW.SCRIPT KILL"),
    ] {
        let before = other.run("TIME").items()[0].text().parse::<f64>().expect("seconds");
        caller.send(&command);
        wait_until("others are refused", || other.run("PING").text().starts_with("BUSY "));
        let (running_kind, running_name, since) = running(&mut other).expect("a call is running");
        assert_eq!((running_kind.as_str(), running_name.as_str()), (kind, name));
        assert!((before..before + 60.0).contains(&since), "{since} after {before}");
        assert!(!other.run("SHADOW.METRICS PROMETHEUS").is_error());
        assert_eq!(other.run(kill).text(), "OK");
        caller.read();
        assert_eq!(running(&mut other), None);
    }
}

#[test]
fn it_answers_while_a_script_of_the_servers_own_runs_long() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    caller.send(&["EVAL", "while true do end", "0"]);
    wait_until("others are refused", || other.run("PING").text().starts_with("BUSY "));
    assert_eq!(running(&mut other), None, "it is none of the module's");
    assert_eq!(other.run("SCRIPT KILL").text(), "OK");
    caller.read();
}

#[test]
fn it_answers_on_a_replica_that_has_lost_its_master() {
    let server = Options::new().set("replica-serve-stale-data", "no").start();
    let mut client = server.client();
    client.run("REPLICAOF 127.0.0.1 1");
    assert!(client.run("SHADOW.FUNCTION LIST").text().starts_with("MASTERDOWN "));
    assert!(!metrics(&mut client).is_empty());
}

#[test]
fn what_it_does_not_take_is_named() {
    let server = Server::start();
    let mut client = server.client();
    for (words, unknown) in [
        (vec!["JSON"], "JSON"),
        (vec![""], ""),
        (vec!["OPENMETRICS", "PROMETHEUS"], "PROMETHEUS"),
        (vec!["PROMETHEUS", "x", "y"], "x"),
        (vec!["a\r\nb"], "a  b"),
    ] {
        let command = [vec!["SHADOW.METRICS"], words].concat();
        assert_eq!(client.call(&command), Value::Error(format!("ERR Unknown argument {unknown}")), "{command:?}");
    }
}

#[test]
fn neither_functions_nor_scripts_may_ask_for_it() {
    let server = Server::start();
    let mut client = server.client();
    assert!(evaluate(&mut client, "return redis.call('shadow.metrics')").is_error());
    assert!(client.call(&["SHADOW.EVAL", "return redis.call('shadow.metrics')", "0"]).is_error());
    assert!(client.call(&["EVAL", "return redis.call('shadow.metrics')", "0"]).is_error());
}
