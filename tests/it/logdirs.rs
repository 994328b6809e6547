//! Log directories that other users may write to, that are replaced while the manager runs, or whose files another
//! program rotates; and which of its outputs the server may open.

use crate::harness::{self, Running, Sandbox, await_life, await_true, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

const USER: u32 = 12345;

/// Starts a manager whose server prints the number of its run (one, two or three) and waits.
#[track_caller]
fn manage(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    let server = words![
        "--",
        sandbox.probe(),
        "life",
        sandbox.out("life"),
        "at",
        "1",
        "print",
        "one",
        "at",
        "2",
        "print",
        "two",
        "at",
        "3",
        "print",
        "three",
        "wait"
    ];
    let manager = sandbox.vsrun([options, words!["--restart", "on-failure"], server].concat()).start();
    await_life(&sandbox.out("life"), 1);
    manager
}

fn writing() -> [Vec<OsString>; 2] {
    [words![], words!["--log-size", "1k"]]
}

#[track_caller]
fn await_text(path: &Path, text: &str) {
    await_true(&format!("{text:?} in {}: {:?}", path.display(), harness::text(path)), || {
        harness::text(path).contains(text)
    });
}

#[test]
fn a_directory_that_was_replaced_is_followed_at_a_rotation() {
    for size in writing() {
        for way in [words![], words!["-u", USER.to_string()]] {
            if !way.is_empty() && !harness::root() {
                continue;
            }
            let sandbox = Sandbox::new();
            let manager = manage(&sandbox, [words!["-d", "logs", "1"], size.clone(), way].concat());
            let logs = sandbox.path("logs");
            await_text(&logs.join("logfile"), "one");
            fs::remove_dir_all(&logs).unwrap();
            fs::create_dir(&logs).unwrap();
            manager.signal(libc::SIGHUP);
            await_life(&sandbox.out("life"), 2);
            await_text(&logs.join("logfile"), "two");
            await_text(&logs.join("vsrun.log"), "now leads to another directory");
            // Moved away, and another one in its place.
            fs::rename(&logs, sandbox.path("old")).unwrap();
            fs::create_dir(&logs).unwrap();
            manager.signal(libc::SIGHUP);
            await_life(&sandbox.out("life"), 3);
            await_text(&logs.join("logfile"), "three");
            assert_eq!(harness::text(&sandbox.path("old/logfile")), "two\n");
            manager.stop().assert_exited(0);
            assert!(harness::text(&logs.join("vsrun.log")).contains("shutdown"));
        }
    }
}

#[test]
fn a_manager_in_the_background_follows_a_relative_path() {
    let sandbox = Sandbox::new();
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "print", "x", "wait"];
    let line = [words!["-b", "-m", "pid", "-", "-d", "logs", "1"], server].concat();
    sandbox.vsrun(line).finish().assert_exited(0);
    let pid: i32 = harness::text(&sandbox.path("pid")).trim().parse().unwrap();
    fs::rename(sandbox.path("logs"), sandbox.path("old")).unwrap();
    fs::create_dir(sandbox.path("logs")).unwrap();
    sys::kill(pid, libc::SIGHUP);
    await_text(&sandbox.path("logs/logfile"), "x");
    sys::kill(pid, libc::SIGTERM);
    harness::process::await_gone(pid);
}

#[test]
fn a_missing_log_directory_is_reported_and_the_open_files_stay_in_use() {
    for size in writing() {
        let sandbox = Sandbox::new();
        let manager = manage(&sandbox, [words!["-d", "logs", "1", "-w", "/"], size].concat());
        fs::rename(sandbox.path("logs"), sandbox.path("old")).unwrap();
        manager.signal(libc::SIGHUP);
        await_life(&sandbox.out("life"), 2);
        await_text(&sandbox.path("old/logfile"), "two");
        await_text(&sandbox.path("old/vsrun.log"), "cannot rotate the log files");
        manager.await_err("No such file or directory");
        manager.stop().assert_exited(0);
    }
}

/// The log directory was created by root for a user. The user replaces it by a symbolic link to another directory of
/// root.
#[test]
fn a_link_in_place_of_the_directory_is_not_followed_later_either() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    harness::sandbox::make_directory(&sandbox.path("victim"), 0o755);
    harness::sandbox::make_directory(&sandbox.path("home"), 0o755);
    chown(sandbox.path("home"), Some(USER), Some(USER)).unwrap();
    let options = words!["-u", USER.to_string(), "-d", "home/logs", "1", "--on-signal", "USR1=reopen"];
    let manager = manage(&sandbox, options);
    fs::rename(sandbox.path("home/logs"), sandbox.path("home/old")).unwrap();
    symlink(sandbox.path("victim"), sandbox.path("home/logs")).unwrap();
    std::os::unix::fs::lchown(sandbox.path("home/logs"), Some(USER), Some(USER)).unwrap();
    for signal in [libc::SIGUSR1, libc::SIGHUP] {
        manager.signal(signal);
        await_text(
            &sandbox.path("home/old/vsrun.log"),
            if signal == libc::SIGHUP { "cannot rotate" } else { "cannot reopen" },
        );
    }
    manager.stop().assert_exited(0);
    assert!(harness::names(&sandbox.path("victim")).is_empty());
}

