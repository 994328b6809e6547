//! `--check`: looks for everything that a start would need, and starts, makes and changes nothing.
//!
//! What vsrun itself does at a start is asked about, with vsrun's own rights. What a process does on its way to be a
//! program is done, by a child with the very steps of the plan, which at the end looks at the program and leaves.

use crate::act::launch::{Wires, spawn};
use crate::act::pidfile::{Pidfile, Purpose};
use crate::act::prepared::Prepared;
use crate::act::report::{Aim, FORK, Failure, Places, Start};
use crate::act::run::plan_of;
use crate::act::say::{self, Place, Voice};
use crate::act::sockets::{self, Alone};
use crate::act::{cgroup, deliver, env_dir, logs, ownership, sink, stay, walk};
use crate::decide::error::{Error, Result};
use crate::decide::exit;
use crate::decide::options::Options;
use crate::decide::plan::{Debug, Output, Plan, Stay};
use crate::decide::step::{Rights, Step};
use crate::decide::steps::Program;
use crate::sys::{caps, dir, process, terminal, wait};

/// Says on standard output what would keep a start from going well, a line for each, and ends.
#[inline(never)]
pub fn check(options: &mut Options) -> ! {
    let voice = Voice::new(Place::Plain);
    let mut findings = Findings { status: exit::OK, debug: None };
    wait::reset_dispositions(false);
    if let Some(dir) = options.env_dir
        && !findings.take("", env_dir::read(dir, &mut Vec::new()))
    {
        options.env_dir = None;
        tell(UNKNOWN);
    }
    let plan = planned(&mut findings, options);
    findings.debug = (plan.debug != Debug::Off).then_some(&voice);
    look(&mut findings, options, plan);
    process::leave(findings.status)
}

/// The plan; without the user where that is what keeps it from being made.
#[inline(never)]
fn planned(findings: &mut Findings<'_>, options: &mut Options) -> Plan {
    loop {
        match plan_of(options) {
            Ok(plan) => return plan,
            Err(error) => {
                findings.add("", error);
                tell(UNKNOWN);
                if options.user.take().is_none() {
                    process::leave(findings.status);
                }
            }
        }
    }
}

/// Looks for all that the plan needs.
#[inline(never)]
fn look(findings: &mut Findings<'_>, options: &Options, plan: Plan) {
    findings.take("", walk::check_root(options.root));
    if let Some(group) = &plan.cgroup {
        findings.take("", cgroup::look(group));
    }
    let mut alone = Alone::Unknown;
    findings.take("", sockets::set_aside(&plan.listen).map(drop));
    match stay::pidfiles(&plan) {
        Err(error) => findings.add("", error),
        Ok(pidfiles) => {
            for path in pidfiles.into_iter().flatten() {
                findings.take("", Pidfile::claim(path, Purpose::Look).map(drop));
                alone = Alone::Proved;
            }
        }
    }
    sockets::look(&plan.listen, alone, &mut |error| findings.add("", error));
    warn_of_neighbours(&plan);
    ownership::look(&plan, &mut |error| findings.add("", error));
    let stays = plan.stay.is_some();
    if let Some(Stay { handler: Some(handler), .. }) = plan.stay {
        findings.rehearse("handler: ", handler, b"");
    }
    let mut made = &b""[..];
    match plan.output {
        Output::Same => {}
        Output::Files { dir, rules, .. } => {
            findings.take("", logs::look(dir, rules.owner));
            if dir::about_path(dir).is_err() {
                made = dir.to_bytes().strip_prefix(b"./").unwrap_or(dir.to_bytes());
            }
        }
        Output::Logger(logger, _) => {
            if findings.take("", sink::find(&logger)) {
                findings.rehearse("logger: ", logger, b"");
            }
        }
    }
    if plan.syslog.is_some() && !dir::about_path(c"/dev/log").is_ok_and(|about| about.socket) {
        tell("warning: nobody is at /dev/log for --syslog-usage");
    }
    if stays && deliver::is_unreachable(&plan.server.steps, &plan.server.paths) {
        tell(&format!("warning: {}", deliver::UNREACHABLE));
    }
    findings.rehearse("", plan.server, made);
}

