//! The pages of a VM, in the place of the VM's own.
//!
//! The VM keeps values of each size in pages of their own, and its pages have 16 KiB from the first on: a VM in which
//! nothing is loaded has values of two dozen sizes, a few of each, and holds 420 KB for 60 KB of them. Here a page is a
//! small part of what the VM holds, so that an empty VM takes little and a large one has few pages.
//!
//! The functions are alone in an object file of the VM's library, and the linker finds ours first (see
//! `conversion.rs`); had it both, it would refuse them. What the rest of the VM knows of pages is in these functions,
//! but for the head of the list of all pages, which its collector reads. The declarations of the VM's state here are
//! held against the VM by the tests below; a new release of `luau0-src` must be read for them.
//!
//! The invariants of `stack` hold: the VM calls these functions on the thread that uses it, and a block comes back
//! once, with the size that it was asked for.

use std::arch::global_asm;
use std::ffi::{c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

use mlua::ffi;

use super::super::state::note_refusal;
use super::Stack;
use super::layout::State;
use super::raising::throw;
use crate::block;

/// How many sizes of blocks the VM has lists for.
const CLASSES: usize = 40;

/// The largest block that shares its page with others, in bytes.
const LARGEST: usize = 1024;

/// A page is this part of what the VM holds.
const PART: usize = 16;

/// The smallest page and the largest, in bytes: powers of two.
const LEAST_PAGE: usize = 1 << 10;
const MOST_PAGE: usize = 16 << 10;

/// So much less than a power of two is asked for: allocators keep a few bytes beside a block.
const BESIDE: usize = 32;

/// Of a block that is no value of its own: the address of its page, before what the VM gets.
const OWNER: usize = size_of::<*mut Page>();

/// The VM's number for a free block in a page of values: the type of nil.
const FREE: u8 = 0;

/// The memory category in which nothing is allocated: it counts what the allocator adds to the sizes that it is asked
/// for.
pub const ADDED: u8 = u8::MAX;

/// What the VM says a block is that is no value (`LUA_T_ALL`). Nobody reads it here.
const NO_TYPE: c_int = 17;

/// The sizes of blocks: steps of 8 bytes up to 64, of 16 up to 256, of 32 up to 512, then of 64.
const SIZES: ([u16; CLASSES], usize) = {
    let mut sizes = [0; CLASSES];
    let (mut count, mut size) = (0, 8);
    while size <= LARGEST {
        sizes[count] = size as u16;
        count += 1;
        size += match size {
            ..64 => 8,
            64..256 => 16,
            256..512 => 32,
            _ => 64,
        };
    }
    (sizes, count)
};

/// The class of each size, in steps of eight bytes.
const CLASS_OF: [u8; LARGEST / 8 + 1] = {
    let mut classes = [0; LARGEST / 8 + 1];
    let (mut step, mut class) = (1, 0);
    while step < classes.len() {
        if step * 8 > SIZES.0[class] as usize {
            class += 1;
        }
        classes[step] = class as u8;
        step += 1;
    }
    classes
};

/// The class of blocks of `size` bytes; None for one that has a page or a block of the system to itself, and for none.
#[inline]
const fn class_of(size: usize) -> Option<usize> {
    if size.wrapping_sub(1) < LARGEST { Some(CLASS_OF[size.div_ceil(8)] as usize) } else { None }
}

/// What all states of a VM share (`global_State`), up to what is read of it.
#[repr(C)]
struct Global {
    _strings: [usize; 2],
    allocate: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void,
    allocator: *mut c_void,
    _collector: [usize; 5],
    total: usize,
    _pace: [c_int; 4],
    /// Pages with free blocks: of blocks that are no values, and of values.
    plain: [*mut Page; CLASSES],
    values: [*mut Page; CLASSES],
    _all_plain: *mut Page,
    /// All pages of values.
    all: *mut Page,
    _between: [u8; CALLBACKS - 752],
    callbacks: ffi::lua_Callbacks,
    _after: [u8; CATEGORIES - CALLBACKS - size_of::<ffi::lua_Callbacks>()],
    categories: [usize; 256],
}

/// What the VM of a state has in common.
#[inline(always)]
unsafe fn global_of(state: *mut State) -> *mut Global {
    // SAFETY: `state` is a state of a VM that is alive.
    unsafe { (*state).global.cast() }
}

const CALLBACKS: usize = 1_640;
const CATEGORIES: usize = 11_696;

/// What every value of the VM begins with, and what is in it while its block is free.
#[repr(C)]
struct Value {
    kind: u8,
    _marks: [u8; 7],
    next: *mut u8,
}

/// A page: this, then its blocks.
#[repr(C, align(16))]
struct Page {
    /// The pages of the same class that have a free block.
    before: *mut Page,
    after: *mut Page,
    /// All pages of values.
    all_before: *mut Page,
    all_after: *mut Page,
    /// The last block that was freed; each leads to the next.
    freed: *mut u8,
    bytes: u32,
    /// The size of a block.
    block: u32,
    /// From here on no block was ever used, and here they end: distances from the first.
    fresh: u32,
    end: u32,
    /// How many blocks are in use.
    used: u32,
}

impl Page {
    const fn is_full(&self) -> bool {
        self.freed.is_null() && self.fresh == self.end
    }

    /// The first block.
    unsafe fn blocks(this: *mut Self) -> *mut u8 {
        // SAFETY: the blocks follow the head of the page, inside of its memory.
        unsafe { this.add(1).cast() }
    }
}

/// What a page's blocks are.
trait Kind {
    /// How many bytes of a block stand before what the VM gets.
    const BEFORE: usize;

    /// How many bytes of a free block are read all the same: the collector asks a value's block whether it is free.
    const READ: usize;

    /// The lists of pages with free blocks.
    unsafe fn lists(global: *mut Global) -> *mut [*mut Page; CLASSES];

    /// Where a free block says which is the next.
    unsafe fn link(block: *mut u8) -> *mut *mut u8;

    /// Notes the page of a block that is taken into use.
    unsafe fn own(block: *mut u8, page: *mut Page);

    /// Enters a new page where the collector finds it.
    unsafe fn enter(global: *mut Global, page: *mut Page);

    /// Takes it out there.
    unsafe fn leave(global: *mut Global, page: *mut Page);
}

/// Blocks that are no values: arrays, for example.
struct Plain;

/// Blocks that are values, which the collector walks.
struct Values;

// SAFETY of the blocks in both: `global` is that of a VM that is alive, and `page` and `block` are of it.
impl Kind for Plain {
    const BEFORE: usize = OWNER;
    const READ: usize = 0;

    unsafe fn lists(global: *mut Global) -> *mut [*mut Page; CLASSES] {
        // SAFETY: see above.
        unsafe { &raw mut (*global).plain }
    }

    unsafe fn link(block: *mut u8) -> *mut *mut u8 {
        block.cast()
    }

    unsafe fn own(block: *mut u8, page: *mut Page) {
        // SAFETY: the block begins with room for it.
        unsafe { block.cast::<*mut Page>().write(page) }
    }

    unsafe fn enter(_: *mut Global, _: *mut Page) {}

    unsafe fn leave(_: *mut Global, _: *mut Page) {}
}

impl Kind for Values {
    const BEFORE: usize = 0;
    const READ: usize = offset_of!(Value, next);

    unsafe fn lists(global: *mut Global) -> *mut [*mut Page; CLASSES] {
        // SAFETY: see above.
        unsafe { &raw mut (*global).values }
    }

    unsafe fn link(block: *mut u8) -> *mut *mut u8 {
        // SAFETY: a value has room for this much at least.
        unsafe { &raw mut (*block.cast::<Value>()).next }
    }

    unsafe fn own(_: *mut u8, _: *mut Page) {}

    unsafe fn enter(global: *mut Global, page: *mut Page) {
        // SAFETY: see above.
        unsafe {
            let first = (*global).all;
            (*page).all_after = first;
            if !first.is_null() {
                (*first).all_before = page;
            }
            (*global).all = page;
        }
    }

    unsafe fn leave(global: *mut Global, page: *mut Page) {
        // SAFETY: see above.
        unsafe {
            let Page { all_before: before, all_after: after, .. } = *page;
            if !after.is_null() {
                (*after).all_before = before;
            }
            if before.is_null() {
                (*global).all = after;
            } else {
                (*before).all_after = after;
            }
        }
    }
}

#[cfg(sanitized = "address")]
unsafe extern "C" {
    #[link_name = "__asan_poison_memory_region"]
    unsafe fn poison(start: *const c_void, bytes: usize);
    #[link_name = "__asan_unpoison_memory_region"]
    unsafe fn unpoison(start: *const c_void, bytes: usize);
}

/// Has the sanitizer report whoever touches these bytes: it does not see that a block of a page is free.
#[inline(always)]
unsafe fn cover(_start: *mut u8, _bytes: usize) {
    #[cfg(sanitized = "address")]
    // SAFETY: the bytes are those of one page.
    unsafe {
        poison(_start.cast(), _bytes);
    }
}

/// Takes [`cover`] back.
#[inline(always)]
unsafe fn uncover(_start: *mut u8, _bytes: usize) {
    #[cfg(sanitized = "address")]
    // SAFETY: the bytes are those of one page.
    unsafe {
        unpoison(_start.cast(), _bytes);
    }
}

/// How many blocks a new page has when the VM holds `total` bytes.
const fn blocks_of_page(total: usize, block: usize) -> usize {
    let part = total / PART;
    let page = if part <= LEAST_PAGE {
        LEAST_PAGE
    } else if part >= MOST_PAGE {
        MOST_PAGE
    } else {
        1 << part.ilog2()
    };
    let count = (page - BESIDE - size_of::<Page>()) / block;
    if count == 0 { 1 } else { count }
}

/// Asks the VM's allocator for a block, for another size or, by a size of 0, to free it. The block is aligned to 16
/// bytes; null when there is no memory. Counts what the allocator adds to the size.
#[inline]
unsafe fn allocate(global: *mut Global, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: the block is the allocator's, of that size, or null with a size of 0.
    unsafe {
        let result = ((*global).allocate)((*global).allocator, block, old, new);
        if new == 0 || !result.is_null() {
            let added = &raw mut (*global).categories[usize::from(ADDED)];
            let after = (*added).wrapping_add(block::size(new).wrapping_sub(new));
            *added = after.wrapping_sub(block::size(old).wrapping_sub(old));
        }
        result
    }
}

/// A page with `count` blocks of `block` bytes; null when there is no memory.
#[cold]
unsafe fn new_page<K: Kind>(global: *mut Global, block: usize, count: usize) -> *mut Page {
    let length = block * count;
    let bytes = size_of::<Page>() + length;
    // SAFETY: the VM's allocator gives memory of this size, aligned to 16 bytes, or null.
    unsafe {
        let page = allocate(global, ptr::null_mut(), 0, bytes).cast::<Page>();
        if !page.is_null() {
            page.write(Page {
                before: ptr::null_mut(),
                after: ptr::null_mut(),
                all_before: ptr::null_mut(),
                all_after: ptr::null_mut(),
                freed: ptr::null_mut(),
                bytes: bytes as u32,
                block: block as u32,
                fresh: 0,
                end: length as u32,
                used: 0,
            });
            K::enter(global, page);
        }
        page
    }
}

/// Gives the memory of a page back.
#[cold]
unsafe fn free_page<K: Kind>(global: *mut Global, page: *mut Page) {
    // SAFETY: no block of the page is in use.
    unsafe {
        K::leave(global, page);
        uncover(page.cast(), (*page).bytes as usize);
        allocate(global, page.cast(), (*page).bytes as usize, 0);
    }
}

/// A block of a class; null when there is no memory.
#[inline(always)]
unsafe fn take<K: Kind>(global: *mut Global, class: usize) -> *mut u8 {
    // SAFETY: the lists are the VM's, their pages are alive and have a free block.
    unsafe {
        let head = (K::lists(global).cast::<*mut Page>()).add(class);
        let mut page = *head;
        if page.is_null() {
            let block = SIZES.0[class] as usize + K::BEFORE;
            page = new_page::<K>(global, block, blocks_of_page((*global).total, block));
            if page.is_null() {
                return ptr::null_mut();
            }
            cover(Page::blocks(page), (*page).end as usize);
            *head = page;
        }
        let mut block = (*page).freed;
        if block.is_null() {
            block = Page::blocks(page).add((*page).fresh as usize);
            uncover(block, (*page).block as usize);
            (*page).fresh += (*page).block;
        } else {
            uncover(block, (*page).block as usize);
            (*page).freed = *K::link(block);
        }
        (*page).used += 1;
        if (*page).is_full() {
            let after = (*page).after;
            *head = after;
            if !after.is_null() {
                (*after).before = ptr::null_mut();
                (*page).after = ptr::null_mut();
            }
        }
        K::own(block, page);
        block
    }
}

/// Gives a block back to its page, and an empty page to the allocator.
#[inline(always)]
unsafe fn give<K: Kind>(global: *mut Global, class: usize, page: *mut Page, block: *mut u8) {
    // SAFETY: the block is in use and is one of this page, which is in the list of the class unless it is full.
    unsafe {
        let head = (K::lists(global).cast::<*mut Page>()).add(class);
        if (*page).is_full() {
            let after = *head;
            (*page).after = after;
            if !after.is_null() {
                (*after).before = page;
            }
            *head = page;
        }
        *K::link(block) = (*page).freed;
        (*page).freed = block;
        cover(block.add(K::READ), (*page).block as usize - K::READ);
        (*page).used -= 1;
        if (*page).used == 0 {
            let Page { before, after, .. } = *page;
            if !after.is_null() {
                (*after).before = before;
            }
            if before.is_null() {
                *head = after;
            } else {
                (*before).after = after;
            }
            free_page::<K>(global, page);
        }
    }
}

/// Whether a test has the request that comes now refused.
#[inline(always)]
#[cfg_attr(not(test), allow(unused_variables, reason = "only tests refuse a request"))]
unsafe fn is_refused(global: *mut Global) -> bool {
    // SAFETY: `global` is that of a VM that is alive, whose allocator is mlua's.
    #[cfg(test)]
    return unsafe { super::refusing::is_due((*global).allocator) };
    #[cfg(not(test))]
    false
}

/// Memory for `size` bytes that are no value; null when there is none, or nothing is asked for.
#[inline(always)]
unsafe fn take_plain(global: *mut Global, size: usize) -> *mut u8 {
    // SAFETY: `global` is that of a VM that is alive. A block of the class has room for its owner and `size` bytes.
    unsafe {
        if size > 0 && is_refused(global) {
            return ptr::null_mut();
        }
        match class_of(size) {
            Some(class) => {
                let block = take::<Plain>(global, class);
                if block.is_null() { block } else { block.add(OWNER) }
            }
            None => allocate(global, ptr::null_mut(), 0, size).cast(),
        }
    }
}

/// Gives memory from [`take_plain`] back.
#[inline(always)]
unsafe fn give_plain(global: *mut Global, block: *mut u8, size: usize) {
    // SAFETY: the block came from `take_plain` with this size.
    unsafe {
        match class_of(size) {
            Some(class) => {
                let block = block.sub(OWNER);
                give::<Plain>(global, class, block.cast::<*mut Page>().read(), block);
            }
            None => {
                allocate(global, block.cast(), size, 0);
            }
        }
    }
}

/// Counts memory that was taken, and reports it to whoever follows the VM's growth.
#[inline(always)]
unsafe fn count_taken(state: *mut State, block: *mut u8, old: usize, new: usize, category: u8, what: [c_int; 2]) {
    // SAFETY: `state` is a state of a VM that is alive.
    unsafe {
        let global = global_of(state);
        (*global).total = (*global).total - old + new;
        let counted = &raw mut (*global).categories[usize::from(category)];
        *counted = (*counted).wrapping_sub(old).wrapping_add(new);
        if let Some(report) = (*global).callbacks.onallocate {
            report(state.cast(), block.cast(), old, new, category, what[0], what[1]);
        }
    }
}

/// Counts memory that is given back.
#[inline(always)]
unsafe fn count_given(state: *mut State, block: *mut u8, size: usize, category: u8) {
    // SAFETY: as in `count_taken`.
    unsafe {
        let global = global_of(state);
        if let Some(report) = (*global).callbacks.onfree {
            report(state.cast(), block.cast());
        }
        (*global).total -= size;
        let counted = &raw mut (*global).categories[usize::from(category)];
        *counted = (*counted).wrapping_sub(size);
    }
}

#[allow(improper_ctypes, reason = "the VM's callbacks have types of Rust in mlua")]
unsafe extern "C-unwind" {
    #[link_name = "_Z14luaG_runerrorLP9lua_StatePKcz"]
    fn run_error(state: *mut State, format: *const c_char, ...) -> !;
}

/// Gives back `block`, or raises if it is null: there is no memory.
#[inline(always)]
unsafe fn or_raise(state: *mut State, block: *mut u8) -> *mut u8 {
    if block.is_null() { refuse(state) } else { block }
}

/// Raises for want of memory.
#[cold]
fn refuse(state: *mut State) -> ! {
    note_refusal(&Stack::frame(state.cast()));
    // SAFETY: Raising: the VM expects an exception of the functions below.
    unsafe { throw(state.cast(), ffi::LUA_ERRMEM) }
}

// The functions of the VM's `lmem.h`. SAFETY of all: the VM calls them with a state that is alive, on the thread that
// uses it, and with blocks that it got here, with their sizes.

unsafe extern "C-unwind" fn new_plain(state: *mut State, size: usize, category: u8) -> *mut u8 {
    // SAFETY: see above.
    unsafe {
        let block = take_plain(global_of(state), size);
        if size > 0 {
            or_raise(state, block);
        }
        count_taken(state, block, 0, size, category, [NO_TYPE, 0]);
        block
    }
}

unsafe extern "C-unwind" fn try_new_plain(state: *mut State, size: usize, category: u8) -> *mut u8 {
    // SAFETY: see above.
    unsafe {
        let block = take_plain(global_of(state), size);
        if !block.is_null() {
            count_taken(state, block, 0, size, category, [NO_TYPE, 0]);
        }
        block
    }
}

unsafe extern "C-unwind" fn new_value(
    state: *mut State,
    size: usize,
    category: u8,
    kind: c_int,
    tag: c_int,
) -> *mut u8 {
    // SAFETY: see above. A page for one large block has its block in use from the start.
    unsafe {
        let global = global_of(state);
        if is_refused(global) {
            refuse(state);
        }
        let block = match class_of(size) {
            Some(class) => or_raise(state, take::<Values>(global, class)),
            None => {
                let page = or_raise(state, new_page::<Values>(global, size, 1).cast()).cast::<Page>();
                (*page).used = 1;
                (*page).fresh = (*page).end;
                Page::blocks(page)
            }
        };
        count_taken(state, block, 0, size, category, [kind, tag]);
        block
    }
}

unsafe extern "C-unwind" fn new_fixed_value(state: *mut State, size: usize, category: u8, kind: c_int) -> *mut u8 {
    // SAFETY: see above.
    unsafe { new_value(state, size, category, kind, 0) }
}

unsafe extern "C-unwind" fn free_plain(state: *mut State, block: *mut u8, size: usize, category: u8) {
    // SAFETY: see above.
    unsafe {
        count_given(state, block, size, category);
        give_plain(global_of(state), block, size);
    }
}

unsafe extern "C-unwind" fn free_value(state: *mut State, block: *mut u8, size: usize, category: u8, page: *mut Page) {
    // SAFETY: see above. The VM says which page a value is in.
    unsafe {
        count_given(state, block, size, category);
        let global = global_of(state);
        match class_of(size) {
            Some(class) => {
                (*block.cast::<Value>()).kind = FREE;
                give::<Values>(global, class, page, block);
            }
            None => free_page::<Values>(global, page),
        }
    }
}

unsafe extern "C-unwind" fn resize_plain(
    state: *mut State,
    block: *mut u8,
    old: usize,
    new: usize,
    category: u8,
) -> *mut u8 {
    // SAFETY: see above. What is copied is in both blocks.
    unsafe {
        let global = global_of(state);
        if let Some(report) = (*global).callbacks.onfree
            && !block.is_null()
        {
            report(state.cast(), block.cast());
        }
        let (from, to) = (class_of(old), class_of(new));
        let result = if from.is_none() && to.is_none() {
            if new > old && is_refused(global) {
                refuse(state);
            }
            let result = allocate(global, block.cast(), old, new).cast();
            if new > 0 { or_raise(state, result) } else { result }
        } else if from == to {
            block
        } else {
            let result = take_plain(global, new);
            if new > 0 {
                or_raise(state, result);
            }
            if old > 0 {
                if new > 0 {
                    ptr::copy_nonoverlapping(block, result, old.min(new));
                }
                give_plain(global, block, old);
            }
            result
        };
        count_taken(state, result, old, new, category, [NO_TYPE, 0]);
        result
    }
}

unsafe extern "C-unwind" fn refuse_size(state: *mut State) -> ! {
    // SAFETY: Raising; the text has no format in it.
    unsafe { run_error(state, c"memory allocation error: block too big".as_ptr()) }
}

/// Says where the used blocks of a page are.
unsafe extern "C-unwind" fn walk_page(
    page: *mut Page,
    start: *mut *mut u8,
    end: *mut *mut u8,
    used: *mut c_int,
    block: *mut c_int,
) {
    // SAFETY: see above; the other addresses are to be filled.
    unsafe {
        *start = Page::blocks(page);
        *end = Page::blocks(page).add((*page).fresh as usize);
        *used = (*page).used as c_int;
        *block = (*page).block as c_int;
    }
}

unsafe extern "C-unwind" fn describe_page(
    page: *mut Page,
    blocks: *mut c_int,
    used: *mut c_int,
    block: *mut c_int,
    bytes: *mut c_int,
) {
    // SAFETY: see above; the other addresses are to be filled.
    unsafe {
        *blocks = ((*page).end / (*page).block) as c_int;
        *used = (*page).used as c_int;
        *block = (*page).block as c_int;
        *bytes = (*page).bytes as c_int;
    }
}

unsafe extern "C-unwind" fn next_page(page: *mut Page) -> *mut Page {
    // SAFETY: see above.
    unsafe { (*page).all_after }
}

/// Whether the value is gone after the visit.
type Visit = unsafe extern "C-unwind" fn(context: *mut c_void, page: *mut Page, value: *mut u8) -> bool;

unsafe extern "C-unwind" fn visit_page(page: *mut Page, context: *mut c_void, visit: Visit) {
    // SAFETY: see above. With its last value the page goes, and is not read again.
    unsafe {
        let Page { mut used, block, fresh, .. } = *page;
        for start in (0..fresh).step_by(block as usize) {
            let value = Page::blocks(page).add(start as usize);
            if (*value.cast::<Value>()).kind != FREE && visit(context, page, value) {
                used -= 1;
                if used == 0 {
                    return;
                }
            }
        }
    }
}

unsafe extern "C-unwind" fn visit_values(state: *mut State, context: *mut c_void, visit: Visit) {
    // SAFETY: see above. The page may go by the visit.
    unsafe {
        let mut page = (*global_of(state)).all;
        while !page.is_null() {
            let next = (*page).all_after;
            visit_page(page, context, visit);
            page = next;
        }
    }
}

/// Gives functions the names that the VM has for them: those that the compiler of C++ makes. They are given here, not
/// by attributes of the functions, because those would be exported from the module.
macro_rules! named {
    ($($function:ident: $($name:literal)*;)*) => {
        global_asm!(
            ".pushsection .text",
            $($(
                concat!(".globl ", $name),
                concat!(".hidden ", $name),
                concat!(".type ", $name, ", @function"),
                concat!($name, ":"),
            )*
            concat!(jump!(), " {", stringify!($function), "}"),
            )*
            ".popsection",
            $($function = sym $function,)*
        );
    };
}

// Values that are fixed, and those that have a memory of their own in other programs (`caged`), are as others here.
named! {
    new_plain: "_Z9luaM_new_P9lua_Statemh";
    try_new_plain: "_Z12luaM_trynew_P9lua_Statemh";
    new_value: "_Z12luaM_newgco_P9lua_Statemhii" "_Z17luaM_newgcocaged_P9lua_Statemhii";
    new_fixed_value: "_Z17luaM_newgcofixed_P9lua_Statemhi";
    free_plain: "_Z10luaM_free_P9lua_StatePvmh";
    free_value:
        "_Z13luaM_freegco_P9lua_StateP8GCObjectmhP8lua_Page"
        "_Z18luaM_freegcofixed_P9lua_StateP8GCObjectmhP8lua_Page"
        "_Z18luaM_freegcocaged_P9lua_StateP8GCObjectmhP8lua_Page";
    resize_plain: "_Z13luaM_realloc_P9lua_StatePvmmh";
    refuse_size: "_Z11luaM_toobigP9lua_State";
    walk_page: "_Z20luaM_getpagewalkinfoP8lua_PagePPcS2_PiS3_";
    describe_page: "_Z16luaM_getpageinfoP8lua_PagePiS1_S1_S1_";
    next_page: "_Z16luaM_getnextpageP8lua_Page";
    visit_page: "_Z14luaM_visitpageP8lua_PagePvPFbS1_S0_P8GCObjectE";
    visit_values: "_Z13luaM_visitgcoP9lua_StatePvPFbS1_P8lua_PageP8GCObjectE";
}

unsafe extern "C" {
    #[link_name = "_Z16luaM_getnextpageP8lua_Page"]
    fn luaM_getnextpage(page: *mut Page) -> *mut Page;
}

/// Makes the linker take this file before the VM's library, also in programs that use this crate as a library.
#[used]
static TAKEN: unsafe extern "C" fn(*mut Page) -> *mut Page = luaM_getnextpage;

const _: () = assert!(size_of::<ffi::lua_Callbacks>() == 112 && std::mem::offset_of!(Global, categories) == CATEGORIES);

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Echo, call, engine, load};
    use super::super::super::{Dialect, Engine, ScriptEngine};
    use super::super::Collect;
    use super::*;

    #[test]
    fn each_size_has_the_smallest_class_that_holds_it() {
        assert_eq!([class_of(0), class_of(LARGEST + 1), class_of(usize::MAX)], [None; 3]);
        for size in 1..=LARGEST {
            let class = class_of(size).unwrap();
            assert!(class < SIZES.1 && SIZES.1 <= CLASSES);
            assert!(usize::from(SIZES.0[class]) >= size, "{size}");
            assert!(class == 0 || usize::from(SIZES.0[class - 1]) < size, "{size}");
        }
    }

    #[test]
    fn a_page_is_a_part_of_what_the_vm_holds() {
        for (total, block, blocks) in [
            (0, 48, (1024 - 96) / 48),
            (32 << 10, 48, (2048 - 96) / 48),
            (100 << 10, 48, (4096 - 96) / 48),
            (1 << 30, 48, (16384 - 96) / 48),
            (0, 1032, 1),
            (1 << 30, 1032, 15),
        ] {
            assert_eq!(blocks_of_page(total, block), blocks, "{total} {block}");
        }
    }

    /// The layout of the VM's state is that of this version of the VM.
    #[test]
    fn the_vms_state_is_as_it_is_declared_here() {
        let (mut engine, mut host) = (engine(), Echo::default());
        for body in ["return 1", "return {KEYS[1]}"] {
            load(&mut engine, body, &mut host);
        }
        let stack = &engine.vm().stack;
        // SAFETY: the state is alive and nothing runs.
        unsafe {
            let global = global_of(stack.state.cast());
            assert_eq!((*global).total, stack.memory());
            assert_eq!(&raw mut (*global).callbacks, ffi::lua_callbacks(stack.state));
            for category in 0..=255_u8 {
                assert_eq!((*global).categories[usize::from(category)], stack.memory_of(category), "{category}");
            }
            assert!((*global).categories[1] > 0 && (*global).categories[2] > 0);
            assert!(!(*global).all.is_null() && (*(*global).all).all_before.is_null());
        }
    }

    /// Without the pages' word the sanitizer would take every block of a page for one in use.
    #[cfg(sanitized = "address")]
    #[test]
    fn the_sanitizer_knows_which_blocks_are_free() {
        unsafe extern "C" {
            fn __asan_region_is_poisoned(start: *const u8, bytes: usize) -> *const u8;
        }
        let engine = engine();
        let state = engine.vm().stack.state.cast::<State>();
        // SAFETY: the state is alive and nothing runs. No freed block is read here, only what the sanitizer has of it.
        unsafe {
            for size in [24, 1024] {
                let block = new_plain(state, size, 0);
                assert!(__asan_region_is_poisoned(block, size).is_null());
                // Another block of the class keeps the page.
                let other = new_plain(state, size, 0);
                free_plain(state, block, size, 0);
                assert_eq!(__asan_region_is_poisoned(block, size), block.cast_const());
                assert!(__asan_region_is_poisoned(other, size).is_null());
                assert_eq!(new_plain(state, size, 0), block);
                assert!(__asan_region_is_poisoned(block, size).is_null());
                for block in [block, other] {
                    free_plain(state, block, size, 0);
                }
            }
        }
    }

    #[test]
    fn an_empty_vm_holds_little() {
        let scripts = ScriptEngine::new(Dialect::default()).unwrap();
        for bytes in [engine().vm().memory(), scripts.vm().memory()] {
            assert!((40 << 10..112 << 10).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn values_of_all_sizes_come_and_go() {
        let (mut engine, mut host) = (engine(), Echo::default());
        let body = "
            local kept = {}
            for round = 1, 3 do
                for size = 0, 2100, round do
                    local list = {}
                    for place = 1, size % 150 do list[place] = size + place end
                    kept[size] = {('x'):rep(size), list, function() return size end, coroutine.create(function() end)}
                end
                for size = 0, 2100, round do
                    local text, list, f = unpack(kept[size])
                    assert(#text == size and text == ('x'):rep(size) and f() == size)
                    for place = 1, size % 150 do assert(list[place] == size + place) end
                    if size % 3 > 0 then kept[size] = nil end
                end
                collectgarbage()
            end
            return 'done'";
        let slot = load(&mut engine, body, &mut host);
        let collect = |engine: &super::super::super::FunctionEngine| {
            engine.vm().stack.collect(Collect::Full, 0);
            engine.vm().memory()
        };
        let before = collect(&engine);
        for _ in 0..3 {
            assert_eq!(call(&engine, slot, &mut host), Ok("done".to_owned()));
        }
        let after = collect(&engine);
        assert!(after < before + (64 << 10), "{before} to {after}");
    }
}
