//! The field tests: real servers from Debian's packages under vsrun. `make field` runs them (it sets `FIELD=1`), and
//! `make test` does not.
//!
//! Each server has its own directory and port. nginx and others overwrite their environment, and with it the mark of
//! the sandbox: the tests find these processes as descendants of the manager, and kill them by pid.

mod early;
mod entrypoint_examples;
mod jails;
mod podman;

use crate::harness::rng::Rng;
use crate::harness::{self, ProcessResult, Running, Sandbox, needs, process, sys, words};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time limit of a restart. A restart takes much less, and must not wait for the stop timeout of 30 s.
const RESTART_LIMIT: Duration = Duration::from_secs(15);

/// The time limit of slow steps on a busy machine, such as creating a Postgres database or its recovery after a crash.
const SLOW_STEP_LIMIT: Duration = Duration::from_secs(60);

/// True if `FIELD` is set, the tests run as root and these programs are installed.
fn can_run_field_tests(programs: &[&str]) -> bool {
    if std::env::var_os("FIELD").is_none() {
        return false;
    }
    harness::root() && programs.iter().all(|name| harness::available(program(name).is_some(), name))
}

/// The path of a program. Debian may keep it outside of `PATH` (`postgres`) or append a version to its name
/// (`php-fpm8.2`).
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin").join(name)).collect();
    found.extend(harness::call::PATH.split(':').map(|directory| Path::new(directory).join(name)));
    let versioned = |path: &Path| {
        let names = harness::names(path.parent()?);
        let plain = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let named = names.into_iter().rev().find(|other| other.strip_prefix(name).is_some_and(plain))?;
        Some(path.with_file_name(named))
    };
    found.iter().find_map(|path| if path.is_file() { Some(path.clone()) } else { versioned(path) })
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A server program: how it is run, and how a test finds out that it serves.
struct ServerKind {
    program: &'static str,
    /// The signal that stops it gracefully.
    stop: &'static str,
    options: fn(&Sandbox) -> Vec<OsString>,
    words: fn(&Sandbox, u16) -> Vec<OsString>,
    serves: fn(&Sandbox, u16) -> bool,
}

const NGINX: ServerKind = ServerKind {
    program: "nginx",
    stop: "QUIT",
    options: |_| words![],
    words: |sandbox, port| words!["-e", "stderr", "-c", nginx_settings(sandbox, port, "daemon off;")],
    serves: |_, port| serves_page(port),
};

const APACHE: ServerKind = ServerKind {
    program: "apache2",
    stop: "WINCH",
    options: |_| words![],
    words: |sandbox, port| words!["-DFOREGROUND", "-f", apache_settings(sandbox, port)],
    serves: |_, port| serves_page(port),
};

const POSTGRES: ServerKind = ServerKind {
    program: "postgres",
    stop: "INT",
    options: |_| words!["-u", "nobody"],
    words: |sandbox, port| words!["-D", database(sandbox), "-p", port.to_string(), "-k", sandbox.path("pg"), "-F"],
    serves: |sandbox, port| query(sandbox, port, "select 6*7").out == ["42"],
};

const REDIS: ServerKind = ServerKind {
    program: "redis-server",
    stop: "TERM",
    options: |_| words!["-u", "nobody", "--ready", "notify", "--ready-timeout", "15s"],
    words: |_, port| {
        let line = words!["--port", port.to_string(), "--bind", "127.0.0.1", "--supervised", "systemd"];
        [line, words!["--save", ""]].concat()
    },
    serves: |_, port| first_response_block(port, b"PING\r\n").starts_with(b"+PONG"),
};

const PHP: ServerKind = ServerKind {
    program: "php-fpm",
    stop: "QUIT",
    options: |_| words![],
    words: |sandbox, port| words!["--nodaemonize", "--fpm-config", php_settings(sandbox, port)],
    serves: |_, port| String::from_utf8_lossy(&first_response_block(port, &ping_request())).contains("pong"),
};

fn nginx_settings(sandbox: &Sandbox, port: u16, first: &str) -> PathBuf {
    let at = sandbox.directory().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.map(|name| format!("{name}_temp_path {at}/out/{name};\n")).concat();
    let text = format!(
        "{first}\nuser nobody nogroup;\nworker_processes 2;\npid {at}/nginx.pid;\nevents {{ worker_connections 64; }}
http {{\naccess_log off;\n{temporary}server {{ listen 127.0.0.1:{port}; root {at}/out; }}\n}}\n"
    );
    write_settings(sandbox, "nginx.conf", &text)
}

