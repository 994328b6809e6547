//! What is done to a process on its way to be the server: one step, one thing, in the order of the plan.

use core::fmt;

use super::attributes::{Capabilities, ResourceLimit};
use super::landlock::{BIND, Handled, Reach, Rule};
use super::retention::Rules;
use super::text::Clean;
use super::word::Word;

/// One thing done to a process. A step that fails is told to the parent by its place in the plan.
///
/// Only tests compare two of them: use `matches!`. The derived comparison would take 1 KB of the binary.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Step {
    /// Enter this control group.
    Cgroup(Word),
    /// No signal blocked (all dispositions have been default since vsrun's own start).
    Signals,
    /// A session and process group of its own, without a terminal.
    Session,
    /// Give up the controlling terminal without a new session.
    Terminal,
    /// Write the pid into this file; keep only a shared lock on a read-only descriptor.
    Pidfile(Word),
    /// Write the pid into this file, which the one who stays keeps locked.
    Number(Word),
    /// A process group of its own in the foreground of the terminal on descriptor 0.
    Foreground,
    /// A process group of its own, in the background of the terminal.
    Group,
    /// The nice value.
    Nice(i32),
    /// What is added to the score by which the kernel chooses when memory is out.
    OomScore(Word),
    /// A limit of a resource.
    Limit(ResourceLimit),
    /// Standard input.
    Input,
    /// Standard output and error.
    Output,
    /// So many sockets from descriptor 3 on, and `LISTEN_PID`.
    Sockets(u16),
    /// Who is watched: `WATCHDOG_PID`.
    Watchdog,
    /// The logdir as working directory, through the descriptor that vsrun has of it.
    LogDir(Word),
    /// The directory that vsrun was called in, from a manager that has left it: its path, and which one it was. By then
    /// another one may have that path; that one is left to the next step.
    CallersDir(Word, (u64, u64)),
    /// The other directory that has that path, entered with the rights of the server.
    ReplacedDir(Word),
    /// Change the root directory.
    Root(Word),
    /// Change the working directory.
    Dir(Word),
    /// See that this working directory is inside of the root: a link to one of our own descriptors, which somebody may
    /// have planted in there, leads out of it (CVE-2024-21626).
    Inside(Word),
    /// Block the signals: the user must not reach the process until the exec.
    BlockSignals,
    /// Leave the caller's session keyring for one of its own.
    Keyring,
    /// Supplementary groups.
    Groups(&'static [u32]),
    /// Real, effective and saved group id.
    Gid(u32),
    /// Real, effective and saved user id.
    Uid(u32, Rights),
    /// No capabilities, neither in force nor inherited.
    Rights(Rights),
    /// Read all of it back, and fail to become root again.
    Proof {
        /// The only user id.
        uid: u32,
        /// The only group id.
        gid: u32,
        /// The supplementary groups, sorted.
        groups: &'static [u32],
    },
    /// Exactly these capabilities, in all five sets.
    Capabilities(Capabilities),
    /// No program gets more rights than it has.
    NoNewPrivileges,
    /// The file mode creation mask.
    Umask(u32),
    /// Close every descriptor above 2 except those that are meant for it.
    Descriptors,
    /// The same at the exec, for a process that has nothing to hide and may still fail.
    SealDescriptors,
    /// The end of a pipe, under the number where the program says that it is ready.
    Ready(i32),
    /// Begin a rule set of Landlock, which handles these rights.
    Ruleset(Handled),
    /// Allow one thing in it. The second value is the rights to files that it handles.
    Allow(Rule, u64),
    /// Confine the process by the rule set, and close it.
    Confine,
    /// See that the rules cover this working directory: in the rehearsal of `--check` only, because a server that does
    /// not use it works all the same.
    Covered(Word),
    /// Become the writer of the server's output.
    Write(Rules),
    /// Become the program. The command is named for people: its path may still have to be found.
    Exec(Word),
}

/// What becomes of the capabilities when root becomes a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// All are gone.
    Gone,
    /// Those that could be had back stay, until some are chosen.
    Stay,
    /// All are gone except a harmless one that is not in this set, which the server has: a process with a capability
    /// that the server does not have cannot be traced by it.
    Spare(u64),
}

