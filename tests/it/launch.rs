//! What vsrun gives the server (descriptors, signals, environment, arguments), and that it passes on the server's exit
//! status.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, process, sys, words};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

#[test]
fn every_exit_status_is_passed_on() {
    let sandbox = Sandbox::new();
    for status in [0, 1, 2, 3, 125, 126, 127, 128, 255] {
        sandbox
            .vsrun(words!["--", sandbox.probe(), "exit", format!("{status}")])
            .finish()
            .assert_exited(status)
            .assert_silent();
    }
}

#[test]
fn every_exit_status_is_passed_on_by_the_manager() {
    let sandbox = Sandbox::new();
    let start = |status: &i32| {
        let line = words!["--restart", "no", "--", sandbox.probe(), "exit", format!("{status}")];
        (*status, sandbox.vsrun(line).start())
    };
    for some in (0..256).collect::<Vec<i32>>().chunks(8) {
        let running: Vec<_> = some.iter().map(start).collect();
        running.into_iter().for_each(|(status, manager)| {
            manager.finish().assert_exited(status);
        });
    }
}

#[test]
fn death_by_a_signal_becomes_128_and_its_number() {
    let sandbox = Sandbox::new();
    // All except CHLD, CONT, URG and WINCH, which have no effect by default, and STOP, TSTP, TTIN and TTOU, which only
    // stop a process.
    let deadly: Vec<i32> = (1..=64).filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal)).collect();
    for some in deadly.chunks(8) {
        let start = |signal: &i32| {
            let actions = words!["--", sandbox.probe(), "raise", format!("{signal}"), "exit", "0"];
            let alone = sandbox.vsrun(actions.clone()).start();
            (*signal, alone, sandbox.vsrun([words!["--restart", "no"], actions].concat()).start())
        };
        let running: Vec<_> = some.iter().map(start).collect();
        for (signal, alone, managed) in running {
            assert_eq!(alone.finish().signal(), Some(signal));
            managed.finish().assert_exited(128 + signal);
        }
    }
}

