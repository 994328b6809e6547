//! Explores every state that `next` can reach, for every policy, and checks the invariants of each transition.
//!
//! A deadline is either due or not, and may become due before any event, so the number of states is finite. The search
//! is breadth-first. A searched state is the supervisor's `State` and the `World`: the processes that really run,
//! recorded independently of `State`. `docs/proof.md` has the numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::*;
use crate::logic::base::exit::SuccessExits;
use crate::logic::supervisor::event::SecondProcessEvent;
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Restart, RestartLimit};
use crate::logic::supervisor::replacement::Outcome;
use crate::logic::supervisor::replacement::SecondProcess;
use crate::logic::supervisor::state::ForcedStop;

/// The current time in every stored state.
const NOW: Time = Time(1 << 40);

/// A process, as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Process {
    None,
    Alive,
    /// A zombie that is not reaped yet, because other processes of its group are alive.
    Left,
}

/// The last action, if an event may still report that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Last {
    Other,
    Fork,
    ForkCandidate,
    Kill,
    KillSecond,
}

/// What really runs, and what was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    server: Process,
    second: Process,
    /// The second process has never been the server.
    is_candidate: bool,
    /// The second process has exited and its remaining processes are being ended.
    remains: bool,
    /// The server has been sent a signal that makes it exit.
    is_asked: bool,
    second_is_asked: bool,
    /// The remaining processes of the server's run have been sent TERM.
    remaining_got_term: bool,
    all_got_term: bool,
    handler: bool,
    last: Last,
    stopped: bool,
    /// A replacement was begun, and its outcome has not been reported.
    replacing: bool,
    /// The server has reported that it is ready.
    is_ready: bool,
    /// An init was asked to end while the candidate started, so the candidate may not become the server.
    is_abandoned: bool,
    finished: bool,
}

const START: World = World {
    server: Process::Alive,
    second: Process::None,
    is_candidate: false,
    remains: false,
    is_asked: false,
    second_is_asked: false,
    remaining_got_term: false,
    all_got_term: false,
    handler: false,
    last: Last::Fork,
    stopped: false,
    replacing: false,
    is_ready: false,
    is_abandoned: false,
    finished: false,
};

fn killed(signal: Signal) -> Exit {
    Exit::Signal { signal, core: false }
}

/// The events that can happen in this world, each with the world after it.
fn possible(policy: &Policy, state: &State, world: World) -> Vec<(Event, World)> {
    let stopped = World { stopped: true, ..world };
    let grouped = policy.signal_scope == Recipient::Group;
    let mut events = vec![
        (Event::DeadlinePassed, world),
        (Event::Stop, stopped),
        (Event::Interrupt, stopped),
        (Event::Restart, world),
    ];
    if policy.candidate_ready_timeout.is_some() {
        events.push((Event::Replace, world));
    }
    let mut ends = vec![Exit::Code(1), Exit::SUCCESS];
    if state.forwarded_signal_bits & Signal::TERM.bit() != 0 {
        ends.push(killed(Signal::TERM));
    }
    let gone = World { server: Process::None, ..world };
    match world.server {
        Process::None => {}
        Process::Alive => {
            events.extend(ends.iter().map(|exit| (Event::Exited(*exit), gone)));
            events.push((Event::Ready, World { is_ready: true, ..world }));
            events.extend([Event::NotReady, Event::Heartbeat].map(|event| (event, world)));
            if state.phase == Phase::Running && policy.watchdog.is_some() {
                events.push((Event::Unhealthy, world));
            }
            events.push((Event::ExecFailed(127), gone));
            if grouped {
                events.push((Event::LeaderExited, World { server: Process::Left, ..world }));
            }
        }
        Process::Left => events.extend(ends.iter().map(|exit| (Event::Exited(*exit), gone))),
    }
    let gone = World { second: Process::None, ..world };
    let ends = ends.iter().map(|exit| (Event::OfSecondProcess(SecondProcessEvent::Exited(*exit)), gone));
    match world.second {
        Process::None => {}
        Process::Alive => {
            events.extend(ends);
            events.extend(
                [SecondProcessEvent::Ready, SecondProcessEvent::NotReady]
                    .map(|event| (Event::OfSecondProcess(event), world)),
            );
            if world.is_candidate {
                events.push((Event::OfSecondProcess(SecondProcessEvent::ExecFailed(127)), gone));
            }
            if grouped {
                let left = World { second: Process::Left, ..world };
                events.push((Event::OfSecondProcess(SecondProcessEvent::LeaderExited), left));
            }
        }
        Process::Left => events.extend(ends),
    }
    if world.remains {
        events.push((Event::OfSecondProcess(SecondProcessEvent::NoneLeft), World { remains: false, ..world }));
    }
    match world.last {
        Last::Other => {}
        Last::Fork => {
            let (server, handler) = if world.handler { (world.server, false) } else { (Process::None, false) };
            events.push((Event::ForkFailed, World { server, handler, ..world }));
        }
        Last::ForkCandidate => events.push((Event::OfSecondProcess(SecondProcessEvent::ForkFailed), gone)),
        // If the supervisor exits because a process cannot be killed, that process counts as gone.
        Last::Kill => {
            let stays = state.second.is_candidate() || !matches!(state.phase, Phase::Stopping { .. });
            let server = if stays { world.server } else { Process::None };
            events.push((Event::Unkillable, World { server, ..world }));
        }
        Last::KillSecond => {
            let stays = !matches!(state.phase, Phase::AwaitingSecondProcessExit { .. });
            let second = if stays { world.second } else { Process::None };
            events.push((Event::OfSecondProcess(SecondProcessEvent::Unkillable), World { second, ..world }));
        }
    }
    if world.all_got_term || (world.remaining_got_term && world.server == Process::None && !world.handler) {
        events.push((Event::NoneLeft, world));
    }
    if world.handler {
        let gone = World { handler: false, ..world };
        events.extend([Exit::SUCCESS, Exit::Code(1)].map(|exit| (Event::HandlerExited(exit), gone)));
    }
    let ends = policy.role != Role::Manager && world.is_candidate && world.second == Process::Alive;
    let abandoned = World { is_abandoned: world.is_abandoned || ends, ..world };
    events.extend([Signal::TERM, Signal::INT].map(|signal| (Event::Forward(signal), abandoned)));
    events.push((Event::Forward(USR1), world));
    events
}

