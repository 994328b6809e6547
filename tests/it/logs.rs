//! The log directory: its files, their owners and rotation, which files are deleted and which are never touched, and
//! records that no process can forge.

use crate::harness::{self, Mount, Mounts, Running, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

fn mode_and_owner(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (found.mode() & 0o7777, found.uid(), found.gid())
}

/// Creates the directory `logs` with these files, each of which contains its own name.
fn prepared(sandbox: &Sandbox, names: &[&str]) -> PathBuf {
    let logs = sandbox.path("logs");
    harness::sandbox::make_directory(&logs, 0o755);
    for name in names {
        fs::write(logs.join(name), name).unwrap();
    }
    logs
}

/// Sets the modification time of a file, or of a symbolic link itself, to `seconds` ago. A negative number is in the
/// future.
fn set_age(path: &Path, seconds: i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    sys::set_modified(path, now.cast_signed() - seconds);
}

/// Runs vsrun once, with a server that prints a line and exits.
#[track_caller]
fn run(sandbox: &Sandbox, keep: &str) {
    sandbox
        .vsrun(words!["-d", "logs", keep, "--", sandbox.probe(), "print", "new"])
        .finish()
        .assert_exited(0)
        .assert_silent();
}

/// Starts a manager whose server appends a line to `life` at each start and then does `actions`.
#[track_caller]
fn manage(sandbox: &Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> Running {
    let line = [options, words!["--", sandbox.probe(), "life", sandbox.out("life")], actions].concat();
    sandbox.vsrun(line).start()
}

#[test]
fn the_directory_and_its_parents_are_made() {
    // Only root can enter a directory that it created with umask 777.
    for umask in [0, 0o22, 0o77, 0o777].into_iter().filter(|umask| *umask != 0o777 || sys::user() == 0) {
        let sandbox = Sandbox::new();
        let line = words!["-d", "a/b/logs", "1", "--", sandbox.probe(), "print", "out", "complain", "err"];
        sandbox.vsrun(line).before(move || sys::umask(umask)).finish().assert_exited(0).assert_silent();
        let logs = sandbox.path("a/b/logs");
        assert_eq!(mode_and_owner(&logs).0, 0o750, "umask {umask:o}");
        assert_eq!(mode_and_owner(&sandbox.path("a/b")).0 & 0o111, 0o111, "its user can get there, umask {umask:o}");
        assert_eq!(harness::names(&logs), ["logfile", "vsrun.log"]);
        for name in ["logfile", "vsrun.log"] {
            assert_eq!(mode_and_owner(&logs.join(name)).0, 0o640, "{name}, umask {umask:o}");
        }
        assert_eq!(harness::text(&logs.join("logfile")), "out\nerr\n");
    }
}

#[test]
fn the_directory_and_the_servers_file_belong_to_the_user() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let line = words!["-u", "12345:23456", "-d", "logs", "1", "--", sandbox.probe(), "print", "x"];
    sandbox.vsrun(line).finish().assert_exited(0);
    let logs = sandbox.path("logs");
    assert_eq!(mode_and_owner(&logs), (0o750, 12345, 23456));
    assert_eq!(mode_and_owner(&logs.join("logfile")), (0o640, 12345, 23456));
    assert_eq!(mode_and_owner(&logs.join("vsrun.log")).1, 0, "what vsrun says is not the server's");
}

#[test]
fn a_directory_that_is_there_stays_as_it_is() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let logs = prepared(&sandbox, &[]);
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o711)).unwrap();
    chown(&logs, Some(12345), Some(8)).unwrap();
    sandbox
        .vsrun(words!["-u", "12345", "-d", "logs", "1", "--", sandbox.probe(), "print", "x"])
        .finish()
        .assert_exited(0);
    assert_eq!(mode_and_owner(&logs), (0o711, 12345, 8));
}

#[test]
fn the_servers_directory_is_the_log_directory() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let found = sandbox.report_with([words!["-d", "logs", "1"], way.clone()].concat());
        assert_eq!(found.one("cwd"), sandbox.path("logs").display().to_string());
        let found = sandbox.report_with([words!["-d", "logs", "1", "-w", "out"], way].concat());
        assert_eq!(found.one("cwd"), sandbox.path("out").display().to_string());
    }
}

