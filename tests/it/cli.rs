//! The command line: an error is reported in one line, with status 2, before anything is changed; and the words after
//! `--` reach the command byte for byte.

use crate::harness::{self, Sandbox, needs, sys, words};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Each row: options before `-- COMMAND`, and the spellings of the wrong option, one of which the error must contain.
#[rustfmt::skip]
const MALFORMED: &[(&[&str], &[&str])] = &[
    (&["-x"], &["-x"]),
    (&["--nonsense"], &["--nonsense"]),
    (&["--nonsense=1"], &["--nonsense"]),
    (&["--pidfil", "x"], &["--pidfil"]),
    (&["word"], &["word"]),
    (&["-b", "true"], &["true"]),
    (&["-p", "pid", "true"], &["true"]),
    (&["--background=yes"], &["--background"]),
    (&["--foreground=yes"], &["--foreground"]),
    (&["--debug=1"], &["--debug"]),
    (&["--stdin="], &["--stdin"]),
    (&["--no-user-checks=no"], &["--no-user-checks"]),

    (&["-u", ""], &["-u", "--user"]),
    (&["-u", "12ab"], &["-u", "--user"]),
    (&["-u", "-5"], &["-u", "--user"]),
    (&["-u", "+5"], &["-u", "--user"]),
    (&["-u", "-root"], &["-u", "--user"]),
    (&["-u", "+root"], &["-u", "--user"]),
    (&["-u", "0x10"], &["-u", "--user"]),
    (&["-u", " 5"], &["-u", "--user"]),
    (&["-u", "4294967295"], &["-u", "--user"]),
    (&["-u", "4294967296"], &["-u", "--user"]),
    (&["-u", "99999999999999999999"], &["-u", "--user"]),
    (&["-u", "18446744073709551616"], &["-u", "--user"]),
    (&["-u", ":5"], &["-u", "--user"]),
    (&["-u", "5:"], &["-u", "--user"]),
    (&["-u", "5:-1"], &["-u", "--user"]),
    (&["-u", "5:12ab"], &["-u", "--user"]),
    (&["-u", "5:4294967295"], &["-u", "--user"]),
    (&["-u", "5:4294967296"], &["-u", "--user"]),
    (&["-u", "5:6:7"], &["-u", "--user"]),
    (&["--user=12ab"], &["-u", "--user"]),

    (&["-d", "logs", ""], &["-d", "--logdir"]),
    (&["-d", "logs", "h"], &["-d", "--logdir"]),
    (&["-d", "logs", "-1"], &["-d", "--logdir"]),
    (&["-d", "logs", "+1"], &["-d", "--logdir"]),
    (&["-d", "logs", "1y"], &["-d", "--logdir"]),
    (&["-d", "logs", "1s"], &["-d", "--logdir"]),
    (&["-d", "logs", "1.5d"], &["-d", "--logdir"]),
    (&["-d", "logs", "d1"], &["-d", "--logdir"]),
    (&["-d", "logs", "1 d"], &["-d", "--logdir"]),
    (&["-d", "logs", "1dd"], &["-d", "--logdir"]),
    (&["-d", "logs", "18446744073709551616"], &["-d", "--logdir"]),
    (&["-d", "logs", "9223372036854775807m"], &["-d", "--logdir"]),
    (&["-d", "logs", "99999999999999999999w"], &["-d", "--logdir"]),

    (&["--umask", ""], &["--umask"]),
    (&["--umask", "8"], &["--umask"]),
    (&["--umask", "-1"], &["--umask"]),
    (&["--umask", "rwx"], &["--umask"]),
    (&["--umask", "1000"], &["--umask"]),
    (&["--umask", "0o22"], &["--umask"]),
    (&["--umask", "777777777777777777777777"], &["--umask"]),

    (&["--nice", ""], &["--nice"]),
    (&["--nice", "20"], &["--nice"]),
    (&["--nice", "-21"], &["--nice"]),
    (&["--nice", "+1"], &["--nice"]),
    (&["--oom-score-adj", "1001"], &["--oom-score-adj"]),
    (&["--oom-score-adj", "-1001"], &["--oom-score-adj"]),
    (&["--oom-score-adj", "x"], &["--oom-score-adj"]),
    (&["--limit", ""], &["--limit"]),
    (&["--limit", "nofile"], &["--limit"]),
    (&["--limit", "files=1"], &["--limit"]),
    (&["--limit", "nofile=2:1"], &["--limit"]),
    (&["--limit", "nofile=-1"], &["--limit"]),
    (&["--limit", "nofile=1k"], &["--limit"]),
    (&["--limit", "nofile=1", "--limit", "NOFILE=2"], &["--limit"]),
    (&["--caps", ""], &["--caps"]),
    (&["--caps", "all"], &["--caps"]),
    (&["--caps", "cap_killer"], &["--caps"]),
    (&["--caps", "kill,"], &["--caps"]),
    (&["--caps", "none,kill"], &["--caps"]),
    (&["--caps", "64"], &["--caps"]),
    (&["--env-dir", ""], &["--env-dir"]),
    (&["--clear-env=yes"], &["--clear-env"]),
    (&["--no-new-privs=yes"], &["--no-new-privs"]),

    (&["-e", "NAME"], &["-e", "--env"]),
    (&["-e", ""], &["-e", "--env"]),
    (&["-e", "=value"], &["-e", "--env"]),
    (&["--env=NAME"], &["-e", "--env"]),

    (&["-s", "tag", "-d", "logs", "1"], &["-s", "--syslog", "-d", "--logdir"]),
    (&["-d", "logs", "1", "--syslog=tag"], &["-s", "--syslog", "-d", "--logdir"]),
    (&["--logger", "cat"], &["--logger"]),
    (&["--logger", "cat", "-d", "logs", "1"], &["--logger"]),
    (&["-s", "tag", "--logger", ""], &["--logger"]),
    (&["-s", "tag", "--logger", "  "], &["--logger"]),

    (&["-m", "monitor", "-", "-p", "monitor"], &["-p", "--pidfile", "-m", "--manager"]),

    (&["--restart", "sometimes"], &["--restart"]),
    (&["--restart", ""], &["--restart"]),
    (&["--restart", "ON-FAILURE"], &["--restart"]),

    (&["-m", "-", "-", "--success-exit", ""], &["--success-exit"]),
    (&["-m", "-", "-", "--success-exit", "256"], &["--success-exit"]),
    (&["-m", "-", "-", "--success-exit", "-1"], &["--success-exit"]),
    (&["-m", "-", "-", "--success-exit", "3,"], &["--success-exit"]),
    (&["-m", "-", "-", "--success-exit", "3;4"], &["--success-exit"]),
    (&["-m", "-", "-", "--success-exit", "SIGNONE"], &["--success-exit"]),
    (&["--success-exit", "3"], &["--success-exit"]),

    (&["-m", "-", "-", "--restart-delay", ""], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "-1"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "1y"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "1.5s"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "5s:1s"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "1s:"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", ":1s"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "1s:2s:3s"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "99999999999999999999"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-delay", "18446744073709551615w"], &["--restart-delay"]),
    (&["--restart-delay", "1s"], &["--restart-delay"]),

    (&["-m", "-", "-", "--restart-limit", "5"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "5/"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "/5s"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "0/5s"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "5/0"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "-1/5s"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "x/5s"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "5/5y"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "5/5s/5s"], &["--restart-limit"]),
    (&["-m", "-", "-", "--restart-limit", "99999999999999999999/5s"], &["--restart-limit"]),
    (&["--restart-limit", "5/5s"], &["--restart-limit"]),

    (&["-m", "-", "/bin/true", "--handler-timeout", "soon"], &["--handler-timeout"]),
    (&["-m", "-", "/bin/true", "--handler-timeout", ""], &["--handler-timeout"]),
    (&["-m", "-", "-", "--handler-timeout", "5s"], &["--handler-timeout"]),
    (&["--restart", "always", "--handler-timeout", "5s"], &["--handler-timeout"]),
    (&["--handler-timeout", "5s"], &["--handler-timeout"]),

    (&["-m", "-", "-", "--stop-signal", ""], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "0"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "65"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "-1"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "SIG"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "NONE"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "RTMIN+31"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-signal", "RTMIN+x"], &["--stop-signal"]),
    (&["--stop-signal", "INT"], &["--stop-signal"]),

    (&["-m", "-", "-", "--stop-timeout", "x"], &["--stop-timeout"]),
    (&["-m", "-", "-", "--stop-timeout", "-1s"], &["--stop-timeout"]),
    (&["-m", "-", "-", "--stop-timeout", "1M"], &["--stop-timeout"]),
    (&["--stop-timeout", "1s"], &["--stop-timeout"]),
];

