//! Checks the invariants of `next` in every short sequence of events, and tests longer scenarios one by one.

use super::*;
use crate::logic::base::exit::SuccessExits;
use crate::logic::supervisor::event::SecondProcessEvent;
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Restart, RestartLimit};
use crate::logic::supervisor::readiness::ReadyCondition;
use crate::logic::supervisor::replacement::{Outcome, candidate_ready_timeout};
use crate::logic::supervisor::state::ForcedStop;

const USR1: u64 = 10;

fn policy() -> Policy {
    Policy {
        role: Role::Manager,
        signal_scope: Recipient::Server,
        forwards_to_group: false,
        linger_timeout: None,
        restart: Restart::OnFailure,
        success: SuccessExits::default(),
        restart_delay_range: (Span::millis(100), Span::secs(30)),
        limit: None,
        ready_timeout: None,
        candidate_ready_timeout: None,
        watchdog: None,
        handler: CrashHandlerPolicy::Absent,
        stop_signal: Signal::TERM,
        stop_delay: None,
        stop_timeout: Some(Span::secs(30)),
    }
}

/// `next` on a copy of the state, so that one state can be continued in several ways.
fn step(policy: &Policy, mut state: State, event: Event, now: Time) -> (State, Action) {
    check_forward_plain(policy, &state, event, now);
    let action = super::next(policy, &mut state, event, now);
    (state, action)
}

/// A signal that `forward_in_same_phase` forwards is one that `next` would forward to the same recipient, with the same
/// state after it.
pub(super) fn check_forward_plain(policy: &Policy, state: &State, event: Event, now: Time) {
    let Event::Forward(signal) = event else { return };
    let (mut plain, mut decided) = (state.clone(), state.clone());
    match super::forward_in_same_phase(policy, &mut plain, signal) {
        None => assert_eq!(plain, *state, "{event:?}"),
        Some(to) => {
            let action = super::next(policy, &mut decided, event, now);
            assert_eq!((action, plain), (Action::Forward(signal, to), decided), "{policy:?}\n{state:?}");
        }
    }
}

fn killed(number: u64) -> Exit {
    Exit::Signal { signal: Signal::new(number).unwrap(), core: false }
}

/// Which processes are alive, and what has been requested: the test's own record, independent of `State`.
#[derive(Clone, Copy)]
struct World {
    server: bool,
    /// The server exited and other processes of its group are alive.
    group: bool,
    /// The remaining processes of the last run have been sent TERM.
    remaining_got_term: bool,
    /// All remaining processes have been sent TERM at the end.
    all_got_term: bool,
    handler: bool,
    /// The last action was a launch, which may fail.
    forking: bool,
    stopped: bool,
    finished: bool,
}

/// Checks the invariants of an action, and applies it to the world.
fn follow(world: &mut World, policy: &Policy, state: &State, action: Action) {
    assert!(!world.finished || action == Action::Wait, "an action after the end: {action:?}");
    world.forking = false;
    match action {
        Action::StartServer(_) => {
            assert!(!world.server, "two servers");
            assert!(!world.handler, "a server beside the handler");
            assert!(!world.group, "a server beside the last one's group");
            assert!(!world.all_got_term, "a server after the last one");
            assert!(!world.stopped, "a server after a stop");
            assert!(
                world.remaining_got_term || policy.linger_timeout.is_none() || state.unexpected_restarts == 0,
                "a run beside remains"
            );
            (world.server, world.forking, world.remaining_got_term) = (true, true, false);
        }
        Action::RunCrashHandler(_) => {
            assert!(!world.server && !world.handler && !world.group, "a handler beside other processes");
            assert!(!world.all_got_term, "a handler after the last server");
            assert!(!world.stopped, "a handler after a stop");
            (world.handler, world.forking) = (true, true);
        }
        // `explore/tests.rs` checks replacements.
        Action::StartCandidate | Action::SwitchToCandidate | Action::SendToSecondProcess(..) => {
            panic!("no replacement: {action:?}")
        }
        Action::Send(signal, to @ (Recipient::Server | Recipient::Group)) | Action::Forward(signal, to) => {
            assert!(world.server || world.group, "a signal to a dead server");
            assert!(to == Recipient::Group || policy.signal_scope == Recipient::Server, "{signal} to one of the group");
        }
        Action::Send(signal, Recipient::RemainingOfRun) => {
            assert!(!world.server && !world.handler, "only what outlives the server is cleared away");
            assert!(!world.all_got_term, "the last processes are ended once");
            assert!(world.group || policy.linger_timeout.is_some(), "processes are ended that no option is about");
            // The group may have received TERM as the stop signal.
            let asked = world.remaining_got_term
                || policy.stop_signal == Signal::TERM && policy.signal_scope == Recipient::Group;
            assert!(asked || signal == Signal::TERM, "KILL comes after TERM");
            world.remaining_got_term = true;
        }
        Action::Send(_, Recipient::CrashHandlerGroup) => {
            assert!(world.handler, "a signal to a dead handler")
        }
        Action::Finish(_) => {
            assert!(!world.server && !world.handler && !world.group, "an end that leaves a process");
            assert!(world.all_got_term == policy.linger_timeout.is_some(), "an end without asking what is left");
            world.finished = true;
        }
        Action::Send(signal, Recipient::AllProcesses) => {
            assert!(!world.server && !world.handler && !world.group, "a process is asked twice");
            assert_eq!(signal, if world.all_got_term { Signal::KILL } else { Signal::TERM }, "the order of signals");
            world.all_got_term = true;
        }
        Action::RecordRestartDelay(span) => {
            assert!(!world.server && !world.handler && !world.group, "a pause beside a process");
            assert_eq!(state.phase, Phase::Backoff { until: state.deadline().unwrap() });
            assert!(span > Span::ZERO, "a pause of no length");
        }
        Action::RecordStopDelay(span) => {
            assert!(world.server && span > Span::ZERO, "a delay of nothing");
            assert!(matches!(state.phase, Phase::DelayingStop { .. }));
        }
        Action::Wait | Action::ReportReady => {}
    }
    let asleep = !world.server && !world.handler && !world.group && state.deadline().is_none();
    assert!(world.finished || !asleep, "asleep for ever");
}

/// The events that can happen in this world, each with the world after it.
fn possible(policy: &Policy, world: World) -> Vec<(Event, World)> {
    let World { server, handler, group, remaining_got_term: clearing, all_got_term: lingering, .. } = world;
    let stopped = World { stopped: true, ..world };
    let mut events = vec![
        (Event::DeadlinePassed, world),
        (Event::Stop, stopped),
        (Event::Interrupt, stopped),
        (Event::Restart, world),
    ];
    if world.forking {
        let clearing = clearing || policy.linger_timeout.is_some();
        events
            .push((Event::ForkFailed, World { server: false, handler: false, remaining_got_term: clearing, ..world }));
    }
    if server {
        let gone = World { server: false, ..world };
        events.extend(
            [Event::Exited(Exit::Code(1)), Event::Exited(Exit::SUCCESS), Event::ExecFailed(127)]
                .map(|event| (event, gone)),
        );
        events.extend([
            (Event::Ready, world),
            (Event::NotReady, world),
            (Event::Heartbeat, world),
            (Event::Unhealthy, world),
            (Event::Forward(Signal::new(if policy.role == Role::InitWithTimeout { 15 } else { USR1 }).unwrap()), world),
        ]);
    }
    if server && policy.signal_scope == Recipient::Group {
        events.push((Event::LeaderExited, World { server: false, group: true, ..world }));
    }
    if group {
        let gone = World { group: false, ..world };
        events.extend([Event::Exited(Exit::Code(1)), Event::Exited(Exit::SUCCESS)].map(|event| (event, gone)));
        events.push((Event::Forward(Signal::TERM), world));
    }
    if clearing && !server && !group && !handler && !lingering {
        events.extend([Event::NoneLeft, Event::Forward(Signal::TERM)].map(|event| (event, world)));
    }
    if lingering {
        events.extend([Event::NoneLeft, Event::Forward(Signal::TERM)].map(|event| (event, world)));
    }
    if handler {
        let gone = World { handler: false, ..world };
        events.extend(
            [Event::HandlerExited(Exit::SUCCESS), Event::HandlerExited(Exit::Code(1))].map(|event| (event, gone)),
        );
    }
    events
}

