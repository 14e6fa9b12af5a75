//! The library `struct`: values to bytes and back after a format string.
//!
//! No crate knows these formats. Sizes in a format are the script's, so everything computed from them is checked or
//! cannot overflow; nothing is allocated for a size that the data does not have.

use smallvec::SmallVec;

use super::argument::{self, bad, check_slots};
use super::limits::{LENGTH, too_large};
use super::number;
use super::pace::Pace;
use super::stack::{Outcome, Raise, Stack, natives};
use super::state::VmState;
use crate::c_string::to_nul;

natives! {
    Pack = c"pack", pack;
    Unpack = c"unpack", unpack;
    Size = c"size", size;
}

/// The largest integer in bytes.
const INTEGER_LIMIT: usize = 32;
/// What `!` without a number aligns to.
const NATIVE_ALIGNMENT: usize = 8;

/// A format string that is being read, and the state that its options set.
struct Format<'a> {
    rest: &'a [u8],
    big_endian: bool,
    /// Items are aligned to their size, but to no more than this power of two.
    alignment: usize,
}

/// An option with its size in bytes: 0 where it has none of its own.
struct Item {
    option: u8,
    size: usize,
}

/// What is wrong with a format.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// A number in it.
    Number(String),
    /// An option in it.
    Option(Vec<u8>),
}

impl Fault {
    fn option(text: &str) -> Self {
        Self::Option(text.as_bytes().to_vec())
    }

    /// What `function` raises then.
    fn raise(self, stack: &Stack, function: &str) -> Raise {
        match self {
            Self::Number(text) => Raise::at(&text),
            Self::Option(reason) => bad(stack, function, 1, reason),
        }
    }
}