/// Options that may be given only once, given twice in the same or another spelling. Each row is like one of MALFORMED.
#[rustfmt::skip]
const TWICE: &[(&[&str], &[&str])] = &[
    (&["-u", "1", "--user=1"], &["-u", "--user"]),
    (&["-p", "a", "--pidfile", "a"], &["-p", "--pidfile"]),
    (&["-r", "/", "--root=/"], &["-r", "--root"]),
    (&["-w", "/", "-w", "/"], &["-w", "--work-dir"]),
    (&["-s", "a", "--syslog", "b"], &["-s", "--syslog"]),
    (&["-d", "logs", "1", "--logdir", "logs", "1"], &["-d", "--logdir"]),
    (&["-s", "a", "--logger", "cat", "--logger", "cat"], &["--logger"]),
    (&["--umask", "022", "--umask", "022"], &["--umask"]),
    (&["--argv0", "a", "--argv0=b"], &["--argv0"]),
    (&["--env-dir", "a", "--env-dir", "a"], &["--env-dir"]),
    (&["--nice", "1", "--nice", "1"], &["--nice"]),
    (&["--oom-score-adj", "1", "--oom-score-adj", "1"], &["--oom-score-adj"]),
    (&["--caps", "kill", "--caps", "kill"], &["--caps"]),
    (&["-m", "-", "-", "--manager", "-", "-"], &["-m", "--manager"]),
    (&["--restart", "no", "--restart", "no"], &["--restart"]),
    (&["-m", "-", "-", "--success-exit", "1", "--success-exit", "2"], &["--success-exit"]),
    (&["-m", "-", "-", "--restart-delay", "1", "--restart-delay", "2"], &["--restart-delay"]),
    (&["-m", "-", "-", "--restart-limit", "1/1", "--restart-limit", "2/2"], &["--restart-limit"]),
    (&["-m", "-", "/bin/true", "--handler-timeout", "1", "--handler-timeout", "2"], &["--handler-timeout"]),
    (&["-m", "-", "-", "--stop-signal", "INT", "--stop-signal", "INT"], &["--stop-signal"]),
    (&["-m", "-", "-", "--stop-timeout", "1", "--stop-timeout", "2"], &["--stop-timeout"]),
];

