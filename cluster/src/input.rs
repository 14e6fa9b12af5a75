//! What goes into a node, and what comes out.

use std::sync::Arc;

use crate::entry::{Body, Name, NodeId};
use crate::stamp::Stamp;

/// A client's number, chosen by the server.
pub type ClientId = u64;

/// A library that a client sent: compiled here, so that its functions are known.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Library {
    /// Its name.
    pub name: Name,
    /// Its source and functions.
    pub body: Arc<Body>,
}

/// What a client wants. The server has looked at everything that needs no other node: sources compile, names are valid.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// LOAD is one library, RESTORE many; with `clear` it is RESTORE FLUSH, DEPLOY or ROLLBACK: these and no others.
    Put {
        /// The libraries.
        libraries: Vec<Library>,
        /// Whether they may be in the place of others.
        replace: bool,
        /// Whether all others vanish.
        clear: bool,
    },
    /// DELETE.
    Delete(Name),
    /// FLUSH.
    Flush,
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// A library of this name is there already.
    Exists(Name),
    /// There is no library of this name.
    Missing(Name),
    /// A function's name is taken by another library, which may be asleep, and may have come while the client waited.
    FunctionTaken {
        /// The function.
        function: Name,
        /// The library that has it.
        owner: Name,
    },
    /// A replica takes changes from its master alone.
    ReadOnly,
    /// The node has just started, or become a master, and has not heard the cluster yet. Shortly it will have.
    NotReady,
    /// Half of the masters or more are flagged as failing, and the configuration wants more than half.
    NoQuorum,
    /// More deleted libraries are remembered than may be, because some node has not confirmed them. FLUSH and a deploy
    /// go on.
    TooManyTombstones,
    /// A name or a source is longer than the wire takes.
    TooLong(Name),
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Done {
    /// The change, or None if it was in effect already.
    pub stamp: Option<Stamp>,
    /// Whether another node had brought it, from a client that sends the same to every master.
    pub echo: bool,
    /// How many nodes were asked.
    pub asked: usize,
    /// How many of them have answered.
    pub answered: usize,
    /// The nodes where a library of it sleeps.
    pub asleep: Vec<NodeId>,
    /// The nodes that could not build a library of it.
    pub blocked: Vec<NodeId>,
    /// The nodes that were asked, are not flagged, and did not answer in time.
    pub late: Vec<NodeId>,
}

/// A node of the cluster, as the server lists it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Its ID.
    pub id: NodeId,
    /// Whether it is a master.
    pub master: bool,
    /// Whether it is flagged PFAIL or FAIL.
    pub failing: bool,
}

/// A library that the server could not build.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Failure {
    /// The library.
    pub name: Name,
    /// Why not.
    pub reason: String,
    /// Whether the one that stood there before stands there again.
    pub kept: bool,
}

/// What happens to a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input<M> {
    /// Time has passed. Due every 100 ms or so, and whenever a client's wait may be over.
    Tick,
    /// A client's request. `wait` is false in a transaction, a script or the append-only file.
    Request {
        /// Who is to get the reply.
        client: ClientId,
        /// What it wants.
        request: Request,
        /// Whether the reply may come later.
        wait: bool,
    },
    /// A message came over the bus.
    Message {
        /// From whom, as the bus says.
        from: NodeId,
        /// What it says.
        message: M,
    },
    /// The nodes of the cluster, this one included, whenever they may have changed.
    Members {
        /// This node's ID.
        me: NodeId,
        /// All nodes.
        members: Vec<Member>,
    },
    /// Whether this node is a master now.
    Role {
        /// It is.
        master: bool,
    },
    /// What `Output::Apply` of this number has come to.
    Built {
        /// The number.
        token: u64,
        /// What could not be built.
        failures: Vec<Failure>,
        /// What else is not there any more: it had a function of one that was built.
        gone: Vec<Name>,
    },
    /// What the master's `Output::Replicate` said, on its replica and out of the append-only file.
    Merge(Vec<u8>),
    /// A setting changed by which libraries could fail: those that did are to be tried again.
    Retry,
}

/// What is to become of a library in the server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// Build it.
    Load(Library),
    /// As Load, of one that slept.
    Wake(Library),
    /// It was deleted.
    Delete(Name),
    /// Another one has a function of its name: it is kept, and not callable.
    Sleep(Name),
}

/// What a node wants of its server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output<M> {
    /// A message for a node.
    Send {
        /// The node.
        to: NodeId,
        /// The message.
        message: M,
    },
    /// Do all of this and swap it in as one, then say `Input::Built`. The numbers rise, and they are built in their
    /// order.
    ///
    /// Everything named here is taken out; then what is to be loaded is built, and any other library that has a
    /// function of one of these goes: it can only be one that stayed since what came in its place could not be built.
    /// What fails now is followed by the one that stood there before, if all its functions are free in the end.
    Apply {
        /// The number.
        token: u64,
        /// Whether nothing of what was there stays: what is loaded here is all.
        clear: bool,
        /// What to do, in this order.
        ops: Vec<Op>,
    },
    /// For the replicas and the append-only file: `Input::Merge` there.
    Replicate(Vec<u8>),
    /// A client's reply.
    Reply {
        /// The client.
        client: ClientId,
        /// The reply.
        result: Result<Done, Refusal>,
    },
    /// A line for the log.
    Log(String),
}
