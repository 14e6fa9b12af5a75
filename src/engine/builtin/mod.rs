//! Functions of the VM's own libraries that could run long without passing a safepoint, or that give something else
//! than the server's.
//!
//! Each has a native in its place, which captures it. What is short goes to the VM's function as it is: in the same
//! frame, so that results and errors are the VM's. What could take long is done here, a safepoint now and then, or
//! refused. Arguments that the server's function takes otherwise are put as the VM's has to see them.
//!
//! Where the compiler calls a built-in directly, these are not asked. That holds for what both understand alike: the
//! VM's direct calls leave all else to the function in the table, but for those in [`super::compile`] that the compiler
//! is told of.

mod coroutine;
mod number;
mod pattern;
mod replacement;
mod slice;
mod table;
mod text;
mod usual;

use super::stack::natives;

natives! {
    Char = c"char", number::char;
    LoadExponent = c"ldexp", number::ldexp;
    Log = c"log", number::log;
    Max = c"max", number::max;
    Min = c"min", number::min;
    ToNumber = c"tonumber", number::from_text;

    Create = c"create", coroutine::create;
    Wrap = c"wrap", coroutine::wrap;

    Byte = c"byte", slice::byte;
    Sub = c"sub", slice::sub;

    Find = c"find", pattern::find;
    Match = c"match", pattern::only_match;
    GlobalMatch = c"gmatch", pattern::global_match;
    GlobalSubstitute = c"gsub", pattern::substitute;

    Format = c"format", text::format;
    Lower = c"lower", text::lower;
    Repeat = c"rep", text::repeat;
    Reverse = c"reverse", text::reverse;
    Upper = c"upper", text::upper;

    Concat = c"concat", table::concat;
    ForEach = c"foreach", table::for_each;
    ForEachElement = c"foreachi", table::for_each;
    Insert = c"insert", table::insert;
    Remove = c"remove", table::remove;
    Sort = c"sort", table::sort;
    Unpack = c"unpack", table::unpack;
}
