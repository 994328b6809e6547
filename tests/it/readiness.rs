//! When a server counts as started, and what vsrun reports to its service manager.

use crate::harness::{
    self, PLAIN, ProcessResult, Sandbox, await_life, await_some, lives, needs, process, root, sys, tool, words,
};
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// The options of a server in the background with a pidfile: without a manager, and with one.
fn background_options() -> [Vec<OsString>; 2] {
    [words!["-b", "-p", "pid"], words!["-b", "-p", "pid", "-m", "keeper", "-"]]
}

fn shell(script: &str) -> Vec<OsString> {
    words!["--", "/bin/sh", "-c", script]
}

/// Asserts that vsrun exited with 125, and that its last message contains `says`.
#[track_caller]
fn assert_unready(ended: &ProcessResult, says: &str) {
    let last = ended.assert_exited(125).complaints().pop().unwrap().clone();
    assert!(last.contains(says), "{ended:?}");
}

#[track_caller]
fn assert_nothing_left(sandbox: &Sandbox) {
    sandbox.await_nothing_left();
    assert!(
        !sandbox.path("pid").exists() && !sandbox.path("keeper").exists(),
        "{:?}",
        harness::names(sandbox.directory())
    );
}

/// Every descriptor number works, even one that vsrun itself has used for something else.
#[test]
fn newline_on_any_descriptor_means_ready() {
    for number in 3..20 {
        let sandbox = Sandbox::new();
        for (at, way) in background_options().into_iter().enumerate() {
            let script = format!("echo before >>out/{at}; echo >&{number}; exec sleep 1000");
            // dash cannot redirect to a descriptor number above 9.
            let script = if number > 9 { script.replace("echo >&", "echo >/proc/self/fd/") } else { script };
            let ready = format!("fd:{number}");
            sandbox.vsrun([way, words!["--ready", ready], shell(&script)].concat()).finish().assert_exited(0);
            assert_eq!(harness::lines(&sandbox.out(&at.to_string())), ["before"], "it waited for fd {number}");
            sandbox.vsrun(words!["--stop", if at == 0 { "pid" } else { "keeper" }]).finish().assert_exited(0);
        }
    }
}

/// Besides 0 to 2 and the pidfile, the server inherits only the ready descriptor, whatever else vsrun has open.
#[test]
fn server_inherits_only_the_ready_descriptor() {
    let sandbox = Sandbox::new();
    for number in 3..=20 {
        for (at, way) in background_options().into_iter().enumerate() {
            let (report, ready) = (sandbox.out("report"), format!("fd:{number}"));
            let server = words!["--", sandbox.probe(), "report", &report, "tell", number.to_string(), "", "wait"];
            let options = words!["-d", "logs", "1", "--ready", ready, "--ready-timeout", "10"];
            sandbox.vsrun([way, options, server].concat()).finish().assert_exited(0);
            let found = sandbox.report(&report);
            let ours = found.descriptors().into_iter().filter(|fd| !fd.target.ends_with("/pid"));
            assert_eq!(ours.map(|fd| fd.number).collect::<Vec<_>>(), [0, 1, 2, number]);
            assert_eq!(found.descriptor(number).unwrap().kind, "pipe");
            sandbox.vsrun(words!["--stop", if at == 0 { "pid" } else { "keeper" }]).finish().assert_exited(0);
            std::fs::remove_file(&report).unwrap();
        }
    }
}

/// If vsrun wrote its record of a step to the server's ready descriptor, the newline would count as readiness.
#[test]
fn no_reported_step_means_ready() {
    for number in 3..=20 {
        let sandbox = Sandbox::new();
        let options = words!["--debug", "-d", "logs", "1", "--restart", "no", "--ready", format!("fd:{number}")];
        sandbox.vsrun([options, words!["--", sandbox.probe(), "exit", "0"]].concat()).finish().assert_exited(125);
        assert!(
            harness::text(&sandbox.path("logs/vsrun.log"))
                .contains(&format!("open the descriptor of --ready fd:{number}"))
        );
    }
}