/// The times at which an event is tried: before, at and after the deadline.
fn times(state: &State, event: Event, now: Time) -> Vec<Time> {
    match (state.deadline(), event) {
        (Some(until), Event::DeadlinePassed) => vec![now, until.max(now), until.max(now).after(Span::secs(40))],
        (Some(until), _) => vec![now.after(Span::millis(1)), until.max(now)],
        (None, Event::DeadlinePassed) => vec![now],
        (None, _) => vec![now.after(Span::millis(1)), now.after(Span::secs(11))],
    }
}

/// True if an event has no effect in a phase. This table is independent of the functions of the phases. It has no
/// wildcard for phases or events, so the compiler lists every pair that a new variant adds.
fn has_no_effect(phase: Phase, event: Event) -> bool {
    use Event::*;
    match (phase, event) {
        // The event repeats what is known, or comes too early.
        (Phase::Starting { .. }, Heartbeat | Unhealthy) | (Phase::Starting { .. } | Phase::Running, Unkillable) => true,
        (Phase::Stopping { .. }, Ready | NotReady | Heartbeat | Unhealthy) => true,
        (Phase::HandlerRunning { .. } | Phase::Backoff { .. } | Phase::ForkRetry { .. }, Unkillable) => true,
        (Phase::HandlerTimedOut { .. }, Restart | Unkillable) => true,
        (Phase::HandlerStopping { .. }, Stop | Restart | Unkillable) => true,
        (Phase::DrainingRemaining { .. }, Stop | Restart | Unkillable) => true,
        (Phase::KillingRemaining { .. }, Stop | Interrupt | Restart | Unkillable) => true,
        (Phase::Running, NotReady) => true,
        (
            Phase::DelayingStop { .. },
            Restart | Ready | NotReady | Heartbeat | Unhealthy | HandlerExited(_) | NoneLeft | Unkillable | ForkFailed,
        ) => true,
        // Without a replacement there is no second process.
        (Phase::AwaitingSecondProcessExit { .. }, _) | (_, Replace | OfSecondProcess(_)) => true,
        // No handler is running that could exit.
        (
            Phase::Starting { .. }
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Backoff { .. }
            | Phase::ForkRetry { .. },
            HandlerExited(_) | NoneLeft,
        ) => true,
        // No server is running that could exit or receive a signal.
        (
            Phase::HandlerRunning { .. } | Phase::HandlerTimedOut { .. } | Phase::HandlerStopping { .. },
            Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | NoneLeft | Forward(_),
        ) => true,
        (
            Phase::Backoff { .. } | Phase::ForkRetry { .. },
            Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited,
        )
        | (Phase::Backoff { .. }, Forward(_)) => true,
        (
            Phase::DrainingRemaining { .. } | Phase::KillingRemaining { .. },
            Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
            | Forward(_) | ForkFailed,
        ) => true,
        // Nothing has been launched.
        (Phase::Stopping { .. } | Phase::HandlerTimedOut { .. } | Phase::HandlerStopping { .. }, ForkFailed) => true,
        (Phase::Backoff { .. } | Phase::ForkRetry { .. }, ForkFailed) => true,
        (
            Phase::Done,
            DeadlinePassed | Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | LeaderExited | ExecFailed(_)
            | HandlerExited(_) | NoneLeft | ForkFailed | Stop | Interrupt | Restart | Forward(_) | Unkillable,
        ) => true,
        // Pairs with an effect, at least in some states of the phase.
        (
            Phase::Starting { .. } | Phase::Running,
            Ready | ExecFailed(_) | ForkFailed | Exited(_) | LeaderExited | DeadlinePassed,
        )
        | (Phase::Starting { .. }, NotReady)
        | (Phase::Running, Heartbeat | Unhealthy)
        | (Phase::Starting { .. } | Phase::Running, Stop | Interrupt | Restart | Forward(_))
        | (
            Phase::Stopping { .. },
            Forward(_) | DeadlinePassed | Unkillable | Interrupt | Stop | Restart | Exited(_) | ExecFailed(_)
            | LeaderExited,
        )
        | (
            Phase::DelayingStop { .. },
            DeadlinePassed | Stop | Interrupt | Forward(_) | Exited(_) | ExecFailed(_) | LeaderExited,
        )
        | (
            Phase::StoppingRemaining { .. },
            DeadlinePassed | Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | LeaderExited | ExecFailed(_)
            | HandlerExited(_) | NoneLeft | ForkFailed | Stop | Interrupt | Restart | Forward(_) | Unkillable,
        )
        | (Phase::HandlerRunning { .. }, HandlerExited(_) | DeadlinePassed | Stop | Interrupt | Restart | ForkFailed)
        | (Phase::HandlerTimedOut { .. }, HandlerExited(_) | DeadlinePassed | Stop | Interrupt)
        | (Phase::HandlerStopping { .. }, HandlerExited(_) | DeadlinePassed | Interrupt)
        | (Phase::Backoff { .. } | Phase::ForkRetry { .. }, DeadlinePassed | Restart | Stop | Interrupt)
        | (Phase::ForkRetry { .. }, Forward(_))
        | (Phase::DrainingRemaining { .. }, DeadlinePassed | Interrupt | NoneLeft)
        | (Phase::KillingRemaining { .. }, DeadlinePassed | NoneLeft) => false,
    }
}

fn walk(policy: &Policy, state: &State, world: World, now: Time, depth: usize) -> u64 {
    let mut count = 1;
    if depth == 0 {
        return count;
    }
    for (event, after) in possible(policy, world) {
        for time in times(state, event, now) {
            let mut world = after;
            let (next, action) = step(policy, state.clone(), event, time);
            if has_no_effect(state.phase, event) {
                assert_eq!((next.phase, action), (state.phase, Action::Wait), "{event:?}");
            }
            follow(&mut world, policy, &next, action);
            if !world.finished {
                count += walk(policy, &next, world, time, depth - 1);
            }
        }
    }
    count
}

/// As in `tini -g` and dumb-init: the whole group gets forwarded signals, but its processes that outlive the server are
/// not ended.
#[test]
fn only_forwarded_signals_go_to_the_group() {
    let policy = Policy { forwards_to_group: true, role: Role::Init, ..policy() };
    let mut state = State::new(&policy, Time::default());
    next(&policy, &mut state, Event::Ready, Time::default());
    let sent = next(&policy, &mut state, Event::Forward(Signal::TERM), Time::default());
    assert_eq!(sent, Action::Forward(Signal::TERM, Recipient::Group));
    assert_eq!(policy.signal_scope, Recipient::Server);
}

