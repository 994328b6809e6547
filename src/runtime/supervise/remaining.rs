//! Ends the processes that are left after the server exited: its process group, its descendants, or both. Sends TERM
//! and later KILL, and waits until they have exited.

use super::config::SupervisorConfig;
use super::descendants::{
    FromOutside, HelperPids, NO_HELPERS, ProcessSweep, TurnResult, count_living_descendants, is_pid1_of_container,
};
use super::reap::POLL_INTERVAL;
use super::send_signals::Resume;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::note::Note;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Event, Recipient};
use crate::logic::supervisor::state::Phase;
use crate::runtime::report::log::Priority;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::start::deliver::{self, Delivery};
use crate::sys::caps;
use crate::sys::process::{self, Pid, SignalTarget};

impl Supervisor<'_> {
    /// True if the server has been reaped and the supervisor waits only for its remaining processes.
    pub fn awaits_remaining(&self) -> bool {
        matches!(
            self.state.phase,
            Phase::DrainingRemaining { .. }
                | Phase::KillingRemaining { .. }
                | Phase::StoppingRemaining { exit: Some(_), .. }
        )
    }

    /// Sends a signal to the remaining processes: at once to a process group or, as PID 1, to all processes. Otherwise,
    /// later calls of `search_remaining` send it to the descendants that they find. KILL also ends the control group.
    #[inline(never)]
    pub fn signal_remaining(&mut self, signal: Signal, to: Recipient) {
        self.sweep = None;
        if signal == Signal::KILL {
            self.kill_slot_in_cgroup(ProcessSlot::Server);
        }
        let child = self.server.as_ref();
        let group = child
            .filter(|child| child.is_kept_zombie && self.config.policy.signal_scope == Recipient::Group)
            .map(|child| child.pid);
        if self.config.policy.linger_timeout.is_some() {
            if let Some(pid) = group.filter(|_| signal == Signal::KILL) {
                // One call of kill(2) kills the whole group before a process can fork. A list of descendants is out of
                // date by the time it is used.
                deliver::kill_group(pid, &self.config.program);
            }
            if group.is_none() && self.none_left_without_search(to) {
                return;
            }
            let foreign = include_outside_processes(to);
            // PID 1 can send a signal to all processes without a list of them: all of them descend from it, unless
            // some entered the container from outside.
            let all_are_ours = to == Recipient::AllProcesses || !is_pid1_of_container();
            // Without CAP_KILL, kill(-1) would skip processes of other users and report success.
            let all = all_are_ours && self.config.helper_pids() == NO_HELPERS && process::is_pid1() && caps::may_kill();
            // While there are two server processes, only those processes get the signal that certainly belong to the
            // server.
            let scope = self.sweep_scope(ProcessSlot::Server);
            let all = all && scope.is_none();
            self.sweep = if all { None } else { ProcessSweep::begin(Some(signal), foreign, scope) };
            if self.sweep.is_some() {
                return;
            }
            if all_are_ours && scope.is_none() && process::signal_all_as_pid1(0) {
                self.record_sending(signal, Note::SendingToAll, None);
                process::signal_all_as_pid1(signal.number());
                if signal != Signal::KILL {
                    process::signal_all_as_pid1(Signal::CONT.number());
                }
            }
        }
        if let Some(pid) = group
            && self.deliver(signal, SignalTarget::Group(pid), Resume::IfStopped) == Delivery::NotRefused
        {
            self.record_sending(signal, Note::SendingToGroup, Some(pid));
        }
    }

    /// Kills every process in the control group. As long as the process in the other slot has not been reaped, kills
    /// only those that certainly belong to the process in this slot.
    pub fn kill_slot_in_cgroup(&mut self, slot: ProcessSlot) {
        let other = if slot == ProcessSlot::Server { ProcessSlot::Second } else { ProcessSlot::Server };
        if self.unreaped_pid(other).is_none() {
            self.config.kill_cgroup();
        } else if self.config.cgroup.is_some() {
            self.sweep = ProcessSweep::begin(Some(Signal::KILL), FromOutside::Excluded, self.sweep_scope(slot));
        }
    }

    /// Does a limited part of the search for remaining processes, if a search is running or due. Returns the event
    /// `NoneLeft` when no process is left.
    #[inline(never)]
    pub fn search_remaining(&mut self, time: Time) -> Option<Event> {
        let rest = self.state.second.descendants_were_sent_kill();
        let awaits_remaining = self.awaits_remaining();
        let none_left =
            if rest.is_some() { ProcessSlot::Second.event_of_process(Event::NoneLeft) } else { Event::NoneLeft };
        let waits = awaits_remaining || rest.is_some();
        let scope = self.sweep_scope(if rest.is_some() { ProcessSlot::Second } else { ProcessSlot::Server });
        let clearing = rest.is_some() || matches!(self.state.phase, Phase::StoppingRemaining { .. });
        let to = if clearing { Recipient::RemainingOfRun } else { Recipient::AllProcesses };
        let Some(sweep) = &mut self.sweep else {
            if waits && self.none_left_without_search(to) {
                return Some(none_left);
            }
            // If KILL was sent before, this search sends it again, because processes may have been forked just before.
            let killed = rest == Some(true)
                || matches!(
                    self.state.phase,
                    Phase::KillingRemaining { .. } | Phase::StoppingRemaining { killed: true, .. }
                );
            let unsure =
                killed || self.exit_hidden_by_tracer || scope.is_some() || self.config.helper_pids() != NO_HELPERS;
            if waits && unsure && self.next_sweep_at <= time {
                self.next_sweep_at = time.after(POLL_INTERVAL);
                let foreign = include_outside_processes(to);
                self.sweep = ProcessSweep::begin(killed.then_some(Signal::KILL), foreign, scope);
            }
            return None;
        };
        match sweep.run_turn(self.config.helper_pids()) {
            TurnResult::More => None,
            TurnResult::Listed => {
                if let Some(signal) = sweep.signal.filter(|_| sweep.found.count > 0) {
                    self.record_sending(signal, Note::SendingToAll, None);
                }
                None
            }
            TurnResult::Done => {
                let nothing = sweep.found.is_complete_and_empty();
                self.sweep = None;
                self.next_sweep_at = time.after(POLL_INTERVAL);
                (nothing && waits).then_some(none_left)
            }
        }
    }

    /// True if it is known without a search that no process is left. While helpers run, which are children of vsrun
    /// too, only a search can show that.
    fn none_left_without_search(&self, to: Recipient) -> bool {
        if self.config.helper_pids() != NO_HELPERS || self.exit_hidden_by_tracer {
            return false;
        }
        if to == Recipient::AllProcesses && is_pid1_of_container() {
            !process::signal_all_as_pid1(0)
        } else {
            !process::has_live_child(None)
        }
    }
}