const USR1: Signal = Signal::RTMIN_3;

/// Sets the deadlines of the phase.
fn set_deadline(state: &mut State, at: Time) {
    match &mut state.phase {
        Phase::Running if state.promoted_ready_deadline.is_some() => state.promoted_ready_deadline = Some(at),
        Phase::Running => state.watchdog_deadline = state.watchdog_deadline.map(|_| at),
        Phase::AwaitingSecondProcessExit { .. } | Phase::Done => {}
        Phase::Starting { until }
        | Phase::Stopping { until, .. }
        | Phase::StoppingRemaining { until, .. }
        | Phase::HandlerRunning { until, .. }
        | Phase::HandlerTimedOut { until, .. }
        | Phase::HandlerStopping { until } => *until = until.map(|_| at),
        Phase::Backoff { until }
        | Phase::ForkRetry { until, .. }
        | Phase::DelayingStop { until, .. }
        | Phase::DrainingRemaining { until, .. }
        | Phase::KillingRemaining { until, .. } => *until = at,
    }
}

fn set_second_deadline(second: &mut SecondProcess, at: Time) {
    match second {
        SecondProcess::None => {}
        SecondProcess::Candidate { until, .. } | SecondProcess::DescendantsRemain { until, .. } => *until = at,
        SecondProcess::Exiting { until, .. } => *until = until.map(|_| at),
    }
}

/// For each state, also adds the state after `change`, if that differs.
fn add_changed_states(states: &mut Vec<State>, change: impl Fn(&mut State)) {
    for at in 0..states.len() {
        let mut other = states[at].clone();
        change(&mut other);
        if other != states[at] {
            states.push(other);
        }
    }
}

/// The states that a state may have become by the time of an event: each deadline may have passed or not, the run may
/// have become stable, the last restart may be long ago. This allows more than real clocks do, never less.
fn states_at_event(policy: &Policy, state: &State, event: Event) -> Vec<State> {
    let mut states = vec![state.clone()];
    add_changed_states(&mut states, |state| set_deadline(state, NOW));
    add_changed_states(&mut states, |state| set_second_deadline(&mut state.second, NOW));
    if matches!(event, Event::Exited(_) | Event::ExecFailed(_) | Event::LeaderExited | Event::HandlerExited(_)) {
        add_changed_states(&mut states, |state| state.run_started_at = LONG_AGO);
        let within = policy.limit.map_or(Span::ZERO, |limit| limit.within);
        add_changed_states(&mut states, |state| {
            state.restart_times.iter_mut().for_each(|at| *at = Time(NOW.0 - within.0))
        });
    }
    if event == Event::DeadlinePassed {
        states.retain(|state| state.deadline().is_some_and(|until| until <= NOW));
    }
    states
}

