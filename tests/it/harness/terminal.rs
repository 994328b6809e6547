//! A terminal that the started program has for its descriptors 0-2.

use super::{Call, sys};
use std::fs::File;
use std::os::fd::AsRawFd;

pub struct Terminal {
    /// Where a person would sit. While it is open, no process at the other side gets a hang-up.
    pub person: File,
}

impl Call<'_> {
    /// Runs as the leader of a session, with a new terminal as its controlling one and as its descriptors 0-2.
    pub fn on_terminal(self) -> (Self, Terminal) {
        let (person, program) = sys::pseudo_terminal();
        let fd = program.as_raw_fd();
        let call = self.before(move || {
            sys::set_session()?;
            sys::take_terminal(fd)?;
            (0..3).try_for_each(|standard| sys::duplicate(program.as_raw_fd(), standard))
        });
        (call, Terminal { person })
    }
}
