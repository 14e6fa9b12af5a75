//! The order of strings is that of the server's locale.

use std::process::Command;

use tempfile::TempDir;

use super::Pair;
use crate::support::Server;
use crate::support::server::Options;

/// Words whose order differs between bytes and languages.
const WORDS: &str = "{'b', 'a', 'B', 'A', '_x', 'ab', 'a-c', 'abd', '', 'é', 'e', 'f', 'z', 'Z', 'a b', 'a\\0b', 'a\\0B', \
                     'a\\0', '\\0a', '10', '9', 'A\\0b', '\\255', '~'}";

const BODIES: &[&str] = &[
    "local words = WORDS table.sort(words) return words",
    "local words = WORDS table.sort(words, function(a, b) return a > b end) return words",
    "local words, texts = WORDS, {} for _, a in ipairs(words) do for _, b in ipairs(words) do
        texts[#texts + 1] = tostring(a < b) .. tostring(a <= b) .. tostring(a > b) .. tostring(a >= b)
    end end return texts",
    "local words, count = WORDS, 0 for i = 1, 400 do for _, a in ipairs(words) do if a < 'B' then count = count + 1 end end end
    return count",
    "local words, count = WORDS, 0 for i = 1, 400 do for _, a in ipairs(words) do if 'b' <= a then count = count + 1 end end end
    return count",
    "local words = WORDS for i = 1, 300 do words[#words + 1] = string.char(64 + i % 60) .. words[i] end table.sort(words)
    return words",
    "local reversed = {__lt = function(a, b) return a.w > b.w end, __le = function(a, b) return a.w >= b.w end}
    local a, b = setmetatable({w = 'a'}, reversed), setmetatable({w = 'B'}, reversed)
    return {tostring(a < b), tostring(a <= b), tostring(a > b)}",
    "local numbers = {3, 1, 2} table.sort(numbers) return numbers",
    "return {tostring(pcall(function() return 'a' < 1 end)), tostring(pcall(table.sort, {'a', 1}))}",
];

/// A directory with the locale of American English, which sorts words as a dictionary does.
fn locales() -> TempDir {
    let directory = TempDir::with_prefix("shadow-locales-").expect("a temporary directory");
    let path = directory.path().join("en_US.UTF-8");
    let made = Command::new("localedef").args(["-i", "en_US", "-f", "UTF-8"]).arg(path).output();
    let made = made.expect("localedef, of the C library's programs");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "Debian's package locales has the sources: {said}");
    directory
}

/// A server with the locale `name`, which can change to those of `locales`.
fn server(locales: &TempDir, name: &str) -> Server {
    let path = locales.path().to_str().expect("a path in UTF-8");
    Options::new().environment("LOCPATH", path).environment("LC_ALL", name).start()
}

fn compare(pair: &mut Pair) {
    for body in BODIES {
        pair.load_body(&body.replace("WORDS", WORDS));
        pair.compare(&["FCALL", "f", "0"]);
    }
}

#[test]
fn strings_are_in_the_order_of_the_locale() {
    let locales = locales();
    let mut pair = Pair::with(server(&locales, "en_US.UTF-8"));
    pair.load_body("return tostring('a' < 'B')");
    assert_eq!(pair.server().client().run("SHADOW.FCALL f 0").text(), "true", "the locale is there");
    compare(&mut pair);
    pair.command(&["CONFIG", "SET", "shadow.jit", "always"]);
    compare(&mut pair);
    pair.finish();
}

/// The row `long-strings-order` of docs/compatibility.md.
#[test]
fn strings_of_more_than_a_mebibyte_are_in_the_order_of_bytes() {
    let locales = locales();
    let mut pair = Pair::with(server(&locales, "en_US.UTF-8"));
    let order = |length: usize| {
        format!(
            "local rest = string.rep('a', {length}) return tostring('a' .. rest < 'B' .. rest)",
            length = length - 1
        )
    };
    pair.load_body(&order(1 << 20));
    pair.compare(&["FCALL", "f", "0"]);
    let longer = order((1 << 20) + 1);
    pair.load_body(&longer);
    let mut client = pair.server().client();
    for (prefix, answer) in [("", "true"), ("SHADOW.", "false")] {
        assert_eq!(client.run(&format!("{prefix}FCALL f 0")).text(), answer);
        assert_eq!(client.call(&[&format!("{prefix}EVAL"), &*longer, "0"]).text(), answer);
    }
    pair.finish();
}

#[test]
fn strings_are_in_the_order_of_bytes_without_one() {
    let mut pair = Pair::start();
    compare(&mut pair);
    pair.finish();
}

#[test]
fn a_locale_can_change_while_the_server_runs() {
    let locales = locales();
    let mut pair = Pair::with(server(&locales, "C"));
    if pair.server().client().run("CONFIG GET locale-collate").items().is_empty() {
        // Redis 7.0 has no such setting.
        return;
    }
    for locale in ["C", "en_US.UTF-8", "C", ""] {
        pair.command(&["CONFIG", "SET", "locale-collate", locale]);
        compare(&mut pair);
    }
    pair.finish();
}
