//! Where a message comes from, and that it is not an old one.
//!
//! Around each message stand its version, who sends it to whom, the sender's session, two tokens, a counter, and an
//! HMAC-SHA-256 over all of it and the content. The bus itself believes anybody.
//!
//! **Replay.** A node gives each of its peers a token, and takes only messages that bear it, each counter once. A token
//! is good for one session of the peer, that is for one run of its process: so what was recorded of an earlier run
//! proves nothing, whatever the clocks say, and nothing about counters has to be stored. Whoever has no valid token is
//! told one, in a message without content; what he said is not read.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::entry::NodeId;
use crate::message::MAX_MESSAGE;
use crate::wire::{Malformed, Reader, Writer};

/// The first bytes of each message, so that another module's with the same type is told from ours.
const MAGIC: [u8; 4] = *b"shc1";
/// The bytes of a proof.
const MAC: usize = 32;
/// The longest packet.
pub const MAX_PACKET: usize = MAX_MESSAGE + 256;
/// How many counters back a message may come.
const WINDOW: u64 = 64;
/// A node is told its token at most every so many milliseconds.
const PACE: u64 = 20;

/// The keys of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// What proofs are made with.
    own: Vec<u8>,
    /// What else they may be made with, while the key is being changed.
    other: Option<Vec<u8>>,
}

/// Why a text is no keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadKeys {
    /// A key is shorter than this.
    Short(usize),
    /// There are more than two.
    Many,
}

/// The least length of a key.
pub const MIN_KEY: usize = 16;

impl Keys {
    /// One or two keys with a space between them: the first makes proofs, both are accepted. `none`, the word, stands
    /// for no secret at all.
    pub fn parse(text: &str) -> Result<Keys, BadKeys> {
        let mut words = text.split_ascii_whitespace();
        let mut key = || match words.next() {
            None => Ok(None),
            Some("none") => Ok(Some(b"none".to_vec())),
            Some(word) if word.len() >= MIN_KEY => Ok(Some(word.as_bytes().to_vec())),
            Some(_) => Err(BadKeys::Short(MIN_KEY)),
        };
        let (own, other) = (key()?, key()?);
        if key()?.is_some() {
            return Err(BadKeys::Many);
        }
        Ok(Keys { own: own.ok_or(BadKeys::Short(MIN_KEY))?, other })
    }

    fn holds(&self, bytes: &[u8], proof: &[u8]) -> bool {
        let holds = |key: &Vec<u8>| mac(key, bytes).verify_slice(proof).is_ok();
        holds(&self.own) || self.other.as_ref().is_some_and(holds)
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length is a key"));
    mac.update(bytes);
    mac
}

/// What a node gives a peer to show. None is all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Token {
    /// The session of who gave it.
    session: u64,
    /// The how-manieth one.
    number: u64,
}

/// A peer, as far as proofs go.
#[derive(Clone, Debug, Default)]
struct Channel {
    /// What this node shows there.
    shown: Token,
    /// How many packets were sent.
    sent: u64,
    /// The latest of them that was answered with a token.
    answered: u64,
    /// What the peer must show: with this session, counters above these.
    expected: Option<(Token, u64)>,
    highest: u64,
    /// The counters below the highest that came, a bit each.
    came: u64,
    /// What the peer may show in another session.
    offered: Option<Token>,
    /// When it was last told.
    told: Option<u64>,
}

/// What a packet turns out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opened {
    /// A message that this node may read.
    Content(Vec<u8>),
    /// One without content, that told this node its token: what was sent before may have been in vain.
    Token,
    /// One from a session that has no token. This packet tells it one.
    Answer(Vec<u8>),
    /// One from a session that has no token and was told one just now, or that told nothing new.
    Nothing,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It has not our form.
    Malformed,
    /// It has no proof that holds.
    Unproven,
    /// It came before.
    Replayed,
    /// It is for another node.
    Misdirected,
}

/// The gate of a node.
#[derive(Clone, Debug)]
pub struct Gate {
    me: NodeId,
    keys: Keys,
    session: u64,
    /// How many tokens were given to any node. A peer takes only what is newer, even from a node that has forgotten it.
    given: u64,
    channels: BTreeMap<NodeId, Channel>,
}

struct Header {
    sender: NodeId,
    target: NodeId,
    session: u64,
    /// What the sender was given by the target.
    shown: Token,
    /// What the sender gives the target.
    given: Token,
    counter: u64,
    /// The session of the target that the sender means, and which of its packets he answers.
    answers: (u64, u64),
    has_content: bool,
}

impl Header {
    fn write(&self, writer: &mut Writer) {
        writer.0.extend_from_slice(&MAGIC);
        writer.node(self.sender);
        writer.node(self.target);
        for number in [
            self.session,
            self.shown.session,
            self.shown.number,
            self.given.session,
            self.given.number,
            self.counter,
            self.answers.0,
            self.answers.1,
        ] {
            writer.u64(number);
        }
        writer.flag(self.has_content);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Header, Malformed> {
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(Malformed);
        }
        Ok(Header {
            sender: reader.node()?,
            target: reader.node()?,
            session: reader.u64()?,
            shown: Token { session: reader.u64()?, number: reader.u64()? },
            given: Token { session: reader.u64()?, number: reader.u64()? },
            counter: reader.u64()?,
            answers: (reader.u64()?, reader.u64()?),
            has_content: reader.flag()?,
        })
    }
}

