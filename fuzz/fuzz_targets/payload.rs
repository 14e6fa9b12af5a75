//! Payloads of DUMP and RESTORE. The first byte says how the rest is taken: as a whole payload, as records that get a
//! right footer, or as the sources of libraries; and which server reads it.
#![no_main]

use crc::{CRC_64_REDIS, Crc};
use libfuzzer_sys::fuzz_target;
use shadow::registry::payload::{self, Rules, Versions};

const FOOTER: usize = 10;
/// A compressed byte stands for at most this many: three stand for 264.
const EXPANSION: usize = 88;

/// A payload of these records with the right footer.
fn sealed(records: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [records, &version.to_le_bytes()].concat();
    let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// Writes libraries and reads them.
fn check_written(libraries: &[impl AsRef<[u8]>], version: u16, compress: bool) {
    let payload = payload::write(libraries.iter().map(AsRef::as_ref), version, compress);
    let read = payload::read(&payload, Rules::new(Versions::Redis(version))).expect("our own");
    let read: Vec<_> = read.map(|record| record.expect("our own")).collect();
    assert!(read.iter().map(|source| &source[..]).eq(libraries.iter().map(AsRef::as_ref)));
    // Every bit counts.
    let mut damaged = payload;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(payload::read(&damaged, Rules::new(Versions::Redis(version))).is_err());
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let (versions, version) = match first >> 2 & 3 {
        0 => (Versions::Redis(10), 10),
        1 => (Versions::Redis(12), 12),
        2 => (Versions::Valkey(80), 80),
        _ => (Versions::Relaxed, 0xffff),
    };
    let (compress, pre_ga, unsealed) = (first & 0x10 != 0, first & 0x20 != 0, first & 0x40 != 0);
    let payload = match first & 3 {
        0 => data.to_vec(),
        1 | 2 => sealed(data, version),
        _ => {
            let libraries: Vec<_> = data.split(|&byte| byte == 0xff).collect();
            return check_written(&libraries, version, compress);
        }
    };
    let Ok(records) = payload::read(&payload, Rules { versions, pre_ga, unsealed }) else {
        assert!(first & 3 == 0, "the footer is right");
        return;
    };
    let mut sources = Vec::new();
    for record in records {
        match record {
            Ok(source) => {
                assert!(source.len() <= payload.len() * EXPANSION + FOOTER);
                sources.push(source);
            }
            Err(error) => {
                let text = error.to_string();
                let known = ["ERR Failed loading library", "ERR Failed loading engine", "ERR given type", "ERR Pre-GA"];
                assert!(known.iter().any(|known| text.starts_with(known)), "{text}");
                return;
            }
        }
    }
    check_written(&sources, version, compress);
});