/// Command lines that end too early, and words of which the error must contain one.
#[rustfmt::skip]
const INCOMPLETE: &[(&[&str], &[&str])] = &[
    (&["-b"], &["--", "COMMAND"]),
    (&["-p", "pid"], &["--", "COMMAND"]),
    (&["--"], &["COMMAND", "command"]),
    (&["-b", "--"], &["COMMAND", "command"]),
    (&["-u"], &["-u", "--user"]),
    (&["--user"], &["-u", "--user"]),
    (&["-p"], &["-p", "--pidfile"]),
    (&["-r"], &["-r", "--root"]),
    (&["-w"], &["-w", "--work-dir"]),
    (&["-s"], &["-s", "--syslog"]),
    (&["-d"], &["-d", "--logdir"]),
    (&["-d", "logs"], &["-d", "--logdir"]),
    (&["-e"], &["-e", "--env"]),
    (&["-m"], &["-m", "--manager"]),
    (&["-m", "monitor"], &["-m", "--manager"]),
    (&["-s", "tag", "--logger"], &["--logger"]),
    (&["--umask"], &["--umask"]),
    (&["--argv0"], &["--argv0"]),
    (&["--env-dir"], &["--env-dir"]),
    (&["--nice"], &["--nice"]),
    (&["--oom-score-adj"], &["--oom-score-adj"]),
    (&["--limit"], &["--limit"]),
    (&["--caps"], &["--caps"]),
    (&["--restart"], &["--restart"]),
    (&["--success-exit"], &["--success-exit"]),
    (&["--restart-delay"], &["--restart-delay"]),
    (&["--restart-limit"], &["--restart-limit"]),
    (&["--handler-timeout"], &["--handler-timeout"]),
    (&["--stop-signal"], &["--stop-signal"]),
    (&["--stop-timeout"], &["--stop-timeout"]),
];

