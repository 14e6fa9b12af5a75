//! Libraries: loading, deleting and restoring them, and calling their functions.

use std::borrow::Cow;
use std::time::Duration;

use super::Functions;
use crate::clock;
use crate::engine::{Engine, FunctionEngine, Host, Loaded, Registration, Sink};
use crate::error::Error;
use crate::registry::library::Version;
use crate::registry::{
    Callback, Function, FunctionRef, Library, Registry, RegistryError, Release, Slot, payload, shebang,
};

impl Functions {
    /// Loads a library from its source, in the place of the one of the same name if `replace`. Returns its name.
    ///
    /// `limit` bounds the time that its body may run.
    ///
    /// # Errors
    /// In the server's order of checks. Everything is as it was then.
    pub fn load(
        &mut self,
        code: &[u8],
        replace: bool,
        limit: Option<Duration>,
        host: &mut dyn Host,
    ) -> Result<Box<str>, Error> {
        let Self { registry, engine, .. } = self;
        let library = build(engine, registry, code, replace, limit, host)?;
        let name = library.name.clone();
        if let Some(replaced) = registry.insert(library) {
            self.release(&replaced);
        }
        Ok(name)
    }

    /// The payload that holds all libraries; see [`payload::write`].
    pub fn dump(&self, rdb_version: u16, compress: bool) -> Vec<u8> {
        payload::write(self.registry.libraries().map(|library| &*library.code), rdb_version, compress)
    }

    /// Adds the libraries of a payload, in the places of those of the same names if `replace`. Their bodies may run as
    /// long as they like.
    ///
    /// # Errors
    /// In the server's order of checks: first each library by itself and beside those before it in the payload, then
    /// all of them beside what is loaded. Everything is as it was then.
    pub fn restore<'p>(
        &mut self,
        sources: impl IntoIterator<Item = Result<Cow<'p, [u8]>, RegistryError>>,
        replace: bool,
        host: &mut dyn Host,
    ) -> Result<(), Error> {
        let mut restored = Registry::new();
        let built = self.build_all(&mut restored, sources, host);
        if let Err(error) = built.and_then(|()| Ok(self.registry.check_merge(&restored, replace)?)) {
            for library in restored.libraries() {
                self.release(library);
            }
            return Err(error);
        }
        for replaced in self.registry.merge(restored) {
            self.release(&replaced);
        }
        Ok(())
    }

    /// Builds one library after the other into a registry of their own. Those before a failure stay in it.
    fn build_all<'p>(
        &mut self,
        registry: &mut Registry,
        sources: impl IntoIterator<Item = Result<Cow<'p, [u8]>, RegistryError>>,
        host: &mut dyn Host,
    ) -> Result<(), Error> {
        for source in sources {
            let library = build(&mut self.engine, registry, &source?, false, None, host)?;
            registry.insert(library);
        }
        Ok(())
    }

    /// Says by which deploy these libraries came.
    pub fn set_release(&mut self, release: Release) {
        self.registry.set_release(release);
    }

    /// Deletes a library. When the last one goes, so does the version: files and replicas are told of no version
    /// without libraries.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Error> {
        let library = self.registry.remove(name).ok_or(RegistryError::LibraryNotFound)?;
        if self.registry.is_empty() {
            self.registry.forget_release();
        }
        self.release(&library);
        Ok(())
    }

    fn release(&mut self, library: &Library) {
        self.engine.release(library.functions.iter().map(|function| function.callback.slot.0));
    }

    /// Calls a function of this generation and writes what it returns to `sink`.
    ///
    /// # Errors
    /// What the function raised. Nothing was written to `sink` then.
    pub fn call<'a>(
        &self,
        function: &FunctionRef,
        keys: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        arguments: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        host: &mut dyn Host,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let (library, function) = (function.library(), function.function());
        self.hotness.compile_if_due(self.engine.vm(), &function.callback, || library.code.len());
        Ok(self.engine.call(function.callback.slot.0, &function.name, keys, arguments, host, sink)?)
    }
}

/// Compiles and runs a library that is to join `registry`, in the place of the one of the same name if `replace`.
///
/// # Errors
/// In the server's order of checks. Nothing stays in the engine then.
fn build(
    engine: &mut FunctionEngine,
    registry: &Registry,
    code: &[u8],
    replace: bool,
    limit: Option<Duration>,
    host: &mut dyn Host,
) -> Result<Library, Error> {
    let header = shebang::parse(code, engine.vm().dialect().quoting())?;
    header.check_engine()?;
    if !replace && registry.library(header.name.as_bytes()).is_some() {
        return Err(RegistryError::LibraryExists(header.name).into());
    }
    let Loaded { functions, bytes } = engine.load(&code[header.body..], limit, host)?;
    if let Err(error) = check(registry, &functions, &header.name) {
        engine.release(functions.iter().map(|function| function.slot));
        return Err(error.into());
    }
    Ok(Library {
        name: header.name,
        code: code.into(),
        functions: functions.into_iter().map(Function::from).collect(),
        vm_bytes: bytes,
        loaded_at: clock::unix_milliseconds(),
        keys_declared: header.keys_declared,
        version: Version::default(),
    })
}

/// Whether a library of `name` may join `registry` with these functions.
fn check(registry: &Registry, registered: &[Registration], name: &str) -> Result<(), RegistryError> {
    if registered.is_empty() {
        return Err(RegistryError::NoFunctions);
    }
    let names = registered.iter().map(|function| &*function.name);
    match registry.conflict(names, |owner| *owner.name == *name) {
        Some(taken) => Err(RegistryError::FunctionExists(taken.into())),
        None => Ok(()),
    }
}