#[test]
fn what_cannot_be_executed_ends_with_126() {
    let sandbox = Sandbox::new();
    let no_program = sandbox.path("no-program");
    fs::write(&no_program, "text\n").unwrap();
    let no_format = sandbox.executable("no-format", b"text\n");
    let directory = sandbox.path("out");
    for options in harness::ways() {
        for command in [&no_program, &no_format, &directory] {
            let line = [options.clone(), words!["--", command]].concat();
            sandbox.vsrun(line).finish().assert_failed(126, &[&command.display().to_string()]);
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn what_is_not_found_ends_with_127() {
    let sandbox = Sandbox::new();
    for options in harness::ways() {
        for command in ["/no/such/command", "no-such-command-in-path", "./not-here"] {
            sandbox.vsrun([options.clone(), words!["--", command]].concat()).finish().assert_failed(127, &[command]);
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn vsrun_becomes_the_server_and_leaves_no_other_process() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let server = sandbox.vsrun(words!["--", sandbox.probe(), "report", &report, "wait"]).start();
    assert_eq!(sandbox.report(&report).number("pid"), server.pid(), "vsrun has become the server");
    assert_eq!(sandbox.living(), [server.pid()]);
    server.signal(libc::SIGKILL);
    server.finish().assert_silent();
}

#[test]
fn standard_descriptors_are_open_however_they_were_closed() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        for closed in harness::CLOSED {
            let report = sandbox.out("report");
            let line = [way.clone(), words!["--", sandbox.probe(), "report", &report]].concat();
            sandbox.vsrun(line).closed(closed).finish().assert_exited(0);
            let found = sandbox.report(&report);
            assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{way:?} with {closed:?} closed: {found:?}");
            for fd in found.descriptors() {
                assert!(fd.is_null() == (fd.number == 0 || closed.contains(&fd.number)), "{closed:?}: {fd:?}");
                assert!(fd.kept);
            }
            fs::remove_file(&report).unwrap();
        }
    }
}

#[test]
fn standard_input_is_null_whatever_the_caller_had() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let (report, read) = (sandbox.out("report"), sandbox.out("read"));
        let (input, mut typed) = sys::pipe();
        typed.write_all(b"not for the server\n").unwrap();
        let line = [way, words!["--", sandbox.probe(), "collect", &read, "report", &report]].concat();
        sandbox.vsrun(line).stdin(input).finish().assert_exited(0);
        assert!(sandbox.report(&report).descriptor(0).unwrap().is_null());
        assert!(!read.exists(), "it reads as empty");
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_manager_closes_its_callers_standard_input() {
    let sandbox = Sandbox::new();
    for way in [words!["-m", "-", "-"], words!["--init"]] {
        let (input, mut typed) = sys::pipe();
        let line = [way, words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"]].concat();
        let running = sandbox.vsrun(line).stdin(input).start();
        harness::await_life(&sandbox.out("life"), 1);
        // A child that another test forks meanwhile has a copy of our read end until its exec, so repeat until the pipe
        // breaks.
        harness::await_true("a broken pipe", || {
            typed.write_all(b"x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
        });
        running.stop();
        fs::remove_file(sandbox.out("life")).unwrap();
    }
}

#[test]
fn standard_input_is_left_alone_when_asked() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let (input, mut typed) = sys::pipe();
        let read = sandbox.out("read");
        let actions = words!["--", sandbox.probe(), "take", "1", &read, "append", sandbox.out("done"), "x"];
        let running = sandbox.vsrun([words!["--stdin"], way, actions].concat()).stdin(input).start();
        typed.write_all(b"for the server\n").unwrap();
        harness::await_file(&sandbox.out("done"));
        assert_eq!(harness::text(&read), "for the server\n");
        running.finish().assert_exited(0);
        fs::remove_file(&read).unwrap();
        fs::remove_file(sandbox.out("done")).unwrap();
    }
}

#[test]
fn without_a_null_device_standard_input_is_an_empty_pipe() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/dev".into(), "size=64k")]);
    for way in harness::ways() {
        for closed in [&[][..], &[0], &[0, 1, 2]] {
            let (report, read) = (sandbox.out("report"), sandbox.out("read"));
            let actions =
                words!["--", sandbox.probe(), "report", &report, "collect", &read, "append", sandbox.out("done"), "x"];
            sandbox.vsrun([way.clone(), actions].concat()).within(&mounts).closed(closed).finish().assert_exited(0);
            harness::await_file(&sandbox.out("done"));
            let found = sandbox.report(&report);
            assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{way:?}, {closed:?}: {found:?}");
            assert_eq!(found.descriptor(0).unwrap().kind, "pipe");
            assert!(!read.exists(), "it reads as empty");
            fs::remove_file(&report).unwrap();
            fs::remove_file(sandbox.out("done")).unwrap();
        }
    }
}

#[test]
fn the_server_writes_to_the_callers_standard_outputs() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let done = sandbox.out("done");
        let actions =
            words!["--", sandbox.probe(), "print", "to stdout", "complain", "to stderr", "append", &done, "x"];
        let running = sandbox.vsrun([way.clone(), actions].concat()).start();
        harness::await_file(&done);
        harness::await_true("both lines", || !running.out().is_empty() && !running.err().is_empty());
        let ended = running.finish();
        assert_eq!(ended.out, ["to stdout"], "{way:?}");
        assert!(ended.err.contains(&"to stderr".to_owned()), "{way:?}: {ended:?}");
        fs::remove_file(&done).unwrap();
    }
}

