//! A real systemd as PID 1 runs the units of `examples/systemd` unchanged. The manual contains the same units.

use crate::harness::{self, Machine, Sandbox, needs, process, sys, words};
use std::fs;
use std::path::{Path, PathBuf};

/// True if systemd-nspawn can boot a machine here, and the host has these programs, which the machine uses too.
fn can_run(programs: &[&str]) -> bool {
    harness::can_boot_machines() && programs.iter().all(|program| harness::tool(program))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd")
}

fn example(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap()
}

/// Installs these units of `examples/systemd` in the machine unchanged, and the page for their web server.
#[track_caller]
fn install(machine: &Machine<'_>, units: &[&str]) {
    for unit in units {
        machine.unit(unit, &example(unit));
    }
    fs::write(machine.path("/srv/www/index.html"), "the page\n").unwrap();
    machine.systemctl(&["daemon-reload"]).assert_exited(0);
}

/// Makes the unit run the probe with this script instead of its own server. The options of vsrun, which are the part of
/// ExecStart= before the `--`, stay the same. `lines` are added to the unit.
#[track_caller]
fn change_server(machine: &Machine<'_>, unit: &str, lines: &str, script: &str) {
    let text = example(unit).replace("\\\n", "");
    let start = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let options = start.split_once(" -- ").unwrap().0;
    let user = options.split_once("--user ").unwrap().1.split(' ').next().unwrap();
    assert!(options.contains(&format!("--user {user} ")), "{options}");
    machine.change(unit, &format!("[Service]\nExecStart=\n{options} -- /usr/local/bin/probe {script}\n{lines}\n"));
}

fn serves_page(machine: &Machine<'_>) -> bool {
    let get = words!["/bin/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"];
    machine.run(get).out == ["the page"]
}

/// Returns the pid of the server of a unit: the only child of its vsrun, as a process outside the machine sees it.
#[track_caller]
fn server(machine: &Machine<'_>, unit: &str) -> i32 {
    let manager = machine.main(unit);
    harness::await_some("one server", || <[i32; 1]>::try_from(process::children(manager)).ok())[0]
}

#[track_caller]
fn await_other_server(machine: &Machine<'_>, unit: &str, before: i32) -> i32 {
    harness::await_some("another server", || {
        let found = process::children(machine.main(unit));
        found.into_iter().find(|pid| *pid != before && !process::gone(*pid))
    })
}

/// Checks that the unit was stopped in time and successfully.
#[track_caller]
fn assert_stopped(machine: &Machine<'_>, unit: &str) {
    let state = ["ActiveState", "Result", "ExecMainStatus"].map(|name| machine.property(unit, name));
    assert_eq!(state, ["inactive", "success", "0"], "{:#?}", machine.journal(unit));
    let journal = machine.journal(unit);
    let stop = journal.iter().rposition(|line| line.starts_with("Stopping ")).unwrap();
    assert!(!journal[stop..].iter().any(|line| line.contains("timed out") || line.contains("Killing")), "{journal:#?}");
}