/// A start time that makes the run count as stable.
const LONG_AGO: Time = Time(NOW.0 - 10_000);
/// A deadline that has not passed.
const NOT_YET_DUE: Time = Time(NOW.0 + 1);

/// The state with each deadline set to due or not due, and without details on which no decision depends.
fn normalized(policy: &Policy, mut state: State) -> State {
    if state.phase_deadline().is_some_and(|until| until > NOW) {
        set_deadline(&mut state, NOT_YET_DUE);
    }
    if state.second.deadline().is_some_and(|until| until > NOW) {
        set_second_deadline(&mut state.second, NOT_YET_DUE);
    }
    if state.phase != Phase::Running {
        state.promoted_ready_deadline = state.promoted_ready_deadline.map(|_| NOW);
        state.watchdog_deadline = state.watchdog_deadline.map(|_| NOW);
    }
    state.run_started_at = if state.run_started_at > LONG_AGO { NOW } else { LONG_AGO };
    state.fork_backoff = state.fork_backoff.min(Span(1));
    // One failure leads to a restart delay; more failures only lengthen it.
    state.consecutive_failures = state.consecutive_failures.min(1);
    state.unexpected_restarts = 0;
    if let Some(limit) = policy.limit {
        let old = Time(NOW.0 - limit.within.0);
        state.restart_times.iter_mut().for_each(|at| *at = if *at > old { NOW } else { old });
    }
    if let SecondProcess::Candidate { since, .. } = &mut state.second {
        *since = if *since > LONG_AGO { NOW } else { LONG_AGO };
    }
    state
}

/// Checks the action of a transition, and applies it to the world.
fn follow(policy: &Policy, old: &State, event: Event, world: &mut World, state: &mut State, action: Action) {
    let alone = world.server == Process::None && !world.handler;
    world.last = Last::Other;
    assert!(!world.finished || action == Action::Wait, "an action after the end");
    match action {
        Action::StartServer(logs) => {
            assert!(alone, "a server beside another or beside the handler");
            assert!(!world.stopped && !world.all_got_term, "a server after a stop");
            assert!(
                !matches!(event, Event::Unkillable | Event::OfSecondProcess(SecondProcessEvent::Unkillable)),
                "a server beside one"
            );
            assert!(!old.second.is_candidate(), "a third server");
            assert!(
                world.second == Process::None || logs == LogFilesAtStart::Keep,
                "a requested restart ends both first"
            );
            assert!(world.second == Process::None || world.replacing, "two servers without a replacement");
            (world.server, world.last, world.remaining_got_term) = (Process::Alive, Last::Fork, false);
            (world.is_asked, world.is_ready) = (false, false);
        }
        Action::StartCandidate => {
            assert!(
                policy.candidate_ready_timeout.is_some() && event == Event::Replace,
                "no replacement was requested"
            );
            assert!(world.server == Process::Alive, "a candidate without a server");
            assert!(world.second == Process::None && !world.remains, "three servers");
            assert!(!world.stopped && !world.all_got_term && !world.replacing, "a candidate after a stop");
            let asks = Signal::TERM.bit() | Signal::INT.bit() | policy.stop_signal.bit();
            assert!(
                policy.role == Role::Manager || old.forwarded_signal_bits & asks == 0,
                "a candidate after an init's end"
            );
            (world.second, world.is_candidate, world.second_is_asked) = (Process::Alive, true, false);
            (world.last, world.replacing, world.is_abandoned) = (Last::ForkCandidate, true, false);
        }
        Action::SwitchToCandidate => {
            let ready = event == Event::OfSecondProcess(SecondProcessEvent::Ready);
            assert!(world.is_candidate && world.second == Process::Alive, "no candidate takes the place");
            assert!(ready || world.server != Process::Alive, "the old server is left before the new one is ready");
            assert!(!world.stopped && !world.second_is_asked, "a switch-over after a request to end");
            assert!(!world.is_abandoned, "a switch-over after an init was asked to end");
            std::mem::swap(&mut world.server, &mut world.second);
            std::mem::swap(&mut world.is_asked, &mut world.second_is_asked);
            (world.is_candidate, world.is_ready) = (false, ready);
            world.remains = matches!(state.second, SecondProcess::DescendantsRemain { .. });
        }
        Action::RunCrashHandler(_) => {
            assert!(alone && !world.stopped && !world.all_got_term, "a handler beside a server, or after a stop");
            (world.handler, world.last) = (true, Last::Fork);
        }
        Action::Send(signal, to @ (Recipient::Server | Recipient::Group)) => {
            assert!(world.server != Process::None, "a signal to a dead server");
            assert!(to == Recipient::Group || policy.signal_scope == Recipient::Server);
            assert!(signal == Signal::KILL || !world.is_asked || signal == Signal::ABRT, "it is asked twice");
            assert!(signal != Signal::KILL || world.is_asked, "the server is killed without being asked");
            world.is_asked = true;
            if signal == Signal::KILL {
                world.last = Last::Kill;
            }
        }
        Action::Forward(_, to) => {
            assert!(world.server != Process::None, "a signal to a dead server");
            let is_late = matches!(old.phase, Phase::DelayingStop { .. });
            assert!(to == policy.signal_scope && (is_late || matches!(event, Event::Forward(_))));
        }
        Action::SendToSecondProcess(signal, Recipient::RemainingOfRun) => {
            assert!(world.second == Process::None && world.remains && policy.linger_timeout.is_some());
            assert!(signal == Signal::TERM || signal == Signal::KILL);
        }
        Action::SendToSecondProcess(signal, to) => {
            assert!(world.second != Process::None, "a signal to a dead process");
            let asked = world.second_is_asked || world.stopped || world.second == Process::Left;
            assert!(signal != Signal::KILL || asked, "killed without being asked");
            assert!(to == Recipient::Group || policy.signal_scope == Recipient::Server);
            world.second_is_asked = true;
            if signal == Signal::KILL {
                world.last = Last::KillSecond;
            }
        }
        Action::Send(_, Recipient::RemainingOfRun) => {
            assert!(alone || world.server == Process::Left, "only what outlives the server is cleared away");
            assert!(!world.all_got_term && (world.server == Process::Left || policy.linger_timeout.is_some()));
            world.remaining_got_term = true;
        }
        Action::Send(_, Recipient::CrashHandlerGroup) => {
            assert!(world.handler, "a signal to a dead handler")
        }
        Action::Send(signal, Recipient::AllProcesses) => {
            assert!(alone && world.second == Process::None, "a process is asked twice");
            assert_eq!(signal, if world.all_got_term { Signal::KILL } else { Signal::TERM });
            (world.all_got_term, world.remains) = (true, false);
        }
        Action::Finish(_) => {
            assert!(alone && world.second == Process::None, "an end that leaves a server");
            assert_eq!(world.all_got_term, policy.linger_timeout.is_some(), "an end without asking what is left");
            (world.finished, world.remains) = (true, false);
            (world.server, world.second) = (Process::None, Process::None);
        }
        Action::RecordRestartDelay(span) => {
            assert!(alone && span > Span::ZERO, "a pause beside a server");
        }
        Action::RecordStopDelay(_) => assert!(world.server != Process::None, "a delay without a server"),
        Action::Wait | Action::ReportReady => {}
    }
    if let SecondProcess::DescendantsRemain { .. } = state.second {
        world.remains = true;
    } else {
        world.remains = false;
    }
    check_replacement(policy, old, event, world, state, action);
}

