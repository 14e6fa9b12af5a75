//! examples/json_document.lua

use super::{Loaded, shown};

impl Loaded {
    fn set(&mut self, json: &str) -> String {
        self.call_words(&["doc_set", "1", "doc", json])
    }

    fn patch(&mut self, patch: &str) -> String {
        self.call_words(&["doc_patch", "1", "doc", patch])
    }

    /// The document or a part of it, without the version.
    fn get(&mut self, pointer: &str) -> String {
        let reply = self.client.call(&["SHADOW.FCALL_RO", "doc_get", "1", "doc", pointer]);
        reply.items().get(1).map_or_else(|| shown(&reply), shown)
    }
}

#[test]
fn a_patch_sets_removes_and_leaves_alone() {
    let mut documents = Loaded::start("json_document");
    for (document, patch, result) in [
        (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"b":2}"#, r#"{"a":null}"#, r#"{"b":2}"#),
        (r#"{"a":1}"#, r#"{"b":null}"#, r#"{"a":1}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[3]}"#, r#"{"a":[3]}"#),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":null,"d":{"e":null,"f":3}}}"#, r#"{"a":{"c":2,"d":{"f":3}}}"#),
        (r#"{"a":1}"#, r#"{"a":{"b":{}}}"#, r#"{"a":{"b":{}}}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":"text"}"#, r#"{"a":"text"}"#),
        (r#"[1,{"a":2}]"#, r#"{"a":3}"#, r#"{"a":3}"#),
        (r#"{"a":1}"#, "[null,1]", "[null,1]"),
        (r#"{"a":1}"#, "null", "null"),
        (r#"{"a":1}"#, r#"{"b":[{"c":null}]}"#, r#"{"a":1,"b":[{"c":null}]}"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
        (r#"{"a":null}"#, r#"{"b":1}"#, r#"{"a":null,"b":1}"#),
        (r#"{"z":1,"a":2,"m":3}"#, r#"{"a":null,"z":4,"b":5}"#, r#"{"z":4,"m":3,"b":5}"#),
    ] {
        documents.set(document);
        documents.patch(patch);
        assert_eq!(documents.get(""), result, "{document} and {patch}");
    }
}

#[test]
fn what_a_patch_does_not_name_stays_as_it_was_written() {
    let mut documents = Loaded::start("json_document");
    let kept = r#"{"long":123456789012345678901234567890,"exact":0.1000000000000000055,"one":1.0,"power":-1E+2,"none":[],"empty":{},"text":"\u00e9\/\"ü","\u0041":1,"10":[[],[{}]]"#;
    documents.set(&format!("{kept}}}"));
    documents.patch(r#"{"new":true}"#);
    assert_eq!(documents.get(""), format!("{kept},\"new\":true}}"));
}

#[test]
fn names_are_compared_by_what_they_stand_for() {
    let mut documents = Loaded::start("json_document");
    documents.set(r#"{"A":1,"a\/b":2,"\n":3}"#);
    documents.patch(r#"{"\u0041":null,"a/b":4}"#);
    assert_eq!(documents.get(""), r#"{"a\/b":4,"\n":3}"#);
    documents.set(r#"{"a":1,"b":2,"\u0061":3}"#);
    assert_eq!(documents.get(""), r#"{"\u0061":3,"b":2}"#);
}

#[test]
fn a_pointer_names_a_part() {
    let mut documents = Loaded::start("json_document");
    documents.set(r#" { "a" : [ 10 , { "b" : "c" } ] , "" : 1 , "x/y" : 2 , "m~n" : 3 , "~1" : 4 , "0" : 5 } "#);
    for (pointer, part) in [
        ("/a/0", "10"),
        ("/a/1", r#"{"b":"c"}"#),
        ("/a/1/b", r#""c""#),
        ("/", "1"),
        ("/x~1y", "2"),
        ("/m~0n", "3"),
        ("/~01", "4"),
        ("/0", "5"),
        ("/a/2", "nil"),
        ("/a/01", "nil"),
        ("/a/-", "nil"),
        ("/a/b", "nil"),
        ("/a/0/b", "nil"),
        ("/missing/deep", "nil"),
    ] {
        assert_eq!(documents.get(pointer), part, "{pointer}");
    }
    for pointer in ["a", "/~", "/~2", "/a~"] {
        assert!(documents.get(pointer).starts_with("-ERR the pointer must be empty or begin with /"), "{pointer}");
    }
}

#[test]
fn a_version_keeps_two_writers_apart() {
    let mut documents = Loaded::start("json_document");
    assert_eq!(documents.call("doc_set 1 doc {} 0"), "1");
    assert_eq!(documents.call("doc_set 1 doc {} 0"), "-CONFLICT the document has version 1");
    assert_eq!(documents.call("doc_patch 1 doc {\"a\":1} 1"), "2");
    assert_eq!(documents.call("doc_patch 1 doc {\"a\":2} 1"), "-CONFLICT the document has version 2");
    assert_eq!(documents.call("doc_get 1 doc"), r#"[2 {"a":1}]"#);
    assert_eq!(documents.call("doc_get 1 doc /a"), "[2 1]");
    assert_eq!(documents.call("doc_patch 1 doc {} 1.0"), "-ERR version must be a whole number from 0");
}

#[test]
fn a_document_that_is_not_there_is_an_empty_object_to_a_patch() {
    let mut documents = Loaded::start("json_document");
    assert_eq!(documents.call("doc_get 1 doc"), "nil");
    assert_eq!(documents.call("doc_patch 1 doc {\"a\":{\"b\":null}} 0"), "1");
    assert_eq!(documents.get(""), r#"{"a":{}}"#);
}

#[test]
fn every_value_is_a_document() {
    let mut documents = Loaded::start("json_document");
    for json in ["1", "-0", "0.5e-3", "true", "false", "null", r#""""#, "[]", "{}", r#""\ud83d\ude00""#, "\"\u{7f}\""] {
        documents.set(json);
        assert_eq!(documents.get(""), json);
    }
}

#[test]
fn what_is_no_json_is_refused_and_changes_nothing() {
    let mut documents = Loaded::start("json_document");
    documents.set("[1]");
    for json in [
        "",
        " ",
        "{",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{,}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x10",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\",
        "\"a\nb\"",
        "\"a\tb\"",
        "1 1",
        "[1]]",
        "{\"\\ud800\":1}",
        "// 1",
        "1\0",
        "true\"a\"",
        "[null\"a\"]",
        "[1true]",
        "\"a\"\"b\"",
        "[]{}",
        "{}1",
        "truefalse",
    ] {
        for function in ["doc_set", "doc_patch"] {
            let reply = documents.call_words(&[function, "1", "doc", json]);
            assert!(reply.starts_with("-ERR invalid JSON at character "), "{function} {json:?}: {reply}");
        }
    }
    assert_eq!(documents.call("doc_get 1 doc"), "[1 [1]]");
}

#[test]
fn nesting_is_bounded() {
    let mut documents = Loaded::start("json_document");
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(documents.set(&nested(100)), "1");
    assert_eq!(documents.get("").len(), 200);
    for depth in [101, 100_000] {
        assert!(documents.set(&nested(depth)).starts_with("-ERR JSON nested deeper than 100 levels"));
    }
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(documents.set(&objects(100)), "2");
    assert_eq!(documents.patch(&objects(100)), "3");
    assert!(documents.patch(&objects(101)).starts_with("-ERR JSON nested deeper than 100 levels"));
}

#[test]
fn a_large_document_is_patched() {
    let mut documents = Loaded::start("json_document");
    let members: Vec<String> =
        (0..20_000).map(|number| format!("\"name{number}\":{{\"value\":[{number},\"text\"]}}")).collect();
    documents.set(&format!("{{{}}}", members.join(",")));
    documents.patch(r#"{"name777":{"value":null,"other":1},"name3":null}"#);
    assert_eq!(documents.get("/name777"), r#"{"other":1}"#);
    assert_eq!(documents.get("/name778/value"), r#"[778,"text"]"#);
    assert_eq!(documents.get("/name3"), "nil");
}

#[test]
fn wrong_arguments_and_wrong_keys_are_refused() {
    let mut documents = Loaded::start("json_document");
    assert_eq!(documents.call("doc_set 1 doc"), "-ERR expected 1 key, json [version]");
    assert_eq!(documents.call("doc_set 2 doc other {}"), "-ERR expected 1 key, json [version]");
    assert_eq!(documents.call("doc_patch 1 doc {} 1 2"), "-ERR expected 1 key, patch [version]");
    assert_eq!(documents.call("doc_get 1 doc /a /b"), "-ERR expected 1 key [pointer]");
    documents.run("SET doc text");
    for call in ["doc_set 1 doc {}", "doc_patch 1 doc {}", "doc_get 1 doc"] {
        assert!(documents.call(call).starts_with("-WRONGTYPE"), "{call}");
    }
}
