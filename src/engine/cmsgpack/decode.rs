//! MessagePack to values.

use rmp::Marker;
use smallvec::SmallVec;

use crate::engine::argument::check_slots;
use crate::engine::pace::Pace;
use crate::engine::stack::{Raise, Stack};

/// Slots of the VM that an open table takes at most: itself, a key and a value; and what growing it anew takes.
const SLOTS_A_TABLE: i32 = 5;

const NIL_KEY: &str = "table index is nil";
const NAN_KEY: &str = "table index is NaN";

/// Reads values one after another and pushes them.
///
/// Nested tables wait in a list of their own, not in frames of the processor's stack: the input decides the depth. The
/// server's VM ends it, at the number of slots that its decoder can use; ours counts them as the server does.
pub struct Decoder<'a> {
    stack: &'a Stack,
    rest: &'a [u8],
    /// How many elements may still be given room before they are read. All tables together get no more than the input
    /// has bytes, whatever sizes it claims.
    room: usize,
    open: SmallVec<[Open; 16]>,
    pace: Pace,
}

/// A table that waits for values.
struct Open {
    shape: Shape,
    /// Slots that the server has in use below the table.
    used: i32,
    /// Elements or pairs still to come.
    remaining: u32,
}

enum Shape {
    /// `taken` elements came. `grown`: the table began without room for them; nil leaves holes in it.
    Array {
        taken: i32,
        grown: bool,
    },
    Map(Turn),
}

/// What a map waits for.
#[derive(Clone, Copy)]
enum Turn {
    Key,
    /// The value of the key on top.
    Value(Pushed),
}

/// What was read.
enum Token {
    Value(Pushed),
    Array(u32),
    Map(u32),
}

/// What is known of the value on top.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushed {
    Nil,
    NotANumber,
    Other,
}

impl<'a> Decoder<'a> {
    pub fn new(stack: &'a Stack, input: &'a [u8]) -> Self {
        Self { stack, rest: input, room: input.len(), open: SmallVec::new(), pace: Pace::default() }
    }

    /// The bytes that were not read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Pushes the next value. `used`: the slots that the server has in use. May raise for want of memory.
    pub fn value(&mut self, mut used: i32) -> Result<(), Raise> {
        self.stack.reserve(SLOTS_A_TABLE);
        loop {
            self.pace.step(self.stack);
            let pushed = match self.token(used)? {
                Token::Value(pushed) => pushed,
                Token::Array(length) => {
                    let room = self.take_room(length);
                    self.stack.push_table(room, 0);
                    check_slots(used + 2, "in function mp_decode_to_lua_array")?;
                    if length > 0 {
                        let shape = Shape::Array { taken: 0, grown: room == 0 };
                        used = self.begin(shape, used, length);
                        continue;
                    }
                    Pushed::Other
                }
                Token::Map(length) => {
                    let room = self.take_room(length);
                    self.stack.push_table(0, room);
                    if length > 0 {
                        used = self.begin(Shape::Map(Turn::Key), used, length);
                        continue;
                    }
                    Pushed::Other
                }
            };
            match self.attach(pushed)? {
                Some(next) => used = next,
                None => return Ok(()),
            }
        }
    }

    fn take_room(&mut self, wanted: u32) -> usize {
        let room = self.room.min(wanted as usize);
        self.room -= room;
        room
    }

    /// Opens the table on top; gives the slots in use when its first value is read.
    fn begin(&mut self, shape: Shape, used: i32, remaining: u32) -> i32 {
        self.stack.reserve(SLOTS_A_TABLE);
        let open = Open { shape, used, remaining };
        let next = open.used_inside();
        self.open.push(open);
        next
    }

    /// Puts the finished value on top into the innermost table, that one into the next if it is full, and so on. Gives
    /// the slots in use when the next value is read; None when no table waits.
    fn attach(&mut self, mut pushed: Pushed) -> Result<Option<i32>, Raise> {
        let stack = self.stack;
        while let Some(open) = self.open.last_mut() {
            match &mut open.shape {
                Shape::Array { taken, grown } => {
                    if pushed == Pushed::Nil {
                        stack.pop(1);
                        if !*grown {
                            regrow(stack, *taken);
                            *grown = true;
                        }
                        *taken += 1;
                    } else {
                        *taken += 1;
                        stack.raw_set_at(-2, *taken);
                    }
                }
                Shape::Map(turn @ Turn::Key) => {
                    *turn = Turn::Value(pushed);
                    return Ok(Some(open.used_inside()));
                }
                Shape::Map(turn @ Turn::Value(_)) => {
                    match turn {
                        Turn::Value(Pushed::Nil) => return Err(unplaced(stack, NIL_KEY)),
                        Turn::Value(Pushed::NotANumber) => return Err(unplaced(stack, NAN_KEY)),
                        Turn::Value(Pushed::Other) | Turn::Key => stack.raw_set(-3),
                    }
                    *turn = Turn::Key;
                }
            }
            open.remaining -= 1;
            if open.remaining > 0 {
                return Ok(Some(open.used_inside()));
            }
            self.open.pop();
            pushed = Pushed::Other;
        }
        Ok(None)
    }

