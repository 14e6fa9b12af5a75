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
        let is_7_0 = module::read()?.dialect.is_7_0();
        let lines: Vec<&str> = Subcommands::specs()
            .flat_map(|subcommand| subcommand.help)
            .filter_map(|line| match line {
                Line::Always(text) => Some(*text),
                Line::Only70(text) => is_7_0.then_some(*text),
                Line::Since72(old, new) => Some(if is_7_0 { *old } else { *new }),
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