#[test]
fn every_short_history_holds() {
    let limit = Some(RestartLimit { restarts: 1, within: Span::secs(60) });
    let start = World {
        server: true,
        group: false,
        remaining_got_term: false,
        all_got_term: false,
        handler: false,
        forking: true,
        stopped: false,
        finished: false,
    };
    let policies = [
        policy(),
        Policy { handler: CrashHandlerPolicy::MustExitWithin(Span::secs(5)), restart: Restart::Always, ..policy() },
        Policy { handler: CrashHandlerPolicy::NoTimeout, stop_timeout: None, limit, ..policy() },
        Policy { restart_delay_range: (Span::ZERO, Span::ZERO), restart: Restart::OnAbort, limit, ..policy() },
        Policy { restart: Restart::No, ..policy() },
        Policy { restart: Restart::No, role: Role::Init, linger_timeout: Some(Span::secs(3)), ..policy() },
        Policy { restart: Restart::No, role: Role::InitWithTimeout, signal_scope: Recipient::Group, ..policy() },
        Policy { signal_scope: Recipient::Group, linger_timeout: Some(Span::secs(3)), stop_timeout: None, ..policy() },
        Policy { linger_timeout: Some(Span::secs(3)), handler: CrashHandlerPolicy::NoTimeout, limit, ..policy() },
        Policy { signal_scope: Recipient::Group, stop_signal: Signal::INT, role: Role::InitWithTimeout, ..policy() },
        Policy {
            signal_scope: Recipient::Group,
            handler: CrashHandlerPolicy::NoTimeout,
            ready_timeout: Some(Span::secs(9)),
            ..policy()
        },
        Policy { watchdog: Some(Span::secs(3)), restart: Restart::OnAbort, ..policy() },
        Policy { stop_delay: Some(Span::secs(7)), handler: CrashHandlerPolicy::NoTimeout, ..policy() },
        Policy { stop_delay: Some(Span::secs(7)), restart: Restart::No, role: Role::InitWithTimeout, ..policy() },
        Policy {
            stop_delay: Some(Span::secs(7)),
            signal_scope: Recipient::Group,
            linger_timeout: Some(Span::secs(3)),
            watchdog: Some(Span::secs(3)),
            ..policy()
        },
    ];
    // Miri is some hundred times slower and checks for undefined behaviour, not for these invariants.
    let (depth, at_least) = if cfg!(miri) { (2, 100) } else { (6, 1_000_000) };
    let mut count = 0;
    for policy in &policies {
        // Policies that end remaining processes have many more histories.
        let alone = policy.signal_scope == Recipient::Server && policy.linger_timeout.is_none();
        let depth = if alone { depth } else { depth - 1 };
        count += walk(policy, &State::new(policy, Time(0)), start, Time(0), depth);
    }
    assert!(count > at_least, "only {count} histories");
}

/// No event has an effect in `Phase::Done`.
#[test]
fn no_event_has_an_effect_after_the_end() {
    let policy = policy();
    let (state, action) = step(&policy, State::new(&policy, Time(0)), Event::ExecFailed(127), Time(0));
    assert_eq!(action, Action::Finish(Ending::FirstStartFailed(127)));
    let all = [
        Event::DeadlinePassed,
        Event::Ready,
        Event::NotReady,
        Event::Heartbeat,
        Event::Unhealthy,
        Event::Exited(Exit::Code(1)),
        Event::LeaderExited,
        Event::ExecFailed(1),
        Event::HandlerExited(Exit::SUCCESS),
        Event::NoneLeft,
        Event::ForkFailed,
        Event::Stop,
        Event::Interrupt,
        Event::Restart,
        Event::Forward(Signal::TERM),
        Event::Unkillable,
    ];
    for event in all {
        let (next, action) = step(&policy, state.clone(), event, Time(9));
        assert_eq!((next.phase, action), (Phase::Done, Action::Wait), "{event:?}");
    }
}

/// A state machine with a clock that the test moves.
struct Story {
    policy: Policy,
    state: State,
    now: Time,
}

impl Story {
    fn new(policy: Policy) -> Self {
        let state = State::new(&policy, Time(0));
        let mut story = Self { policy, state, now: Time(0) };
        assert_eq!(story.at(0, Event::Ready), Action::ReportReady);
        story
    }

    /// Applies an event this many milliseconds later.
    fn at(&mut self, later: u64, event: Event) -> Action {
        self.now = self.now.after(Span(later));
        let (state, action) = step(&self.policy, self.state.clone(), event, self.now);
        self.state = state;
        action
    }

