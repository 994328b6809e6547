//! Long runs: many managers with many restarts, signals, starts and stops, a wall clock that jumps, and a full disk. No
//! output is lost, and no manager leaks memory or descriptors.
//!
//! `cargo test` runs a short version; `make soak` runs the long one (`SOAK=long`). `$SOAK_SEED` is the seed of all
//! random numbers.

use crate::harness::rng::Rng;
use crate::harness::tracer::{self, TraceState};
use crate::harness::{self, Mount, Mounts, Running, Sandbox, needs, process, sys, words};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time limit of a wait, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns `long` if `SOAK=long` is set, otherwise `short`.
fn count_for_run_length(short: usize, long: usize) -> usize {
    if std::env::var("SOAK").is_ok_and(|value| value == "long") { long } else { short }
}

/// Returns a generator of random numbers for the test of this number. `$SOAK_SEED` decides the numbers.
fn rng(test: u64) -> Rng {
    let seed = std::env::var("SOAK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    eprintln!("SOAK_SEED={seed}");
    Rng::new(seed * 100 + test)
}

/// The resources of a process that must not grow: its open descriptors, and its anonymous memory in kB.
#[derive(Debug)]
struct ResourceUsage {
    descriptors: Vec<String>,
    memory: u64,
}

impl ResourceUsage {
    fn of(pid: i32) -> Self {
        // Only kinds and paths are compared: descriptor numbers change with each rotation, and so do the inodes of
        // pipes.
        let kind = |(_, target): (i32, String)| target.split([':', ' ']).next().unwrap().to_owned();
        let mut descriptors: Vec<String> = process::descriptors(pid).into_iter().map(kind).collect();
        descriptors.sort();
        let smaps = harness::text(Path::new(&format!("/proc/{pid}/smaps_rollup")));
        let line = smaps.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        Self { descriptors, memory: line.split_whitespace().next().unwrap().parse().unwrap() }
    }

    /// Waits until a manager is idle: it sleeps, and its open descriptors stay the same for 50 ms. Returns its size.
    #[track_caller]
    fn await_idle(pid: i32) -> Self {
        harness::await_some("a manager at rest", || {
            let before = Self::of(pid);
            std::thread::sleep(Duration::from_millis(50));
            let after = Self::of(pid);
            (before.descriptors == after.descriptors && process::state(pid) == "S").then_some(after)
        })
    }

    /// Waits until the process has the same descriptors as before, and at most two more pages of memory (8 kB): a rare
    /// event may touch one page of the stack and one of the data for the first time. A leak in each event would be
    /// larger by now.
    #[track_caller]
    fn await_not_exceeded_by(&self, pid: i32) {
        let mut found = Self::of(pid);
        let since = Instant::now();
        while found.descriptors != self.descriptors || found.memory > self.memory + 8 {
            assert!(since.elapsed() < PATIENCE, "{found:?} in place of {self:?}");
            std::thread::sleep(Duration::from_millis(10));
            found = Self::of(pid);
        }
    }
}

#[track_caller]
fn await_file_length(what: &str, file: &Path, count: usize) {
    let length = || fs::metadata(file).map_or(0, |about| about.len());
    harness::await_within(PATIENCE * 10, what, || (length() >= count as u64).then_some(()));
}

/// Waits until the start of this server is in the log: after that the manager has nothing more to do for it.
#[track_caller]
fn await_started(logs: &Path, server: i32) {
    let record = format!("started: pid {server}\n");
    harness::await_within(PATIENCE, &record, || {
        let mut files = harness::names(logs).into_iter().filter(|name| name.starts_with("vsrun.log"));
        files.any(|name| harness::text(&logs.join(name)).contains(&record)).then_some(())
    });
}

/// Returns the lines of the server's output from all files of a logdir, the oldest first.
fn logged(logs: &Path) -> Vec<String> {
    let number = |name: &str| name.strip_prefix("logfile.").map_or(Some(usize::MAX), |number| number.parse().ok());
    let mut files: Vec<(usize, PathBuf)> = harness::names(logs)
        .iter()
        .filter(|name| name.starts_with("logfile"))
        .filter_map(|name| Some((number(name)?, logs.join(name))))
        .collect();
    files.sort();
    files.iter().flat_map(|(_, path)| harness::lines(path)).collect()
}

#[test]
fn one_server_is_restarted_again_and_again() {
    let sandbox = Sandbox::new();
    let (count, life) = (count_for_run_length(2000, 10_000), sandbox.out("life"));
    // In these two lives the server waits for its gate file while the size of its manager is measured.
    let gates = [count / 10, count].map(|number| (number, sandbox.out(&format!("gate {number}"))));
    let handler = sandbox.script("handler", words!["exit", "0"]);
    let options =
        words!["-p", "pid", "-m", "monitor", handler, "--restart-delay", "0", "-d", sandbox.path("logs"), "1w"];
    let mut actions = words!["--", sandbox.probe(), "print", "hello", "life", &life];
    for (number, gate) in &gates {
        actions.extend(words!["at", number.to_string(), "await", gate]);
    }
    let manager = sandbox.vsrun([options, actions, words!["exit", "3"]].concat()).start();
    let sizes = gates.map(|(number, gate)| {
        harness::await_within(PATIENCE * 10, &format!("life {number}"), || {
            (harness::lines(&life).len() >= number).then_some(())
        });
        await_started(&sandbox.path("logs"), harness::await_life(&life, number));
        let size = ResourceUsage::await_idle(manager.pid());
        if number < count {
            fs::write(gate, "").unwrap();
        }
        size
    });
    sizes[0].await_not_exceeded_by(manager.pid());
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
    let lives = harness::lines(&life).len();
    assert_eq!(lives, count, "no restart after the stop");
    assert_eq!(logged(&sandbox.path("logs")).len(), lives, "lines, and lives");
    let reported =
        harness::lines(&sandbox.path("logs/vsrun.log")).iter().filter(|line| line.contains("started: pid")).count();
    assert_eq!(reported, lives, "records, and lives");
    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
}

/// The kernel merges pending standard signals of one number, but queues each real-time signal (34 to 64).
#[test]
fn every_one_of_many_signals_arrives() {
    let mut rng = rng(2);
    let sandbox = Sandbox::new();
    let (count, heard) = (count_for_run_length(10_000, 100_000), sandbox.out("heard"));
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "signals", &heard, "15"];
    let manager = sandbox.vsrun(line).stderr(fs::File::options().write(true).open("/dev/null").unwrap()).start();
    harness::await_lines(&heard, 1);
    let begun = ResourceUsage::await_idle(manager.pid());
    let mut sent = [0_usize; 65];
    let mut length = "ready\n".len();
    for at in 1..=count {
        // Signals 35 to 64: each is a line of two digits and a newline.
        let signal = 35 + rng.below(30);
        sent[signal] += 1;
        length += 3;
        manager.signal(i32::try_from(signal).unwrap());
        if at % 500 == 0 || at == count {
            await_file_length("the signals so far", &heard, length);
        }
    }
    begun.await_not_exceeded_by(manager.pid());
    manager.stop().assert_exited(0);
    let mut found = [0; 65];
    harness::lines(&heard).iter().filter_map(|line| line.parse::<usize>().ok()).for_each(|signal| found[signal] += 1);
    found[15] = 0;
    assert_eq!(found, sent);
}

