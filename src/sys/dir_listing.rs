//! Lists the names in a directory, without allocation.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fs::RawDir;

use super::Result;
use super::dir::Dir;

impl Dir {
    /// Calls `act` for each name, including `.` and `..`, until it returns false. Starts at the given position, where 0
    /// is the beginning. Returns the position after the name for which `act` returned false; None if it did so for no
    /// name. Allocates nothing.
    ///
    /// # Errors
    /// The errors of getdents(2).
    pub fn for_each_name_while(&self, start_position: u64, act: &mut dyn FnMut(&CStr) -> bool) -> Result<Option<u64>> {
        rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Start(start_position))?;
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if !act(entry.file_name()) {
                return Ok(Some(entry.next_entry_cookie()));
            }
        }
        Ok(None)
    }

    /// Calls `act` for each name, including `.` and `..`. Allocates nothing.
    ///
    /// # Errors
    /// The errors of getdents(2).
    pub fn for_each_name(&self, act: &mut dyn FnMut(&CStr)) -> Result<()> {
        self.for_each_name_while(0, &mut |name| {
            act(name);
            true
        })
        .map(drop)
    }

    /// Makes [`Self::list_next_names`] start with the first name again.
    ///
    /// # Errors
    /// The errors of lseek(2).
    pub fn rewind(&self) -> Result<()> {
        rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Start(0)).map(drop)
    }

    /// Calls `act` for the next names: those that the given number of calls of getdents(2) return, with a buffer of
    /// 2 KiB. Returns false if these were the last names; true if there may be more.
    ///
    /// # Errors
    /// The errors of getdents(2).
    pub fn list_next_names(&self, mut getdents_calls: usize, act: &mut dyn FnMut(&CStr)) -> Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        while let Some(entry) = entries.next() {
            act(entry?.file_name());
            if entries.is_buffer_empty() {
                getdents_calls -= 1;
                if getdents_calls == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
