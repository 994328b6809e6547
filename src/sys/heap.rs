//! The program's allocator. Memory is allocated while a start is prepared, and never freed.
//!
//! A launcher becomes another program, and a manager allocates nothing once its server runs. So freeing does nothing,
//! the compiler removes the code for it, and allocating only increments a pointer. Large and short-lived memory, such
//! as the contents of a file, does not come from here.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// The size of the static memory, from which the first blocks are allocated, in bytes. Pages that are not touched cost
/// nothing. The linker places the program's small data before this memory and the C library's data after it, all in 16
/// pages. If they would need 17, GNU ld begins them in a new page (tools/build). So an idle manager touches only the
/// first and the last of these pages.
const STATIC_SIZE: usize = 63 * 1024;
/// The size of each further mapping, in bytes, unless a larger block needs a larger one.
const MIN_MAPPING_SIZE: usize = 256 * 1024;
/// The smallest page size, in bytes.
const MIN_PAGE_SIZE: usize = 4096;

struct StaticMemory(core::cell::UnsafeCell<[u8; STATIC_SIZE]>);

// SAFETY: only `Heap` uses it, and the program has one thread.
unsafe impl Sync for StaticMemory {}

static FIRST_MEMORY: StaticMemory = StaticMemory(core::cell::UnsafeCell::new([0; STATIC_SIZE]));

unsafe extern "C" {
    /// The end of the program's data, set by the linker. The rest of its page is unused.
    static _end: u8;
}

/// An allocator for a program with one thread. Tests have many threads, and so cannot use it.
pub struct Heap {
    /// The free ranges, each with its start and end. The first ones are the remainders of pages that are written to
    /// anyway, so that an idle manager needs no other page.
    free_ranges: [Cell<(usize, usize)>; 4],
}

// SAFETY: the program has one thread: `main.rs` makes the only one, and nothing starts another.
unsafe impl Sync for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// Makes a heap with nothing allocated.
    pub const fn new() -> Self {
        Self { free_ranges: [const { Cell::new((0, 0)) }; 4] }
    }

    /// Adds free ranges: at the first call those of the static memory, later a new mapping with room for `size` bytes.
    /// Returns false if there is no memory.
    fn refill(&self, size: usize) -> bool {
        let [after_data, tail, head, most] = &self.free_ranges;
        if most.get().1 == 0 {
            let (start, all) = (FIRST_MEMORY.0.get() as usize, &raw const _end as usize);
            let (first, end) = (start.next_multiple_of(MIN_PAGE_SIZE), start + STATIC_SIZE);
            let last = end & MIN_PAGE_SIZE.wrapping_neg();
            after_data.set((all, all.next_multiple_of(MIN_PAGE_SIZE)));
            tail.set((last, end));
            head.set((start, first));
            most.set((first, last));
            return true;
        }
        let (size, access) = (size.max(MIN_MAPPING_SIZE), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping, wherever the kernel likes.
        let Ok(start) = (unsafe { mmap_anonymous(null_mut(), size, access, MapFlags::PRIVATE) }) else { return false };
        most.set((start as usize, start as usize + size));
        true
    }

    /// Allocates a block with this size and alignment. Returns its address; None if no free range has room for it.
    fn allocate(&self, layout: Layout) -> Option<usize> {
        self.free_ranges.iter().find_map(|free| {
            let (start, end) = free.get();
            let block = start.next_multiple_of(layout.align());
            let after = block.checked_add(layout.size()).filter(|after| *after <= end)?;
            free.set((after, end));
            Some(block)
        })
    }
}

// SAFETY: each block is cut from memory that nothing else uses, is never returned twice, and is aligned as its layout
// requires.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            if let Some(block) = self.allocate(layout) {
                return block as *mut u8;
            }
            if !self.refill(layout.size().saturating_add(layout.align())) {
                return null_mut();
            }
        }
    }

    /// All memory is new from the kernel, which has zeroed it.
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
        // The last block of a range grows in place. A block never shrinks, because its rest could be allocated again
        // without being zero.
        let (start, after) = (old as usize, (old as usize).saturating_add(size));
        for free in &self.free_ranges {
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
            // SAFETY: both blocks are at least that long, and they do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(old, new, layout.size()) };
        }
        new
    }
}

/// Releases the stack memory that was used during the start and that an idle manager does not need.
pub fn release_stack() {
    /// The size of the part of the stack that is released, in bytes: more than any start uses.
    const RELEASED_STACK_SIZE: usize = 128 * 1024;
    /// The size of the part of the stack below the current frame that is kept, in bytes: more than the call of
    /// madvise(2) uses.
    const KEPT_STACK_SIZE: usize = 256;
    let here = 0u8;
    // SAFETY: getauxval only reads what the kernel left at the start. The page size is 4 KiB on most machines and up to
    // 64 KiB on some boards; the kernel releases whole pages only.
    let page = usize::try_from(unsafe { libc::getauxval(libc::AT_PAGESZ) }).unwrap_or(0);
    // Keep `KEPT_STACK_SIZE` bytes below this frame, because the call of madvise(2) uses them.
    let to = (&raw const here as usize).saturating_sub(KEPT_STACK_SIZE) & page.wrapping_neg();
    let from = to.saturating_sub(RELEASED_STACK_SIZE);
    // SAFETY: the stack grows down, so nothing below that address is still needed; unmapped pages are ignored.
    let _ = unsafe { rustix::mm::madvise(from as *mut _, to - from, rustix::mm::Advice::LinuxDontNeed) };
}
