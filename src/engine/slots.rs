//! Where a VM keeps the callbacks of its functions.
//!
//! The collector walks one table in a single step, so 100,000 callbacks in one table would stop a call for
//! milliseconds now and then. They lie in a tree instead: a root table of buckets, `BUCKET` callbacks each.

use super::stack::{Kind, Place, Stack};

const BUCKET: u32 = 256;

/// Where the root table is.
static ROOT: Place = Place::new();

/// Hands out slot numbers; the slot that was freed last is used again first.
#[derive(Debug, Default)]
pub struct Slots {
    next: u32,
    free: Vec<u32>,
    /// How many callbacks each bucket holds. An empty bucket is dropped: a few of them, left behind by a load that
    /// failed, would keep whole pages of the VM's memory.
    held: Vec<u32>,
    /// What each callback takes.
    parameters: Vec<u8>,
}

impl Slots {
    /// Makes the root table of a new VM. May raise.
    pub fn create_root(stack: &Stack) {
        stack.push_table(0, 0);
        stack.register(&ROOT);
    }

    /// Pushes the root table.
    pub fn push_root(stack: &Stack) {
        stack.push_registered(&ROOT);
    }

    /// Pops the callback on top of the stack into a free slot. `root` is the index of the root table. `parameters`: how
    /// many it takes, or what else is to be known of what it takes. May raise; the slot stays free then.
    pub fn store(&mut self, stack: &Stack, root: i32, parameters: u8) -> u32 {
        let slot = self.free.last().copied().unwrap_or(self.next);
        let (bucket, place) = position(slot);
        if stack.raw_get_at(root, bucket) != Kind::Table {
            stack.pop(1);
            stack.push_table(0, 0);
            stack.push_value(-1);
            stack.raw_set_at(root, bucket);
        }
        stack.insert(-2);
        stack.raw_set_at(-2, place);
        stack.pop(1);
        if self.free.pop().is_none() {
            self.next += 1;
        }
        let bucket = (slot / BUCKET) as usize;
        if self.held.len() <= bucket {
            self.held.resize(bucket + 1, 0);
        }
        self.held[bucket] += 1;
        let index = slot as usize;
        if self.parameters.len() <= index {
            self.parameters.resize(index + 1, 0);
        }
        self.parameters[index] = parameters;
        slot
    }

    /// What is known of what the callback in `slot` takes.
    #[inline]
    pub fn parameters(&self, slot: u32) -> u8 {
        self.parameters.get(slot as usize).copied().unwrap_or(u8::MAX)
    }

    /// Forgets the callback in `slot`.
    pub fn release(&mut self, stack: &Stack, root: i32, slot: u32) {
        let (bucket, place) = position(slot);
        if stack.raw_get_at(root, bucket) == Kind::Table {
            stack.push_nil();
            stack.raw_set_at(-2, place);
        }
        stack.pop(1);
        self.free.push(slot);
        let Some(held) = self.held.get_mut((slot / BUCKET) as usize) else { return };
        *held = held.saturating_sub(1);
        if *held == 0 {
            stack.push_nil();
            stack.raw_set_at(root, bucket);
        }
    }
}

/// Pushes the callback in `slot`.
pub fn push(stack: &Stack, root: i32, slot: u32) {
    let (bucket, place) = position(slot);
    stack.raw_get_at(root, bucket);
    stack.raw_get_at(-1, place);
    // In the place of the bucket.
    stack.replace(stack.top() - 1);
}

/// The bucket of a slot in the root table and its place in the bucket, both counted from 1.
const fn position(slot: u32) -> (i32, i32) {
    ((slot / BUCKET + 1) as i32, (slot % BUCKET + 1) as i32)
}
