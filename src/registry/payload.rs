//! The payload of DUMP and RESTORE: the sources of all libraries, in the server's own format.
//!
//! ```text
//! record*     0xF5 and the source of a library, as a string
//! version     of the RDB format that the strings are in, two bytes, little endian
//! checksum    CRC-64 of everything before, eight bytes, little endian
//! ```
//!
//! A string starts with its length, or with how it is encoded: the two upper bits of the first byte tell.

use std::borrow::Cow;

use crc::{CRC_64_REDIS, Crc, Table};

use super::error::RegistryError;
use super::lzf::{Compressor, decompress};
use crate::c_string::to_nul;

/// Starts the record of a library.
const LIBRARY: u8 = 0xF5;
/// Starts a record of the format of 7.0's release candidates: name, engine, description and code, each for itself.
const PRE_GA_LIBRARY: u8 = 0xF6;

/// The two upper bits of a string's first byte: what the lower six are. The fourth value is that of [`LENGTH_32`] and
/// [`LENGTH_64`], which are whole bytes.
const SHORT_LENGTH: u8 = 0b00;
const MEDIUM_LENGTH: u8 = 0b01;
const ENCODING: u8 = 0b11;

/// First bytes that four or eight bytes of length follow.
const LENGTH_32: u8 = 0x80;
const LENGTH_64: u8 = 0x81;

/// The kinds of [`ENCODING`]: integers as text, and compressed strings.
const INT_8: u8 = 0;
const INT_16: u8 = 1;
const INT_32: u8 = 2;
const LZF: u8 = 3;

/// Strings up to this length are never compressed.
const TOO_SHORT: usize = 20;
/// A compressed string must be so much shorter at least.
const GAIN: usize = 4;

/// The RDB version of the oldest server that has payloads, 7.0: all read it.
pub const OLDEST_VERSION: u16 = 10;

const VERSION: usize = size_of::<u16>();
const FOOTER: usize = VERSION + size_of::<u64>();

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The payload that holds `libraries`, for servers that read RDB files of version `rdb_version`. With `compress`, long
/// sources are compressed where that makes them shorter.
pub fn write<'l>(libraries: impl IntoIterator<Item = &'l [u8]>, rdb_version: u16, compress: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut compressor = compress.then(Compressor::new);
    for library in libraries {
        payload.push(LIBRARY);
        write_string(&mut payload, library, compressor.as_mut());
    }
    payload.extend_from_slice(&rdb_version.to_le_bytes());
    payload.extend_from_slice(&CHECKSUM.checksum(&payload).to_le_bytes());
    payload
}

fn write_string(payload: &mut Vec<u8>, string: &[u8], compressor: Option<&mut Compressor>) {
    if string.len() > TOO_SHORT
        && let Some(compressor) = compressor
        && let Some(compressed) = compressor.compress(string, string.len() - GAIN)
    {
        payload.push(ENCODING << 6 | LZF);
        write_length(payload, compressed.len());
        write_length(payload, string.len());
        payload.extend_from_slice(compressed);
    } else {
        write_length(payload, string.len());
        payload.extend_from_slice(string);
    }
}

