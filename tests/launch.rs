//! What the server finds when it begins: its exit status is passed on, its descriptors, signals, environment and
//! arguments are as they should be.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, needs, process, sys, words};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

#[test]
fn every_exit_status_is_passed_on() {
    let place = Place::new();
    for status in [0, 1, 2, 3, 125, 126, 127, 128, 255] {
        place.vsrun(words!["--", place.probe(), "exit", format!("{status}")]).finish().exited(status).silently();
    }
}

#[test]
fn every_exit_status_is_passed_on_by_the_manager() {
    let place = Place::new();
    let start = |status: &i32| {
        let line = words!["--restart", "no", "--", place.probe(), "exit", format!("{status}")];
        (*status, place.vsrun(line).start())
    };
    for some in (0..256).collect::<Vec<i32>>().chunks(8) {
        let running: Vec<_> = some.iter().map(start).collect();
        running.into_iter().for_each(|(status, manager)| {
            manager.finish().exited(status);
        });
    }
}

#[test]
fn death_by_a_signal_becomes_128_and_its_number() {
    let place = Place::new();
    // Neither CHLD, CONT, URG and WINCH, which end nobody, nor STOP, TSTP, TTIN and TTOU.
    let deadly: Vec<i32> = (1..=64).filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal)).collect();
    for some in deadly.chunks(8) {
        let start = |signal: &i32| {
            let actions = words!["--", place.probe(), "raise", format!("{signal}"), "exit", "0"];
            let alone = place.vsrun(actions.clone()).start();
            (*signal, alone, place.vsrun([words!["--restart", "no"], actions].concat()).start())
        };
        let running: Vec<_> = some.iter().map(start).collect();
        for (signal, alone, managed) in running {
            assert_eq!(alone.finish().signal(), Some(signal));
            managed.finish().exited(128 + signal);
        }
    }
}

#[test]
fn what_cannot_be_executed_ends_with_126() {
    let place = Place::new();
    let no_program = place.path("no-program");
    fs::write(&no_program, "text\n").unwrap();
    let no_format = place.executable("no-format", b"text\n");
    let directory = place.path("out");
    for options in kit::ways() {
        for command in [&no_program, &no_format, &directory] {
            let line = [options.clone(), words!["--", command]].concat();
            place.vsrun(line).finish().failed(126, &[&command.display().to_string()]);
            place.await_nothing_left();
        }
    }
}

#[test]
fn what_is_not_found_ends_with_127() {
    let place = Place::new();
    for options in kit::ways() {
        for command in ["/no/such/command", "no-such-command-in-path", "./not-here"] {
            place.vsrun([options.clone(), words!["--", command]].concat()).finish().failed(127, &[command]);
            place.await_nothing_left();
        }
    }
}

#[test]
fn a_server_of_its_own_leaves_no_other_process() {
    let place = Place::new();
    let report = place.out("report");
    let server = place.vsrun(words!["--", place.probe(), "report", &report, "wait"]).start();
    assert_eq!(place.report(&report).number("pid"), server.pid(), "vsrun has become the server");
    assert_eq!(place.living(), [server.pid()]);
    server.signal(libc::SIGKILL);
    server.finish().silently();
}