#[test]
fn wrong_words_touch_nothing() {
    let sandbox = Sandbox::new();
    for how in ["", "fd", "fd:", "fd:0", "fd:1", "fd:2", "fd:-1", "fd:x", "fd:3x", "fd:65536", "Notify", "exec:3"] {
        sandbox
            .vsrun(words!["-b", "-p", "pid", "--ready", how, "--", "true"])
            .finish()
            .assert_failed(2, &["--ready", how]);
    }
    for line in [
        // Without -b or a manager, no vsrun process waits for readiness.
        words!["--ready", "fd:5"],
        words!["--ready", "notify"],
        words!["-b", "--ready", "notify", "-f"],
        words!["-b", "--ready", "exec", "--ready", "exec"],
        words!["-b", "--ready-timeout", "5"],
        words!["-b", "--ready", "exec", "--ready-timeout", "5"],
        words!["-b", "--ready", "fd:5", "--ready-timeout", "5x"],
        words!["-b", "--ready", "fd:5", "--ready-timeout", ""],
        words!["-b", "--ready", "fd:5", "--ready-timeout", "5", "--ready-timeout", "5"],
    ] {
        sandbox
            .vsrun([words!["-p", "pid"], line, words!["--", "true"]].concat())
            .finish()
            .assert_failed(2, &["--ready"]);
    }
    assert!(!sandbox.path("pid").exists());
    sandbox.vsrun(words!["--ready", "exec", "--", "true"]).finish().assert_exited(0);
}

/// Readiness works in a jail, because neither an abstract socket nor a descriptor needs a file.
#[test]
fn readiness_works_in_a_jail_as_another_user() {
    needs!(root());
    for (ready, says) in [("notify", words!["notify", "READY=1"]), ("fd:7", words!["tell", "7", ""])] {
        let sandbox = Sandbox::new();
        let jail = sandbox.jail();
        for (at, way) in background_options().into_iter().enumerate() {
            let options = words!["-u", "12345", "-r", &jail, "--ready", ready, "--ready-timeout", "10"];
            let server = [words!["--", "/probe"], says.clone(), words!["report", "/out/report", "wait"]].concat();
            sandbox.vsrun([way, options, server].concat()).finish().assert_exited(0);
            assert_eq!(sandbox.report(&jail.join("out/report")).one("uids"), "12345 12345 12345");
            sandbox.vsrun(words!["--stop", if at == 0 { "pid" } else { "keeper" }]).finish().assert_exited(0);
        }
    }
}

#[test]
fn only_ready_1_means_ready() {
    let sandbox = Sandbox::new();
    let nothing = ["READY=0", "XREADY=1", "READY=11", "STATUS=READY=1", "", "\n\n", "STOPPING=1", "MAINPID=1"];
    let nothing: Vec<_> = nothing.into_iter().flat_map(|text| words!["notify", text]).collect();
    for said in ["READY=1", "READY=1\n", "STATUS=up\nREADY=1\nMAINPID=7", &format!("READY=1\n{}", "x".repeat(60_000))] {
        let _ = std::fs::remove_file(sandbox.path("go"));
        let server =
            [nothing.clone(), words!["life", "out/life", "await", "go", "notify", said, "life", "out/life", "wait"]];
        let line = [words!["-b", "-p", "pid", "--ready", "notify", "--", sandbox.probe()], server.concat()].concat();
        let caller = sandbox.vsrun(line).start();
        await_life(&sandbox.out("life"), 1);
        assert!(caller.is_running(), "nothing of that is READY=1");
        std::fs::write(sandbox.path("go"), "").unwrap();
        caller.finish().assert_exited(0);
        await_life(&sandbox.out("life"), 2);
        sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
        std::fs::remove_file(sandbox.out("life")).unwrap();
    }
}

