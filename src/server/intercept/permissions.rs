//! Permissions of intercepted commands.
//!
//! The server checks permissions for the shadow command, whose name it finds in the place of the typed one. So that
//! rules written for FCALL and FUNCTION keep their meaning, two things are done. A rule that `ACL SETUSER` gives for one
//! of these is given for the shadow command as well. And an intercepted command is checked once more as it was typed,
//! so that a user from a file, who has all commands but FCALL, does not get it by the other name.

use super::super::api::{Arguments, Context, FilteredCommand, Text};
use super::super::permission;
use super::{INTERCEPTIONS, typed_name};
use crate::engine::{Dialect, Permission};
use crate::error::Error;

/// Checks that the user may run an intercepted command by the name that was typed.
///
/// # Errors
/// The server's refusal of the typed command.
pub fn check(context: &Context, arguments: Arguments, typed: &[u8], dialect: &Dialect) -> Result<(), Error> {
    let name = Text::new(typed);
    let Some(user) = context.user_name() else { return Ok(()) };
    if permission::of(context, &user, arguments.with_name(&name)) != Permission::Denied {
        return Ok(());
    }
    let mut full = typed.to_vec();
    if typed == b"function" {
        full.push(b'|');
        full.extend(arguments.get(1).to_ascii_lowercase());
    }
    let whose = if dialect.is_7_0() { b"NOPERM this user".to_vec() } else { [b"NOPERM User ", user.bytes()].concat() };
    Err(Error::new([&whose, b" has no permissions to run the '".as_slice(), &full, b"' command"].concat()))
}

/// Adds the rules for the shadow commands to an `ACL SETUSER` that passes the filter. `categories`: the server puts no
/// command of a module into a category (Redis 7.0), so rules for categories are given by name, too.
pub fn translate(command: &FilteredCommand, categories: bool) {
    const FIRST_RULE: usize = 3;
    if !command.word(1).eq_ignore_ascii_case(b"setuser") {
        return;
    }
    let mut position = FIRST_RULE;
    while position < command.len() {
        let rule = command.word(position).to_ascii_lowercase();
        // A selector may be one word in parentheses, or several of which the outer ones carry them.
        let opens = rule.starts_with(b"(");
        let closes = rule.ends_with(b")");
        let inner = rule.strip_prefix(b"(").unwrap_or(&rule);
        let inner = inner.strip_suffix(b")").unwrap_or(inner);
        if opens && closes {
            let added: Vec<Vec<u8>> =
                inner.split(u8::is_ascii_whitespace).flat_map(|word| shadow_rules(word, categories)).collect();
            if !added.is_empty() {
                // As it was written: patterns of keys keep their case.
                let written = command.word(position);
                let kept = &written[1..written.len() - 1];
                command.replace(position, &Text::new(&[b"(", kept, b" ", &added.join(&b' '), b")"].concat()));
            }
            position += 1;
            continue;
        }
        let added = shadow_rules(inner, categories);
        let count = added.len();
        // Beside the rule, on the inner side of a parenthesis.
        let place = if closes { position } else { position + 1 };
        for (offset, rule) in added.into_iter().enumerate() {
            command.insert(place + offset, &Text::new(&rule));
        }
        position += 1 + count;
    }
}

/// The rules for shadow commands that a rule for the server's own commands stands for.
fn shadow_rules(rule: &[u8], categories: bool) -> Vec<Vec<u8>> {
    let Some((&sign @ (b'+' | b'-'), what)) = rule.split_first() else { return Vec::new() };
    let named = |name: &str| [&[sign], name.as_bytes()].concat();
    let of = |names: &[&str]| names.iter().map(|name| named(name)).collect();
    const ALL: &[&str] = &["shadow.fcall", "shadow.fcall_ro", "shadow.function"];
    const WRITES: &[&str] =
        &["shadow.function|load", "shadow.function|delete", "shadow.function|flush", "shadow.function|restore"];
    match what {
        b"@scripting" | b"@slow" if categories => of(ALL),
        b"@write" if categories => of(WRITES),
        _ => {
            let (name, subcommand) = match what.iter().position(|&byte| byte == b'|') {
                Some(bar) => (&what[..bar], &what[bar..]),
                None => (what, [].as_slice()),
            };
            INTERCEPTIONS
                .iter()
                .filter(|one| one.typed.as_bytes() == name)
                .map(|one| [named(one.shadow).as_slice(), subcommand].concat())
                .collect()
        }
    }
}

/// The name by which an intercepted command was typed; None for one that was not intercepted.
pub fn intercepted_name(arguments: Arguments) -> Option<Vec<u8>> {
    let typed = typed_name(arguments);
    (!typed.starts_with(b"shadow.")).then_some(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rule: &str, categories: bool) -> Vec<String> {
        shadow_rules(rule.as_bytes(), categories).into_iter().map(|rule| String::from_utf8(rule).unwrap()).collect()
    }

    #[test]
    fn a_rule_for_a_command_is_one_for_its_shadow() {
        assert_eq!(rules("+fcall", false), ["+shadow.fcall"]);
        assert_eq!(rules("-fcall_ro", false), ["-shadow.fcall_ro"]);
        assert_eq!(rules("+function", false), ["+shadow.function"]);
        assert_eq!(rules("-function|load", false), ["-shadow.function|load"]);
    }

    #[test]
    fn other_rules_stand_for_nothing_more() {
        for rule in ["+get", "~fcall", "on", "+@all", "-@all", ">fcall", "+config|get", ""] {
            assert!(rules(rule, true).is_empty(), "{rule}");
        }
        assert!(rules("+@scripting", false).is_empty());
    }

    #[test]
    fn categories_are_spelt_out_where_the_server_does_not_know_them() {
        assert_eq!(rules("+@scripting", true), ["+shadow.fcall", "+shadow.fcall_ro", "+shadow.function"]);
        assert_eq!(rules("-@write", true).len(), 4);
    }
}
