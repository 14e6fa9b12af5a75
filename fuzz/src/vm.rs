//! The module without its server: a generation and the watch over its calls.

use std::thread;
use std::time::Duration;

use shadow::deployment::{Deployment, LogLines, Sources, Texts};
use shadow::engine::{Callable, Dialect, NoServer};
use shadow::error::Error;
use shadow::generation::{Compilation, Functions};
use shadow::registry::payload::{self, Rules, Versions};
use shadow::watch::Watch;

use crate::host::{KILLED, Scripted};
use crate::{Reply, memory};

/// As long as the body of a library may run.
const LOAD_LIMIT: Duration = Duration::from_millis(20);

/// What may be found at the end of a call that was not let run to its own end.
pub const ENDED: [&str; 4] = [KILLED, "FUNCTION LOAD timeout", "not enough memory", "memory allocation"];

thread_local! {
    static WATCH: Watch = Watch::start().expect("a thread");
}

pub fn redis_7_0() -> Dialect {
    Dialect::default()
}

pub fn redis_8_2() -> Dialect {
    Dialect::redis("8.2.3")
}

pub fn valkey_9_1() -> Dialect {
    Dialect::valkey("7.2.4", "9.1.2")
}

/// A generation that calls are made in.
pub struct Vm {
    dialect: Dialect,
    generation: Functions,
}

impl Vm {
    /// One that interprets what is called.
    pub fn new(dialect: Dialect) -> Self {
        let generation = Functions::new(dialect.clone()).expect("a VM");
        Self { dialect, generation }
    }

    /// One that compiles every function before its first call, until it is flushed.
    pub fn compiling(dialect: Dialect) -> Self {
        let vm = Self::new(dialect);
        vm.generation.set_compilation(Compilation::Always);
        vm
    }

    /// Functions that were compiled.
    pub fn compiled(&self) -> u32 {
        self.generation.native_code().functions
    }

    /// Lets the watch see `body` as one call.
    fn watched<T>(&mut self, body: impl FnOnce(&mut Functions) -> T) -> T {
        WATCH.with(|watch| {
            watch.set_alarm(Callable::Function, Some(self.generation.alarm()));
            watch.begin(Callable::Function);
            let result = body(&mut self.generation);
            watch.end();
            watch.set_alarm(Callable::Function, None);
            result
        })
    }

    /// Everything that is loaded, callbacks included.
    fn contents(&self) -> Vec<String> {
        let mut contents: Vec<_> =
            self.generation.registry().libraries().map(|library| format!("{library:?}")).collect();
        contents.sort();
        contents
    }

    /// The sources of what is loaded.
    fn sources(&self) -> Vec<Vec<u8>> {
        let mut sources: Vec<_> = self.generation.registry().libraries().map(|library| library.code.to_vec()).collect();
        sources.sort();
        sources
    }

    /// The names of all functions.
    pub fn functions(&self) -> Vec<String> {
        let libraries = self.generation.registry().libraries();
        let mut names: Vec<_> =
            libraries.flat_map(|library| library.functions.iter().map(|function| function.name.to_string())).collect();
        names.sort();
        names
    }

    /// Makes a change, which changes nothing when it is refused.
    fn change<T>(&mut self, change: impl FnOnce(&mut Functions) -> Result<T, Error>) -> Result<T, String> {
        let before = self.contents();
        let result = self.watched(change).map_err(|error| error.to_string());
        if let Err(text) = &result {
            assert_eq!(self.contents(), before, "{text}");
        }
        result
    }

    /// LOAD.
    pub fn load(&mut self, code: &[u8], replace: bool) -> Result<(), String> {
        let name = self.change(|generation| generation.load(code, replace, Some(LOAD_LIMIT), &mut NoServer))?;
        let loaded = self.generation.registry().library(name.as_bytes()).expect("it was loaded");
        assert_eq!(&*loaded.code, code);
        Ok(())
    }

    /// DEPLOY: what is loaded goes for these libraries, which another thread loads.
    pub fn deploy(&mut self, codes: &[String]) -> Result<(), String> {
        let deployment = Deployment {
            sources: Sources::Texts(Texts::new(codes.iter().map(|code| code.as_bytes()))),
            dialect: self.dialect.clone(),
            memory_limit: 0,
            time_limit: Some(LOAD_LIMIT),
            label: None,
        };
        let builder = thread::spawn(move || deployment.build(&mut LogLines::default(), &|| false));
        let built = builder.join().expect("no panic").map_err(|error| error.to_string())?;
        self.generation = *built.generation;
        assert_eq!(self.generation.registry().library_count(), codes.len());
        Ok(())
    }

    /// DELETE.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), String> {
        self.change(|generation| generation.delete(name))
    }

    /// RESTORE, in place of libraries of the same names with `replace`.
    pub fn restore(&mut self, payload: &[u8], replace: bool) -> Result<(), String> {
        let versions = Versions::Redis(12);
        let rules = Rules { versions, pre_ga: self.dialect.is_7_0(), unsealed: false };
        self.change(|generation| {
            let sources = payload::read(payload, rules)?;
            generation.restore(sources, replace, &mut Scripted)
        })
    }

    /// DUMP.
    pub fn dump(&self, compress: bool) -> Vec<u8> {
        self.generation.dump(10, compress)
    }

    /// FLUSH.
    pub fn flush(&mut self) {
        self.generation = Functions::new(self.dialect.clone()).expect("a VM");
        assert!(self.generation.registry().is_empty());
    }

    /// FCALL. None when there is no such function.
    pub fn call(&mut self, function: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Option<Result<Vec<u8>, String>> {
        self.generation.registry().function(function.as_bytes())?;
        Some(self.watched(|generation| {
            let function = generation.registry().function(function.as_bytes()).expect("it was there");
            let mut reply = Reply::default();
            let called =
                generation.call(&function, keys.iter().copied(), arguments.iter().copied(), &mut Scripted, &mut reply);
            match called {
                Ok(()) => Ok(reply.text().to_vec()),
                Err(error) => {
                    assert!(reply.is_empty(), "there is a reply beside the error {error}");
                    Err(error.to_string())
                }
            }
        }))
    }

    /// What is loaded goes into a payload, and all of it comes back out of it.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_dump(&mut self) {
        if self.generation.registry().is_empty() {
            return;
        }
        let payload = self.dump(true);
        let sources = self.sources();
        self.flush();
        match self.restore(&payload, false) {
            Ok(()) => assert_eq!(self.sources(), sources),
            // It may take longer than the first time, when all of them come one after the other.
            Err(text) => assert!(ENDED.iter().any(|end| text.contains(end)), "{text}"),
        }
    }
}

/// One round of a target that builds its own [`Vm`]s. What they took, they must have given back at its end.
pub struct Round(isize);

impl Round {
    /// Begins.
    pub fn begin() -> Self {
        Self(memory::in_use())
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(memory::in_use(), self.0, "not all memory was given back");
        }
    }
}
