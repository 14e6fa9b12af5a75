use super::super::api::{Arguments, Context, c_text};
use super::super::module;
use super::entry::Command;
use super::{is_option, unknown_argument};
use crate::engine::Dialect;
use crate::error::Error;
use crate::registry::{Counters, Function, FunctionFlags, Library};

/// `SHADOW.FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE] [WITHSTATS]`: the libraries and their functions.
pub struct List;

impl Command for List {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let options = Options::parse(arguments, true)?;
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

/// What a LIST is asked for.
#[derive(Default)]
pub struct Options<'a> {
    pattern: Option<&'a [u8]>,
    pub with_code: bool,
    pub with_stats: bool,
}

impl<'a> Options<'a> {
    /// Reads the words of the command. `by_name`: it takes a pattern for names.
    ///
    /// # Errors
    /// The server's text for a word that is no option, or one that was given before.
    pub fn parse(arguments: Arguments<'a>, by_name: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut words = arguments.range(2, arguments.len());
        while let Some(word) = words.next() {
            if !options.with_code && is_option(word, "withcode") {
                options.with_code = true;
            } else if !options.with_stats && is_option(word, "withstats") {
                options.with_stats = true;
            } else if by_name && options.pattern.is_none() && is_option(word, "libraryname") {
                options.pattern = Some(words.next().ok_or("ERR library name argument was not given")?);
            } else {
                return Err(unknown_argument(word));
            }
        }
        Ok(options)
    }
}

/// Fields that WITHSTATS adds to a library.
const LIBRARY_STATS: usize = 3;

/// Fields that it adds to what is called: see [`reply_calls`].
pub const CALL_STATS: usize = 7 + SHOWN.len();

/// The percentiles among them, and what the fields are called.
const SHOWN: [(f64, &str); 3] = [(50.0, "p50_usec"), (99.0, "p99_usec"), (99.9, "p99.9_usec")];

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
        context.reply_bulk(library.version().as_bytes());
    }
}

fn reply_function(context: &Context, function: &Function, options: &Options, dialect: &Dialect) {
    context.reply_map(3 + if options.with_stats { CALL_STATS } else { 0 });
    context.reply_bulk(b"name");
    context.reply_bulk(function.name.as_bytes());
    context.reply_bulk(b"description");
    match &function.description {
        Some(description) if dialect.cuts_descriptions() => context.reply_bulk(c_text(description).as_bytes()),
        Some(description) => context.reply_bulk(description),
        None => context.reply_null(),
    }
    context.reply_bulk(b"flags");
    reply_flags(context, function.flags);
    if options.with_stats {
        reply_calls(context, &function.callback.counters);
    }
}

/// Adds a set with the words of the flags.
pub fn reply_flags(context: &Context, flags: FunctionFlags) {
    context.reply_set(flags.names().count());
    for flag in flags.names() {
        context.reply_status(flag.as_bytes());
    }
}

/// Adds the fields about calls.
pub fn reply_calls(context: &Context, counters: &Counters) {
    let counts = counters.counts();
    reply_number(context, b"calls", counts.calls);
    reply_number(context, b"rejected_calls", counts.rejected);
    reply_number(context, b"failed_calls", counts.failed);
    reply_number(context, b"usec", counts.spent.as_micros() as u64);
    reply_number(context, b"max_usec", counts.longest.as_micros() as u64);
    reply_number(context, b"commands", counts.commands);
    reply_number(context, b"commands_usec", counts.commands_spent.as_micros() as u64);
    let times = counters.times();
    for (percent, name) in SHOWN {
        context.reply_bulk(name.as_bytes());
        match times.percentile(percent) {
            Some(time) => context.reply_bulk(time.microseconds().as_bytes()),
            None => context.reply_null(),
        }
    }
}

/// Adds a field with a number.
pub fn reply_number(context: &Context, name: &[u8], value: u64) {
    context.reply_bulk(name);
    context.reply_integer(i64::try_from(value).unwrap_or(i64::MAX));
}