fn apache_settings(sandbox: &Sandbox, port: u16) -> PathBuf {
    let at = sandbox.directory().display();
    let modules = ["mpm_event", "authz_core"];
    let modules: String =
        modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).concat();
    let text = format!(
        "{modules}ServerRoot {at}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/apache.pid
DefaultRuntimeDir {at}\nUser nobody\nGroup nogroup\nErrorLog /dev/stderr\nStartServers 2\nGracefulShutdownTimeout 2
DocumentRoot {at}/out\n<Directory {at}/out>\nRequire all granted\n</Directory>\n"
    );
    write_settings(sandbox, "apache.conf", &text)
}

fn php_settings(sandbox: &Sandbox, port: u16) -> PathBuf {
    let at = sandbox.directory().display();
    let text = format!(
        "[global]\npid = {at}/php.pid\nerror_log = {at}/php.log\n[www]\nlisten = 127.0.0.1:{port}\nuser = nobody
group = nogroup\npm = static\npm.max_children = 2\nping.path = /ping\n"
    );
    write_settings(sandbox, "php.conf", &text)
}

fn write_settings(sandbox: &Sandbox, name: &str, text: &str) -> PathBuf {
    let path = sandbox.path(name);
    fs::write(&path, text).unwrap();
    fs::write(sandbox.out("index.html"), "the page\n").unwrap();
    path
}

/// The directory of a Postgres database of the user nobody. The first call in a sandbox creates it.
fn database(sandbox: &Sandbox) -> PathBuf {
    let (directory, data) = (sandbox.path("pg"), sandbox.path("pg/data"));
    if !data.exists() {
        fs::create_dir_all(&directory).unwrap();
        chown(&directory, Some(harness::PLAIN), Some(harness::PLAIN)).unwrap();
        let line = words!["-u", "nobody", "-w", &directory, "--", program("initdb").unwrap(), "-D", &data];
        let made = sandbox.vsrun([line, words!["-A", "trust", "-N", "-U", "postgres"]].concat()).start();
        harness::await_within(SLOW_STEP_LIMIT, "a database", || (!made.is_running()).then_some(()));
        made.finish().assert_exited(0);
    }
    data
}

fn query(sandbox: &Sandbox, port: u16, text: &str) -> ProcessResult {
    psql(sandbox, port, text).finish()
}

fn psql<'place>(sandbox: &'place Sandbox, port: u16, text: &str) -> harness::Call<'place> {
    let port = port.to_string();
    let line = words!["-h", sandbox.path("pg"), "-p", port, "-U", "postgres", "-d", "postgres", "-Atq", "-c", text];
    sandbox.program(&program("psql").unwrap(), line)
}

/// The first block of a server's response, at most 4096 bytes. Empty if none arrives within a second.
fn first_response_block(port: u16, request: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut block = [0; 4096];
        if stream.write_all(request).is_ok() {
            // Redis keeps the connection open, so there is no end to read up to.
            found.extend(stream.read(&mut block).map_or(&[][..], |count| &block[..count]));
        }
    }
    found
}

fn serves_page(port: u16) -> bool {
    let mut found = first_response_block(port, b"GET /index.html HTTP/1.0\r\nHost: localhost\r\n\r\n");
    found.truncate(12);
    found.ends_with(b" 200")
}

/// A FastCGI request for `/ping`: the begin record, the parameters, and the empty records that end both streams.
fn ping_request() -> Vec<u8> {
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
    };
    let parameters: Vec<u8> = [("SCRIPT_NAME", "/ping"), ("SCRIPT_FILENAME", "/ping"), ("REQUEST_METHOD", "GET")]
        .iter()
        .flat_map(|(name, value)| {
            let lengths = [name, value].map(|text| u8::try_from(text.len()).unwrap());
            [&lengths[..], name.as_bytes(), value.as_bytes()].concat()
        })
        .collect();
    [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, &parameters), record(4, b""), record(5, b"")].concat()
}