/// Checks the invariants of a replacement and of every state.
fn check_replacement(policy: &Policy, old: &State, event: Event, world: &mut World, state: &mut State, action: Action) {
    if let Some(outcome) = state.unreported_outcome.take() {
        assert!(world.replacing, "an outcome without a replacement: {outcome:?}");
        world.replacing = world.second != Process::None && state.phase != Phase::Done;
        if outcome == Outcome::Done {
            assert!(world.server == Process::Alive && world.second == Process::None, "done too early");
            assert!(world.is_ready, "done without being ready");
        }
    } else if world.second == Process::None
        && !world.remains
        && state.promoted_ready_deadline.is_none()
        && state.outcome_so_far.is_none()
    {
        // The outcome of the replacement was reported when the replacement was abandoned.
        world.replacing = false;
    }
    let fails = state.forced == Some(ForcedStop::Unready) && matches!(state.phase, Phase::Stopping { .. });
    let goes_on = world.second != Process::None || world.remains || state.promoted_ready_deadline.is_some() || fails;
    assert!(!world.replacing || goes_on, "a replacement without an outcome");
    // The candidate's end and its failure leave the server untouched.
    let for_second = match event {
        Event::OfSecondProcess(what) => what != SecondProcessEvent::Ready,
        Event::DeadlinePassed => old.second.deadline().is_some_and(|until| until <= NOW),
        _ => false,
    };
    if for_second && old.phase == Phase::Running {
        assert_eq!(
            (state.phase, state.watchdog_deadline, state.promoted_ready_deadline),
            (old.phase, old.watchdog_deadline, old.promoted_ready_deadline)
        );
        assert!(matches!(action, Action::Wait | Action::SendToSecondProcess(..)), "a rollback touches the server");
    }
    // A server that took the place of another and was not ready in time ends unexpectedly, whatever its status is.
    let exited = matches!(event, Event::Exited(_) | Event::ExecFailed(_));
    if exited
        && (old.promoted_ready_deadline.is_some() || old.forced == Some(ForcedStop::Unready))
        && !world.stopped
        && policy.restart != Restart::No
    {
        let ends = matches!(
            state.phase,
            Phase::Done
                | Phase::DrainingRemaining { .. }
                | Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::Finish(_) }
        );
        assert!(
            !ends
                || matches!(action, Action::Finish(Ending::GaveUp(_)))
                || policy.limit.is_some()
                || !old.has_been_ready
        );
    }
    // With --linger, the processes that a second process leaves behind are ended.
    let second_exited =
        matches!(event, Event::OfSecondProcess(SecondProcessEvent::Exited(_) | SecondProcessEvent::ExecFailed(_)));
    let taken_over = action == Action::SwitchToCandidate && exited && policy.linger_timeout.is_some();
    assert!(!taken_over || world.remains, "what remains of the old server is forgotten");
    if second_exited && policy.linger_timeout.is_some() {
        let asked = matches!(action, Action::Send(_, Recipient::RemainingOfRun | Recipient::AllProcesses));
        assert!(world.remains || asked, "what remains of the second process is forgotten");
    }
    // A server that took the place of another has to be ready in time, whatever its watchdog says.
    let until = state.promoted_ready_deadline.filter(|_| state.phase == Phase::Running);
    assert!(until.is_none() || state.phase_deadline() == until, "the time to be ready has no end");
    // Without an effect, the event loop would repeat the event without end.
    assert!(event != Event::DeadlinePassed || action != Action::Wait || *state != *old, "a deadline without an effect");
    // State and world agree about the second process.
    assert_eq!(state.second.is_unreaped(), world.second != Process::None, "{state:?}");
    if let SecondProcess::Candidate { .. } = state.second {
        assert!(world.is_candidate && world.second == Process::Alive && world.server == Process::Alive);
        assert!(matches!(state.phase, Phase::Running | Phase::Stopping { next: AfterStop::HandleUnrequestedExit, .. }));
    }
    let ending = matches!(state.phase, Phase::DrainingRemaining { .. } | Phase::KillingRemaining { .. } | Phase::Done);
    assert!(!ending || state.second == SecondProcess::None, "the second process is forgotten");
    let asleep =
        world.server == Process::None && world.second == Process::None && !world.handler && state.deadline().is_none();
    assert!(world.finished || !asleep, "asleep for ever");
    check_kill(policy, old, event, world, state, action);
}

