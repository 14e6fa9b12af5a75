//! LZF, the compression of strings in a payload.
//!
//! The format: a byte below 32 is followed by that many literal bytes and one more. Any other byte repeats what came
//! before: its upper three bits are the length less two, and if all of them are set, the next byte is added; its lower
//! five bits and one byte more are the distance less one.
//!
//! The compressor is our own because its bytes must be the stock server's. Many streams stand for the same string;
//! which one comes out depends on the hash, on which positions are remembered and on where a match may end, and the
//! crates at hand choose otherwise. The decompressor is here too: it is short, and it must take any input.

/// The longest literal run.
const MAX_RUN: usize = 32;
/// As far back as a repetition can look.
const MAX_DISTANCE: usize = 1 << 13;
/// The longest repetition.
const MAX_MATCH: usize = 264;
/// A shorter match would save nothing.
const MIN_MATCH: usize = 3;
/// The compressor ends matches this far before the end of the input ...
const TAIL: usize = 2;
/// ... unless there is more than this in front of it: then it looks at the first `LEAP` bytes wherever they end.
const SHORT: usize = 16;
const LEAP: usize = 19;
/// So many positions at the end of a match are remembered, and none of the others in it.
const REMEMBERED: usize = 2;

/// The most that a compressed byte can stand for: the longest repetition takes three.
pub(super) const MAX_EXPANSION: usize = MAX_MATCH / 3;

/// Compresses strings, one after the other.
pub(super) struct Compressor {
    /// For each hash, where it was seen last. Positions of one input are numbered from `start`, those of the inputs
    /// before it are below: so the table, which is larger than most inputs, need not be cleared for each.
    seen: Box<[u32]>,
    start: u32,
    end: u32,
    stream: Stream,
}

impl Compressor {
    pub(super) fn new() -> Self {
        let seen = vec![0; usize::from(u16::MAX) + 1].into_boxed_slice();
        Self { seen, start: 0, end: 0, stream: Stream::default() }
    }

    /// The compressed form of `input`, if it fits into `budget` bytes. What would just fit may be given up: the
    /// server's compressor leaves room for what it might still have to write.
    pub(super) fn compress(&mut self, input: &[u8], budget: usize) -> Option<&[u8]> {
        self.begin(u32::try_from(input.len()).ok()?);
        self.stream.begin(budget);
        let mut at = 0;
        while let Some(&[first, second, third, ..]) = input.get(at..) {
            let place = self.remember([first, second, third], at);
            if let Some(earlier) = self.position(place)
                && at - earlier <= MAX_DISTANCE
                && input[earlier..].starts_with(&[first, second, third])
            {
                let length = match_length(input, earlier, at);
                self.stream.repeat(at - earlier, length)?;
                at += length;
                for position in at - REMEMBERED..at {
                    if let Some(&[first, second, third, ..]) = input.get(position..) {
                        self.remember([first, second, third], position);
                    }
                }
            } else {
                self.stream.literal(first)?;
                at += 1;
            }
        }
        self.stream.end(&input[at..])
    }

    /// Leaves the positions of the input before behind.
    fn begin(&mut self, length: u32) {
        self.start = self.end;
        self.end = self.start.checked_add(length).unwrap_or_else(|| {
            self.seen.fill(0);
            self.start = 0;
            length
        });
    }

    /// Notes that `bytes` stand at `at`. Returns what the table had in that place.
    fn remember(&mut self, bytes: [u8; MIN_MATCH], at: usize) -> u32 {
        // At most `end`, which is a u32.
        std::mem::replace(&mut self.seen[hash(bytes)], self.start + at as u32)
    }

    /// The position in the current input that an entry of the table names. The server has no number for the first
    /// position other than that of an empty entry, so it never matches.
    fn position(&self, entry: u32) -> Option<usize> {
        entry.checked_sub(self.start).filter(|&at| at > 0).map(|at| at as usize)
    }
}

fn hash([first, second, third]: [u8; MIN_MATCH]) -> usize {
    let (upper, lower) = (u16::from_be_bytes([first, second]), u16::from_be_bytes([second, third]));
    upper.wrapping_sub(lower.wrapping_mul(5)).into()
}

/// How much of the input from `at` on repeats what stands at `earlier`, as the server's compressor counts. At least
/// the first `MIN_MATCH` bytes do.
fn match_length(input: &[u8], earlier: usize, at: usize) -> usize {
    let before_tail = (input.len() - at - TAIL).min(MAX_MATCH);
    let limit = if before_tail > SHORT { before_tail.max(LEAP) } else { before_tail.max(MIN_MATCH) };
    let pairs = input[earlier..].iter().zip(&input[at..]);
    pairs.take(limit).take_while(|(one, other)| one == other).count()
}

