use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use super::is_option;
use crate::error::Error;
use crate::registry::{Function, Library, glob};

/// `SHADOW.FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`: the libraries and their functions.
pub struct List;

impl Command for List {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let options = Options::parse(arguments)?;
        module::look(|module| {
            let libraries: Vec<&Library> = module
                .generation
                .registry()
                .libraries()
                .map(|library| &**library)
                .filter(|library| options.includes(library))
                .collect();
            context.reply_array(libraries.len());
            for library in libraries {
                reply_library(context, library, options.with_code);
            }
            Ok(())
        })
    }
}

#[derive(Default)]
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    with_code: bool,
}

impl<'a> Options<'a> {
    fn parse(arguments: Arguments<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut words = arguments.range(2, arguments.len());
        while let Some(word) = words.next() {
            if !options.with_code && is_option(word, "withcode") {
                options.with_code = true;
            } else if options.pattern.is_none() && is_option(word, "libraryname") {
                options.pattern = Some(words.next().ok_or("ERR library name argument was not given")?);
            } else {
                return Err(Error::new([b"ERR Unknown argument ", word].concat()));
            }
        }
        Ok(options)
    }

    fn includes(&self, library: &Library) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, library.name.as_bytes(), true))
    }
}

fn reply_library(context: &Context, library: &Library, with_code: bool) {
    context.reply_map(if with_code { 4 } else { 3 });
    context.reply_bulk(b"library_name");
    context.reply_bulk(library.name.as_bytes());
    context.reply_bulk(b"engine");
    context.reply_bulk(b"LUA");
    context.reply_bulk(b"functions");
    context.reply_array(library.functions.len());
    for function in &library.functions {
        reply_function(context, function);
    }
    if with_code {
        context.reply_bulk(b"library_code");
        context.reply_bulk(&library.code);
    }
}

fn reply_function(context: &Context, function: &Function) {
    context.reply_map(3);
    context.reply_bulk(b"name");
    context.reply_bulk(function.name.as_bytes());
    context.reply_bulk(b"description");
    match &function.description {
        Some(description) => context.reply_bulk(description),
        None => context.reply_null(),
    }
    context.reply_bulk(b"flags");
    context.reply_set(function.flags.names().count());
    for flag in function.flags.names() {
        context.reply_status(flag.as_bytes());
    }
}