#[test]
fn a_rotation_number_is_never_reused_while_the_manager_runs() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["-d", "logs", "1"]);
    let logs = sandbox.path("logs");
    for number in 1..=3 {
        manager.signal(libc::SIGHUP);
        await_life(&sandbox.out("life"), number + 1);
        await_text(&logs.join("vsrun.log"), "started: pid");
        for name in ["logfile", "vsrun.log"] {
            fs::remove_file(logs.join(format!("{name}.{number}"))).unwrap();
        }
    }
    manager.stop().assert_exited(0);
}

/// The manager and the log writer both rename `logfile`, and must not use a number twice.
#[test]
fn log_writer_and_manager_share_one_sequence_of_numbers() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "flood", "1", "100", "64", "wait"];
    let line = [words!["-d", "logs", "1", "--log-size", "1k", "--restart", "on-failure"], server].concat();
    let manager = sandbox.vsrun(line).start();
    let highest = || {
        let number = |name: &String| name.strip_prefix("logfile.")?.parse::<u32>().ok();
        harness::names(&logs).iter().filter_map(number).max().unwrap_or(0)
    };
    let mut last = 0;
    for life in 1..=4 {
        await_life(&sandbox.out("life"), life);
        await_true("a renamed file", || highest() > last);
        last = highest();
        // Wait until the log writer renames nothing more, so that `last` is its highest number.
        harness::await_within(std::time::Duration::from_secs(20), "the writer to rest", || {
            let before = highest();
            std::thread::sleep(std::time::Duration::from_millis(100));
            last = highest();
            (before == last).then_some(())
        });
        for name in harness::names(&logs).iter().filter(|name| name.starts_with("logfile.")) {
            fs::remove_file(logs.join(name)).unwrap();
        }
        manager.signal(libc::SIGHUP);
    }
    manager.stop().assert_exited(0);
}

#[test]
fn logging_goes_on_when_the_last_rotation_number_is_taken() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    for name in ["logfile.999999", "vsrun.log.999999", "logfile", "vsrun.log"] {
        fs::write(logs.join(name), "old\n").unwrap();
    }
    let manager = manage(&sandbox, words!["-d", "logs", "1"]);
    await_text(&logs.join("logfile"), "one");
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 2);
    await_text(&logs.join("logfile"), "two");
    await_text(&logs.join("vsrun.log"), "a file with the last number, 999999, exists");
    manager.stop().assert_exited(0);
    assert_eq!(harness::names(&logs), ["logfile", "logfile.999999", "vsrun.log", "vsrun.log.999999"]);
    assert_eq!(harness::text(&logs.join("logfile")), "old\none\ntwo\n");
}

/// In a log directory of the server's user, vsrun does not append to a file that already exists.
#[test]
fn a_planted_last_rotation_number_prevents_no_start() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    harness::sandbox::make_directory(&logs, 0o755);
    chown(&logs, Some(USER), Some(USER)).unwrap();
    for name in ["logfile.999999", "vsrun.log.999999", "logfile", "vsrun.log"] {
        fs::write(logs.join(name), "planted\n").unwrap();
    }
    for _ in 0..2 {
        let line = words!["-u", USER.to_string(), "-d", "logs", "1", "--", sandbox.probe(), "print", "new"];
        sandbox.vsrun(line).finish().assert_exited(0);
        assert_eq!(harness::text(&logs.join("logfile")), "new\n");
    }
}

#[test]
fn thousands_of_planted_files_do_not_delay_the_manager() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    for number in 1..=30_000 {
        fs::File::create(logs.join(format!("logfile.{number}"))).unwrap();
    }
    let manager = manage(&sandbox, words!["-d", "logs", "1", "--log-size", "1M", "--log-files", "3"]);
    // On a busy machine the elapsed time says little, so the limit for the manager is in CPU time.
    for life in 2..=3 {
        let begin = (sys::monotonic(), process::processor_time(manager.pid()));
        manager.signal(libc::SIGHUP);
        await_life(&sandbox.out("life"), life);
        let own = process::processor_time(manager.pid()) - begin.1;
        assert!(own < 3_000, "a restart among 30,000 names took {own} ms");
        assert!(sys::monotonic() - begin.0 < 20_000_000, "a restart among 30,000 names");
    }
    let begin = sys::monotonic();
    manager.stop().assert_exited(0);
    assert!(sys::monotonic() - begin < 20_000_000, "a stop among 30,000 names");
    assert!(harness::names(&logs).contains(&"logfile.30000".to_owned()), "the newest stay");
}