impl<'a> Format<'a> {
    /// The format `text`, which ends at the first NUL.
    fn new(text: &'a [u8]) -> Self {
        Self { rest: to_nul(text), big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    /// The next option.
    fn item(&mut self) -> Result<Option<Item>, Fault> {
        let Some((&option, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_LIMIT {
                    let text = format!("integral size {size} is larger than limit of {INTEGER_LIMIT}");
                    return Err(Fault::Number(text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some(Item { option, size }))
    }

    /// The decimal number that comes next, or `default`. It fits 31 bits.
    fn number(&mut self, default: usize) -> Result<usize, Fault> {
        let mut number: Option<i32> = None;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            self.rest = rest;
            let next = number.unwrap_or(0).checked_mul(10).and_then(|tens| tens.checked_add(i32::from(digit - b'0')));
            number = Some(next.ok_or_else(|| Fault::Number("integral size overflow".to_owned()))?);
        }
        Ok(number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default))
    }

    /// How many bytes come before `item` at `position`.
    ///
    /// For a size that is no power of two the server's formula is kept, whatever it means.
    fn padding(&self, position: usize, item: &Item) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        (size - (position & (size - 1))) & (size - 1)
    }

    /// Follows an option that is no item.
    fn control(&mut self, option: u8) -> Result<(), Fault> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(Fault::Number(format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            _ => {
                return Err(Fault::Option([b"invalid format option '".as_slice(), &[option], b"'"].concat()));
            }
        }
        Ok(())
    }

    /// Turns little-endian bytes into the format's order, or back.
    fn order(&self, bytes: &mut [u8]) {
        if self.big_endian {
            bytes.reverse();
        }
    }

    /// The bytes of an integer. What is wider than 64 bits is filled up with zeros, also for a negative number.
    fn integer_bytes(&self, value: u64, size: usize) -> [u8; INTEGER_LIMIT] {
        let mut bytes = [0; INTEGER_LIMIT];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        self.order(&mut bytes[..size]);
        bytes
    }

    /// The integer that `bytes` (32 at most) stand for: of wider ones the lowest 64 bits.
    fn integer(&self, bytes: &[u8], signed: bool) -> f64 {
        let mut low = [0; INTEGER_LIMIT];
        low[..bytes.len()].copy_from_slice(bytes);
        self.order(&mut low[..bytes.len()]);
        let value = u64::from_le_bytes(low[..8].try_into().unwrap_or_default());
        if !signed {
            return value as f64;
        }
        // From the sign bit up. Beyond 64 bits the server shifts as the processor does, by the rest.
        let sign = u64::MAX.wrapping_shl((bytes.len() as u32).wrapping_mul(8).wrapping_sub(1));
        let value = if value & sign == 0 { value } else { value | sign };
        value.cast_signed() as f64
    }
}

/// `number` as 64 bits, as the x86 processor cuts it: a negative one as a signed integer, others as an unsigned one.
fn integer_bits(number: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if number >= HALF {
        number::truncated(number - HALF).cast_unsigned() ^ (1 << 63)
    } else {
        number::truncated(number).cast_unsigned()
    }
}

fn pack(stack: &Stack) -> Outcome {
    const NAME: &str = "pack";
    let mut format = Format::new(argument::text(stack, NAME, 1)?);
    let wrong = |fault: Fault| fault.raise(stack, NAME);
    // The first missing argument is found to be nil, not `no value`, as in the server.
    stack.push_nil();
    let room = VmState::of(stack).memory.room(stack);
    let mut bytes = SmallVec::<[u8; 128]>::new();
    let mut argument = 2;
    let mut next = || {
        argument += 1;
        argument - 1
    };
    let mut pace = Pace::default();
    while let Some(item) = format.item().map_err(wrong)? {
        pace.step(stack);
        let padding = format.padding(bytes.len(), &item);
        if bytes.len() + padding > room {
            return Err(Raise::Memory);
        }
        if padding > 0 {
            bytes.resize(bytes.len() + padding, 0);
        }
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let value = integer_bits(argument::number(stack, NAME, next())?);
                bytes.extend_from_slice(&format.integer_bytes(value, item.size)[..item.size]);
            }
            b'x' => bytes.push(0),
            b'f' => {
                let mut value = (argument::number(stack, NAME, next())? as f32).to_le_bytes();
                format.order(&mut value);
                bytes.extend_from_slice(&value);
            }
            b'd' => {
                let mut value = argument::number(stack, NAME, next())?.to_le_bytes();
                format.order(&mut value);
                bytes.extend_from_slice(&value);
            }
            b'c' | b's' => {
                let text = argument::text(stack, NAME, next())?;
                let size = if item.size == 0 { text.len() } else { item.size };
                // The server has moved on when it finds the string too short: it names the next argument.
                let text = text.get(..size).ok_or_else(|| bad(stack, NAME, next(), "string too short"))?;
                let length = bytes.len() + text.len();
                if length > room {
                    return Err(Raise::Memory);
                }
                if length > LENGTH {
                    return Err(too_large());
                }
                bytes.extend_from_slice(text);
                if item.option == b's' {
                    bytes.push(0);
                }
            }
            option => format.control(option).map_err(wrong)?,
        }
    }
    stack.push_bytes(&bytes);
    Ok(1)
}

fn unpack(stack: &Stack) -> Outcome {
    const NAME: &str = "unpack";
    let mut format = Format::new(argument::text(stack, NAME, 1)?);
    let wrong = |fault: Fault| fault.raise(stack, NAME);
    let data = argument::text(stack, NAME, 2)?;
    // A negative offset is one far beyond every string.
    let offset = argument::optional_integer(stack, NAME, 3, 1)?.cast_unsigned();
    let mut position =
        offset.checked_sub(1).ok_or_else(|| bad(stack, NAME, 3, "offset must be 1 or greater"))? as usize;
    let short = || bad(stack, NAME, 2, "data string too short");
    let arguments = stack.top();
    let mut results = 0;
    let mut pace = Pace::default();
    while let Some(item) = format.item().map_err(wrong)? {
        pace.step(stack);
        position = position.checked_add(format.padding(position, &item)).ok_or_else(short)?;
        let Some(rest) = data.get(position..).filter(|rest| rest.len() >= item.size) else {
            return Err(short());
        };
        check_slots(arguments + results + 2, "too many results")?;
        stack.reserve(2);
        let mut taken = item.size;
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                stack.push_number(format.integer(&rest[..item.size], item.option.is_ascii_lowercase()));
                results += 1;
            }
            b'x' => {}
            b'f' => {
                let mut value: [u8; 4] = rest[..4].try_into().unwrap_or_default();
                format.order(&mut value);
                stack.push_number(f64::from(f32::from_le_bytes(value)));
                results += 1;
            }
            b'd' => {
                let mut value: [u8; 8] = rest[..8].try_into().unwrap_or_default();
                format.order(&mut value);
                stack.push_number(f64::from_le_bytes(value));
                results += 1;
            }
            b'c' => {
                if taken == 0 {
                    // The result before is the length, and no result any more.
                    let length = if results == 0 { None } else { stack.number(-1) };
                    let length = length.ok_or_else(|| Raise::at("format 'c0' needs a previous size"))?;
                    taken = usize::try_from(integer_bits(length)).unwrap_or(usize::MAX);
                    stack.pop(1);
                    results -= 1;
                }
                stack.push_bytes(rest.get(..taken).ok_or_else(short)?);
                results += 1;
            }
            b's' => {
                let end = rest.iter().position(|&byte| byte == 0);
                let end = end.ok_or_else(|| Raise::at("unfinished string in data"))?;
                stack.push_bytes(&rest[..end]);
                results += 1;
                taken = end + 1;
            }
            option => format.control(option).map_err(wrong)?,
        }
        position += taken;
    }
    // As a signed integer: without an item to take, a negative offset comes back as it was.
    stack.push_number((position as i64).wrapping_add(1) as f64);
    Ok(results + 1)
}

