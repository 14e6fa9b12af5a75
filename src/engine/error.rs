//! Errors of the VM, as the text that goes to the client.

use super::stack::{Kind, Stack};
use crate::c_string::to_nul;

/// The VM's error when a locked table is assigned to, and the server's.
const READONLY_VM: &[u8] = b"attempt to modify a readonly table";
pub const READONLY: &str = "Attempt to modify a readonly table";

/// An error that ended a call or a load: the text of the error reply, its code included, without the leading dash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(pub Vec<u8>);

impl ScriptError {
    /// `ERR <text>`.
    pub fn plain(text: &str) -> Self {
        Self([b"ERR ", text.as_bytes()].concat())
    }
}

/// Where an error arose: the chunk's name and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub chunk: Vec<u8>,
    pub line: i32,
}

/// The text of the error value on top of the stack, code first: the field `err` of a table as it stands, anything
/// else as `ERR ` and the value as a string. Pops the value. Cut at the first NUL, as the server's C strings are.
pub fn take_text(stack: &Stack) -> Vec<u8> {
    let mut text = match stack.kind(-1) {
        Kind::Table => {
            let kind = stack.raw_get_field(-1, c"err");
            let text =
                if matches!(kind, Kind::String | Kind::Number) { stack.text(-1).map(<[u8]>::to_vec) } else { None };
            stack.pop(1);
            text.unwrap_or_else(|| b"ERR unknown error".to_vec())
        }
        Kind::String | Kind::Number => [b"ERR ", stack.text(-1).unwrap_or_default()].concat(),
        Kind::Nil | Kind::None => b"ERR nil".to_vec(),
        Kind::Boolean => format!("ERR {}", stack.boolean(-1)).into_bytes(),
        Kind::Function | Kind::Other => format!("ERR {}: {:p}", stack.type_name(-1), stack.address(-1)).into_bytes(),
    };
    stack.pop(1);
    text.truncate(to_nul(&text).len());
    text
}

/// Replaces, on top of the stack, the VM's words for a locked table by the server's. May raise for want of memory.
pub fn translate(stack: &Stack) {
    let Some(start) = stack.bytes(-1).and_then(|text| text.strip_suffix(READONLY_VM)) else {
        return;
    };
    let text = [start, READONLY.as_bytes()].concat();
    stack.pop(1);
    stack.push_bytes(&text);
}
