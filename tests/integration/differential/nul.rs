//! Sources with a NUL in them, which is a character of strings and comments.

use super::Pair;
use super::scripts::compare_script;
use crate::support::Flavour;
use crate::support::library::source;

/// Bodies of scripts, and of functions where the server takes them.
const BODIES: &[&str] = &[
    "return 'x\0y'",
    "return \"\0\"",
    "return '\\\0y'",
    "return '\\\0\0y' .. '\\\\\0'",
    "return '\\1\0' .. '\x001' .. '\\x\0' .. '\\\n\0'",
    "return [[\0]]",
    "return #[[x\0y]]",
    "return [[\n\0]]",
    "return [[\n\n\0 ]]",
    "return [[\r\n\n\ra\0]]",
    "return [[ \0]] .. [[\n \t\0]] .. [[\n\r\r\0]]",
    "return [[\n  \0\n  \n]] .. [[\0\n\n]]",
    "return [==[\"'\\\\\0]]\\n\\065{`\\u{41}]==]",
    "return [[a]\0]] .. [=[a]\0=]]=]",
    "return ({['\0']=1})['\\0'] + ({[ [[\0]] ]=2})['\\0'] + #{'\0'}",
    "return tonumber'\0' or ('x'):rep(2, [[\0]]) .. string.format[[\0]]",
    "--\0\nreturn 7",
    "--[[ \0 ]] return 7",
    "--[==[ \0 ]] \n ]==] return 7",
    "--\0[[\nreturn 1 --]]",
    "--[\0[\nreturn 1 --]]",
    "--[=\0[\nreturn 1 --]]",
    "-- '\0\nreturn 1 --[[ [[ ' \0 ]]",
    "\n\nlocal x = [[\n\n\0]]\nerror('here')",
    "local x = '\\\n\0'\nerror('here')",
    "--[[\n\0\n]] error('here')",
    "return loadstring('return #\"a\\0b\"')()",
    "return loadstring('return [[\\n\\na\\0b]]')()",
    "return loadstring('--\\0\\nerror(1)')()",
    "return loadstring('return 1 --\\0\\n+1')()",
    "return select(2, pcall(loadstring('error(1) --\\0 and more')))",
    "local n = 0 return load(function() n = n + 1 return ({'return \"a\\0', '\\0b', '\"'})[n] end)()",
];

/// What only a script can be, whose end is that of the source.
const SCRIPTS: &[&str] = &[
    "#!lua\nreturn #'x\0y'",
    "#!lua flags=no-writes\n--\0\nreturn 7",
    "return 1 --\0",
    "return 1 --[\0",
    // Refused, and where.
    "\0",
    "return 1\n\0",
    "x=1 \0",
    "\0return 1",
    "local a = 1\n\n--\0\n\0 return a",
    "return\0 1",
    "local a\0b = 1 return a",
    "#!lua\n\0",
    "#!lua \0\nreturn 1",
    "return 1\r\n, [[\n\r\0\n]]\n\r\0",
    "return 1 '\\\n\0' \0",
    "--[[\0",
    "return [[abc\0",
    "return 'abc\0",
    "return '\0''",
    "return 'abc\0\n'",
    "return [\0[a]]",
    "-\0-\nreturn 1",
];

#[test]
fn a_nul_in_a_string_or_a_comment_is_the_same_character() {
    let mut pair = Pair::start();
    for script in BODIES.iter().chain(SCRIPTS) {
        compare_script(&mut pair, script.as_bytes());
    }
    if pair.server().flavour() == Flavour::Redis {
        for body in BODIES {
            // A comment may go to the end of the line.
            pair.load_body(&format!("{body}\n"));
            pair.compare(&["FCALL", "f", "1", "key", "argument"]);
            pair.compare(&["FUNCTION", "LIST", "WITHCODE"]);
            pair.compare(&["FUNCTION", "DUMP"]);
        }
        pair.flush();
        pair.compare(&["FUNCTION", "LOAD", &source("mylib", "--\0")]);
    }
    pair.finish();
}

/// Strings of which some are none, or end before their ends; what the server takes is compared.
#[test]
fn random_strings_with_nuls_are_the_same() {
    const PIECES: [&str; 16] =
        ["\0", "\0", "\\", "\"", "'", "[[", "]", "]=]", "\n", "\r", " ", "\t", "0", "z", "\x0b", "{"];
    const QUOTES: [[&str; 2]; 4] = [["'", "'"], ["\"", "\""], ["[[", "]]"], ["[=[", "]=]"]];
    let mut pair = Pair::start();
    let mut random = fastrand::Rng::with_seed(1);
    let mut client = pair.server().client();
    let mut compared = 0;
    for _ in 0..2_000 {
        let text: String = (0..random.usize(0..8)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
        let [start, end] = QUOTES[random.usize(..QUOTES.len())];
        let script = format!("return {start}\0{text}{end}");
        if !client.call(&["EVAL", &script, "0"]).is_error() {
            pair.compare(&["EVAL", &script, "0"]);
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
    pair.finish();
}
