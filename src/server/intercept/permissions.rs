//! Permissions of intercepted commands.
//!
//! The server checks the permissions for the shadow command, whose name has replaced the typed one. Two things keep the
//! meaning of rules that were written for the server's own commands. When `ACL SETUSER` sets a rule for one that is
//! intercepted, the rule is set for the shadow command as well. And an intercepted command is checked once more under
//! its typed name, so that a user from an ACL file who may run everything but EVAL cannot run it by the other name.

use super::super::api::{Arguments, Context, FilteredCommand, ServerString, User};
use super::super::commands::spec::Spec;
use super::{Interception, Scope};
use crate::engine::{Dialect, Permission};
use crate::error::Error;

/// Checks that the user may run an intercepted command under its typed name.
///
/// # Errors
/// The server's refusal of the typed command.
pub fn check(
    context: &Context,
    arguments: Arguments,
    interception: &Interception,
    dialect: &Dialect,
) -> Result<(), Error> {
    let Some(user) = User::of_caller(context) else { return Ok(()) };
    if user.may_run_as(context, &interception.stock, arguments) != Permission::Denied {
        return Ok(());
    }
    let mut full = interception.typed.as_bytes().to_vec();
    if !interception.command.subcommands.is_empty() {
        full.push(b'|');
        full.extend(arguments.get(1).to_ascii_lowercase());
    }
    let whose = if dialect.is_7_0() { b"NOPERM this user".to_vec() } else { [b"NOPERM User ", user.name()].concat() };
    Err(Error::new([&whose, b" has no permissions to run the '".as_slice(), &full, b"' command"].concat()))
}

/// Adds rules for the module's `commands` to an `ACL SETUSER` that passes the filter: to a rule for a command that is
/// intercepted, and with `categories` to a rule for a category that some of them are in, intercepted or not.
pub fn translate(command: &mut FilteredCommand, commands: &[&Spec], scope: Scope, categories: bool) {
    const FIRST_RULE: usize = 3;
    if !command.word(1).eq_ignore_ascii_case(b"setuser") {
        return;
    }
    let mut position = FIRST_RULE;
    while position < command.word_count() {
        let rule = command.word(position).to_ascii_lowercase();
        // A selector is one word in parentheses, or several words, the first and the last of which have them.
        let opens = rule.starts_with(b"(");
        let closes = rule.ends_with(b")");
        let inner = rule.strip_prefix(b"(").unwrap_or(&rule);
        let inner = inner.strip_suffix(b")").unwrap_or(inner);
        if opens && closes {
            let added: Vec<Vec<u8>> = inner
                .split(u8::is_ascii_whitespace)
                .flat_map(|word| shadow_rules(word, commands, scope, categories))
                .collect();
            if !added.is_empty() {
                // Patterns of keys must keep their case.
                let written = command.word(position);
                let kept = &written[1..written.len() - 1];
                let selector = ServerString::new(&[b"(", kept, b" ", &added.join(&b' '), b")"].concat());
                command.replace(position, &selector);
            }
            position += 1;
            continue;
        }
        let added = shadow_rules(inner, commands, scope, categories);
        let count = added.len();
        // Next to the rule, inside of the parentheses.
        let place = if closes { position } else { position + 1 };
        for (offset, rule) in added.into_iter().enumerate() {
            command.insert(place + offset, &ServerString::new(&rule));
        }
        position += 1 + count;
    }
}

