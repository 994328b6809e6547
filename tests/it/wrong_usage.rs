//! Wrong command lines: each one says in one line what is wrong and what is allowed, and exits with 2.

use crate::harness::{Sandbox, words};
use std::ffi::OsString;
use std::fs;

/// Runs vsrun with these words; those of the command are added where `full` says so.
#[track_caller]
fn assert_says(sandbox: &Sandbox, line: &str, says: &str) {
    let line: Vec<OsString> = line.split('|').filter(|word| !word.is_empty()).map(OsString::from).collect();
    let ended = sandbox.vsrun(line.clone()).finish();
    assert_eq!((ended.code(), ended.out.len(), ended.err.len()), (Some(2), 0, 1), "{line:?}: {ended:?}");
    let said = ended.err[0].strip_prefix("vsrun: ").unwrap_or_else(|| panic!("{line:?}: {ended:?}"));
    assert!(said.contains(says), "{line:?}: {said:?} does not say {says:?}");
}

/// An option that does not exist, and the one that is suggested.
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

/// A value that is wrong, and what is said of it.
const VALUES: &[(&str, &str)] = &[
    // Signals.
    ("-m|-|-|--stop-signal|SIGTREM", "unknown signal 'SIGTREM': did you mean SIGTERM?"),
    ("-m|-|-|--stop-signal|trem", "did you mean SIGTERM?"),
    ("-m|-|-|--stop-signal|USR", "did you mean SIGUSR1?"),
    ("-m|-|-|--stop-signal|KIL", "did you mean SIGKILL?"),
    ("-m|-|-|--stop-signal|HANGUP", "unknown signal 'HANGUP'"),
    ("-m|-|-|--stop-signal|0", "'0' is not a signal"),
    ("-m|-|-|--stop-signal|65", "their numbers are 1 to 64"),
    ("-m|-|-|--stop-signal|STOP", "'STOP' is not a signal that ends a server"),
    ("-m|-|-|--stop-signal|CHLD", "is not a signal that ends a server"),
    ("-m|-|-|--stop-signal|CONT", "is not a signal that ends a server"),
    ("-m|-|-|--success-exit|3,SIGTREM", "unknown signal 'SIGTREM': did you mean SIGTERM?"),
    ("-m|-|-|--success-exit|256", "'256' is not a list of statuses and signals"),
    ("-m|-|-|--success-exit|3,,4", "unknown signal ''"),
    ("-m|-|-|--success-exit|foo", "unknown signal 'foo'"),
    ("--signal|HUPP|p", "unknown signal 'HUPP': did you mean SIGHUP?"),
    ("--signal|99|p", "'99' is not a signal"),
    ("-m|-|-|--on-signal|USR1", "'USR1': '=ACTION' is missing"),
    ("-m|-|-|--on-signal|USR3=stop", "unknown signal 'USR3': did you mean SIGUSR1?"),
    ("-m|-|-|--on-signal|HUP=reload", "unknown action 'reload': "),
    (
        "-m|-|-|--on-signal|HUP=replace",
        "--on-signal with replace needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM",
    ),
    (
        "-m|-|-|--on-signal|HUP=replace|--ready|probe:80/",
        "--on-signal with replace needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM",
    ),
    ("-m|-|-|--on-signal|HUP=quit", "stop, restart, replace, reopen, ignore, forward, forward:SIGNAL"),
    ("-m|-|-|--on-signal|HUP=restrat", "unknown action 'restrat': did you mean restart?"),
    ("-m|-|-|--on-signal|HUP=reopn", "did you mean reopen?"),
    ("-m|-|-|--on-signal|HUP=", "unknown action ''"),
    ("-m|-|-|--on-signal|HUP=forward:TREM", "unknown signal 'TREM': did you mean SIGTERM?"),
    ("-m|-|-|--on-signal|KILL=stop", "for a signal that can be trapped"),
    ("-m|-|-|--on-signal|STOP=ignore", "for a signal that can be trapped"),
    ("-m|-|-|--on-signal|CHLD=ignore", "for a signal that can be trapped"),
    ("-m|-|-|--on-signal|=stop", "unknown signal ''"),
    // Limits.
    ("--limit|nofiles=10", "unknown limit 'nofiles': did you mean nofile?"),
    ("--limit|NOFIEL=10", "did you mean nofile?"),
    ("--limit|memory=10", "unknown limit 'memory': cpu, fsize, data, stack, core, rss, nproc, nofile, memlock, as"),
    ("--limit|nofile", "a value is missing"),
    ("--limit|nofile=", "a value is missing"),
    ("--limit|nofile=10k", "a value is a number or 'unlimited'"),
    ("--limit|nofile=-1", "a value is a number or 'unlimited'"),
    ("--limit|nofile=infinity", "a value is a number or 'unlimited'"),
    ("--limit|nofile=1:", "a value is a number or 'unlimited'"),
    ("--limit|nofile=100:10", "SOFT is above HARD"),
    ("--limit|nofile=unlimited:10", "SOFT is above HARD"),
    ("--limit|core=0|--limit|core=1", "is given twice"),
    // Capabilities.
    ("--caps|foo", "unknown capability 'foo': none, or names of capabilities(7)"),
    ("--caps|net_bind_servce", "unknown capability 'net_bind_servce': did you mean net_bind_service?"),
    ("--caps|kill,net_raww", "unknown capability 'net_raww': did you mean net_raw?"),
    ("--caps|kill,", "unknown capability ''"),
    ("--caps|64", "'64' is not"),
    // Choices.
    ("--restart|maybe", "unknown value 'maybe': no, on-failure, on-abort, always"),
    ("--restart|on-fail", "did you mean on-failure?"),
    ("--restart|allways", "did you mean always?"),
    ("--syslog-usage|both", "unknown value 'both': no, yes, only"),
    ("--syslog-usage|yse", "did you mean yes?"),
    ("-m|-|-|--at-exit|shutdown", "unknown value 'shutdown': poweroff, reboot, halt"),
    ("-m|-|-|--at-exit|power-off", "did you mean poweroff?"),
    ("-m|-|-|--ready|now", "is not exec, notify or fd:N"),
    ("--init|--stop-delay|5m", "--stop-delay: '5m' is not a duration"),
    ("--init|--health|localhost", "--health: 'localhost' is not [http:][ADDRESS:]PORT[/PATH]"),
    ("--init|--health|80/|--health-interval|0", "--health-interval: '0' is not a duration"),
    ("--init|--health|80/|--health-timeout|x", "--health-timeout: 'x' is not a duration"),
    ("--init|--health|80/|--health-retries|0", "--health-retries: '0' is not an integer of at least 1"),
    ("-m|-|-|--ready|fd:2", "is not exec, notify or fd:N with N of 3 to 65535"),
    // Durations.
    ("-m|-|-|--stop-timeout|5m", "an integer and ms, s, min, h, d or w: did you mean 5min?"),
    ("-m|-|-|--stop-timeout|5sec", "did you mean 5s?"),
    ("-m|-|-|--stop-timeout|2hours", "did you mean 2h?"),
    ("-m|-|-|--stop-timeout|2days", "did you mean 2d?"),
    ("-m|-|-|--stop-timeout|1.5s", "'1.5s' is not a duration"),
    ("-m|-|-|--stop-timeout|-1", "'-1' is not a duration"),
    ("-m|-|-|--linger|5m", "did you mean 5min?"),
    ("-m|-|-|--linger|soon", "'soon' is not a duration"),
    ("-m|-|x|--handler-timeout|5m", "did you mean 5min?"),
    ("-m|-|-|--ready|notify|--ready-timeout|5m", "did you mean 5min?"),
    ("-m|-|-|--ready|notify|--watchdog|5m", "did you mean 5min?"),
    ("-m|-|-|--ready|notify|--watchdog|0", "'0' is not a duration"),
    ("-m|-|-|--restart-delay|5:1", "is not MIN[:MAX] with MIN at most MAX"),
    ("-m|-|-|--restart-delay|x", "is not MIN[:MAX]"),
    ("-m|-|-|--restart-limit|5", "is not N/DURATION"),
    ("-m|-|-|--restart-limit|0/5", "with N of 1 to 65535"),
    ("-m|-|-|--restart-limit|5/0", "is not N/DURATION"),
    ("-d|logs|1y", "is not KEEP: an integer and h, d, w or m"),
    ("-d|logs|1|--log-size|10kb", "is not a size: an integer and k, M or G"),
    ("-d|logs|1|--log-size|0", "is not a size"),
    ("-d|logs|1|--log-size|1k|--log-files|many", "'many' is not a number"),
    // Addresses.
    ("--port|0", "'0' is not PORT[/udp] with PORT of 1 to 65535"),
    ("--port|99999", "a port is 1 to 65535"),
    ("--port|http", "a port is 1 to 65535"),
    ("--port|80/tcp", "'80/tcp' is not PORT[/udp]"),
    ("--port|80|--bind|localhost", "an address is numeric"),
    ("--port|80|--bind|256.1.1.1", "'256.1.1.1' is not a numeric address"),
    ("--listen|localhost:80", "an address is numeric, as in 127.0.0.1:80"),
    ("--listen|99999", "a port is 1 to 65535"),
    ("--listen|127.0.0.1:99999", "a port is 1 to 65535"),
    ("--listen|127.0.0.1", "a port is 1 to 65535"),
    ("--listen|::1:80", "an IPv6 address needs brackets, as in [::1]:80"),
    ("--listen|:80", "for every address, write the port alone"),
    ("--listen|*:80", "for every address, write the port alone"),
    ("--listen|a:b=80", "'a:b=80' is not"),
    ("--bind|127.0.0.1", "--bind needs --port with an address"),
    ("--bind|/x|--port|80", "--bind needs --port with an address"),
    // Users.
    ("-u|12ab", "a name does not begin with a digit"),
    ("-u|4294967295", "that number means 'unchanged' to the kernel"),
    ("-u|99999999999", "'99999999999' is not USER[:GROUP]"),
    ("-u|web:12ab", "a name does not begin with a digit"),
    ("-u|-1", "'-1' is not USER[:GROUP]"),
    ("-u|:web", "':web' is not USER[:GROUP]"),
    ("-u|web:", "'web:' is not USER[:GROUP]"),
    // Numbers.
    ("--nice|20", "is not an integer of -20 to 19"),
    ("--nice|high", "is not an integer of -20 to 19"),
    ("--oom-score-adj|1001", "is not an integer of -1000 to 1000"),
    ("--umask|8", "is not an octal number of 0 to 777"),
    ("--umask|1000", "is not an octal number of 0 to 777"),
    ("-e|NAME", "is not NAME=VALUE"),
    ("-e|=x", "is not NAME=VALUE"),
    ("--before| ", "is empty"),
    ("--file-env|=", "is not NAME[,NAME]... of different names without '='"),
    ("--file-env|A,,B", "is not NAME[,NAME]..."),
    ("--file-env|A,A", "of different names"),
    // Landlock, control groups, mounts.
    ("--bind-tcp|0", "is not 'none' or a port of 1 to 65535"),
    ("--bind-tcp|none|--bind-tcp|80", "'none' means no port at all"),
    ("--connect-tcp|http", "is not 'none' or a port of 1 to 65535"),
    ("--scope|abstrct", "is not a list of signal and abstract"),
    ("--scope|signal,", "is not a list of signal and abstract"),
    ("--cgroup|/x|--cgroup-set|pids.max", "is not FILE=VALUE"),
    ("--cgroup-set|pids.max=1", "--cgroup-set needs --cgroup"),
    ("--mount|proc,home", "is not a list of proc, sys, dev, run, tmp and cgroup"),
    // Values that are missing.
    ("-u", "--user: a value is missing"),
    ("--pidfile", "--pidfile: a value is missing"),
    ("-m|/run/m.pid", "takes two values, PIDFILE and HANDLER ('-' for none): HANDLER is missing"),
    ("-m", "takes two values, PIDFILE and HANDLER ('-' for none): PIDFILE is missing"),
    ("-d|logs", "takes two values, DIR and KEEP: KEEP is missing"),
    ("-d", "takes two values, DIR and KEEP: DIR is missing"),
    ("-w", "--work-dir: a value is missing"),
    ("-r", "--root: a value is missing"),
    ("-s", "--syslog: a value is missing"),
    ("-e", "--env: a value is missing"),
    ("--termination-log=", "--termination-log: '' is empty"),
    ("--env-dir", "--env-dir: a value is missing"),
    ("--env-file", "--env-file: a value is missing"),
    ("--argv0", "--argv0: a value is missing"),
    ("--ro", "--ro: a value is missing"),
    ("--rox", "--rox: a value is missing"),
    ("--rw=", "--rw: '' is empty"),
    ("--rwx=", "--rwx: '' is empty"),
    ("--cgroup=", "--cgroup: '' is empty"),
    ("--limit", "--limit: a value is missing"),
    ("--caps", "--caps: a value is missing"),
    ("--on-signal", "--on-signal: a value is missing"),
    ("--debug=yes", "--debug"),
    // Contradictions.
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
    // Words before '--'.
    ("true", "unexpected argument 'true': COMMAND goes after '--'"),
    ("-u|web|true", "unexpected argument 'true'"),
];

