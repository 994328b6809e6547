//! The program's memory: taken while a start is prepared, and never given back.
//!
//! A launcher becomes another program, and a manager allocates nothing once its server runs; so freeing is nothing,
//! the code for it vanishes from the program, and what is left is to count upwards. What is large and short-lived
//! (the contents of a file) does not come from here.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// What the program has from its start. Pages that are not touched cost nothing.
const FIRST: usize = 64 * 1024;
/// What it takes at a time when that is used up.
const MORE: usize = 256 * 1024;

/// At the beginning of a page, so that it takes no part of one more.
#[repr(align(4096))]
struct Room(core::cell::UnsafeCell<[u8; FIRST]>);

// SAFETY: only `Heap` uses it, and the program has one thread.
unsafe impl Sync for Room {}

static ROOM: Room = Room(core::cell::UnsafeCell::new([0; FIRST]));

/// Memory for a program with one thread. Not for tests, which have many.
pub struct Heap {
    /// The first address that is free, and the end; zero before the first use.
    free: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the program has one thread: `main.rs` makes the only one, and nothing starts another.
unsafe impl Sync for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// Nothing taken yet.
    pub const fn new() -> Self {
        Self { free: Cell::new(0), end: Cell::new(0) }
    }

    /// Goes on in a place that has room for so much.
    fn refill(&self, size: usize) -> bool {
        if self.end.get() == 0 && size <= FIRST {
            let start = ROOM.0.get() as usize;
            self.free.set(start);
            self.end.set(start + FIRST);
            return true;
        }
        let size = size.max(MORE);
        // SAFETY: a new mapping, wherever the kernel likes.
        let mapped = unsafe { mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        let Ok(start) = mapped else { return false };
        self.free.set(start as usize);
        self.end.set(start as usize + size);
        true
    }
}

// SAFETY: each block is cut from memory that is used for nothing else, is never handed out twice, and lies as its
// layout asks.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        for _ in 0..2 {
            let start = self.free.get().next_multiple_of(layout.align());
            if let Some(end) = start.checked_add(layout.size())
                && start != 0
                && end <= self.end.get()
            {
                self.free.set(end);
                return start as *mut u8;
            }
            if !self.refill(layout.size().saturating_add(layout.align())) {
                break;
            }
        }
        null_mut()
    }

    /// All of it is fresh from the kernel, which gives zeros.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is ours.
        unsafe { self.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = old as usize;
        // The last block grows and shrinks where it is. What it leaves behind was written to, so only growth: a
        // block that is handed out must be zero.
        if start + layout.size() == self.free.get()
            && size >= layout.size()
            && start.saturating_add(size) <= self.end.get()
        {
            self.free.set(start + size);
            return old;
        }
        if size <= layout.size() {
            return old;
        }
        let Ok(longer) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        // SAFETY: the size is not zero, since it has grown.
        let new = unsafe { self.alloc(longer) };
        if !new.is_null() {
            // SAFETY: both blocks are that long at least, and they are two.
            unsafe { core::ptr::copy_nonoverlapping(old, new, layout.size()) };
        }
        new
    }
}

/// Gives back the part of the stack that was needed deeper down than now: what a start took, and a resting manager does
/// not need.
pub fn release_stack() {
    /// More than any start has taken.
    const DEPTH: usize = 128 * 1024;
    /// More than the call below takes.
    const SPARED: usize = 1024;
    let here = 0u8;
    // 4 KiB on most machines, up to 64 on some boards, where the kernel gives back whole pages only.
    // SAFETY: getauxval only reads what the kernel left at the start.
    let page = usize::try_from(unsafe { libc::getauxval(libc::AT_PAGESZ) }).unwrap_or(0);
    // So much is spared: the call itself reaches further down.
    let to = (&raw const here as usize).saturating_sub(SPARED) & page.wrapping_neg();
    let from = to.saturating_sub(DEPTH);
    // SAFETY: the stack grows down, so nothing below that holds anything that is still needed; what is not mapped
    // is left alone.
    let _ = unsafe { rustix::mm::madvise(from as *mut _, to - from, rustix::mm::Advice::LinuxDontNeed) };
}
