//! What a node knows of another master.

use crate::message::Summary;
use crate::stamp::Stamp;

/// How many changes that were offered are remembered.
const MAX_OFFERS: usize = 8;

/// Another master.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Peer {
    /// Whether it is flagged PFAIL or FAIL.
    pub failing: bool,
    /// What it last said of itself. None until it has spoken: then it is not waited for.
    pub summary: Option<Summary>,
    /// When it last spoke.
    pub heard: u64,
    /// What had arrived here by when both were found to have the same: all of this it has confirmed.
    pub confirmed: u64,
    /// Since when both have the same, as far as is known.
    pub agrees_since: Option<u64>,
    /// Since when they have not.
    pub differs_since: Option<u64>,
    /// Whether everything that it had was taken over since it is known.
    pub exchanged: bool,
    /// Changes that it offered, and is to be told of when they are here.
    pub offers: Vec<Stamp>,
    /// The last library that it could not build, and why.
    pub failure: Option<String>,
}

impl Peer {
    /// It offers a change.
    pub fn offer(&mut self, stamp: Stamp) {
        if !self.offers.contains(&stamp) {
            if self.offers.len() >= MAX_OFFERS {
                self.offers.remove(0);
            }
            self.offers.push(stamp);
        }
    }

    /// It has, or has not, what this node has.
    pub fn compared(&mut self, equal: bool, arrivals: u64, now: u64) {
        if equal {
            self.confirmed = arrivals;
            self.exchanged = true;
            self.differs_since = None;
            self.agrees_since.get_or_insert(now);
        } else {
            self.agrees_since = None;
            self.differs_since.get_or_insert(now);
        }
    }
}