/// A manager that was stopped meanwhile still reads all that the server sent before its exit.
#[test]
fn readiness_reported_just_before_the_exit_counts() {
    let status = words!["notify", "STATUS=1", "notify", "STATUS=2", "notify", "STATUS=3", "notify", "READY=1"];
    for (ready, says) in [
        ("fd:5", words!["tell", "5", ""]),
        ("fd:5", words!["tell", "5", "x".repeat(1000)]),
        ("notify", words!["notify", "READY=1"]),
        ("notify", status),
    ] {
        let sandbox = Sandbox::new();
        let server = [words!["life", "out/life", "await", "go"], says.clone(), words!["exit", "3"]].concat();
        let options = words!["-m", "-", "-", "--restart", "no", "--ready", ready, "--", sandbox.probe()];
        let manager = sandbox.vsrun([options, server].concat()).start();
        let server = await_life(&sandbox.out("life"), 1);
        manager.signal(libc::SIGSTOP);
        harness::await_true("that the manager sleeps", || process::state(manager.pid()) == "T");
        std::fs::write(sandbox.path("go"), "").unwrap();
        harness::await_gone(server);
        manager.signal(libc::SIGCONT);
        manager.finish().assert_exited(3);
    }
}

/// vsrun notices the server's exit although a child of the server keeps the ready descriptor open.
#[test]
fn a_child_that_keeps_the_descriptor_open_delays_nothing() {
    let sandbox = Sandbox::new();
    for way in [words!["-b"], words!["-b", "-m", "-", "-"], words!["-m", "-", "-"]] {
        let server = words!["--ready", "fd:5", "--", sandbox.probe(), "child", "out/child", "exit", "3"];
        assert_unready(&sandbox.vsrun([way, server].concat()).finish(), "exited with status 3 before it was ready");
    }
}

#[test]
fn child_that_keeps_the_descriptor_open_delays_no_later_run() {
    let sandbox = Sandbox::new();
    let options = words!["-m", "-", "-", "--restart-delay", "0", "--ready", "fd:5", "--", sandbox.probe()];
    let server = words![
        "life",
        "out/life",
        "at",
        "1",
        "tell",
        "5",
        "",
        "at",
        "2",
        "child",
        "out/child",
        "until",
        "2",
        "exit",
        "1",
        "wait"
    ];
    let manager = sandbox.vsrun([options, server].concat()).start();
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
}

