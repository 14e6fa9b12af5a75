//! What a library may set.
//!
//! Settings are a table of the VM, an integer a setting, that no script reaches. The functions of `cjson.new()` capture
//! one. For the shared functions there is one for each library that has set something, found by the environment of the
//! library's callbacks, and collected with it.

use crate::c_string::to_nul;
use crate::engine::argument::bad;
use crate::engine::number;
use crate::engine::slots::{self, Slots};
use crate::engine::stack::{Kind, Outcome, Place, Raise, Stack};
use crate::engine::state::VmState;

/// Where the settings of libraries are: a table with their environments as weak keys.
static OWN: Place = Place::new();

/// The values that a setting can have, by the numbers they are stored as.
const SWITCH: &[&str] = &["off", "on"];
const NUMBERS: &[&str] = &["off", "on", "null"];

/// A setting; the number is its place in the stored table.
#[derive(Clone, Copy)]
enum Setting {
    SparseConvert = 1,
    SparseRatio,
    SparseSafe,
    EncodeDepth,
    DecodeDepth,
    Precision,
    KeepBuffer,
    EncodeInvalid,
    DecodeInvalid,
    MarkArrays,
}

/// What to do with numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Write,
    Null,
}

/// The settings that hold for one use of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings([i32; Self::COUNT]);

impl Default for Settings {
    fn default() -> Self {
        Self([0, 2, 10, 1000, 1000, 14, 1, 0, 1, 0])
    }
}

impl Settings {
    const COUNT: usize = 10;

    /// The settings for the native that runs on `stack`. May raise for want of memory.
    pub fn of(stack: &Stack) -> Self {
        if stack.kind(Stack::CAPTURED) == Kind::Table {
            return Self::read(stack, Stack::CAPTURED);
        }
        if !VmState::of(stack).json.changed.get() {
            return Self::default();
        }
        let top = stack.top();
        let settings = if push_own(stack) == Kind::Table { Self::read(stack, stack.top()) } else { Self::default() };
        stack.set_top(top);
        settings
    }

    fn read(stack: &Stack, table: i32) -> Self {
        let mut settings = Self::default();
        for (place, value) in (1..).zip(&mut settings.0) {
            stack.raw_get_at(table, place);
            *value = stack.number(-1).unwrap_or_default() as i32;
            stack.pop(1);
        }
        settings
    }

    const fn get(&self, setting: Setting) -> i32 {
        self.0[setting as usize - 1]
    }

    /// Whether a sparse array becomes an object rather than an error.
    pub const fn sparse_convert(&self) -> bool {
        self.get(Setting::SparseConvert) != 0
    }

    /// An array is sparse when its length is more than this many times its elements; 0 for never.
    pub const fn sparse_ratio(&self) -> i32 {
        self.get(Setting::SparseRatio)
    }

    /// No array up to this length is sparse.
    pub const fn sparse_safe(&self) -> i32 {
        self.get(Setting::SparseSafe)
    }

    /// The deepest nesting that is written.
    pub const fn encode_depth(&self) -> i32 {
        self.get(Setting::EncodeDepth)
    }

    /// The deepest nesting that is read.
    pub const fn decode_depth(&self) -> i32 {
        self.get(Setting::DecodeDepth)
    }

    /// How many digits of a number are written.
    pub fn precision(&self) -> usize {
        self.get(Setting::Precision).unsigned_abs() as usize
    }

    /// What becomes of numbers that JSON does not have, when they are written.
    pub const fn encode_invalid(&self) -> Invalid {
        match self.get(Setting::EncodeInvalid) {
            0 => Invalid::Refuse,
            1 => Invalid::Write,
            _ => Invalid::Null,
        }
    }

    /// Whether numbers that JSON does not have are read.
    pub const fn decode_invalid(&self) -> bool {
        self.get(Setting::DecodeInvalid) != 0
    }

    /// Whether decoded arrays get a metatable that says so.
    pub const fn mark_arrays(&self) -> bool {
        self.get(Setting::MarkArrays) != 0
    }
}

/// Makes the place for the settings of libraries in a new VM. May raise.
pub fn register(stack: &Stack) {
    stack.push_table(0, 0);
    stack.push_table(0, 1);
    stack.push_bytes(b"k");
    stack.raw_set_field(-2, c"__mode");
    stack.set_metatable(-2);
    stack.register(&OWN);
}

/// Pushes new settings. May raise.
pub fn push_default(stack: &Stack) {
    stack.push_table(Settings::COUNT, 0);
    for (place, value) in (1..).zip(Settings::default().0) {
        stack.push_number(value.into());
        stack.raw_set_at(-2, place);
    }
}

/// Pushes the settings of the library whose function runs, or nil. May raise.
fn push_own(stack: &Stack) -> Kind {
    stack.push_registered(&OWN);
    push_library(stack);
    stack.raw_get(-2)
}

/// Pushes what stands for the library: the environment of the callback that the server called. A function further in
/// may have another one, when it was made by `loadstring`.
fn push_library(stack: &Stack) {
    Slots::push_root(stack);
    slots::push(stack, stack.top(), VmState::of(stack).running_slot.get());
    stack.push_environment(-1);
    stack.replace(-3);
    stack.pop(1);
}