fn write_length(payload: &mut Vec<u8>, length: usize) {
    match length {
        0..0x40 => payload.push(length as u8),
        0x40..0x4000 => payload.extend_from_slice(&(u16::from(MEDIUM_LENGTH) << 14 | length as u16).to_be_bytes()),
        _ => match u32::try_from(length) {
            Ok(length) => {
                payload.push(LENGTH_32);
                payload.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                payload.push(LENGTH_64);
                payload.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
}

/// The RDB versions of the payloads that a server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Redis: up to its own, 0 included.
    Redis(u16),
    /// Valkey, given its own: none of those that Redis has had since the two went apart, and not 0 once it has versions
    /// that are its alone.
    Valkey(u16),
    /// Valkey with `rdb-version-check relaxed`, before it had versions that are its alone: any but those of Redis.
    Unforeign,
    /// The same later, and a server that does not tell its own: any but 0.
    Relaxed,
}

impl Versions {
    /// The last version that Redis and Valkey share, and the first that is Valkey's alone.
    const LAST_SHARED: u16 = 11;
    const FIRST_OF_VALKEY: u16 = 80;

    /// Those of a Valkey with `rdb-version-check relaxed`, given its own.
    pub const fn relaxed(own: u16) -> Self {
        if own < Self::FIRST_OF_VALKEY { Self::Unforeign } else { Self::Relaxed }
    }

    /// Whether payloads of `version` are read.
    pub const fn accept(self, version: u16) -> bool {
        let foreign = version > Self::LAST_SHARED && version < Self::FIRST_OF_VALKEY;
        match self {
            Self::Redis(own) => version <= own,
            Self::Valkey(own) => version <= own && !foreign && (version != 0 || own < Self::FIRST_OF_VALKEY),
            Self::Unforeign => !foreign,
            Self::Relaxed => version != 0,
        }
    }
}

/// What a server takes for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The versions that it reads.
    pub versions: Versions,
    /// Whether records of the release candidates of 7.0 are converted, as 7.0 does; later servers refuse them.
    pub pre_ga: bool,
    /// Whether a checksum of zero stands for none, as it does from Redis 8.4 on.
    pub unsealed: bool,
}

impl Rules {
    /// Those of most servers.
    pub const fn new(versions: Versions) -> Self {
        Self { versions, pre_ga: false, unsealed: false }
    }
}

/// Checks the footer of `payload`. Its libraries are then read one by one: what the first of them is refused for comes
/// before what is wrong further on.
///
/// # Errors
/// One and the same for a payload that is too short, of a wrong version or damaged.
pub fn read(payload: &[u8], rules: Rules) -> Result<Records<'_>, RegistryError> {
    if is_sound(payload, rules) {
        Ok(Records { rest: Reader(payload), pre_ga: rules.pre_ga })
    } else {
        Err(RegistryError::PayloadRefused)
    }
}

/// The version in the footer of a payload; None for one that is too short.
pub fn version(payload: &[u8]) -> Option<u16> {
    let (checked, _) = payload.split_last_chunk::<8>()?;
    checked.last_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn is_sound(payload: &[u8], rules: Rules) -> bool {
    let Some((checked, checksum)) = payload.split_last_chunk() else { return false };
    let Some(version) = version(payload) else { return false };
    let checksum = u64::from_le_bytes(*checksum);
    rules.versions.accept(version) && (rules.unsealed && checksum == 0 || checksum == CHECKSUM.checksum(checked))
}

/// The sources of the libraries in a payload. Ends after the first error.
#[derive(Debug)]
pub struct Records<'p> {
    /// The footer included: as with the server, the last string may reach into it.
    rest: Reader<'p>,
    pre_ga: bool,
}

impl<'p> Iterator for Records<'p> {
    type Item = Result<Cow<'p, [u8]>, RegistryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.len() <= FOOTER {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = Reader(&[]);
        }
        Some(record)
    }
}

impl<'p> Records<'p> {
    fn record(&mut self) -> Result<Cow<'p, [u8]>, RegistryError> {
        match self.rest.byte() {
            Some(LIBRARY) => self.rest.string().ok_or(RegistryError::Unreadable("library payload")),
            Some(PRE_GA_LIBRARY) if self.pre_ga => self.pre_ga_record().map(Cow::Owned),
            Some(PRE_GA_LIBRARY) => Err(RegistryError::PreGaFormat),
            _ => Err(RegistryError::NotAFunction),
        }
    }

    /// The source that a record of the old format stands for. Its description is dropped.
    fn pre_ga_record(&mut self) -> Result<Vec<u8>, RegistryError> {
        let name = self.rest.string().ok_or(RegistryError::Unreadable("library name"))?;
        let engine = self.rest.string().ok_or(RegistryError::Unreadable("engine name"))?;
        let described = self.rest.length().ok_or(RegistryError::Unreadable("library description indicator"))?;
        if described != 0 {
            self.rest.string().ok_or(RegistryError::Unreadable("library description"))?;
        }
        let code = self.rest.string().ok_or(RegistryError::Unreadable("library blob"))?;
        // The server joins the parts as C strings.
        Ok([b"#!", to_nul(&engine), b" name=", to_nul(&name), b"\n", to_nul(&code)].concat())
    }
}

