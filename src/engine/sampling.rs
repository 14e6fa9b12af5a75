//! What a profile sees of the running code.

use smallvec::SmallVec;

use super::host::Frame;
use super::stack::{ENTRY, Stack};
use super::state::VmState;

/// How many frames a sample has at most, the innermost ones.
pub const DEPTH_LIMIT: usize = 64;

type Frames<'a> = SmallVec<[Frame<'a>; 32]>;

/// Gives the host the code that is running on `stack` if a profile wants a sample. `command`: that which the native of
/// this frame has just run.
#[cold]
pub fn sample(state: &VmState, stack: &Stack, command: Option<&[u8]>) {
    let Ok(samples @ 1..) = state.with_host(|host| host.samples_due()) else { return };
    let main = stack.caller_of_coroutines();
    let mut frames = Frames::new();
    let own = state.callable.chunk();
    let mut whole = push_frames(&mut frames, stack, own);
    if let (Some(command), Some(Frame::Native(by))) = (command, frames.first().copied()) {
        frames[0] = Frame::Command { by, name: command };
    }
    if let Some(main) = &main {
        frames.push(Frame::Coroutine);
        whole &= push_frames(&mut frames, main, own);
    }
    if !whole {
        frames.push(Frame::Cut);
    } else if frames.last() == Some(&Frame::Native(ENTRY.to_bytes())) {
        // That of protected calls is no part of the program.
        frames.pop();
    }
    state.patience.note_sample();
    let _ = state.with_host(|host| host.sample(&frames, samples));
}

/// Adds the frames of `stack`, as far as there is room. Whether these are all.
fn push_frames<'a>(frames: &mut Frames<'a>, stack: &'a Stack, own: &[u8]) -> bool {
    for level in 0.. {
        let Some(activation) = stack.frame_at(level) else { break };
        if frames.len() >= DEPTH_LIMIT {
            return false;
        }
        let chunk = (activation.chunk != own).then_some(activation.chunk);
        match (activation.line, activation.name) {
            (Some(line), name) => frames.push(Frame::Lua { name, chunk, line }),
            (None, Some(name)) => frames.push(Frame::Native(name)),
            // What `coroutine.wrap` returns has no name, and says nothing.
            (None, None) => {}
        }
    }
    true
}
