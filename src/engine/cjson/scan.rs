//! Runs of bytes that are copied as they are.

/// How many of the first bytes are not special. The two functions agree: `vector` suits vector instructions, `single`
/// is for the bytes that are left.
#[inline(always)]
pub fn skip(bytes: &[u8], vector: impl Fn(u8) -> bool, single: impl Fn(u8) -> bool) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    // Steps without branches.
    while let Some(step) = bytes.get(at..at + STEP) {
        if step.iter().fold(false, |found, &byte| found | vector(byte)) {
            break;
        }
        at += STEP;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| single(byte)).unwrap_or(rest.len())
}
