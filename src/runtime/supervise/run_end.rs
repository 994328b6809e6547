//! Records the end of a run of the server, and determines the event that follows.

use super::descendants::{self, FoundProcesses};
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::exit::Exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::time::Span;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::state::{AfterStop, Phase};
use crate::runtime::report::log::Priority;
use crate::runtime::start::before_commands::stopped_by;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::process::Pid;

/// A server that exits with 0 within this uptime, and leaves processes, has put itself into the background.
const MAX_DAEMONIZING_UPTIME: Span = Span::secs(10);

impl Supervisor<'_> {
    /// Records the end of the run and returns its event. Kills the rest of the control group after a command of
    /// `--before`, and after the server unless an option makes the supervisor end the remaining processes. None if a
    /// command ended and the next start follows.
    pub fn finish_run(&mut self, slot: ProcessSlot, pid: Pid, exit: Exit) -> Option<Event> {
        let command = self.before_command(slot);
        if self.config.policy.linger_timeout.is_none() || command.is_some() {
            self.kill_slot_in_cgroup(slot);
        }
        let Some(child) = self.process_mut(slot) else { return Some(slot.event_of_process(Event::Exited(exit))) };
        child.is_kept_zombie = false;
        if let Some(command) = command {
            return self.on_command_exit(slot, command, exit);
        }
        let child = if slot == ProcessSlot::Second { &self.second } else { &self.server };
        let Some(child) = child else { return Some(slot.event_of_process(Event::Exited(exit))) };
        let uptime = child.uptime.unwrap_or_default();
        let Some(failure) = &child.failure else {
            let fails = self.is_first_start()
                || matches!(
                    self.state.phase,
                    Phase::Stopping { next: AfterStop::FailStart, .. }
                        | Phase::StoppingRemaining { next: AfterStop::FailStart, .. }
                );
            let (ended, lived) = (MessageArg::Exit(exit), MessageArg::Duration(SpanDisplay(uptime)));
            self.note(Priority::Notice, Note::Exited, &[MessageArg::Number(pid.number().into()), ended, lived]);
            // A server that puts itself into the background seems to exit at once with 0, and continues unsupervised.
            let by_itself =
                self.second.is_none() && matches!(self.state.phase, Phase::Starting { .. } | Phase::Running);
            let mut found = FoundProcesses::default();
            if by_itself && exit == Exit::SUCCESS && uptime < MAX_DAEMONIZING_UPTIME {
                found = descendants::count_living_descendants(self.config.helper_pids());
            }
            let daemon = found.count > 0;
            if daemon {
                let why = Reason::Daemonizes;
                self.record(Priority::Warning, format_args!("the server has left {found} running{why}"));
            }
            let stopped = self.was_stopped_while_starting();
            if (fails || stopped) && self.start_error.is_none() {
                let error = Error::new(Problem::ExitedUnready).with_arg(MessageArg::Exit(exit));
                let error = if daemon { error.with_reason_arg(Reason::Daemonizes) } else { error };
                self.start_error =
                    Some(if stopped { stopped_by(self.stopped_by).with_arg(MessageArg::Cause(error)) } else { error });
            }
            return Some(slot.event_of_process(Event::Exited(exit)));
        };
        let code = failure.exit_status(&self.config.program);
        if self.is_first_start() {
            // The error of a failed first start goes to vsrun's caller, and is recorded when vsrun exits.
            self.start_error = Some(failure.error(&self.config.program));
        } else {
            let mut text = ErrorText::new();
            let _ = failure.write(&self.config.program, &mut text);
            self.record(Priority::Err, format_args!("{}", text.as_str()));
        }
        Some(slot.event_of_process(Event::ExecFailed(code)))
    }
}
