//! The words that scripts know for what the server refuses to run: those of its own functions, in place of those that
//! it has for modules.

use std::ffi::c_int;

use super::api::{Context, InnerReply};
use super::cluster::{Keys, Serving, has_some_of_several_keys};
use super::command_keys::CommandKeys;
use crate::engine::Dialect;

pub const STALE: &[u8] = b"ERR Can not execute the command on a stale replica";
const OTHER_SLOT: &[u8] = b"ERR Script attempted to access keys that do not hash to the same slot";

/// What this server says.
#[derive(Clone, Copy)]
pub struct Refusals<'a> {
    pub context: &'a Context<'a>,
    pub dialect: &'a Dialect,
    pub command_keys: &'a CommandKeys,
}

impl Refusals<'_> {
    /// The words that scripts know for a refusal of the server's `RM_Call`; None when the reply is the command's own.
    pub fn translate(self, arguments: &[&[u8]], wire: &[u8], errno: c_int) -> Option<Vec<u8>> {
        let text = wire.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
        let plain = |text: &str| Some([b"ERR ", text.as_bytes()].concat());
        let words = self.dialect.words;
        let by_module = self.dialect.runs_functions_by_module();
        let unknown: &[u8] = if by_module { b"ERR unknown command '" } else { b"ERR unknown " };
        match errno {
            libc::ENOENT if text.starts_with(unknown) => plain(words.unknown_command),
            libc::EINVAL if text.starts_with(b"ERR wrong number of arguments") => plain(words.wrong_arity),
            libc::ESPIPE if text.starts_with(b"ERR command '") => plain(words.not_for_scripts),
            libc::ESPIPE if text.starts_with(b"MASTERDOWN") => plain("Can not execute the command on a stale replica"),
            libc::EACCES => {
                let reason =
                    text.strip_prefix(b"ERR acl verification failed, ").or_else(|| text.strip_prefix(b"NOPERM "))?;
                let reason = reason.strip_suffix(b".").unwrap_or(reason);
                Some([b"ERR ", words.no_permission.as_bytes(), reason].concat())
            }
            _ if by_module => None,
            libc::EPERM if text.starts_with(b"ERR Attempted to access a non local key") => {
                Some(self.not_here(arguments))
            }
            libc::EROFS if text.starts_with(b"ERR Can not execute a write command") => {
                plain("Script attempted to execute a write command while the cluster is down and readonly")
            }
            libc::ENETDOWN if text.starts_with(b"ERR Can not execute a command") => {
                plain("Script attempted to execute a command while the cluster is down")
            }
            _ => None,
        }
    }

    /// What is said of keys that are not in the slot used so far: whether this node serves them comes first.
    pub fn other_slot(self, arguments: &[&[u8]], keys: Keys) -> Vec<u8> {
        match keys {
            Keys::In(slot) if !Serving::of(self.context, slot).is_some_and(|nodes| nodes.is_here()) => {
                self.not_here(arguments)
            }
            _ => OTHER_SLOT.to_vec(),
        }
    }

    /// What is said of keys that another node of the cluster serves.
    fn not_local(self) -> Vec<u8> {
        [b"ERR ", self.dialect.words.not_local.as_bytes()].concat()
    }

    /// What is said of keys that this node of the cluster does not serve.
    pub fn not_here(self, arguments: &[&[u8]]) -> Vec<u8> {
        if !self.dialect.details_cluster_refusals() {
            return self.not_local();
        }
        let places = self.command_keys.places(self.context, arguments);
        let command = arguments[0].to_ascii_lowercase();
        match Keys::of(&places, arguments) {
            Keys::None => self.not_local(),
            Keys::Scattered => [
                b"ERR Command '",
                command.as_slice(),
                b"' in script attempted to access keys that don't hash to the same slot",
            ]
            .concat(),
            Keys::In(slot) => match Serving::of(self.context, slot) {
                None => b"ERR Script attempted to access a slot not served".to_vec(),
                // The slot is on its way to another node, and some of the keys are there already.
                Some(nodes) if nodes.is_here() && has_some_of_several_keys(self.context, &places, arguments) => [
                    b"ERR Unable to execute command '",
                    command.as_slice(),
                    b"' in script because undeclared keys were accessed during rehashing of the slot",
                ]
                .concat(),
                Some(_) => self.not_local(),
            },
        }
    }
}

/// Whether the server refused a command itself, leaving this errno and a text that begins so. A command that ran may
/// leave any errno behind, and must not be taken for a refused one and run again.
#[inline]
pub fn refused(reply: &InnerReply, errno: c_int, expected: c_int, text: &[u8]) -> bool {
    errno == expected && reply.is_error() && reply.wire().starts_with(text)
}
