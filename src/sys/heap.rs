//! The program's memory: taken while a start is prepared, and never given back.
//!
//! A launcher becomes another program, and a manager allocates nothing once its server runs; so freeing is nothing,
//! the code for it vanishes from the program, and what is left is to count upwards. What is large and short-lived
//! (the contents of a file) does not come from here.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// What the program has from its start. Pages that are not touched cost nothing. The linker puts the program's few data
/// before it and the C library's behind it: with such a size, and the size that the program has, these do not lie
/// across two pages.
const FIRST: usize = 62 * 1024;
/// What it takes at a time when that is used up.
const MORE: usize = 256 * 1024;
/// No page is smaller.
const PAGE: usize = 4096;

struct Room(core::cell::UnsafeCell<[u8; FIRST]>);

// SAFETY: only `Heap` uses it, and the program has one thread.
unsafe impl Sync for Room {}

static ROOM: Room = Room(core::cell::UnsafeCell::new([0; FIRST]));

unsafe extern "C" {
    /// The end of all data, set by the linker; the rest of its page is unused.
    static _end: u8;
}

/// Memory for a program with one thread. Not for tests, which have many.
pub struct Heap {
    /// What is free: first what is left of the two pages that are written to anyway, so that a resting manager needs no
    /// other.
    free: [Cell<(usize, usize)>; 4],
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
        Self { free: [const { Cell::new((0, 0)) }; 4] }
    }

    /// Goes on in a place that has room for so much.
    fn refill(&self, size: usize) -> bool {
        let [behind, tail, head, most] = &self.free;
        if most.get().1 == 0 {
            let (start, all) = (ROOM.0.get() as usize, &raw const _end as usize);
            let (first, end) = (start.next_multiple_of(PAGE), start + FIRST);
            let last = end & PAGE.wrapping_neg();
            behind.set((all, all.next_multiple_of(PAGE)));
            tail.set((last, end));
            head.set((start, first));
            most.set((first, last));
            return true;
        }
        let (size, access) = (size.max(MORE), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping, wherever the kernel likes.
        let Ok(start) = (unsafe { mmap_anonymous(null_mut(), size, access, MapFlags::PRIVATE) }) else { return false };
        most.set((start as usize, start as usize + size));
        true
    }

    /// Takes so much, at a multiple of a power of two.
    fn take(&self, layout: Layout) -> Option<usize> {
        self.free.iter().find_map(|free| {
            let (start, end) = free.get();
            let block = start.next_multiple_of(layout.align());
            let after = block.checked_add(layout.size()).filter(|after| *after <= end)?;
            free.set((after, end));
            Some(block)
        })
    }
}

// SAFETY: each block is cut from memory that is used for nothing else, is never handed out twice, and lies as its
// layout asks.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            if let Some(block) = self.take(layout) {
                return block as *mut u8;
            }
            if !self.refill(layout.size().saturating_add(layout.align())) {
                return null_mut();
            }
        }
    }

    /// All of it is fresh from the kernel, which gives zeros.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is ours.
        unsafe { self.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size <= layout.size() {
            return old;
        }
        // The last block of a place grows where it is. None shrinks: a block that is handed out must be zero.
        let (start, after) = (old as usize, (old as usize).saturating_add(size));
        for free in &self.free {
            let (next, end) = free.get();
            if next == start + layout.size() && after <= end {
                free.set((after, end));
                return old;
            }
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