/// Describes what is wrong if vsrun does not reject this command line as it should.
fn complaint(sandbox: &Sandbox, line: Vec<OsString>, spellings: &[&str]) -> Option<String> {
    let before = harness::names(sandbox.directory());
    let shown = format!("{line:?}");
    let ended = sandbox.vsrun(line).finish();
    let new: Vec<String> =
        harness::names(sandbox.directory()).into_iter().filter(|name| !before.contains(name)).collect();
    let new: Vec<&String> = new.iter().filter(|name| !name.starts_with('.')).collect();
    let one_line = ended.err.len() == 1 && ended.err[0].starts_with("vsrun: ");
    let named = spellings.iter().any(|spelling| ended.err.iter().any(|line| line.contains(spelling)));
    let right = ended.code() == Some(2) && ended.out.is_empty() && one_line && named && new.is_empty();
    (!right).then(|| format!("{shown}: {ended:?}, new files {new:?}, should name one of {spellings:?}"))
}

#[track_caller]
fn assert_all_right(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Adds a command and options that would create files, where the row has no such option itself.
fn with_things_to_touch(sandbox: &Sandbox, row: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> = row.iter().map(OsString::from).collect();
    let has = |names: &[&str]| row.iter().any(|word| names.contains(word) || word.starts_with("--syslog="));
    if !has(&["-p", "--pidfile"]) {
        line.splice(0..0, words!["-p", "new-pidfile"]);
    }
    if !has(&["-d", "--logdir", "-s", "--syslog", "--logger"]) {
        line.splice(0..0, words!["-d", "new-logs", "1"]);
    }
    line.extend(words!["--", sandbox.probe(), "append", "new-file", "x"]);
    line
}

#[test]
fn malformed_options_are_refused_and_nothing_is_touched() {
    let sandbox = Sandbox::new();
    let rows = MALFORMED.iter().chain(TWICE);
    let wrong: Vec<String> =
        rows.filter_map(|(row, names)| complaint(&sandbox, with_things_to_touch(&sandbox, row), names)).collect();
    assert_all_right(&wrong);
}

#[test]
fn a_line_that_ends_too_early_is_refused() {
    let sandbox = Sandbox::new();
    let wrong: Vec<String> = INCOMPLETE
        .iter()
        .filter_map(|(row, names)| complaint(&sandbox, row.iter().map(OsString::from).collect(), names))
        .collect();
    assert_all_right(&wrong);
}

#[test]
fn bytes_that_are_no_text_are_refused_in_one_clean_line() {
    let sandbox = Sandbox::new();
    let rows: [(&[u8], &str); 4] = [
        (b"--\xff\xfe", "--"),
        (b"word\n\x1b[31m", "word"),
        (b"--user=1\n2", "--user"),
        (b"--restart=\x07", "--restart"),
    ];
    for (word, part) in rows {
        let ended =
            sandbox.vsrun(vec![OsString::from_vec(word.to_vec()), "--".into(), sandbox.probe().into()]).finish();
        ended.assert_failed(2, &[part]);
        assert!(!ended.err[0].contains(char::is_control), "printable: {ended:?}");
    }
}

#[test]
fn unknown_accounts_are_no_wrong_usage() {
    let sandbox = Sandbox::new();
    for (account, unknown) in [("no-such-user", "no-such-user"), ("1:no-such-group", "no-such-group")] {
        let line = words!["-p", "pid", "-d", "logs", "1", "-u", account, "--", sandbox.probe(), "append", "ran", "x"];
        sandbox.vsrun(line).finish().assert_failed(125, &[unknown]);
        assert_eq!(
            harness::names(sandbox.directory())
                .iter()
                .filter(|name| ["pid", "logs", "ran"].contains(&name.as_str()))
                .count(),
            0
        );
    }
}

#[test]
fn the_error_line_may_get_lost_but_not_the_status() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["--nonsense"]).closed(&[0, 1, 2]).finish().assert_exited(2);
    sandbox
        .vsrun(words!["--nonsense"])
        .stderr(File::options().write(true).open("/dev/full").unwrap())
        .finish()
        .assert_exited(2);
}