#[test]
fn old_files_get_the_next_number_and_keep_it() {
    let table: [(&[&str], &[&str]); 7] = [
        (&[], &["logfile", "vsrun.log"]),
        (&["logfile"], &["logfile", "logfile.1", "vsrun.log"]),
        (&["logfile", "logfile.1"], &["logfile", "logfile.1", "logfile.2", "vsrun.log"]),
        (&["logfile", "logfile.7"], &["logfile", "logfile.7", "logfile.8", "vsrun.log"]),
        (&["logfile", "logfile.9", "logfile.10"], &["logfile", "logfile.10", "logfile.11", "logfile.9", "vsrun.log"]),
        (
            &["vsrun.log", "logfile", "vsrun.log.4"],
            &["logfile", "logfile.1", "vsrun.log", "vsrun.log.4", "vsrun.log.5"],
        ),
        (&["logfile.3"], &["logfile", "logfile.3", "vsrun.log"]),
    ];
    for (before, after) in table {
        let sandbox = Sandbox::new();
        let logs = prepared(&sandbox, before);
        run(&sandbox, "1");
        assert_eq!(harness::names(&logs), after);
        assert_eq!(harness::text(&logs.join("logfile")), "new\n");
        for name in before.iter().filter(|name| name.ends_with(char::is_numeric)) {
            assert_eq!(harness::text(&logs.join(name)), *name, "a renamed file keeps its name");
        }
        let renamed = after.iter().find(|name| name.starts_with("logfile.") && !before.contains(name));
        assert_eq!(renamed.map(|name| harness::text(&logs.join(name))).unwrap_or("logfile".to_owned()), "logfile");
    }
}

#[test]
fn names_that_only_look_alike_are_left_alone() {
    let sandbox = Sandbox::new();
    let strange =
        ["logfile.old", "logfile.1.gz", "logfile.-5", "logfile.+5", "logfile.", "logfile.5x", "Logfile", "xlogfile.5"];
    let more = ["vsrun.log.", "vsrun.log.5~", "vsrun.logfile", "other.log", "logfile5", "logfile. 5"];
    let all: Vec<&str> = strange.into_iter().chain(more).collect();
    let logs = prepared(&sandbox, &all);
    all.iter().for_each(|name| set_age(&logs.join(name), 100 * 24 * 3600));
    fs::write(logs.join("logfile"), "old").unwrap();
    run(&sandbox, "1h");
    let mut wanted: Vec<&str> = all.iter().copied().chain(["logfile", "logfile.2", "vsrun.log"]).collect();
    wanted.sort_unstable();
    assert_eq!(harness::names(&logs), wanted);
}

#[test]
fn a_number_that_is_too_great_loses_nothing() {
    for number in
        ["18446744073709551615", "18446744073709551616", "4294967295", "9223372036854775807", "99999999999999999999999"]
    {
        let sandbox = Sandbox::new();
        let name = format!("logfile.{number}");
        let logs = prepared(&sandbox, &["logfile", &name]);
        sandbox.vsrun(words!["-d", "logs", "1", "--", sandbox.probe(), "print", "new"]).finish().assert_exited(0);
        let texts: Vec<String> = harness::names(&logs).iter().map(|name| harness::text(&logs.join(name))).collect();
        assert!(texts.contains(&"logfile".to_owned()) && texts.contains(&name), "{number}: {texts:?}");
    }
}

#[test]
fn each_unit_of_the_age_limit_has_its_own_length() {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    for (keep, seconds) in
        [("1h", HOUR), ("36h", 36 * HOUR), ("1", DAY), ("1d", DAY), ("2d", 2 * DAY), ("1w", 7 * DAY), ("1m", 30 * DAY)]
    {
        let sandbox = Sandbox::new();
        let logs = prepared(&sandbox, &["logfile.1", "logfile.2", "vsrun.log.1", "vsrun.log.2", "logfile.3"]);
        for name in ["logfile.1", "vsrun.log.1"] {
            set_age(&logs.join(name), seconds + 60);
        }
        for name in ["logfile.2", "vsrun.log.2"] {
            set_age(&logs.join(name), seconds - 60);
        }
        set_age(&logs.join("logfile.3"), -1000 * DAY);
        run(&sandbox, keep);
        assert_eq!(harness::names(&logs), ["logfile", "logfile.2", "logfile.3", "vsrun.log", "vsrun.log.2"], "{keep}");
    }
}

