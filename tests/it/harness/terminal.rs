//! A pseudo-terminal on descriptors 0-2 of the program under test.

use super::{Call, sys};
use std::fs::File;
use std::os::fd::AsRawFd;

pub struct Terminal {
    /// The master of the pseudo-terminal, for keyboard input and screen output. While it is open, processes on the
    /// terminal get no SIGHUP.
    pub master: File,
}

impl Call<'_> {
    /// Makes the program the leader of a new session, with a new controlling terminal that is also on its descriptors
    /// 0-2.
    pub fn on_terminal(self) -> (Self, Terminal) {
        let (person, program) = sys::pseudo_terminal();
        let fd = program.as_raw_fd();
        let call = self.before(move || {
            sys::set_session()?;
            sys::take_terminal(fd)?;
            (0..3).try_for_each(|standard| sys::duplicate(program.as_raw_fd(), standard))
        });
        (call, Terminal { master: person })
    }
}