/// A running manager with a server of one kind.
struct Service<'place> {
    sandbox: &'place Sandbox,
    kind: ServerKind,
    port: u16,
    manager: Running,
    /// Every descendant of the manager that was ever seen.
    seen: RefCell<Vec<i32>>,
}

impl<'place> Service<'place> {
    #[track_caller]
    fn start(sandbox: &'place Sandbox, kind: ServerKind, options: Vec<OsString>) -> Self {
        let port = free_port();
        let command = [words!["--", program(kind.program).unwrap()], (kind.words)(sandbox, port)].concat();
        let base =
            words!["-m", sandbox.path("manager.pid"), "-", "-p", sandbox.path("pid"), "--stop-signal", kind.stop];
        let manager = sandbox.vsrun([base, options, (kind.options)(sandbox), command].concat()).start();
        let service = Self { sandbox, kind, port, manager, seen: RefCell::default() };
        service.await_serving(SLOW_STEP_LIMIT);
        service
    }

    #[track_caller]
    fn await_serving(&self, patience: Duration) {
        harness::await_within(patience, &format!("{} that serves", self.kind.program), || {
            assert!(self.manager.is_running(), "the manager has ended: {:?}", self.manager.err());
            (self.kind.serves)(self.sandbox, self.port).then_some(())
        });
        self.record_descendants();
    }

    fn record_descendants(&self) -> Vec<i32> {
        let found = descendants(self.manager.pid());
        self.seen.borrow_mut().extend(&found);
        found
    }

    /// The main process of the server, from the pidfile.
    #[track_caller]
    fn master(&self) -> i32 {
        harness::await_some("a pid", || harness::text(&self.sandbox.path("pid")).trim().parse().ok())
    }

    #[track_caller]
    fn await_other_master(&self, before: i32, patience: Duration) -> i32 {
        harness::await_within(patience, &format!("another {}", self.kind.program), || {
            harness::text(&self.sandbox.path("pid")).trim().parse().ok().filter(|pid| *pid != before)
        })
    }

    fn vsrun(&self, option: &str) -> ProcessResult {
        self.sandbox.vsrun(words![option, self.sandbox.path("manager.pid")]).finish()
    }

    /// Stops the manager with `--stop`, and asserts that none of its descendants is left.
    #[track_caller]
    fn stop(self) -> ProcessResult {
        self.record_descendants();
        self.vsrun("--stop").assert_exited(0);
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        for pid in &seen {
            assert!(process::gone(*pid), "{pid} of {seen:?} is left");
        }
        let Self { manager, kind, sandbox, port, .. } = self;
        let ended = manager.finish();
        ended.assert_exited(0);
        assert!(!(kind.serves)(sandbox, port), "nothing serves any more");
        ended
    }
}

/// When dropped, kills these processes: those of a failed test, and those that a test leaves running on purpose.
struct KillOnDrop<'seen>(&'seen RefCell<Vec<i32>>);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.borrow().iter().filter(|pid| !process::gone(**pid)).for_each(|pid| sys::kill(*pid, libc::SIGKILL));
    }
}

fn descendants(pid: i32) -> Vec<i32> {
    let mut found = process::children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(process::children(*pid));
        next += 1;
    }
    found
}

/// Starts a server, restarts it with SIGHUP, kills its main process, and stops it.
#[track_caller]
fn assert_survives_restart_and_crash(kind: ServerKind) {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, kind, words!["--group", "--linger", "5s"]);
    service.vsrun("--status").assert_exited(0);
    let first = service.master();
    service.manager.signal(libc::SIGHUP);
    let second = service.await_other_master(first, SLOW_STEP_LIMIT);
    service.await_serving(SLOW_STEP_LIMIT);
    assert!(process::gone(first));

    // A killed main process cannot stop its workers. vsrun must, and the restart must not wait long for them.
    let workers: Vec<i32> = service.record_descendants().into_iter().filter(|pid| *pid != second).collect();
    let since = Instant::now();
    sys::kill(second, libc::SIGKILL);
    service.await_other_master(second, RESTART_LIMIT);
    service.await_serving(SLOW_STEP_LIMIT);
    let took = since.elapsed();
    assert!(took < RESTART_LIMIT, "{took:?} for a restart: {:#?}", service.manager.err());
    for worker in workers {
        assert!(process::gone(worker), "{worker} has outlived its master: {:#?}", service.manager.err());
    }
    service.stop();
}

