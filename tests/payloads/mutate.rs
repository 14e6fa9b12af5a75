//! Payloads, and what is done to them.

use crc::{CRC_64_REDIS, Crc};
use fastrand::Rng;
use shadow::registry::payload;

const FOOTER: usize = 10;

/// Bytes that mean something in a payload: how a string starts, and a record.
const MEANINGFUL: &[u8] = b"\x00\x01\x3f\x40\x7f\x80\x81\xc0\xc1\xc2\xc3\xc4\xf4\xf5\xf6\xf7\xfe\xff";
/// Bytes that mean something in a source.
const WORDS: [&[u8]; 10] =
    [b"\n", b"name=", b"lib1", b"live", b"f1", b"#!", b"\"", b" redis.register_function('l', print)\n", b"\0", b"end"];

/// A library whose functions return its name.
pub fn function(library: &str, functions: &[&str]) -> String {
    let register = |name: &&str| format!("redis.register_function('{name}', function() return '{library}' end)\n");
    format!("#!lua name={library}\n{}", functions.iter().map(register).collect::<String>())
}

/// A library that counts its calls.
pub fn counter() -> String {
    "#!lua name=counter\nlocal n = 0\nredis.register_function('count', function() n = n + 1 return n end)".to_owned()
}

/// The sources that payloads are made of: right ones and wrong ones.
pub fn seeds() -> Vec<String> {
    let long = format!("{}{}", function("long", &["long1"]), "-- again and again\n".repeat(200));
    let mut seeds: Vec<_> = (0..8).map(|number| function(&format!("lib{number}"), &[&format!("f{number}")])).collect();
    seeds.extend([
        long,
        counter(),
        function("lib1", &["f1", "l"]),
        function("other", &["F1"]),
        function("none", &[]),
        "#!lua name=broken\nend".to_owned(),
        "#!lua name=raising\nredis.register_function('r', function() end) error('no')".to_owned(),
        "#!js name=foreign\n".to_owned(),
        "return 1".to_owned(),
    ]);
    seeds
}

/// Makes payloads that were tampered with.
pub struct Mutation {
    sources: Vec<String>,
    version: u16,
}

impl Mutation {
    /// Payloads of these sources, for a server that writes this version.
    pub fn new(sources: Vec<String>, version: u16) -> Self {
        Self { sources, version }
    }

    /// A payload. Most have a right footer: nothing behind it is read otherwise.
    pub fn payload(&self, rng: &mut Rng) -> Vec<u8> {
        let sources: Vec<Vec<u8>> = (0..rng.usize(..5)).map(|_| self.source(rng)).collect();
        let mut payload = payload::write(sources.iter().map(Vec::as_slice), self.version, rng.bool());
        if rng.u8(..10) == 0 {
            bytes(rng, &mut payload);
            return payload;
        }
        payload.truncate(payload.len() - FOOTER);
        if rng.u8(..8) == 0 {
            payload.extend_from_slice(
                b"\xf6\x02l1\x03LUA\x01\x04text\x36redis.register_function('x', function() return 1 end)\n",
            );
        }
        for _ in 0..rng.usize(..3) {
            bytes(rng, &mut payload);
        }
        payload.extend_from_slice(&self.version.to_le_bytes());
        let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload);
        payload.extend_from_slice(&checksum.to_le_bytes());
        payload
    }

    fn source(&self, rng: &mut Rng) -> Vec<u8> {
        let mut source = self.sources[rng.usize(..self.sources.len())].clone().into_bytes();
        if rng.u8(..6) == 0 {
            let at = rng.usize(..=source.len());
            let word = WORDS[rng.usize(..WORDS.len())];
            let end = if rng.bool() { at } else { source.len().min(at + rng.usize(..8)) };
            source.splice(at..end, word.iter().copied());
        }
        source
    }
}

/// Changes some bytes.
fn bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(..=bytes.len());
    let meaningful = MEANINGFUL[rng.usize(..MEANINGFUL.len())];
    match rng.u8(..7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.u8(..)),
        2 => bytes.insert(at, meaningful),
        3 if at < bytes.len() => bytes[at] = meaningful,
        4 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        5 => {
            let end = bytes.len().min(at + rng.usize(..64));
            let copied = bytes[at..end].to_vec();
            let to = rng.usize(..=bytes.len());
            bytes.splice(to..to, copied);
        }
        _ => {
            let end = bytes.len().min(at + rng.usize(..16));
            bytes.drain(at..end);
        }
    }
}
