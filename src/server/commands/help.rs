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
        context.reply_array(lines.len() + 1);
        let command = typed_name(arguments).to_ascii_uppercase();
        context.reply_status(
            &[&command, b" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".as_slice()].concat(),
        );
        for line in lines {
            context.reply_status(line.as_bytes());
        }
        Ok(())
    }
}