#[test]
fn nginx_survives_hangup_and_crash_and_stops_cleanly() {
    needs!(can_run_field_tests(&["nginx"]));
    assert_survives_restart_and_crash(NGINX);
}

#[test]
fn apache_survives_hangup_and_crash_and_stops_cleanly() {
    needs!(can_run_field_tests(&["apache2"]));
    assert_survives_restart_and_crash(APACHE);
}

#[test]
fn postgres_survives_hangup_and_crash_and_stops_cleanly() {
    needs!(can_run_field_tests(&["postgres", "initdb", "psql"]));
    assert_survives_restart_and_crash(POSTGRES);
}

#[test]
fn redis_survives_hangup_and_crash_and_stops_cleanly() {
    needs!(can_run_field_tests(&["redis-server"]));
    assert_survives_restart_and_crash(REDIS);
}

#[test]
fn php_survives_hangup_and_crash_and_stops_cleanly() {
    needs!(can_run_field_tests(&["php-fpm"]));
    assert_survives_restart_and_crash(PHP);
}

/// A backend leaves the process group of its postmaster, and keeps the shared memory that the next postmaster needs.
#[test]
fn a_backend_in_the_middle_of_a_query_does_not_hold_up_the_restart() {
    needs!(can_run_field_tests(&["postgres", "initdb", "psql"]));
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, POSTGRES, words!["--group", "--linger", "5s"]);
    // The query computes without a pause, so the backend does not notice that the postmaster has died.
    let client = psql(&sandbox, service.port, "do 'begin loop perform 1; end loop; end'").start();
    let busy = "select count(*) from pg_stat_activity where state = 'active' and query like 'do %'";
    harness::await_true("a busy backend", || query(&sandbox, service.port, busy).out == ["1"]);
    let before = service.record_descendants();
    let master = service.master();
    assert!(before.iter().any(|pid| process::group(*pid) != master), "backends have groups of their own");
    sys::kill(master, libc::SIGKILL);
    service.await_other_master(master, RESTART_LIMIT);
    service.await_serving(SLOW_STEP_LIMIT);
    let left: Vec<&i32> = before.iter().filter(|pid| !process::gone(**pid)).collect();
    assert!(left.is_empty(), "{left:?} are left: {:#?}", service.manager.err());
    assert!(client.finish().code() != Some(0), "the query was lost with its backend");
    service.stop();
}

/// Without `--group` and `--linger` the workers keep the port, and each restart fails. vsrun's records name the
/// workers.
#[track_caller]
fn assert_leftovers_are_named(kind: ServerKind) {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, kind, words!["--restart-delay", "200ms"]);
    let seen = RefCell::new(service.record_descendants());
    let ending = KillOnDrop(&seen);
    let master = service.master();
    let workers: Vec<i32> = seen.borrow().iter().copied().filter(|pid| *pid != master).collect();
    assert!(!workers.is_empty());
    sys::kill(master, libc::SIGKILL);
    service.manager.await_err("exited with status 1");
    assert!((service.kind.serves)(&sandbox, service.port), "the workers go on serving");
    service.vsrun("--stop");
    let name = service.kind.program;
    let records = service.manager.finish().err;
    let named = |line: &String| line.contains(name) && workers.iter().any(|pid| line.contains(&pid.to_string()));
    assert!(records.iter().any(named), "one of {workers:?} is named: {records:#?}");
    drop(ending);
}

#[test]
fn the_workers_of_a_killed_nginx_are_named_at_the_exit() {
    needs!(can_run_field_tests(&["nginx"]));
    assert_leftovers_are_named(NGINX);
}

#[test]
fn the_workers_of_a_killed_apache_are_named_at_the_exit() {
    needs!(can_run_field_tests(&["apache2"]));
    assert_leftovers_are_named(APACHE);
}