#[test]
fn signal_settings_are_reset_however_the_caller_changed_them() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let report = sandbox.out("report");
        let line = [way.clone(), words!["--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).before(sys::block_and_ignore_signals).finish().assert_exited(0);
        let found = sandbox.report(&report);
        // In the foreground vsrun keeps SIGHUP ignored, for nohup(1).
        let ignored = if way.contains(&"-b".into()) { "" } else { "1" };
        for (set, expected) in [("ignored", ignored), ("blocked", ""), ("caught", ""), ("pending", "")] {
            assert_eq!(found.one(set), expected, "{set} signals, {way:?}");
        }
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn no_descriptor_of_the_caller_is_left_open() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let report = sandbox.out("report");
        let file = File::open(sandbox.directory()).unwrap();
        let line = [words!["-p", "pid"], way.clone(), words!["--", sandbox.probe(), "report", &report]].concat();
        let call = sandbox.vsrun(line).before(move || {
            [3, 4, 9, 10, 100, 251, 1000].into_iter().try_for_each(|to| sys::duplicate(file.as_raw_fd(), to))?;
            // Descriptors above the new limit stay open.
            sys::limit_descriptors(64)
        });
        call.finish().assert_exited(0);
        let found = sandbox.report(&report);
        let pidfile = way.iter().all(|word| word != "-m");
        assert_eq!(found.descriptors().len(), 3 + usize::from(pidfile), "{way:?}: {found:?}");
        assert!(found.descriptors().iter().all(|fd| fd.kind != "directory"), "{way:?}: {found:?}");
        fs::remove_file(&report).unwrap();
        sandbox.await_nothing_left();
    }
}

#[test]
fn the_umask_is_the_callers_or_the_one_asked_for() {
    let sandbox = Sandbox::new();
    for (options, mask) in [(words![], 0o51), (words!["--umask", "027"], 0o27), (words!["--umask", "0"], 0)] {
        for way in harness::ways() {
            let report = sandbox.out("report");
            let line = [options.clone(), way, words!["--", sandbox.probe(), "report", &report]].concat();
            sandbox.vsrun(line).before(|| sys::umask(0o51)).finish().assert_exited(0);
            assert_eq!(sandbox.report(&report).number("umask"), mask);
            fs::remove_file(&report).unwrap();
        }
    }
}

#[test]
fn argument_zero_is_the_command_as_written_or_the_one_asked_for() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let as_written = sandbox.report_with(way.clone());
        assert_eq!(as_written.all("argument")[0], sandbox.probe().display().to_string());
        let asked = sandbox.report_with([way, words!["--argv0", "-a name"]].concat());
        assert_eq!(asked.all("argument")[0], "-a name");
    }
}