impl Gate {
    /// A gate. `session` is a number that no earlier run of the node had: 64 random bits.
    #[must_use]
    pub fn new(me: NodeId, keys: Keys, session: u64) -> Gate {
        Gate { me, keys, session: session.max(1), given: 0, channels: BTreeMap::new() }
    }

    /// Other keys.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// Other nodes, or another ID. What is known of nodes that are not among them is forgotten.
    pub fn set_nodes(&mut self, me: NodeId, nodes: impl Fn(&NodeId) -> bool) {
        if self.me != me {
            self.channels.clear();
        }
        self.me = me;
        self.channels.retain(|id, _| nodes(id));
    }

    /// A message for a node.
    pub fn seal(&mut self, to: NodeId, content: &[u8]) -> Vec<u8> {
        self.wrap(to, Some(content), (0, 0))
    }

    fn wrap(&mut self, to: NodeId, content: Option<&[u8]>, answers: (u64, u64)) -> Vec<u8> {
        let (session, me) = (self.session, self.me);
        let tokens = &mut self.given;
        let channel = self.channels.entry(to).or_default();
        let given = channel.offered.or(channel.expected.map(|(token, _)| token));
        let given = given.unwrap_or_else(|| channel.give(session, tokens));
        channel.sent += 1;
        let header = Header {
            sender: me,
            target: to,
            session,
            shown: channel.shown,
            given,
            counter: channel.sent,
            answers,
            has_content: content.is_some(),
        };
        let mut writer = Writer::default();
        header.write(&mut writer);
        writer.0.extend_from_slice(content.unwrap_or_default());
        let proof = mac(&self.keys.own, &writer.0).finalize().into_bytes();
        writer.0.extend_from_slice(&proof);
        writer.0
    }

    /// Opens a packet that the bus says is from `from`, a node that this one knows.
    pub fn open(&mut self, from: NodeId, packet: &[u8], now: u64) -> Result<Opened, Dropped> {
        if packet.len() > MAX_PACKET || packet.len() < MAC {
            return Err(Dropped::Malformed);
        }
        let (signed, proof) = packet.split_at(packet.len() - MAC);
        let mut reader = Reader::new(signed);
        let header = Header::read(&mut reader).map_err(|Malformed| Dropped::Malformed)?;
        if !self.keys.holds(signed, proof) {
            return Err(Dropped::Unproven);
        }
        if header.target != self.me || header.sender != from {
            return Err(Dropped::Misdirected);
        }
        let session = self.session;
        let tokens = &mut self.given;
        let channel = self.channels.entry(from).or_default();
        let expected = channel.expected == Some((header.shown, header.session));
        if !expected && channel.offered == Some(header.shown) {
            // It shows what it was given since its last session: it lives.
            channel.expected = channel.offered.take().map(|token| (token, header.session));
            (channel.highest, channel.came) = (0, 0);
        } else if !expected {
            // He may tell his own token if he answers what this session has sent, and nothing older than before.
            let fresh = header.answers.0 == session && header.answers.1 > channel.answered;
            let told = fresh && channel.learn(header.given);
            if told {
                channel.answered = header.answers.1;
            }
            if channel.offered.is_none() {
                channel.give(session, tokens);
            }
            if channel.told.is_some_and(|at| now.saturating_sub(at) < PACE && at <= now) {
                return Ok(if told { Opened::Token } else { Opened::Nothing });
            }
            channel.told = Some(now);
            return Ok(Opened::Answer(self.wrap(from, None, (header.session, header.counter))));
        }
        if !channel.is_new(header.counter) {
            return Err(Dropped::Replayed);
        }
        let told = channel.learn(header.given);
        if header.has_content {
            let rest = reader.left();
            return reader.bytes(rest).map(|bytes| Opened::Content(bytes.to_vec())).map_err(|_| Dropped::Malformed);
        }
        Ok(if told { Opened::Token } else { Opened::Nothing })
    }
}

impl Channel {
    fn give(&mut self, session: u64, tokens: &mut u64) -> Token {
        *tokens += 1;
        let token = Token { session, number: *tokens };
        self.offered = Some(token);
        token
    }

    /// Learns what to show, unless it is older than what it knows.
    fn learn(&mut self, given: Token) -> bool {
        let newer = given.session != self.shown.session || given.number > self.shown.number;
        if newer {
            self.shown = given;
        }
        newer
    }