    /// The server exits unexpectedly after `life` milliseconds. Returns the pause before the restart.
    fn crash_after(&mut self, life: u64) -> u64 {
        match self.at(life, Event::Exited(Exit::Code(1))) {
            Action::StartServer(LogFilesAtStart::Keep) => 0,
            Action::RecordRestartDelay(_) => {
                let rest = self.state.deadline().unwrap().since(self.now).0;
                assert_eq!(self.at(rest, Event::DeadlinePassed), Action::StartServer(LogFilesAtStart::Keep));
                rest
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_server_that_is_not_ready_is_stopped_and_is_a_failure() {
    let policy = Policy { ready_timeout: Some(Span::secs(5)), handler: CrashHandlerPolicy::NoTimeout, ..policy() };
    for (later, event) in [(5000, Event::DeadlinePassed), (1, Event::NotReady)] {
        let state = State::new(&policy, Time(0));
        let mut story = Story { policy: policy.clone(), state, now: Time(0) };
        assert_eq!(story.at(0, Event::DeadlinePassed), Action::Wait);
        assert_eq!(story.at(later, event), Action::Send(Signal::TERM, Recipient::Server));
        assert_eq!(story.at(1, Event::Ready), Action::Wait);
        assert_eq!(story.at(30_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
        assert_eq!(story.at(1, Event::Exited(Exit::SUCCESS)), Action::Finish(Ending::FirstStartFailed(125)));
    }
    let mut ended = Story { state: State::new(&policy, Time(0)), policy: policy.clone(), now: Time(0) };
    assert_eq!(ended.at(1, Event::Exited(Exit::SUCCESS)), Action::Finish(Ending::FirstStartFailed(125)));
    // After the first Ready, later runs have no ready timeout.
    let mut ready = Story::new(policy);
    assert_eq!(ready.state.deadline(), None);
    assert_eq!(ready.at(6000, Event::NotReady), Action::Wait);
}

#[test]
fn restart_delays_double_until_a_stable_run_resets_them() {
    let mut story = Story::new(policy());
    let rests: Vec<u64> = (0..12).map(|_| story.crash_after(5)).collect();
    assert_eq!(rests, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
    assert_eq!((story.crash_after(9_999), story.crash_after(10_000), story.crash_after(1)), (30_000, 0, 100));
    assert_eq!(story.state.unexpected_restarts(), 15);

    let mut short = Story::new(Policy { restart_delay_range: (Span(10), Span(500)), ..policy() });
    assert_eq!(
        [short.crash_after(1), short.crash_after(1), short.crash_after(499), short.crash_after(500)],
        [0, 10, 20, 0]
    );
}

#[test]
fn any_number_of_consecutive_failures_is_counted() {
    let mut story = Story::new(policy());
    story.state.consecutive_failures = u32::MAX;
    assert_eq!(story.crash_after(1), 30_000);
}

#[test]
fn a_limit_counts_restarts_within_its_window() {
    let limit = Some(RestartLimit { restarts: 2, within: Span::secs(60) });
    let mut story = Story::new(Policy { limit, restart_delay_range: (Span::ZERO, Span::ZERO), ..policy() });
    assert_eq!((story.crash_after(1000), story.crash_after(1000)), (0, 0));
    // A requested restart does not count.
    assert_eq!(story.at(0, Event::Restart), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(story.at(0, Event::Exited(killed(15))), Action::StartServer(LogFilesAtStart::Rotate));
    // The first of the two restarts is 60 s old, so it no longer counts.
    assert_eq!(story.crash_after(59_000), 0);
    let ending = Ending::GaveUp(Exit::Code(1));
    assert_eq!(story.at(999, Event::Exited(Exit::Code(1))), Action::Finish(ending));
    assert_eq!(ending.status(), 1);
}

#[test]
fn the_restart_policy_decides_which_exits_are_unexpected() {
    use Restart::{Always, No, OnAbort, OnFailure};
    let success = SuccessExits::parse(b"3,SIGUSR2").unwrap();
    let exits = [Exit::SUCCESS, Exit::Code(3), Exit::Code(1), killed(9), killed(12)];
    for (restart, restarted) in [
        (No, [false; 5]),
        (OnFailure, [false, false, true, true, false]),
        (OnAbort, [false, false, false, true, false]),
        (Always, [true; 5]),
    ] {
        for (exit, restarted) in exits.into_iter().zip(restarted) {
            let mut story = Story::new(Policy { restart, success, ..policy() });
            let action = story.at(1, Event::Exited(exit));
            let ending = Ending::ServerExited(if success.contains(exit) { Exit::SUCCESS } else { exit });
            let expected = if restarted { Action::StartServer(LogFilesAtStart::Keep) } else { Action::Finish(ending) };
            assert_eq!(action, expected, "{restart:?} {exit}");
        }
    }
}

#[test]
fn death_by_a_forwarded_signal_is_requested_only_if_the_signal_asks_for_an_end() {
    let winch = Signal::parse(b"WINCH").unwrap();
    for (number, requested) in
        [(1, true), (2, true), (3, true), (9, true), (15, true), (28, true), (10, false), (11, false), (40, false)]
    {
        for restart in [Restart::OnFailure, Restart::OnAbort, Restart::Always] {
            let signal = Signal::new(number).unwrap();
            let rules = Policy { stop_signal: winch, handler: CrashHandlerPolicy::NoTimeout, restart, ..policy() };
            let mut story = Story::new(rules);
            assert_eq!(story.at(1, Event::Forward(signal)), Action::Forward(signal, Recipient::Server), "once");
            let action = story.at(20_000, Event::Exited(killed(number)));
            let ending = Action::Finish(Ending::ServerExited(killed(number)));
            assert_eq!(action, if requested { ending } else { Action::RunCrashHandler(killed(number)) }, "{signal}");
        }
    }
    // HUP was forwarded only to an earlier run, so death by HUP is a crash of this run.
    let mut story = Story::new(policy());
    story.at(1, Event::Forward(Signal::HUP));
    assert_eq!(story.at(1, Event::Exited(killed(9))), Action::StartServer(LogFilesAtStart::Keep));
    assert_eq!(story.at(20_000, Event::Exited(killed(1))), Action::StartServer(LogFilesAtStart::Keep));
}

#[test]
fn the_command_time_limit_does_not_stop_a_server_ready_at_exec() {
    let rules = Policy { ready_timeout: Some(Span::secs(5)), ..policy() };
    let action_at_the_limit = |has_limit: bool| {
        let mut state = State::new(&rules, Time(0));
        state.set_server_start_time(Time(4000));
        if !has_limit {
            state.clear_start_deadline();
        }
        step(&rules, state, Event::DeadlinePassed, Time(5000)).1
    };
    assert_eq!(action_at_the_limit(true), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(action_at_the_limit(false), Action::Wait);
}

#[test]
fn a_stop_sends_term_and_after_the_timeout_kill() {
    let mut story = Story::new(policy());
    assert_eq!(story.at(1, Event::Stop), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(story.at(1, Event::Stop), Action::Wait);
    assert_eq!(story.at(1, Event::Restart), Action::Wait);
    assert_eq!(story.at(29_997, Event::DeadlinePassed), Action::Wait);
    assert_eq!(story.at(1, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
    assert_eq!(story.at(30_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
    assert_eq!(story.at(1, Event::Exited(killed(9))), Action::Finish(Ending::Stopped));

    let mut impatient = Story::new(Policy { stop_timeout: None, ..policy() });
    assert_eq!(impatient.at(1, Event::Interrupt), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(impatient.state.deadline(), None);
    assert_eq!(impatient.at(1, Event::Interrupt), Action::Send(Signal::KILL, Recipient::Group));
}

#[test]
fn a_stop_wins_over_a_restart() {
    let mut story = Story::new(policy());
    assert_eq!(story.at(1, Event::Restart), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(story.at(1, Event::Stop), Action::Wait);
    assert_eq!(story.at(1, Event::Exited(Exit::Code(1))), Action::Finish(Ending::Stopped));
}

#[test]
fn the_crash_handler_decides_within_its_timeout() {
    let patient = Policy { handler: CrashHandlerPolicy::MustExitWithin(Span::secs(5)), ..policy() };
    let ask = |story: &mut Story| {
        assert_eq!(story.at(1, Event::Exited(Exit::Code(7))), Action::RunCrashHandler(Exit::Code(7)))
    };

    let mut story = Story::new(patient.clone());
    ask(&mut story);
    assert_eq!(story.at(1, Event::HandlerExited(Exit::SUCCESS)), Action::StartServer(LogFilesAtStart::Keep));
    ask(&mut story);
    // A restart was requested while the handler ran, so there is no restart delay.
    assert_eq!(story.at(1, Event::Restart), Action::Wait);
    assert_eq!(story.at(1, Event::HandlerExited(Exit::SUCCESS)), Action::StartServer(LogFilesAtStart::Rotate));
    ask(&mut story);
    assert_eq!(story.at(1, Event::HandlerExited(killed(9))), Action::Finish(Ending::ServerExited(Exit::Code(7))));

    let mut slow = Story::new(patient.clone());
    ask(&mut slow);
    assert_eq!(slow.at(5000, Event::DeadlinePassed), Action::Send(Signal::TERM, Recipient::CrashHandlerGroup));
    assert_eq!(slow.at(30_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::CrashHandlerGroup));
    assert_eq!(slow.at(1, Event::HandlerExited(Exit::SUCCESS)), Action::Finish(Ending::ServerExited(Exit::Code(7))));

    let mut stopped = Story::new(patient);
    ask(&mut stopped);
    assert_eq!(stopped.at(1, Event::Stop), Action::Send(Signal::TERM, Recipient::CrashHandlerGroup));
    assert_eq!(stopped.at(1, Event::Interrupt), Action::Send(Signal::KILL, Recipient::CrashHandlerGroup));
    assert_eq!(stopped.at(1, Event::HandlerExited(Exit::SUCCESS)), Action::Finish(Ending::Stopped));
}

#[test]
fn a_fork_that_fails_is_tried_again() {
    let mut story = Story::new(policy());
    assert_eq!(story.at(1, Event::Exited(Exit::Code(1))), Action::StartServer(LogFilesAtStart::Keep));
    for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        assert_eq!(story.at(0, Event::ForkFailed), Action::Wait);
        assert_eq!(story.at(wait - 1, Event::DeadlinePassed), Action::Wait);
        assert_eq!(story.at(1, Event::DeadlinePassed), Action::StartServer(LogFilesAtStart::Keep));
    }
    // A successful launch resets the fork back-off.
    assert_eq!(story.at(1, Event::Exited(Exit::Code(1))), Action::RecordRestartDelay(Span(100)));
    assert_eq!(story.at(100, Event::DeadlinePassed), Action::StartServer(LogFilesAtStart::Keep));
    assert_eq!(story.at(0, Event::ForkFailed), Action::Wait);
    assert_eq!(story.state.deadline().unwrap().since(story.now), Span::millis(100));
    assert_eq!(story.at(0, Event::Restart), Action::StartServer(LogFilesAtStart::Rotate));
    assert_eq!(story.at(0, Event::ForkFailed), Action::Wait);
    assert_eq!(story.at(0, Event::Stop), Action::Finish(Ending::Stopped));
}

#[test]
fn a_failed_first_start_ends_the_supervision() {
    let policy = policy();
    for (event, status) in [(Event::ExecFailed(126), 126), (Event::ForkFailed, 125)] {
        let (_, action) = step(&policy, State::new(&policy, Time(0)), event, Time(0));
        assert_eq!(action, Action::Finish(Ending::FirstStartFailed(status)));
    }
    let mut later = Story::new(policy);
    assert_eq!(later.at(1, Event::ExecFailed(126)), Action::StartServer(LogFilesAtStart::Keep));
}

#[test]
fn an_init_ends_as_the_server_ends() {
    let term = Exit::Signal { signal: Signal::TERM, core: false };
    let init = Policy { restart: Restart::No, role: Role::Init, ..policy() };
    for exit in [Exit::SUCCESS, Exit::Code(255), killed(9), term] {
        let mut story = Story::new(init.clone());
        assert_eq!(story.at(1, Event::Forward(Signal::TERM)), Action::Forward(Signal::TERM, Recipient::Server));
        assert_eq!(story.state.deadline(), None, "no clock unless it was asked for");
        assert_eq!(story.at(1, Event::Exited(exit)), Action::Finish(Ending::ServerExited(exit)));
    }
    // With `--on-signal`, a signal can also stop an init.
    let mut stopped = Story::new(init.clone());
    assert_eq!(stopped.at(1, Event::Stop), Action::Send(Signal::TERM, Recipient::Server));
    assert_eq!(stopped.at(1, Event::Exited(Exit::Code(3))), Action::Finish(Ending::ServerExited(Exit::Code(3))));
    // Before the exec, death by the forwarded signal is the server's exit; any other death is a failed start.
    for (passed, ending) in [(15, Ending::ServerExited(term)), (2, Ending::FirstStartFailed(125))] {
        let state = State::new(&init, Time(0));
        let (state, _) = step(&init, state, Event::Forward(Signal::new(passed).unwrap()), Time(1));
        assert_eq!(step(&init, state, Event::Exited(term), Time(2)).1, Action::Finish(ending));
    }
}

/// `--on-signal` can make an init restart too. A TERM forwarded during that restart must still end the service.
#[test]
fn after_a_forwarded_term_no_server_is_started() {
    let init = Policy { restart: Restart::No, role: Role::Init, ..policy() };
    for (policy, role) in [(&init, Role::Init), (&init, Role::InitWithTimeout), (&policy(), Role::Manager)] {
        let policy = Policy { role, ..policy.clone() };
        let managed = role == Role::Manager;
        let mut story = Story::new(policy.clone());
        assert_eq!(story.at(1, Event::Restart), Action::Send(Signal::TERM, Recipient::Server));
        assert_eq!(story.at(1, Event::Forward(Signal::HUP)), Action::Forward(Signal::HUP, Recipient::Server));
        assert_eq!(story.at(1, Event::Forward(Signal::TERM)), Action::Forward(Signal::TERM, Recipient::Server));
        let over = Action::Finish(Ending::ServerExited(Exit::Code(3)));
        let next = story.at(1, Event::Exited(Exit::Code(3)));
        assert_eq!(next, if managed { Action::StartServer(LogFilesAtStart::Rotate) } else { over });

        let mut short = Story::new(policy);
        short.at(1, Event::Restart);
        assert_eq!(short.at(1, Event::Exited(Exit::Code(3))), Action::StartServer(LogFilesAtStart::Rotate));
        assert_eq!(short.at(0, Event::ForkFailed), Action::Wait);
        assert_eq!(short.at(0, Event::Forward(Signal::HUP)), Action::Wait);
        let next = short.at(0, Event::Forward(Signal::TERM));
        assert_eq!(next, if managed { Action::Wait } else { Action::Finish(Ending::Stopped) });
    }
}

#[test]
fn an_init_with_a_stop_timeout_kills_after_a_forwarded_stop() {
    let guard = Policy { restart: Restart::No, role: Role::InitWithTimeout, stop_signal: Signal::INT, ..policy() };
    for signal in [Signal::TERM, Signal::INT] {
        let mut story = Story::new(guard.clone());
        assert_eq!(story.at(1, Event::Forward(Signal::HUP)), Action::Forward(Signal::HUP, Recipient::Server));
        assert_eq!(story.state.deadline(), None);
        assert_eq!(story.at(1, Event::Forward(signal)), Action::Send(signal, Recipient::Server));
        // A second TERM is forwarded too, and does not extend the deadline.
        assert_eq!(story.at(20_000, Event::Forward(signal)), Action::Forward(signal, Recipient::Server));
        assert_eq!(story.at(10_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
        assert_eq!(story.at(1, Event::Exited(killed(9))), Action::Finish(Ending::ServerExited(killed(9))));
    }
}

#[test]
fn the_rest_of_a_group_ends_before_anything_follows() {
    let grouped = Policy { signal_scope: Recipient::Group, handler: CrashHandlerPolicy::NoTimeout, ..policy() };
    let left = |policy: &Policy| {
        let mut story = Story::new(policy.clone());
        assert_eq!(story.at(1, Event::LeaderExited), Action::Send(Signal::TERM, Recipient::RemainingOfRun));
        story
    };
    let mut slow = left(&grouped);
    assert_eq!(slow.at(30_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::RemainingOfRun));
    assert_eq!(
        slow.at(5_000, Event::DeadlinePassed),
        Action::Send(Signal::KILL, Recipient::RemainingOfRun),
        "and again"
    );
    assert_eq!(slow.at(1, Event::Exited(Exit::Code(7))), Action::RunCrashHandler(Exit::Code(7)));
    assert_eq!(left(&grouped).at(1, Event::Exited(Exit::SUCCESS)), Action::Finish(Ending::ServerExited(Exit::SUCCESS)));

    let mut restarted = left(&grouped);
    assert_eq!(restarted.at(1, Event::Restart), Action::Wait);
    assert_eq!(restarted.at(1, Event::Exited(Exit::Code(7))), Action::StartServer(LogFilesAtStart::Rotate));

    let mut stopped = left(&grouped);
    assert_eq!(stopped.at(1, Event::Interrupt), Action::Wait);
    assert_eq!(stopped.at(1, Event::Interrupt), Action::Send(Signal::KILL, Recipient::RemainingOfRun));
    assert_eq!(stopped.at(1, Event::Exited(Exit::Code(7))), Action::Finish(Ending::Stopped));

    // A stop has already sent TERM to the whole group.
    let mut asked = Story::new(grouped.clone());
    assert_eq!(asked.at(1, Event::Stop), Action::Send(Signal::TERM, Recipient::Group));
    assert_eq!(asked.at(1, Event::LeaderExited), Action::Wait);
    assert_eq!(asked.at(29_999, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::RemainingOfRun));
    assert_eq!(asked.at(1, Event::Exited(killed(15))), Action::Finish(Ending::Stopped));

    // The stop signal was not TERM, so the rest of the group still gets TERM.
    let mut own = Story::new(Policy { stop_signal: Signal::INT, ..grouped.clone() });
    assert_eq!(own.at(1, Event::Restart), Action::Send(Signal::INT, Recipient::Group));
    assert_eq!(own.at(1, Event::LeaderExited), Action::Send(Signal::TERM, Recipient::RemainingOfRun));
    assert_eq!(own.at(1, Event::Exited(killed(2))), Action::StartServer(LogFilesAtStart::Rotate));

    // A leader that exits before the server is ready is a failed first start.
    let (state, action) = step(&grouped, State::new(&grouped, Time(0)), Event::LeaderExited, Time(1));
    assert_eq!(action, Action::Send(Signal::TERM, Recipient::RemainingOfRun));
    let (_, action) = step(&grouped, state, Event::Exited(Exit::SUCCESS), Time(2));
    assert_eq!(action, Action::Finish(Ending::FirstStartFailed(125)));
}

#[test]
fn remaining_processes_get_term_then_kill_and_are_then_ignored() {
    let lingering = Policy { linger_timeout: Some(Span::secs(3)), restart: Restart::No, ..policy() };
    let ending = Ending::ServerExited(Exit::Code(7));
    let fallen = || {
        let mut story = Story::new(lingering.clone());
        assert_eq!(story.at(1, Event::Exited(Exit::Code(7))), Action::Send(Signal::TERM, Recipient::AllProcesses));
        story
    };
    assert_eq!(fallen().at(1, Event::NoneLeft), Action::Finish(ending));
    let mut slow = fallen();
    assert_eq!(slow.at(2999, Event::Stop), Action::Wait);
    assert_eq!(slow.at(1, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::AllProcesses));
    assert_eq!(slow.at(1, Event::NoneLeft), Action::Finish(ending));
    let mut urgent = fallen();
    assert_eq!(urgent.at(1, Event::Interrupt), Action::Send(Signal::KILL, Recipient::AllProcesses));
    assert_eq!(urgent.at(4999, Event::Interrupt), Action::Wait);
    // A process that hangs in the kernel survives KILL.
    assert_eq!(urgent.at(1, Event::DeadlinePassed), Action::Finish(ending));
}

#[test]
fn a_watchdog_timeout_ends_the_server_and_is_a_failure() {
    let watched = Policy { watchdog: Some(Span::secs(3)), ..policy() };
    let bite = Action::Send(Signal::ABRT, Recipient::Server);
    for restart in [Restart::OnFailure, Restart::OnAbort, Restart::Always] {
        let mut story = Story::new(Policy { restart, ..watched.clone() });
        assert_eq!(story.at(2999, Event::Heartbeat), Action::Wait);
        assert_eq!((story.at(2999, Event::DeadlinePassed), story.at(1, Event::DeadlinePassed)), (Action::Wait, bite));
        assert_eq!(story.state.forced, Some(ForcedStop::Watchdog));
        assert_eq!(story.at(1, Event::Heartbeat), Action::Wait, "too late");
        assert_eq!(story.at(29_999, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
        assert_eq!(
            story.at(1, Event::Exited(Exit::SUCCESS)),
            Action::StartServer(LogFilesAtStart::Keep),
            "{restart:?}"
        );
        // The watchdog of the next run starts when that run is ready.
        assert_eq!(story.state.forced, None);
        assert_eq!((story.at(900, Event::Heartbeat), story.state.deadline()), (Action::Wait, None));
        assert_eq!(story.at(1, Event::Ready), Action::Wait);
        assert_eq!(story.at(3000, Event::DeadlinePassed), bite);
        assert_eq!(story.at(1, Event::Exited(killed(6))), Action::RecordRestartDelay(Span(100)));
    }
    let mut handled = Story::new(Policy { handler: CrashHandlerPolicy::NoTimeout, ..watched.clone() });
    assert_eq!(handled.at(3000, Event::DeadlinePassed), bite);
    assert_eq!(handled.at(1, Event::Exited(killed(6))), Action::RunCrashHandler(killed(6)));
    let mut stopped = Story::new(watched.clone());
    assert_eq!(stopped.at(3000, Event::DeadlinePassed), bite);
    assert_eq!(stopped.at(1, Event::Stop), Action::Wait);
    assert_eq!(stopped.at(1, Event::Exited(killed(6))), Action::Finish(Ending::Stopped));
    let mut alone = Story::new(Policy { restart: Restart::No, ..watched });
    assert_eq!(alone.at(3000, Event::DeadlinePassed), bite);
    assert_eq!(alone.at(1, Event::Exited(killed(6))), Action::Finish(Ending::ServerExited(killed(6))));
}

#[test]
fn a_stop_is_delayed_until_its_time_or_a_second_request() {
    let delayed = Policy { stop_delay: Some(Span::secs(20)), handler: CrashHandlerPolicy::NoTimeout, ..policy() };
    let (term, kill) = (Action::Send(Signal::TERM, Recipient::Server), Action::Send(Signal::KILL, Recipient::Group));
    let asked = |event| {
        let mut story = Story::new(delayed.clone());
        assert_eq!(story.at(1, event), Action::RecordStopDelay(Span::secs(20)));
        story
    };
    let mut slow = asked(Event::Stop);
    assert_eq!(slow.at(1, Event::Restart), Action::Wait, "a stop takes precedence");
    let usr1 = Signal::new(USR1).unwrap();
    assert_eq!(slow.at(1, Event::Forward(usr1)), Action::Forward(usr1, Recipient::Server));
    assert_eq!((slow.at(19_997, Event::DeadlinePassed), slow.at(1, Event::DeadlinePassed)), (Action::Wait, term));
    assert_eq!((slow.at(29_999, Event::DeadlinePassed), slow.at(1, Event::DeadlinePassed)), (Action::Wait, kill));
    assert_eq!(slow.at(1, Event::Exited(killed(9))), Action::Finish(Ending::Stopped));
    for second in [Event::Stop, Event::Interrupt] {
        let mut urgent = asked(Event::Interrupt);
        assert_eq!((urgent.at(1, second), urgent.at(1, Event::Stop)), (term, Action::Wait));
        assert_eq!(urgent.at(1, Event::Interrupt), kill);
    }
    // The server may exit during the delay, with any status.
    for event in [Event::Exited(Exit::Code(7)), Event::Exited(killed(11)), Event::ExecFailed(127)] {
        assert_eq!(asked(Event::Stop).at(1, event), Action::Finish(Ending::Stopped), "{event:?}");
    }
    // A restart is not delayed, nor is the stop of a server that was never ready.
    let mut restarted = Story::new(delayed.clone());
    assert_eq!(restarted.at(1, Event::Restart), term);
    assert_eq!(restarted.at(1, Event::Stop), Action::Wait);
    assert_eq!(restarted.at(1, Event::Exited(killed(15))), Action::Finish(Ending::Stopped));
    assert_eq!(step(&delayed, State::new(&delayed, Time(0)), Event::Stop, Time(1)).1, term);
    // The remaining processes of the group have not been sent TERM yet.
    let mut group = Story::new(Policy { signal_scope: Recipient::Group, ..delayed.clone() });
    group.at(1, Event::Stop);
    assert_eq!(group.at(1, Event::LeaderExited), Action::Send(Signal::TERM, Recipient::RemainingOfRun));
    assert_eq!(group.at(1, Event::Exited(Exit::Code(1))), Action::Finish(Ending::Stopped));
}

#[test]
fn an_init_delays_the_first_signal_that_asks_for_the_end() {
    let delay = Action::RecordStopDelay(Span::secs(20));
    for role in [Role::Init, Role::InitWithTimeout] {
        let init = Policy { stop_delay: Some(Span::secs(20)), role, restart: Restart::No, ..policy() };
        for signal in [Signal::TERM, Signal::INT] {
            let sent = if role == Role::InitWithTimeout && signal == Signal::TERM {
                Action::Send(signal, Recipient::Server)
            } else {
                Action::Forward(signal, Recipient::Server)
            };
            let mut story = Story::new(init.clone());
            assert_eq!(story.at(1, Event::Forward(Signal::HUP)), Action::Forward(Signal::HUP, Recipient::Server));
            assert_eq!(story.at(1, Event::Forward(signal)), delay);
            assert_eq!(
                (story.at(19_999, Event::DeadlinePassed), story.at(1, Event::DeadlinePassed)),
                (Action::Wait, sent),
                "{signal}"
            );
            // Only the first signal that asks for the end is delayed.
            assert_eq!(story.at(1, Event::Forward(Signal::INT)), Action::Forward(Signal::INT, Recipient::Server));
            assert_eq!(story.at(1, Event::Exited(Exit::Code(3))), Action::Finish(Ending::ServerExited(Exit::Code(3))));

            let mut urgent = Story::new(init.clone());
            assert_eq!(urgent.at(1, Event::Forward(signal)), delay);
            assert_eq!(urgent.at(1, Event::Forward(Signal::INT)), sent, "a second request skips the wait");
            let mut short = Story::new(init.clone());
            assert_eq!(short.at(1, Event::Forward(signal)), delay);
            assert_eq!(short.at(1, Event::Exited(killed(11))), Action::Finish(Ending::ServerExited(killed(11))));
        }
        let mut stopped = Story::new(init);
        assert_eq!(stopped.at(1, Event::Stop), delay);
        assert_eq!(stopped.at(20_000, Event::DeadlinePassed), Action::Send(Signal::TERM, Recipient::Server));
    }
}

#[test]
fn the_watchdog_rests_while_a_stop_is_delayed() {
    let watched = Policy { stop_delay: Some(Span::secs(20)), watchdog: Some(Span::secs(3)), ..policy() };
    let mut story = Story::new(Policy { role: Role::Init, restart: Restart::No, ..watched });
    assert_eq!(story.at(1, Event::Forward(Signal::TERM)), Action::RecordStopDelay(Span::secs(20)));
    assert_eq!(story.at(4000, Event::DeadlinePassed), Action::Wait);
    assert_eq!(story.at(16_000, Event::DeadlinePassed), Action::Forward(Signal::TERM, Recipient::Server));
    assert_eq!(story.at(2999, Event::DeadlinePassed), Action::Wait, "it has the whole time again");
    assert_eq!(story.at(1, Event::DeadlinePassed), Action::Send(Signal::ABRT, Recipient::Server));
}

#[test]
fn an_unhealthy_server_is_stopped_and_that_is_a_failure() {
    let term = Action::Send(Signal::TERM, Recipient::Server);
    for restart in [Restart::OnFailure, Restart::OnAbort, Restart::Always] {
        let mut story = Story::new(Policy { restart, handler: CrashHandlerPolicy::NoTimeout, ..policy() });
        assert_eq!(story.at(5000, Event::Unhealthy), term);
        assert_eq!(story.state.forced, Some(ForcedStop::Health));
        assert_eq!(story.at(1, Event::Unhealthy), Action::Wait);
        assert_eq!(story.at(29_999, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
        assert_eq!(story.at(1, Event::Exited(Exit::SUCCESS)), Action::RunCrashHandler(Exit::SUCCESS), "{restart:?}");
        assert_eq!(story.at(1, Event::HandlerExited(Exit::SUCCESS)), Action::StartServer(LogFilesAtStart::Keep));
        assert_eq!(story.state.forced, None);
        // The exit counts as a failure even if the handler refuses the restart.
        assert_eq!(story.at(1, Event::Unhealthy), term);
        assert_eq!(story.at(1, Event::Exited(Exit::SUCCESS)), Action::RunCrashHandler(Exit::SUCCESS));
        let ending = Ending::ServerExited(killed(15));
        assert_eq!(story.at(1, Event::HandlerExited(Exit::Code(1))), Action::Finish(ending));
    }
    let success = SuccessExits::parse(b"7").unwrap();
    for role in [Role::Init, Role::InitWithTimeout, Role::Manager] {
        for (exit, status) in [(Exit::SUCCESS, 130), (Exit::Code(7), 130), (Exit::Code(8), 8), (killed(9), 137)] {
            let alone = Policy { restart: Restart::No, role, success, stop_signal: Signal::INT, ..policy() };
            let mut story = Story::new(alone);
            assert_eq!(story.at(1, Event::Unhealthy), Action::Send(Signal::INT, Recipient::Server));
            let Action::Finish(ending) = story.at(1, Event::Exited(exit)) else { panic!("{exit}") };
            assert_eq!(ending.status(), status, "{role:?} {exit}");
        }
    }
    // A stop or restart that is requested while the unhealthy server exits is carried out.
    let mut stopped = Story::new(policy());
    stopped.at(1, Event::Unhealthy);
    assert_eq!(stopped.at(1, Event::Stop), Action::Wait);
    assert_eq!(stopped.at(1, Event::Exited(killed(15))), Action::Finish(Ending::Stopped));
    let mut restarted = Story::new(policy());
    restarted.at(1, Event::Unhealthy);
    assert_eq!(restarted.at(1, Event::Restart), Action::Wait);
    assert_eq!(restarted.at(1, Event::Exited(killed(15))), Action::StartServer(LogFilesAtStart::Rotate));
    // The whole group has already been sent TERM.
    let grouped = Policy { signal_scope: Recipient::Group, ..policy() };
    let mut group = Story::new(grouped.clone());
    assert_eq!(group.at(1, Event::Unhealthy), Action::Send(Signal::TERM, Recipient::Group));
    assert_eq!(group.at(1, Event::LeaderExited), Action::Wait);
    assert_eq!(group.at(29_999, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::RemainingOfRun));
    assert_eq!(group.at(1, Event::Exited(Exit::SUCCESS)), Action::StartServer(LogFilesAtStart::Keep));
    let mut own = Story::new(Policy { stop_signal: Signal::INT, ..grouped });
    own.at(1, Event::Unhealthy);
    assert_eq!(own.at(1, Event::LeaderExited), Action::Send(Signal::TERM, Recipient::RemainingOfRun));
}

#[test]
fn a_server_that_cannot_be_killed_is_left_to_the_kernel() {
    let at = Time(0);
    let guard = Policy { role: Role::InitWithTimeout, ..policy() };
    let ending = |policy: &Policy, after| {
        let mut state = State::new(policy, at);
        state.phase = Phase::Stopping { next: after, until: None };
        step(policy, state, Event::Unkillable, at).1
    };
    let killed = Ending::ServerExited(killed(9));
    for (policy, next, expected) in [
        (policy(), AfterStop::Finish, Ending::Stopped),
        (policy(), AfterStop::Restart, killed),
        (policy(), AfterStop::HandleUnrequestedExit, killed),
        (policy(), AfterStop::FailStart, Ending::FirstStartFailed(VSRUN_FAILED)),
        (guard, AfterStop::Finish, killed),
    ] {
        assert_eq!(ending(&policy, next), Action::Finish(expected), "{next:?}");
    }
    let up = State { phase: Phase::Running, ..State::new(&policy(), at) };
    assert_eq!(step(&policy(), up, Event::Unkillable, at).1, Action::Wait);
}

#[test]
fn what_is_left_of_a_run_ends_before_the_next_one() {
    let linger = Some(Span::secs(3));
    let term = Action::Send(Signal::TERM, Recipient::RemainingOfRun);
    let kill = Action::Send(Signal::KILL, Recipient::RemainingOfRun);
    let fallen = |policy: Policy| {
        let mut story = Story::new(policy);
        assert_eq!(story.at(1, Event::Exited(Exit::Code(1))), term);
        story
    };
    let lingering = Policy { linger_timeout: linger, handler: CrashHandlerPolicy::NoTimeout, ..policy() };
    assert_eq!(fallen(lingering.clone()).at(1, Event::NoneLeft), Action::RunCrashHandler(Exit::Code(1)));

    // The restart follows the linger time and KILL, even if a process hangs in the kernel.
    let mut slow = fallen(Policy { linger_timeout: linger, ..policy() });
    assert_eq!((slow.at(2999, Event::DeadlinePassed), slow.at(1, Event::DeadlinePassed)), (Action::Wait, kill));
    assert_eq!(
        (slow.at(4999, Event::DeadlinePassed), slow.at(1, Event::DeadlinePassed)),
        (Action::Wait, Action::StartServer(LogFilesAtStart::Keep))
    );

    // The time in which remaining processes are ended does not count as uptime of the run.
    assert_eq!(slow.at(5, Event::Exited(Exit::Code(1))), term);
    slow.now = slow.now.after(Span::secs(20));
    assert_eq!(slow.at(0, Event::NoneLeft), Action::RecordRestartDelay(Span(100)));

    // A requested restart ends the remaining processes too. A stop during that ends the supervision.
    let mut again = Story::new(lingering.clone());
    again.at(1, Event::Restart);
    assert_eq!(again.at(1, Event::Exited(killed(15))), term);
    assert_eq!(again.at(1, Event::Stop), Action::Wait);
    assert_eq!(again.at(1, Event::Interrupt), kill);
    assert_eq!(again.at(1, Event::NoneLeft), Action::Send(Signal::TERM, Recipient::AllProcesses));
    assert_eq!(again.at(1, Event::NoneLeft), Action::Finish(Ending::Stopped));

    // With both options, the group exits first, then the other descendants: within one deadline, after one TERM.
    let mut both = Story::new(Policy { signal_scope: Recipient::Group, ..lingering });
    assert_eq!(both.at(1, Event::LeaderExited), term);
    assert_eq!(both.at(1000, Event::Exited(Exit::Code(1))), Action::Wait);
    assert_eq!(both.at(2000, Event::DeadlinePassed), kill);
    assert_eq!(both.at(1, Event::NoneLeft), Action::RunCrashHandler(Exit::Code(1)));
}

#[test]
fn a_listed_exit_is_a_success_unless_the_watchdog_forced_it() {
    let success = SuccessExits::parse(b"3,SIGTERM").unwrap();
    let over = Action::Finish(Ending::ServerExited(Exit::SUCCESS));
    let init = Policy { role: Role::Init, restart: Restart::No, success, ..policy() };
    for exit in [Exit::Code(3), killed(15)] {
        let mut story = Story::new(init.clone());
        story.at(1, Event::Forward(Signal::TERM));
        assert_eq!(story.at(1, Event::Exited(exit)), over, "{exit}");
    }
    let asking = Policy { handler: CrashHandlerPolicy::NoTimeout, restart: Restart::Always, success, ..policy() };
    let mut refused = Story::new(asking.clone());
    assert_eq!(refused.at(1, Event::Exited(Exit::Code(3))), Action::RunCrashHandler(Exit::Code(3)));
    assert_eq!(refused.at(1, Event::HandlerExited(Exit::Code(1))), over);

    let limit = Some(RestartLimit { restarts: 1, within: Span::secs(60) });
    let mut limited = Story::new(Policy { restart: Restart::Always, success, limit, ..policy() });
    assert_eq!(limited.at(1, Event::Exited(Exit::Code(3))), Action::StartServer(LogFilesAtStart::Keep));
    assert_eq!(limited.at(1, Event::Exited(Exit::Code(3))), Action::Finish(Ending::GaveUp(Exit::SUCCESS)));

    // An exit that the watchdog forced is never a success.
    let watched = Policy { watchdog: Some(Span::secs(1)), restart: Restart::No, success, ..policy() };
    for exit in [Exit::SUCCESS, Exit::Code(3)] {
        let mut silent = Story::new(watched.clone());
        assert_eq!(silent.at(1000, Event::DeadlinePassed), Action::Send(Signal::ABRT, Recipient::Server));
        assert_eq!(silent.at(1, Event::Exited(exit)), Action::Finish(Ending::ServerExited(killed(6))), "{exit}");
    }
}

fn replaceable() -> Policy {
    Policy { candidate_ready_timeout: Some(Span::secs(60)), ..policy() }
}

#[test]
fn a_ready_candidate_replaces_the_server_which_is_stopped() {
    let mut story = Story::new(replaceable());
    assert_eq!(story.at(1, Event::Replace), Action::StartCandidate);
    assert_eq!(story.at(1, Event::Replace), Action::Wait, "one is under way");
    assert_eq!(story.at(1, Event::Forward(Signal::HUP)), Action::Forward(Signal::HUP, Recipient::Server));
    assert_eq!(story.at(1, Event::OfSecondProcess(SecondProcessEvent::Ready)), Action::SwitchToCandidate);
    assert_eq!(story.at(0, Event::DeadlinePassed), Action::SendToSecondProcess(Signal::TERM, Recipient::Server));
    assert_eq!((story.at(1, Event::Replace), story.at(29_998, Event::DeadlinePassed)), (Action::Wait, Action::Wait));
    assert_eq!(story.at(1, Event::DeadlinePassed), Action::SendToSecondProcess(Signal::KILL, Recipient::Group));
    assert_eq!(
        (story.at(1, Event::OfSecondProcess(SecondProcessEvent::Exited(killed(9)))), story.state.unexpected_restarts()),
        (Action::Wait, 0)
    );
    assert_eq!(story.state.unreported_outcome, Some(Outcome::Done));
    assert_eq!(story.at(1, Event::Replace), Action::StartCandidate, "the next one");
}

#[test]
fn a_candidate_has_sixty_seconds_or_the_ready_timeout() {
    for (ready_timeout, most) in [(None, 60_000), (Some(Span::secs(5)), 5000)] {
        let candidate_ready_timeout = candidate_ready_timeout(Some(ReadyCondition::Notify), ready_timeout);
        let mut story = Story::new(Policy { ready_timeout, candidate_ready_timeout, ..replaceable() });
        assert_eq!(story.at(1, Event::Replace), Action::StartCandidate);
        assert_eq!(story.at(most - 1, Event::DeadlinePassed), Action::Wait);
        assert_eq!((story.state.unreported_outcome, story.at(1, Event::DeadlinePassed)), (None, Action::Wait));
        assert_eq!(story.at(0, Event::DeadlinePassed), Action::SendToSecondProcess(Signal::TERM, Recipient::Server));
        assert_eq!(story.at(1, Event::OfSecondProcess(SecondProcessEvent::Exited(Exit::SUCCESS))), Action::Wait);
        assert_eq!(
            (story.state.phase, story.state.unreported_outcome),
            (Phase::Running, Some(Outcome::NotReadyInTime))
        );
    }
}

#[test]
fn a_candidate_takes_the_place_of_a_server_that_exits_and_only_a_crash_counts() {
    for (exit, restarts) in [(Exit::Code(1), 1), (killed(11), 1), (Exit::SUCCESS, 0)] {
        let mut story = Story::new(Policy { handler: CrashHandlerPolicy::NoTimeout, ..replaceable() });
        assert_eq!(story.at(1, Event::Replace), Action::StartCandidate);
        assert_eq!(
            (story.at(1, Event::Exited(exit)), story.state.unexpected_restarts()),
            (Action::SwitchToCandidate, restarts)
        );
        assert_eq!(story.state.unreported_outcome, None, "it is not ready yet");
        let mut ready = Story { policy: story.policy.clone(), state: story.state.clone(), now: story.now };
        assert_eq!((ready.at(1, Event::Ready), ready.state.unreported_outcome), (Action::Wait, Some(Outcome::Done)));
        // The new server has to be ready within the time limit of the candidate. After that, its exit is unexpected.
        assert_eq!(story.at(59_999, Event::DeadlinePassed), Action::Send(Signal::TERM, Recipient::Server));
        assert_eq!(story.at(1, Event::Exited(Exit::SUCCESS)), Action::RunCrashHandler(Exit::SUCCESS));
        assert_eq!(story.state.unreported_outcome, Some(Outcome::NotReadyInTime));
        assert_eq!(
            story.at(1, Event::HandlerExited(Exit::Code(1))),
            Action::Finish(Ending::ServerExited(Exit::Code(VSRUN_FAILED)))
        );
    }
}
