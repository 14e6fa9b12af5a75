use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use super::list::reply_number;
use crate::error::Error;
use crate::generation::Functions;
use crate::registry::Release;

/// `SHADOW.FUNCTION VERSIONS`: the current version, and those that can come back.
pub struct Versions;

impl Command for Versions {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        let module = module::read()?;
        let kept: Vec<&Functions> = module.functions.kept().collect();
        context.reply_array(1 + kept.len());
        reply_version(context, module.functions.generation(), true);
        kept.into_iter().for_each(|generation| reply_version(context, generation, false));
        Ok(())
    }
}

fn reply_version(context: &Context, generation: &Functions, is_current: bool) {
    let registry = generation.registry();
    let release = registry.release();
    let text = |name: &str, text: Option<&[u8]>| {
        context.reply_bulk(name.as_bytes());
        match text {
            Some(text) => context.reply_bulk(text),
            None => context.reply_null(),
        }
    };
    context.reply_map(9);
    text("version", release.map(Release::shown).as_deref().map(str::as_bytes));
    let hash = release.filter(|release| !release.changed).map_or_else(|| registry.hash(), |release| release.hash);
    text("sha256", Some(hash.to_string().as_bytes()));
    context.reply_bulk(b"deployed_at_ms");
    match release {
        Some(release) => context.reply_integer(i64::try_from(release.time).unwrap_or(i64::MAX)),
        None => context.reply_null(),
    }
    text("client", release.map(|release| &*release.client));
    text("user", release.map(|release| &*release.user));
    reply_number(context, b"libraries", registry.library_count() as u64);
    reply_number(context, b"functions", registry.function_count() as u64);
    reply_number(context, b"bytes", generation.bytes() as u64);
    reply_number(context, b"current", is_current.into());
}