#[test]
fn help_and_version_go_to_stdout() {
    let sandbox = Sandbox::new();
    let help = sandbox.vsrun(words!["--help"]).finish();
    help.assert_exited(0);
    assert!(help.err.is_empty(), "{help:?}");
    for option in OPTIONS.split(' ') {
        assert!(help.out.iter().any(|line| line.contains(option)), "{option} is in the help: {help:?}");
    }
    assert!(help.out.iter().all(|line| line.chars().count() <= 80), "lines fit a terminal: {help:?}");
    for word in ["-V", "--version"] {
        let version = sandbox.vsrun(words![word]).finish();
        version.assert_exited(0);
        assert!(version.err.is_empty(), "{version:?}");
        assert_eq!(version.out.len(), 3, "{version:?}");
        assert_eq!(version.out[0], format!("vsrun {}", env!("CARGO_PKG_VERSION")));
        assert!(version.out[1].starts_with("compiled with rustc 1."), "{version:?}");
        assert_eq!(version.out[2], format!("running on linux {}", std::env::consts::ARCH));
    }
}

/// The headings of `--help`, each at the first column, in order.
const HEADINGS: [&str; 14] = [
    "Identity:",
    "Jail:",
    "Environment and limits:",
    "Output:",
    "Sockets:",
    "Starting:",
    "Staying, and keeping the server alive:",
    "Stopping:",
    "Readiness and health:",
    "Control: by the pidfile's lock, with no daemon to talk to:",
    "Files and checks:",
    "Help:",
    "Durations: digits and ms, s, min, h, d or w; no unit means seconds.",
    "Examples:",
];

#[test]
fn help_is_grouped_and_ends_with_the_examples() {
    let sandbox = Sandbox::new();
    let help = sandbox.vsrun(words!["--help"]).finish().assert_exited(0).out.clone();
    let found: Vec<&String> = help.windows(2).filter(|pair| pair[0].is_empty()).map(|pair| &pair[1]).skip(1).collect();
    assert_eq!(found, HEADINGS);
    let (examples, before) = (&help[help.len() - 6..], &help[help.len() - 7]);
    assert_eq!(before, "Examples:");
    assert!(examples.iter().all(|line| line.starts_with("  vsrun ")), "{help:#?}");
    // Each option is under one heading only.
    let mut rows: Vec<&String> = help.iter().filter(|line| line.trim_start().starts_with('-')).collect();
    let count = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), count);
}

#[test]
fn the_short_help_is_one_screen_of_examples_and_the_options_used_most() {
    let sandbox = Sandbox::new();
    let short = sandbox.vsrun(words!["-h"]).finish().assert_exited(0).out.clone();
    let all = sandbox.vsrun(words!["--help"]).finish().assert_exited(0).out.clone();
    assert!(short.len() <= 24 && short.iter().all(|line| line.chars().count() <= 80), "{short:#?}");
    assert_eq!(short[..3], all[..3], "the usage");
    assert_eq!(short[3..10], [&[String::new()][..], &all[all.len() - 6..]].concat(), "the examples");
    assert_eq!(short[10], "");
    let rows = &short[11..short.len() - 1];
    assert_eq!(rows.len(), 12);
    for row in rows {
        assert!(row.trim_start().starts_with('-') && all.contains(row), "{row:?} is a row of --help");
    }
    let last = short.last().unwrap();
    assert!(last.contains("vsrun --help") && last.contains("man vsrun"), "{last}");
}

#[test]
fn the_examples_of_the_help_are_right_usage() {
    let sandbox = Sandbox::new();
    let help = sandbox.vsrun(words!["-h"]).finish().assert_exited(0).out.clone();
    let examples: Vec<&str> = help.iter().filter_map(|line| line.strip_prefix("  vsrun ")).collect();
    assert_eq!(examples.len(), 6);
    for example in examples.iter().map(|line| line.split("  ").next().unwrap()) {
        // The examples use /run: use the test's directory in its place.
        let example = example.replace("/run/", &format!("{}/", sandbox.directory().display()));
        let mut line = if example.starts_with("--s") { words![] } else { words!["--check"] };
        line.extend(example.split(' ').map(OsString::from));
        let ended = sandbox.vsrun(line).finish();
        assert!(ended.code() != Some(2), "{example}: {ended:?}");
    }
}

#[test]
fn without_any_word_the_usage_goes_to_stderr() {
    let sandbox = Sandbox::new();
    let ended = sandbox.vsrun(words![]).finish();
    ended.assert_exited(2);
    assert!(ended.out.is_empty(), "{ended:?}");
    let help = sandbox.vsrun(words!["--help"]).finish().out;
    assert_eq!(ended.err[..3], help[..3]);
    assert_eq!(ended.err.len(), 4, "{ended:?}");
    assert!(ended.err[3].contains("vsrun -h"), "{ended:?}");
    sandbox.vsrun(words![]).closed(&[0, 1, 2]).finish().assert_exited(2);
}

