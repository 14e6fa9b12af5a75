use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::super::api::{Arguments, Context};
use super::super::deploys::{self, Author, Order, check_version, roll_back};
use super::super::module;
use super::super::settings::LIBRARY_DIR;
use super::call::decimal;
use super::entry::Command;
use super::{is_option, wrong_arguments};
use crate::deployment::{Deployment, Sources, Texts};
use crate::engine::LOAD_LIMIT;
use crate::error::Error;
use crate::registry::{Label, Release};

/// `SHADOW.FUNCTION DEPLOY [VERSION label] [IFVERSION label] [TRY] (DIR | code [code ...])`: puts these libraries in
/// the place of all.
pub struct Deploy;

/// `SHADOW.FUNCTION ROLLBACK [VERSION label]`: brings back what a deploy has replaced.
pub struct Rollback;

impl Command for Deploy {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let obeys = context.state().obeys();
        let options = Options::parse(arguments, Author::of_caller(context), obeys)?;
        let Options { label, if_version, tries, author, codes, from_directory } = options;
        check_version(if_version.as_deref())?;
        let sources = if from_directory {
            let path = LIBRARY_DIR.path();
            if path.is_empty() {
                return Err("ERR There is no directory to deploy: 'shadow.library-dir' is empty".into());
            }
            Sources::Directory(PathBuf::from(OsStr::from_bytes(&path)))
        } else {
            Sources::Texts(Texts::new(arguments.range(codes, arguments.len())))
        };
        let deployment = Deployment {
            sources,
            dialect: module::read()?.dialect.clone(),
            // What comes from the master or out of a file is not refused.
            memory_limit: if obeys { 0 } else { module::memory_limit() },
            time_limit: if obeys { None } else { Some(LOAD_LIMIT) },
            label,
        };
        deploys::begin(context, deployment, Order { if_version, tries, author, obeys })
    }
}

/// What the words of the command say.
struct Options {
    label: Option<Label>,
    if_version: Option<Vec<u8>>,
    tries: bool,
    author: Author,
    /// Where the codes begin among the words.
    codes: usize,
    from_directory: bool,
}

impl Options {
    /// Reads them. What replicas and files are told beside that is taken from nobody but them (`obeys`).
    fn parse(arguments: Arguments, author: Author, obeys: bool) -> Result<Self, Error> {
        let mut options = Self { label: None, if_version: None, tries: false, author, codes: 2, from_directory: false };
        while options.codes < arguments.len() {
            let at = options.codes;
            let word = arguments.get(at);
            let is = |option| is_option(word, option);
            let follows = |count| at + count < arguments.len();
            if is("version") && options.label.is_none() && follows(1) {
                let text = arguments.get(at + 1);
                let (label, changed) = if obeys { Release::read_shown(text)? } else { (Label::new(text)?, false) };
                options.label = Some(label);
                options.author.changed = changed;
                options.codes += 2;
            } else if is("ifversion") && options.if_version.is_none() && follows(1) {
                options.if_version = Some(arguments.get(at + 1).to_vec());
                options.codes += 2;
            } else if is("try") && !options.tries {
                options.tries = true;
                options.codes += 1;
            } else if is("dir") && !options.from_directory {
                options.from_directory = true;
                options.codes += 1;
            } else if obeys && is("at") && follows(1) {
                let time = decimal(arguments.get(at + 1)).and_then(|time| u64::try_from(time).ok());
                options.author.time = time.ok_or("ERR value is not an integer or out of range")?;
                options.codes += 2;
            } else if obeys && is("by") && follows(2) {
                options.author.client = arguments.get(at + 1).into();
                options.author.user = arguments.get(at + 2).into();
                options.codes += 3;
            } else {
                break;
            }
        }
        // Either the directory or codes.
        if options.from_directory != (options.codes == arguments.len()) {
            return Err(wrong_arguments(arguments));
        }
        // Every library begins with its first line: what is before the first one that does was meant as an option.
        let is_code = |word: &[u8]| word.starts_with(b"#!");
        let mut words = arguments.range(options.codes, arguments.len());
        if let Some(word) = words.next().filter(|word| !is_code(word))
            && words.any(is_code)
        {
            return Err(Error::new([b"ERR Unknown option given: ", word].concat()));
        }
        Ok(options)
    }
}

impl Command for Rollback {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let label = match arguments.len() {
            2 => None,
            4 if is_option(arguments.get(2), "version") => Some(Label::new(arguments.get(3))?),
            _ => return Err(wrong_arguments(arguments)),
        };
        roll_back(context, label.as_ref())
    }
}
