//! The descriptors that the event loop polls while it sleeps, and what is read from each of them.

use std::os::fd::{AsFd, BorrowedFd};

use super::readiness::{Readiness, ReadyPipe};
use super::reap::POLL_INTERVAL;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::error::Error;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::time::{Time, earliest};
use crate::logic::supervisor::event::Event;
use crate::runtime::report::log::Priority;
use crate::runtime::start::outcome::StartOutcome;
use crate::sys::poll::{self, PollSet};

/// A descriptor that the event loop polls.
#[derive(Clone, Copy)]
enum PolledSource {
    /// The signalfd, for the signals that vsrun receives.
    Signals,
    /// The pidfd of a server process.
    ServerExit(ProcessSlot),
    /// The pidfd of the crash handler.
    HandlerExit,
    /// The pipe with the output of the crash handler.
    HandlerOutput,
    /// The pipe in which a started child reports a failed step, and which a successful execve(2) closes.
    StartOutcome(ProcessSlot),
    /// The pipe of `--ready fd:N`.
    ReadyPipe(ProcessSlot),
    /// The notify socket of a server process.
    NotifyMessage(ProcessSlot),
}

/// All sources, in the order in which they are read.
const SOURCES: [PolledSource; 11] = [
    PolledSource::Signals,
    PolledSource::ServerExit(ProcessSlot::Server),
    PolledSource::ServerExit(ProcessSlot::Second),
    PolledSource::HandlerExit,
    PolledSource::HandlerOutput,
    PolledSource::StartOutcome(ProcessSlot::Server),
    PolledSource::ReadyPipe(ProcessSlot::Server),
    PolledSource::NotifyMessage(ProcessSlot::Server),
    PolledSource::StartOutcome(ProcessSlot::Second),
    PolledSource::ReadyPipe(ProcessSlot::Second),
    PolledSource::NotifyMessage(ProcessSlot::Second),
];
/// The positions in `SOURCES` of the pipes that report the outcome of a start, as a bit mask. The child may write a
/// failed step at any time, but the pipe is read only after the child has closed it, so that the event loop never waits
/// for more bytes.
#[allow(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const START_OUTCOME_MASK: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < SOURCES.len() {
        if matches!(SOURCES[at], PolledSource::StartOutcome(_)) {
            bits |= 1 << at;
        }
        at += 1;
    }
    bits
};