    fn is_new(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let ahead = counter - self.highest;
            self.came = if ahead >= WINDOW { 0 } else { self.came << ahead };
            if self.highest > 0 && ahead <= WINDOW {
                self.came |= 1 << (ahead - 1);
            }
            self.highest = counter;
            return true;
        }
        let behind = self.highest - counter;
        if behind == 0 || behind > WINDOW || self.came >> (behind - 1) & 1 == 1 {
            return false;
        }
        self.came |= 1 << (behind - 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: u8) -> NodeId {
        NodeId([letter; 40])
    }

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    const KEY: &str = "a-key-of-the-tests";

    /// Two gates that know each other's tokens.
    fn pair() -> (Gate, Gate) {
        let (mut a, mut b) = (Gate::new(id(b'a'), keys(KEY), 1), Gate::new(id(b'b'), keys(KEY), 2));
        meet(&mut a, &mut b, 1000);
        (a, b)
    }

    fn meet(a: &mut Gate, b: &mut Gate, now: u64) {
        let mut packet = a.seal(b.me, b"hello");
        for _ in 0..4 {
            match b.open(a.me, &packet, now).unwrap() {
                Opened::Answer(answer) => match a.open(b.me, &answer, now).unwrap() {
                    Opened::Answer(back) => packet = back,
                    Opened::Token => packet = a.seal(b.me, b"hello"),
                    other => panic!("{other:?}"),
                },
                Opened::Token => {
                    let packet = b.seal(a.me, b"hello");
                    assert_eq!(a.open(b.me, &packet, now), Ok(Opened::Content(b"hello".to_vec())));
                    return;
                }
                Opened::Content(_) | Opened::Nothing => return,
            }
        }
        panic!("they do not come to know each other");
    }

    #[test]
    fn what_is_sealed_is_opened_once() {
        let (mut a, mut b) = pair();
        let packets: Vec<_> = (0..100_u8).map(|n| a.seal(id(b'b'), &[n])).collect();
        for (n, packet) in packets.iter().enumerate().rev().take(65) {
            assert_eq!(b.open(id(b'a'), packet, 0), Ok(Opened::Content(vec![n as u8])), "out of order");
        }
        for packet in &packets {
            assert_eq!(b.open(id(b'a'), packet, 0), Err(Dropped::Replayed));
        }
    }

    #[test]
    fn what_was_recorded_before_a_restart_of_either_is_not_read() {
        for restarted in [b'a', b'b'] {
            let (mut a, mut b) = pair();
            let old: Vec<_> = (0..5_u8).map(|n| a.seal(id(b'b'), &[n])).collect();
            if restarted == b'a' {
                a = Gate::new(id(b'a'), keys(KEY), 3);
            } else {
                b = Gate::new(id(b'b'), keys(KEY), 3);
            }
            meet(&mut a, &mut b, 10_000);
            for packet in &old {
                let opened = b.open(id(b'a'), packet, 20_000);
                assert!(!matches!(opened, Ok(Opened::Content(_))), "{opened:?}");
            }
            let packet = a.seal(id(b'b'), b"new");
            assert_eq!(b.open(id(b'a'), &packet, 20_000), Ok(Opened::Content(b"new".to_vec())));
        }
    }

    #[test]
    fn a_packet_is_for_one_node_from_one_node() {
        let (mut a, mut b) = pair();
        let packet = a.seal(id(b'b'), b"x");
        assert_eq!(b.open(id(b'c'), &packet, 0), Err(Dropped::Misdirected));
        let mut c = Gate::new(id(b'c'), keys(KEY), 9);
        assert_eq!(c.open(id(b'a'), &packet, 0), Err(Dropped::Misdirected));
        assert_eq!(b.open(id(b'a'), &packet, 0), Ok(Opened::Content(b"x".to_vec())));
    }

    #[test]
    fn a_key_is_changed_node_by_node() {
        let (mut a, mut b) = pair();
        let mut passes = |keys_a: &str, keys_b: &str, there: bool, back: bool| {
            a.set_keys(keys(keys_a));
            b.set_keys(keys(keys_b));
            let packet = a.seal(id(b'b'), b"x");
            assert_eq!(b.open(id(b'a'), &packet, 0).is_ok(), there, "{keys_a} {keys_b}");
            let packet = b.seal(id(b'a'), b"x");
            assert_eq!(a.open(id(b'b'), &packet, 0).is_ok(), back, "{keys_a} {keys_b}");
        };
        let both = format!("another-key-of-the-tests {KEY}");
        let first = format!("{KEY} another-key-of-the-tests");
        passes(&first, KEY, true, true);
        passes(&first, &first, true, true);
        passes(&both, &first, true, true);
        passes("another-key-of-the-tests", &both, true, true);
        passes("another-key-of-the-tests", KEY, false, false);
    }

    #[test]
    fn no_key_is_only_by_its_word() {
        assert!(Keys::parse("none").is_ok());
        assert_eq!(Keys::parse(""), Err(BadKeys::Short(MIN_KEY)));
        assert_eq!(Keys::parse("short"), Err(BadKeys::Short(MIN_KEY)));
        assert_eq!(Keys::parse("none none none"), Err(BadKeys::Many));
    }
}