#[test]
fn a_server_stopped_before_it_was_ready_was_never_ready() {
    let sandbox = Sandbox::new();
    let server = words!["--ready", "fd:5", "--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let managed = words!["-p", "pid", "-m", "keeper", "-"];
    let caller = sandbox.vsrun([words!["-b"], managed.clone(), server.clone()].concat()).start();
    await_life(&sandbox.out("life"), 1);
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
    let ended = caller.finish();
    let says = "vsrun: the start was stopped by SIGTERM: the server was killed by SIGTERM (15) before it was ready";
    assert_eq!(ended.assert_exited(128 + 15).err.last().unwrap(), says);
    assert_nothing_left(&sandbox);
    // In the foreground this is no failure, because the stop was requested.
    let manager = sandbox.vsrun([managed, server].concat()).start();
    await_life(&sandbox.out("life"), 2);
    manager.stop().assert_exited(0);
    assert_nothing_left(&sandbox);
}

/// A failure before the server's exec is reported with its own status and name, and without a message about readiness.
#[test]
fn a_failed_start_is_not_mistaken_for_a_server_that_is_not_ready() {
    let sandbox = Sandbox::new();
    for way in [words![], words!["-b"]] {
        for stay in [words!["-m", "keeper", "-"], words!["-b"]] {
            for (rest, status, part) in [
                (words!["--", "./missing"], 127, "./missing"),
                (words!["--", "."], 126, "'.'"),
                (words!["-w", "missing", "--", "true"], 125, "missing"),
            ] {
                for ready in ["fd:5", "notify"] {
                    let options = words!["-p", "pid", "--ready", ready];
                    let line = [way.clone(), stay.clone(), options, rest.clone()].concat();
                    sandbox.vsrun(line).finish().assert_failed(status, &[part]);
                    assert_nothing_left(&sandbox);
                }
            }
        }
    }
}

#[test]
fn a_descriptor_beyond_the_limit_is_named() {
    let sandbox = Sandbox::new();
    for way in [words!["-b"], words!["-b", "-m", "-", "-"], words!["-m", "-", "-"]] {
        let line = [way, words!["--ready", "fd:300", "--", "true"]].concat();
        let ended = sandbox.vsrun(line).before(|| sys::limit_descriptors(256)).finish();
        ended.assert_failed(125, &["ready"]);
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_server_that_never_says_so_is_a_failure() {
    for (script, options, says) in [
        ("exec 4>&-; exec sleep 1000", words!["--ready", "fd:4"], "without a newline"),
        ("exec sleep 1000", words!["--ready", "fd:4", "--ready-timeout", "50ms"], "not ready in time"),
        ("exec sleep 1000", words!["--ready", "notify", "--ready-timeout", "50ms"], "not ready in time"),
        ("exit 3", words!["--ready", "notify"], "exited with status 3 before it was ready"),
        ("kill -9 $$", words!["--ready", "notify"], "killed by SIGKILL (9) before it was ready"),
    ] {
        let sandbox = Sandbox::new();
        for way in background_options() {
            assert_unready(&sandbox.vsrun([way, options.clone(), shell(script)].concat()).finish(), says);
            assert_nothing_left(&sandbox);
        }
        let managed = [words!["-m", "keeper", "-", "-d", "logs", "1"], options, shell(script)].concat();
        assert_unready(&sandbox.vsrun(managed).finish(), says);
        assert_nothing_left(&sandbox);
    }
}

/// A server that ignores SIGTERM is killed.
#[test]
fn a_server_that_is_not_ready_in_time_does_not_stay() {
    let sandbox = Sandbox::new();
    let options =
        words!["-b", "-m", "keeper", "-", "--ready", "fd:3", "--ready-timeout", "50ms", "--stop-timeout", "50ms"];
    let server = words!["--", sandbox.probe(), "ignore", "15", "wait"];
    assert_unready(&sandbox.vsrun([options, server].concat()).finish(), "not ready in time");
    assert_nothing_left(&sandbox);
}

#[test]
fn later_runs_need_not_report_readiness() {
    let sandbox = Sandbox::new();
    let script =
        format!("echo $$ 0 >>{}; [ -e said ] || echo >&3; : >said; exec sleep 1000", sandbox.out("life").display());
    let line = [words!["-b", "-m", "keeper", "-", "--ready", "fd:3", "--ready-timeout", "5"], shell(&script)].concat();
    sandbox.vsrun(line).finish().assert_exited(0);
    sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGKILL);
    let second = await_life(&sandbox.out("life"), 2);
    assert!(!harness::gone(second));
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
    assert_eq!(lives(&sandbox.out("life")).len(), 2);
}

#[test]
fn the_real_systemd_notify() {
    needs!(root(), tool("systemd-notify"));
    let sandbox = Sandbox::new();
    for way in background_options() {
        let script = "echo said >>out/said; systemd-notify --ready; exec sleep 1000";
        sandbox.vsrun([way.clone(), words!["--ready", "notify"], shell(script)].concat()).finish().assert_exited(0);
        assert!(sandbox.out("said").exists());
        sandbox
            .vsrun(words!["--stop", if way.contains(&"-m".into()) { "keeper" } else { "pid" }])
            .finish()
            .assert_exited(0);
        std::fs::remove_file(sandbox.out("said")).unwrap();
    }
}

/// Every user can send to the notify socket, but the kernel reports the user of each sender.
#[test]
fn a_message_of_another_user_does_not_count() {
    needs!(root());
    let (sandbox, other) = (Sandbox::new(), Sandbox::of_user(PLAIN));
    for options in [words!["-m", "keeper", "-"], words!["-b", "-p", "pid"], words!["-u", "12345", "-m", "keeper", "-"]]
    {
        let server = words!["--", sandbox.probe(), "report", sandbox.out("report"), "wait"];
        let options = [options, words!["--ready", "notify", "--ready-timeout", "5"]].concat();
        let caller = sandbox.vsrun([options, server].concat()).start();
        let socket = sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET").unwrap();
        let stranger = other.program(&other.probe(), words!["notify", "READY=1\nMAINPID=1"]);
        stranger.env("NOTIFY_SOCKET", socket).finish().assert_exited(0);
        assert_unready(&caller.finish(), "not ready in time");
        assert_nothing_left(&sandbox);
        std::fs::remove_file(sandbox.out("report")).unwrap();
    }
}

/// `READY=1` may come from a child of the server, as from a shell script that runs systemd-notify. Messages of root
/// always count.
#[test]
fn a_message_of_a_child_or_of_root_counts() {
    let sandbox = Sandbox::new();
    for way in background_options() {
        let stop = if way.contains(&"-m".into()) { "keeper" } else { "pid" };
        let options = words!["--ready", "notify", "--ready-timeout", "10"];
        let script = "./probe notify READY=1; exec sleep 1000";
        sandbox.vsrun([way, options, shell(script)].concat()).finish().assert_exited(0);
        sandbox.vsrun(words!["--stop", stop]).finish().assert_exited(0);
    }
    needs!(root());
    let server = words!["--", sandbox.probe(), "report", sandbox.out("report"), "wait"];
    let options = words!["-b", "-u", "12345", "-m", "keeper", "-", "--ready", "notify", "--ready-timeout", "10"];
    let caller = sandbox.vsrun([options, server].concat()).start();
    let name = sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET").unwrap();
    let address = SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &address).unwrap();
    caller.finish().assert_exited(0);
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
}

/// The test in the role of the service manager: the socket that `$NOTIFY_SOCKET` names.
struct Service(UnixDatagram);

impl Service {
    fn at(path: &Path) -> Self {
        Self::new(UnixDatagram::bind(path).unwrap())
    }

    /// Binds an abstract name, which `$NOTIFY_SOCKET` shows with a leading `@`.
    fn at_name(name: &str) -> Self {
        Self::new(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap())
    }

    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(socket)
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 256];
        let count = harness::receive(&self.0, &mut buffer);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[track_caller]
    fn hears_ready(&self, manager: i32) {
        assert_eq!(self.next(), format!("READY=1\nMAINPID={manager}"));
    }

    /// Expects RELOADING=1, with a monotonic time in microseconds that is not before `since`: systemd ignores a message
    /// that is older than the HUP that it has sent.
    #[track_caller]
    fn hears_reloading(&self, since: u64) {
        let message = self.next();
        let time = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{message:?}"));
        let time: u64 = time.parse().unwrap();
        assert!((since..=sys::monotonic()).contains(&time), "{time} is between {since} and now");
    }

    #[track_caller]
    fn hears_nothing_more(&self) {
        self.0.set_nonblocking(true).unwrap();
        let more = self.0.recv(&mut [0; 256]);
        self.0.set_nonblocking(false).unwrap();
        assert!(more.is_err(), "there is one more message");
    }
}

