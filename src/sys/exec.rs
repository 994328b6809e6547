//! execve(2), and the lists of arguments and variables for it.

use crate::sys::Errno;
use crate::sys::last_errno;
use crate::sys::shared_mapping::SharedMapping;
use core::cell::Cell;
use core::ffi::CStr;
use core::ffi::c_char;

/// The arguments or the environment for execve(2), prepared before the fork. Slots at its end have room for
/// strings that differ between starts, such as a variable with the program's own pid.
pub struct ExecArray {
    pub(super) fixed: Vec<&'static CStr>,
    /// The buffers of the slots: strings that differ between starts, such as a variable with the program's own pid.
    /// Each has its full size, with zeros after the string.
    pub(super) slot_buffers: Vec<Vec<Cell<u8>>>,
    pub(super) pointers: Vec<*const c_char>,
    /// The strings that a child has written in place of the fixed ones, if there are any.
    pub(super) fixed_replacement: Option<SharedMapping>,
}

impl ExecArray {
    /// Makes an array of these fixed strings, and of `slots` slots for strings of up to `size` bytes.
    pub fn new(fixed: Vec<&'static CStr>, slots: usize, size: usize) -> Self {
        let slots = (0..slots).map(|_| vec![Cell::new(0); size + 1]).collect::<Vec<_>>();
        let pointers = Vec::with_capacity(fixed.len() + slots.len() + 1);
        let mut words = Self { fixed, slot_buffers: slots, pointers, fixed_replacement: None };
        words.build_pointer_table();
        words
    }

    /// Writes the string of a slot, cut off at the slot's size. An empty slot passes no string to the program.
    /// Allocates nothing.
    pub fn set_slot(&mut self, slot: usize, word: &[u8]) {
        self.overwrite_slot(slot, word);
        self.build_pointer_table();
    }

    /// Overwrites the string of a slot that is not empty. The child calls it after the fork, because the string
    /// contains the child's pid, which was not known before.
    pub fn overwrite_slot(&self, slot: usize, word: &[u8]) {
        let Some((_, room)) = self.slot_buffers.get(slot).and_then(|buffer| buffer.split_last()) else { return };
        let bytes = word.iter().copied().filter(|byte| *byte != 0).chain(core::iter::repeat(0));
        room.iter().zip(bytes).for_each(|(place, byte)| place.set(byte));
    }

    pub(super) fn build_pointer_table(&mut self) {
        let filled = self.slot_buffers.iter().filter(|word| word.first().is_some_and(|byte| byte.get() != 0));
        let filled = filled.map(|word| word.as_ptr().cast());
        if let Some(shared) = &self.fixed_replacement {
            return shared.append_pointers(filled);
        }
        self.pointers.clear();
        self.pointers.extend(self.fixed.iter().map(|word| word.as_ptr()));
        self.pointers.extend(filled);
        self.pointers.push(core::ptr::null());
    }
}

/// Executes another program, without the first `skipped_env` strings of the environment. Returns only on an error.
pub fn exec(path: &CStr, argv: &ExecArray, env: &ExecArray, skipped_env: usize) -> Errno {
    let env = env.pointer_table().wrapping_add(skipped_env.min(env.fixed.len()));
    // SAFETY: both lists end with a null pointer, and point to C strings that the `ExecArray` owns and has not moved.
    unsafe { libc::execve(path.as_ptr(), argv.pointer_table(), env) };
    last_errno()
}

impl ExecArray {
    /// Replaces the fixed strings by those that a child has written, and releases the memory of an earlier replacement.
    /// Allocates nothing.
    pub fn replace_fixed_strings(&mut self, shared: SharedMapping) {
        self.fixed_replacement = Some(shared);
        self.build_pointer_table();
    }

    /// The table of pointers for execve(2).
    pub(super) fn pointer_table(&self) -> *const *const c_char {
        self.fixed_replacement.as_ref().map_or(self.pointers.as_ptr(), |shared| shared.pointer_table().cast_const())
    }

    /// The fixed strings with which the array was made.
    pub fn fixed(&self) -> &[&'static CStr] {
        &self.fixed
    }

    /// The number of strings that can be added to the fixed ones.
    pub fn slot_count(&self) -> usize {
        self.slot_buffers.len()
    }
}