/// When KILL is due for the server and for the second process. None: no KILL is due.
fn kill_due(state: &State) -> [Option<Time>; 2] {
    [
        match state.phase {
            Phase::Stopping { until, .. } => until,
            _ => None,
        },
        match state.second {
            SecondProcess::Exiting { until, next: Signal::KILL, .. } => until,
            _ => None,
        },
    ]
}

/// Checks that the time at which KILL is due is postponed only when KILL is sent.
fn check_kill(_: &Policy, old: &State, event: Event, world: &World, state: &State, action: Action) {
    let [mut before, mut before_second] = kill_due(old);
    let [after, after_second] = kill_due(state);
    if action == Action::SwitchToCandidate {
        // The remaining processes of the group get TERM first.
        (before, before_second) = (None, before.filter(|_| event != Event::LeaderExited));
    }
    let kept = |before: Option<Time>, after: Option<Time>| {
        before.is_none_or(|before| after.is_some_and(|after| after <= before))
    };
    let ends = matches!(event, Event::Exited(_) | Event::ExecFailed(_) | Event::LeaderExited | Event::Unkillable);
    if !ends && !matches!(action, Action::Send(Signal::KILL, _)) {
        assert!(kept(before, after), "the KILL of the server is moved");
    }
    let gone = world.second == Process::None;
    if !gone && !matches!(action, Action::SendToSecondProcess(Signal::KILL, _)) {
        assert!(kept(before_second, after_second), "the KILL of the second process is moved");
    }
}

/// How much has been explored.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    policies: u64,
    states: u64,
    transitions: u64,
    /// The length of the longest path after a stop, in events that change the state and do not send KILL.
    longest: u64,
}

/// A hash of 128 bits, wide enough that two of a billion states have the same one with a probability below 10^-20. It
/// is several times as fast as the standard library's, which resists chosen input.
struct StateHasher(u64, u64);

