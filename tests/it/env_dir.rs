//! `--env-dir` is read again at each restart that is requested, but not at a restart after a crash.

use crate::harness::{self, Report, Running, Sandbox, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// A managed server that reports its environment in each run.
struct Server<'a> {
    sandbox: &'a Sandbox,
    manager: Running,
    runs: usize,
}

impl<'a> Server<'a> {
    fn start(sandbox: &'a Sandbox, options: Vec<OsString>) -> Self {
        fs::create_dir_all(sandbox.path("env")).unwrap();
        let (report, life) = (sandbox.out("report"), sandbox.out("life"));
        let line = words!["-m", "-", "-", "--env-dir", "env", "--restart-delay", "0"];
        let command = words!["--", sandbox.probe(), "report", report, "life", life, "wait"];
        Self { sandbox, manager: sandbox.vsrun([line, options, command].concat()).start(), runs: 0 }
    }

    /// Waits for the next run of the server and returns its report.
    #[track_caller]
    fn report(&mut self) -> Report {
        self.runs += 1;
        harness::await_life(&self.sandbox.out("life"), self.runs);
        let found = self.sandbox.report(&self.sandbox.out("report"));
        fs::remove_file(self.sandbox.out("report")).unwrap();
        found
    }

    #[track_caller]
    fn restart(&mut self) -> Report {
        self.manager.signal(libc::SIGHUP);
        self.report()
    }

    fn crash(&mut self) -> Report {
        sys::kill(process::children(self.manager.pid())[0], libc::SIGKILL);
        self.report()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.sandbox.path("env").join(name)
    }
}

fn value(report: &Report, name: &str) -> Option<String> {
    report.variable(name)
}

#[test]
fn a_restart_by_request_reads_it_again_and_a_crash_does_not() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("env")).unwrap();
    fs::write(sandbox.path("env/A"), "1").unwrap();
    fs::write(sandbox.path("env/GONE"), "1").unwrap();
    fs::write(sandbox.path("env/OWN"), "file").unwrap();
    let mut server = Server::start(&sandbox, words!["-e", "OWN=option"]);
    let first = server.report();
    let is = |report: &Report, wanted: [Option<&str>; 4]| {
        for (name, wanted) in ["A", "GONE", "NEW", "OWN"].into_iter().zip(wanted) {
            assert_eq!(value(report, name).as_deref(), wanted, "{name}");
        }
    };
    is(&first, [Some("1"), Some("1"), None, Some("option")]);
    fs::write(server.file("A"), "2").unwrap();
    fs::write(server.file("NEW"), "x".repeat(100_000)).unwrap();
    fs::write(server.file("OWN"), "other").unwrap();
    fs::remove_file(server.file("GONE")).unwrap();
    is(&server.crash(), [Some("1"), Some("1"), None, Some("option")]);
    let long = "x".repeat(100_000);
    is(&server.restart(), [Some("2"), None, Some(&long), Some("option")]);
    is(&server.crash(), [Some("2"), None, Some(&long), Some("option")]);
    fs::write(server.file("A"), "").unwrap();
    fs::write(server.file("NEW"), "short").unwrap();
    is(&server.restart(), [None, None, Some("short"), Some("option")]);
    server.manager.stop().assert_exited(0);
}

#[test]
fn a_set_that_cannot_be_read_is_recorded_and_the_previous_one_stays() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("env")).unwrap();
    fs::write(sandbox.path("env/A"), "1").unwrap();
    let mut server = Server::start(&sandbox, words![]);
    assert_eq!(value(&server.report(), "A").as_deref(), Some("1"));
    fs::write(server.file("A"), "2").unwrap();
    sys::make_fifo(server.file("F").as_os_str()).unwrap();
    assert_eq!(value(&server.restart(), "A").as_deref(), Some("1"), "not half of a set");
    server.manager.await_err("env/F': a variable is a regular file");
    server.manager.await_err("the server keeps its previous environment variables");
    fs::remove_file(server.file("F")).unwrap();
    for number in 0..30 {
        fs::write(server.file(&format!("LONG{number}")), "x".repeat(100_000)).unwrap();
    }
    assert_eq!(value(&server.restart(), "A").as_deref(), Some("1"), "more than an environment can be");
    server.manager.await_err("they are larger than an environment can be");
    fs::remove_dir_all(sandbox.path("env")).unwrap();
    assert_eq!(value(&server.restart(), "A").as_deref(), Some("1"));
    server.manager.await_err("--env-dir 'env': No such file");
    fs::create_dir_all(sandbox.path("env")).unwrap();
    fs::write(sandbox.path("env/A"), "3").unwrap();
    assert_eq!(value(&server.restart(), "A").as_deref(), Some("3"));
    server.manager.stop().assert_exited(0);
}

#[test]
fn variables_of_vsruns_own_stay_and_name_the_new_process() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("env")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Server::start(&sandbox, words!["--listen", format!("127.0.0.1:{port}")]);
    let first = server.report();
    fs::write(server.file("LISTEN_FDS"), "9").unwrap();
    fs::write(server.file("LISTEN_PID"), "9").unwrap();
    fs::write(server.file("B"), "2").unwrap();
    let second = server.restart();
    assert_eq!(value(&second, "B").as_deref(), Some("2"));
    assert_eq!(value(&second, "LISTEN_FDS"), value(&first, "LISTEN_FDS"));
    assert_eq!(value(&second, "LISTEN_PID"), Some(second.number("pid").to_string()));
    server.manager.stop().assert_exited(0);
}

#[test]
fn rereading_env_dir_does_not_grow_the_manager() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("env")).unwrap();
    let mut server = Server::start(&sandbox, words![]);
    server.report();
    let mut sizes = Vec::new();
    for round in 0..12 {
        fs::write(server.file("A"), format!("{round}").repeat(5000)).unwrap();
        server.restart();
        sizes.push(process::status(server.manager.pid(), "VmSize"));
    }
    assert_eq!(sizes[2], sizes[11], "{sizes:?}");
    server.manager.stop().assert_exited(0);
}

#[test]
fn variable_may_be_as_long_as_the_kernel_allows() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("env")).unwrap();
    // The kernel's MAX_ARG_STRLEN is 131,072 bytes, which include `A=` and the final NUL.
    for (length, code) in [(131_072 - 3, 0), (131_072 - 2, 125)] {
        fs::write(sandbox.path("env/A"), "x".repeat(length)).unwrap();
        let ended = sandbox.vsrun(words!["--env-dir", "env", "--", sandbox.probe()]).finish();
        assert_eq!(ended.code(), Some(code), "{ended:?}");
    }
}