#[test]
fn the_environment_is_the_callers_and_what_was_added() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let report = sandbox.out("report");
        let options =
            words!["-e", "ADDED=a=b c", "-e", "EMPTY=", "-e", "CHANGED=new", "-e", "TWICE=1", "-e", "TWICE=2"];
        let line = [options, way.clone(), words!["--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).env("CHANGED", "old").env("KEPT", "as it was").finish().assert_exited(0);
        let found = sandbox.report(&report);
        let wanted = [("ADDED", "a=b c"), ("EMPTY", ""), ("CHANGED", "new"), ("TWICE", "2"), ("KEPT", "as it was")];
        for (name, value) in wanted {
            assert_eq!(found.variable(name).as_deref(), Some(value), "{way:?}");
        }
        assert_eq!(found.all("variable").len(), wanted.len() + 2, "and PATH and the mark: {found:?}");
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn without_option_u_no_variable_names_a_user() {
    let sandbox = Sandbox::new();
    let found = sandbox.report_with(words![]);
    for name in ["HOME", "USER", "LOGNAME", "SHELL"] {
        assert_eq!(found.variable(name), None);
    }
}

#[test]
fn the_command_is_looked_up_with_the_servers_path() {
    let sandbox = Sandbox::new();
    let directories = ["first", "second", "third"].map(|name| sandbox.path(name));
    directories.iter().for_each(|directory| harness::sandbox::make_directory(directory, 0o755));
    fs::write(directories[0].join("tool"), "not executable").unwrap();
    let path = format!("PATH={}:{}", directories[0].display(), directories[1].display());
    let line = words!["-e", &path, "--", "tool", "exit", "7"];
    for way in harness::ways() {
        sandbox.vsrun([way, line.clone()].concat()).finish().assert_failed(126, &["tool"]);
    }
    harness::sandbox::install(&sandbox.probe(), &directories[1].join("tool"));
    sandbox.vsrun(line.clone()).finish().assert_exited(7).assert_silent();
    sandbox.vsrun(words!["-e", "PATH=/no/such", "--", "tool"]).finish().assert_failed(127, &["tool"]);
    let callers = format!("{}", directories[1].display());
    sandbox.vsrun(words!["--", "tool", "exit", "8"]).env("PATH", callers).finish().assert_exited(8);
}

#[test]
fn a_path_with_a_slash_is_not_looked_up() {
    let sandbox = Sandbox::new();
    harness::sandbox::make_directory(&sandbox.path("sub"), 0o755);
    harness::sandbox::install(&sandbox.probe(), &sandbox.path("sub/tool"));
    sandbox.vsrun(words!["--", "sub/tool", "exit", "7"]).finish().assert_exited(7);
    sandbox.vsrun(words!["-w", "sub", "--", "./tool", "exit", "7"]).finish().assert_exited(7);
}

#[test]
fn the_working_directory_is_the_callers_or_the_one_asked_for() {
    let sandbox = Sandbox::new();
    let directory = sandbox.directory().display().to_string();
    for way in harness::ways() {
        assert_eq!(sandbox.report_with(way.clone()).one("cwd"), directory);
        assert_eq!(
            sandbox.report_with([way.clone(), words!["-w", "out"]].concat()).one("cwd"),
            format!("{directory}/out")
        );
        assert_eq!(sandbox.report_with([way.clone(), words!["-w", "/"]].concat()).one("cwd"), "/");
        let missing = [way, words!["-w", "no-such-place", "--", sandbox.probe()]].concat();
        sandbox.vsrun(missing).finish().assert_failed(125, &["no-such-place"]);
    }
}

#[test]
fn a_managed_server_leads_a_session_and_a_group_of_its_own() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let manager = sandbox.vsrun(words!["-m", "-", "-", "--", sandbox.probe(), "report", &report, "wait"]).start();
    let found = sandbox.report(&report);
    assert_eq!(found.number("ppid"), manager.pid());
    assert_eq!(found.number("sid"), found.number("pid"));
    assert_eq!(found.number("pgid"), found.number("pid"));
    assert_eq!(process::children(manager.pid()), [found.number("pid")]);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn debug_shows_each_step_and_nothing_else_does() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["--", sandbox.probe()]).finish().assert_exited(0).assert_silent();
    let reported = sandbox.vsrun(words!["--debug", "-w", "/", "--", sandbox.probe()]).finish();
    reported.assert_exited(0);
    assert!(reported.err.len() > 2 && reported.err.iter().all(|line| line.starts_with("vsrun: ")), "{reported:?}");
}

#[test]
fn vsrun_refuses_to_run_with_set_user_id_or_set_group_id() {
    let sandbox = Sandbox::plain();
    needs!(
        harness::root(),
        harness::available(sys::grants_special_rights(sandbox.directory()), "a file system without nosuid")
    );
    for mode in [0o4755, 0o2755] {
        let special = sandbox.path(&format!("special-{mode:o}"));
        harness::sandbox::copy(&sandbox.path("vsrun"), &special);
        fs::set_permissions(&special, fs::Permissions::from_mode(mode)).unwrap();
        let ended =
            sandbox.program(&special, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]).finish();
        ended.assert_failed(125, &["set-user-id"]);
        assert!(!sandbox.out("ran").exists());
    }
}