#[test]
fn a_supervisor_reports_to_the_service_manager_itself() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let service = Service::at(&path);
    let handler = sandbox.script("handler", words!["report", sandbox.out("handled")]);
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "report", sandbox.out("report"), "wait"];
    let manager = sandbox.vsrun([words!["-m", "-", handler], server].concat()).env("NOTIFY_SOCKET", &path).start();
    let ready = format!("READY=1\nMAINPID={}", manager.pid());
    assert_eq!(service.next(), ready);
    assert_eq!(sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET"), None, "the server does not see it");
    sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGSEGV);
    await_life(&sandbox.out("life"), 2);
    assert_eq!(sandbox.report(&sandbox.out("handled")).variable("NOTIFY_SOCKET"), None, "nor does the handler");
    manager.signal(libc::SIGHUP);
    assert!(service.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(service.next(), ready, "a crash says nothing, a restart on request is over");
    manager.signal(libc::SIGTERM);
    assert_eq!(service.next(), "STOPPING=1");
    manager.finish().assert_exited(0);
}

#[test]
fn notify_socket_variable_is_kept_without_a_manager() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let fd = words!["-b", "--ready", "fd:5"];
    for (way, address) in
        [(words![], "@name"), (words![], "/path"), (words![], ""), (words!["-b"], "@name"), (fd, "/path")]
    {
        let line = [way, words!["--", sandbox.probe(), "report", &report, "tell", "5", ""]].concat();
        sandbox.vsrun(line).env("NOTIFY_SOCKET", address).finish().assert_exited(0);
        assert_eq!(sandbox.report(&report).variable("NOTIFY_SOCKET").as_deref(), Some(address));
        std::fs::remove_file(&report).unwrap();
    }
}