/// Without the words of a command.
const ALONE: &[(&str, &str)] = &[
    ("-b", "'-- COMMAND' is missing"),
    ("--", "no COMMAND after '--'"),
    ("-u|web", "'-- COMMAND' is missing"),
    ("--status", "--status: a value is missing"),
    ("--stop", "--stop: a value is missing"),
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
    ("--stop|p|--stop-timeout|5m", "did you mean 5min?"),
    ("--stop=", "--stop: '' is empty"),
    ("--replace=", "--replace: '' is empty"),
    ("--replace|p|--stop-timeout|5", "is used alone"),
    ("--status=", "--status: '' is empty"),
    ("--args", "--args: a value is missing"),
    ("--probe|localhost", "is not [http:][ADDRESS:]PORT[/PATH]"),
    ("--probe|80|--|x", "--probe takes no COMMAND"),
    ("--probe|80|--probe-timeout|0", "'0' is not a duration"),
    ("--probe-timeout|1s", "--probe-timeout needs --probe"),
];

/// Lines of a file of --args before `--`, the number of the one that is wrong, and what is said of it.
const LINES: &[(&str, usize, &str)] = &[
    ("--user root", 1, "'--user root' is one argument: write --user=root"),
    ("-b\n--stop-timeout 5", 2, "write --stop-timeout=5"),
    ("-- redis-server --port 6380", 1, "'--' is an argument of its own"),
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
    for (line, says) in VALUES {
        assert_says(&sandbox, &format!("{line}|--|true"), says);
    }
}

#[test]
fn a_wrong_order_without_a_command_is_explained() {
    let sandbox = Sandbox::new();
    for (line, says) in ALONE {
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
        ended.failed(2, &[&format!("vsrun: {}:{number}: ", file.display()), says]);
    }
}

/// A new option is not finished before it is known what it says of a wrong value.
#[test]
fn each_option_with_a_value_has_a_wrong_one_here() {
    let sandbox = Sandbox::new();
    let table = sandbox.vsrun(words!["--help-completion"]).finish().out;
    let used: Vec<&str> = VALUES.iter().chain(ALONE).flat_map(|(line, _)| line.split(['|', '='])).collect();
    for line in table.iter().filter(|line| line.starts_with('-') && !line.ends_with(" none")) {
        let names = line.split(' ').next().unwrap();
        assert!(names.split(',').any(|name| used.contains(&name)), "no wrong value of {names} is tried");
    }
}

#[test]
fn these_are_two_hundred_and_more() {
    assert!(MISSPELT.len() + VALUES.len() + ALONE.len() + LINES.len() >= 200);
}
