//! `redis.acl_check_cmd` with any number of words, by a user with rules about keys and by one without.

use super::Pair;
use crate::support::library::source;
use crate::support::{Options, Server};

/// Commands whose keys are in fixed places: every server sees where the words end.
const FIXED: &[&str] = &[
    "'get'",
    "'get','mine'",
    "'get','other'",
    "'get','mine','x'",
    "'set','mine'",
    "'set','other'",
    "'mset'",
    "'mset','mine'",
    "'mset','mine','v','other'",
    "'config'",
    "'config','get'",
    "'config','nosuch'",
    "'config','nosuch','x'",
    "'config|get','x'",
    "'client','kill'",
    "'object'",
    "'object','encoding'",
    "'object','encoding','mine','x'",
    "'object','encoding','other','x'",
    "'memory','usage'",
    "'xgroup'",
    "'xgroup','create'",
    "'bitop','and'",
    "'lcs','mine'",
    "'publish'",
    "'publish','mine'",
    "'publish','other'",
    "'ssubscribe'",
    "'ping','a','b'",
    "'command'",
    "'command','count','x'",
    "'select'",
    "'debug'",
    "'nosuch'",
    "'nosuch','x'",
    "'shadow.function'",
    "'shadow.function','load'",
    "'shadow.function','nosuch'",
    "'SHADOW.FCALL','f','0'",
    "'SHADOW.FCALL','f','1'",
    "'SHADOW.FCALL','f','1','other'",
    "'SHADOW.FCALL','f','x'",
    "'eval','x','0'",
    "'eval','x','1'",
    "'eval','x','y'",
    "'eval','x','1','mine'",
    "'eval','x','1','other'",
    "'zunion','x','mine'",
    "'zunion','9','mine'",
    "'sort','mine','store'",
    "'xread','block','0','streams'",
];

/// Commands whose keys the server has to look for, with too few words: servers that do not count them read past the
/// end, unless the user may have any key.
const SEARCHED: &[&str] = &[
    "'EVAL','x'",
    "'EVAL'",
    "'EVALSHA','x'",
    "'EVAL_RO','x'",
    "'FCALL','x'",
    "'FCALL_RO','x'",
    "'SHADOW.FCALL','x'",
    "'SHADOW.FCALL'",
    "'SHADOW.FCALL_RO','x'",
    "'ZUNION'",
    "'ZUNION','1'",
    "'ZINTER'",
    "'ZDIFF'",
    "'ZINTERCARD'",
    "'ZINTERSTORE','a'",
    "'ZUNIONSTORE','mine'",
    "'SINTERCARD'",
    "'LMPOP'",
    "'LMPOP','1'",
    "'BLMPOP','0'",
    "'ZMPOP'",
    "'BZMPOP','0'",
    "'SORT'",
    "'SORT_RO'",
    "'MIGRATE','a'",
    "'MIGRATE','a','b','','0'",
    "'SET'",
    "'BITFIELD'",
    "'GEORADIUS'",
    "'GEORADIUSBYMEMBER'",
    "'XREAD'",
    "'XREAD','STREAMS'",
    "'XREADGROUP','a'",
];

const ANN: &str = "ACL SETUSER ann on nopass resetchannels ~mine &mine +@all";

/// A library with a function for each case, named by its number.
fn library() -> String {
    let cases = FIXED.iter().chain(SEARCHED).enumerate();
    let body: String = cases
        .map(|(number, case)| {
            format!("redis.register_function('f{number}', function() return redis.acl_check_cmd({case}) end)\n")
        })
        .collect();
    source("mylib", &body)
}

/// The functions of both lists.
fn functions() -> [Vec<String>; 2] {
    let names = |from: usize, count: usize| (from..from + count).map(|number| format!("f{number}")).collect();
    [names(0, FIXED.len()), names(FIXED.len(), SEARCHED.len())]
}

#[test]
fn any_number_of_words_is_judged_alike() {
    let mut pair = Pair::start();
    pair.load(&library());
    let [fixed, searched] = functions();
    let own = pair.server().client().call(&["EVAL", "return redis.acl_check_cmd('get')", "0"]);
    let counts_words = own.is_error();
    for function in fixed.iter().chain(&searched) {
        pair.compare(&["FCALL", function, "0"]);
    }
    pair.command(&ANN.split(' ').collect::<Vec<_>>());
    pair.log_in("ann");
    for function in fixed.iter().chain(searched.iter().filter(|_| counts_words)) {
        pair.compare(&["FCALL", function, "0"]);
    }
    pair.finish();
}

/// Valkey from 9.1 on has rules about databases.
#[test]
fn rules_about_databases_are_respected_alike() {
    let intercepting = Options::new().module_arguments("intercept yes").start();
    let mut client = intercepting.client();
    if client.run(&format!("{ANN} db=0")).is_error() {
        return;
    }
    client.call(&["SHADOW.FUNCTION", "LOAD", &library()]);
    client.run("AUTH ann any");
    assert_eq!(client.run("FCALL f1 0").text(), "1", "an intercepted call is allowed there");
    let mut pair = Pair::start();
    pair.command(&format!("{ANN} db=0").split(' ').collect::<Vec<_>>());
    pair.load(&library());
    pair.log_in("ann");
    for function in &functions()[0] {
        pair.compare(&["FCALL", function, "0"]);
    }
    pair.finish();
}

#[test]
fn too_few_words_are_survived_where_the_servers_own_functions_are_not() {
    for options in
        [Options::new(), Options::new().rename_command("COMMAND", ""), Options::new().rename_command("EVAL", "E")]
    {
        let server: Server = options.start();
        let mut client = server.client();
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", &library()]).text(), "mylib");
        assert_eq!(client.run(ANN).text(), "OK");
        client.run("AUTH ann any");
        for function in functions().concat() {
            for _ in 0..3 {
                let reply = client.try_raw(&["SHADOW.FCALL", &function, "0"]).expect("the server lives");
                let known = [&b":1\r\n"[..], b"$-1\r\n"].contains(&&*reply)
                    || [&b"-ERR Wrong number of args for "[..], b"-ERR Invalid command passed to "]
                        .iter()
                        .any(|text| reply.starts_with(text));
                assert!(known, "{function}: {}", reply.escape_ascii());
            }
        }
    }
}
