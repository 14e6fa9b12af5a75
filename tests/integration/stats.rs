//! SHADOW.FUNCTION STATS.

use crate::support::Server;
use crate::support::library::{load, load_many, source};

fn expected(libraries: usize, functions: usize) -> Vec<u8> {
    format!(
        "*4\r\n$14\r\nrunning_script\r\n$-1\r\n$7\r\nengines\r\n*2\r\n$3\r\nLUA\r\n\
         *4\r\n$15\r\nlibraries_count\r\n:{libraries}\r\n$15\r\nfunctions_count\r\n:{functions}\r\n"
    )
    .into_bytes()
}

#[test]
fn counts_follow_every_change() {
    let server = Server::start();
    let mut client = server.client();
    let stats = ["SHADOW.FUNCTION", "STATS"];
    assert_eq!(client.raw(&stats), expected(0, 0));
    load_many(&mut client, 10);
    let body = "for i=1,5 do redis.register_function('m'..i, function() end) end";
    load(&mut client, &source("many", body));
    assert_eq!(client.raw(&stats), expected(11, 15));
    load(&mut client, &source("many", "redis.register_function('m1', function() end)"));
    assert_eq!(client.raw(&stats), expected(11, 11));
    client.run("SHADOW.FUNCTION DELETE lib3");
    assert_eq!(client.raw(&stats), expected(10, 10));
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.raw(&stats), expected(0, 0));
}

#[test]
fn the_reply_is_made_of_maps_in_resp3() {
    let server = Server::start();
    let mut client = server.client();
    client.hello3();
    assert_eq!(
        client.raw(&["SHADOW.FUNCTION", "STATS"]),
        b"%2\r\n$14\r\nrunning_script\r\n_\r\n$7\r\nengines\r\n%1\r\n$3\r\nLUA\r\n\
          %2\r\n$15\r\nlibraries_count\r\n:0\r\n$15\r\nfunctions_count\r\n:0\r\n"
    );
}