/// What a string starts with.
enum Prefix {
    Length(usize),
    Encoding(u8),
}

/// Bytes that are still to be read. None: they are too few, or not what they should be.
#[derive(Debug)]
struct Reader<'p>(&'p [u8]);

impl<'p> Reader<'p> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, count: usize) -> Option<&'p [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn prefix(&mut self) -> Option<Prefix> {
        let first = self.byte()?;
        let low = first & 0x3f;
        let length = match first >> 6 {
            SHORT_LENGTH => low.into(),
            MEDIUM_LENGTH => u16::from_be_bytes([low, self.byte()?]).into(),
            ENCODING => return Some(Prefix::Encoding(low)),
            _ => match first {
                LENGTH_32 => u32::from_be_bytes(self.array()?).into(),
                LENGTH_64 => u64::from_be_bytes(self.array()?),
                _ => return None,
            },
        };
        usize::try_from(length).ok().map(Prefix::Length)
    }

    /// A length where no encoding can stand. The server then takes an encoding's number for the length.
    fn length(&mut self) -> Option<usize> {
        self.prefix().map(|prefix| match prefix {
            Prefix::Length(length) => length,
            Prefix::Encoding(number) => number.into(),
        })
    }

    fn string(&mut self) -> Option<Cow<'p, [u8]>> {
        match self.prefix()? {
            Prefix::Length(length) => self.bytes(length).map(Cow::Borrowed),
            Prefix::Encoding(INT_8) => Some(decimal(i8::from_le_bytes(self.array()?))),
            Prefix::Encoding(INT_16) => Some(decimal(i16::from_le_bytes(self.array()?))),
            Prefix::Encoding(INT_32) => Some(decimal(i32::from_le_bytes(self.array()?))),
            Prefix::Encoding(LZF) => self.compressed().map(Cow::Owned),
            Prefix::Encoding(_) => None,
        }
    }

    fn compressed(&mut self) -> Option<Vec<u8>> {
        let compressed_length = self.length()?;
        let length = self.length()?;
        let compressed = self.bytes(compressed_length)?;
        if length == 0 {
            // The server's decompressor answers 0 to a broken stream, which then is the right length.
            return Some(Vec::new());
        }
        decompress(compressed, length)
    }
}