#[test]
fn a_socket_has_the_address_that_was_asked_for() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let path = sandbox.path("deep/er/socket");
    harness::sandbox::make_directory(path.parent().unwrap(), 0o755);
    let line = words![
        "-u",
        USER.to_string(),
        "--init",
        "--listen",
        &path,
        "--",
        sandbox.probe(),
        "life",
        sandbox.out("life"),
        "wait"
    ];
    let manager = sandbox.vsrun(line).start();
    await_life(&sandbox.out("life"), 1);
    let table = harness::text(Path::new("/proc/net/unix"));
    assert!(table.lines().any(|line| line.ends_with(&format!(" {}", path.display()))), "{table}");
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    assert_eq!(harness::names(path.parent().unwrap()), ["socket"]);
    let about = fs::metadata(&path).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o7777), (USER, 0o660));
    manager.stop().assert_exited(143);
    assert!(harness::names(path.parent().unwrap()).is_empty());
}

#[test]
fn a_dead_socket_of_another_user_stays() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let path = sandbox.path("socket");
    for (owner, status) in [(USER + 1, 125), (USER, 0), (0, 0)] {
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        chown(&path, Some(owner), Some(owner)).unwrap();
        let line = words![
            "-u",
            USER.to_string(),
            "-p",
            "pid",
            "--init",
            "--listen",
            &path,
            "--",
            sandbox.probe(),
            "exit",
            "0"
        ];
        sandbox.vsrun(line).finish().assert_exited(status);
        assert_eq!(path.exists(), status != 0);
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn reopen_also_reopens_the_file_of_the_log_writer() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let server = words![
        "--",
        sandbox.probe(),
        "life",
        sandbox.out("life"),
        "print",
        "before",
        "await",
        sandbox.out("go"),
        "print",
        "after",
        "wait"
    ];
    let options =
        words!["-d", "logs", "1", "--log-size", "1M", "--on-signal", "USR1=reopen", "--restart", "on-failure"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    await_text(&logs.join("logfile"), "before");
    for name in ["logfile", "vsrun.log"] {
        fs::rename(logs.join(name), logs.join(format!("{name}-20261125"))).unwrap();
    }
    manager.signal(libc::SIGUSR1);
    await_text(&logs.join("vsrun.log"), "reopened");
    fs::write(sandbox.out("go"), "").unwrap();
    await_text(&logs.join("logfile"), "after");
    assert_eq!(harness::text(&logs.join("logfile-20261125")), "before\n");
    // A second reopening, without a rename before it, adds no file.
    manager.signal(libc::SIGUSR1);
    await_true("two records", || harness::text(&logs.join("vsrun.log")).matches("reopened").count() == 2);
    manager.stop().assert_exited(0);
    assert_eq!(harness::names(&logs), ["logfile", "logfile-20261125", "vsrun.log", "vsrun.log-20261125"]);
}

#[test]
fn a_rename_by_another_program_is_reported_at_reopening() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    let manager = manage(&sandbox, words!["-d", "logs", "1", "--on-signal", "USR1=reopen"]);
    fs::rename(logs.join("vsrun.log"), logs.join("vsrun.log.1")).unwrap();
    manager.signal(libc::SIGUSR1);
    await_text(&logs.join("vsrun.log.1"), "see LOGROTATE");
    manager.stop().assert_exited(0);
}

/// A rotation by SIGHUP also reports that another program has renamed a file of the server or of vsrun.
#[test]
fn a_rename_by_another_program_is_reported_at_a_rotation() {
    for name in ["vsrun.log", "logfile"] {
        let sandbox = Sandbox::new();
        let logs = sandbox.path("logs");
        let manager = manage(&sandbox, words!["-d", "logs", "1"]);
        fs::rename(logs.join(name), logs.join(format!("{name}.1"))).unwrap();
        manager.signal(libc::SIGHUP);
        let expected = format!("another program has renamed {name} to {name}.1");
        harness::await_true("the warning", || {
            harness::names(&logs)
                .iter()
                .filter(|file| file.starts_with("vsrun.log"))
                .any(|file| harness::text(&logs.join(file)).contains(&expected))
        });
        manager.stop().assert_exited(0);
    }
}