#[test]
fn only_regular_files_are_deleted() {
    let sandbox = Sandbox::new();
    let logs = prepared(&sandbox, &[]);
    let precious = sandbox.path("precious");
    fs::write(&precious, "precious").unwrap();
    harness::sandbox::make_directory(&logs.join("logfile.5"), 0o755);
    symlink(&precious, logs.join("logfile.6")).unwrap();
    symlink("nowhere", logs.join("vsrun.log.6")).unwrap();
    sys::make_fifo(logs.join("logfile.7").as_os_str()).unwrap();
    let strangers = harness::names(&logs);
    strangers.iter().map(|name| logs.join(name)).chain([precious.clone()]).for_each(|path| set_age(&path, 1_000_000));
    run(&sandbox, "1h");
    let left: Vec<String> = harness::names(&logs).into_iter().filter(|name| strangers.contains(name)).collect();
    assert_eq!(left, strangers);
    assert_eq!(harness::text(&precious), "precious");
}

#[test]
fn links_that_were_planted_are_not_followed() {
    let sandbox = Sandbox::new();
    let logs = prepared(&sandbox, &[]);
    let (precious, nowhere, twin) = (sandbox.path("precious"), sandbox.path("nowhere"), sandbox.path("twin"));
    for file in [&precious, &twin] {
        fs::write(file, "precious").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let before = [mode_and_owner(&precious), mode_and_owner(&twin)];
    for (logfile, record) in [(&precious, &nowhere), (&nowhere, &precious)] {
        symlink(logfile, logs.join("logfile")).unwrap();
        symlink(record, logs.join("vsrun.log")).unwrap();
        run(&sandbox, "1h");
        for name in ["logfile", "vsrun.log"] {
            assert!(logs.join(name).symlink_metadata().unwrap().is_file());
            fs::remove_file(logs.join(name)).unwrap();
        }
    }
    fs::hard_link(&twin, logs.join("logfile")).unwrap();
    run(&sandbox, "1h");
    assert_eq!([mode_and_owner(&precious), mode_and_owner(&twin)], before);
    assert_eq!((harness::text(&precious), harness::text(&twin)), ("precious".to_owned(), "precious".to_owned()));
    assert!(!nowhere.exists());
}

#[test]
fn links_planted_by_the_user_while_it_runs_are_not_followed() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let secret = sandbox.path("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (heard, gate) = (sandbox.out("heard"), sandbox.out("gate"));
    let handler = sandbox.script("handler", words!["collect", &heard, "append", sandbox.out("handled"), "x"]);
    let options = words!["-u", "12345", "-d", "logs", "1", "-m", "-", handler];
    let actions = words!["print", "hello", "at", "1", "await", &gate, "at", "1", "exit", "1", "wait"];
    let manager = manage(&sandbox, options, actions);
    harness::await_life(&sandbox.out("life"), 1);
    harness::await_true("the first line", || harness::text(&logs.join("logfile")) == "hello\n");
    for name in ["logfile", "vsrun.log"] {
        fs::remove_file(logs.join(name)).unwrap();
        symlink(&secret, logs.join(name)).unwrap();
    }
    fs::write(&gate, "").unwrap();
    harness::await_life(&sandbox.out("life"), 2);
    harness::await_file(&sandbox.out("handled"));
    assert!(!harness::text(&heard).contains("secret"), "the handler was given {:?}", harness::text(&heard));
    manager.signal(libc::SIGHUP);
    harness::await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
    assert_eq!(harness::text(&secret), "secret");
    assert_eq!(mode_and_owner(&secret), (0o600, 0, 0));
}

#[test]
fn a_directory_or_fifo_with_the_name_of_a_log_does_no_harm() {
    for name in ["logfile", "vsrun.log"] {
        for make in [make_a_directory, make_a_fifo] {
            let sandbox = Sandbox::new();
            let logs = prepared(&sandbox, &[]);
            make(&logs.join(name));
            let code = sandbox.vsrun(words!["-d", "logs", "1", "--", sandbox.probe()]).finish().code();
            assert!(code == Some(0) || code == Some(125), "{name}: {code:?}");
        }
    }
}

fn make_a_directory(path: &Path) {
    harness::sandbox::make_directory(path, 0o755);
}

fn make_a_fifo(path: &Path) {
    sys::make_fifo(path.as_os_str()).unwrap();
}

#[test]
fn a_hangup_rotates_and_a_crash_does_not() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let actions = words![
        "at", "1", "print", "first", "at", "1", "exit", "1", "at", "2", "print", "second", "at", "3", "print", "third",
        "wait"
    ];
    let manager = manage(&sandbox, words!["-d", "logs", "1", "-m", "-", "-"], actions);
    harness::await_true("two lives in one file", || harness::text(&logs.join("logfile")) == "first\nsecond\n");
    manager.signal(libc::SIGHUP);
    harness::await_true("the third in another", || harness::text(&logs.join("logfile")) == "third\n");
    assert_eq!(harness::names(&logs), ["logfile", "logfile.1", "vsrun.log", "vsrun.log.1"]);
    assert_eq!(harness::text(&logs.join("logfile.1")), "first\nsecond\n");
    manager.signal(libc::SIGHUP);
    harness::await_file(&logs.join("logfile.2"));
    harness::await_life(&sandbox.out("life"), 4);
    manager.stop().assert_exited(0).assert_silent();
    assert_eq!(harness::text(&logs.join("logfile.2")), "third\n");
    assert_eq!(harness::text(&logs.join("logfile.1")), "first\nsecond\n");
}