#[test]
fn background_starts_and_stops_leave_no_process_and_no_pidfile() {
    let mut rng = rng(3);
    let sandbox = Sandbox::new();
    for round in 0..count_for_run_length(200, 1000) {
        let managed = rng.below(2) == 0;
        let options = if managed { words!["-m", "monitor", "-"] } else { words![] };
        let lived = sandbox.out("lived");
        let line = [words!["-b", "-p", "pid"], options, words!["--", sandbox.probe(), "life", &lived, "wait"]].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        let pid = harness::await_life(&lived, 1);
        assert_eq!(harness::text(&sandbox.path("pid")), format!("{pid}\n"), "round {round}");
        sandbox.vsrun(words!["--status", "pid"]).finish().assert_exited(0);
        let other = if managed && rng.below(2) == 0 { "monitor" } else { "pid" };
        sandbox.vsrun(words!["--stop", other]).finish().assert_exited(0).assert_silent();
        sandbox.await_nothing_left();
        assert!(!managed || !sandbox.path("pid").exists() && !sandbox.path("monitor").exists(), "round {round}");
        fs::remove_file(&lived).unwrap();
    }
}

/// One of many managers, with its sandbox and its size after the first restarts.
struct ManagerUnderTest {
    sandbox: Sandbox,
    manager: Option<Running>,
    begun: ResourceUsage,
}