/// The rules for the module's `commands` that go with a rule for the server's own commands.
fn shadow_rules(rule: &[u8], commands: &[&Spec], scope: Scope, categories: bool) -> Vec<Vec<u8>> {
    let Some((sign @ (b'+' | b'-'), what)) = rule.split_first() else { return Vec::new() };
    let names: Vec<Vec<u8>> = match what.strip_prefix(b"@") {
        Some(category) if categories => commands.iter().flat_map(|command| command.names_in(category)).collect(),
        Some(_) => return Vec::new(),
        None => {
            let end = what.iter().position(|&byte| byte == b'|').unwrap_or(what.len());
            let (name, subcommand) = what.split_at(end);
            let stands_beside = |command: &&Spec| command.stock_name().map(str::as_bytes) == Some(name);
            let found = commands.iter().find(|command| scope.has(command.callable) && stands_beside(command));
            found.map(|command| [command.name.to_bytes(), subcommand].concat()).into_iter().collect()
        }
    };
    names.into_iter().map(|name| [&[*sign], name.as_slice()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::commands::registered;
    use super::*;

    fn rules(rule: &str, categories: bool) -> Vec<String> {
        rules_in(Scope::all(), rule, categories)
    }

    fn rules_in(scope: Scope, rule: &str, categories: bool) -> Vec<String> {
        let commands: Vec<&Spec> = registered().collect();
        let rules = shadow_rules(rule.as_bytes(), &commands, scope, categories);
        rules.into_iter().map(|rule| String::from_utf8(rule).unwrap()).collect()
    }

    #[test]
    fn a_rule_for_a_command_is_one_for_its_shadow() {
        assert_eq!(rules("+fcall", false), ["+shadow.fcall"]);
        assert_eq!(rules("-fcall_ro", false), ["-shadow.fcall_ro"]);
        assert_eq!(rules("+function", false), ["+shadow.function"]);
        assert_eq!(rules("-function|load", false), ["-shadow.function|load"]);
        for name in ["eval", "evalsha", "eval_ro", "evalsha_ro", "script", "script|load"] {
            assert_eq!(rules(&format!("+{name}"), false), [format!("+shadow.{name}")]);
        }
    }

    #[test]
    fn a_rule_for_a_command_that_is_not_intercepted_is_one_for_this_command_alone() {
        assert_eq!(rules_in(Scope::FUNCTIONS, "+fcall", true), ["+shadow.fcall"]);
        assert_eq!(rules_in(Scope::SCRIPTS, "+eval", true), ["+shadow.eval"]);
        for (scope, rule) in [(Scope::SCRIPTS, "+fcall"), (Scope::FUNCTIONS, "+eval"), (Scope::empty(), "+eval")] {
            assert!(rules_in(scope, rule, true).is_empty(), "{rule}");
        }
        // The module's commands are in it either way.
        assert_eq!(rules_in(Scope::FUNCTIONS, "+@scripting", true), rules("+@scripting", true));
    }

    #[test]
    fn other_rules_stand_for_nothing_more() {
        for rule in ["+get", "~fcall", "on", "+@all", "-@all", "+@read", ">fcall", "+config|get", "+", "-@", ""] {
            assert!(rules(rule, true).is_empty(), "{rule}");
        }
        assert!(rules("+@scripting", false).is_empty());
    }

    #[test]
    fn categories_are_spelt_out_where_the_server_does_not_know_them() {
        let all = ["function", "fcall", "fcall_ro", "script", "eval", "evalsha", "eval_ro", "evalsha_ro"];
        assert_eq!(rules("+@scripting", true), all.map(|name| format!("+shadow.{name}")));
        let inside = ["keys", "histogram", "slowlog", "profile"];
        let functions = inside.iter().chain(&["resetstat"]).map(|name| format!("-shadow.function|{name}"));
        let scripts = inside.iter().map(|name| format!("-shadow.script|{name}"));
        assert_eq!(rules("-@admin", true), functions.chain(scripts).collect::<Vec<_>>());
        let writes = ["load", "delete", "flush", "restore", "deploy", "rollback", "import"]
            .map(|name| format!("-shadow.function|{name}"));
        assert_eq!(rules("-@write", true), [writes.as_slice(), &["-shadow.script|kept".to_owned()]].concat());
    }

    #[test]
    fn every_subcommand_is_in_the_rules_of_its_categories_and_in_no_others() {
        let all: Vec<&Spec> = registered().collect();
        let categories =
            |spec: &Spec| -> BTreeSet<String> { spec.acl.to_str().unwrap().split(' ').map(str::to_owned).collect() };
        let subcommands = || all.iter().flat_map(|command| command.subcommands);
        let known: BTreeSet<String> = all.iter().copied().chain(subcommands()).flat_map(categories).collect();
        assert!(known.len() > 3, "{known:?}");
        for category in known {
            let rules = rules(&format!("-@{category}"), true);
            for command in all.iter().filter(|command| !command.subcommands.is_empty()) {
                let name = command.name.to_str().unwrap();
                for subcommand in command.subcommands {
                    let full = format!("-{name}|{}", subcommand.name.to_str().unwrap());
                    let ruled = rules.contains(&full) || rules.contains(&format!("-{name}"));
                    assert_eq!(ruled, categories(subcommand).contains(&category), "{full} in {category}");
                }
            }
        }
    }
}
