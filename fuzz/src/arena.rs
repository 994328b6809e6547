//! An allocator that frees all memory of a fuzz target at once, before the next input. vsrun never frees the words of a
//! command line (logic/base/cstr.rs). That is right for a process that parses one command line, but a fuzz target
//! parses millions of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

const SIZE: usize = 64 << 20;

#[repr(align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: only the one thread that runs the target allocates from it.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);
static IS_TARGET_RUNNING: AtomicBool = AtomicBool::new(false);

struct Arena;

#[global_allocator]
static ARENA: Arena = Arena;

/// Runs a target with one input. The next call reuses the memory that the target allocated, so none of it may outlive
/// the target.
pub fn run_in_arena(target: fn(&[u8]), data: &[u8]) {
    USED.store(0, Relaxed);
    IS_TARGET_RUNNING.store(true, Relaxed);
    target(data);
    IS_TARGET_RUNNING.store(false, Relaxed);
}

// SAFETY: a piece is handed out once between two resets, is aligned, and lies within the memory; everything else is the
// system's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_TARGET_RUNNING.load(Relaxed) {
            let start = USED.load(Relaxed).next_multiple_of(layout.align());
            if layout.align() <= 4096 && start + layout.size() <= SIZE {
                USED.store(start + layout.size(), Relaxed);
                // SAFETY: within the memory, as was just seen.
                return unsafe { MEMORY.0.get().cast::<u8>().add(start) };
            }
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let start = MEMORY.0.get().addr();
        if !(start..start + SIZE).contains(&pointer.addr()) {
            // SAFETY: not ours, so the system's.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}
