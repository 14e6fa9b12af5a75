use sha2::{Digest, Sha256};

use super::super::api::{Arguments, Context, c_text};
use super::super::module;
use super::entry::Command;
use super::is_option;
use crate::engine::Dialect;
use crate::error::Error;
use crate::registry::{Function, Library};

/// `SHADOW.FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE] [WITHSTATS]`: the libraries and their functions.
pub struct List;

impl Command for List {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let options = Options::parse(arguments)?;
        let module = module::read()?;
        let registry = module.functions.generation().registry();
        let libraries = match options.pattern {
            Some(pattern) => registry.libraries_matching(pattern),
            None => registry.libraries().collect(),
        };
        context.reply_array(libraries.len());
        for library in libraries {
            reply_library(context, library, &options, &module.dialect);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    with_code: bool,
    with_stats: bool,
}

impl<'a> Options<'a> {
    fn parse(arguments: Arguments<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut words = arguments.range(2, arguments.len());
        while let Some(word) = words.next() {
            if !options.with_code && is_option(word, "withcode") {
                options.with_code = true;
            } else if !options.with_stats && is_option(word, "withstats") {
                options.with_stats = true;
            } else if options.pattern.is_none() && is_option(word, "libraryname") {
                options.pattern = Some(words.next().ok_or("ERR library name argument was not given")?);
            } else {
                return Err(Error::new([b"ERR Unknown argument ", word].concat()));
            }
        }
        Ok(options)
    }
}

/// Fields of a library with WITHSTATS, and of a function with it.
const LIBRARY_STATS: usize = 3;
const FUNCTION_STATS: usize = 5;

fn reply_library(context: &Context, library: &Library, options: &Options, dialect: &Dialect) {
    let stats = if options.with_stats { LIBRARY_STATS } else { 0 };
    context.reply_map(3 + usize::from(options.with_code) + stats);
    context.reply_bulk(b"library_name");
    context.reply_bulk(library.name.as_bytes());
    context.reply_bulk(b"engine");
    context.reply_bulk(b"LUA");
    context.reply_bulk(b"functions");
    context.reply_array(library.functions.len());
    for function in &library.functions {
        reply_function(context, function, options, dialect);
    }
    if options.with_code {
        context.reply_bulk(b"library_code");
        context.reply_bulk(&library.code);
    }
    if options.with_stats {
        reply_number(context, b"bytes", (library.vm_bytes + library.bytes()) as u64);
        reply_number(context, b"loaded_at_ms", library.loaded_at);
        context.reply_bulk(b"sha256");
        context.reply_bulk(version(&library.code).as_bytes());
    }
}

fn reply_function(context: &Context, function: &Function, options: &Options, dialect: &Dialect) {
    context.reply_map(3 + if options.with_stats { FUNCTION_STATS } else { 0 });
    context.reply_bulk(b"name");
    context.reply_bulk(function.name.as_bytes());
    context.reply_bulk(b"description");
    match &function.description {
        Some(description) if dialect.cuts_descriptions() => context.reply_bulk(c_text(description).as_bytes()),
        Some(description) => context.reply_bulk(description),
        None => context.reply_null(),
    }
    context.reply_bulk(b"flags");
    context.reply_set(function.flags.names().count());
    for flag in function.flags.names() {
        context.reply_status(flag.as_bytes());
    }
    if options.with_stats {
        let counts = function.callback.counters.counts();
        reply_number(context, b"calls", counts.calls);
        reply_number(context, b"rejected_calls", counts.rejected);
        reply_number(context, b"failed_calls", counts.failed);
        reply_number(context, b"usec", counts.spent.as_micros() as u64);
        reply_number(context, b"max_usec", counts.longest.as_micros() as u64);
    }
}

/// What tells one source from another: its SHA-256 in hexadecimal digits.
fn version(code: &[u8]) -> String {
    Sha256::digest(code).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reply_number(context: &Context, name: &[u8], value: u64) {
    context.reply_bulk(name);
    context.reply_integer(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_sha_256_of_the_source() {
        for (code, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(version(code.as_bytes()), expected);
        }
    }
}
