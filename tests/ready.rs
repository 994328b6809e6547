//! When a server counts as started, and what vsrun says to a service manager above it.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Ended, Place, await_life, await_some, lives, needs, root, sys, tool, words};
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// In the background, become or managed; each with a pidfile.
fn both() -> [Vec<OsString>; 2] {
    [words!["-b", "-p", "pid"], words!["-b", "-p", "pid", "-m", "keeper", "-"]]
}

fn shell(script: &str) -> Vec<OsString> {
    words!["--", "/bin/sh", "-c", script]
}

/// It ended with 125, and the last thing it said was why.
#[track_caller]
fn assert_unready(ended: &Ended, says: &str) {
    let last = ended.exited(125).complaints().pop().unwrap().clone();
    assert!(last.contains(says), "{ended:?}");
}

#[track_caller]
fn assert_nothing_left(place: &Place) {
    place.await_nothing_left();
    assert!(!place.path("pid").exists() && !place.path("keeper").exists(), "{:?}", kit::names(place.directory()));
}

/// Every number works, whatever vsrun itself has opened there.
#[test]
fn a_newline_on_any_descriptor() {
    for number in 3..20 {
        let place = Place::new();
        for (at, way) in both().into_iter().enumerate() {
            let script = format!("echo before >>out/{at}; echo >&{number}; exec sleep 1000");
            // dash has no name for a descriptor above 9.
            let script = if number > 9 { script.replace("echo >&", "echo >/proc/self/fd/") } else { script };
            let ready = format!("fd:{number}");
            place.vsrun([way, words!["--ready", ready], shell(&script)].concat()).finish().exited(0);
            assert_eq!(kit::lines(&place.out(&at.to_string())), ["before"], "it waited for fd {number}");
            place.vsrun(words!["--stop", if at == 0 { "pid" } else { "keeper" }]).finish().exited(0);
        }
    }
}

#[test]
fn a_server_that_never_says_so_is_a_failure() {
    for (script, options, says) in [
        ("exec 4>&-; exec sleep 1000", words!["--ready", "fd:4"], "without a newline"),
        ("exec sleep 1000", words!["--ready", "fd:4", "--ready-timeout", "50ms"], "not ready in time"),
        ("exec sleep 1000", words!["--ready", "notify", "--ready-timeout", "50ms"], "not ready in time"),
        ("exit 3", words!["--ready", "notify"], "exited with status 3 before it was ready"),
        ("kill -9 $$", words!["--ready", "notify"], "killed by signal 9 before it was ready"),
    ] {
        let place = Place::new();
        for way in both() {
            assert_unready(&place.vsrun([way, options.clone(), shell(script)].concat()).finish(), says);
            assert_nothing_left(&place);
        }
        let managed = [words!["-m", "keeper", "-", "-d", "logs", "1"], options, shell(script)].concat();
        assert_unready(&place.vsrun(managed).finish(), says);
        assert_nothing_left(&place);
    }
}

/// A child that outlives the server, and holds its descriptor, holds up nothing.
#[test]
fn a_servers_child_with_the_descriptor_is_not_waited_for() {
    let script = "sleep 1000 & exit 3";
    for way in [words!["-b", "-m", "keeper", "-"], words!["-m", "keeper", "-"], words!["-b", "-p", "pid"]] {
        let place = Place::new();
        let line = [way, words!["--ready", "fd:5"], shell(script)].concat();
        assert_unready(&place.vsrun(line).finish(), "exited with status 3 before it was ready");
        assert!(!place.path("pid").exists() && !place.path("keeper").exists());
    }
    // In a later life, too.
    let place = Place::new();
    let script =
        format!("echo $$ 0 >>{}; [ -e said ] || echo >&5; : >said; sleep 1000 & exit 3", place.out("life").display());
    let manager = place.vsrun([words!["-m", "-", "-", "--ready", "fd:5"], shell(&script)].concat()).start();
    await_life(&place.out("life"), 4);
    manager.signal(libc::SIGTERM);
    manager.finish().exited(0);
}

/// What was said with the last breath was said, wherever it stands.
#[test]
fn the_last_words_count() {
    let place = Place::new();
    let long = "printf '%01000d\\n' 0 >&5; exit 0";
    place.vsrun([words!["-m", "-", "-", "--ready", "fd:5"], shell(long)].concat()).finish().exited(0);
}

/// A failed step is what failed, however the server would have said that it is ready.
#[test]
fn a_failed_exec_is_no_silence() {
    let place = Place::new();
    for way in [words!["-m", "-", "-"], words!["-b"], words!["-b", "-m", "-", "-"]] {
        place
            .vsrun([way, words!["--ready", "fd:5", "--", "./missing"]].concat())
            .finish()
            .failed(127, &["'./missing'"]);
    }
}

/// One that is deaf to TERM is killed.
#[test]
fn a_server_that_is_not_ready_in_time_does_not_stay() {
    let place = Place::new();
    let options =
        words!["-b", "-m", "keeper", "-", "--ready", "fd:3", "--ready-timeout", "50ms", "--stop-timeout", "50ms"];
    let server = words!["--", place.probe(), "ignore", "15", "wait"];
    assert_unready(&place.vsrun([options, server].concat()).finish(), "not ready in time");
    assert_nothing_left(&place);
}

