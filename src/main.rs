//! The entry point of the program. It reads the command line and calls the part of `runtime` that serves the request.

#![no_main]
#![deny(unsafe_code)]

use core::ffi::{c_char, c_int};

use vsrun::logic::base::cstr::StaticCStr;
use vsrun::logic::base::error::{Error, Result};
use vsrun::logic::base::exit;
use vsrun::logic::base::problem::Problem;
use vsrun::logic::cli::args_file::Args;
use vsrun::logic::cli::emulated_tools::{self, ToolName};
use vsrun::logic::cli::flags::Id;
use vsrun::logic::cli::help::{self, Help};
use vsrun::logic::cli::lookup;
use vsrun::logic::cli::options::Options;
use vsrun::logic::cli::parse::{self, Request};
use vsrun::logic::supervisor::policy::AtExit;
use vsrun::runtime::host::system;
use vsrun::runtime::report::log;
use vsrun::runtime::report::os_error::os_error;
use vsrun::runtime::supervise::setup::PreparedSupervisor;
use vsrun::runtime::{catatonit_pause, check, control, init_script, pid1, probe, run, service_file};
use vsrun::sys::stdio::{self, OpenUntil};
use vsrun::sys::{entry, fd, heap};

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// The C entry point. Rust's own start-up code does not suit PID 1: it aborts if the descriptors 0 to 2 are closed and
/// /dev/null is missing, and it ignores SIGPIPE, which the server would inherit.
///
/// # Safety
/// Must be called by the C start-up code only, with the kernel's arguments.
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the entry: its name, and the kernel's argv")]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the C start-up code passes argc and argv as the kernel made them.
    let args = unsafe { entry::arguments(argc, argv) };
    let called = args.first().copied().and_then(ToolName::from_argv0);
    let mut at_exit = None;
    // The supervisor is called from here, and not from `handle_command_line`, so that the stack of the latter can be
    // released.
    let outcome = match handle_command_line(args, called, &mut at_exit) {
        Ok(CommandLineOutcome::Supervise(prepared)) => prepared.run(&mut at_exit),
        Ok(CommandLineOutcome::Done(status)) => Ok(status),
        Err(error) => Err(error),
    };
    let status = log::report_result(outcome, called);
    if let Some(at_exit) = at_exit {
        pid1::shut_down_machine(at_exit);
    }
    status.into()
}

/// The result of `handle_command_line`.
enum CommandLineOutcome {
    /// The request has been served: exit with this status.
    Done(u8),
    /// Start the server and supervise it.
    Supervise(Box<PreparedSupervisor>),
}

#[inline(never)]
fn handle_command_line(
    args: Vec<StaticCStr>,
    called: Option<ToolName>,
    at_exit: &mut Option<AtExit>,
) -> Result<CommandLineOutcome> {
    if entry::gained_rights_at_exec() {
        return Err(Error::new(Problem::SecureMode));
    }
    let until = if called.is_some() { OpenUntil::Exec } else { OpenUntil::Exit };
    stdio::ensure_open(until).map_err(|why| os_error(Problem::OpenStdio, why))?;
    let mut args = Args::new(args);
    loop {
        let mut options = Options::none();
        let request = match called {
            Some(called) => {
                emulated_tools::translate(called, &args.list, &system::inherited_attributes(), &mut options, at_exit)
            }
            None => parse::parse(&args, &mut options, at_exit),
        };
        let status = match request? {
            Request::ArgsFile(unread) => {
                args = system::read_args_file(unread)?;
                continue;
            }
            Request::Help(which @ Help::Usage) => {
                let _ = fd::write_all(fd::standard(2), &help::help(which));
                Ok(exit::USAGE)
            }
            Request::Help(which) => log::print_to_stdout(&help::help(which)),
            Request::Completion => log::print_to_stdout(&lookup::completion_list()),
            Request::Version => log::print_to_stdout(VERSION_TEXT.as_bytes()),
            Request::Text(text) => {
                let _ = fd::write_all(fd::standard(text.descriptor), &text.bytes);
                Ok(text.status)
            }
            Request::WaitForSignal(unhandled) => catatonit_pause::reap_orphans_until_signal(unhandled),
            Request::Control(control) => control::control(&service_file::resolve(control)?),
            Request::Probe(request) => probe::probe(&request),
            Request::InitScript(action) => match init_script::run_action_except_start(action, &mut options)? {
                Some(status) => Ok(status),
                None => {
                    let started = init_script::start_unless_running(&mut options)?;
                    return Ok(started.map_or(CommandLineOutcome::Done(exit::OK), CommandLineOutcome::Supervise));
                }
            },
            Request::Run if options.has(Id::Check) => check::check_start(&mut options),
            Request::Run => return run::run(&mut options).map(CommandLineOutcome::Supervise),
        };
        return status.map(CommandLineOutcome::Done);
    }
}

const VERSION_TEXT: &str = concat!(
    "vsrun ",
    env!("CARGO_PKG_VERSION"),
    "\ncompiled with rustc ",
    env!("VSRUN_RUSTC"),
    "\nrunning on linux ",
    env!("VSRUN_ARCH"),
    "\n"
);
