use std::marker::PhantomData;

use super::super::api::{Arguments, Context};
use super::super::intercept::typed_name;
use super::super::module;
use super::entry::Command;
use super::spec::{Line, List};
use crate::error::Error;

/// `HELP` of a container: lists its subcommands.
pub struct Help<Subcommands>(PhantomData<Subcommands>);

impl<Subcommands: List> Command for Help<Subcommands> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let dialect = &module::read()?.dialect;
        let lines: Vec<&str> = Subcommands::specs()
            .flat_map(|subcommand| subcommand.help)
            .filter_map(|line| match line {
                Line::Always(text) => Some(*text),
                Line::By(line) => line(dialect),
            })
            .collect();
        reply_help(context, &typed_name(arguments), &lines);
        Ok(())
    }
}

/// Replies with the `lines` about the subcommands of `command`.
pub fn reply_help(context: &Context, command: &[u8], lines: &[&str]) {
    context.reply_array(lines.len() + 1);
    context.reply_status(
        &[&command.to_ascii_uppercase(), b" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".as_slice()]
            .concat(),
    );
    for line in lines {
        context.reply_status(line.as_bytes());
    }
}