#[test]
fn later_lives_need_not_say_it_again() {
    let place = Place::new();
    let script =
        format!("echo $$ 0 >>{}; [ -e said ] || echo >&3; : >said; exec sleep 1000", place.out("life").display());
    let line = [words!["-b", "-m", "keeper", "-", "--ready", "fd:3", "--ready-timeout", "5"], shell(&script)].concat();
    place.vsrun(line).finish().exited(0);
    sys::kill(await_life(&place.out("life"), 1), libc::SIGKILL);
    let second = await_life(&place.out("life"), 2);
    assert!(!kit::gone(second));
    place.vsrun(words!["--stop", "keeper"]).finish().exited(0);
    assert_eq!(lives(&place.out("life")).len(), 2);
}

#[test]
fn the_real_systemd_notify() {
    needs!(root(), tool("systemd-notify"));
    let place = Place::new();
    for way in both() {
        let script = "echo said >>out/said; systemd-notify --ready; exec sleep 1000";
        place.vsrun([way.clone(), words!["--ready", "notify"], shell(script)].concat()).finish().exited(0);
        assert!(place.out("said").exists());
        place.vsrun(words!["--stop", if way.contains(&"-m".into()) { "keeper" } else { "pid" }]).finish().exited(0);
        std::fs::remove_file(place.out("said")).unwrap();
    }
}

/// The socket is no secret, but who writes to it is known.
#[test]
fn a_strangers_word_does_not_count() {
    let place = Place::new();
    let script =
        format!("echo $$ 0 >>{}; echo $NOTIFY_SOCKET >>out/socket; exec sleep 1000", place.out("life").display());
    let options = words!["-m", "keeper", "-", "--ready", "notify", "--ready-timeout", "500ms"];
    let manager = place.vsrun([options, shell(&script)].concat()).start();
    let name = kit::await_lines(&place.out("socket"), 1).remove(0);
    let address = SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &address).unwrap();
    assert_unready(&manager.finish(), "not ready in time");
    assert_nothing_left(&place);
}

/// A service manager of the test's own.
struct Service(UnixDatagram);

impl Service {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 256];
        let count = self.0.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }
}

#[test]
fn one_who_stays_reports_to_the_service_manager_itself() {
    let place = Place::new();
    let path = place.path("notify");
    let service = Service::at(&path);
    let handler = place.script("handler", words!["report", place.out("handled")]);
    let server = words!["--", place.probe(), "life", place.out("life"), "report", place.out("report"), "wait"];
    let manager = place.vsrun([words!["-m", "-", handler], server].concat()).env("NOTIFY_SOCKET", &path).start();
    let ready = format!("READY=1\nMAINPID={}", manager.pid());
    assert_eq!(service.next(), ready);
    assert_eq!(place.report(&place.out("report")).variable("NOTIFY_SOCKET"), None, "the server does not see it");
    sys::kill(await_life(&place.out("life"), 1), libc::SIGSEGV);
    await_life(&place.out("life"), 2);
    assert_eq!(place.report(&place.out("handled")).variable("NOTIFY_SOCKET"), None, "nor does the handler");
    manager.signal(libc::SIGHUP);
    assert!(service.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(service.next(), ready, "a crash says nothing, a restart on request is over");
    manager.signal(libc::SIGTERM);
    assert_eq!(service.next(), "STOPPING=1");
    manager.finish().exited(0);
}

#[test]
fn where_vsrun_becomes_the_server_it_is_left_alone() {
    let place = Place::new();
    let report = place.out("report");
    place.vsrun(words!["--", place.probe(), "report", &report]).env("NOTIFY_SOCKET", "@name").finish().exited(0);
    assert_eq!(place.report(&report).variable("NOTIFY_SOCKET").as_deref(), Some("@name"));
}

/// In the background every failure has the status that it has in the foreground, and one line.
#[test]
fn the_background_tells_the_same_truth() {
    let place = Place::new();
    place.executable("script", b"#!/no/such/interpreter\n");
    let table: [(Vec<OsString>, &str); 9] = [
        (words!["-u", "nosuchuser", "--", "true"], "nosuchuser"),
        (words!["-r", "missing", "--", "true"], "missing'"),
        (words!["-w", "missing", "--", "true"], "missing'"),
        (words!["-p", "missing/pid", "--", "true"], "'missing/pid'"),
        (words!["-d", "script", "1", "--", "true"], "'script'"),
        (words!["-s", "tag", "--logger", "./missing", "--", "true"], "./missing"),
        (words!["--", "missing"], "'missing'"),
        (words!["--", "./script"], "interpreter"),
        (words!["--", "."], "'.'"),
    ];
    for (line, part) in table {
        if line[0] == "-r" && !root() {
            continue;
        }
        for stay in [words![], words!["-m", "-", "-"]] {
            let front = place.vsrun([stay.clone(), line.clone()].concat()).finish();
            let back = place.vsrun([words!["-b"], stay, line.clone()].concat()).finish();
            back.failed(front.code().unwrap(), &[part]);
            assert_ne!(back.code(), Some(0));
        }
        place.await_nothing_left();
    }
}

/// The caller comes back when the server is ready, not before.
#[test]
fn the_caller_waits_for_it() {
    let place = Place::new();
    let script = "while [ ! -e go ]; do :; done; echo >&3; exec sleep 1000";
    let caller = place.vsrun([words!["-b", "-p", "pid", "--ready", "fd:3"], shell(script)].concat()).start();
    await_some("the server's pid", || kit::lines(&place.path("pid")).pop());
    assert!(caller.lives());
    std::fs::write(place.path("go"), "").unwrap();
    caller.finish().exited(0);
    place.vsrun(words!["--stop", "pid"]).finish().exited(0);
}