/// The compressed bytes as they come into being. They end with a literal run, an empty one at times.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Where the run has its length.
    run: usize,
    budget: usize,
}

impl Stream {
    fn begin(&mut self, budget: usize) {
        self.bytes.clear();
        self.budget = budget;
        self.open_run();
    }

    fn open_run(&mut self) {
        self.run = self.bytes.len();
        self.bytes.push(0);
    }

    fn run_length(&self) -> usize {
        self.bytes.len() - self.run - 1
    }

    fn close_run(&mut self) {
        match self.run_length() {
            0 => self.bytes.truncate(self.run),
            length => self.bytes[self.run] = (length - 1) as u8,
        }
    }

    fn push(&mut self, literal: u8) {
        self.bytes.push(literal);
        if self.run_length() == MAX_RUN {
            self.close_run();
            self.open_run();
        }
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        (self.bytes.len() < self.budget).then(|| self.push(byte))
    }

    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        self.close_run();
        if self.bytes.len() + 4 >= self.budget {
            return None;
        }
        let [distance_high, distance_low] = ((distance - 1) as u16).to_be_bytes();
        match length - 2 {
            short @ ..7 => self.bytes.push((short as u8) << 5 | distance_high),
            long => self.bytes.extend([7 << 5 | distance_high, (long - 7) as u8]),
        }
        self.bytes.push(distance_low);
        self.open_run();
        Some(())
    }

    /// The whole stream, with the last bytes of the input.
    fn end(&mut self, rest: &[u8]) -> Option<&[u8]> {
        if self.bytes.len() + 3 > self.budget {
            return None;
        }
        for &byte in rest {
            self.push(byte);
        }
        self.close_run();
        Some(&self.bytes)
    }
}

