//! Replies as a stream of items, in both directions: what a function returns is written to the server's client, what a
//! command replies is written into the VM. No tree is built in between.

/// One item of a reply. A reply is one item, together with the items that follow an aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// The null of RESP3.
    Null,
    /// The null strings and null arrays of RESP2.
    NullBulk,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    /// A binary-safe string.
    Bulk(&'a [u8]),
    /// A simple string.
    Status(&'a [u8]),
    /// An error, code included, without the leading dash.
    Error(&'a [u8]),
    /// The digits of an integer of any size.
    BigNumber(&'a [u8]),
    /// A string with a format of three bytes.
    Verbatim {
        format: [u8; 3],
        text: &'a [u8],
    },
    /// An array of this many values, which follow.
    Array(usize),
    /// A map of this many pairs, which follow: a key and a value each.
    Map(usize),
    /// A set of this many members, which follow.
    Set(usize),
}

/// Takes the items of one reply in order.
pub trait Sink {
    /// Takes the next item. Callers pass a known variant: where speed matters, the method is inlined.
    fn put(&mut self, item: Item<'_>);
}
