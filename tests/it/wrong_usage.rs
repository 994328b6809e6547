//! Wrong command lines: vsrun reports in one line what is wrong and what is allowed, and exits with 2.

use crate::harness::{Sandbox, words};
use std::ffi::OsString;
use std::fs;
use vsrun::logic::cli::flags::{EXAMPLES, FLAGS};

/// Runs vsrun with the arguments in `line`, which are separated by `|`. Its message must contain `says`.
#[track_caller]
fn assert_says(sandbox: &Sandbox, line: &str, says: &str) {
    let line: Vec<&str> = line.split('|').filter(|word| !word.is_empty()).collect();
    assert_words_say(sandbox, &line, says);
}

#[track_caller]
fn assert_words_say(sandbox: &Sandbox, line: &[&str], says: &str) {
    let ended = sandbox.vsrun(line.iter().map(OsString::from).collect()).finish();
    assert_eq!((ended.code(), ended.out.len(), ended.err.len()), (Some(2), 0, 1), "{line:?}: {ended:?}");
    let said = ended.err[0].strip_prefix("vsrun: ").unwrap_or_else(|| panic!("{line:?}: {ended:?}"));
    assert!(said.contains(says), "{line:?}: {said:?} does not say {says:?}");
}

/// An unknown option, and a part of the message, which suggests the right one.
const MISSPELT: &[(&str, &str)] = &[
    ("--pidfil", "--pidfile?"),
    ("--pidfle", "--pidfile?"),
    ("--pid-file", "--pidfile?"),
    ("--pidf", "--pidfile?"),
    ("--pid", "--pidfile?"),
    ("--usre", "--user?"),
    ("--users", "--user?"),
    ("--workdir", "--work-dir?"),
    ("--work_dir", "--work-dir?"),
    ("--logdri", "--logdir?"),
    ("--log-dir", "--logdir?"),
    ("--logsize", "--log-size?"),
    ("--log-file", "--log-files?"),
    ("--backgroud", "--background?"),
    ("--forground", "--foreground?"),
    ("--sys-log", "--syslog?"),
    ("--chuid", "--user?"),
    ("--setuid", "--user?"),
    ("--uid", "--user?"),
    ("--chroot", "--root?"),
    ("--chdir", "--work-dir?"),
    ("--cwd", "--work-dir?"),
    ("--make-pidfile", "--pidfile?"),
    ("--environment", "--env?"),
    ("--envdir", "--env-dir?"),
    ("--daemonize", "--background?"),
    ("--daemon", "--background?"),
    ("--detach", "--background?"),
    ("--nodaemon", "--foreground?"),
    ("--config", "--args?"),
    ("--dry-run", "--check?"),
    ("--test", "--check?"),
    ("--ulimit", "--limit?"),
    ("--cap-add", "--caps?"),
    ("--kill", "--stop?"),
    ("--retry", "--stop-timeout?"),
    ("--respawn", "--restart?"),
    ("--exec", "-- COMMAND?"),
    ("--start", "-- COMMAND?"),
    ("--startas", "-- COMMAND?"),
    ("--limits", "--limit?"),
    ("--capss", "--caps?"),
    ("--arg0", "--argv0?"),
    ("--chek", "--check?"),
    ("--hlep", "--help?"),
    ("--verison", "--version?"),
    ("--manger", "--manager?"),
    ("--intit", "--init?"),
    ("--restrat", "--restart?"),
    ("--restart-dealy", "--restart-delay?"),
    ("--sucess-exit", "--success-exit?"),
    ("--handler-timeuot", "--handler-timeout?"),
    ("--stop-singal", "--stop-signal?"),
    ("--stop-timout", "--stop-timeout?"),
    ("--onsignal", "--on-signal?"),
    ("--gruop", "--group?"),
    ("--lingre", "--linger?"),
    ("--atexit", "--at-exit?"),
    ("--raedy", "--ready?"),
    ("--watchdgo", "--watchdog?"),
    ("--staus", "--status?"),
    ("--sotp", "--stop?"),
    ("--singal", "--signal?"),
    ("--lisen", "--listen?"),
    ("--umaks", "--umask?"),
    ("--nise", "--nice?"),
    ("--oom-score", "--oom-score-adj?"),
    ("--no-new-priv", "--no-new-privs?"),
    ("--no-user-check", "--no-user-checks?"),
    ("--clearenv", "--clear-env?"),
    ("--std-in", "--stdin?"),
    ("--debgu", "--debug?"),
    ("--syslog-usgae", "--syslog-usage?"),
    ("--xyzzy", "(see vsrun --help)"),
    ("--q", "(see vsrun --help)"),
    ("-x", "unknown option -x"),
    ("-Z", "unknown option -Z"),
];