impl Supervisor<'_> {
    /// Sleeps until a source is readable or a deadline has come, and reads from the readable sources up to one event.
    #[inline(never)]
    pub fn sleep_and_read(&mut self, now: Time) -> Option<Event> {
        // Some exits send no SIGCHLD to vsrun, for example those of other processes' children. They are polled for.
        let polls = self.awaits_remaining()
            || self.has_kept_zombie()
            || self.state.second.descendants_were_sent_kill().is_some();
        let poll_at = polls.then(|| now.after(POLL_INTERVAL));
        let wake = earliest(&[self.config.readiness.notify_read_pause_end(now), self.next_wake_time(now), poll_at]);
        let mut set = self.poll_set(now);
        self.exits_pending |= polls;
        let mut readable = loop {
            let readable = set.wait(wake.map(|wake| wake.since(now).0));
            self.signals_pending |= readable & 1 != 0;
            if readable != 1 || self.exits_pending {
                break readable;
            }
            // Only the signalfd is readable, usually for a signal to forward. Handle it at once. If no event follows
            // and there is no deadline, sleep again with the same set.
            let event = self.next_signal();
            if event.is_some() || self.exits_pending || wake.is_some() {
                return event;
            }
        };
        let has_signal = readable & 1 != 0;
        while let Some(source) = SOURCES.get(readable.trailing_zeros() as usize) {
            readable &= readable - 1;
            // If a signal is pending, it is usually SIGCHLD, and reading it sets `exits_pending`.
            self.exits_pending |=
                !has_signal && matches!(source, PolledSource::ServerExit(_) | PolledSource::HandlerExit);
            let event = self.read_source(*source, now);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Reads from a source that became readable. Signals are read by `next_signal`.
    #[inline(never)]
    fn read_source(&mut self, source: PolledSource, time: Time) -> Option<Event> {
        match source {
            PolledSource::Signals => None,
            PolledSource::ServerExit(slot) => {
                self.process_mut(slot).iter_mut().for_each(|child| child.exit_watch.on_readable(time));
                None
            }
            PolledSource::HandlerExit => {
                self.config.crash_handler.iter_mut().for_each(|handler| handler.exit_watch.on_readable(time));
                None
            }
            PolledSource::HandlerOutput => {
                self.config.crash_handler.iter_mut().for_each(|handler| handler.output.read(&self.config.log));
                None
            }
            PolledSource::StartOutcome(slot) => self.read_start_outcome(slot),
            PolledSource::ReadyPipe(slot) => self.read_ready_pipe(slot),
            PolledSource::NotifyMessage(slot) => self.read_notify_messages(slot),
        }
    }

    /// The descriptors of all sources, for ppoll(2). Not inlined, so that a sleeping supervisor uses little stack.
    #[inline(never)]
    fn poll_set(&self, now: Time) -> PollSet {
        PollSet::new(&SOURCES.map(|source| self.descriptor(source, now)), START_OUTCOME_MASK)
    }

    /// The descriptor of a source, if it exists and is to be read now.
    fn descriptor(&self, source: PolledSource, now: Time) -> Option<BorrowedFd<'_>> {
        match source {
            PolledSource::Signals => Some(self.config.signals.as_fd()),
            PolledSource::ServerExit(slot) => self.process(slot)?.exit_watch.fd(),
            PolledSource::HandlerExit => self.config.crash_handler.as_ref()?.exit_watch.fd(),
            PolledSource::HandlerOutput => self.config.crash_handler.as_ref()?.output.fd(),
            PolledSource::StartOutcome(slot) => self.process(slot)?.exec_pipe.as_ref().map(AsFd::as_fd),
            PolledSource::ReadyPipe(slot) => self.process(slot)?.ready_pipe.as_ref().map(AsFd::as_fd),
            PolledSource::NotifyMessage(slot) => self.config.readiness.notify_socket_to_poll(slot, now),
        }
    }

    /// Reads the outcome of a start from its pipe: a failed step, or end of file after a successful exec. Returns
    /// `Ready` if the exec makes the server ready.
    #[inline(never)]
    fn read_start_outcome(&mut self, slot: ProcessSlot) -> Option<Event> {
        let child = self.process_mut(slot).as_mut()?;
        let pid = child.pid;
        match StartOutcome::await_end(&child.exec_pipe.take()?) {
            start @ (StartOutcome::Done | StartOutcome::WithoutPidfile) => {
                if child.before_command.is_some() {
                    return None;
                }
                if matches!(start, StartOutcome::WithoutPidfile) && slot == ProcessSlot::Server {
                    self.write_pidfile(pid);
                }
                self.note_process(Priority::Info, Note::Started, pid);
                self.begin_probes(slot);
                matches!(self.config.readiness, Readiness::Exec).then_some(Event::Ready)
            }
            // A failed start becomes the event `ExecFailed` only when the process has exited.
            StartOutcome::Failed(failure) => {
                child.failure = Some(failure);
                None
            }
            StartOutcome::Killed => None,
        }
    }

    /// Reads what the server wrote to the pipe of `--ready fd:N`.
    fn read_ready_pipe(&mut self, slot: ProcessSlot) -> Option<Event> {
        let child = self.process_mut(slot).as_mut()?;
        let event = ReadyPipe::read(&mut child.ready_pipe)?;
        // The pipe also closes if the exec fails. Then the failed step is reported instead.
        let unready = matches!(event, Event::NotReady);
        if unready && (child.failure.is_some() || child.exec_pipe.is_some()) {
            return None;
        }
        if unready && self.is_first_start() {
            self.start_error = Some(Error::new(Problem::ClosedUnready));
        }
        Some(slot.event_of_process(event))
    }

    /// Reads one event that the process in this slot has reported and that has not been read yet.
    pub fn read_pending_event(&mut self, slot: ProcessSlot) -> Option<Event> {
        // A process may hang before its exec. So its pipe is read only if the write end is closed: the read would wait.
        let pipe = self.process(slot).and_then(|child| child.exec_pipe.as_ref());
        let has_ended = pipe.is_some_and(|pipe| poll::wait_for_close(pipe.as_fd(), 0));
        let start = if has_ended { self.read_start_outcome(slot) } else { None };
        start.or_else(|| self.read_ready_pipe(slot)).or_else(|| self.read_notify_messages(slot))
    }
}
