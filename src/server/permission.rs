//! What a user may run.
//!
//! The server finds a command's keys to check them. Most servers do that for any number of words, and read past the
//! last one when there are too few of them. No client gets that far, since a command is refused for its number of words
//! before; a script that asks for its caller's rights does.

use super::api::{Context, KeyPositions, Text, Words};
use crate::engine::Permission;

/// Whether the user may run the command `words`.
pub fn of(context: &Context, user: &Text, words: Words) -> Permission {
    let empty = Text::new(b"");
    let mut words: Words = words;
    if KeyPositions::of(context, &mut words).err() == Some(libc::EINVAL) && !server_looks_at_arity(context, user) {
        let Some(missing) = missing_words(context, &words) else { return Permission::WrongArity };
        // There is no key behind such a word, or one that is empty.
        words.extend(&empty, missing);
    }
    // SAFETY: the words are enough, by the server's own count or by what was added, or the server looks.
    unsafe { context.user_may(user, &mut words) }
}

/// Whether the server refuses a command for its number of words before it looks for the keys. Tried with a command that
/// has none.
fn server_looks_at_arity(context: &Context, user: &Text) -> bool {
    let container = [Text::new(b"shadow.function")];
    // SAFETY: it has no keys.
    unsafe { context.user_may(user, &mut Words::new(&container)) == Permission::WrongArity }
}

/// How many words are to be added so that the server does not read past the last one; none when the command's keys are
/// in fixed places, for there it sees where the words end. None when the server does not tell what the command takes.
fn missing_words(context: &Context, words: &Words) -> Option<usize> {
    /// Where COMMAND INFO has the arity.
    const ARITY: usize = 1;
    let name = words.get(0)?;
    let subcommand = words.get(1).map(|subcommand| [name, b"|", subcommand].concat());
    let info = [subcommand.as_deref(), Some(name)]
        .into_iter()
        .flatten()
        .filter_map(|name| context.command_info(name))
        .find(|info| info.len(&[0]) > 0)?;
    if !info.mentions("movablekeys") && !info.mentions("variable_flags") {
        return Some(0);
    }
    let least = usize::try_from(info.integer(&[0, ARITY])?.unsigned_abs()).ok()?;
    Some(least.saturating_sub(words.len()))
}
