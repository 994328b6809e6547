//! Two counters, which the process can share with the processes that it forks later.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

static OWN_COUNTERS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
static SHARED_COUNTERS: AtomicPtr<[AtomicU32; 2]> = AtomicPtr::new(ptr::null_mut());

/// The shared counters, or the process's own ones if they are not shared.
pub fn shared_or_own() -> &'static [AtomicU32; 2] {
    // SAFETY: the pointer is null, or that of a mapping that is long enough for both and never unmapped.
    unsafe { SHARED_COUNTERS.load(Ordering::Relaxed).as_ref() }.unwrap_or(&OWN_COUNTERS)
}

/// Shares the counters with processes that are forked from now on. If there is no memory for a shared mapping, each
/// process has its own counters.
pub fn share_with_children() {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, wherever the kernel likes.
    if let Ok(page) = unsafe { mmap_anonymous(ptr::null_mut(), 4096, access, MapFlags::SHARED) } {
        let page = page.cast::<[AtomicU32; 2]>();
        // SAFETY: the mapping is long enough for both counters, and is never unmapped.
        let places = unsafe { &*page };
        for (place, own) in places.iter().zip(shared_or_own()) {
            place.store(own.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        SHARED_COUNTERS.store(page, Ordering::Relaxed);
    }
}