fn decimal<'p>(integer: impl itoa::Integer) -> Cow<'p, [u8]> {
    Cow::Owned(itoa::Buffer::new().format(integer).into())
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::lzf::tests::string;
    use super::*;

    const CODE: &[u8] = b"#!lua name=mylib\nredis.register_function('f',function() return 1 end)";
    const OWN: Rules = Rules::new(Versions::Redis(10));

    /// A payload of these records with the right footer.
    fn sealed(records: &[u8], version: u16) -> Vec<u8> {
        let mut payload = [records, &version.to_le_bytes()].concat();
        payload.extend_from_slice(&CHECKSUM.checksum(&payload).to_le_bytes());
        payload
    }

    /// What is read from these records, up to the first error.
    fn records_of(records: &[u8], pre_ga: bool) -> Vec<Result<Vec<u8>, String>> {
        let payload = sealed(records, 10);
        let records = read(&payload, Rules { pre_ga, ..OWN }).unwrap();
        records.map(|record| record.map(Cow::into_owned).map_err(|error| error.to_string())).collect()
    }

    /// What is read from one record.
    fn record(record: &[u8]) -> Result<Vec<u8>, String> {
        records_of(record, true).remove(0)
    }

    fn refusal(text: &str) -> Result<Vec<u8>, String> {
        Err(format!("ERR {text}"))
    }

    #[test]
    fn the_bytes_are_the_servers() {
        assert_eq!(write([], 10, true), b"\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda");
        assert_eq!(write([], 12, true), b"\x0c\x00\x96\xed\x68\x80\xf5\x55\x3c\x93");
        assert_eq!(write([], 80, true), b"\x50\x00\x92\xb1\x95\xd1\x91\x2d\xc5\x2e");
        let one = |footer: &[u8]| [b"\xf5\x40\x45", CODE, footer].concat();
        assert_eq!(write([CODE], 10, true), one(b"\x0a\x00\xa3\x98\xb4\xc2\x87\x48\xb1\x87"));
        assert_eq!(write([CODE], 12, true), one(b"\x0c\x00\x68\xee\x80\x02\x7d\x62\x2f\xce"));
        assert_eq!(write([CODE], 80, true), one(b"\x50\x00\x6c\xb2\x7d\x53\x19\x1a\xd6\x73"));
    }

    #[test]
    fn only_what_is_long_enough_and_gets_shorter_is_compressed() {
        for (length, start) in [(20, b'\x14'), (21, b'\xc3')] {
            let library = vec![b'a'; length];
            assert_eq!(write([&library[..]], 10, true)[1], start);
            assert_eq!(write([&library[..]], 10, false)[1], length as u8);
        }
        let noise: Vec<u8> = (0..100).collect();
        assert_eq!(write([&noise[..]], 10, true)[1..3], *b"\x40\x64");
    }

    #[test]
    fn a_length_takes_as_few_bytes_as_it_can() {
        for (length, expected) in [
            (0, &b"\x00"[..]),
            (63, b"\x3f"),
            (64, b"\x40\x40"),
            (16_383, b"\x7f\xff"),
            (16_384, b"\x80\x00\x00\x40\x00"),
            (0xffff_ffff, b"\x80\xff\xff\xff\xff"),
            (0x1_0000_0000, b"\x81\x00\x00\x00\x01\x00\x00\x00\x00"),
        ] {
            let mut bytes = Vec::new();
            write_length(&mut bytes, length);
            assert_eq!(bytes, expected);
            assert_eq!(Reader(&bytes).length(), Some(length));
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut rng = Rng::with_seed(3);
        for round in 0..300 {
            let longest = if round % 10 == 0 { 40_000 } else { 300 };
            let libraries: Vec<_> = (0..rng.usize(..6)).map(|_| string(&mut rng, longest)).collect();
            let payload = write(libraries.iter().map(Vec::as_slice), 10, rng.bool());
            let records: Result<Vec<_>, _> = read(&payload, Rules { pre_ga: rng.bool(), ..OWN }).unwrap().collect();
            assert_eq!(records.unwrap(), libraries);
        }
    }

    #[test]
    fn each_server_accepts_the_versions_it_knows() {
        let accepted = |versions: Versions| -> Vec<u16> {
            let payload = |version| sealed(b"", version);
            let rules = Rules::new(versions);
            (0..=100).chain([u16::MAX]).filter(|&version| read(&payload(version), rules).is_ok()).collect()
        };
        assert!(accepted(Versions::Redis(10)).into_iter().eq(0..=10));
        assert!(accepted(Versions::Redis(12)).into_iter().eq(0..=12));
        assert!(accepted(Versions::Valkey(80)).into_iter().eq((1..=11).chain([80])));
        assert!(accepted(Versions::Valkey(11)).into_iter().eq(0..=11));
        assert!(accepted(Versions::relaxed(11)).into_iter().eq((0..=11).chain(80..=100).chain([u16::MAX])));
        assert!(accepted(Versions::relaxed(80)).into_iter().eq((1..=100).chain([u16::MAX])));
    }

    #[test]
    fn a_short_or_damaged_payload_is_refused() {
        let payload = write([CODE], 10, true);
        for length in 0..payload.len() {
            assert_eq!(read(&payload[..length], OWN).err(), Some(RegistryError::PayloadRefused));
        }
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged, OWN).err(), Some(RegistryError::PayloadRefused));
        }
        assert_eq!(read(b"\x0a\0\0\0\0\0\0\0\0\0", OWN).err(), Some(RegistryError::PayloadRefused));
    }

    #[test]
    fn a_checksum_of_zero_stands_for_none_where_it_may() {
        let unsealed = Rules { unsealed: true, ..OWN };
        for records in [&b""[..], b"\xf5\x01a", b"\xf7"] {
            let payload = |version| [records, &[version, 0], &[0; 8]].concat();
            assert!(read(&payload(10), unsealed).is_ok());
            assert!(read(&payload(11), unsealed).is_err());
            assert!(read(&payload(10), OWN).is_err());
            assert!(read(&sealed(records, 10), unsealed).is_ok());
            for bit in 0..64 {
                let mut payload = payload(10);
                payload[records.len() + 2 + bit / 8] ^= 1 << (bit % 8);
                assert!(read(&payload, unsealed).is_err());
            }
        }
        assert!(read(&[0; 9], unsealed).is_err());
    }

    #[test]
    fn every_encoding_of_a_string_is_read() {
        for (bytes, expected) in [
            (&b"\xf5\x03abc"[..], "abc"),
            (b"\xf5\x40\x03abc", "abc"),
            (b"\xf5\x80\0\0\0\x03abc", "abc"),
            (b"\xf5\x81\0\0\0\0\0\0\0\x03abc", "abc"),
            (b"\xf5\0", ""),
            (b"\xf5\xc0\x85", "-123"),
            (b"\xf5\xc1\x05\x80", "-32763"),
            (b"\xf5\xc2\0\0\0\x80", "-2147483648"),
            (b"\xf5\xc3\x05\x0a\0a\xe0\0\0", "aaaaaaaaaa"),
            // Within a compressed string a length's encoding counts as the length, ...
            (b"\xf5\xc3\xc3\xc2\x01ab", "ab"),
            // ... and nothing comes of anything.
            (b"\xf5\xc3\0\0", ""),
            (b"\xf5\xc3\x02\0\xff\xff", ""),
        ] {
            assert_eq!(record(bytes).as_deref(), Ok(expected.as_bytes()), "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let lengths = |bytes: &[u8], length: u64| [bytes, b"\x81", &length.to_be_bytes(), b"\x03\x01ab"].concat();
        for bytes in [
            b"\xf5\xc4aaaa".to_vec(),
            b"\xf5\xffaaaa".to_vec(),
            b"\xf5\x82aaaa".to_vec(),
            b"\xf5\xbfaaaa".to_vec(),
            b"\xf5\x80\xff\xff\xff\xff".to_vec(),
            lengths(b"\xf5", u64::MAX),
            lengths(b"\xf5", 1 << 45),
            lengths(b"\xf5\xc3", u64::MAX),
            lengths(b"\xf5\xc3\x03", u64::MAX),
            lengths(b"\xf5\xc3\x03", 1 << 31),
            b"\xf5\xc3\x03\x03\x01ab".to_vec(),
            b"\xf5\xc3\x03\x01\x01ab".to_vec(),
            b"\xf5\xc3\x82\x02\x01ab".to_vec(),
            b"\xf5\xc3\x20\x02\x01ab".to_vec(),
        ] {
            assert_eq!(record(&bytes), refusal("Failed loading library payload"), "{bytes:?}");
        }
        assert_eq!(record(b"\x00abc"), refusal("given type is not a function"));
        assert_eq!(record(b"\xf7"), refusal("given type is not a function"));
    }

    #[test]
    fn the_last_string_may_reach_into_the_footer_but_not_beyond() {
        let read = record(b"\xf5\x04ab").unwrap();
        assert_eq!(read, b"ab\x0a\0");
        assert_eq!(record(b"\xf5\x0cab").map(|read| read.len()), Ok(12));
        assert_eq!(record(b"\xf5\x0dab"), refusal("Failed loading library payload"));
        // Alone, it takes the version for its length.
        assert_eq!(record(b"\xf5"), refusal("Failed loading library payload"));
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        let read = records_of(b"\xf5\x01a\x00\xf5\x01b", true);
        assert_eq!(read, [Ok(b"a".to_vec()), refusal("given type is not a function")]);
    }

    #[test]
    fn a_record_of_the_release_candidates_is_converted_where_it_is_accepted() {
        let old = b"\xf6\x02l1\x03LUA\0\x03f()";
        assert_eq!(record(old).as_deref(), Ok(&b"#!LUA name=l1\nf()"[..]));
        assert_eq!(records_of(old, false), [refusal("Pre-GA function format not supported")]);
        assert_eq!(records_of(b"\xf6\xc4", false), [refusal("Pre-GA function format not supported")]);
        let described = b"\xf6\x02l1\x03LUA\x01\x04text\x03f()\xf5\x01a";
        assert_eq!(records_of(described, true), [Ok(b"#!LUA name=l1\nf()".to_vec()), Ok(b"a".to_vec())]);
        // An encoding stands for its number here.
        assert_eq!(record(b"\xf6\xc0\x07\x03LUA\xc0\x03f()").as_deref(), Ok(&b"#!LUA name=7\nf()"[..]));
        assert_eq!(record(b"\xf6\x04l\0xx\x03L\0x\0\x05f()\0x").as_deref(), Ok(&b"#!L name=l\nf()"[..]));
        for (bytes, text) in [
            (&b"\xf6\xc4"[..], "Failed loading library name"),
            (b"\xf6\x01l\xc4", "Failed loading engine name"),
            (b"\xf6\x01l\x01e\x82", "Failed loading library description indicator"),
            (b"\xf6\x01l\x01e\x01\xc4", "Failed loading library description"),
            (b"\xf6\x01l\x01e\x01\x01d\xc4", "Failed loading library blob"),
            (b"\xf6\x01l\x01e\0\xc4", "Failed loading library blob"),
        ] {
            assert_eq!(record(bytes), refusal(text));
        }
    }

    /// Records that were tampered with, under a right checksum.
    #[test]
    fn a_mutated_payload_is_read_or_refused_in_known_words() {
        const TEXTS: [&str; 7] = [
            "given type is not a function",
            "Failed loading library payload",
            "Failed loading library name",
            "Failed loading engine name",
            "Failed loading library description indicator",
            "Failed loading library description",
            "Failed loading library blob",
        ];
        let mut rng = Rng::with_seed(4);
        let (mut read, mut refused) = (0, 0);
        for _ in 0..10_000 {
            let libraries: Vec<_> = (0..rng.usize(1..4)).map(|_| string(&mut rng, 120)).collect();
            let mut payload = write(libraries.iter().map(Vec::as_slice), 10, true);
            payload.truncate(payload.len() - FOOTER);
            if rng.bool() {
                payload.extend_from_slice(b"\xf6\x02l1\x03LUA\x01\x04text\x03f()");
            }
            for _ in 0..rng.usize(1..4) {
                mutate(&mut rng, &mut payload);
            }
            for record in records_of(&payload, true) {
                match record {
                    Ok(source) => {
                        assert!(source.len() <= (payload.len() + FOOTER) * super::super::lzf::MAX_EXPANSION);
                        read += 1;
                    }
                    Err(text) => {
                        assert!(TEXTS.iter().any(|known| text == format!("ERR {known}")), "{text}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(read > 1000 && refused > 1000);
    }

    fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            2 => bytes.insert(at, *rng.choice(b"\x80\x81\xc0\xc1\xc2\xc3\xf5\xf6").unwrap_or(&0)),
            _ if at < bytes.len() => bytes[at] = rng.u8(..),
            _ => {}
        }
    }
}