/// Two odd constants with irregular bits (those of wyhash).
const MIX: (u64, u64) = (0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db);

/// Both halves of the product, combined: each bit of the result depends on all bits of the argument.
#[allow(clippy::cast_possible_truncation, reason = "the halves of the product")]
fn folded(value: u64, factor: u64) -> u64 {
    let product = u128::from(value) * u128::from(factor);
    let [low, high] = [product as u64, (product >> 64) as u64];
    low ^ high
}

impl Hasher for StateHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = folded(self.0 ^ value, MIX.0).wrapping_add(self.1);
        self.1 = folded(self.1 ^ value.rotate_left(32), MIX.1).wrapping_add(value);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn key(state: &State, world: &World) -> u128 {
    let mut hasher = StateHasher(MIX.1, MIX.0);
    (state, world).hash(&mut hasher);
    let StateHasher(low, high) = hasher;
    u128::from(folded(high ^ MIX.0, MIX.1)) << 64 | u128::from(folded(low ^ MIX.1, MIX.0))
}

/// A hasher for keys that are already hashes: it returns their lower half.
#[derive(Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are u128");
    }

    #[allow(clippy::cast_possible_truncation, reason = "each half of the key is a good hash")]
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn explore(policy: &Policy) -> Counts {
    let mut ids: HashMap<u128, u32, BuildHasherDefault<Unhashed>> = HashMap::default();
    let mut queue = vec![(normalized(policy, State::new(policy, NOW)), START)];
    ids.insert(key(&queue[0].0, &queue[0].1), 0);
    let (mut at, mut transitions) = (0, 0);
    let mut edges: Vec<(u32, u32)> = Vec::new();
    while at < queue.len() {
        let (state, world) = queue[at].clone();
        let from = u32::try_from(at).unwrap();
        at += 1;
        if world.finished {
            continue;
        }
        for (event, after) in possible(policy, &state, world) {
            for old in states_at_event(policy, &state, event) {
                let (mut next, mut after) = (old.clone(), after);
                super::tests::check_forward_plain(policy, &old, event, NOW);
                let action = super::next(policy, &mut next, event, NOW);
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    follow(policy, &old, event, &mut after, &mut next, action);
                }));
                if let Err(why) = checked {
                    let why = why
                        .downcast_ref::<String>()
                        .cloned()
                        .unwrap_or_else(|| why.downcast_ref::<&str>().copied().unwrap_or_default().to_owned());
                    panic!("{why}\n{policy:?}\nfrom {world:?}\n{old:?}\n{event:?} -> {action:?}\n{after:?}\n{next:?}");
                }
                let next = normalized(policy, next);
                transitions += 1;
                let count = u32::try_from(queue.len()).unwrap();
                let to = *ids.entry(key(&next, &after)).or_insert_with(|| {
                    queue.push((next, after));
                    count
                });
                let kills =
                    matches!(action, Action::Send(Signal::KILL, _) | Action::SendToSecondProcess(Signal::KILL, _));
                // A KILL can be repeated without end, because a process may hang in the kernel.
                if to != from {
                    edges.push((from, if kills { to | KILLS } else { to }));
                }
            }
        }
    }
    let longest = check_ends_and_longest_stop(&queue, &mut edges);
    Counts { policies: 1, states: queue.len() as u64, transitions, longest }
}

/// The bit that marks an edge whose action sends KILL.
const KILLS: u32 = 1 << 31;

