//! Landlock: turns the options into rules about what the server may access. See landlock(7).
//!
//! The constants have the values of linux/landlock.h. The kernel refuses a *handled* right unless a rule allows it. If
//! an option names a path, the rule set handles all rights to files that both Linux 6.10 and the running kernel know,
//! so that it is never weaker than the options say.

use alloc::vec::Vec;

use super::step::Step;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;
use crate::logic::cli::flags::Id;
use crate::logic::plan::landlock_rules::{BIND_TCP, CONNECT_TCP, HandledRights, PathAccess, Rule, file_right};

/// The bit of the Landlock scope for abstract Unix sockets.
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
/// The bit of the Landlock scope for signals.
const SCOPE_SIGNAL: u64 = 2;

/// The options that name a path, and the access that each allows.
const PATH_OPTIONS: [(Id, PathAccess); 4] =
    [(Id::Ro, PathAccess::Ro), (Id::Rox, PathAccess::Rox), (Id::Rw, PathAccess::Rw), (Id::Rwx, PathAccess::Rwx)];

/// The confinement that the options request.
#[derive(Debug, Default)]
pub struct Confinement {
    rules: Vec<Rule>,
    /// The TCP directions that are confined, as bits ([`BIND_TCP`] and [`CONNECT_TCP`]).
    confined_tcp_directions: u64,
    /// The TCP directions in which no port at all is allowed, as bits ([`BIND_TCP`] and [`CONNECT_TCP`]).
    forbidden_tcp_directions: u64,
    scope: u64,
    /// Why [`Self::add_option_value`] has refused the last value. None if it accepted that value.
    pub refusal: Option<Reason>,
}

/// The kernel's support for Landlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LandlockSupport {
    /// Not queried, because no option needs Landlock.
    #[default]
    NotQueried,
    /// The kernel supports this version of Landlock's interface (ABI).
    Abi(u32),
    /// The kernel has no Landlock: the system call does not exist (ENOSYS).
    Missing,
    /// Landlock was not enabled when the kernel was booted.
    Disabled,
    /// The kernel refused the system call, for example because of a seccomp filter.
    Refused,
}

impl Confinement {
    /// Adds the value of an option about Landlock. Returns false if it is malformed; `refusal` is then the reason.
    pub fn add_option_value(&mut self, option: Id, value: &[u8]) -> bool {
        self.refusal = if option == Id::Scope { self.add_scopes(value) } else { self.add_rule(option, value) };
        self.refusal.is_none()
    }

    #[inline(never)]
    fn add_rule(&mut self, option: Id, value: &[u8]) -> Option<Reason> {
        let rule = if let Some((_, reach)) = PATH_OPTIONS.iter().find(|(id, _)| *id == option) {
            Rule::Path(*reach, leak_cstr(value.to_vec()))
        } else {
            let direction = if option == Id::BindTcp { BIND_TCP } else { CONNECT_TCP };
            match self.parse_port_or_none(direction, value) {
                Ok(port) => Rule::Port(direction, port),
                Err(refusal) => return refusal,
            }
        };
        /// The largest number of rules. Each rule is a step of the plan, and a child reports a failed step by its
        /// index, which is one byte.
        const MAX_RULES: usize = 192;
        self.rules.push(rule);
        (self.rules.len() > MAX_RULES).then_some(Reason::TooManyRules)
    }

    /// Parses the value of `--bind-tcp` or `--connect-tcp`, and adds its direction ([`BIND_TCP`] or [`CONNECT_TCP`])
    /// to the confined ones.
    ///
    /// # Errors
    /// The reason why the value is malformed; None for the value `none`, which is valid but adds no rule.
    fn parse_port_or_none(&mut self, direction: u64, value: &[u8]) -> core::result::Result<u16, Option<Reason>> {
        let before = self.confined_tcp_directions & direction != 0;
        self.confined_tcp_directions |= direction;
        if value == b"none" {
            self.forbidden_tcp_directions |= direction;
            return Err(before.then_some(Reason::NoneAndPort));
        }
        if self.forbidden_tcp_directions & direction != 0 {
            return Err(Some(Reason::NoneAndPort));
        }
        let port = parse_number(value).and_then(|number| u16::try_from(number).ok());
        port.filter(|port| *port > 0).ok_or(Some(Reason::NotAPort))
    }

    fn add_scopes(&mut self, value: &[u8]) -> Option<Reason> {
        for name in split_byte(value, b',') {
            self.scope |= match name {
                b"signal" => SCOPE_SIGNAL,
                b"abstract" => SCOPE_ABSTRACT_UNIX_SOCKET,
                _ => return Some(Reason::NotAScope),
            };
        }
        None
    }

    /// True if an option requests any confinement.
    pub fn is_requested(&self) -> bool {
        self.confined_tcp_directions | self.scope != 0 || !self.rules.is_empty()
    }

    /// True if the server cannot connect to abstract Unix sockets of processes outside of its own confinement.
    pub fn hides_abstract_sockets(&self) -> bool {
        self.scope & SCOPE_ABSTRACT_UNIX_SOCKET != 0
    }

    /// The steps that confine the process, in order. `work_dir` is the value of `--work-dir`.
    ///
    /// # Errors
    /// If the kernel does not support all that the options request.
    pub fn steps(&self, kernel: LandlockSupport, work_dir: Option<StaticCStr>) -> Result<Vec<Step>> {
        if !self.is_requested() {
            return Ok(Vec::new());
        }
        let has_paths = self.rules.iter().any(|rule| matches!(rule, Rule::Path(..)));
        let (needed, problem) = match (self.scope, self.confined_tcp_directions) {
            (0, 0) => (3, Problem::PathsNeed),
            (0, _) => (4, Problem::PortsNeed),
            _ => (6, Problem::ScopeNeeds),
        };
        let why = match kernel {
            LandlockSupport::Abi(abi) if abi >= needed => {
                let device = if abi >= 5 { file_right::IOCTL_DEV } else { 0 };
                let file_rights = if has_paths { file_right::ALL_UP_TO_ABI_3 | device } else { 0 };
                let handled =
                    HandledRights { file_rights, tcp_rights: self.confined_tcp_directions, scope: self.scope };
                // The steps are added in a loop, because chained iterators add 700 bytes to the binary.
                let mut steps = vec![Step::CreateLandlockRuleset(handled)];
                for rule in &self.rules {
                    steps.push(Step::AddLandlockRule(*rule, handled.file_rights));
                }
                steps.push(Step::LandlockRestrictSelf);
                if let Some(dir) = work_dir.filter(|_| handled.file_rights != 0) {
                    steps.push(Step::VerifyLandlockCwd(dir));
                }
                return Ok(steps);
            }
            LandlockSupport::Abi(_) | LandlockSupport::NotQueried => Reason::OlderKernel,
            LandlockSupport::Missing => Reason::NoLandlock,
            LandlockSupport::Disabled => Reason::LandlockDisabled,
            LandlockSupport::Refused => Reason::SeccompRefuses,
        };
        Err(Error::new(problem).with_reason_arg(why))
    }
}

#[cfg(test)]
mod tests;