impl From<Registration> for Function {
    fn from(registration: Registration) -> Self {
        Self {
            name: registration.name,
            description: registration.description,
            flags: registration.flags,
            callback: Callback::new(Slot(registration.slot)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{Dialect, NoServer};
    use crate::registry::payload::{Rules, Versions};

    use super::*;

    fn source(library: &str, functions: &[&str]) -> String {
        let functions = functions.iter().map(|name| format!("\nredis.register_function('{name}', function() end)"));
        format!("#!lua name={library}{}\n", functions.collect::<String>())
    }

    fn generation(libraries: &[(&str, &[&str])]) -> Functions {
        let mut generation = Functions::new(Dialect::default()).unwrap();
        for (library, functions) in libraries {
            generation.load(source(library, functions).as_bytes(), false, None, &mut NoServer).unwrap();
        }
        generation
    }

    fn restore(generation: &mut Functions, sources: &[&str], replace: bool) -> Result<(), String> {
        let payload = payload::write(sources.iter().map(|source| source.as_bytes()), 10, true);
        let sources = payload::read(&payload, Rules::new(Versions::Redis(10))).unwrap();
        generation.restore(sources, replace, &mut NoServer).map_err(|error| error.to_string())
    }

    /// Everything that is loaded, callbacks included.
    fn contents(generation: &Functions) -> Vec<String> {
        let libraries = generation.registry().libraries();
        let mut contents: Vec<_> = libraries.map(|library| format!("{library:?}")).collect();
        contents.sort();
        contents
    }

    fn owner<'g>(generation: &'g Functions, function: &str) -> Option<&'g str> {
        generation.registry().function(function.as_bytes()).map(|found| &*found.library().name)
    }

    fn slot(generation: &Functions, function: &str) -> u32 {
        generation.registry().function(function.as_bytes()).unwrap().function().callback.slot.0
    }

    #[test]
    fn a_dump_restores_into_an_empty_generation() {
        let dump = generation(&[("a", &["f", "g"]), ("b", &["h"])]).dump(10, true);
        let mut other = generation(&[]);
        let sources = payload::read(&dump, Rules::new(Versions::Redis(10))).unwrap();
        other.restore(sources, false, &mut NoServer).unwrap();
        assert_eq!(["f", "g", "h"].map(|name| owner(&other, name)), ["a", "a", "b"].map(Some));
        assert_eq!(&*other.registry().library(b"a").unwrap().code, source("a", &["f", "g"]).as_bytes());
    }

    #[test]
    fn a_restored_library_stands_beside_the_others() {
        let mut generation = generation(&[("a", &["f"])]);
        restore(&mut generation, &[&source("b", &["g"])], false).unwrap();
        assert_eq!(["f", "g"].map(|name| owner(&generation, name)), ["a", "b"].map(Some));
    }

    #[test]
    fn functions_move_between_libraries_that_are_replaced_together() {
        let mut generation = generation(&[("a", &["f", "old"]), ("b", &["g"])]);
        restore(&mut generation, &[&source("a", &["g"]), &source("b", &["f"])], true).unwrap();
        assert_eq!(["f", "g", "old"].map(|name| owner(&generation, name)), [Some("b"), Some("a"), None]);
    }

    #[test]
    fn a_failed_restore_leaves_everything_as_it_was() {
        let mut generation = generation(&[("a", &["f"]), ("b", &["g"])]);
        let before = contents(&generation);
        let fine = source("c", &["h"]);
        for (sources, replace, text) in [
            // what is wrong with a library by itself comes first, and the first library first
            ([&*fine, "return 1"], false, "ERR Missing library metadata"),
            ([&*source("a", &["x"]), "#!js name=d\n"], false, "ERR Engine 'js' not found"),
            ([&*fine, "#!lua name=d\nreturn 1"], false, "ERR No functions registered"),
            (["#!lua name=d\n", "return 1"], false, "ERR No functions registered"),
            // then what is twice in the payload
            ([&*fine, &*fine], true, "ERR Library 'c' already exists"),
            ([&*fine, &*source("d", &["x", "H"])], true, "ERR Function H already exists"),
            // then what is there
            ([&*fine, &*source("a", &["f"])], false, "ERR Library a already exists"),
            ([&*fine, &*source("d", &["G"])], false, "ERR Function G already exists"),
            ([&*fine, &*source("a", &["G"])], true, "ERR Function G already exists"),
        ] {
            assert_eq!(restore(&mut generation, &sources, replace), Err(text.to_owned()));
            assert_eq!(contents(&generation), before, "{text}");
        }
        // Two slots are taken, and no attempt needed more than three.
        generation.load(source("d", &["d1", "d2", "d3"]).as_bytes(), false, None, &mut NoServer).unwrap();
        assert!(["d1", "d2", "d3"].into_iter().all(|name| slot(&generation, name) < 5));
    }

    #[test]
    fn a_replaced_library_gives_its_slots_back() {
        let mut generation = generation(&[("a", &["f"])]);
        for _ in 0..10 {
            restore(&mut generation, &[&source("a", &["f"])], true).unwrap();
        }
        assert!(slot(&generation, "f") < 2);
    }

    #[test]
    fn what_is_wrong_in_a_payload_comes_after_the_libraries_before_it() {
        let mut generation = generation(&[]);
        let code = source("a", &["f"]);
        let sources = [Ok(Cow::Borrowed(code.as_bytes())), Err(RegistryError::NotAFunction)];
        let refused = generation.restore(sources, false, &mut NoServer);
        assert_eq!(refused, Err(RegistryError::NotAFunction.into()));
        assert!(generation.registry().is_empty());
        let sources = [Ok(Cow::Borrowed(&b"return"[..])), Err(RegistryError::NotAFunction)];
        let refused = generation.restore(sources, false, &mut NoServer);
        assert_eq!(refused, Err(RegistryError::MissingMetadata.into()));
    }
}
