use super::*;
use crate::logic::base::exit::SuccessExits;
use crate::logic::base::signal::Signal;
use crate::logic::supervisor::event::{Action, Recipient};
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Restart, Role};
use crate::logic::supervisor::transition::next;

fn policy() -> Policy {
    Policy {
        role: Role::Manager,
        signal_scope: Recipient::Server,
        forwards_to_group: false,
        linger_timeout: None,
        restart: Restart::OnFailure,
        success: SuccessExits::default(),
        restart_delay_range: (Span::ZERO, Span::ZERO),
        limit: None,
        candidate_ready_timeout: Some(Span::secs(5)),
        ready_timeout: Some(Span::secs(5)),
        watchdog: Some(Span::secs(3)),
        handler: CrashHandlerPolicy::Absent,
        stop_signal: Signal::TERM,
        stop_delay: None,
        stop_timeout: Some(Span::secs(30)),
    }
}

/// A state machine that receives messages and events at a time in milliseconds.
struct Story {
    policy: Policy,
    state: State,
}

impl Story {
    fn new(policy: Policy) -> Self {
        Self { state: State::new(&policy, Time(0)), policy }
    }

    fn event(&mut self, at: u64, event: Event) -> Action {
        next(&self.policy, &mut self.state, event, Time(at))
    }

    /// Applies a message and returns the action.
    fn receive(&mut self, at: u64, text: &str) -> Action {
        let event = parse(text.as_bytes()).apply_from_server(&self.policy, &mut self.state, Time(at));
        event.map_or(Action::Wait, |event| self.event(at, event))
    }

    fn deadline(&self) -> Option<u64> {
        self.state.deadline().map(|time| time.0)
    }
}

#[test]
fn every_assignment_of_a_message_counts() {
    let message = parse(b"READY=1\nSTATUS=up = well\nX_OWN=1\nWATCHDOG=1\nWATCHDOG_USEC=2500\nEXTEND_TIMEOUT_USEC=1\n");
    let expected = Message {
        ready: true,
        alive: true,
        status: Some(b"up = well"),
        watchdog: Some(Span(3)),
        extend_timeout: Some(Span(1)),
        ..Message::default()
    };
    assert_eq!(message, expected);
    let reload = Message { reloading: true, reload_began_usec: Some(77), ..Message::default() };
    assert_eq!(parse(b"RELOADING=1\nMONOTONIC_USEC=77"), reload);
    assert_eq!(parse(b"STOPPING=1\nSTATUS="), Message { stopping: true, status: Some(b""), ..Message::default() });
    for nothing in ["", "\n\n", "READY=0", "READY=10", "XREADY=1", "READY", "BARRIER=1", "WATCHDOG=0", "ERRNO=2", "="] {
        assert_eq!(parse(nothing.as_bytes()), Message::default(), "{nothing}");
    }
    assert!(!parse(b"STATUS=READY=1").ready);
}

#[test]
fn ignored_assignments_have_a_reason() {
    for (text, why) in [
        ("MAINPID=7", IgnoreReason::Unsupported),
        ("READY=1\nFDSTORE=1\nFDNAME=x", IgnoreReason::Unsupported),
        ("WATCHDOG_USEC=", IgnoreReason::Malformed),
        ("WATCHDOG_USEC=-1", IgnoreReason::Malformed),
        ("EXTEND_TIMEOUT_USEC=5s", IgnoreReason::Malformed),
        ("WATCHDOG_USEC=99999999999999999999", IgnoreReason::Malformed),
    ] {
        assert_eq!(parse(text.as_bytes()).ignored, Some(why), "{text}");
    }
    let bits = [
        IgnoreReason::OtherUser,
        IgnoreReason::Unsupported,
        IgnoreReason::Malformed,
        IgnoreReason::CannotCloseDescriptors,
    ]
    .map(IgnoreReason::bit_mask);
    assert_eq!(bits.iter().fold(0, |all, bit| all | bit).count_ones(), 4);
}

