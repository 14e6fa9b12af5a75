//! One registry for a cluster.
//!
//! Each master of a cluster has a registry of libraries. This crate makes one of them: what is loaded, deleted, flushed
//! or deployed on any master takes effect on all, in one order, whatever becomes of the messages. It is the protocol
//! alone. It has no socket, no clock, no thread and no chance in it but what it is given, and it knows no server: Cargo
//! sees to that, since it is a crate of its own. The server's layer ships bytes and time to a [`node::Node`] and
//! carries out what it says. A node is a function of its inputs ([`input::Input`]); what comes out is
//! [`input::Output`].
//!
//! # The order
//!
//! A **change** is all that one command does: LOAD one library, DELETE one tombstone, FLUSH a floor, a deploy a floor
//! and the libraries above it ([`change`]). Each change has a **stamp**: a hybrid logical clock, and the hash of the
//! change's content ([`stamp`]). The stamps are one order of all changes. Two nodes that make different changes in the
//! same millisecond still have one order, that of the hashes; two that make the same change in the same millisecond
//! made one. All libraries of a deploy have the stamp of its floor, so of two deploys at the same time one wins as a
//! whole.
//!
//! A node's clock is above every stamp that it has seen. So whoever begins a change after another one was answered by
//! all makes a later one, even if the wall clocks are an hour apart.
//!
//! # Merging
//!
//! Under each name stands the entry with the greatest stamp, a library or a tombstone. The greatest floor stands:
//! entries below it are not there. Both rules are commutative, associative and idempotent, so it does not matter in
//! which order, how often, or by which way changes come ([`registry`]).
//!
//! Which libraries are **active** is a function of the entries alone: in the order of birth (the stamp of the first
//! LOAD of the name), one is active if none of its functions is taken. The others sleep: they are kept, and wake when
//! the name is free ([`clash`]). A client whose new library turns out to sleep while he waits gets the usual error, and
//! the library is taken back.
//!
//! # A change on its way
//!
//! The master that takes it checks it as always, applies it, hands it to its replicas, and sends it to every master
//! that it has heard. A change of more than 48 KB is only offered: the others fetch it as below. Each answers when its
//! server has built it: applied, asleep, blocked (it could not be built), or stale. The client's reply comes when all
//! masters that are not flagged as failing have answered, or after `wait_ms`, with the counts ([`input::Done`]). A
//! change is **stale** where a floor is above it that its maker did not know: he makes it anew, with a stamp above the
//! clock of whoever said so.
//!
//! A client that sends the same to every master gets the usual reply from each. What came over the bus in the last ten
//! seconds, and for which no client of this node was answered yet, is answered as if it were new, once, and makes no
//! change.
//!
//! # Repair
//!
//! Each entry has a digest, each of 1,024 buckets of names the sum of them, and all have a sum ([`digest`]). About once
//! a second a node tells one other its sum, floor and clock (HELLO), and at once one that it meets. Who finds that they
//! differ fetches what he lacks: the sums of buckets, then the names and stamps in buckets that differ, then the
//! entries ([`pull`]). The one who fetches sets the pace, with one question open; the other one remembers nothing. What
//! comes is staged, and takes effect as one change together with the other's floor: nothing vanishes before what comes
//! in its place is there, and a deploy is never seen in part. Then the other one is told, and fetches in his turn what
//! he lacks.
//!
//! # Tombstones
//!
//! Two nodes with equal sums confirm to each other all that they have. A tombstone is dropped when every master that is
//! listed, flagged ones too, has confirmed it since it came here, and it is an hour old. The **mark** (`gc`) is the
//! greatest stamp so dropped. An entry below the mark whose name is not there is one that was deleted: it is not taken,
//! and its owner drops it when he fetches. While a node is away, nothing is dropped; when there are 65,536, DELETE is
//! refused until it is back or forgotten. FLUSH and a deploy clear tombstones as they clear all else.
//!
//! # Coming, going, coming back
//!
//! - **Alone** (no other node is listed), a node stamps everything with zero, and keeps neither tombstones nor a floor.
//! - **Joining**: a node that was alone and meets one that has the state of the cluster (it is *settled*) takes this
//!   state. What it had itself is dropped where the cluster lacks it, with a line in the log. Nobody takes anything
//!   from it before. Nodes that all were alone, or on which the registry was switched on in a living cluster, keep the
//!   union of what they have; under one name the greater hash stands.
//! - **Away, cut off, healed**: nothing special. Both sides go on (`quorum` refuses changes where half of the masters
//!   or more are flagged), and the later change of each name stands. Who was overruled is counted.
//! - **Failover**: a promoted replica says HELLO to all, and gets what its master had not told it but others have.
//! - **After a start or a promotion** a node makes no change before it has heard a settled node, or two seconds have
//!   gone: its clock may be below stamps that it made itself. Clients wait meanwhile.
//! - **FORGET** and **RESET**: whoever is not listed is not heard. A node that is listed again is met anew. One that is
//!   reset is alone.
//! - **Replicas** ignore the bus. They, files and the append-only file get a [`delta`] of each step, with stamps, and
//!   so have a state that their master had.
//!
//! # What cannot be built
//!
//! A library that a node's server cannot build is kept and counts in the sums and for the names of functions as
//! everywhere. The library that it was to replace stays, unless another one needs its functions. It is tried again when
//! it is replaced, or when a setting changes ([`serving`]).
//!
//! # Proof
//!
//! The bus believes anybody. So around each message is an HMAC-SHA-256 over its content, who sends it to whom, a token
//! that the receiver gave to this run of the sender, and a counter; each counter is taken once ([`proof`]). What was
//! recorded of an earlier run of either proves nothing, whatever the clocks say. Two keys are accepted while one is
//! being changed. What does not hold is counted and dropped. Who can drop messages at will, or send old ones all the
//! time, can delay; he cannot change anything.
//!
//! # What is not promised
//!
//! It is no consensus. Nobody is asked before a change takes effect, and no majority is needed.
//!
//! - A change that was answered by fewer than were asked ([`input::Done::answered`]) can be lost with the nodes that
//!   have it: the master dies before it sent it, or all that have it go back to an older file.
//! - A change that was answered by another master survives any one failover. It is lost if every node that has it is
//!   lost.
//! - On both sides of a partition changes succeed; of two changes of the same name, the one with the greater clock
//!   stands after the heal, and clocks of nodes that do not hear each other are wall clocks. A FLUSH or a deploy on one
//!   side takes away what the other one loaded before it, by these clocks. `overruled` and `stale` count, per node.
//! - Two functions of different names may refer to each other in different libraries: that two libraries are of the
//!   same time is promised within a deploy only. Repair of single libraries comes library by library.
//! - A node that was forgotten, or comes back from a file older than the mark, loses what it alone has from before the
//!   mark, as if it had been deleted. `dropped` counts, and the log says so.
//! - A node that hears nobody for two seconds after a start, with a wall clock more than an hour behind, makes changes
//!   that others may take for deleted ones. They say so (stale), and it makes them anew, if it lives to hear it.
//! - Who has the key can say anything.
//!
//! # Bounds
//!
//! A message has at most 64 KB; a name 4 KB, a source 64 MB. 4 MB of messages wait while nothing may be changed, the
//! rest is dropped and repaired. 1,024 changes wait for answers, 64 requests for the node to be ready, 8 offers of a
//! peer are remembered, 1,024 orders of the server, one exchange is open, with 256 MB staged: beyond that, what is
//! staged takes effect before the end. Tombstones, see above. A peer takes a few hundred bytes, and only listed nodes
//! are peers.
//!
//! # How to read it
//!
//! [`stamp`], [`entry`], [`change`], [`clash`], [`digest`] and [`registry`] are the data and stand alone. [`message`],
//! [`wire`] and [`delta`] are their forms. [`peer`], [`pull`], [`wait`] and [`serving`] are what a node keeps of
//! others, of its clients and of its server; [`core`] has the steps. [`proof`] is apart from all, and [`node`] puts
//! both together.
//!
//! # How it is tested
//!
//! `tests/model.rs` has three nodes in every order of events (stateright); `tests/simulation.rs` whole clusters by
//! seed, with everything that goes wrong in one; `tests/broadcast.rs` what clients see; `tests/wire.rs` packets that
//! prove nothing. `make cluster` runs the long forms.

pub mod change;
pub mod clash;
pub mod core;
pub mod delta;
pub mod digest;
pub mod entry;
pub mod input;
pub mod message;
pub mod node;
pub mod peer;
pub mod proof;
pub mod pull;
pub mod registry;
pub mod serving;
pub mod stamp;
pub mod status;
pub mod wait;
pub mod wire;
