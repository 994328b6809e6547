//! Reaps children that have exited: server processes, the crash handler, helpers, probes, orphans.

use super::descendants::{self};
use super::exit_watch::{ExitWatch, hidden_exit};
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::error::MessageArg;
use crate::logic::base::exit::Exit;
use crate::logic::base::note::Note;
use crate::logic::base::time::{Span, Time, earliest};
use crate::logic::supervisor::event::{Event, Recipient};
use crate::logic::supervisor::state::Phase;
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::start::deliver;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::process::{self, Pid};

/// Poll interval for processes whose exit sends no SIGCHLD to vsrun.
pub const POLL_INTERVAL: Span = Span::millis(100);
/// The maximum number of events that are read after the server has exited, because other processes of its user could
/// send notify messages without end.
const EVENTS_AT_EXIT: usize = 64;

impl Supervisor<'_> {
    /// Handles one child that has exited.
    #[inline(never)]
    pub fn reap(&mut self) -> Reaped {
        let Some(pid) = process::exited_child() else { return Reaped::None };
        let mut kept = [None; 2];
        for (kept, slot) in kept.iter_mut().zip([ProcessSlot::Server, ProcessSlot::Second]) {
            let Some(own) = self.unreaped_pid(slot) else { continue };
            // waitid(2) always reports the same one of two zombies. So during a replacement, each server process is
            // checked by its pid.
            if own == pid || (self.second.is_some() && process::has_exited(own)) {
                let reaped = self.on_server_process_exit(slot, own);
                if !matches!(reaped, Reaped::None) {
                    return reaped;
                }
                *kept = Some(own);
            }
        }
        if kept.contains(&Some(pid)) { self.reap_other_children() } else { self.reap_other_child(pid) }
    }

    /// The pid of the process in this slot, if it has not been reaped.
    pub fn unreaped_pid(&mut self, slot: ProcessSlot) -> Option<Pid> {
        self.process_mut(slot)
            .as_ref()
            .filter(|child| child.uptime.is_none() || child.is_kept_zombie)
            .map(|child| child.pid)
    }

    /// Handles the exit of a server process: reaps it or, while other processes of its group are alive, keeps it as a
    /// zombie. Returns `Reaped::None` if it is already kept and they are still alive.
    fn on_server_process_exit(&mut self, slot: ProcessSlot, pid: Pid) -> Reaped {
        // First handle the messages that the process sent before its exit.
        if let Some(event) = self.read_ready_at_exit(slot) {
            return Reaped::Event(event);
        }
        if !self.must_keep_zombie(slot, pid) {
            return self.reap_server_process(slot, pid);
        }
        if self.process_mut(slot).as_ref().is_some_and(|child| child.is_kept_zombie) {
            return Reaped::None;
        }
        self.on_exit_before_reap(slot);
        Reaped::Event(slot.event_of_process(Event::LeaderExited))
    }

    /// Reads what a server process wrote before its exit. Returns the event if it became ready.
    fn read_ready_at_exit(&mut self, slot: ProcessSlot) -> Option<Event> {
        for _ in 0..EVENTS_AT_EXIT {
            let event = self.read_pending_event(slot)?;
            if event == slot.event_of_process(Event::Ready) {
                return Some(event);
            }
        }
        None
    }

    /// Reaps children other than server processes while the zombie of a server process is kept, so that the number of
    /// its group is not reused. waitid(2) always reports that zombie first, so the others are looked for in /proc: at
    /// intervals and in limited numbers, because a group that forks in a loop would otherwise keep vsrun busy.
    fn reap_other_children(&mut self) -> Reaped {
        let (from, due) = self.orphan_search_offset_and_time;
        let time = now();
        if time < due {
            return Reaped::None;
        }
        let mut pids = [0; 64];
        // The server processes are excluded, because `reap` handles their exits.
        let server_pids = [self.unreaped_pid(ProcessSlot::Server), self.unreaped_pid(ProcessSlot::Second)];
        let (count, next) = descendants::find_exited_children(server_pids, from, &mut pids);
        for pid in pids.iter().take(count) {
            // Return the event of this child at once. The next call searches the same part of /proc again, and finds
            // the other children.
            if let Reaped::Event(event) = self.reap_other_child(Pid::new(*pid)) {
                self.orphan_search_offset_and_time = (from, time);
                return Reaped::Event(event);
            }
        }
        self.orphan_search_offset_and_time =
            (next.unwrap_or(0), if next.is_some() { time } else { time.after(POLL_INTERVAL) });
        if next.is_some() { Reaped::CheckAgain } else { Reaped::None }
    }

    fn reap_other_child(&mut self, pid: Pid) -> Reaped {
        self.kill_probe_group(pid);
        let Ok((word, _)) = process::reap(pid) else { return Reaped::None };
        let exit = Exit::from_wait(word);
        self.config.readiness.forget_message_fd_closer(pid);
        if let Some(event) = self.on_probe_exit(pid, exit) {
            return Reaped::Event(event);
        }
        if self.config.crash_handler.as_ref().is_some_and(|handler| handler.pid() == Some(pid)) {
            return self.on_handler_exit(exit);
        }
        if let Some(name) = self.config.output.on_exit(pid, now()) {
            self.note(Priority::Warning, Note::LogChildEnded, &[MessageArg::Raw(name), MessageArg::Exit(exit)]);
        } else if self.config.personality.records_orphans {
            self.note_process(Priority::Warning, Note::Reaped, pid);
        }
        Reaped::CheckAgain
    }

    /// Handles the exit of the crash handler, whose exit status decides whether the server is restarted.
    fn on_handler_exit(&mut self, exit: Exit) -> Reaped {
        let mut why = ErrorText::new();
        if let Some(handler) = &mut self.config.crash_handler {
            handler.output.read_rest(&self.config.log);
            handler.on_exit(&mut why);
        }
        let note = if exit == Exit::SUCCESS { Note::HandlerAgrees } else { Note::HandlerRefuses };
        self.note(Priority::Notice, note, &[MessageArg::Exit(exit), MessageArg::Raw(why.as_str())]);
        Reaped::Event(Event::HandlerExited(exit))
    }

    /// The time at which the supervisor acts on an exit although a tracer still hides it. None if no exit is hidden.
    pub fn hidden_exit_deadline(&self) -> Option<Time> {
        let [server, second] = [&self.server, &self.second].map(|child| child.as_ref()?.exit_watch.deadline());
        earliest(&[
            server,
            second,
            self.config.crash_handler.as_ref().and_then(|handler| handler.exit_watch.deadline()),
        ])
    }

    /// Handles an exit that a tracer has hidden until `hidden_exit_deadline`. The process is reaped when the tracer
    /// detaches; until then its pid cannot be reused.
    #[inline(never)]
    pub fn act_on_tracer_hidden_exit(&mut self) -> Option<Event> {
        let time = now();
        let due = |exit_watch: &ExitWatch| exit_watch.deadline().is_some_and(|deadline| deadline <= time);
        if let Some(pid) = self
            .config
            .crash_handler
            .as_ref()
            .filter(|handler| due(&handler.exit_watch))
            .and_then(|handler| handler.pid())
        {
            self.note(Priority::Warning, Note::HandlerHidden, &[]);
            return match self.on_handler_exit(hidden_exit(pid)) {
                Reaped::Event(event) => Some(event),
                Reaped::CheckAgain | Reaped::None => None,
            };
        }
        let slot = if self.second.as_ref().is_some_and(|child| due(&child.exit_watch)) {
            ProcessSlot::Second
        } else {
            ProcessSlot::Server
        };
        let child = self.process_mut(slot).as_mut().filter(|child| due(&child.exit_watch))?;
        let pid = child.pid;
        if process::has_exited(pid) {
            // The tracer has just detached, so the process can be reaped.
            (child.exit_watch, self.exits_pending) = (ExitWatch::default(), true);
            return None;
        }
        self.note_process(Priority::Warning, Note::EndHidden, pid);
        if let Some(event) = self.read_ready_at_exit(slot) {
            return Some(event);
        }
        self.on_exit_before_reap(slot);
        self.exit_hidden_by_tracer = true;
        if self.config.policy.signal_scope == Recipient::Group || self.before_command(slot).is_some() {
            // Kill the whole group, because waitid(2) cannot show whether other processes of it are alive. The number
            // of the group is not reused before the process is reaped.
            deliver::kill_group(pid, &self.config.program);
        }
        self.finish_run(slot, pid, hidden_exit(pid))
    }

    /// True if a server process is a zombie that is kept until the rest of its group has exited.
    pub fn has_kept_zombie(&self) -> bool {
        [&self.server, &self.second].into_iter().flatten().any(|child| child.is_kept_zombie)
    }

    /// True if the zombie of a server process has to be kept, because other processes of its group are alive, and the
    /// wait for them is not over.
    fn must_keep_zombie(&mut self, slot: ProcessSlot, pid: Pid) -> bool {
        let was_executed = self
            .process_mut(slot)
            .as_ref()
            .is_some_and(|child| child.failure.is_none() && child.before_command.is_none());
        // The wait for the group has a deadline, because a process can hang in the kernel, or a tracer can hide its
        // exit.
        let given_up = match slot {
            ProcessSlot::Server => {
                matches!(self.state.phase, Phase::StoppingRemaining { killed: true, until: Some(until), .. } if until <= now())
            }
            ProcessSlot::Second => self.state.gave_up_on_second_process(now()),
        };
        was_executed
            && !given_up
            && self.config.policy.signal_scope == Recipient::Group
            && process::has_live_child(Some(pid))
    }

    /// Handles the exit of a server process before it is reaped. The pidfile is emptied now, because after the reaping
    /// another process can get the pid. If a candidate becomes the server, the pidfile names it instead.
    fn on_exit_before_reap(&mut self, slot: ProcessSlot) {
        if let Some(child) = self.process_mut(slot) {
            (child.uptime, child.is_kept_zombie, child.exit_watch) =
                (Some(now().since(child.started)), true, ExitWatch::default());
        }
        if slot == ProcessSlot::Second {
            return;
        }
        let is_candidate = self.state.second.is_candidate();
        if let Some(candidate) = self.second.as_ref().filter(|child| is_candidate && child.before_command.is_none()) {
            return self.write_pidfile(candidate.pid);
        }
        if let [Some(file), _] = self.pidfiles
            && let Err(why) = file.empty()
            // After a failed first start, only the reason of the failure is reported, and the pidfile is removed
            // anyway.
            && !self.is_first_start()
        {
            self.warn(Note::CannotEmptyPidfile, file.path(), why);
        }
    }

    /// Reaps a server process and finishes its run. Other processes of its group have exited if they had to exit first,
    /// or are killed now.
    #[inline(never)]
    fn reap_server_process(&mut self, slot: ProcessSlot, pid: Pid) -> Reaped {
        if self.process_mut(slot).as_ref().is_some_and(|child| !child.is_kept_zombie) {
            self.on_exit_before_reap(slot);
        }
        if self.config.policy.signal_scope == Recipient::Group || self.before_command(slot).is_some() {
            // Kill the other processes of the group. Some may not be children of vsrun, because their parent is alive
            // in another group.
            deliver::kill_group(pid, &self.config.program);
        } else {
            // The last signal is sent before the process is reaped, because afterwards the number of its group can be
            // reused.
            self.signal_group_after_exit(pid);
        }
        let Ok((word, usage)) = process::reap(pid) else { return Reaped::None };
        if let Some(child) = self.process_mut(slot) {
            child.usage = usage;
        }
        self.finish_run(slot, pid, Exit::from_wait(word)).map_or(Reaped::CheckAgain, Reaped::Event)
    }
}

/// What follows from an attempt to reap a child.
pub enum Reaped {
    /// An event, usually the exit of the server, the handler or a probe.
    Event(Event),
    /// No event, but more children may have exited.
    CheckAgain,
    /// No child can be reaped now.
    None,
}
