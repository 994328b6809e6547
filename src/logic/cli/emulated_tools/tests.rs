use super::*;
use crate::logic::base::cstr::leak_cstr;
use crate::logic::base::exit::Exit;
use crate::logic::plan::account::NameOrId;
use crate::logic::plan::personality::{AccountRules, FailureStatuses, Session};
use crate::logic::supervisor::policy::Restart;

fn words(line: &str) -> Vec<StaticCStr> {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| leak_cstr(word.into())).collect()
}

/// Translates a command line whose first word is the name of the tool.
fn request(line: &str, env: &[&str]) -> Result<(Request, Options)> {
    let words = words(line);
    let caller = InheritedAttributes {
        uid: 1000,
        gid: 100,
        env: Env(env.iter().map(|entry| leak_cstr((*entry).into())).collect()),
        signals: CallerSignals { blocked: 1, ignored: 2 },
    };
    let (mut options, mut at_exit) = (Options::none(), None);
    let called = ToolName::from_argv0(words[0]).unwrap();
    translate(called, &words[1..], &caller, &mut options, &mut at_exit).map(|request| (request, options))
}

fn started(line: &str, env: &[&str]) -> Options {
    let (request, options) = request(line, env).unwrap_or_else(|error| panic!("{line}: {}", error));
    assert!(matches!(request, Request::Run), "{line}: {request:?}");
    options
}

fn refused(line: &str, env: &[&str]) -> (u8, String) {
    let error = request(line, env).unwrap_err();
    (error.exit_status, error.to_string())
}

/// The file descriptor to which a command line prints, the exit status and the printed text.
fn printed(line: &str) -> (i32, u8, String) {
    match request(line, &[]).unwrap().0 {
        Request::Text(text) => (text.descriptor, text.status, String::from_utf8(text.bytes).unwrap()),
        other => panic!("{line}: {other:?}"),
    }
}