/// Checks that the end is reachable from every state, and that after a stop every path leads to it, except by repeated
/// KILLs without end. Returns the length of the longest path after a stop.
fn check_ends_and_longest_stop(states: &[(State, World)], edges: &mut Vec<(u32, u32)>) -> u64 {
    edges.sort_unstable();
    edges.dedup();
    let count = states.len();
    let index = |id: u32| (id & !KILLS) as usize;
    // The predecessors of all states in one list: those of state N are `before[starts[N]..starts[N + 1]]`.
    let mut starts = vec![0u32; count + 1];
    edges.iter().for_each(|(_, to)| starts[index(*to) + 1] += 1);
    (0..count).for_each(|at| starts[at + 1] += starts[at]);
    let mut fill = starts.clone();
    let mut before = vec![0u32; edges.len()];
    for (from, to) in edges.iter() {
        before[fill[index(*to)] as usize] = *from;
        fill[index(*to)] += 1;
    }
    let mut reaches = vec![false; count];
    let mut stack: Vec<usize> = (0..count).filter(|at| states[*at].1.finished).collect();
    stack.iter().for_each(|at| reaches[*at] = true);
    while let Some(at) = stack.pop() {
        for from in &before[starts[at] as usize..starts[at + 1] as usize] {
            let from = *from as usize;
            if !reaches[from] {
                reaches[from] = true;
                stack.push(from);
            }
        }
    }
    if let Some(at) = reaches.iter().position(|reached| !reached) {
        panic!("the end cannot be reached from {:?}", states[at]);
    }
    // After a stop, no cycle exists except through a KILL: Kahn's algorithm, which also yields the longest path.
    let stopped = |at: usize| states[at].1.stopped;
    let kept = |(from, to): &&(u32, u32)| *to & KILLS == 0 && stopped(index(*from));
    let mut incoming = vec![0u32; count];
    edges.iter().filter(kept).for_each(|(_, to)| incoming[index(*to)] += 1);
    let mut first = vec![0usize; count + 1];
    edges.iter().for_each(|(from, _)| first[index(*from) + 1] += 1);
    (0..count).for_each(|at| first[at + 1] += first[at]);
    let mut depth = vec![0u64; count];
    let mut ready: Vec<usize> = (0..count).filter(|at| stopped(*at) && incoming[*at] == 0).collect();
    let (mut done, mut longest) = (0, 0);
    while let Some(at) = ready.pop() {
        done += 1;
        longest = longest.max(depth[at]);
        for edge in edges[first[at]..first[at + 1]].iter().filter(kept) {
            let to = index(edge.1);
            depth[to] = depth[to].max(depth[at] + 1);
            incoming[to] -= 1;
            if incoming[to] == 0 {
                ready.push(to);
            }
        }
    }
    let all = (0..count).filter(|at| stopped(*at)).count();
    if done < all {
        let at = (0..count).find(|at| stopped(*at) && incoming[*at] > 0).unwrap();
        panic!("after a stop, the way to the end can be endless: {:?}", states[at]);
    }
    longest
}

/// A plain manager.
fn policy() -> Policy {
    Policy {
        forwards_to_group: false,
        role: Role::Manager,
        signal_scope: Recipient::Server,
        linger_timeout: None,
        restart: Restart::OnFailure,
        success: SuccessExits::default(),
        restart_delay_range: (Span::secs(1), Span::secs(4)),
        limit: None,
        ready_timeout: None,
        candidate_ready_timeout: None,
        watchdog: None,
        handler: CrashHandlerPolicy::Absent,
        stop_signal: Signal::TERM,
        stop_timeout: Some(Span::secs(30)),
        stop_delay: None,
    }
}

/// Every policy: all combinations of rules that options can make, with a few values of each rule.
fn all_policies() -> Vec<Policy> {
    let mut policies = vec![policy()];
    fn vary<T: Copy>(policies: &mut Vec<Policy>, values: &[T], set: fn(&mut Policy, T)) {
        let copies = policies.iter().flat_map(|policy| {
            values.iter().map(|value| {
                let mut policy = policy.clone();
                set(&mut policy, *value);
                policy
            })
        });
        *policies = copies.collect();
    }
    vary(&mut policies, &[None, Some(Span::secs(60))], |policy, value| policy.candidate_ready_timeout = value);
    vary(&mut policies, &[Role::Manager, Role::Init, Role::InitWithTimeout], |policy, value| policy.role = value);
    vary(&mut policies, &[Recipient::Server, Recipient::Group], |policy, value| policy.signal_scope = value);
    vary(&mut policies, &[None, Some(Span::secs(3))], |policy, value| policy.linger_timeout = value);
    vary(&mut policies, &[Restart::No, Restart::OnFailure, Restart::OnAbort, Restart::Always], |policy, value| {
        policy.restart = value;
    });
    vary(
        &mut policies,
        &[CrashHandlerPolicy::Absent, CrashHandlerPolicy::NoTimeout, CrashHandlerPolicy::MustExitWithin(Span::secs(5))],
        |policy, value| policy.handler = value,
    );
    vary(&mut policies, &[None, Some(RestartLimit { restarts: 1, within: Span::secs(60) })], |policy, value| {
        policy.limit = value;
    });
    vary(&mut policies, &[None, Some(Span::secs(9))], |policy, value| policy.ready_timeout = value);
    vary(&mut policies, &[None, Some(Span::secs(3))], |policy, value| policy.watchdog = value);
    vary(
        &mut policies,
        &[(Signal::TERM, Some(30)), (Signal::QUIT, Some(30)), (Signal::TERM, None)],
        |policy, value| {
            (policy.stop_signal, policy.stop_timeout) = (value.0, value.1.map(Span::secs));
        },
    );
    vary(&mut policies, &[None, Some(Span::secs(7))], |policy, value| policy.stop_delay = value);
    // Without a restart there is no handler and no limit. An init never restarts. `InitWithTimeout` has a stop timeout.
    policies.retain(|policy| {
        let restarts = policy.restart != Restart::No;
        (restarts || (policy.handler == CrashHandlerPolicy::Absent && policy.limit.is_none()))
            && (policy.role == Role::Manager || !restarts)
            && (policy.role != Role::InitWithTimeout || policy.stop_timeout.is_some())
    });
    // With a replacement there are ten to a hundred times as many states. So rules that only decide between a restart,
    // a handler and an end, on which a replacement does not depend, have fewer values here.
    policies.retain(|policy| {
        let plain =
            policy.signal_scope == Recipient::Server && policy.linger_timeout.is_none() && policy.watchdog.is_none();
        policy.candidate_ready_timeout.is_none()
            || (matches!(policy.restart, Restart::No | Restart::OnFailure)
                && policy.handler != CrashHandlerPolicy::NoTimeout
                && policy.ready_timeout.is_none()
                && policy.stop_delay.is_none_or(|_| plain && policy.stop_signal == Signal::TERM)
                && (policy.limit.is_none() || (plain && policy.handler == CrashHandlerPolicy::Absent)))
    });
    policies
}

