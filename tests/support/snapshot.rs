//! Snapshot files, byte by byte.

/// Where `part` begins.
///
/// # Panics
/// When it is not there.
pub fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("it is in the file")
}

/// Where the module's field is: behind its opcode, the type's id follows as a number of eight bytes. The upper 54 bits
/// of that are the name, six for each letter, and the lower ten the version of the layout.
pub fn field(bytes: &[u8]) -> usize {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |letter: &u8| LETTERS.iter().position(|known| known == letter).expect("a letter of names") as u64;
    let name = b"shadow-fn".iter().fold(0, |name, letter| name << 6 | digit(letter));
    find(bytes, &[b"\xf7\x81".as_slice(), &(name << 10 | 1).to_be_bytes()].concat())
}

/// Makes the module's field one of the next version. The file may have a checksum: it then says that it has none.
pub fn make_newer(bytes: &mut [u8]) {
    let lowest = field(bytes) + 9;
    assert_eq!(bytes[lowest], 1, "the version that is written");
    bytes[lowest] = 2;
    let (_, checksum) = bytes.split_last_chunk_mut::<8>().expect("a file ends with its checksum");
    *checksum = [0; 8];
}

/// The version of the format, in which servers count what they can read.
pub fn version(bytes: &[u8]) -> u16 {
    let digits = bytes.strip_prefix(b"REDIS").or_else(|| bytes.strip_prefix(b"VALKEY")).expect("a snapshot");
    let digits = &digits[..9 - (bytes.len() - digits.len())];
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a version")
}
