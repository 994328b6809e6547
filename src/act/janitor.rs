//! One who keeps the right to undo, until the server has been started: the server's own process has lost it by the
//! time its exec fails.

use std::os::fd::{AsFd, OwnedFd};

use crate::act::claims::Claims;
use crate::act::say::failed;
use crate::decide::error::Result;
use crate::decide::exit;
use crate::sys::fd;
use crate::sys::process::{self, Forked};
use crate::sys::wait::{self, Mask};

/// It is nobody's child, so that the server will not find it among its own.
pub struct Janitor {
    order: OwnedFd,
    done: OwnedFd,
}

impl Janitor {
    /// Hires one who will undo these on order.
    ///
    /// # Errors
    /// When the kernel has no process or no descriptor to give.
    #[inline(never)]
    pub fn hire(claims: &Claims) -> Result<Self> {
        let fail = |why| failed(format_args!("cannot prepare for a failure"), why);
        let (orders, order) = fd::pipe().map_err(fail)?;
        let (done, doing) = fd::pipe().map_err(fail)?;
        match process::fork().map_err(fail)? {
            Forked::Parent(pid) => {
                let _ = process::reap(pid);
                Ok(Self { order, done })
            }
            Forked::Child => {
                let _ = wait::mask(Mask::All);
                if let Ok(Forked::Child) = process::fork() {
                    drop(order);
                    // The end without an order: the exec has gone well.
                    if fd::read_full(orders.as_fd(), &mut [0]).is_ok_and(|count| count == 1) {
                        claims.undo_files();
                        drop(doing);
                        // The end of the one who gave the order: it may be in the control group.
                        let _ = fd::read_full(orders.as_fd(), &mut [0]);
                        claims.undo_group();
                    }
                }
                process::leave(exit::OK)
            }
        }
    }

    /// Gives the order, and waits until it is done.
    pub fn clean_up(self) {
        let _ = fd::write_all(self.order.as_fd(), b"!");
        let _ = fd::read_full(self.done.as_fd(), &mut [0]);
    }
}