/// The string of `length` bytes that `stream` stands for, or None if it stands for none of that length.
pub(super) fn decompress(mut stream: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > stream.len().saturating_mul(MAX_EXPANSION) {
        return None;
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    while let Some(control) = take(&mut stream) {
        if usize::from(control) < MAX_RUN {
            let (run, rest) = stream.split_at_checked(usize::from(control) + 1)?;
            if run.len() > length - bytes.len() {
                return None;
            }
            bytes.extend_from_slice(run);
            stream = rest;
        } else {
            let count = match usize::from(control >> 5) {
                7 => 7 + usize::from(take(&mut stream)?) + 2,
                short => short + 2,
            };
            let distance = usize::from(u16::from_be_bytes([control & 0x1f, take(&mut stream)?])) + 1;
            if count > length - bytes.len() {
                return None;
            }
            repeat(&mut bytes, distance, count)?;
        }
    }
    (bytes.len() == length).then_some(bytes)
}

fn take(stream: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = stream.split_first()?;
    *stream = rest;
    Some(byte)
}

/// Appends `count` bytes from `distance` back. They may be bytes that this very call appends.
fn repeat(bytes: &mut Vec<u8>, distance: usize, count: usize) -> Option<()> {
    let from = bytes.len().checked_sub(distance)?;
    let mut left = count;
    while left > 0 {
        // What there is of the pattern; it doubles with every round.
        let some = left.min(bytes.len() - from);
        bytes.extend_from_within(from..from + some);
        left -= some;
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use fastrand::Rng;

    use super::*;

    /// A string of up to `longest` bytes of one of the kinds that a compressor meets: noise, few letters, one pattern
    /// over and over, words, noise with pieces of itself in it.
    pub(in super::super) fn string(rng: &mut Rng, longest: usize) -> Vec<u8> {
        let length = rng.usize(..=longest);
        let mut noise = |length: usize| -> Vec<u8> { (0..length).map(|_| rng.u8(..)).collect() };
        let some = noise(length);
        match rng.u8(..5) {
            0 => some,
            1 => some.iter().map(|byte| byte & 1).collect(),
            2 => some.iter().cycle().take(some.len() % 40).cycle().take(length).copied().collect(),
            3 => some.iter().flat_map(|byte| format!("word{} ", byte % 50).into_bytes()).take(length).collect(),
            _ => {
                let mut some = some;
                for _ in 0..length / 30 {
                    let (from, to) = (rng.usize(..length), rng.usize(..length));
                    let count = rng.usize(..300).min(length - from.max(to));
                    some.copy_within(from..from + count, to);
                }
                some
            }
        }
    }

    fn compressed(input: &[u8], budget: usize) -> Option<Vec<u8>> {
        Compressor::new().compress(input, budget).map(<[u8]>::to_vec)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What Redis 7.0.15, Redis 8.2.3 and Valkey 9.1.2 make of the same strings.
    #[test]
    fn the_stream_is_the_servers() {
        let alphabet: Vec<u8> = (b' '..=b'?').chain(b'!'..=b'?').collect();
        for (input, expected) in [
            (&[b'a'; 21][..], "016161e00a00"),
            (&[b'a'; 22], "016161e00a000061"),
            (&[b'a'; 23], "016161e00a00016161"),
            (&[b'a'; 24], "016161e00b00016161"),
            (&[b'a'; 300], "016161e0ff00e01700016161"),
            (&b"abc".repeat(10), "0361626361e00f02016263"),
            (&b"0123456789abcdef".repeat(2), "103031323334353637383961626364656630e0040f016566"),
            (&alphabet, "1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3fe0141e013e3f"),
        ] {
            let stream = compressed(input, input.len() - 4).map(|stream| hex(&stream));
            assert_eq!(stream.as_deref(), Some(expected), "{}", hex(input));
        }
    }

    #[test]
    fn a_repetition_looks_8192_bytes_back_and_no_further() {
        for (distance, ends) in [
            (8191, "fb00ff01fe002ee01c00012e2e"),
            (8192, "fc00ff01ff002ee01c00012e2e"),
            (8193, "fd000a48454c4c4f574f524c442ee01c00012e2e"),
        ] {
            let input = [&b"-"[..], &vec![b'a'; distance - 10], &[b'.'; 40]].join(&b"HELLOWORLD"[..]);
            let stream = compressed(&input, input.len() - 4).unwrap();
            assert!(hex(&stream).ends_with(ends), "{distance}: {}", hex(&stream));
        }
    }

    #[test]
    fn what_is_near_the_limit_is_given_up_as_by_the_server() {
        let input = b"\x01\0\0\0\x01\0\x01\0\0\0\x01\x01\0\0\x01\x01\0\0\0\0\x01";
        assert_eq!(compressed(input, input.len()).map(|stream| stream.len()), Some(16));
        assert_eq!(compressed(input, 17), None);
    }

    #[test]
    fn what_was_compressed_before_makes_no_difference() {
        let mut rng = Rng::with_seed(1);
        let mut compressor = Compressor::new();
        for _ in 0..500 {
            let input = string(&mut rng, 500);
            if rng.u8(..20) == 0 {
                // The numbers of positions are about to run out.
                compressor.end = u32::MAX - rng.u32(..500);
            }
            let stream = compressor.compress(&input, input.len() * 2).map(<[u8]>::to_vec);
            assert_eq!(stream, compressed(&input, input.len() * 2));
        }
    }

    #[test]
    fn a_stream_fits_the_budget_and_gives_the_string_back() {
        let mut rng = Rng::with_seed(2);
        let mut compressor = Compressor::new();
        let mut fitting = 0;
        for round in 0..2000 {
            let input = string(&mut rng, if round % 20 == 0 { 30_000 } else { 600 });
            let budget = rng.usize(..input.len() + 20);
            if let Some(stream) = compressor.compress(&input, budget) {
                assert!(stream.len() <= budget);
                assert!(input.len() <= stream.len() * MAX_EXPANSION);
                assert_eq!(decompress(stream, input.len()), Some(input));
                fitting += 1;
            }
        }
        assert!(fitting > 500);
    }

    #[test]
    fn a_repetition_may_overlap_itself() {
        assert_eq!(decompress(b"\0a\xe0\x0a\0", 20), Some(vec![b'a'; 20]));
        assert_eq!(decompress(b"\x02abc\xa0\x02", 10).as_deref(), Some(&b"abcabcabca"[..]));
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
    }

    #[test]
    fn a_broken_stream_is_refused() {
        for (stream, length) in [
            (&b"\x01a"[..], 2),   // the run is cut
            (b"\0a\x20", 4),      // the distance is missing
            (b"\0a\xe0", 10),     // the rest of the length is missing
            (b"\0a\xe0\x01", 10), // the distance after it is missing
            (b"\x20\0", 3),       // nothing to repeat
            (b"\0a\x20\x01", 4),  // from before the beginning
            (b"\0a", 2),          // too short a string
            (b"\x01ab", 1),       // too long a run
            (b"\0a\x20\0", 3),    // too long a repetition
            (b"\0a", usize::MAX), // more than it can stand for
            (b"", 1),
        ] {
            assert_eq!(decompress(stream, length), None, "{stream:?}");
        }
    }
}