#[test]
fn a_server_that_puts_itself_into_the_background_gets_a_warning() {
    needs!(can_run_field_tests(&["nginx", "redis-server"]));
    for kind in [NGINX, REDIS] {
        let (sandbox, port) = (Sandbox::new(), free_port());
        let (command, file) = match kind.program {
            "nginx" => (words!["-e", "stderr", "-c", nginx_settings(&sandbox, port, "daemon on;")], "nginx.pid"),
            _ => {
                let line = words!["--port", port.to_string(), "--bind", "127.0.0.1", "--save", ""];
                ([line, words!["--daemonize", "yes", "--pidfile", sandbox.path("redis.pid")]].concat(), "redis.pid")
            }
        };
        let options = words!["-m", "-", "-", "--", program(kind.program).unwrap()];
        let manager = sandbox.vsrun([options, command].concat()).start();
        let itself = || harness::text(&sandbox.path(file)).trim().parse::<i32>().ok();
        let daemon = harness::await_some("a server with a pidfile of its own", itself);
        let seen = RefCell::new([vec![daemon], descendants(daemon)].concat());
        let _ending = KillOnDrop(&seen);
        let records = manager.finish().err;
        let warned = records.iter().any(|line| line.contains("foreground") && line.contains(kind.program));
        assert!(warned, "{}: {records:#?}", kind.program);
    }
}