#[test]
fn the_servers_user_and_root_are_trusted_and_no_other() {
    assert!(
        is_trusted_sender(7, 1000, 1000)
            && is_trusted_sender(7, 0, 1000)
            && is_trusted_sender(0, 1000, 1000)
            && is_trusted_sender(0, 0, 0)
    );
    assert!(
        !is_trusted_sender(7, 1001, 1000) && !is_trusted_sender(7, 1000, 0) && !is_trusted_sender(7, u32::MAX, 1000)
    );
    // All users outside of our user namespace appear with the overflow uid, so the sender must be in our pid namespace.
    assert!(is_trusted_sender(7, OVERFLOW_UID, OVERFLOW_UID) && !is_trusted_sender(0, OVERFLOW_UID, OVERFLOW_UID));
}

#[test]
fn a_server_may_take_more_time_to_be_ready_and_not_less() {
    let mut story = Story::new(policy());
    story.receive(1000, "EXTEND_TIMEOUT_USEC=1000000");
    assert_eq!(story.deadline(), Some(5000));
    story.receive(1000, "EXTEND_TIMEOUT_USEC=10000000");
    assert_eq!(story.deadline(), Some(11_000));
    assert_eq!(story.event(10_999, Event::DeadlinePassed), Action::Wait);
    assert_eq!(story.event(11_000, Event::DeadlinePassed), Action::Send(Signal::TERM, Recipient::Server));
    // The server is being stopped because it was not ready in time: no extension counts.
    story.receive(11_001, "EXTEND_TIMEOUT_USEC=90000000");
    assert_eq!(story.deadline(), Some(41_000));
    let mut endless = Story::new(Policy { ready_timeout: None, ..policy() });
    endless.receive(0, "EXTEND_TIMEOUT_USEC=1");
    assert_eq!(endless.deadline(), None);
}