/// Options that are wrong in combination, and a part of the message. Values that are wrong by themselves are in the
/// table of options.
const COMBINED: &[(&str, &str)] = &[
    // Values that depend on another option.
    (
        "-m|-|-|--on-signal|HUP=replace",
        "--on-signal with replace needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM",
    ),
    (
        "-m|-|-|--on-signal|HUP=replace|--ready|probe:80/",
        "--on-signal with replace needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM",
    ),
    ("--limit|core=0|--limit|core=1", "is given twice"),
    ("--bind|127.0.0.1", "--bind: an address needs --port"),
    ("--bind|/x|--port|80", "--bind: an address needs --port"),
    ("--bind-tcp|none|--bind-tcp|80", "'none' means no port at all"),
    ("--cgroup-set|pids.max=1", "--cgroup-set needs --cgroup"),
    // Values that are missing.
    ("-m|/run/m.pid", "takes two values, PIDFILE and HANDLER ('-' for none): HANDLER is missing"),
    ("-m", "takes two values, PIDFILE and HANDLER ('-' for none): PIDFILE is missing"),
    ("-d|logs", "takes two values, DIR and KEEP: KEEP is missing"),
    ("-d", "takes two values, DIR and KEEP: DIR is missing"),
    ("--debug=yes", "--debug"),
    // Options that contradict or need each other.
    ("-u|a|-u|b", "--user is given twice"),
    ("-p|a|-p|b", "--pidfile is given twice"),
    ("-s|t|-d|logs|1", "--syslog cannot be used with --logdir"),
    ("--logger|x", "--logger needs --syslog"),
    ("--stop-timeout|1", "--stop-timeout needs --manager"),
    ("--log-size|1k", "--log-size"),
    ("--success-exit|3", "--success-exit"),
    ("--restart-delay|3", "--restart-delay"),
    ("--linger|3", "--linger"),
    ("--group", "--group"),
    ("--on-signal|HUP=stop", "--on-signal"),
    ("-m|-|-|--handler-timeout|5", "--handler-timeout needs a handler"),
    ("-m|-|-|--watchdog|5", "--watchdog"),
    ("-p|a|-m|a|-", "name the same file"),
    // Arguments before `--` that are not options.
    ("true", "unexpected argument 'true': COMMAND goes after '--'"),
    ("-u|web|true", "unexpected argument 'true'"),
];

/// Command lines to which the test does not append `-- true`, and a part of the message.
const LINES_WITHOUT_COMMAND: &[(&str, &str)] = &[
    ("-b", "'-- COMMAND' is missing"),
    ("--", "no COMMAND after '--'"),
    ("-u|web", "'-- COMMAND' is missing"),
    ("--signal", "takes two values, SIGNAL and PIDFILE: SIGNAL is missing"),
    ("--signal|TERM", "takes two values, SIGNAL and PIDFILE: PIDFILE is missing"),
    (
        "--status|p|extra",
        "unexpected argument 'extra': --status, --stop, --replace and --signal take one PIDFILE and no COMMAND",
    ),
    ("--stop|p|extra", "take one PIDFILE and no COMMAND"),
    ("--status|p|--|x", "option --status, --stop, --replace or --signal is used alone"),
    ("--status|p|--stop|p", "--status, --stop, --replace or --signal is given twice"),
    ("--status|p|--stop-timeout|5", "is used alone"),
    ("--stop|p|--user|web", "is used alone"),
    ("--replace|p|--stop-timeout|5", "is used alone"),
    ("--probe|80|--|x", "--probe takes no COMMAND"),
    ("--probe-timeout|1s", "--probe-timeout needs --probe"),
];