fn size(stack: &Stack) -> Outcome {
    const NAME: &str = "size";
    let format = Format::new(argument::text(stack, NAME, 1)?);
    let mut pace = Pace::default();
    let size = total(format, || pace.step(stack)).map_err(|fault| fault.raise(stack, NAME))?;
    stack.push_number(size as f64);
    Ok(1)
}

/// The bytes that all items of the format take together. `step` is called for each.
fn total(mut format: Format, mut step: impl FnMut()) -> Result<usize, Fault> {
    let mut position = 0usize;
    while let Some(item) = format.item()? {
        step();
        match item {
            Item { option: b's', .. } => return Err(Fault::option("option 's' has no fixed size")),
            Item { option: b'c', size: 0 } => return Err(Fault::option("option 'c0' has no fixed size")),
            // Unknown letters and digits count as nothing here.
            Item { option, .. } if !option.is_ascii_alphanumeric() => format.control(option)?,
            Item { .. } => {}
        }
        position = position.saturating_add(format.padding(position, &item)).saturating_add(item.size);
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(format: &str) -> Result<usize, Fault> {
        total(Format::new(format.as_bytes()), || {})
    }

    fn number(text: &str) -> Result<usize, Fault> {
        Err(Fault::Number(text.to_owned()))
    }

    #[test]
    fn sizes_add_up() {
        assert_eq!(size_of(""), Ok(0));
        assert_eq!(size_of("bhilLTfd"), Ok(43));
        assert_eq!(size_of("!bhil"), Ok(16));
        assert_eq!(size_of("!32bi32bi7"), Ok(78));
        assert_eq!(size_of("c10"), Ok(10));
        assert_eq!(size_of("z9"), Ok(0));
        assert_eq!(size_of("b\0z%"), Ok(1));
    }

    #[test]
    fn huge_sizes_neither_wrap_nor_pass() {
        assert_eq!(size_of("c2147483647c2147483647"), Ok(4_294_967_294));
        assert_eq!(size_of("c2147483648"), number("integral size overflow"));
        assert_eq!(size_of("i99999999999999999999999"), number("integral size overflow"));
        assert_eq!(size_of("i33"), number("integral size 33 is larger than limit of 32"));
        assert_eq!(size_of("!2147483647"), number("alignment 2147483647 is not a power of 2"));
        assert_eq!(size_of("!0"), number("alignment 0 is not a power of 2"));
    }

    #[test]
    fn what_has_no_size_is_refused() {
        assert_eq!(size_of("bs"), Err(Fault::option("option 's' has no fixed size")));
        assert_eq!(size_of("c0"), Err(Fault::option("option 'c0' has no fixed size")));
        assert_eq!(size_of("%"), Err(Fault::option("invalid format option '%'")));
    }

    #[test]
    fn integers_of_every_width_are_read() {
        let mut format = Format::new(b"");
        assert_eq!(format.integer(&[], true), 0.0);
        assert_eq!(format.integer(&[0xFE], true), -2.0);
        assert_eq!(format.integer(&[0xFE], false), 254.0);
        assert_eq!(format.integer(&[0xFF; 7], true), -1.0);
        assert_eq!(format.integer(&[0xFF; 8], false), 18_446_744_073_709_551_615.0);
        // The sign bit of nine bytes is taken for the eighth bit.
        assert_eq!(format.integer(&[128, 0, 0, 0, 0, 0, 0, 0, 0], true), -128.0);
        format.big_endian = true;
        assert_eq!(format.integer(&[1, 0, 0, 0, 0, 0, 0, 0, 1], true), 1.0);
    }

    #[test]
    fn numbers_are_cut_as_the_processor_does_it() {
        assert_eq!(integer_bits(-3.7), (-3i64).cast_unsigned());
        assert_eq!(integer_bits(9_223_372_036_854_775_808.0), 1 << 63);
        assert_eq!(integer_bits(18_446_744_073_709_549_568.0), u64::MAX - 2047);
        assert_eq!(integer_bits(18_446_744_073_709_551_616.0), 0);
        assert_eq!(integer_bits(f64::INFINITY), 0);
        assert_eq!(integer_bits(f64::NEG_INFINITY), 1 << 63);
        assert_eq!(integer_bits(f64::NAN), 1 << 63);
    }
}