impl ManagerUnderTest {
    /// Starts a manager. In each life its server prints 40 lines, appends `x` to `done` and waits for a signal.
    fn start(number: usize) -> Self {
        let sandbox = Sandbox::new();
        let (life, done) = (sandbox.out("life"), sandbox.out("done"));
        let logs = words!["-d", sandbox.path("logs"), "1w"];
        let rotated = if number.is_multiple_of(2) { words!["--log-size", "1k"] } else { words![] };
        let options = words!["-p", "pid", "-m", "monitor", "-", "--restart-delay", "0"];
        let actions = words!["--", sandbox.probe(), "life", &life, "lines", "1", "40", "append", &done, "x", "wait"];
        let manager = sandbox.vsrun([options, logs, rotated, actions].concat()).start();
        // Each kind of restart (after a crash, on request) happens once before the size is measured.
        for lives in 1..=3 {
            harness::await_within(PATIENCE, "the first lives", || (harness::lines(&done).len() >= lives).then_some(()));
            match lives {
                1 => sys::kill(harness::lives(&life)[0].0, libc::SIGKILL),
                2 => manager.signal(libc::SIGHUP),
                _ => await_started(&sandbox.path("logs"), harness::await_life(&life, lives)),
            }
        }
        let begun = ResourceUsage::await_idle(manager.pid());
        Self { sandbox, manager: Some(manager), begun }
    }

    fn pid(&self) -> i32 {
        self.manager.as_ref().unwrap().pid()
    }

    /// Requests a restart, or kills the server with SIGSEGV or SIGKILL, at random.
    fn disturb(&self, rng: &mut Rng) {
        let Some((server, _)) = harness::lives(&self.sandbox.out("life")).last().copied() else { return };
        // The pid may belong to another process by now, unless it is a child of the manager.
        let server = (!process::gone(server) && process::parent(server) == self.pid()).then_some(server);
        match (rng.below(4), server) {
            (0, _) => sys::kill(self.pid(), libc::SIGHUP),
            (1, Some(server)) => sys::kill(server, libc::SIGSEGV),
            (_, Some(server)) => sys::kill(server, libc::SIGKILL),
            (_, None) => {}
        }
    }

    /// Checks the size of the manager, stops it, and checks its pidfiles and the output of its servers.
    fn finish(&mut self) {
        self.begun.await_not_exceeded_by(self.pid());
        self.manager.take().unwrap().stop().assert_exited(0);
        self.sandbox.await_nothing_left();
        assert!(!self.sandbox.path("pid").exists() && !self.sandbox.path("monitor").exists());
        let (lives, done) =
            (harness::lives(&self.sandbox.out("life")).len(), harness::lines(&self.sandbox.out("done")).len());
        let (mut begun, mut whole, mut last) = (0, 0, 0);
        for line in logged(&self.sandbox.path("logs")) {
            let number: usize = line.strip_prefix("line ").unwrap().parse().unwrap();
            assert!(number == 1 || number == last + 1, "{number} after {last}");
            (begun, whole, last) = (begun + usize::from(number == 1), whole + usize::from(number == 40), number);
        }
        assert!(begun <= lives && whole >= done, "{begun} of {lives} lives, {whole} whole ones where {done} said so");
    }
}

#[test]
fn many_managers_of_servers_that_crash_lose_nothing_and_do_not_grow() {
    let mut rng = rng(4);
    let count = count_for_run_length(40, 200);
    let mut all: Vec<ManagerUnderTest> = (0..count).map(ManagerUnderTest::start).collect();
    for _ in 0..count_for_run_length(20, 100) * count {
        all[rng.below(count)].disturb(&mut rng);
        std::thread::sleep(Duration::from_millis(1));
    }
    all.iter_mut().for_each(ManagerUnderTest::finish);
}