#[test]
fn a_rotation_deletes_what_is_too_old() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let manager = manage(&sandbox, words!["-d", "logs", "1h", "-m", "-", "-"], words!["wait"]);
    harness::await_life(&sandbox.out("life"), 1);
    fs::write(logs.join("logfile.1"), "old").unwrap();
    set_age(&logs.join("logfile.1"), 2 * 3600);
    manager.signal(libc::SIGHUP);
    harness::await_life(&sandbox.out("life"), 2);
    // The manager deletes old files after the new server has started, so that they do not delay a restart.
    harness::await_true("the end of the old file", || !logs.join("logfile.1").exists());
    assert_eq!(harness::names(&logs), ["logfile", "logfile.2", "vsrun.log", "vsrun.log.1"]);
    manager.stop().assert_exited(0);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    for directory in ["file", "file/logs", "/proc/no-such/logs"] {
        let line = words!["-p", "pid", "-d", directory, "1", "--", sandbox.probe(), "append", "ran", "x"];
        sandbox.vsrun(line).finish().assert_failed(125, &[directory]);
        assert!(!sandbox.path("pid").exists() && !sandbox.path("ran").exists());
    }
}

/// True if the line has the form `2026-11-21T08:00:12.123Z vsrun[PID] PRIORITY: TEXT`, in printable ASCII only.
fn is_record(line: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.dddZ vsrun[";
    let fits = |(wanted, found): (char, char)| if wanted == 'd' { found.is_ascii_digit() } else { wanted == found };
    let head = line.chars().count() > shape.len() && shape.chars().zip(line.chars()).all(fits);
    let rest = line.get(shape.len()..).unwrap_or_default();
    let parts = rest.split_once("] ").and_then(|(pid, rest)| Some((pid, rest.split_once(": ")?)));
    let (pid, (priority, text)) = parts.unwrap_or_default();
    head && pid.parse::<u32>().is_ok()
        && !priority.is_empty()
        && priority.chars().all(|letter| letter.is_ascii_lowercase())
        && !text.is_empty()
        && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[test]
fn records_have_the_documented_form_and_order() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["life", sandbox.out("handled")]);
    let actions = words!["at", "1", "exit", "3", "at", "2", "raise", "9", "wait"];
    let manager = manage(&sandbox, words!["-d", "logs", "1", "-m", "-", handler], actions);
    harness::await_life(&sandbox.out("life"), 3);
    let pid = manager.pid();
    sys::kill(harness::await_life(&sandbox.out("life"), 3), libc::SIGUSR1);
    harness::await_life(&sandbox.out("life"), 4);
    manager.signal(libc::SIGHUP);
    harness::await_life(&sandbox.out("life"), 5);
    manager.stop().assert_exited(0).assert_silent();
    let files = ["vsrun.log.1", "vsrun.log"].map(|name| harness::lines(&sandbox.path("logs").join(name)));
    let story = files.concat();
    for line in &story {
        assert!(is_record(line), "{line}");
        assert!(line.contains(&format!(" vsrun[{pid}] ")), "{line}");
    }
    let wanted = [
        "starting",
        "exited with status 3",
        "handler",
        "restart",
        "killed by SIGKILL (9)",
        "killed by SIGUSR1 (10)",
        "HUP",
        "rotat",
        "TERM",
        "shutdown",
    ];
    let mut rest = story.iter();
    for part in wanted {
        assert!(rest.any(|line| line.contains(part)), "{part:?} comes in its turn: {story:#?}");
    }
    assert!(story[0].contains(&sandbox.probe().display().to_string()), "the command is recorded: {}", story[0]);
    assert!(story.last().unwrap().contains("shutdown"));
    let mut times: Vec<&str> = story.iter().map(|line| &line[..24]).collect();
    let as_written = times.clone();
    times.sort_unstable();
    assert_eq!(times, as_written, "in the order of time");
}