/// What is weaker here than elsewhere, and does not keep a start from going well.
fn warn_of_neighbours(plan: &Plan) {
    if plan.hides_keys && ![1, 2].map(terminal::write_only).iter().all(|is| *is) {
        tell("warning: the terminal cannot be reopened for writing only: the server can read its keys");
    }
    let handler = plan.stay.as_ref().and_then(|stay| stay.handler.as_ref());
    let logger = if let Output::Logger(logger, _) = &plan.output { Some(logger) } else { None };
    let mut steps = handler.into_iter().chain(logger).flat_map(|program| &program.steps);
    if let Some(Step::Rights(Rights::Spare(not_these))) = steps.find(|step| matches!(step, Step::Rights(_)))
        && caps::spare(*not_these).is_none()
    {
        tell("warning: no harmless capability is left for handler and logger: the server can trace them");
    }
}

/// What is said where a finding hides others.
const UNKNOWN: &str = "not checked: what depends on that";

fn tell(text: &str) {
    if let Err(error) = say::out(format!("{text}\n").as_bytes()) {
        process::leave(say::complain(&error));
    }
}

/// What has been found.
struct Findings<'a> {
    status: u8,
    /// Where each step is told.
    debug: Option<&'a Voice>,
}

impl Findings<'_> {
    /// Tells what was found, and by whom. Only wrong usage is none, and ends it all.
    fn add(&mut self, whose: &str, error: Error) {
        if error.code == exit::USAGE {
            process::leave(say::complain(&error));
        }
        // What only could not be checked is no finding.
        if error.code != exit::OK {
            self.status = exit::SETUP;
        }
        tell(&error.at(whose).text);
    }

    /// Whether it went well; if not, that is told.
    fn take(&mut self, whose: &str, result: Result<()>) -> bool {
        result.map_err(|error| self.add(whose, error)).is_ok()
    }

    /// Goes the way to a program; and once more without each step that failed, as long as what follows does not
    /// depend on it. A directory of that name would be made.
    #[inline(never)]
    fn rehearse(&mut self, whose: &str, program: Box<Program>, made: &[u8]) {
        // Whether it is found without the working directory.
        let absolute = program.paths.iter().all(|path| path.to_bytes().starts_with(b"/"));
        let program = Prepared::new(program);
        let mut passed = Places::default();
        loop {
            let wires = Wires { aim: Aim::Look { passed }, debug: self.debug, ..Wires::default() };
            let start = match spawn(&program, &wires) {
                Ok(launched) => {
                    let start = Start::await_in_time(&launched.report, launched.pid, &program);
                    let _ = process::reap(launched.pid);
                    start
                }
                Err(why) => Start::Failed(Failure::new(usize::from(FORK), why)),
            };
            let failure = match start {
                Start::Done | Start::WithoutPidfile => return,
                Start::Killed => return self.add(whose, Error::refused(format_args!("it was killed before it ran"))),
                Start::Failed(failure) => failure,
            };
            let step = failure.step(&program);
            failure.mark(&mut passed);
            if let Some(Step::LogDir(dir)) = step
                && !made.is_empty()
                && dir.to_bytes().ends_with(made)
            {
                continue;
            }
            self.add(whose, failure.error(&program));
            match step {
                Some(Step::Exec(_)) => return,
                Some(Step::Dir(_) | Step::LogDir(_) | Step::ReplacedDir(_)) if absolute => {}
                Some(
                    Step::Root(_)
                    | Step::Dir(_)
                    | Step::LogDir(_)
                    | Step::CallersDir(..)
                    | Step::ReplacedDir(_)
                    | Step::Descriptors
                    | Step::Groups(_)
                    | Step::Gid(_)
                    | Step::Uid(..)
                    | Step::Rights(_)
                    | Step::Proof { .. }
                    | Step::Capabilities(_)
                    | Step::Ruleset(_)
                    | Step::Confine,
                )
                | None => {
                    return tell(UNKNOWN);
                }
                Some(_) => {}
            }
        }
    }
}