/// All processes share the machine's clock, so a tracer changes only the time that vsrun reads.
#[test]
fn restarts_and_records_continue_although_the_clock_jumps() {
    needs!(harness::root(), tracer::can_trace());
    let mut rng = rng(5);
    let sandbox = Sandbox::new();
    let (life, logs) = (sandbox.out("life"), sandbox.path("logs"));
    let options = words!["-m", "-", "-", "--restart-delay", "10ms:20ms", "-d", &logs, "52w"];
    let call = sandbox.vsrun([options, words!["--", sandbox.probe(), "life", &life, "print", "x", "wait"]].concat());
    let watched = TraceState::default();
    let trace = std::thread::scope(|scope| {
        let tracing = scope.spawn(|| tracer::trace(call, &sandbox.path("vsrun"), None, &watched));
        let mut lives = 1;
        let mut begun = None;
        for round in 0..count_for_run_length(150, 1000) {
            let server = harness::await_life(&life, lives);
            let manager = watched.pid("vsrun").unwrap();
            if round == 20 {
                await_started(&logs, server);
                begun = Some(ResourceUsage::await_idle(manager));
            }
            // The clock is wrong by up to 100 years, except in every third round.
            let years = i64::try_from(rng.below(200)).unwrap() - 100;
            watched.set_clock(if round % 3 == 0 { 0 } else { years * 365 * 86_400 });
            if rng.below(8) == 0 {
                sys::kill(manager, libc::SIGHUP);
            } else {
                sys::kill(server, libc::SIGKILL);
            }
            lives += 1;
        }
        harness::await_life(&life, lives);
        watched.set_clock(0);
        let manager = watched.pid("vsrun").unwrap();
        begun.unwrap().await_not_exceeded_by(manager);
        sys::kill(manager, libc::SIGTERM);
        tracing.join().unwrap()
    });
    assert_eq!(trace.status, Some(0));
    let records = harness::lines(&logs.join("vsrun.log"));
    assert!(records.last().unwrap().ends_with("shutdown of vsrun: on request, status 0"), "{records:?}");
    assert!(records.iter().all(|line| line.contains(" vsrun[")), "{records:?}");
}

#[test]
fn no_output_is_lost_when_the_disk_is_full_for_a_while() {
    needs!(harness::root());
    let mut rng = rng(6);
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(disk.clone(), "size=4m")]);
    let (filler, logs, gate) =
        (mounts.path(&disk.join("filler")), mounts.path(&disk.join("logs")), sandbox.out("gate"));
    let rounds = count_for_run_length(8, 60);
    let mut actions = words!["--", sandbox.probe()];
    for round in 0..rounds {
        let from = 1 + round * 1500;
        actions.extend(words!["await", sandbox.out(&format!("gate{round}"))]);
        actions.extend(words!["lines", format!("{from}"), format!("{}", from + 1499)]);
    }
    actions.extend(words!["append", &gate, "x", "wait"]);
    let options = words!["-m", "-", "-", "-d", disk.join("logs"), "1w", "--log-size", "100k", "-p", disk.join("pid")];
    let manager = sandbox.vsrun([options, actions].concat()).within(&mounts).start();
    let server = || harness::text(&mounts.path(&disk.join("pid"))).trim().parse().ok();
    await_started(&logs, harness::await_some("the server's pid", server));
    let begun = ResourceUsage::await_idle(manager.pid());
    for round in 0..rounds {
        // Fills the disk, and then frees up to two pages.
        let mut file = fs::File::create(&filler).unwrap();
        while std::io::Write::write(&mut file, &[b'x'; 4096]).is_ok_and(|count| count == 4096) {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - 4096 * rng.below(3) as u64).unwrap();
        fs::write(sandbox.out(&format!("gate{round}")), "").unwrap();
        harness::await_true("a writer that has something to do", || {
            logged(&logs).len() > round * 1500 || rng.below(200) == 0
        });
        fs::remove_file(&filler).unwrap();
    }
    harness::await_file(&gate);
    let wanted: Vec<String> = (1..=rounds * 1500).map(|number| format!("line {number}")).collect();
    harness::await_within(PATIENCE, "the last line", || (logged(&logs).len() >= wanted.len()).then_some(()));
    assert!(logged(&logs) == wanted, "every line once, in its order");
    begun.await_not_exceeded_by(manager.pid());
    manager.stop().assert_exited(0);
}