impl SupervisorConfig {
    /// The pids of the logger or rotator and of the running probes; 0 for each that does not run. They do not belong to
    /// the server.
    pub fn helper_pids(&self) -> HelperPids {
        let prober = self.prober.as_ref();
        let probe = prober.and_then(|prober| prober.server.running_pid());
        let other = prober.and_then(|prober| prober.second.running_pid());
        [self.output.log_child_pid(), probe, other].map(|pid| pid.map_or(0, Pid::number))
    }

    /// Kills every process in the server's control group, if there is one.
    pub fn kill_cgroup(&self) {
        self.cgroup.iter().for_each(Cgroup::kill);
    }

    /// At vsrun's exit: records the processes of the server that are left running. Does nothing if an option makes
    /// vsrun end them, or if vsrun is PID 1.
    #[inline(never)]
    pub fn record_remaining(&self) {
        let asked = self.policy.linger_timeout.is_some() || self.policy.signal_scope == Recipient::Group;
        // When PID 1 exits, the kernel kills all processes that are left.
        if asked || process::is_pid1() {
            return;
        }
        let found = count_living_descendants(self.helper_pids());
        let (count, more) = (found.count, if found.count > 3 { ", ..." } else { "" });
        match count {
            0 => {}
            1 => self.log.record(Priority::Warning, format_args!("1 process of the server is left: {found}")),
            _ => {
                let words = format_args!("{count} processes of the server are left: {found}{more}");
                self.log.record(Priority::Warning, words);
            }
        }
    }
}

/// Whether processes that entered our container from outside are among those that get the signal.
fn include_outside_processes(to: Recipient) -> FromOutside {
    if to == Recipient::AllProcesses && is_pid1_of_container() { FromOutside::Included } else { FromOutside::Excluded }
}
