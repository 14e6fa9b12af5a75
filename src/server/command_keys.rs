//! Which words of a command are keys.

use std::cell::RefCell;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::api::{CommandInfo, Context, KeyPositions, KeyRange, ServerString, Words};

/// The places of keys among the words of a command.
pub type Places = SmallVec<[usize; 8]>;

/// Where the keys of the commands are that were asked for. The server tells that of a command as a whole; of one whose
/// arguments decide, it is asked each time.
///
/// What is known of a command can only change with the server's modules.
#[derive(Default)]
pub struct CommandKeys(RefCell<HashMap<Box<[u8]>, Rule>>);

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// In fixed places, if the number of words is right.
    Fixed { keys: KeyRange, arity: i64 },
    /// The server has to be asked.
    Asked,
}

/// The most names of commands that are remembered. Servers have some hundreds; a command has as many names as there are
/// ways to write it in upper and lower case.
const NAMES: usize = 1_024;

impl CommandKeys {
    /// The places of the keys among `words`; none if the server does not know the command or its number of words is
    /// wrong.
    pub fn places(&self, context: &Context, words: &[&[u8]]) -> Places {
        match self.rule(context, words[0]) {
            Rule::Fixed { keys, arity } => fixed(keys, arity, words.len()).collect(),
            Rule::Asked => asked(context, words),
        }
    }

    /// Where the keys of the command `name` are.
    pub fn rule(&self, context: &Context, name: &[u8]) -> Rule {
        let known = self.0.borrow().get(name).copied();
        known.unwrap_or_else(|| self.learn(context, name))
    }

    /// Forgets what is known of the commands.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    #[cold]
    fn learn(&self, context: &Context, name: &[u8]) -> Rule {
        // COMMAND INFO knows a subcommand by such a name, which is none of a command.
        let is_command = !name.contains(&b'|');
        let Some(info) = CommandInfo::of(context, name).filter(|info| is_command && info.exists()) else {
            return Rule::Asked;
        };
        let rule = match (info.keys(), info.arity()) {
            (Some(keys), Some(arity)) => Rule::Fixed { keys, arity },
            _ => Rule::Asked,
        };
        let mut known = self.0.borrow_mut();
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(name.into(), rule);
        rule
    }
}

impl Rule {
    /// Whether no word but the second is ever a key, as in most commands.
    #[inline]
    pub const fn is_second_word(self) -> bool {
        matches!(self, Self::Fixed { keys: KeyRange { first: 1, last: 1, .. }, .. })
    }

    /// The first key among `words` that is one for which `wanted` is true.
    #[inline]
    pub fn find<'w>(self, context: &Context, words: &[&'w [u8]], wanted: impl Fn(&[u8]) -> bool) -> Option<&'w [u8]> {
        let wanted = |place: usize| words.get(place).copied().filter(|key| wanted(key));
        match self {
            Self::Fixed { keys, arity } => fixed(keys, arity, words.len()).find_map(wanted),
            Self::Asked => asked(context, words).into_iter().find_map(wanted),
        }
    }
}

/// The places of keys that depend on nothing but the number of words.
fn fixed(KeyRange { first, last, step }: KeyRange, arity: i64, words: usize) -> impl Iterator<Item = usize> {
    let words = words as i64;
    let fits = if arity < 0 { words >= -arity } else { words == arity };
    let last = if last < 0 { words + last } else { last };
    let some = fits && first > 0 && last < words && step > 0;
    let mut place = if some { first } else { i64::MAX };
    std::iter::from_fn(move || {
        let this = place;
        place = this.saturating_add(step);
        (this <= last).then_some(this as usize)
    })
}

/// The places that the server names.
fn asked(context: &Context, words: &[&[u8]]) -> Places {
    let texts: Vec<ServerString> = words.iter().map(|word| ServerString::new(word)).collect();
    let keys = KeyPositions::of(context, &mut Words::new(&texts));
    keys.map(|keys| keys.get().iter().map(|&at| at as usize).filter(|&at| at < words.len()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_places_follow_the_number_of_words() {
        let get = KeyRange { first: 1, last: 1, step: 1 };
        let mset = KeyRange { first: 1, last: -1, step: 2 };
        let blpop = KeyRange { first: 1, last: -2, step: 1 };
        let none = KeyRange { first: 0, last: 0, step: 0 };
        for (keys, arity, words, expected) in [
            (get, 2, 2, &[1][..]),
            (get, 2, 3, &[]),
            (get, -2, 5, &[1]),
            (mset, -3, 2, &[]),
            (mset, -3, 3, &[1]),
            (mset, -3, 7, &[1, 3, 5]),
            (blpop, -3, 3, &[1]),
            (blpop, -3, 5, &[1, 2, 3]),
            (none, -1, 4, &[]),
        ] {
            assert_eq!(fixed(keys, arity, words).collect::<Vec<_>>(), expected, "{keys:?} of {words} words");
        }
    }
}
