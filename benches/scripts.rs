//! The time that a script takes inside the server.

use crate::calls::{self, CALLS, COMPUTATIONS, Case};
use crate::plan::Plan;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::Side;
use crate::support::Client;
use crate::support::scripts::digest;

/// A script as job queues have them: several hashes, lists and sorted sets, options as MessagePack.
const QUEUE: &str = include_str!("queue.lua");

/// The keys of [`QUEUE`], with their number before them, and its arguments.
const QUEUE_WORDS: [&[u8]; 11] = [
    b"7",
    b"bench:queue:id",
    b"bench:queue:",
    b"bench:queue:wait",
    b"bench:queue:active",
    b"bench:queue:priorities",
    b"bench:queue:done",
    b"bench:queue:events",
    // attempts: 3, delay: 0, priority: 2
    b"\x83\xa8attempts\x03\xa5delay\x00\xa8priority\x02",
    b"mail",
    b"{\"to\":\"ada@example.com\",\"subject\":\"Welcome\",\"template\":17}",
];

/// The name of its row.
pub const QUEUE_NAME: &str = "a job in a queue: 15 commands";

/// Bytes of the script that is sent with each call.
const LONG: usize = 4 << 10;

/// The name of its row.
pub const LONG_NAME: &str = "EVAL of a cached script of 4 KiB";

/// The same, as clients measure it.
pub const LONG_CLIENT: &str = "EVAL of 4 KiB";

/// The name that a row of functions has among those of scripts.
pub fn name_of(row: &str) -> String {
    row.replace("function", "script")
}

/// The words of a call of a script by its digest.
pub fn by_digest<'a>(side: Side, script: &str, words: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let head = [side.eval(true).as_bytes().to_vec(), digest(script).into_bytes()];
    head.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
}

/// The words of both sides' call of a script of 4 KiB that does next to nothing, by its text.
pub fn long() -> [Vec<Vec<u8>>; 2] {
    let script = format!("{:-<LONG$}", "return 1 --");
    Side::BOTH.map(|side| [side.eval(false).as_bytes(), script.as_bytes(), b"0"].map(<[u8]>::to_vec).to_vec())
}

/// Caches a script on both sides.
pub fn load(client: &mut Client, script: &str) {
    for side in Side::BOTH {
        let reply = client.call(&[side.script(), "LOAD", script]);
        assert_eq!(reply.text(), digest(script), "{script}");
    }
}

/// The rows of calls, and those of computations: microseconds in the server.
pub fn measure(identity: &Identity, plan: &Plan) -> [Vec<Row>; 2] {
    let server = identity.start();
    let mut client = server.client();
    calls::prepare(&mut client);
    let [mut scripts, computations] = [CALLS.as_slice(), &COMPUTATIONS].map(|cases| {
        let row = |case: &Case| {
            let (name, script) = (name_of(case.name), case.script());
            load(&mut client, &script);
            let commands = Side::BOTH.map(|side| by_digest(side, &script, case.arguments().map(str::as_bytes)));
            Row { name: name.clone(), ..case.measure(&mut client, &format!("EVALSHA: {name}"), &commands, plan) }
        };
        cases.iter().map(row).collect::<Vec<Row>>()
    });
    load(&mut client, QUEUE);
    let queue = Side::BOTH.map(|side| by_digest(side, QUEUE, QUEUE_WORDS.into_iter()));
    for (name, commands, calls) in [(QUEUE_NAME, queue, 500), (LONG_NAME, long(), 2_000)] {
        let pairs = calls::measure_pairs(&mut client, name, &commands, calls::calls(calls, plan), plan);
        scripts.push(Row { name: name.to_owned(), pairs, floor: None });
    }
    [scripts, computations]
}
