//! A table that is mapped only while it is used. The manager allocates no memory once its server runs, but still has to
//! read a whole process tree.

use core::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// A row of the table: three numbers, whose meaning the caller defines.
pub type MappedRow = [i32; 3];

/// The sizes of the mapping that are tried, in bytes, until one succeeds. Pages that are not touched cost nothing; with
/// a small address space (RLIMIT_AS) there is room for the last size.
const MAPPING_SIZES: [usize; 3] = [48 << 20, 3 << 20, 192 << 10];

/// The table, in a mapping of its own. Dropping it releases the mapping.
pub struct MappedTable {
    start: *mut MappedRow,
    bytes: usize,
    len: usize,
}

impl MappedTable {
    /// Makes an empty table. None if there is no memory.
    pub fn new() -> Option<Self> {
        MAPPING_SIZES.into_iter().find_map(|bytes| {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new mapping, wherever the kernel likes.
            let start = unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) };
            Some(Self { start: start.ok()?.cast(), bytes, len: 0 })
        })
    }

    /// Appends a row. A row that does not fit is dropped.
    pub fn push(&mut self, row: MappedRow) {
        if self.len < self.bytes / size_of::<MappedRow>() {
            self.len += 1;
            // The pages of a new mapping are zero, so the new row is already initialized.
            if let Some(last) = self.rows().last_mut() {
                *last = row;
            }
        }
    }

    /// The rows of the table.
    pub fn rows(&mut self) -> &mut [MappedRow] {
        // SAFETY: the mapping has room for so many rows, is aligned, initially zero, and used by nothing else.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for MappedTable {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        let _ = unsafe { munmap(self.start.cast(), self.bytes) };
    }
}