impl fmt::Display for Step {
    /// What the step does, to stand behind "cannot".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, what, after) = self.words();
        write!(f, "{before}{what}{after}")
    }
}

/// What a step is done with.
enum What {
    Nothing,
    Text(Word),
    Number(i64),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Text(text) => Clean(text.to_bytes()).fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Step {
    fn words(&self) -> (&'static str, What, &'static str) {
        use What::{Nothing, Number, Text};
        match *self {
            Self::Cgroup(dir) => ("enter cgroup '", Text(dir), "'"),
            Self::Signals => ("unblock the signals", Nothing, ""),
            Self::Session => ("start a session", Nothing, ""),
            Self::Terminal => ("leave the terminal", Nothing, ""),
            Self::Pidfile(path) | Self::Number(path) => ("write pidfile '", Text(path), "'"),
            Self::Foreground => ("take the terminal's foreground", Nothing, ""),
            Self::Nice(value) => ("set the nice value to ", Number(value.into()), ""),
            Self::OomScore(value) => ("set --oom-score-adj to ", Text(value), " in /proc/self/oom_score_adj"),
            Self::Limit(limit) => ("set --limit ", Text(limit.text), ""),
            Self::Input => ("redirect standard input", Nothing, ""),
            Self::Output => ("redirect standard output and error", Nothing, ""),
            Self::Sockets(count) => ("hand over the sockets: ", Number(count.into()), ""),
            Self::Watchdog => ("be watched", Nothing, ""),
            Self::LogDir(dir) | Self::CallersDir(dir, _) | Self::ReplacedDir(dir) => {
                ("change directory to '", Text(dir), "'")
            }
            Self::BlockSignals => ("block the signals", Nothing, ""),
            Self::Keyring => ("join a session keyring of its own", Nothing, ""),
            Self::Group => ("lead a process group", Nothing, ""),
            Self::Root(dir) => ("change root to '", Text(dir), "'"),
            Self::Dir(dir) => ("change directory to '", Text(dir), "'"),
            Self::Inside(dir) => ("prove that '", Text(dir), "' is inside of the root"),
            Self::Groups(_) => ("set the supplementary groups", Nothing, ""),
            Self::Gid(gid) => ("become group ", Number(gid.into()), ""),
            Self::Uid(uid, _) => ("become user ", Number(uid.into()), ""),
            Self::Rights(_) => ("give up the capabilities", Nothing, ""),
            Self::Proof { uid, .. } => ("prove that it is user ", Number(uid.into()), " and nobody else"),
            Self::Capabilities(caps) => ("keep just --caps ", Text(caps.list), ""),
            Self::NoNewPrivileges => ("set --no-new-privs", Nothing, ""),
            Self::Umask(_) => ("set the umask", Nothing, ""),
            Self::Descriptors | Self::SealDescriptors => ("close the descriptors", Nothing, ""),
            Self::Ready(number) => ("open descriptor ", Number(number.into()), " of --ready"),
            Self::Ruleset(_) => ("make a rule set of Landlock", Nothing, ""),
            Self::Allow(Rule::Path(Reach::Ro, path), _) => ("allow --ro '", Text(path), "'"),
            Self::Allow(Rule::Path(Reach::Rox, path), _) => ("allow --rox '", Text(path), "'"),
            Self::Allow(Rule::Path(Reach::Rw, path), _) => ("allow --rw '", Text(path), "'"),
            Self::Allow(Rule::Path(Reach::Rwx, path), _) => ("allow --rwx '", Text(path), "'"),
            Self::Allow(Rule::Port(BIND, port), _) => ("allow --bind-tcp ", Number(port.into()), ""),
            Self::Allow(Rule::Port(_, port), _) => ("allow --connect-tcp ", Number(port.into()), ""),
            Self::Covered(dir) => ("use the working directory '", Text(dir), "'"),
            Self::Confine => ("confine the server with Landlock", Nothing, ""),
            Self::Write(_) => ("write the log", Nothing, ""),
            Self::Exec(command) => ("execute '", Text(command), "'"),
        }
    }
}
