//! `redis.acl_check_cmd` with any number of words, by a user with rules about keys and by one without.

use super::{Body, Pair, library};
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
    "'shadow.script'",
    "'shadow.script','load','x'",
    "'shadow.script','nosuch'",
    "'SHADOW.EVAL','x','0'",
    "'SHADOW.EVAL','x','1','mine'",
    "'SHADOW.EVAL','x','1','other'",
    "'SHADOW.EVALSHA_RO','x','1','other'",
    "'SHADOW.EVALSHA','x','y'",
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
    "'SHADOW.EVAL','x'",
    "'SHADOW.EVALSHA_RO'",
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

/// A body for each case of both lists, named by its number.
fn bodies() -> [Vec<Body>; 2] {
    let body = |(number, case): (usize, &&str)| {
        Body::plain(&format!("f{number}"), &format!("return redis.acl_check_cmd({case})"))
    };
    let mut fixed: Vec<Body> = FIXED.iter().chain(SEARCHED).enumerate().map(body).collect();
    let searched = fixed.split_off(FIXED.len());
    [fixed, searched]
}

#[test]
fn any_number_of_words_is_judged_alike() {
    let mut pair = Pair::start();
    let [fixed, searched] = bodies();
    pair.load_bodies(&[&fixed[..], &searched].concat());
    let own = pair.server().client().call(&["EVAL", "return redis.acl_check_cmd('get')", "0"]);
    let counts_words = own.is_error();
    for body in fixed.iter().chain(&searched) {
        pair.compare(&["FCALL", body.name(), "0"]);
    }
    pair.command(&ANN.split(' ').collect::<Vec<_>>());
    pair.log_in("ann");
    for body in fixed.iter().chain(searched.iter().filter(|_| counts_words)) {
        pair.compare(&["FCALL", body.name(), "0"]);
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
    let [fixed, _] = bodies();
    client.call(&["SHADOW.FUNCTION", "LOAD", &library("mylib", &fixed)]);
    client.run("AUTH ann any");
    assert_eq!(client.run("FCALL f1 0").text(), "1", "an intercepted call is allowed there");
    let mut pair = Pair::start();
    pair.command(&format!("{ANN} db=0").split(' ').collect::<Vec<_>>());
    pair.load_bodies(&fixed);
    pair.log_in("ann");
    for body in &fixed {
        pair.compare(&["FCALL", body.name(), "0"]);
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
        let bodies = bodies().concat();
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", &library("mylib", &bodies)]).text(), "mylib");
        assert_eq!(client.run(ANN).text(), "OK");
        client.run("AUTH ann any");
        for body in bodies {
            let script = body.script();
            for command in [["SHADOW.FCALL", body.name(), "0"], ["SHADOW.EVAL", &script, "0"]] {
                for _ in 0..3 {
                    let reply = client.try_raw(&command).expect("the server lives");
                    let known = [&b":1\r\n"[..], b"$-1\r\n"].contains(&&*reply)
                        || [&b"-ERR Wrong number of args for "[..], b"-ERR Invalid command passed to "]
                            .iter()
                            .any(|text| reply.starts_with(text));
                    assert!(known, "{command:?}: {}", reply.escape_ascii());
                }
            }
        }
    }
}