    /// Reads one value, or the beginning of a table.
    fn token(&mut self, used: i32) -> Result<Token, Raise> {
        let [first] = self.take()?;
        check_slots(used + 1, "too many return values at once; use unpack_one or unpack_limit instead.")?;
        match Marker::from_u8(first) {
            Marker::FixPos(value) => self.number(value.into()),
            Marker::FixNeg(value) => self.number(value.into()),
            Marker::FixStr(length) => self.string(length.into()),
            Marker::FixArray(length) => Ok(Token::Array(length.into())),
            Marker::FixMap(length) => Ok(Token::Map(length.into())),
            Marker::Null => {
                self.stack.push_nil();
                Ok(Token::Value(Pushed::Nil))
            }
            Marker::False => self.boolean(false),
            Marker::True => self.boolean(true),
            Marker::U8 => self.take().map(u8::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::U16 => self.take().map(u16::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::U32 => self.take().map(u32::from_be_bytes).and_then(|value| self.number(value.into())),
            // The server has no unsigned integer of 64 bits.
            Marker::U64 | Marker::I64 => {
                self.take().map(i64::from_be_bytes).and_then(|value| self.number(value as f64))
            }
            Marker::I8 => self.take().map(i8::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::I16 => self.take().map(i16::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::I32 => self.take().map(i32::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::F32 => self.take().map(f32::from_be_bytes).and_then(|value| self.number(value.into())),
            Marker::F64 => self.take().map(f64::from_be_bytes).and_then(|value| self.number(value)),
            Marker::Str8 => self.take().map(u8::from_be_bytes).and_then(|length| self.string(length.into())),
            Marker::Str16 => self.take().map(u16::from_be_bytes).and_then(|length| self.string(length.into())),
            Marker::Str32 => self.take().map(u32::from_be_bytes).and_then(|length| self.string(length)),
            Marker::Array16 => self.take().map(|length| Token::Array(u16::from_be_bytes(length).into())),
            Marker::Array32 => self.take().map(|length| Token::Array(u32::from_be_bytes(length))),
            Marker::Map16 => self.take().map(|length| Token::Map(u16::from_be_bytes(length).into())),
            Marker::Map32 => self.take().map(|length| Token::Map(u32::from_be_bytes(length))),
            // The server's decoder is older than these.
            Marker::Bin8
            | Marker::Bin16
            | Marker::Bin32
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Reserved => Err(Raise::at("Bad data format in input.")),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Raise> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(missing)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn number(&self, number: f64) -> Result<Token, Raise> {
        self.stack.push_number(number);
        Ok(Token::Value(if number.is_nan() { Pushed::NotANumber } else { Pushed::Other }))
    }

    fn boolean(&self, value: bool) -> Result<Token, Raise> {
        self.stack.push_boolean(value);
        Ok(Token::Value(Pushed::Other))
    }

    fn string(&mut self, length: u32) -> Result<Token, Raise> {
        let (text, rest) = self.rest.split_at_checked(length as usize).ok_or_else(missing)?;
        self.rest = rest;
        self.stack.push_bytes(text);
        Ok(Token::Value(Pushed::Other))
    }
}

impl Open {
    /// The slots that the server has in use when it reads the next value: the table, and the index or key of it.
    const fn used_inside(&self) -> i32 {
        match self.shape {
            Shape::Array { .. } | Shape::Map(Turn::Value(_)) => self.used + 2,
            Shape::Map(Turn::Key) => self.used + 1,
        }
    }
}

/// Replaces the array of `taken` elements on top by one that has grown from nothing to the same. Where an array has
/// holes, what `#` says of it depends on how it grew; the server's began empty, so that most small ones agree.
fn regrow(stack: &Stack, taken: i32) {
    let array = stack.top();
    stack.push_table(0, 0);
    for position in 1..=taken {
        stack.raw_get_at(array, position);
        stack.raw_set_at(-2, position);
    }
    stack.replace(array);
}

#[cold]
fn missing() -> Raise {
    Raise::at("Missing bytes in input.")
}

/// An error that the VM itself raises, without a place.
fn unplaced(stack: &Stack, text: &str) -> Raise {
    stack.push_bytes(text.as_bytes());
    Raise::Top
}
