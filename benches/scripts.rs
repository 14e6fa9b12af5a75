//! The time that a script takes inside the server.

use crate::calls::{self, CALLS, COMPUTATIONS, Case};
use crate::plan::Plan;
use crate::servers::Identity;
use crate::side::Side;
use crate::support::Client;
use crate::support::scripts::digest;
use crate::trial::{self, Command, Found, Subject};

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
pub fn by_digest<'a>(side: Side, script: &str, words: impl Iterator<Item = &'a [u8]>) -> Command {
    let head = [side.eval(true).as_bytes().to_vec(), digest(script).into_bytes()];
    head.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
}

/// The words of both sides' call of a script of 4 KiB that does next to nothing, by its text.
pub fn long() -> [Command; 2] {
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

/// The calls, and the computations: microseconds in the server.
pub fn measure(identity: &Identity, plan: &Plan) -> Found<2> {
    trial::measure(identity, plan, |client| {
        calls::prepare(client);
        let mut subject = |case: &Case| {
            let script = case.script();
            load(client, &script);
            let words = || case.arguments().map(str::as_bytes);
            case.subject(name_of(case.name), Side::BOTH.map(|side| by_digest(side, &script, words())))
        };
        let [mut subjects, computations] =
            [CALLS.as_slice(), &COMPUTATIONS].map(|cases| cases.iter().map(&mut subject).collect::<Vec<Subject>>());
        load(client, QUEUE);
        let queue = Side::BOTH.map(|side| by_digest(side, QUEUE, QUEUE_WORDS.into_iter()));
        let others = [(QUEUE_NAME, queue, 500), (LONG_NAME, long(), 2_000)];
        subjects.extend(others.map(|(name, commands, calls)| Subject {
            name: name.to_owned(),
            commands,
            floor: None,
            calls,
        }));
        [subjects, computations]
    })
}