#[test]
fn standard_descriptors_are_whole_however_they_were_closed() {
    let place = Place::new();
    for way in kit::ways() {
        for closed in kit::CLOSED {
            let report = place.out("report");
            let line = [way.clone(), words!["--", place.probe(), "report", &report]].concat();
            place.vsrun(line).closed(closed).finish().exited(0);
            let found = place.report(&report);
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
    let place = Place::new();
    for way in kit::ways() {
        let (report, read) = (place.out("report"), place.out("read"));
        let (input, mut typed) = sys::pipe();
        typed.write_all(b"not for the server\n").unwrap();
        let line = [way, words!["--", place.probe(), "collect", &read, "report", &report]].concat();
        place.vsrun(line).stdin(input).finish().exited(0);
        assert!(place.report(&report).descriptor(0).unwrap().is_null());
        assert!(!read.exists(), "it reads as empty");
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_manager_keeps_nobody_waiting_who_writes_to_its_caller() {
    let place = Place::new();
    for way in [words!["-m", "-", "-"], words!["--init"]] {
        let (input, mut typed) = sys::pipe();
        let line = [way, words!["--", place.probe(), "life", place.out("life"), "wait"]].concat();
        let running = place.vsrun(line).stdin(input).start();
        kit::await_life(&place.out("life"), 1);
        let gone = typed.write_all(b"x").unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
        running.stop();
        fs::remove_file(place.out("life")).unwrap();
    }
}

#[test]
fn standard_input_is_left_alone_when_asked() {
    let place = Place::new();
    for way in kit::ways() {
        let (input, mut typed) = sys::pipe();
        let read = place.out("read");
        let actions = words!["--", place.probe(), "take", "1", &read, "append", place.out("done"), "x"];
        let running = place.vsrun([words!["--stdin"], way, actions].concat()).stdin(input).start();
        typed.write_all(b"for the server\n").unwrap();
        kit::await_file(&place.out("done"));
        assert_eq!(kit::text(&read), "for the server\n");
        running.finish().exited(0);
        fs::remove_file(&read).unwrap();
        fs::remove_file(place.out("done")).unwrap();
    }
}

#[test]
fn without_a_null_device_standard_input_is_an_empty_pipe() {
    needs!(kit::root());
    let place = Place::new();
    let mounts = Mounts::new(&place, &[Mount::Memory("/dev".into(), "size=64k")]);
    for way in kit::ways() {
        for closed in [&[][..], &[0], &[0, 1, 2]] {
            let (report, read) = (place.out("report"), place.out("read"));
            let actions =
                words!["--", place.probe(), "report", &report, "collect", &read, "append", place.out("done"), "x"];
            place.vsrun([way.clone(), actions].concat()).within(&mounts).closed(closed).finish().exited(0);
            kit::await_file(&place.out("done"));
            let found = place.report(&report);
            assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{way:?}, {closed:?}: {found:?}");
            assert_eq!(found.descriptor(0).unwrap().kind, "pipe");
            assert!(!read.exists(), "it reads as empty");
            fs::remove_file(&report).unwrap();
            fs::remove_file(place.out("done")).unwrap();
        }
    }
}

#[test]
fn outputs_are_the_callers() {
    let place = Place::new();
    for way in kit::ways() {
        let done = place.out("done");
        let actions = words!["--", place.probe(), "print", "to stdout", "complain", "to stderr", "append", &done, "x"];
        let running = place.vsrun([way.clone(), actions].concat()).start();
        kit::await_file(&done);
        kit::await_true("both lines", || !running.out().is_empty() && !running.err().is_empty());
        let ended = running.finish();
        assert_eq!(ended.out, ["to stdout"], "{way:?}");
        assert!(ended.err.contains(&"to stderr".to_owned()), "{way:?}: {ended:?}");
        fs::remove_file(&done).unwrap();
    }
}

#[test]
fn signals_are_as_new_however_they_were_spoilt() {
    let place = Place::new();
    for way in kit::ways() {
        let report = place.out("report");
        let line = [way.clone(), words!["--", place.probe(), "report", &report]].concat();
        place.vsrun(line).before(sys::spoil_signals).finish().exited(0);
        let found = place.report(&report);
        // SIGHUP alone, in the foreground alone: nohup has said so.
        let ignored = if way.contains(&"-b".into()) { "" } else { "1" };
        for (set, expected) in [("ignored", ignored), ("blocked", ""), ("caught", ""), ("pending", "")] {
            assert_eq!(found.one(set), expected, "{set} signals, {way:?}");
        }
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn no_descriptor_of_the_caller_is_left_open() {
    let place = Place::new();
    for way in kit::ways() {
        let report = place.out("report");
        let file = File::open(place.directory()).unwrap();
        let line = [words!["-p", "pid"], way.clone(), words!["--", place.probe(), "report", &report]].concat();
        let call = place.vsrun(line).before(move || {
            [3, 4, 9, 10, 100, 251, 1000].into_iter().try_for_each(|to| sys::duplicate(file.as_raw_fd(), to))?;
            // What lies above the limit is open all the same.
            sys::limit_descriptors(64)
        });
        call.finish().exited(0);
        let found = place.report(&report);
        let pidfile = way.iter().all(|word| word != "-m");
        assert_eq!(found.descriptors().len(), 3 + usize::from(pidfile), "{way:?}: {found:?}");
        assert!(found.descriptors().iter().all(|fd| fd.kind != "directory"), "{way:?}: {found:?}");
        fs::remove_file(&report).unwrap();
        place.await_nothing_left();
    }
}

#[test]
fn the_umask_is_the_callers_or_the_one_asked_for() {
    let place = Place::new();
    for (options, mask) in [(words![], 0o51), (words!["--umask", "027"], 0o27), (words!["--umask", "0"], 0)] {
        for way in kit::ways() {
            let report = place.out("report");
            let line = [options.clone(), way, words!["--", place.probe(), "report", &report]].concat();
            place.vsrun(line).before(|| sys::umask(0o51)).finish().exited(0);
            assert_eq!(place.report(&report).number("umask"), mask);
            fs::remove_file(&report).unwrap();
        }
    }
}

#[test]
fn argument_zero_is_the_command_as_written_or_the_one_asked_for() {
    let place = Place::new();
    for way in kit::ways() {
        let as_written = place.report_with(way.clone());
        assert_eq!(as_written.all("argument")[0], place.probe().display().to_string());
        let asked = place.report_with([way, words!["--argv0", "-a name"]].concat());
        assert_eq!(asked.all("argument")[0], "-a name");
    }
}

#[test]
fn the_environment_is_the_callers_and_what_was_added() {
    let place = Place::new();
    for way in kit::ways() {
        let report = place.out("report");
        let options =
            words!["-e", "ADDED=a=b c", "-e", "EMPTY=", "-e", "CHANGED=new", "-e", "TWICE=1", "-e", "TWICE=2"];
        let line = [options, way.clone(), words!["--", place.probe(), "report", &report]].concat();
        place.vsrun(line).env("CHANGED", "old").env("KEPT", "as it was").finish().exited(0);
        let found = place.report(&report);
        let wanted = [("ADDED", "a=b c"), ("EMPTY", ""), ("CHANGED", "new"), ("TWICE", "2"), ("KEPT", "as it was")];
        for (name, value) in wanted {
            assert_eq!(found.variable(name).as_deref(), Some(value), "{way:?}");
        }
        assert_eq!(found.all("variable").len(), wanted.len() + 2, "and PATH and the mark: {found:?}");
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn without_a_user_nothing_is_said_of_one() {
    let place = Place::new();
    let found = place.report_with(words![]);
    for name in ["HOME", "USER", "LOGNAME", "SHELL"] {
        assert_eq!(found.variable(name), None);
    }
}

#[test]
fn the_command_is_looked_up_with_the_servers_path() {
    let place = Place::new();
    let directories = ["first", "second", "third"].map(|name| place.path(name));
    directories.iter().for_each(|directory| kit::place::make_directory(directory, 0o755));
    fs::write(directories[0].join("tool"), "not executable").unwrap();
    let path = format!("PATH={}:{}", directories[0].display(), directories[1].display());
    let line = words!["-e", &path, "--", "tool", "exit", "7"];
    for way in kit::ways() {
        place.vsrun([way, line.clone()].concat()).finish().failed(126, &["tool"]);
    }
    kit::place::install(&place.probe(), &directories[1].join("tool"));
    place.vsrun(line.clone()).finish().exited(7).silently();
    place.vsrun(words!["-e", "PATH=/no/such", "--", "tool"]).finish().failed(127, &["tool"]);
    let callers = format!("{}", directories[1].display());
    place.vsrun(words!["--", "tool", "exit", "8"]).env("PATH", callers).finish().exited(8);
}

#[test]
fn a_path_with_a_slash_is_not_looked_up() {
    let place = Place::new();
    kit::place::make_directory(&place.path("sub"), 0o755);
    kit::place::install(&place.probe(), &place.path("sub/tool"));
    place.vsrun(words!["--", "sub/tool", "exit", "7"]).finish().exited(7);
    place.vsrun(words!["-w", "sub", "--", "./tool", "exit", "7"]).finish().exited(7);
}

#[test]
fn the_working_directory_is_the_callers_or_the_one_asked_for() {
    let place = Place::new();
    let directory = place.directory().display().to_string();
    for way in kit::ways() {
        assert_eq!(place.report_with(way.clone()).one("cwd"), directory);
        assert_eq!(
            place.report_with([way.clone(), words!["-w", "out"]].concat()).one("cwd"),
            format!("{directory}/out")
        );
        assert_eq!(place.report_with([way.clone(), words!["-w", "/"]].concat()).one("cwd"), "/");
        let missing = [way, words!["-w", "no-such-place", "--", place.probe()]].concat();
        place.vsrun(missing).finish().failed(125, &["no-such-place"]);
    }
}

#[test]
fn a_managed_server_leads_a_session_and_a_group_of_its_own() {
    let place = Place::new();
    let report = place.out("report");
    let manager = place.vsrun(words!["-m", "-", "-", "--", place.probe(), "report", &report, "wait"]).start();
    let found = place.report(&report);
    assert_eq!(found.number("ppid"), manager.pid());
    assert_eq!(found.number("sid"), found.number("pid"));
    assert_eq!(found.number("pgid"), found.number("pid"));
    assert_eq!(process::children(manager.pid()), [found.number("pid")]);
    manager.stop().exited(0);
    place.await_nothing_left();
}

#[test]
fn debug_tells_each_step_and_nothing_else_does() {
    let place = Place::new();
    place.vsrun(words!["--", place.probe()]).finish().exited(0).silently();
    let told = place.vsrun(words!["--debug", "-w", "/", "--", place.probe()]).finish();
    told.exited(0);
    assert!(told.err.len() > 2 && told.err.iter().all(|line| line.starts_with("vsrun: ")), "{told:?}");
}

#[test]
fn a_program_with_special_rights_is_refused() {
    let place = Place::plain();
    needs!(kit::root(), kit::available(sys::grants_special_rights(place.directory()), "a file system without nosuid"));
    for mode in [0o4755, 0o2755] {
        let special = place.path(&format!("special-{mode:o}"));
        kit::place::copy(&place.path("vsrun"), &special);
        fs::set_permissions(&special, fs::Permissions::from_mode(mode)).unwrap();
        let ended = place.program(&special, words!["--", place.probe(), "append", place.out("ran"), "x"]).finish();
        ended.failed(125, &["set-user-id"]);
        assert!(!place.out("ran").exists());
    }
}