/// Changes a setting for the functions that the running native belongs to. May raise.
fn change(stack: &Stack, setting: Setting, value: i32) {
    let top = stack.top();
    if stack.kind(Stack::CAPTURED) == Kind::Table {
        stack.push_value(Stack::CAPTURED);
    } else if push_own(stack) != Kind::Table {
        stack.pop(1);
        push_library(stack);
        push_default(stack);
        stack.push_value(-1);
        stack.insert(-3);
        stack.raw_set(-4);
        VmState::of(stack).json.changed.set(true);
    }
    stack.push_number(value.into());
    stack.raw_set_at(-2, setting as i32);
    stack.set_top(top);
}

/// The arguments of a function that sets: what is nil or missing is left as it is. Each option leaves a result.
struct Options<'a> {
    stack: &'a Stack,
    name: &'static str,
    settings: Settings,
}

impl<'a> Options<'a> {
    fn of(stack: &'a Stack, name: &'static str, most: i32) -> Result<Self, Raise> {
        if stack.top() > most {
            return Err(bad(stack, name, most + 1, "found too many arguments"));
        }
        stack.set_top(most);
        Ok(Self { stack, name, settings: Settings::of(stack) })
    }

    fn error(&self, argument: i32, text: &str) -> Raise {
        bad(self.stack, self.name, argument, text)
    }

    fn set(&mut self, setting: Setting, value: i32) {
        self.settings.0[setting as usize - 1] = value;
        change(self.stack, setting, value);
    }

    fn integer(&mut self, argument: i32, setting: Setting, lowest: i32, highest: i32) -> Result<(), Raise> {
        if self.stack.kind(argument) != Kind::Nil {
            let Some(number) = self.stack.number(argument) else {
                let text = format!("number expected, got {}", self.stack.type_name(argument));
                return Err(self.error(argument, &text));
            };
            // The server keeps the low 32 bits.
            let value = number::truncated(number) as i32;
            if value < lowest || value > highest {
                // It blames the first argument, whichever it was.
                return Err(self.error(1, &format!("expected integer between {lowest} and {highest}")));
            }
            self.set(setting, value);
        }
        self.stack.push_number(self.settings.get(setting).into());
        Ok(())
    }

    fn choose(&mut self, argument: i32, setting: Setting, choices: &[&str], text: &[u8]) -> Result<(), Raise> {
        let text = to_nul(text);
        let Some(value) = choices.iter().position(|choice| choice.as_bytes() == text) else {
            return Err(self.error(argument, &format!("invalid option '{}'", String::from_utf8_lossy(text))));
        };
        self.set(setting, i32::try_from(value).unwrap_or_default());
        Ok(())
    }

    fn choice(&mut self, argument: i32, setting: Setting, choices: &[&str]) -> Result<(), Raise> {
        match self.stack.kind(argument) {
            Kind::Nil => {}
            Kind::Boolean => self.set(setting, self.stack.boolean(argument).into()),
            Kind::String => self.choose(argument, setting, choices, self.stack.bytes(argument).unwrap_or_default())?,
            Kind::Number => {
                let text = number::text(self.stack.number(argument).unwrap_or_default());
                self.choose(argument, setting, choices, &text)?;
            }
            _ => {
                let text = format!("string expected, got {}", self.stack.type_name(argument));
                return Err(self.error(argument, &text));
            }
        }
        match self.settings.get(setting) {
            value @ (0 | 1) => self.stack.push_boolean(value != 0),
            value => self.stack.push_bytes(choices[value as usize].as_bytes()),
        }
        Ok(())
    }
}

pub fn encode_sparse_array(stack: &Stack) -> Outcome {
    let mut options = Options::of(stack, "encode_sparse_array", 3)?;
    options.choice(1, Setting::SparseConvert, SWITCH)?;
    options.integer(2, Setting::SparseRatio, 0, i32::MAX)?;
    options.integer(3, Setting::SparseSafe, 0, i32::MAX)?;
    Ok(3)
}

pub fn encode_max_depth(stack: &Stack) -> Outcome {
    Options::of(stack, "encode_max_depth", 1)?.integer(1, Setting::EncodeDepth, 1, i32::MAX)?;
    Ok(1)
}

pub fn decode_max_depth(stack: &Stack) -> Outcome {
    Options::of(stack, "decode_max_depth", 1)?.integer(1, Setting::DecodeDepth, 1, i32::MAX)?;
    Ok(1)
}

pub fn encode_number_precision(stack: &Stack) -> Outcome {
    Options::of(stack, "encode_number_precision", 1)?.integer(1, Setting::Precision, 1, 14)?;
    Ok(1)
}

/// Answers as the server does; the buffer is the engine's own business.
pub fn encode_keep_buffer(stack: &Stack) -> Outcome {
    Options::of(stack, "encode_keep_buffer", 1)?.choice(1, Setting::KeepBuffer, SWITCH)?;
    Ok(1)
}

pub fn encode_invalid_numbers(stack: &Stack) -> Outcome {
    Options::of(stack, "encode_invalid_numbers", 1)?.choice(1, Setting::EncodeInvalid, NUMBERS)?;
    Ok(1)
}

pub fn decode_invalid_numbers(stack: &Stack) -> Outcome {
    Options::of(stack, "decode_invalid_numbers", 1)?.choice(1, Setting::DecodeInvalid, SWITCH)?;
    Ok(1)
}

pub fn decode_array_with_array_mt(stack: &Stack) -> Outcome {
    Options::of(stack, "decode_array_with_array_mt", 1)?.choice(1, Setting::MarkArrays, SWITCH)?;
    Ok(1)
}
