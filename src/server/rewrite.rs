//! Libraries and kept scripts in an append-only file that is rewritten without a preamble.
//!
//! With a preamble the rewritten file begins as a snapshot, which has a field for the libraries. Without one the server
//! asks modules for nothing. So the process that rewrites the file appends both as commands, after the server has
//! completed the file and before the file takes the place of the old one. If they cannot be appended, the process
//! fails, and the server keeps the old file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::api::Context;
use super::deploys::head;
use super::kept_scripts::{COMMAND, SUBCOMMAND, in_files, word};
use super::module;
use crate::error::Error;
use crate::process;

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 * 1024;

/// Whether this process rewrites the file and has not written libraries and scripts. Only ever true in a forked
/// process.
static OWED: AtomicBool = AtomicBool::new(false);

/// This process begins to rewrite the file.
pub fn begin() {
    OWED.store(true, Ordering::Relaxed);
}

/// The server has asked for them: the file has a preamble.
pub fn note_snapshot() {
    OWED.store(false, Ordering::Relaxed);
}

/// The server has completed its part of a file. Adds libraries and scripts if they are not in it; if that fails, so
/// does the process.
pub fn complete(context: &Context) {
    if !OWED.load(Ordering::Relaxed) {
        return;
    }
    match context.guarded(append_all) {
        Some(Ok(())) => OWED.store(false, Ordering::Relaxed),
        Some(Err(error)) => {
            let reason = [b"the rewritten append-only file cannot hold the libraries: ", error.text()].concat();
            context.log(c"warning", &reason);
            fail();
        }
        None => fail(),
    }
}

/// Ends the forked process that writes a file, and the file with it. The server itself would end it like that, with
/// another code; the parent learns from the code that writing has failed.
pub fn fail() -> ! {
    process::end_at_once(1)
}

fn append_all() -> Result<(), Error> {
    let module = module::read()?;
    let registry = module.functions.generation().registry();
    let scripts = in_files(&module);
    if registry.is_empty() && scripts.is_empty() {
        return Ok(());
    }
    // The name that the server gives the file until it takes the old one's place, in its working directory.
    let path = format!("temp-rewriteaof-bg-{}.aof", std::process::id());
    let written = OpenOptions::new().append(true).open(&path).and_then(|file| {
        let head = registry.release().map(head);
        let codes = || registry.libraries().map(|library| &*library.code);
        // What came by a deploy comes by one again, everything else library by library.
        let deploy = head.iter().map(|head| {
            let head = head.iter().map(Vec::as_slice);
            std::iter::once(b"SHADOW.FUNCTION".as_slice()).chain(head).chain(codes()).collect()
        });
        let loads = codes().filter(|_| head.is_none());
        let libraries = deploy.chain(loads.map(|code| [b"SHADOW.FUNCTION", b"LOAD".as_slice(), code].to_vec()));
        let scripts = scripts
            .into_iter()
            .map(|script| [COMMAND.to_bytes(), SUBCOMMAND, word(script.origin()), &script.code].to_vec());
        write(file, libraries.chain(scripts))
    });
    written.map_err(|error| Error::new(format!("{path}: {error}")))
}

/// Writes these commands and waits until the disk has them.
fn write<'s>(file: File, commands: impl Iterator<Item = Vec<&'s [u8]>>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    for command in commands {
        write!(out, "*{}\r\n", command.len())?;
        for word in command {
            write!(out, "${}\r\n", word.len())?;
            out.write_all(word)?;
            out.write_all(b"\r\n")?;
        }
    }
    out.into_inner()?.sync_all()
}