/// The message contains the pid of the manager, not of the process that the caller started, and comes only when the
/// server is ready.
#[test]
fn from_the_background_to_an_abstract_name() {
    let sandbox = Sandbox::new();
    let name = harness::unique_name();
    let service = Service::at_name(&name);
    let options = words!["-b", "-m", "keeper", "-", "--ready", "fd:5", "--", sandbox.probe(), "report", "out/report"];
    let line = [options, words!["await", "go", "tell", "5", "", "wait"]].concat();
    let caller = sandbox.vsrun(line).env("NOTIFY_SOCKET", format!("@{name}")).start();
    let found = sandbox.report(&sandbox.out("report"));
    assert_eq!(found.variable("NOTIFY_SOCKET"), None);
    service.hears_nothing_more();
    std::fs::write(sandbox.path("go"), "").unwrap();
    service.hears_ready(found.number("ppid"));
    caller.finish().assert_exited(0);
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
    assert_eq!(service.next(), "STOPPING=1");
    service.hears_nothing_more();
}

/// vsrun is between the two: the server reports to vsrun, and vsrun reports to its service manager.
#[test]
fn servers_notify_socket_differs_from_vsruns() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let service = Service::at(&path);
    let options = words!["-m", "-", "-", "--ready", "notify", "--", sandbox.probe(), "report", "out/report"];
    let line = [options, words!["life", "out/life", "notify", "STATUS=x", "notify", "READY=1", "wait"]].concat();
    let manager = sandbox.vsrun(line).env("NOTIFY_SOCKET", &path).start();
    assert_eq!(service.next(), "STATUS=x");
    service.hears_ready(manager.pid());
    let socket = sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET").unwrap();
    assert!(socket.starts_with('@'), "{socket}");
    for life in 2..5 {
        let since = sys::monotonic();
        manager.signal(libc::SIGHUP);
        service.hears_reloading(since);
        assert_eq!(service.next(), "STATUS=x");
        service.hears_ready(manager.pid());
        await_life(&sandbox.out("life"), life);
    }
    manager.stop().assert_exited(0);
    assert_eq!(service.next(), "STOPPING=1");
    service.hears_nothing_more();
}

/// A restart is over when the new server is ready, not when it is executed.
#[test]
fn a_restart_on_request_ends_for_the_service_manager_too() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let service = Service::at(&path);
    let options = words!["-m", "-", "-", "--ready", "fd:5", "--", sandbox.probe(), "life", "out/life"];
    let line = [options, words!["at", "2", "await", "go", "tell", "5", "", "wait"]].concat();
    let manager = sandbox.vsrun(line).env("NOTIFY_SOCKET", &path).start();
    service.hears_ready(manager.pid());
    manager.signal(libc::SIGHUP);
    service.hears_reloading(0);
    await_life(&sandbox.out("life"), 2);
    service.hears_nothing_more();
    std::fs::write(sandbox.path("go"), "").unwrap();
    service.hears_ready(manager.pid());
    manager.stop().assert_exited(0);
}

#[test]
fn before_the_first_ready_there_is_nothing_to_reload() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let service = Service::at(&path);
    let options = words!["-m", "-", "-", "--ready", "fd:5", "--", sandbox.probe(), "life", "out/life"];
    let line = [options, words!["at", "2", "tell", "5", "", "wait"]].concat();
    let manager = sandbox.vsrun(line).env("NOTIFY_SOCKET", &path).start();
    await_life(&sandbox.out("life"), 1);
    manager.signal(libc::SIGHUP);
    service.hears_ready(manager.pid());
    manager.signal(libc::SIGTERM);
    assert_eq!(service.next(), "STOPPING=1");
    manager.finish().assert_exited(0);
    service.hears_nothing_more();
}