fn command(line: &str) -> String {
    let command = started(line, &[]).command;
    command.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_last_part_of_the_path_selects_the_tool() {
    for (name, tool) in [
        ("tini", Some(Tool::Tini)),
        ("/sbin/docker-init", Some(Tool::Tini)),
        ("../podman-init", Some(Tool::Tini)),
        ("tini-static", Some(Tool::Tini)),
        ("/usr/bin/catatonit", Some(Tool::Catatonit)),
        ("dumb-init", Some(Tool::DumbInit)),
        ("gosu", Some(Tool::Gosu)),
        ("/su-exec", Some(Tool::SuExec)),
        ("vsrun", None),
        ("", None),
        ("tini/", None),
        ("tini,gosu", None),
        ("Tini", None),
    ] {
        let called = ToolName::from_argv0(leak_cstr(name.into()));
        assert_eq!(called.map(|called| called.tool), tool, "{name}");
    }
}

#[test]
fn the_command_begins_at_the_first_word_that_is_no_option() {
    for (line, expected) in [
        ("docker-init -- x -g", "x -g"),
        ("tini -g x -v", "x -v"),
        ("tini -gsp SIGTERM -e3 x", "x"),
        ("tini -gpSIGTERM -e 3 -- x -- y", "x -- y"),
        ("tini x a -- b -- c", "x a b -- c"),
        ("tini - x", "- x"),
        ("catatonit x -- -g", "x -g"),
        ("catatonit -g -- x -P", "x -P"),
        ("dumb-init x -- y", "x -- y"),
        ("dumb-init -- -c", "-c"),
        ("dumb-init -cr 15:3 --rew=1:2 --rewrite 3:4 --single x", "x"),
        ("gosu web -- x", "-- x"),
        ("su-exec web x -h", "x -h"),
    ] {
        assert_eq!(command(line), expected, "{line}");
    }
}

#[test]
fn wrong_usage_has_the_status_of_the_tool() {
    for (line, words) in [
        ("tini -x y", "invalid option -- 'x'"),
        ("tini --version x", "invalid option -- '-'"),
        ("tini -p", "option requires an argument -- 'p'"),
        ("tini -p TERM x", "option -p: 'TERM' is not valid"),
        ("tini -p 15 x", "option -p: '15' is not valid"),
        ("tini -p SIGterm x", "option -p: 'SIGterm' is not valid"),
        ("tini -p SIG x", "option -p: 'SIG' is not valid"),
        ("tini -e 256 x", "option -e: '256' is not valid"),
        ("tini -e -1 x", "option -e: '-1' is not valid"),
        ("catatonit -q", "invalid option -- 'q'"),
        ("catatonit --quiet", "unrecognized option '--quiet'"),
        ("dumb-init --yolo x", "unrecognized option '--yolo'"),
        ("dumb-init --ver x", "option '--ver' is ambiguous"),
        ("dumb-init --help=1 x", "option '--help' doesn't allow an argument"),
        ("dumb-init --rewrite", "option '--rewrite' requires an argument"),
        ("gosu 4294967295 x", "'4294967295' is not USER[:GROUP]"),
    ] {
        let (status, text) = refused(line, &[]);
        assert_eq!((status, text.as_str()), (1, words), "{line}");
    }
    for value in ["x", "x:y", "15", "15::12", "15:y", "0:1", "32:1", "1:32", ":", "15x:1", "-1:2"] {
        let (status, text) = refused(&format!("dumb-init -r {value} x"), &[]);
        assert!(status == 1 && text.contains(" is not SIGNUM:SIGNUM"), "{value}: {text}");
    }
    for (line, to) in
        [("tini", 2), ("tini -g --", 2), ("catatonit", 2), ("dumb-init -c", 2), ("gosu", 2), ("su-exec a", 1)]
    {
        let (written, status, text) = printed(line);
        assert_eq!((written, status), (to, 1), "{line}");
        assert!(text.starts_with("Usage: "), "{text}");
    }
}

#[test]
fn help_version_and_license_are_printed_where_the_tool_prints_them() {
    for (line, to, begin) in [
        ("tini --version", 1, "tini version 0.19.0 (vsrun "),
        ("tini -gh", 1, "Usage: tini ["),
        ("docker-init -l", 1, "vsrun: "),
        ("catatonit -V", 1, "tini version 0.2.1_catatonit ("),
        ("catatonit --vers", 1, "tini version "),
        ("catatonit -h", 2, "Usage: catatonit ["),
        ("catatonit -L", 1, "vsrun: "),
        ("dumb-init -V", 2, "dumb-init v1.2.5 ("),
        ("dumb-init --help", 2, "Usage: dumb-init ["),
        ("gosu --version", 1, "1.19 ("),
        ("gosu -?", 1, "Usage: gosu USER"),
    ] {
        let (written, status, text) = printed(line);
        assert_eq!((written, status), (to, 0), "{line}");
        assert!(text.starts_with(begin) && text.ends_with('\n'), "{line}: {text}");
    }
}

#[test]
fn tini_options_and_variables_are_translated() {
    let plain = started("tini x", &[]);
    assert!(plain.has(Id::Init) && plain.has(Id::Stdin) && plain.is_quiet() && !plain.has(Id::Debug));
    let is = plain.personality;
    assert!(is.inherits_fds_and_signals && is.records_only_errors && !is.forwards_to_group && !is.records_orphans);
    assert_eq!((is.session, is.parent_death_signal, is.signal_to_remaining), (Session::OwnGroup, None, None));
    assert_eq!(is.signals, CallerSignals { blocked: 1, ignored: 2 });
    assert!(matches!(is.failure_statuses, FailureStatuses::Tini(_)));
    let all = started("tini -gswvvp SIGUSR1 -e 143 -e 3 x", &[]).personality;
    assert!(all.forwards_to_group && all.records_orphans && !all.records_only_errors);
    assert_eq!(all.parent_death_signal, Signal::parse(b"USR1"));
    assert!(started("tini x", &["TINI_KILL_PROCESS_GROUP="]).personality.forwards_to_group);
    let success = started("tini -e 143 x", &["VSRUN_ARGS=--success-exit 3"]).success_exit.unwrap();
    for exit in [Exit::Code(143), Exit::Signal { signal: Signal::TERM, core: false }, Exit::Code(3)] {
        assert!(success.contains(exit), "{exit}");
    }
    for (line, env, quiet, debug) in [
        ("tini -v x", &[][..], false, false),
        ("tini -vv x", &[], false, true),
        ("tini -vv x", &["TINI_VERBOSITY=1"], true, false),
        ("tini x", &["TINI_VERBOSITY=3"], false, true),
        ("tini x", &["TINI_VERBOSITY=x"], true, false),
        ("dumb-init x", &["DUMB_INIT_DEBUG=0"], true, false),
        ("dumb-init x", &["DUMB_INIT_DEBUG=1"], false, true),
        ("dumb-init -v x", &[], false, true),
    ] {
        let options = started(line, env);
        assert_eq!((options.is_quiet(), options.has(Id::Debug)), (quiet, debug), "{line} {env:?}");
    }
    assert!(!started("tini -w x", &["TINI_VERBOSITY=0"]).personality.records_orphans);
}

#[test]
fn each_init_has_its_own_signals() {
    let action = |options: &Options, name: &str| {
        let wanted = Signal::parse(name.as_bytes()).unwrap();
        options.on_signal.iter().find(|(signal, _)| *signal == wanted).map(|(_, action)| *action)
    };
    let tini = started("tini x", &[]);
    assert_eq!((action(&tini, "TTIN"), action(&tini, "TSTP")), (Some(SignalAction::Ignore), None));
    assert_eq!(action(&started("catatonit x", &[]), "TSTP"), Some(SignalAction::Ignore));
    let dumb = started("dumb-init -r 15:9 -r 15:3 -r 1:0 -r 20:20x x", &[]);
    assert_eq!(action(&dumb, "TERM"), Some(SignalAction::Forward(Signal::QUIT)));
    assert_eq!(
        (action(&dumb, "HUP"), action(&dumb, "TTIN")),
        (Some(SignalAction::Ignore), Some(SignalAction::Forward(Signal::STOP)))
    );
    assert_eq!(action(&dumb, "TSTP"), Some(SignalAction::Forward(Signal::TSTP)));
    let is = dumb.personality;
    assert_eq!((is.signal_to_remaining, is.session), (Some(Signal::QUIT), Session::NewSessionWithTerminal));
    assert!(is.suspends_itself && is.forwards_to_group);
    assert_eq!(started("dumb-init -r 15:0 x", &[]).personality.signal_to_remaining, None);
    for single in [started("dumb-init -c x", &[]), started("dumb-init x", &["DUMB_INIT_SETSID=0"])] {
        let is = single.personality;
        assert_eq!((is.signal_to_remaining, is.session, is.forwards_to_group), (None, Session::SameAsVsrun, false));
        assert!(is.suspends_itself && action(&single, "TSTP").is_none());
    }
    // A signal with an action in VSRUN_ARGS is no longer left to the kernel.
    let own = started("tini x", &["VSRUN_ARGS=--on-signal ABRT=stop --on-signal TTIN=forward"]);
    assert_eq!(tini.personality.unhandled_signals ^ own.personality.unhandled_signals, Signal::ABRT.bit());
    assert_eq!(own.on_signal.len(), 3);
}

#[test]
fn further_options_come_from_the_environment_of_an_init() {
    let both = started("docker-init -- x", &["VSRUN_ARGS= --restart  on-failure\t--stop-timeout 8s "]);
    assert!(!both.has(Id::Init) && both.restart == Some(Restart::OnFailure) && both.has(Id::StopTimeout));
    assert!(started("tini x", &["VSRUN_ARGS=--stop-timeout 8s"]).has(Id::Init));
    assert!(started("tini x", &["VSRUN_ARGS=--check"]).has(Id::Check));
    assert!(!started("tini x", &["VSRUN_ARGS="]).has(Id::Quiet));
    for (value, part) in [
        ("--bogus", "VSRUN_ARGS: unknown option --bogus"),
        ("-u", "VSRUN_ARGS: option --user"),
        ("x", "VSRUN_ARGS: unexpected argument 'x'"),
        ("--stop /x", "VSRUN_ARGS: only options that start a server"),
        ("--args /x", "VSRUN_ARGS: only options that start a server"),
        ("--help", "VSRUN_ARGS: only options that start a server"),
        ("--probe 80", "VSRUN_ARGS: only options that start a server"),
        ("--restart-delay 1s", "--init cannot be used with --restart-delay"),
    ] {
        let (status, text) = refused("tini x", &[&format!("VSRUN_ARGS={value}")]);
        assert!(status == 2 && text.contains(part), "{value}: {status} {text}");
    }
    for name in ["gosu", "su-exec"] {
        let options = started(&format!("{name} a x"), &["VSRUN_ARGS=--bogus"]);
        assert!(!options.is_supervised() && options.has(Id::Stdin));
    }
}

#[test]
fn a_user_is_named_as_gosu_and_su_exec_take_it() {
    let text = |name: &str| NameOrId::Name(name.into());
    for (word, user, group) in [
        ("web", text("web"), None),
        ("web:", text("web"), None),
        ("0day:www", text("0day"), Some(text("www"))),
        ("33:44", NameOrId::Id(33), Some(NameOrId::Id(44))),
        (":44", NameOrId::Id(1000), Some(NameOrId::Id(44))),
    ] {
        let login = started(&format!("gosu {word} x"), &[]).user.unwrap();
        assert_eq!((login.user, login.group), (user, group), "{word}");
    }
    assert_eq!(started("gosu a x", &[]).personality.account_rules, AccountRules::GosuWithOwnGid(100));
    assert_eq!(started("su-exec a x", &[]).personality.account_rules, AccountRules::SuExecWithOwnGid(100));
    assert_eq!(started("su-exec a x", &[]).personality.session, Session::SameAsVsrun);
}

#[test]
fn catatonit_option_p_requests_a_pause() {
    for line in ["catatonit -P", "catatonit -gP -- x"] {
        assert!(matches!(request(line, &[]).unwrap().0, Request::WaitForSignal(_)), "{line}");
    }
}

#[test]
fn only_status_125_is_converted_to_status_1() {
    let called = ToolName::from_argv0(c"tini").unwrap();
    assert_eq!([125, 2, 127, 126, 1, 0].map(|status| called.convert_status(status)), [1, 2, 127, 126, 1, 0]);
}