/// The lines of an `--args` file before `--`, the number of the wrong line, and a part of the message.
const LINES: &[(&str, usize, &str)] = &[
    ("--user root", 1, "'--user root' is one argument: write --user=root"),
    ("-b\n--stop-timeout 5", 2, "write --stop-timeout=5"),
    ("-- redis-server --port 6380", 1, "'--', each option and each word of COMMAND is an argument of its own"),
    ("--args --init", 1, "each option and each word of COMMAND is an argument of its own"),
    ("-u root", 1, "one argument a line"),
    ("--env=\"A=b c\"", 1, "quotes are kept literally"),
    ("--user='web'", 1, "quotes are kept literally"),
    ("-p\n\"/run/x.pid\"", 2, "quotes are kept literally"),
    ("# one\n--user=root  # the user", 2, "a comment needs a line of its own"),
    ("--pidfile=/run/x.pid # where", 1, "a comment needs a line of its own"),
    ("-b\n\n--bogus", 3, "unknown option --bogus"),
    ("--pidfil=/x", 1, "did you mean --pidfile?"),
    ("--user\n12ab", 2, "a name does not begin with a digit"),
    ("-m\n/run/m.pid", 2, "HANDLER is missing"),
    ("--limit\nnofiles=1", 2, "did you mean nofile?"),
    ("-b\n--args\nother", 3, "--args cannot be used in a file of --args"),
    ("-e\nA=\0b", 2, "an argument cannot contain a NUL"),
    ("stray", 1, "unexpected argument 'stray'"),
];

#[test]
fn an_unknown_option_is_answered_with_the_one_that_was_meant() {
    let sandbox = Sandbox::new();
    for (word, meant) in MISSPELT {
        assert_says(&sandbox, &format!("{word}|--|true"), meant);
        let option = word.trim_end_matches('?');
        assert_says(&sandbox, &format!("{option}|--|true"), &format!("unknown option {option}"));
    }
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    let sandbox = Sandbox::new();
    for (flag, examples) in FLAGS.iter().zip(EXAMPLES) {
        let option = format!("--{}", flag.long);
        for (values, says) in examples.rejected {
            let line = [&[option.as_str()], *values, &["--", "true"]].concat();
            let own = format!("option {option}: '{}' {}", values.last().unwrap(), flag.rejection);
            assert_words_say(&sandbox, &line, if says.is_empty() { &own } else { says });
        }
    }
}

#[test]
fn a_missing_value_is_named_with_its_option() {
    let sandbox = Sandbox::new();
    for (flag, examples) in FLAGS.iter().zip(EXAMPLES).filter(|(flag, _)| !flag.values.is_empty()) {
        let option = format!("--{}", flag.long);
        let names = [option.clone(), format!("-{}", flag.short)];
        let missing = if flag.values.len() > 1 { "takes two values" } else { "a value is missing" };
        for name in names.iter().take(if flag.short == ' ' { 1 } else { 2 }) {
            assert_words_say(&sandbox, &[name, "--", "true"], &format!("option {option}: {missing}"));
        }
        if !examples.accepted.contains(&[""].as_slice()) {
            assert_words_say(
                &sandbox,
                &[&format!("{option}="), "x", "--", "true"],
                &format!("option {option}: '' is empty"),
            );
        }
    }
}

#[test]
fn options_that_do_not_fit_together_are_named() {
    let sandbox = Sandbox::new();
    for (line, says) in COMBINED {
        assert_says(&sandbox, &format!("{line}|--|true"), says);
    }
}

#[test]
fn a_wrong_order_without_a_command_is_explained() {
    let sandbox = Sandbox::new();
    for (line, says) in LINES_WITHOUT_COMMAND {
        assert_says(&sandbox, line, says);
    }
}

#[test]
fn a_wrong_line_is_named_with_file_and_number() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("args");
    for (lines, number, says) in LINES {
        fs::write(&file, format!("{lines}\n--\ntrue\n")).unwrap();
        let ended = sandbox.vsrun(words!["--args", &file]).finish();
        ended.assert_failed(2, &[&format!("vsrun: {}:{number}: ", file.display()), says]);
    }
}

#[test]
fn the_tables_hold_at_least_200_wrong_command_lines() {
    let values: usize = EXAMPLES.iter().map(|examples| examples.rejected.len()).sum();
    assert!(MISSPELT.len() + values + COMBINED.len() + LINES_WITHOUT_COMMAND.len() + LINES.len() >= 200);
}

/// The message suggests no unit for a value that has one, and does not ask for a numeric address if it is numeric.
#[test]
fn no_mistake_is_named_that_was_not_made() {
    let sandbox = Sandbox::new();
    for (line, wrong) in [
        (words!["--stop-timeout", "1000000000000d"], "did you mean"),
        (words!["--watchdog", "0s"], "did you mean"),
        (words!["--listen", "[::ffff:127.0.0.1]:81"], "numeric"),
    ] {
        let ended = sandbox.vsrun([line, words!["--", "x"]].concat()).finish();
        ended.assert_failed(2, &["is not "]);
        assert!(!ended.err[0].contains(wrong), "{ended:?}");
    }
}