#[test]
fn output_reaches_its_file_whichever_descriptors_were_closed() {
    let sandbox = Sandbox::new();
    for (way, closed) in harness::ways().into_iter().flat_map(|way| harness::CLOSED.map(|closed| (way.clone(), closed)))
    {
        let words =
            words!["--", sandbox.probe(), "print", "out", "complain", "err", "append", sandbox.out("done"), "x"];
        sandbox
            .vsrun([words!["-d", "logs", "1"], way.clone(), words].concat())
            .closed(closed)
            .finish()
            .assert_exited(0);
        harness::await_file(&sandbox.out("done"));
        sandbox.await_nothing_left();
        assert_eq!(harness::text(&sandbox.path("logs/logfile")), "out\nerr\n", "{way:?}, {closed:?}");
        assert!(
            harness::lines(&sandbox.path("logs/vsrun.log")).iter().all(|line| is_record(line)),
            "{way:?}, {closed:?}"
        );
        fs::remove_dir_all(sandbox.path("logs")).unwrap();
        fs::remove_file(sandbox.out("done")).unwrap();
    }
}

#[test]
fn on_stderr_the_records_are_the_same() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["exit", "1"]);
    let ended = manage(&sandbox, words!["-m", "-", handler], words!["exit", "3"]).finish();
    ended.assert_exited(3);
    assert!(ended.err.iter().all(|line| line.starts_with("vsrun: ")), "{ended:?}");
    for part in ["starting", "exited with status 3", "handler", "shutdown"] {
        assert!(ended.err.iter().any(|line| line.contains(part)), "{part}: {ended:?}");
    }
    assert!(ended.out.is_empty());
}

#[test]
fn no_record_can_be_forged() {
    let forged = "x\n2026-11-21T08:00:12.123Z vsrun[1] info: forged\r\x1b[31m\\x0a\x07\x7f";
    let escaped = "x\\x0a2026-11-21T08:00:12.123Z vsrun[1] info: forged\\x0d\\x1b[31m\\x5cx0a\\x07\\x7f";
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["exit", "1"]);
    let logged = words!["-d", "logs", "1"];
    let command = words!["-m", "-", handler, "--", sandbox.probe(), "exit", "3", forged];
    sandbox.vsrun([logged, command.clone()].concat()).finish().assert_exited(3);
    let records = harness::lines(&sandbox.path("logs/vsrun.log"));
    for line in &records {
        assert!(is_record(line), "{line:?}");
    }
    assert!(records.iter().any(|line| line.contains(escaped)), "{records:#?}");
    let ended = sandbox.vsrun(command).finish();
    assert!(ended.err.iter().all(|line| line.starts_with("vsrun: ")), "{ended:?}");
    assert!(ended.err.iter().any(|line| line.contains(escaped)), "{ended:?}");
    for option in [words!["-p", forged], words!["-r", forged], words!["-w", forged], words!["-u", forged]] {
        let line = [option, words!["-p", format!("{forged}/")], words!["--", forged]].concat();
        let ended = sandbox
            .vsrun(line[..2].iter().cloned().chain(words!["--", format!("./no-such{forged}")]).collect())
            .finish();
        assert_eq!(ended.err.len(), 1, "{ended:?}");
        assert!(ended.err[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{ended:?}");
    }
}

#[test]
fn a_full_disk_stops_no_process() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(disk.clone(), "size=32k")]);
    let handler = sandbox.script("handler", words!["life", sandbox.out("handled")]);
    let options = words!["-d", disk.join("logs"), "1", "--restart-delay", "0", "-m", "-", handler];
    let actions = words!["life", sandbox.out("life"), "lines", "1", "20000", "until", "3", "exit", "1", "wait"];
    let line = [options, words!["--", sandbox.probe()], actions].concat();
    let manager = sandbox.vsrun(line).within(&mounts).start();
    harness::await_life(&sandbox.out("life"), 4);
    manager.signal(libc::SIGHUP);
    harness::await_life(&sandbox.out("life"), 5);
    manager.stop().assert_exited(0);
    assert_eq!(harness::lives(&sandbox.out("handled")).len(), 3);
}

#[test]
fn the_server_can_only_append_to_its_log_file() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["-d", "logs", "1", "-m", "-", "-"], words!["print", "one", "wait"]);
    let server = harness::await_life(&sandbox.out("life"), 1);
    harness::await_true("the first line", || harness::text(&sandbox.path("logs/logfile")) == "one\n");
    for fd in [1, 2] {
        let info = harness::text(Path::new(&format!("/proc/{server}/fdinfo/{fd}")));
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & libc::O_APPEND, 0, "descriptor {fd} appends");
    }
    manager.stop().assert_exited(0);
}