const OPTIONS: &str = "-u --user --no-user-checks -p --pidfile -r --root -w --work-dir -b --background -f --foreground \
    -s --syslog -d --logdir --logger --stdin -e --env --umask --argv0 -m --manager --restart --success-exit \
    --restart-delay --restart-limit --handler-timeout --stop-signal --stop-timeout --debug -h --help -V --version";

#[test]
fn help_and_version_win_over_what_follows_but_not_over_what_precedes() {
    let sandbox = Sandbox::new();
    for row in [
        words!["--help", "bogus"],
        words!["-h", "bogus"],
        words!["--help", "--nonsense"],
        words!["-b", "--version", "-x"],
        words!["-V", "-h"],
    ] {
        let ended = sandbox.vsrun(row).finish();
        ended.assert_exited(0);
        assert!(ended.err.is_empty() && !ended.out.is_empty(), "{ended:?}");
    }
    sandbox.vsrun(words!["--nonsense", "--help"]).finish().assert_failed(2, &["--nonsense"]);
    sandbox.vsrun(words!["bogus", "--version"]).finish().assert_failed(2, &["bogus"]);
    let ended = sandbox.vsrun(words!["--", sandbox.probe(), "append", "ran", "yes", "exit", "3", "--help"]).finish();
    ended.assert_exited(3).assert_silent();
}

#[test]
fn help_and_version_need_nothing_of_the_system() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let empty = sandbox.path("empty");
    harness::sandbox::make_directory(&empty, 0o755);
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &empty.join("vsrun"));
    for word in ["-h", "--help", "--version"] {
        let root = empty.clone();
        let call = sandbox.program("/vsrun".as_ref(), words![word]).before(move || sys::change_root(root.as_os_str()));
        let ended = call.finish();
        ended.assert_exited(0);
        assert!(ended.err.is_empty() && ended.out.len() >= 3, "{ended:?}");
    }
}

#[test]
fn the_commands_words_reach_it_byte_for_byte() {
    let sandbox = Sandbox::new();
    let odd: Vec<OsString> = [&b"\xff\xfe\x80"[..], b"", b" a  b ", b"--help", b"-p", b"--", b"$HOME;*", b"\n\t\x01"]
        .iter()
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    for options in [words![], words!["-m", "-", "-"], words!["-b"]] {
        let report = sandbox.path(&format!("report-{}", options.len()));
        let mut line = options;
        line.extend(words!["--", sandbox.probe(), "report", &report, "exit", "0"]);
        line.extend(odd.clone());
        sandbox.vsrun(line).finish().assert_exited(0);
        let arguments = sandbox.report(&report).bytes("argument");
        assert_eq!(arguments[5..], odd.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn a_value_may_follow_an_equals_sign() {
    let sandbox = Sandbox::new();
    let report = sandbox.path("report");
    let user = format!("--user={}", sys::user());
    let work = format!("--work-dir={}", sandbox.path("out").display());
    let line = words!["--pidfile=pid", user, work, "--umask=027", "--argv0=na=me", "--env=A=b=c", "--env=E=", "--"];
    let line = [line, words![sandbox.probe(), "report", &report]].concat();
    sandbox.vsrun(line).finish().assert_exited(0).assert_silent();
    let report = sandbox.report(&report);
    assert_eq!(report.one("cwd"), sandbox.path("out").display().to_string());
    assert_eq!(report.number("umask"), 0o27);
    assert_eq!(report.all("argument")[0], "na=me");
    assert_eq!(report.variable("A").as_deref(), Some("b=c"));
    assert_eq!(report.variable("E").as_deref(), Some(""));
    assert_eq!(harness::text(&sandbox.path("pid")), format!("{}\n", report.one("pid")));
}

#[test]
fn a_later_foreground_cancels_background() {
    let sandbox = Sandbox::new();
    for options in [["-b", "-f"], ["--background", "--foreground"]] {
        sandbox.vsrun(words![options[0], options[1], "--", sandbox.probe(), "exit", "5"]).finish().assert_exited(5);
    }
    sandbox.vsrun(words!["-f", "-b", "--", sandbox.probe(), "wait"]).finish().assert_exited(0);
}
