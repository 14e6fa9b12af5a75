//! A directory of library files, the way to deploy libraries together with a server.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use hashbrown::HashMap;

use crate::engine::{Dialect, Host, LOAD_LIMIT, NoServer};
use crate::generation::Functions;
use crate::registry::{Library, Registry, shebang};

/// How a build ends that nobody waits for any more.
pub const GIVEN_UP: &str = "the build was given up";

/// The extensions of library files.
const EXTENSIONS: [&str; 2] = ["lua", "luau"];

/// The libraries of a directory. Each of them loads, and no two share a name or a function.
pub struct Directory {
    path: String,
    files: Vec<LibraryFile>,
}

/// A library and the file that holds it.
pub struct LibraryFile {
    path: String,
    library: Box<str>,
    functions: Vec<Box<str>>,
    code: Vec<u8>,
}

impl Directory {
    /// Reads the library files of the directory at `path`, and [builds](build) a generation of them to see whether they
    /// load.
    ///
    /// # Errors
    /// A sentence for the log that names the directory or the files.
    pub fn read(path: &Path, dialect: &Dialect, memory_limit: usize) -> Result<Self, String> {
        let (_, files) = build(path, dialect, memory_limit, &mut NoServer, &|| false)?;
        Ok(Self { path: path.display().to_string(), files })
    }

    /// The path as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The number of libraries.
    pub fn library_count(&self) -> usize {
        self.files.len()
    }

    /// The names and sources of the libraries that `registry` lacks or has with another source.
    pub fn changes<'d>(&'d self, registry: &Registry) -> Vec<(&'d str, &'d [u8])> {
        let is_there =
            |file: &LibraryFile| registry.library(file.library.as_bytes()).is_some_and(|own| *own.code == *file.code);
        let changed = self.files.iter().filter(|file| !is_there(file));
        changed.map(|file| (&*file.library, &*file.code)).collect()
    }

    /// Checks that `registry` can take all libraries of the directory, in the places of those of the same names.
    ///
    /// # Errors
    /// A sentence for the log that names a function which belongs to another library of `registry`.
    pub fn check_beside(&self, registry: &Registry) -> Result<(), String> {
        let is_replaced = |owner: &Library| self.files.iter().any(|file| file.library == owner.name);
        for file in &self.files {
            let taken = registry.conflict(file.functions.iter().map(|name| &**name), is_replaced);
            if let Some(owner) = taken.and_then(|taken| registry.function(taken.as_bytes())) {
                return Err(format!(
                    "library file '{}' registers the function '{}', which belongs to the loaded library '{}'",
                    file.path,
                    owner.function().name,
                    owner.library().name
                ));
            }
        }
        Ok(())
    }
}

/// Loads the library files of the directory at `path`, in the order of their names, into a generation of their own. Its
/// VM may hold `memory_limit` bytes (0 for no limit). Symbolic links are followed. Skipped are other extensions, names
/// that begin with a dot or are not UTF-8, and whatever is not a file. `is_given_up` is asked before each file.
///
/// # Errors
/// A sentence that names the directory or the files.
pub fn build(
    path: &Path,
    dialect: &Dialect,
    memory_limit: usize,
    host: &mut dyn Host,
    is_given_up: &dyn Fn() -> bool,
) -> Result<(Functions, Vec<LibraryFile>), String> {
    let mut generation = new_generation(dialect, memory_limit)?;
    let mut files: Vec<LibraryFile> = Vec::new();
    let mut names: HashMap<Box<str>, usize> = HashMap::new();
    for (path, code) in read_files(path)? {
        if is_given_up() {
            return Err(GIVEN_UP.to_owned());
        }
        let bad = |error: &dyn std::error::Error| format!("failed loading library file '{path}': {error}");
        let name = shebang::parse(&code, dialect.quoting()).map_err(|error| bad(&error))?.name;
        if let Some(&other) = names.get(&name) {
            return Err(format!("library files '{}' and '{path}' both hold the library '{name}'", files[other].path));
        }
        if let Err(error) = generation.load(&code, false, Some(LOAD_LIMIT), host) {
            let alone = new_generation(dialect, memory_limit)?;
            let shared = shared_function(&code, alone, generation.registry(), &files);
            return Err(shared.map_or_else(
                || bad(&error),
                |(other, function)| {
                    format!("library files '{other}' and '{path}' both register the function '{function}'")
                },
            ));
        }
        let functions = functions(generation.registry(), &name);
        names.insert(name.clone(), files.len());
        files.push(LibraryFile { path, library: name, functions, code });
    }
    Ok((generation, files))
}

fn new_generation(dialect: &Dialect, memory_limit: usize) -> Result<Functions, String> {
    let generation = Functions::new(dialect.clone()).map_err(|error| error.to_string())?;
    generation.set_memory_limit(memory_limit);
    Ok(generation)
}

/// The function because of which `code` does not load beside `files`, and the path of the file that has it. None if
/// `code` does not load into the empty generation `alone` either.
fn shared_function<'f>(
    code: &[u8],
    mut alone: Functions,
    registry: &Registry,
    files: &'f [LibraryFile],
) -> Option<(&'f str, Box<str>)> {
    let name = alone.load(code, false, Some(LOAD_LIMIT), &mut NoServer).ok()?;
    let names = functions(alone.registry(), &name);
    let taken = registry.conflict(names.iter().map(|name| &**name), |_| false)?;
    let owner = registry.function(taken.as_bytes())?.library();
    let other = files.iter().find(|other| other.library == owner.name)?;
    Some((&other.path, taken.into()))
}

/// The names of the functions of a library.
fn functions(registry: &Registry, library: &str) -> Vec<Box<str>> {
    let library = registry.library(library.as_bytes());
    library.map_or_else(Vec::new, |library| library.functions.iter().map(|function| function.name.clone()).collect())
}

/// The paths and contents of the library files in a directory, sorted.
fn read_files(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let unreadable = |error| format!("the library directory '{}' cannot be read: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string().ok().filter(|name| is_library_file(name)));
    }
    names.sort_unstable();
    let mut files = Vec::new();
    for name in names {
        let path = directory.join(name);
        let shown = path.display().to_string();
        let unreadable = |error| format!("library file '{shown}' cannot be read: {error}");
        if fs::metadata(&path).map_err(unreadable)?.is_file() {
            let code = fs::read(&path).map_err(unreadable)?;
            files.push((shown, code));
        }
    }
    Ok(files)
}

fn is_library_file(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    !name.starts_with('.') && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}