#[test]
fn a_service_manager_that_is_not_there_disturbs_nothing() {
    let sandbox = Sandbox::new();
    let long = format!("/{}", "x".repeat(200));
    for address in ["", "@", "relative", "/no/such/socket", "/dev/null", &long] {
        let line = words!["-m", "-", "-", "--", sandbox.probe(), "report", sandbox.out("report")];
        sandbox.vsrun(line).env("NOTIFY_SOCKET", address).finish().assert_exited(0);
        assert_eq!(sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET"), None, "{address:?}");
        std::fs::remove_file(sandbox.out("report")).unwrap();
    }
}

/// In the background every failure has the same exit status as in the foreground, and one message.
#[test]
fn the_background_reports_the_same() {
    let sandbox = Sandbox::new();
    sandbox.executable("script", b"#!/no/such/interpreter\n");
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
            let front = sandbox.vsrun([stay.clone(), line.clone()].concat()).finish();
            let back = sandbox.vsrun([words!["-b"], stay, line.clone()].concat()).finish();
            back.assert_failed(front.code().unwrap(), &[part]);
            assert_ne!(back.code(), Some(0));
        }
        sandbox.await_nothing_left();
    }
}

/// In the background an unprivileged caller gets the same errors as in the foreground, for example about a locked
/// pidfile, a port in use or a missing permission.
#[test]
fn background_reports_the_errors_of_an_unprivileged_caller() {
    needs!(root());
    let sandbox = Sandbox::plain();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("127.0.0.1:{}", port.local_addr().unwrap().port());
    std::fs::write(sandbox.path("file"), "").unwrap();
    let holder = sandbox.vsrun(words!["-p", "held", "--", sandbox.probe(), "life", "out/life", "wait"]).start();
    await_life(&sandbox.out("life"), 1);
    let table: [(Vec<OsString>, &str); 8] = [
        (words!["-p", "held"], "already running"),
        (words!["-m", "held", "-"], "already running"),
        (words!["-m", "/keeper", "-"], "'/keeper'"),
        (words!["-m", "-", "./missing"], "missing'"),
        (words!["-m", "-", "./file"], "file'"),
        (words!["-u", "12345"], "wrong user"),
        (words!["-d", "/logs", "1"], "/logs"),
        (words!["--listen", &taken], &taken),
    ];
    for (line, part) in table {
        let line = [line, words!["--", "true"]].concat();
        let front = sandbox.vsrun(line.clone()).finish();
        front.assert_failed(125, &[part]);
        let back = sandbox.vsrun([words!["-b"], line].concat()).finish();
        back.assert_failed(125, &[part]);
        assert_eq!(front.complaints(), back.complaints());
    }
    assert!(holder.is_running());
}

/// `vsrun -b` returns when the server is ready, not before.
#[test]
fn background_start_returns_when_the_server_is_ready() {
    for (ready, says) in [("fd:3", words!["tell", "3", ""]), ("notify", words!["notify", "READY=1"])] {
        let sandbox = Sandbox::new();
        for way in background_options() {
            let server = [words!["--", sandbox.probe(), "await", "go"], says.clone(), words!["wait"]].concat();
            let caller = sandbox.vsrun([way, words!["--ready", ready], server].concat()).start();
            await_some("the server's pid", || harness::lines(&sandbox.path("pid")).pop());
            assert!(caller.is_running());
            std::fs::write(sandbox.path("go"), "").unwrap();
            caller.finish().assert_exited(0);
            sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
            std::fs::remove_file(sandbox.path("go")).unwrap();
        }
    }
}

/// The first run under the first manager reports readiness. Every other run writes bytes without a newline until vsrun
/// closes the pipe.
#[test]
fn bytes_without_a_newline_are_not_read_for_ever() {
    needs!(harness::tool("sh"));
    let sandbox = Sandbox::new();
    let closed = sandbox.out("closed");
    let flood = "trap '' PIPE; while printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&4; do :; done; echo closed >>CLOSED; exec sleep 1000";
    let flood = flood.replace("CLOSED", closed.to_str().unwrap());
    let first = format!("if mkdir {}; then echo >&4; kill -KILL $$; fi; {flood}", sandbox.out("first").display());
    let line = |script: &str| words!["-m", "-", "-", "--ready", "fd:4", "--", "/bin/sh", "-c", script];
    let manager = sandbox.vsrun(line(&first)).start();
    harness::await_lines(&closed, 1);
    manager.stop().assert_exited(0);
    let ended = sandbox.vsrun(line(&flood)).finish();
    ended.assert_exited(125);
    assert!(ended.err.iter().any(|line| line.contains("ready descriptor without a newline")), "{ended:?}");
}
