//! Replies as a stream of values, in both directions: what a function returns is written to the server's client, what
//! a command replies is written into the VM. No tree is built in between.

/// Takes the values of one reply in order. After `array(n)` and `set(n)` come n values, after `map(n)` n pairs.
pub trait Sink {
    /// A null. `typed` tells RESP3's null from the null strings and arrays of RESP2.
    fn null(&mut self, typed: bool);
    fn boolean(&mut self, value: bool);
    fn integer(&mut self, value: i64);
    fn double(&mut self, value: f64);
    /// A binary-safe string.
    fn bulk(&mut self, bytes: &[u8]);
    /// A simple string.
    fn status(&mut self, text: &[u8]);
    /// An error, code included, without the leading dash.
    fn error(&mut self, text: &[u8]);
    fn big_number(&mut self, digits: &[u8]);
    /// A string with a format of three bytes.
    fn verbatim(&mut self, format: [u8; 3], text: &[u8]);
    fn array(&mut self, length: usize);
    fn map(&mut self, pairs: usize);
    fn set(&mut self, length: usize);
}
