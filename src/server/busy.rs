//! What other clients are told while a call runs too long.

use super::api::Context;
use super::intercept;
use super::stock;
use crate::engine::{Callable, Dialect};
use crate::error::Error;

/// The command that ends a call of this kind, as clients type it.
pub fn kill_command(callable: Callable) -> &'static str {
    match (callable, intercept::answers(callable)) {
        (Callable::Function, true) => "FUNCTION KILL",
        (Callable::Function, false) => "SHADOW.FUNCTION KILL",
        (Callable::Script, true) => "SCRIPT KILL",
        (Callable::Script, false) => "SHADOW.SCRIPT KILL",
    }
}

/// The text, without its code, while a call of this kind runs.
pub fn text(context: &Context, dialect: &Dialect, callable: Callable) -> String {
    let (server, kill) = (name_of_server(context, dialect), kill_command(callable));
    format!("{server} is busy running a script. You can only call {kill} or SHUTDOWN NOSAVE.")
}

/// The error of a command that must wait.
pub fn busy_error(context: &Context, dialect: &Dialect, callable: Callable) -> Error {
    Error::new(format!("BUSY {}", text(context, dialect, callable)))
}

/// What the server calls itself: a Valkey may have been told to be like Redis.
fn name_of_server(context: &Context, dialect: &Dialect) -> &'static str {
    let likeness = dialect.is_valkey().then(|| stock::setting(context, c"extended-redis-compatibility"));
    if likeness.flatten().as_deref() == Some(b"yes") { "Redis" } else { dialect.words.server }
}
