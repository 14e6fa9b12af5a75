//! Tells the server about the commands in the table.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};

use super::super::api::command::{Command, Description, KeySpec};
use super::super::api::{Context, KeyAccess, Refused};
use super::spec::Spec;
use super::table::registered;
use crate::engine::Dialect;

/// The position of the number of keys among the words of FCALL.
const NUMKEYS: c_int = 2;

/// Registers all commands.
///
/// # Errors
/// A sentence for the log with the name of the command that the server refused.
pub fn register(context: &Context, dialect: &Dialect) -> Result<(), String> {
    for spec in registered() {
        let create = || {
            let command = Command::create(context, spec.name, spec.handler, &flags(spec, dialect))?;
            describe(&command, spec).map(|()| command)
        };
        let command = create().map_err(|_| refused(spec))?;
        for subcommand in spec.subcommands {
            command
                .create_subcommand(context, subcommand.name, subcommand.handler, &flags(subcommand, dialect))
                .and_then(|created| describe(&created, subcommand))
                .map_err(|_| refused(subcommand))?;
        }
    }
    Ok(())
}

/// The flags of a command. Some servers remember the keys of a command for client-side caching only if it is flagged as
/// a reader; without the flag a client would keep stale values. For a command that may write it has no other effect
/// there.
fn flags(spec: &Spec, dialect: &Dialect) -> Cow<'static, CStr> {
    let more: &[u8] = if spec.keys == Some(KeyAccess::ReadWrite) && dialect.tracks_by_the_outer_command() {
        b"readonly "
    } else if spec.stale_on_valkey_9_1 && dialect.runs_functions_by_module() {
        b"allow-stale "
    } else {
        return Cow::Borrowed(spec.flags);
    };
    CString::new([more, spec.flags.to_bytes()].concat()).map_or(Cow::Borrowed(spec.flags), Cow::Owned)
}

fn refused(spec: &Spec) -> String {
    format!("the server refused the command '{}'", spec.name.to_string_lossy())
}

/// Gives the server what a command says about itself.
fn describe(command: &Command, spec: &Spec) -> Result<(), Refused> {
    let keys = spec.keys.map(|access| KeySpec {
        count_at: NUMKEYS,
        access,
        notes: spec.explains_keys.then_some(match access {
            KeyAccess::ReadWrite => c"We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
            KeyAccess::ReadOnly => c"We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
        }),
    });
    command.describe(&Description {
        arity: spec.arity,
        since: spec.since,
        summary: spec.summary,
        complexity: spec.complexity,
        tips: spec.tips,
        keys,
        arguments: spec.arguments,
    })?;
    if spec.acl.is_empty() { Ok(()) } else { command.set_categories(spec.acl) }
}
