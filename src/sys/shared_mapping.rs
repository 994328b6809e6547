//! Shared memory in which a child writes an environment, or the text of an error, for its parent. The child may
//! allocate memory and block; the parent may not.

use core::ffi::{CStr, c_char};
use core::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::{Errno, Result};

/// The size of the mapping, in bytes: as much as execve(2) accepts for arguments and environment with the usual stack
/// limit of 8 MiB. Pages that are not touched cost nothing.
const MAPPING_SIZE: usize = 2 << 20;
/// The size of a machine word, in bytes. The mapping begins with the number of strings, and the table of pointers to
/// them follows.
const MACHINE_WORD_SIZE: usize = size_of::<usize>();

/// A mapping that is shared with a child. It begins with a machine word: the number of the strings, or the length of
/// the text in bytes.
pub struct SharedMapping(*mut u8);

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no borrow of it is left.
        let _ = unsafe { munmap(self.0.cast(), MAPPING_SIZE) };
    }
}

impl SharedMapping {
    /// Creates a mapping with all bytes zero.
    ///
    /// # Errors
    /// ENOMEM when there is no memory.
    pub fn new() -> Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, wherever the kernel likes.
        Ok(Self(unsafe { mmap_anonymous(ptr::null_mut(), MAPPING_SIZE, access, MapFlags::SHARED) }?.cast()))
    }

    /// Writes strings and a table of pointers to them, with room for the given number of further pointers. The mapping
    /// is at the same address in parent and child, so the pointers are valid in both.
    ///
    /// # Errors
    /// E2BIG when the strings do not fit.
    pub fn write_words(&self, words: &[&CStr], spare_pointers: usize) -> Result<()> {
        let mut at = MACHINE_WORD_SIZE * (1 + words.len() + spare_pointers + 1);
        let length: usize = words.iter().map(|word| word.count_bytes() + 1).sum();
        if at + length > MAPPING_SIZE {
            return Err(Errno::TOOBIG);
        }
        for (place, word) in words.iter().enumerate() {
            let bytes = word.to_bytes_with_nul();
            let text = self.0.wrapping_add(at);
            // SAFETY: the words fit, as was just computed, and the mapping is another piece of memory.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), text, bytes.len()) };
            // SAFETY: the table has a place for each word.
            unsafe { self.pointer_table().wrapping_add(place).write(text.cast()) };
            at += bytes.len();
        }
        self.set_count_or_length(words.len());
        Ok(())
    }

    /// Writes a text, cut off at the size of the mapping. [`Self::text`] returns it.
    pub fn write_text(&self, text: &[u8]) {
        let length = text.len().min(MAPPING_SIZE - MACHINE_WORD_SIZE);
        // SAFETY: the text is cut off at the size of the mapping.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.0.wrapping_add(MACHINE_WORD_SIZE), length) };
        self.set_count_or_length(length);
    }

    /// The text that [`Self::write_text`] has written.
    pub fn text(&self) -> &[u8] {
        let length = self.count_or_length().min(MAPPING_SIZE - MACHINE_WORD_SIZE);
        // SAFETY: it is in the mapping, and the child that wrote it has exited.
        unsafe { core::slice::from_raw_parts(self.0.wrapping_add(MACHINE_WORD_SIZE), length) }
    }

    /// The table of pointers to the strings.
    pub(super) fn pointer_table(&self) -> *mut *const c_char {
        // The mapping begins at a page boundary, so the table is aligned.
        self.0.wrapping_add(MACHINE_WORD_SIZE).cast()
    }

    /// Writes pointers after those of the table's strings, and a null pointer at the end. The table has room for them.
    pub(super) fn append_pointers(&self, more: impl Iterator<Item = *const c_char>) {
        for (place, pointer) in (self.count_or_length()..).zip(more.chain([ptr::null()])) {
            // SAFETY: `write_words` has left room for as many pointers as the array has slots.
            unsafe { self.pointer_table().wrapping_add(place).write(pointer) };
        }
    }

    fn count_or_length(&self) -> usize {
        // SAFETY: the mapping begins with this number.
        unsafe { self.0.cast::<usize>().read() }
    }

    fn set_count_or_length(&self, number: usize) {
        // SAFETY: the mapping begins with this number.
        unsafe { self.0.cast::<usize>().write(number) };
    }
}