/// A helper process in a session of its own is not in the server's process group.
#[test]
fn no_helper_is_left_after_56_crashes() {
    needs!(can_run_field_tests(&["setsid", "sh", "sleep"]));
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    let script = format!("echo >>{}; setsid sleep 1000 & sleep 0.01; exit 3", ran.display());
    let options = words!["-m", "-", "-", "--linger", "2s", "--group", "--restart-delay", "0", "--"];
    let manager = sandbox.vsrun([options, words![program("sh").unwrap(), "-c", script]].concat()).start();
    let lives = || fs::metadata(&ran).map_or(0, |about| about.len());
    harness::await_within(SLOW_STEP_LIMIT, "57 lives", || (lives() >= 57).then_some(()));
    // The processes of the current life only: the server's shell, its helper and a short sleep.
    let left = descendants(manager.pid());
    assert!(left.len() <= 4, "{} processes after {} crashes", left.len(), lives() - 1);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

// ------------------------------------------------------------------------------------------------------------------
// logrotate and the files of --logdir.

/// Forces a rotation of the log files that match `pattern`, with `lines` as logrotate's settings.
#[track_caller]
fn logrotate(sandbox: &Sandbox, pattern: &str, lines: &str) {
    let settings = sandbox.path("logrotate.conf");
    // logrotate refuses settings that other users than root can write to. The sandbox's directory is root's.
    fs::write(&settings, format!("{} {{\n{lines}\n}}\n", sandbox.path("logs").join(pattern).display())).unwrap();
    sys::set_mode(&settings, 0o644);
    let line = words!["--force", "--state", sandbox.path("logrotate.state"), settings];
    sandbox.program(&program("logrotate").unwrap(), line).finish().assert_exited(0);
}

/// The lines of all files whose names begin with `name`, sorted.
fn all_lines(logs: &Path, name: &str) -> Vec<String> {
    let files = harness::names(logs).into_iter().filter(|file| file.starts_with(name));
    let mut lines: Vec<String> = files.flat_map(|file| harness::lines(&logs.join(file))).collect();
    lines.sort();
    lines
}

/// vsrun reopens vsrun.log after a rotation. No record is lost, whatever name logrotate gives the old file.
#[test]
fn logrotate_renames_the_records_and_none_is_lost() {
    needs!(can_run_field_tests(&["logrotate"]));
    for (naming, rotated) in [("dateext\ndateformat -%Y%m%d-", "vsrun.log-"), ("nodateext\n#", "vsrun.log.")] {
        let sandbox = Sandbox::new();
        let logs = sandbox.path("logs");
        fs::create_dir(&logs).unwrap();
        let options = words!["-m", sandbox.path("m"), "-", "-d", &logs, "4w", "--on-signal", "USR1=reopen"];
        let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
        let manager = sandbox.vsrun([options, server].concat()).start();
        let reopen = format!(
            "postrotate\n{} --signal USR1 {}\nendscript",
            sandbox.path("vsrun").display(),
            sandbox.path("m").display()
        );
        let mut server = harness::await_life(&sandbox.out("life"), 1);
        for round in 1..=5 {
            logrotate(&sandbox, "vsrun.log", &format!("rotate 100\ncreate\n{naming}{round}\n{reopen}"));
            let reopened = || all_lines(&logs, "vsrun.log").iter().filter(|line| line.contains("reopened")).count();
            harness::await_true("a file that was opened again", || reopened() == round);
            // A crash, whose record must be in the new file.
            sys::kill(server, libc::SIGKILL);
            server = harness::await_life(&sandbox.out("life"), round + 1);
            harness::await_true("the record of it", || harness::text(&logs.join("vsrun.log")).contains("started: pid"));
        }
        manager.stop().assert_exited(0);
        let records = all_lines(&logs, "vsrun.log");
        let count = |part: &str| records.iter().filter(|line| line.contains(part)).count();
        let found = ["starting: ", "started: pid", "reopened: ", "shutdown of vsrun: "].map(count);
        assert_eq!(found, [1, 6, 5, 1], "{naming}: {records:#?}");
        let renamed = harness::names(&logs).iter().filter(|name| name.starts_with(rotated)).count();
        assert_eq!(renamed, 5, "{:?}", harness::names(&logs));
    }
}

/// logrotate may copy and truncate the server's log file: it is open for appending, so the server writes at its new
/// end.
#[test]
fn no_line_is_lost_if_logrotate_copies_and_truncates_the_logfile() {
    needs!(can_run_field_tests(&["logrotate"]));
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    let gate = |round: usize| sandbox.out(&format!("gate{round}"));
    let mut script = words!["-m", sandbox.path("m"), "-", "-d", &logs, "4w", "--", sandbox.probe()];
    for round in 0..4 {
        script.extend(words!["lines", format!("{}", round * 10 + 1), format!("{}", round * 10 + 10)]);
        script.extend(words!["await", gate(round)]);
    }
    let manager = sandbox.vsrun([script, words!["wait"]].concat()).start();
    for round in 0..4 {
        harness::await_true("ten lines", || all_lines(&logs, "logfile").len() == round * 10 + 10);
        logrotate(&sandbox, "logfile", &format!("rotate 100\ncopytruncate\ndateext\ndateformat -%Y%m%d-{round}"));
        fs::write(gate(round), "").unwrap();
    }
    manager.stop().assert_exited(0);
    let mut wanted: Vec<String> = (1..=40).map(|number| format!("line {number}")).collect();
    wanted.sort();
    assert_eq!(all_lines(&logs, "logfile"), wanted);
    let text = fs::read(logs.join("logfile")).unwrap();
    assert!(!text.contains(&0), "no hole at its beginning");
}

/// With `--log-size` the log writer process has the server's log file open, and reopens it.
#[test]
fn logrotate_renames_the_file_of_the_log_writer_and_nothing_is_lost() {
    needs!(can_run_field_tests(&["logrotate"]));
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    let gate = |round: usize| sandbox.out(&format!("gate{round}"));
    let options = words!["-d", &logs, "4w", "--log-size", "1M", "--on-signal", "USR1=reopen", "--", sandbox.probe()];
    let mut script = [words!["-m", sandbox.path("m"), "-"], options].concat();
    for round in 0..4 {
        script.extend(words!["lines", format!("{}", round * 10 + 1), format!("{}", round * 10 + 10)]);
        script.extend(words!["await", gate(round)]);
    }
    let manager = sandbox.vsrun([script, words!["wait"]].concat()).start();
    let signal = format!("{} --signal USR1 {}", sandbox.path("vsrun").display(), sandbox.path("m").display());
    for round in 0..4 {
        harness::await_true("ten lines", || all_lines(&logs, "logfile").len() == round * 10 + 10);
        let naming = format!("rotate 100\nnocreate\ndateext\ndateformat -%Y%m%d-{round}");
        logrotate(&sandbox, "logfile", &format!("{naming}\npostrotate\n{signal}\nendscript"));
        harness::await_file(&logs.join("logfile"));
        assert_eq!(fs::metadata(logs.join("logfile")).unwrap().len(), 0);
        fs::write(gate(round), "").unwrap();
    }
    manager.stop().assert_exited(0);
    let mut wanted: Vec<String> = (1..=40).map(|number| format!("line {number}")).collect();
    wanted.sort();
    assert_eq!(all_lines(&logs, "logfile"), wanted);
    assert_eq!(harness::names(&logs).iter().filter(|name| name.starts_with("logfile-")).count(), 4);
}

/// Without dates, logrotate numbers its newest file 1, and vsrun its oldest. No file is lost as long as vsrun does not
/// limit their number, and a warning is recorded. With --log-files the newest file would be deleted first.
#[test]
fn logrotate_without_dates_causes_a_warning_and_no_lost_file() {
    needs!(can_run_field_tests(&["logrotate"]));
    for size in [words![], words!["--log-size", "1M"]] {
        let sandbox = Sandbox::new();
        let logs = sandbox.path("logs");
        fs::create_dir(&logs).unwrap();
        let options =
            [words!["-m", sandbox.path("m"), "-", "-d", &logs, "4w", "--on-signal", "USR1=reopen"], size].concat();
        let life = sandbox.out("life");
        let mut script = words!["--", sandbox.probe(), "life", &life];
        for run in 1..=4 {
            script.extend(words!["at", run.to_string(), "print", format!("run {run}")]);
        }
        let manager = sandbox.vsrun([options.clone(), script, words!["wait"]].concat()).start();
        let signal = format!("{} --signal USR1 {}", sandbox.path("vsrun").display(), sandbox.path("m").display());
        for run in 1..=3 {
            harness::await_life(&life, run);
            harness::await_true("its line", || all_lines(&logs, "logfile").len() == run);
            // vsrun compares modification times in whole seconds, so each file gets another one.
            sys::set_modified(&logs.join("logfile"), 2_000_000_000 + i64::try_from(run).unwrap());
            logrotate(&sandbox, "logfile", &format!("rotate 100\nnocreate\npostrotate\n{signal}\nendscript"));
            manager.signal(libc::SIGHUP);
        }
        harness::await_life(&life, 4);
        harness::await_true("its line", || all_lines(&logs, "logfile").len() == 4);
        let texts: Vec<String> = (1..=3).map(|number| harness::text(&logs.join(format!("logfile.{number}")))).collect();
        assert_eq!(texts, ["run 3\n", "run 2\n", "run 1\n"], "{options:?}: the numbers are logrotate's");
        let records = all_lines(&logs, "vsrun.log");
        let warnings = records.iter().filter(|line| line.contains("another program has renamed logfile to logfile.1"));
        assert!(warnings.count() >= 1, "{options:?}: {records:#?}");
        manager.stop().assert_exited(0);
    }
}

/// vsrun does not touch the files that logrotate has named by date, and goes on with its own numbers.
#[test]
fn vsrun_and_logrotate_overwrite_no_log_file_of_each_other() {
    needs!(can_run_field_tests(&["logrotate"]));
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    let options = words!["-m", "-", "-", "-d", &logs, "4w", "--"];
    let server = words![sandbox.probe(), "life", sandbox.out("life"), "print", "alive", "wait"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    for round in 1..=3 {
        harness::await_life(&sandbox.out("life"), round);
        harness::await_true("its line", || all_lines(&logs, "logfile").len() == round);
        // The name that logrotate makes with `dateformat .%Y%m%d`: digits after a dot, as in vsrun's own names.
        logrotate(&sandbox, "logfile", &format!("rotate 100\ncopytruncate\ndateext\ndateformat .2026110{round}"));
        manager.signal(libc::SIGHUP);
    }
    harness::await_life(&sandbox.out("life"), 4);
    harness::await_true("its line", || all_lines(&logs, "logfile").len() == 4);
    manager.stop().assert_exited(0);
    let names: Vec<String> = harness::names(&logs).into_iter().filter(|name| name.starts_with("logfile")).collect();
    let dates = ["logfile.20261101", "logfile.20261102", "logfile.20261103"];
    assert_eq!(
        names,
        [&["logfile", "logfile.1"][..], &["logfile.2"], &dates[..2], &dates[2..], &["logfile.3"]].concat()
    );
}

// ------------------------------------------------------------------------------------------------------------------
// The soak test.

/// A Python server on the listening socket 3. After SIGTERM it completes the requests that it has accepted, and exits.
const ASYNCIO: &str = "
import asyncio, os, signal, socket

async def serve(reader, writer):
    await reader.readline()
    await asyncio.sleep(0.002)
    writer.write(b'%d\\n' % os.getpid())
    await writer.drain()
    writer.close()

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.socket(fileno=3)
    tasks = set()
    def begin(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    server = await asyncio.start_server(begin, sock=listener)
    await stop.wait()
    # What was accepted is answered; what was not stays in the queue of the socket, for the next server.
    asyncio.get_running_loop().remove_reader(listener.fileno())
    await asyncio.sleep(0.01)
    while tasks:
        await asyncio.wait(tasks)
    os._exit(0)

asyncio.run(main())
";

/// How long the soak test runs: `FIELD_SECONDS`, or 20 s.
fn soak_time() -> Duration {
    let seconds = std::env::var("FIELD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    Duration::from_secs(seconds)
}

#[test]
fn no_connection_is_refused_during_kills_and_restarts() {
    needs!(can_run_field_tests(&["nginx", "redis-server", "python3"]));
    let seed = std::env::var("SOAK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    eprintln!("SOAK_SEED={seed}");
    let mut rng = Rng::new(seed);
    let sandboxes = [Sandbox::new(), Sandbox::new(), Sandbox::new()];
    let quick = || words!["--restart-delay", "0", "--group", "--linger", "5s"];
    let nginx = Service::start(&sandboxes[0], NGINX, quick());
    let redis = Service::start(&sandboxes[1], REDIS, quick());
    let port = free_port();
    let sandbox = &sandboxes[2];
    let line = words!["-m", "-", "-", "-p", sandbox.path("pid"), "--listen", format!("127.0.0.1:{port}")];
    let python = words!["--", program("python3").unwrap(), "-u", "-c", ASYNCIO];
    let manager = sandbox.vsrun([line, quick(), python].concat()).start();
    let master = || harness::text(&sandbox.path("pid")).trim().parse::<i32>().ok();
    // Until vsrun has bound the socket for the first time, connections are refused.
    harness::await_true("the socket", || TcpStream::connect(("127.0.0.1", port)).is_ok());

    let over = AtomicBool::new(false);
    let [answered, lost, refused] = [const { AtomicU64::new(0) }; 3];
    let kills = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    count_one_call(port, &answered, &lost, &refused);
                }
            });
        }
        let since = Instant::now();
        let mut kills = 0;
        while since.elapsed() < soak_time() {
            for service in [&nginx, &redis] {
                match rng.below(8) {
                    0 => sys::kill(service.master(), libc::SIGKILL),
                    1 => service.manager.signal(libc::SIGHUP),
                    _ => {}
                }
            }
            match (rng.below(4), master()) {
                (0, Some(pid)) => {
                    kills += 1;
                    sys::kill(pid, libc::SIGKILL);
                }
                (1, _) => manager.signal(libc::SIGHUP),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(100 + rng.below(400) as u64));
        }
        over.store(true, Ordering::Relaxed);
        kills
    });
    let [answered, lost, refused] = [&answered, &lost, &refused].map(|count| count.load(Ordering::Relaxed));
    eprintln!("{answered} calls answered, {lost} lost with one of {kills} killed servers, {refused} refused");
    assert_eq!(refused, 0, "no connection is refused, ever");
    // Each of the four clients has one call at a time: a kill loses at most one call of each, a restart loses none.
    assert!(lost <= kills * 4, "{lost} calls lost by {kills} kills");
    assert!(answered > 100, "{answered}");
    for service in [nginx, redis] {
        service.await_serving(SLOW_STEP_LIMIT);
        service.stop();
    }
    manager.stop().assert_exited(0);
    for sandbox in &sandboxes {
        sandbox.await_nothing_left();
    }
}

/// Makes one call of the Python server, which may be slow but must answer, and counts how it ended.
fn count_one_call(port: u16, answered: &AtomicU64, lost: &AtomicU64, refused: &AtomicU64) {
    let counter = match TcpStream::connect(("127.0.0.1", port)) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
        Err(error) => {
            eprintln!("not connected: {error}");
            refused
        }
        Ok(mut stream) => {
            stream.set_read_timeout(Some(SLOW_STEP_LIMIT)).unwrap();
            let mut text = String::new();
            let done = stream.write_all(b"hello\n").and_then(|()| stream.read_to_string(&mut text));
            if done.is_ok() && text.ends_with('\n') { answered } else { lost }
        }
    };
    counter.fetch_add(1, Ordering::Relaxed);
}
