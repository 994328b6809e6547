//! Landlock: from the options to the rules of what the server may still reach. See landlock(7).
//!
//! The numbers are the kernel's own (linux/landlock.h). A *handled* right is refused unless a rule allows it, so a rule
//! set handles all rights that the running kernel knows, and nothing is weaker than the options say.

use crate::logic::plan::landlock_rules::{BIND, CONNECT, Handled, Reach, Rule, right};
use alloc::vec::Vec;

use super::step::Step;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::split_byte;
use crate::logic::base::time::number;
use crate::logic::cli::flags::Id;

/// Scopes: abstract Unix sockets and signals.
const ABSTRACT: u64 = 1;
const SIGNAL: u64 = 2;

/// Which option allows it.
const REACHES: [(Id, Reach); 4] =
    [(Id::Ro, Reach::Ro), (Id::Rox, Reach::Rox), (Id::Rw, Reach::Rw), (Id::Rwx, Reach::Rwx)];

/// What the options say.
#[derive(Debug, Default)]
pub struct Confinement {
    rules: Vec<Rule>,
    /// The directions that are confined.
    tcp: u64,
    /// The directions for which no port is allowed.
    none: u64,
    scope: u64,
    /// What is wrong with the last value; empty if nothing is.
    pub wrong: &'static str,
}

/// What the kernel offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Not queried, because no option needs it.
    #[default]
    Unasked,
    /// This version of the interface.
    Abi(u32),
    /// The system has no such call.
    Missing,
    /// It was not enabled when the system was booted.
    Disabled,
    /// The call was refused.
    Refused,
}

impl Confinement {
    /// Adds the value of one of the options. False: `wrong` says what is wrong with it.
    pub fn take(&mut self, option: Id, value: &[u8]) -> bool {
        self.wrong = if option == Id::Scope { self.take_scope(value) } else { self.take_rule(option, value) };
        self.wrong.is_empty()
    }

    fn take_rule(&mut self, option: Id, value: &[u8]) -> &'static str {
        let rule = if let Some((_, reach)) = REACHES.iter().find(|(id, _)| *id == option) {
            Rule::Path(*reach, leak_cstr(value.to_vec()))
        } else {
            let direction = if option == Id::BindTcp { BIND } else { CONNECT };
            match self.take_port(direction, value) {
                Ok(port) => Rule::Port(direction, port),
                Err(wrong) => return wrong,
            }
        };
        /// Each rule is a step of the plan, and a step that fails is reported by its place, which is one byte.
        const MOST: usize = 192;
        self.rules.push(rule);
        if self.rules.len() > MOST { "is one rule too many: 192 are allowed" } else { "" }
    }

    /// Reads the value of `--bind-tcp` or `--connect-tcp`.
    ///
    /// # Errors
    /// What is wrong with it; empty for `none`, which is valid.
    fn take_port(&mut self, direction: u64, value: &[u8]) -> core::result::Result<u16, &'static str> {
        let before = self.tcp & direction != 0;
        self.tcp |= direction;
        if value == b"none" {
            self.none |= direction;
            return Err(if before { CONTRADICTION } else { "" });
        }
        if self.none & direction != 0 {
            return Err(CONTRADICTION);
        }
        let port = number(value).and_then(|number| u16::try_from(number).ok());
        port.filter(|port| *port > 0).ok_or(PORT)
    }

    fn take_scope(&mut self, value: &[u8]) -> &'static str {
        for name in split_byte(value, b',') {
            self.scope |= match name {
                b"signal" => SIGNAL,
                b"abstract" => ABSTRACT,
                _ => return "is not a list of signal and abstract",
            };
        }
        ""
    }

    /// Whether there is anything to confine.
    pub fn is_some(&self) -> bool {
        self.tcp | self.scope != 0 || !self.rules.is_empty()
    }

    /// Whether abstract sockets outside cannot be reached.
    pub fn hides_abstract(&self) -> bool {
        self.scope & ABSTRACT != 0
    }

    /// The steps that confine the process, in their order. `work_dir` is that of `--work-dir`.
    ///
    /// # Errors
    /// When the kernel cannot do all of it.
    #[inline(never)]
    pub fn steps(&self, kernel: Kernel, work_dir: Option<StaticCStr>) -> Result<Vec<Step>> {
        if !self.is_some() {
            return Ok(Vec::new());
        }
        let files = self.rules.iter().any(|rule| matches!(rule, Rule::Path(..)));
        let (needed, release, what) = match (self.scope, self.tcp) {
            (0, 0) => (3, "6.2", "--ro, --rox, --rw and --rwx need"),
            (0, _) => (4, "6.7", "--bind-tcp and --connect-tcp need"),
            _ => (6, "6.12", "--scope needs"),
        };
        let why = match kernel {
            Kernel::Abi(abi) if abi >= needed => {
                let device = if abi >= 5 { right::IOCTL_DEV } else { 0 };
                let files = if files { right::ALL | device } else { 0 };
                let handled = Handled { files, tcp: self.tcp, scope: self.scope };
                // Pushed one by one: chained iterators took 700 bytes more.
                let mut steps = vec![Step::Ruleset(handled)];
                for rule in &self.rules {
                    steps.push(Step::Allow(*rule, handled.files));
                }
                steps.push(Step::Confine);
                if let Some(dir) = work_dir.filter(|_| handled.files != 0) {
                    steps.push(Step::Covered(dir));
                }
                return Ok(steps);
            }
            Kernel::Abi(_) | Kernel::Unasked => "this kernel is older",
            Kernel::Missing => "this kernel has no Landlock",
            Kernel::Disabled => "Landlock is not enabled: 'landlock' is missing in lsm= of the kernel's command line",
            Kernel::Refused => "a filter of system calls refuses it",
        };
        Err(Error::setup(format_args!("cannot use Landlock: {what} Linux {release} (ABI {needed}): {why}")))
    }
}

const CONTRADICTION: &str = "is given beside another one: 'none' means no port at all";
const PORT: &str = "is not 'none' or a port of 1 to 65535";

#[cfg(test)]
mod tests;
