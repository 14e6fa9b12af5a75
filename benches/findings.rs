//! All measurements of one server.

use crate::deploys::Deploys;
use crate::idle::Idle;
use crate::inside::Cost;
use crate::interception::Interception;
use crate::memory::Trace;
use crate::row::{BySize, Row};
use crate::servers::Identity;
use crate::summary::Spread;
use crate::trial::Rounds;

/// All measurements of one server.
pub struct Findings {
    pub server: Identity,
    /// The number of libraries where a measurement has only one.
    pub libraries: usize,
    /// Microseconds in the server.
    pub flushes_async: Vec<BySize>,
    /// Microseconds in the server.
    pub flushes_sync: Vec<BySize>,
    /// The same for scripts.
    pub script_flushes_async: Vec<BySize>,
    /// The same for scripts.
    pub script_flushes_sync: Vec<BySize>,
    pub deploys: Vec<Deploys>,
    pub scale: Scale,
    /// A row for each measured thing, in the unit that its name says.
    pub memory: Vec<Row>,
    /// The memory around a flush: of the server's own registry, of the module's.
    pub traces: [Trace; 2],
    /// Microseconds in the server.
    pub calls: Vec<Row>,
    /// Microseconds in the server.
    pub computations: Vec<Row>,
    /// Errors that are raised and caught.
    pub errors: Vec<Row>,
    /// Scripts: microseconds in the server.
    pub scripts: Vec<Row>,
    /// Microseconds in the server.
    pub script_computations: Vec<Row>,
    /// Those in which the four before were measured.
    pub rounds: Rounds,
    /// Scripts of real packages: microseconds in the server. None if nothing was recorded.
    pub packages: Option<(Vec<Row>, Rounds)>,
    /// A row for each measured thing, in the unit that its name says.
    pub clients: Vec<Row>,
    /// Microseconds as a client sees them.
    pub collector: Vec<Row>,
    pub interception: Interception,
    /// What it costs to look inside, call by call.
    pub inside: Vec<Cost>,
    /// A server without calls.
    pub idle: Idle,
}

/// What depends on the number of libraries.
#[derive(Default)]
pub struct Scale {
    /// Microseconds in the server for each LOAD.
    pub loads: Vec<BySize>,
    /// Bytes that a library takes.
    pub bytes: Vec<BySize>,
    /// Microseconds in the server to LIST one library by its name.
    pub lists: Vec<BySize>,
    /// Microseconds in the server of FLUSH ASYNC while another client sends PINGs.
    pub flushes: Vec<BySize>,
    pub pings: Vec<Pings>,
}

/// Round trips of another client's PINGs, in microseconds: without a flush, and during each side's FLUSH ASYNC.
pub struct Pings {
    pub libraries: usize,
    /// Of each round.
    pub slowest: [Spread; 3],
    /// The 99.9th percentile of each round.
    pub thousandth: [Spread; 3],
}
