//! Replacement of the server without a gap: the second server process beside the first, and the requests of
//! `--replace`.
//!
//! `--replace` sends SIGCHLD with a value (sigqueue(3)): no option gives that signal another meaning, and the kernel
//! lets only root and the user of vsrun send it. The value holds a token. vsrun answers with a byte that it unlocks in
//! its locked pidfiles (`lock::encode_answer_in_locks`): every process that can read the pidfile can see the answer,
//! and only vsrun can change it. There is no socket that another user could connect to, fill or block.

use super::slot::{ProcessSlot, ReplaceRequests, SweepScope};
use super::socket_recovery::SocketUse;
use super::supervisor::{ServerProcess, Supervisor};
use crate::logic::base::error::{FilledPhrase, MessageArg};
use crate::logic::base::note::Note;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Event, Recipient};
use crate::logic::supervisor::replacement::{ACCEPTED, Outcome, Refusal, SecondProcess, decode_request_token};
use crate::logic::supervisor::state::Phase;
use crate::runtime::report::log::Priority;
use crate::sys::process::SignalTarget;

impl Supervisor<'_> {
    /// The server process in this slot, to change it. None if the slot is empty.
    pub fn process_mut(&mut self, slot: ProcessSlot) -> &mut Option<ServerProcess> {
        match slot {
            ProcessSlot::Server => &mut self.server,
            ProcessSlot::Second => &mut self.second,
        }
    }

    /// The server process in this slot. None if the slot is empty.
    pub fn process(&self, slot: ProcessSlot) -> Option<&ServerProcess> {
        match slot {
            ProcessSlot::Server => self.server.as_ref(),
            ProcessSlot::Second => self.second.as_ref(),
        }
    }

    /// Handles a request for a replacement, which came from `--replace` if its signal has a value, otherwise from
    /// another signal. Returns an event if the request is new and accepted.
    #[inline(never)]
    pub fn on_replace_request(&mut self, signal_value: Option<u32>) -> Option<Event> {
        let token = match signal_value {
            Some(value) => Some(decode_request_token(value)?),
            None => None,
        };
        // `--replace` repeats its request until it sees an answer, because the kernel may have had no memory for the
        // lock. The answer to the current request may have been removed, because answers to later requests took its
        // place.
        let ReplaceRequests { answers, current_token, .. } = &self.replace_requests;
        let is_known = |(known, _): &&(u32, u16)| Some(*known) == token;
        let answered = answers.iter().flatten().find(is_known).map(|(_, number)| *number);
        let under_way = token.is_some() && token == *current_token;
        if let Some(number) = answered.or(under_way.then_some(ACCEPTED)) {
            self.answer_request(token, number);
            return None;
        }
        let refusal = self.state.replacement_refusal(&self.config.policy);
        let refusal = refusal.or(self.config.server_takes_foreground().then_some(Refusal::ServerHasTerminal));
        if let Some(why) = refusal {
            let outcome = Outcome::Refused(why);
            self.note(Priority::Warning, Note::NotReplaced, &outcome.describe());
            self.answer_request(token, outcome.number());
            return None;
        }
        self.replace_requests.current_token = token;
        self.answer_request(token, ACCEPTED);
        Some(Event::Replace)
    }

    fn answer_request(&mut self, token: Option<u32>, number: u16) {
        let Some(token) = token else { return };
        let ReplaceRequests { answers, oldest_answer, .. } = &mut self.replace_requests;
        let files = self.pidfiles.iter().flatten();
        let known = answers.iter().position(|entry| entry.is_some_and(|(known, _)| known == token));
        if let Some(place) = answers.get_mut(known.unwrap_or(*oldest_answer)) {
            if known.is_none() {
                if let Some((forgotten, _)) = place {
                    files.clone().for_each(|file| file.answer_control_request(*forgotten, None));
                }
                *oldest_answer = (*oldest_answer + 1) % 8;
            }
            *place = Some((token, number));
        }
        files.for_each(|file| file.answer_control_request(token, Some(number)));
    }

    /// Reads the environment files again, starts the candidate, the second server process, which will replace the
    /// server, and returns the next event.
    #[inline(never)]
    pub fn launch_candidate(&mut self) -> Event {
        if let Some(child) = &self.server {
            self.note_process(Priority::Notice, Note::Replacing, child.pid);
        }
        self.reread_env();
        self.launch(ProcessSlot::Second)
    }

    /// Exchanges the two server processes: the candidate becomes the server, and the old server the second process.
    #[inline(never)]
    pub fn switch_over(&mut self, time: Time) {
        core::mem::swap(&mut self.server, &mut self.second);
        if let Some(receiver) = self.config.readiness.receiver() {
            receiver.switch_over();
        }
        if let Some(handler) = &mut self.config.crash_handler {
            handler.store_oom_kill_count();
        }
        // The health of the new server is probed from the time when it became ready.
        if let Some(prober) = &mut self.config.prober {
            prober.switch_over();
            if self.state.has_no_promoted_ready_deadline() {
                prober.server.schedule.on_ready(time);
            }
        }
        if let (Some(server), Some(second)) = (&self.server, &self.second) {
            let (new, old) = (server.pid, MessageArg::Number(second.pid.number().into()));
            if server.before_command.is_some() {
                // The pidfile is empty at this time. The new server writes its pid to it after the commands of
                // `--before`.
                self.note(Priority::Notice, Note::Prepared, &[old]);
                return;
            }
            self.write_pidfile(new);
            self.note(Priority::Notice, Note::SwitchedOver, &[MessageArg::Number(new.number().into()), old]);
        }
    }

    /// Called after each event: closes what belonged to a second process of which nothing is left, and reports the
    /// outcome of a replacement.
    #[inline(never)]
    pub fn close_and_report_replacement(&mut self) {
        if self.state.second == SecondProcess::None && self.second.take().is_some() {
            if let Some(receiver) = self.config.readiness.receiver() {
                receiver.close_second_socket();
            }
            // The second process may have called shutdown(2) on the sockets that it shares with the server.
            self.restore_sockets(SocketUse::ByServer);
        }
        let Some(outcome) = self.state.unreported_outcome.take() else { return };
        let words = outcome.describe();
        if outcome == Outcome::Done {
            self.note(Priority::Notice, Note::Replaced, &[]);
        } else {
            self.note(Priority::Err, Note::ReplacementFailed, &words);
        }
        if let Some(service) = &mut self.config.service_manager {
            if outcome != Outcome::Done {
                service.report_status(format_args!("{}", FilledPhrase(Note::ReplacementFailed.phrase(), &words)));
            }
            if self.state.phase == Phase::Running {
                service.report_ready_again();
            }
        }
        let token = self.replace_requests.current_token.take();
        self.answer_request(token, outcome.number());
    }

    /// Returns the limit of a sweep while there are two server processes, or one and the remaining processes of the
    /// other. Such a sweep must find only processes that certainly belong to the process in this slot: those in its
    /// session and, if it is the older of the two, those that started before the other one. The remaining ones are
    /// ended after the other server process has exited. None: there is only one server process, so the sweep needs no
    /// limit.
    pub fn sweep_scope(&self, slot: ProcessSlot) -> Option<SweepScope> {
        let (own, other) = match slot {
            ProcessSlot::Server => (self.server.as_ref(), self.second.as_ref()),
            ProcessSlot::Second => (self.second.as_ref(), self.server.as_ref()),
        };
        let (own, other) = (own?, other?);
        let started_before = if other.started > own.started { other.candidate_start_ticks } else { 0 };
        Some(SweepScope { session_id: own.pid.number(), started_before })
    }

    /// The target of a signal to the second process: its pid or its group. None if there is no second process.
    pub fn second_target(&self, to: Recipient) -> Option<SignalTarget> {
        let pid = self.second.as_ref()?.pid;
        Some(if to == Recipient::Server { SignalTarget::Process(pid) } else { SignalTarget::Group(pid) })
    }
}