#[test]
fn a_server_may_extend_its_stop_except_after_a_watchdog_timeout() {
    let mut story = Story::new(policy());
    assert_eq!(story.receive(0, "READY=1"), Action::ReportReady);
    story.event(1, Event::Stop);
    story.receive(20_000, "EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(story.event(79_999, Event::DeadlinePassed), Action::Wait);
    assert_eq!(story.event(80_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
    let mut silent = Story::new(policy());
    silent.receive(0, "READY=1");
    assert_eq!(silent.event(3000, Event::DeadlinePassed), Action::Send(Signal::ABRT, Recipient::Server));
    silent.receive(3001, "EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(silent.event(33_000, Event::DeadlinePassed), Action::Send(Signal::KILL, Recipient::Group));
}

#[test]
fn the_watchdog_time_is_the_servers_to_change_in_this_run() {
    let mut story = Story::new(policy());
    // Before the server is ready there is no deadline. The new time applies from then on.
    story.receive(0, "WATCHDOG_USEC=7000000");
    assert_eq!(story.deadline(), Some(5000));
    story.receive(1, "READY=1");
    assert_eq!(story.deadline(), Some(7001));
    story.receive(2, "WATCHDOG_USEC=9000000");
    assert_eq!(story.deadline(), Some(9002));
    story.receive(3, "WATCHDOG=1");
    assert_eq!(story.deadline(), Some(9003));
    story.receive(4, "WATCHDOG_USEC=0");
    assert_eq!(story.deadline(), None);
    story.receive(5, "WATCHDOG=1");
    assert_eq!(story.deadline(), None);
    // The next run begins with the time of `--watchdog`.
    story.event(6, Event::Exited(crate::logic::base::exit::Exit::Code(1)));
    story.receive(7, "READY=1");
    assert_eq!(story.deadline(), Some(3007));
    // Without `--watchdog` the server cannot turn the watchdog on.
    let mut none = Story::new(Policy { watchdog: None, ..policy() });
    none.receive(0, "READY=1\nWATCHDOG_USEC=1");
    none.receive(0, "WATCHDOG=trigger");
    assert_eq!(none.deadline(), None);
}

#[test]
fn trigger_fires_the_watchdog_and_stopping_disarms_it() {
    let mut story = Story::new(policy());
    assert_eq!(story.receive(0, "WATCHDOG=trigger"), Action::Wait, "it is not ready yet");
    story.receive(0, "READY=1");
    story.receive(100, "WATCHDOG=1\nWATCHDOG=trigger");
    assert_eq!(story.event(100, Event::DeadlinePassed), Action::Send(Signal::ABRT, Recipient::Server));
    let mut stops = Story::new(policy());
    stops.receive(0, "READY=1");
    stops.receive(1, "STOPPING=1");
    assert_eq!(stops.deadline(), None);
    stops.receive(2, "WATCHDOG=1");
    assert_eq!(stops.deadline(), None);
}

#[test]
fn the_service_manager_is_pinged_at_half_of_its_time() {
    assert_eq!(heartbeat_interval(b"30000000", None, 7), Some(Span::secs(15)));
    assert_eq!(heartbeat_interval(b"30000000", Some(b"7"), 7), Some(Span::secs(15)));
    assert_eq!(heartbeat_interval(b"1", Some(b"7"), 7), Some(Span(1)));
    for (usec, pid) in [("30000000", "8"), ("30000000", ""), ("0", "7"), ("", "7"), ("x", "7"), ("-5", "7")] {
        assert_eq!(heartbeat_interval(usec.as_bytes(), Some(pid.as_bytes()), 7), None, "{usec} {pid}");
    }
}

/// The candidate and the old server may ask for more time; a candidate that failed may not.
#[test]
fn messages_of_the_second_process_concern_only_that_process() {
    let mut story = Story::new(policy());
    story.event(0, Event::Ready);
    let tell = |story: &mut Story, at: u64, text: &[u8]| {
        parse(text).apply_from_second_process(&story.policy, &mut story.state, Time(at))
    };
    assert_eq!(story.event(1, Event::Replace), Action::StartCandidate);
    let watchdog = story.state.watchdog_deadline;
    assert_eq!(tell(&mut story, 10, b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=9000000\nWATCHDOG_USEC=1000000"), None);
    assert_eq!(story.state.watchdog_deadline, watchdog, "that of the server stays");
    let until = Time(9010);
    let second = SecondProcess::Candidate { until, since: Time(1), watchdog: Some(Span::secs(1)) };
    assert_eq!(story.state.second, second);
    assert_eq!(tell(&mut story, 11, b"READY=1"), Some(Event::Ready.for_second_process()));
    assert_eq!(story.event(11, Event::Ready.for_second_process()), Action::SwitchToCandidate);
    assert_eq!(story.state.watchdog_deadline, Some(Time(1011)), "its own watchdog time counts now");
    assert_eq!(story.event(11, Event::DeadlinePassed), Action::SendToSecondProcess(Signal::TERM, Recipient::Server));
    tell(&mut story, 12, b"EXTEND_TIMEOUT_USEC=60000000");
    assert!(matches!(story.state.second, SecondProcess::Exiting { until: Some(Time(60_012)), .. }));

    let mut late = Story::new(policy());
    late.event(0, Event::Ready);
    late.event(1, Event::Replace);
    assert_eq!(late.event(5001, Event::DeadlinePassed), Action::Wait);
    assert_eq!(late.event(5001, Event::DeadlinePassed), Action::SendToSecondProcess(Signal::TERM, Recipient::Server));
    assert_eq!(
        late.event(5001, Event::DeadlinePassed),
        Action::Send(Signal::ABRT, Recipient::Server),
        "the server's watchdog"
    );
    let second = late.state.second;
    tell(&mut late, 5002, b"EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(late.state.second, second);
}