/// A few policies that together use every transition.
fn varied_policies() -> Vec<Policy> {
    let (watchdog, linger_timeout) = (Some(Span::secs(3)), Some(Span::secs(3)));
    let handler = CrashHandlerPolicy::MustExitWithin(Span::secs(5));
    let first = Policy { candidate_ready_timeout: Some(Span::secs(60)), ..policy() };
    let init = Policy { restart: Restart::No, ..first.clone() };
    let grouped = Policy { signal_scope: Recipient::Group, ..first.clone() };
    vec![
        Policy { handler, linger_timeout, ..policy() },
        Policy { watchdog, ..first.clone() },
        Policy { role: Role::Init, stop_delay: Some(Span::secs(7)), ..init.clone() },
        Policy { role: Role::InitWithTimeout, ..init },
        Policy { handler, stop_delay: Some(Span::secs(7)), ..first.clone() },
        Policy { linger_timeout, ..first },
        Policy { stop_signal: Signal::QUIT, ..grouped },
    ]
}

#[allow(clippy::disallowed_methods, reason = "the program has one thread; this test needs all processors")]
fn explore_all(policies: &[Policy]) -> Counts {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    std::panic::set_hook(Box::new(|_| {}));
    // The first failure stops the other threads too.
    struct Failed<'a>(&'a std::sync::atomic::AtomicUsize);
    impl Drop for Failed<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(usize::MAX / 2, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
    let work = || {
        let mut sum = Counts::default();
        let _failed = Failed(&next);
        while let Some(policy) = policies.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            let counts = explore(policy);
            sum.policies += counts.policies;
            sum.states += counts.states;
            sum.transitions += counts.transitions;
            sum.longest = sum.longest.max(counts.longest);
        }
        sum
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let _ = std::panic::take_hook();
    let mut sum = Counts::default();
    for counts in all {
        let counts = counts.unwrap_or_else(|why| panic!("{}", why.downcast_ref::<String>().map_or("", String::as_str)));
        sum.policies += counts.policies;
        sum.states += counts.states;
        sum.transitions += counts.transitions;
        sum.longest = sum.longest.max(counts.longest);
    }
    sum
}

#[test]
#[cfg_attr(miri, ignore = "no unsafe code, and hundreds of thousands of states")]
fn all_states_of_some_policies_hold() {
    let first = Policy { candidate_ready_timeout: Some(Span::secs(60)), ..policy() };
    let policies = [
        policy(),
        first.clone(),
        Policy { watchdog: Some(Span::secs(3)), ..first.clone() },
        Policy { role: Role::Init, restart: Restart::No, ..first },
        Policy { linger_timeout: Some(Span::secs(3)), signal_scope: Recipient::Group, ..policy() },
    ];
    let counts = explore_all(&policies);
    println!("{counts:?}");
    assert!(counts.states > 1000, "{counts:?}");
}

#[test]
#[ignore = "takes a while: make prove"]
fn all_states_of_varied_policies_hold() {
    println!("{:?}", explore_all(&varied_policies()));
}

#[test]
#[ignore = "takes minutes: make prove"]
fn all_states_of_all_policies_hold() {
    let counts = explore_all(&all_policies());
    let Counts { policies, states, transitions, longest } = counts;
    println!("{policies} policies, {states} states, {transitions} transitions, {longest} events to the end");
}
