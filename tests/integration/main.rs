//! What the module promises, checked against a real server that has loaded it.

#[path = "../support/mod.rs"]
mod support;

mod library;
mod replicas;

mod bit;
mod call;
mod cjson;
mod cluster;
mod cmsgpack;
mod commands;
mod compatibility;
mod delete;
mod differential;
mod documentation;
mod errors;
mod examples;
mod failover;
mod flags;
mod flush;
mod full_sync;
mod guard;
mod help;
mod info;
mod intercept;
mod isolation;
mod kill;
mod library_dir;
mod linking;
mod list;
mod load;
mod memory;
mod module;
mod native;
mod persistence;
mod redis_api;
mod register;
mod replication;
mod replies;
mod safety;
mod sandbox;
mod security;
mod settings;
mod statistics;
mod stats;
mod struct_pack;
mod threads;
mod timeout;
mod tracking;
mod types;
