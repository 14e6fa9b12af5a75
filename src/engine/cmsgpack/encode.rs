//! Values to MessagePack.

use rmp::encode::{self, ByteBuf};

use crate::engine::argument::check_slots;
use crate::engine::limits::LENGTH;
use crate::engine::pace::Pace;
use crate::engine::stack::{Kind, Raise, Stack};
use crate::engine::state::VmState;

/// How deep tables are encoded; one below is nil. So cycles end too.
const NESTING: u32 = 16;

/// After this many bytes written in vain, tables are surveyed before they are written. A hole at the end of an array,
/// and again in every array inside it, would double the work with each level.
const WASTE: usize = 4096;

/// Slots of the VM that a level of nesting takes: a key and its value.
const SLOTS_A_LEVEL: i32 = 2;

/// Writes values of the stack one after another.
///
/// Every method that takes a table is told how many slots the server has in use then (`used`), and raises where the
/// server runs out of them.
pub struct Encoder<'a> {
    stack: &'a Stack,
    out: ByteBuf,
    /// Bytes written for arrays that turned out to be none.
    wasted: usize,
    pace: Pace,
    /// How long a string the VM still takes.
    room: usize,
}

impl<'a> Encoder<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        let room = VmState::of(stack).memory.room(stack);
        Self { stack, out: ByteBuf::with_capacity(128), wasted: 0, pace: Pace::default(), room }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        self.out.as_slice()
    }

    /// Writes the value at `index`, counted from the bottom. May raise for want of memory.
    pub fn value(&mut self, index: i32, used: i32) -> Result<(), Raise> {
        self.nested(self.stack.kind(index), index, 0, used)
    }

    fn nested(&mut self, kind: Kind, index: i32, level: u32, used: i32) -> Result<(), Raise> {
        let stack = self.stack;
        self.pace.step(stack);
        match kind {
            Kind::Number => write_number(&mut self.out, stack.number(index).unwrap_or(f64::NAN)),
            Kind::String => self.string(stack.text(index).unwrap_or_default())?,
            Kind::Boolean => {
                let Ok(()) = encode::write_bool(&mut self.out, stack.boolean(index));
            }
            Kind::Table if level < NESTING => self.table(index, level, used)?,
            Kind::Table | Kind::None | Kind::Nil | Kind::Function | Kind::Other => {
                let Ok(()) = encode::write_nil(&mut self.out);
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) -> Result<(), Raise> {
        self.check_length(text.len())?;
        let Ok(_) = encode::write_str_len(&mut self.out, text.len() as u32);
        self.out.as_mut_vec().extend_from_slice(text);
        Ok(())
    }

    fn check_length(&self, more: usize) -> Result<(), Raise> {
        let length = self.out.as_slice().len() + more;
        if length > self.room {
            return Err(Raise::Memory);
        }
        if length > LENGTH {
            return Err(Raise::at("MessagePack data is longer than a string can be."));
        }
        Ok(())
    }

    fn table(&mut self, index: i32, level: u32, used: i32) -> Result<(), Raise> {
        self.check_length(0)?;
        self.stack.reserve(SLOTS_A_LEVEL);
        check_slots(used + 2, "in function table_is_an_array")?;
        if self.wasted < WASTE {
            let start = self.out.as_slice().len();
            if self.likely_array(index, level, used)? {
                return Ok(());
            }
            let out = self.out.as_mut_vec();
            self.wasted += out.len() - start;
            out.truncate(start);
        }
        match self.survey(index) {
            (count, true) => self.array(index, count, level, used).map(|_| ()),
            (count, false) => self.map(index, count, level, used),
        }
    }

    /// Writes the table as an array, in one pass, if it looks like one. False, with something written perhaps, if it is
    /// not one after all.
    fn likely_array(&mut self, index: i32, level: u32, used: i32) -> Result<bool, Raise> {
        let stack = self.stack;
        let length = stack.length(index);
        // The VM steps through the elements that it keeps in order first, then through the others, a position each.
        // Nothing at position `length` or later: there are that many pairs at most, so if 1 to `length` are all there,
        // there is nothing else.
        if stack.raw_iterate(index, length).is_some() {
            stack.pop(2);
            return Ok(false);
        }
        self.array(index, length.cast_unsigned(), level, used)
    }

    /// Writes an array; false if an element is missing.
    fn array(&mut self, index: i32, count: u32, level: u32, used: i32) -> Result<bool, Raise> {
        let stack = self.stack;
        let Ok(_) = encode::write_array_len(&mut self.out, count);
        let element = stack.top() + 1;
        for position in 1..=count.cast_signed() {
            let kind = stack.raw_get_at(index, position);
            if kind == Kind::Nil {
                stack.pop(1);
                return Ok(false);
            }
            self.nested(kind, element, level + 1, used + 1)?;
            stack.pop(1);
        }
        Ok(true)
    }

    fn map(&mut self, index: i32, count: u32, level: u32, used: i32) -> Result<(), Raise> {
        let stack = self.stack;
        check_slots(used + 3, "in function mp_encode_lua_table_as_map")?;
        let Ok(_) = encode::write_map_len(&mut self.out, count);
        let key = stack.top() + 1;
        let value = key + 1;
        let mut position = 0;
        while let Some(next) = stack.raw_iterate(index, position) {
            position = next;
            self.nested(stack.kind(key), key, level + 1, used + 3)?;
            self.nested(stack.kind(value), value, level + 1, used + 2)?;
            stack.pop(2);
        }
        Ok(())
    }

    /// How many pairs the table at `index` has, and whether their keys are 1 to that number.
    fn survey(&mut self, index: i32) -> (u32, bool) {
        let stack = self.stack;
        let (mut count, mut sequence, mut highest) = (0u32, true, 0.0f64);
        let mut position = 0;
        while let Some(next) = stack.raw_iterate(index, position) {
            self.pace.step(stack);
            position = next;
            count += 1;
            if sequence {
                let key = if stack.kind(-2) == Kind::Number { stack.number(-2).unwrap_or(0.0) } else { 0.0 };
                // Different integers from 1 up whose highest is their count are all from 1 to it.
                sequence = key >= 1.0 && key <= f64::from(i32::MAX) && f64::from(key as i32) == key;
                highest = highest.max(key);
            }
            stack.pop(2);
        }
        (count, sequence && highest == f64::from(count))
    }
}

/// Writes a number in its smallest form: as an integer if it is one, else as a float of 32 bits if that loses nothing.
fn write_number(out: &mut ByteBuf, number: f64) {
    // The cast stops at the limits. The highest integer is no double, so it comes from numbers beyond it alone.
    let integer = number as i64;
    if integer as f64 == number && integer != i64::MAX {
        let Ok(_) = encode::write_sint(out, integer);
    } else if f64::from(number as f32) == number {
        let Ok(()) = encode::write_f32(out, number as f32);
    } else {
        let Ok(()) = encode::write_f64(out, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        let mut out = ByteBuf::new();
        write_number(&mut out, number);
        out.as_slice().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn integers_take_the_smallest_form() {
        let numbers = [0.0, -0.0, 127.0, 128.0, 256.0, 65_536.0, 4_294_967_296.0];
        assert_eq!(numbers.map(written).join(" "), "00 00 7f cc80 cd0100 ce00010000 cf0000000100000000");
        let numbers = [-1.0, -32.0, -33.0, -129.0, -32_769.0, -2_147_483_649.0];
        assert_eq!(numbers.map(written).join(" "), "ff e0 d0df d1ff7f d2ffff7fff d3ffffffff7fffffff");
        assert_eq!(written(9_007_199_254_740_992.0), "cf0020000000000000");
        assert_eq!(written(9_223_372_036_854_774_784.0), "cf7ffffffffffffc00");
        assert_eq!(written(-9_223_372_036_854_775_808.0), "d38000000000000000");
    }

    #[test]
    fn what_is_no_integer_is_a_float() {
        assert_eq!(written(1.5), "ca3fc00000");
        assert_eq!(written(0.1), "cb3fb999999999999a");
        assert_eq!(written(9_223_372_036_854_775_808.0), "ca5f000000");
        assert_eq!(written(-9_223_372_036_854_777_856.0), "cbc3e0000000000001");
        assert_eq!(written(f64::INFINITY), "ca7f800000");
        assert_eq!(written(f64::NAN), "cb7ff8000000000000");
    }
}