#[test]
fn a_simple_service_starts_reloads_survives_crashes_and_stops() {
    needs!(can_run(&["busybox"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "simple.service";
    install(&machine, &[unit]);
    machine.systemctl(&["start", unit]).assert_exited(0);
    harness::await_true("the page", || serves_page(&machine));
    let manager = machine.main(unit);
    let first = server(&machine, unit);
    assert_eq!(process::status(first, "Uid"), "800\t800\t800\t800");

    // `systemctl status` shows both processes. The records are looked up in the journal, because `systemctl status`
    // omits a record that journald read before it knew the unit's invocation.
    machine.await_journal(unit, "vsrun: starting: /bin/busybox httpd");
    for part in ["active (running)", "(vsrun)", "busybox httpd -f -p 8080"] {
        // The output of `systemctl status` may be out of date for a moment.
        let shown = || machine.systemctl(&["status", unit]).assert_exited(0).out.join("\n");
        harness::await_true(&format!("{part:?} in {}", shown()), || shown().contains(part));
    }

    // vsrun handles the crash: systemd does not notice it.
    sys::kill(first, libc::SIGKILL);
    let second = await_other_server(&machine, unit, first);
    harness::await_true("the page after a crash", || serves_page(&machine));
    machine.await_journal(unit, "restarting");

    // A reload starts another server under the same vsrun.
    machine.systemctl(&["reload", unit]).assert_exited(0);
    await_other_server(&machine, unit, second);
    harness::await_true("the page after a reload", || serves_page(&machine));
    assert_eq!((machine.main(unit), machine.property(unit, "NRestarts").as_str()), (manager, "0"));

    machine.systemctl(&["stop", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    machine.await_journal(unit, "shutdown of vsrun: on request, status 0");
    machine.power_off();
}

#[test]
fn a_vsrun_that_is_killed_is_started_again_by_systemd() {
    needs!(can_run(&["busybox"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "simple.service";
    install(&machine, &[unit]);
    machine.systemctl(&["start", unit]).assert_exited(0);
    let (manager, first) = (machine.main(unit), server(&machine, unit));
    sys::kill(manager, libc::SIGKILL);
    machine.await_property(unit, "NRestarts", "1");
    machine.await_property(unit, "ActiveState", "active");
    await_other_server(&machine, unit, first);
    harness::await_true("the page", || serves_page(&machine));
    assert!(process::gone(first), "KillMode=mixed has ended what the dead vsrun left");
    machine.power_off();
}

#[test]
fn wrong_usage_is_not_tried_again() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "simple.service";
    install(&machine, &[unit]);
    machine.change(unit, "[Service]\nExecStart=\nExecStart=/usr/local/sbin/vsrun --usr web -- /bin/true\n");
    machine.systemctl(&["start", unit]);
    machine.await_property(unit, "ActiveState", "failed");
    let state = ["ExecMainStatus", "NRestarts"].map(|name| machine.property(unit, name));
    assert_eq!(state, ["2", "0"]);
    machine.await_journal(unit, "--usr");
    machine.power_off();
}

/// With `KillMode=control-group`, systemd's default, the server would get SIGTERM from systemd and then from vsrun. The
/// unit sets `KillMode=mixed`.
#[test]
fn the_server_of_a_unit_gets_the_stop_signal_once() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "simple.service";
    install(&machine, &[unit]);
    change_server(&machine, unit, "", "signals /out/seen 12 await /out/go exit 0");
    machine.systemctl(&["start", unit]).assert_exited(0);
    let seen = sandbox.out("seen");
    harness::await_lines(&seen, 1);
    machine.systemctl(&["stop", "--no-block", unit]).assert_exited(0);
    harness::await_lines(&seen, 3);
    // Signal 12 ends the list of signals that the probe writes.
    let manager = machine.main(unit);
    let server = process::children(manager)[0];
    sys::kill(server, 12);
    harness::await_true("signal 12", || harness::lines(&seen).iter().any(|line| line == "12"));
    // vsrun sends SIGCONT after SIGTERM, and forwards the SIGCONT that systemd sends after its own SIGTERM
    // (systemd.kill(5)). The kernel merges them if one is sent while the other is pending.
    let mut signals = harness::lines(&seen);
    assert!(signals.len() <= 5, "{signals:?}");
    signals.dedup_by(|next, last| *next == "18" && *last == "18");
    assert_eq!(signals, ["ready", "15", "18", "12"], "one TERM, and CONT");
    fs::write(sandbox.out("go"), "").unwrap();
    machine.await_property(unit, "ActiveState", "inactive");
    assert_stopped(&machine, unit);
    machine.power_off();
}

/// `--stop-timeout` is shorter than `TimeoutStopSec=`, so vsrun, not systemd, kills a server that ignores SIGTERM.
#[test]
fn vsrun_itself_kills_a_server_that_ignores_the_stop() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "simple.service";
    install(&machine, &[unit]);
    change_server(&machine, unit, "", "ignore 15 append /out/up 1 wait");
    machine.systemctl(&["start", unit]).assert_exited(0);
    harness::await_file(&sandbox.out("up"));
    machine.systemctl(&["stop", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    machine.await_journal(unit, "sending SIGKILL");
    machine.power_off();
}

#[test]
fn a_notify_service_is_up_when_its_server_is_ready() {
    needs!(can_run(&["redis-server"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    machine.systemctl(&["start", unit]).assert_exited(0);
    let ping = || {
        let call = words!["/bin/busybox", "sh", "-c", "echo PING | busybox nc 127.0.0.1 6379"];
        machine.run(call).out.first().is_some_and(|line| line.trim() == "+PONG")
    };
    assert!(ping(), "it answers as soon as the start is over");
    assert_eq!(process::status(server(&machine, unit), "Uid"), "801\t801\t801\t801");
    let first = server(&machine, unit);
    sys::kill(first, libc::SIGSEGV);
    let second = await_other_server(&machine, unit, first);
    harness::await_true("an answer after a crash", ping);
    machine.systemctl(&["reload", unit]).assert_exited(0);
    await_other_server(&machine, unit, second);
    harness::await_true("an answer after a reload", ping);
    machine.await_property(unit, "ActiveState", "active");
    assert_eq!(machine.property(unit, "NRestarts"), "0");
    machine.systemctl(&["stop", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    machine.power_off();
}

#[test]
fn systemctl_status_shows_the_status_of_the_server() {
    needs!(can_run(&["redis-server"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    machine.systemctl(&["start", unit]).assert_exited(0);
    machine.await_property(unit, "StatusText", "Ready to accept connections");
    machine.power_off();
}

#[test]
fn a_start_that_is_not_ready_fails_the_unit() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    change_server(&machine, unit, "Restart=no", "exit 3");
    machine.systemctl(&["start", unit]).assert_exited(1);
    let state = ["ActiveState", "ExecMainStatus"].map(|name| machine.property(unit, name));
    assert_eq!(state, ["failed", "125"]);
    machine.await_journal(unit, "before it was ready");
    machine.power_off();
}

/// The unit is in state `activating` or `reloading` until the server is ready.
#[test]
fn a_reload_lasts_until_the_new_server_is_ready() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    change_server(&machine, unit, "", "life /out/life await /out/ready notify READY=1 wait");
    machine.systemctl(&["start", "--no-block", unit]).assert_exited(0);
    harness::await_life(&sandbox.out("life"), 1);
    machine.await_property(unit, "ActiveState", "activating");
    fs::write(sandbox.out("ready"), "").unwrap();
    machine.await_property(unit, "ActiveState", "active");
    fs::remove_file(sandbox.out("ready")).unwrap();
    machine.systemctl(&["reload", "--no-block", unit]).assert_exited(0);
    harness::await_life(&sandbox.out("life"), 2);
    machine.await_property(unit, "ActiveState", "reloading");
    fs::write(sandbox.out("ready"), "").unwrap();
    machine.await_property(unit, "ActiveState", "active");
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 2);
    machine.power_off();
}

/// vsrun itself sends the keep-alive messages that `WatchdogSec=` requires, even if the server sends none.
#[test]
fn a_watchdog_of_systemd_is_fed_by_vsrun() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    let script = "life /out/life report /out/report notify READY=1 wait";
    change_server(&machine, unit, "WatchdogSec=2s", script);
    machine.systemctl(&["start", unit]).assert_exited(0);
    let manager = machine.main(unit);
    // Each keep-alive message changes this time stamp.
    let mut times = Vec::new();
    harness::await_true("six keep-alive messages", || {
        let time = machine.property(unit, "WatchdogTimestampMonotonic");
        if times.last() != Some(&time) {
            times.push(time);
        }
        times.len() > 6
    });
    assert_eq!((machine.main(unit), machine.property(unit, "NRestarts").as_str()), (manager, "0"));
    let found = sandbox.report(&sandbox.out("report"));
    assert_eq!((found.variable("WATCHDOG_USEC"), found.variable("WATCHDOG_PID")), (None, None));
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);

    // systemd kills a vsrun that hangs, together with its server, and starts the unit again.
    sys::kill(manager, libc::SIGSTOP);
    machine.await_property(unit, "NRestarts", "1");
    harness::await_life(&sandbox.out("life"), 2);
    machine.await_journal(unit, "Watchdog timeout");
    machine.power_off();
}

/// A start may take longer than `TimeoutStartSec=` if the server requests it with EXTEND_TIMEOUT_USEC=.
#[test]
fn a_server_may_ask_for_more_time_to_start() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "notify.service";
    install(&machine, &[unit]);
    let script = "notify EXTEND_TIMEOUT_USEC=15000000 append /out/up 1 nap 6000 notify READY=1 wait";
    change_server(&machine, unit, "TimeoutStartSec=4s", script);
    machine.systemctl(&["start", unit]).assert_exited(0);
    machine.await_property(unit, "ActiveState", "active");
    machine.power_off();
}

#[test]
fn a_forking_service_is_followed_by_the_managers_pidfile() {
    needs!(can_run(&["busybox"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "forking.service";
    install(&machine, &[unit]);
    machine.systemctl(&["start", unit]).assert_exited(0);
    let manager = machine.property(unit, "MainPID");
    assert_eq!(harness::text(&machine.mounted("/run/web-manager.pid")), format!("{manager}\n"));
    harness::await_true("the page", || serves_page(&machine));
    let first = server(&machine, unit);
    let ask = |file: &str| machine.run(words!["/usr/local/sbin/vsrun", "--status", file]);
    for file in ["/run/web.pid", "/run/web-manager.pid"] {
        assert!(ask(file).assert_exited(0).out[0].starts_with("running: pid "), "{file}");
    }
    sys::kill(first, libc::SIGKILL);
    let second = await_other_server(&machine, unit, first);
    machine.systemctl(&["reload", unit]).assert_exited(0);
    let third = await_other_server(&machine, unit, second);
    harness::await_true("the page after crash and reload", || serves_page(&machine));
    assert_eq!((machine.property(unit, "MainPID"), machine.property(unit, "NRestarts").as_str()), (manager, "0"));

    // systemd notices the death of the manager and starts the unit again, although the pidfile still has the old pid.
    sys::kill(machine.main(unit), libc::SIGKILL);
    machine.await_property(unit, "NRestarts", "1");
    machine.await_property(unit, "ActiveState", "active");
    assert!(process::gone(third));
    harness::await_true("the page of another manager", || serves_page(&machine));
    machine.systemctl(&["stop", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    for file in ["/run/web.pid", "/run/web-manager.pid"] {
        assert!(!machine.mounted(file).exists(), "{file}");
        ask(file).assert_exited(3);
    }
    let records = harness::lines(&machine.path("/var/log/web/vsrun.log"));
    assert!(records.last().unwrap().ends_with("shutdown of vsrun: on request, status 0"), "{records:#?}");
    machine.power_off();
}

#[test]
fn a_notify_service_in_the_background_needs_notify_access_of_all() {
    needs!(can_run(&[]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "background.service";
    let text = "[Service]\nType=notify\nNotifyAccess=all\nKillMode=mixed\n\
        ExecStart=/usr/local/sbin/vsrun --background --restart on-failure -- /usr/local/bin/probe life /out/life wait\n";
    machine.unit(unit, text);
    machine.systemctl(&["daemon-reload"]).assert_exited(0);
    machine.systemctl(&["start", unit]).assert_exited(0);
    let first = harness::await_life(&sandbox.out("life"), 1);
    machine.await_property(unit, "ActiveState", "active");
    harness::await_true("MAINPID= is the manager", || {
        process::parent(machine.outer(&first.to_string())) == machine.main(unit)
    });
    machine.systemctl(&["stop", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    machine.power_off();
}

/// A server that accepts connections on the socket from systemd (descriptor 3), one after the other.
const API: &str = "#!/usr/bin/python3
import os, socket
assert os.environ['LISTEN_FDS'] == '1' and int(os.environ['LISTEN_PID']) == os.getpid()
assert os.environ['LISTEN_FDNAMES'] == 'api', os.environ
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    client.recv(4096)
    client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nthe page\\n')
    client.close()
";

/// Requests the page until the file `stop` exists, and prints `refused` for each request without an answer.
const CLIENT: &str = "calls=0
while test ! -e /out/stop; do
    test \"$(busybox wget -q -O - http://127.0.0.1:8080/)\" = 'the page' || echo refused
    calls=$((calls + 1))
    echo $calls >/out/calls
done";

#[test]
fn a_socket_of_systemds_outlives_server_and_manager() {
    needs!(
        can_run(&["busybox", "python3"]),
        harness::available(Path::new("/usr/bin/python3").is_file(), "Debian's python3")
    );
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let unit = "activated.service";
    install(&machine, &["activated.socket", unit]);
    harness::sandbox::write_executable(&sandbox.path("local/bin/api"), API.as_bytes());
    machine.systemctl(&["start", "activated.socket"]).assert_exited(0);
    assert_eq!(machine.property(unit, "ActiveState"), "inactive");
    assert!(serves_page(&machine), "the first connection starts it");
    machine.await_property(unit, "ActiveState", "active");

    let client = machine.call(words!["/bin/busybox", "sh", "-c", CLIENT]).start();
    let calls = || harness::text(&sandbox.out("calls")).trim().parse::<u64>().unwrap_or(0);
    let some_more = || {
        let before = calls();
        harness::await_true("some more calls", || calls() > before + 5);
    };
    some_more();
    for round in 0..3 {
        let before = server(&machine, unit);
        sys::kill(before, libc::SIGKILL);
        await_other_server(&machine, unit, before);
        some_more();
        let before = server(&machine, unit);
        machine.systemctl(&["reload", unit]).assert_exited(0);
        await_other_server(&machine, unit, before);
        some_more();
        if round == 1 {
            machine.systemctl(&["restart", unit]).assert_exited(0);
            some_more();
        }
    }
    fs::write(sandbox.out("stop"), "").unwrap();
    let client = client.finish();
    let refused = client.out.len();
    // A server that is killed or stopped loses the connection that it has accepted. That happens seven times: three
    // kills, three reloads and one restart.
    assert!(refused <= 10, "{refused} calls of {} were not answered: {client:?}", calls());
    machine.systemctl(&["stop", "activated.socket", unit]).assert_exited(0);
    assert_stopped(&machine, unit);
    machine.power_off();
}

/// The manual contains each file of `examples/systemd` unchanged.
#[test]
fn the_manual_shows_the_units_of_the_examples() {
    let page = fs::read_to_string(Path::new(env!("OUT_DIR")).join("vsrun.8")).unwrap();
    let chapter = page.split_once(".SH UNDER SYSTEMD\n").unwrap().1.split("\n.SH ").next().unwrap();
    // The chapter without the escapes of roff.
    let shown = chapter.replace("\\-", "-").replace("\\(dq", "\"").replace("\\(aq", "'").replace("\\e", "\\");
    let units = harness::names(&directory());
    assert!(units.len() >= 5, "{units:?}");
    for unit in units {
        assert!(shown.contains(&example(&unit)), "{unit} is in the manual, line by line:\n{shown}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_in_the_examples() {
    needs!(can_run(&["busybox", "redis-server"]));
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let units = harness::names(&directory());
    install(&machine, &units.iter().map(String::as_str).collect::<Vec<_>>());
    harness::sandbox::write_executable(&sandbox.path("local/bin/api"), API.as_bytes());
    let said =
        machine.run([words!["systemd-analyze", "verify", "--man=no"], units.iter().map(Into::into).collect()].concat());
    said.assert_exited(0).assert_silent();
    machine.power_off();
}