/// With --log-size the log writer has the file open, not the manager. Then a `logfile.1` that is newer than `logfile.2`
/// shows that another program rotates.
#[test]
fn file_ages_reveal_renames_by_another_program() {
    for (ages, other) in [([2_000, 1_000], true), ([1_000, 2_000], false)] {
        let sandbox = Sandbox::new();
        let logs = sandbox.path("logs");
        let manager = manage(&sandbox, words!["-d", "logs", "52w", "--log-size", "1M"]);
        for (number, age) in [1, 2].into_iter().zip(ages) {
            let file = logs.join(format!("logfile.{number}"));
            fs::write(&file, "").unwrap();
            sys::set_modified(&file, 2_000_000_000 + age);
        }
        manager.signal(libc::SIGHUP);
        await_life(&sandbox.out("life"), 2);
        let records = harness::text(&logs.join("vsrun.log.1"));
        assert_eq!(records.contains("another program has renamed logfile to logfile.1"), other, "{records}");
        manager.stop().assert_exited(0);
    }
}

#[test]
fn a_server_may_open_its_own_output() {
    let sandbox = Sandbox::new();
    let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("collected").display());
    let files = || words!["-d", "logs", "1", "--log-size", "1M"];
    for (output, found) in [
        (words!["-s", "tag", "--logger", logger], sandbox.out("collected")),
        (files(), sandbox.path("logs/logfile")),
        (words!["-d", "logs", "1"], sandbox.path("logs/logfile")),
    ] {
        for way in [words![], words!["--init"]] {
            let user = if harness::root() { words!["-u", USER.to_string()] } else { words![] };
            let server = words!["--", sandbox.probe(), "append", "/dev/stdout", "out", "append", "/dev/stderr", "err"];
            sandbox.vsrun([output.clone(), way, user, server].concat()).finish().assert_exited(0);
            await_true("both lines", || {
                harness::text(&found).contains("out\n") && harness::text(&found).contains("err\n")
            });
            let _ = fs::remove_file(&found);
        }
    }
}

fn limit_files(most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    #[allow(unsafe_code, reason = "the limit of the caller")]
    // SAFETY: the structure lives through the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn a_writer_at_the_limit_of_file_sizes_begins_the_next_file() {
    let sandbox = Sandbox::new();
    let options = words!["-d", "logs", "1", "--log-size", "1M", "--init"];
    let server = words!["--", sandbox.probe(), "flood", "1", "2000", "512"];
    let ended = sandbox.vsrun([options, server].concat()).before(|| limit_files(20_000)).start().finish();
    ended.assert_exited(0);
    let names = harness::names(&sandbox.path("logs"));
    assert!(names.iter().filter(|name| name.starts_with("logfile")).count() > 2, "{names:?}");
}

#[test]
fn a_start_that_may_write_no_file_says_so_and_leaves_none() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let line = [way, words!["-p", "pid", "--", sandbox.probe(), "exit", "0"]].concat();
        let ended = sandbox.vsrun(line).stderr(open_null_device()).before(|| limit_files(0)).finish();
        ended.assert_exited(125);
        assert!(!sandbox.path("pid").exists());
    }
}

/// Opens /dev/null for standard error: RLIMIT_FSIZE does not apply to a device.
fn open_null_device() -> fs::File {
    fs::File::options().write(true).open("/dev/null").unwrap()
}

#[test]
fn a_start_whose_messages_are_not_read_ends_with_its_status() {
    let sandbox = Sandbox::new();
    for way in [words![], words!["-p", "pid"], words!["-p", "pid", "--init"]] {
        let (reader, writer) = sys::pipe();
        drop(reader);
        let line = [way, words!["--", sandbox.path("missing")]].concat();
        sandbox.vsrun(line).stderr(writer).finish().assert_exited(127);
        assert!(!sandbox.path("pid").exists());
    }
}

/// The root's /proc is an ordinary directory, with a symbolic link planted in it.
#[test]
fn an_oom_score_is_written_to_the_kernel_only() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &jail.join("vsrun"));
    fs::create_dir_all(jail.join("proc/self")).unwrap();
    fs::write(jail.join("precious"), "precious\n").unwrap();
    symlink("/precious", jail.join("proc/self/oom_score_adj")).unwrap();
    let root = jail.clone();
    let line = words!["--oom-score-adj", "5", "--", "/probe", "exit", "0"];
    let call = sandbox.program(Path::new("/vsrun"), line);
    call.before(move || sys::change_root(root.as_os_str())).finish().assert_failed(125, &["oom_score_adj"]);
    assert_eq!(harness::text(&jail.join("precious")), "precious\n");
}
