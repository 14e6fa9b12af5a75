//! Events of the server.

use std::ffi::c_void;

use redis_module::raw;

use super::{Context, Refused, api, checked};

/// The layout of the data that callbacks get; the same since 7.0.
const DATA_VERSION: u64 = 1;

/// What the server announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process is about to end.
    Shutdown,
    /// The server's timer has run: `hz` times a second.
    Tick,
    /// A file is about to take the place of what is in memory.
    LoadBegins(File),
    /// That load has ended.
    LoadEnds { complete: bool },
    /// A replica is about to load beside what it has (`repl-diskless-load swapdb`).
    AsyncLoadBegins,
    /// That load has ended.
    AsyncLoadEnds { complete: bool },
    /// This process is about to rewrite the append-only file.
    AofBegins,
    /// This process has written its part of a file.
    FileEnds,
    /// The server has become a master, or a replica.
    RoleChanged { is_master: bool },
    /// A child was forked, to write a file or to send the data to a replica.
    Forked,
    /// All databases are about to be emptied.
    FlushAll,
    /// A module was loaded or unloaded.
    ModulesChanged,
    /// A setting was changed. Before 7.2 the server does not announce that.
    SettingChanged,
}

/// Where the data of a load comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    Rdb,
    Aof,
    /// The master.
    Replication,
}

/// Who follows the events.
pub trait Subscriber {
    /// Called after or before each of them, as [`Event`] says.
    fn on(context: &Context, event: Event);
}

/// Subscribes `S` to all events, while the module is loaded.
///
/// # Errors
/// When the server does not know an event that every supported server has.
pub fn subscribe<S: Subscriber>(context: &Context) -> Result<(), Refused> {
    for id in [
        raw::REDISMODULE_EVENT_SHUTDOWN,
        raw::REDISMODULE_EVENT_CRON_LOOP,
        raw::REDISMODULE_EVENT_LOADING,
        raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD,
        raw::REDISMODULE_EVENT_PERSISTENCE,
        raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
        raw::REDISMODULE_EVENT_FORK_CHILD,
        raw::REDISMODULE_EVENT_FLUSHDB,
        raw::REDISMODULE_EVENT_MODULE_CHANGE,
    ] {
        subscribe_to::<S>(context, id)?;
    }
    // From 7.2 on.
    let _ = subscribe_to::<S>(context, raw::REDISMODULE_EVENT_CONFIG);
    Ok(())
}

fn subscribe_to<S: Subscriber>(context: &Context, id: u64) -> Result<(), Refused> {
    let event = raw::RedisModuleEvent { id, dataver: DATA_VERSION };
    // SAFETY: Living context; the callback is of the API's type.
    unsafe { checked(api!(RedisModule_SubscribeToServerEvent)(context.raw(), event, Some(on_event::<S>))) }
}

unsafe extern "C" fn on_event<S: Subscriber>(
    context: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: the context of the callback that is running, and the data that the server gives with this event.
    let (context, event) = unsafe { (Context::new(context), named(event.id, subevent, data)) };
    if let Some(event) = event {
        context.guarded(|| S::on(&context, event));
    }
}

/// The event; None for one that is not followed.
///
/// # Safety
/// `data` is what the server gives with the event.
unsafe fn named(id: u64, subevent: u64, data: *mut c_void) -> Option<Event> {
    const ALL_DATABASES: i32 = -1;
    Some(match (id, subevent) {
        (raw::REDISMODULE_EVENT_SHUTDOWN, _) => Event::Shutdown,
        (raw::REDISMODULE_EVENT_CRON_LOOP, _) => Event::Tick,
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_RDB_START) => Event::LoadBegins(File::Rdb),
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_AOF_START) => Event::LoadBegins(File::Aof),
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_REPL_START) => {
            Event::LoadBegins(File::Replication)
        }
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_ENDED) => Event::LoadEnds { complete: true },
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_FAILED) => {
            Event::LoadEnds { complete: false }
        }
        (raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_STARTED) => {
            Event::AsyncLoadBegins
        }
        (raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, ended) => {
            Event::AsyncLoadEnds { complete: ended == raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_COMPLETED }
        }
        (raw::REDISMODULE_EVENT_PERSISTENCE, raw::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START) => Event::AofBegins,
        (raw::REDISMODULE_EVENT_PERSISTENCE, raw::REDISMODULE_SUBEVENT_PERSISTENCE_ENDED) => Event::FileEnds,
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, role) => {
            Event::RoleChanged { is_master: role == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER }
        }
        (raw::REDISMODULE_EVENT_FORK_CHILD, raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN) => Event::Forked,
        (raw::REDISMODULE_EVENT_FLUSHDB, raw::REDISMODULE_SUBEVENT_FLUSHDB_START)
            // SAFETY: this is what the server gives with the event, alive during the callback.
            if unsafe { &*data.cast::<raw::RedisModuleFlushInfoV1>() }.dbnum == ALL_DATABASES =>
        {
            Event::FlushAll
        }
        (raw::REDISMODULE_EVENT_MODULE_CHANGE, _) => Event::ModulesChanged,
        (raw::REDISMODULE_EVENT_CONFIG, _) => Event::SettingChanged,
        _ => return None,
    })
}
