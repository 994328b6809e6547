//! The names in a directory, read without allocation.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fs::RawDir;

use super::Result;
use super::dir::Dir;

impl Dir {
    /// Calls for each name from a place on, as long as it is to go on. Returns the place of what follows; None: that was
    /// all. 0 is the beginning. Allocates nothing.
    ///
    /// # Errors
    /// Those of getdents(2).
    pub fn some(&self, from: u64, act: &mut dyn FnMut(&CStr) -> bool) -> Result<Option<u64>> {
        rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Start(from))?;
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

    /// Calls for each name. Allocates nothing.
    ///
    /// # Errors
    /// Those of getdents(2).
    pub fn each(&self, act: &mut dyn FnMut(&CStr)) -> Result<()> {
        self.some(0, &mut |name| {
            act(name);
            true
        })
        .map(drop)
    }
}
