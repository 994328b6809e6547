//! A service file with `--rc` is a complete rc script: its actions, and the exit statuses of the LSB.

use crate::harness::{self, ProcessResult, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes a service file with `--rc`, these further options, and a server that performs the actions of `script`.
fn service(sandbox: &Sandbox, options: &[&str], script: &[&str]) -> PathBuf {
    let mut text = format!("#!{} --args\n# an rc script\n--rc\n", sandbox.path("vsrun").display());
    let probe = sandbox.probe();
    for word in options.iter().chain(&["--", probe.to_str().unwrap()]).chain(script) {
        text.push_str(word);
        text.push('\n');
    }
    sandbox.executable("web", text.as_bytes())
}

/// Runs the service file as a program, with these arguments.
#[track_caller]
fn call(sandbox: &Sandbox, service: &Path, action: &[&str]) -> ProcessResult {
    sandbox.program(service, action.iter().map(OsString::from).collect()).finish()
}

/// The options of a server in the background: without a manager, and with one.
fn backgrounds() -> [Vec<&'static str>; 2] {
    [vec!["-b", "-p", "pid"], vec!["-q", "-b", "-p", "pid", "-m", "monitor", "-"]]
}

#[test]
fn every_action_has_the_exit_status_of_lsb() {
    for options in backgrounds() {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let web = service(&sandbox, &options, &["life", life.to_str().unwrap(), "ignore", "1", "wait"]);
        let file = if options.contains(&"-m") { "monitor" } else { "pid" };
        let line = |text: &str, code: i32, action: &str| {
            let ended = call(&sandbox, &web, &[action]);
            ended.assert_exited(code);
            let said = [&ended.out[..], &ended.err[..]].concat();
            assert!(said.len() == 1 && said[0].starts_with(text), "{action}: {ended:?}");
        };
        line(&format!("not running: {file}: there is no such file"), 3, "status");
        line(&format!("vsrun: not running: {file}"), 0, "stop");
        line(&format!("vsrun: not running: {file}: there is no such file"), 7, "reload");
        call(&sandbox, &web, &["check"]).assert_exited(0).assert_silent();
        call(&sandbox, &web, &["start"]).assert_exited(0).assert_silent();
        harness::await_life(&life, 1);
        line(&format!("vsrun: already running: {file}"), 0, "start");
        line(&format!("vsrun: already running: {file}"), 0, "start");
        line("running: pid ", 0, "status");
        let checked = call(&sandbox, &web, &["check"]);
        assert!(checked.assert_exited(125).out.iter().all(|line| line.starts_with("already running: ")), "{checked:?}");
        assert_eq!(harness::lives(&life).len(), 1, "nothing else was started");
        call(&sandbox, &web, &["restart"]).assert_exited(0).assert_silent();
        harness::await_life(&life, 2);
        call(&sandbox, &web, &["stop"]).assert_exited(0).assert_silent();
        sandbox.await_nothing_left();
        call(&sandbox, &web, &["restart"]).assert_exited(0).assert_silent();
        harness::await_life(&life, 3);
        call(&sandbox, &web, &["force-reload"]).assert_exited(0).assert_silent();
        harness::await_life(&life, 4);
        call(&sandbox, &web, &["stop"]).assert_exited(0).assert_silent();
        line(&format!("vsrun: not running: {file}"), 0, "stop");
        sandbox.await_nothing_left();
        assert_eq!(harness::lives(&life).len(), 4);
    }
}

#[test]
fn start_is_the_default_action() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let web = service(&sandbox, &["-b", "-p", "pid"], &["life", life.to_str().unwrap(), "wait"]);
    call(&sandbox, &web, &[]).assert_exited(0).assert_silent();
    harness::await_life(&life, 1);
    call(&sandbox, &web, &[]).assert_exited(0);
    call(&sandbox, &web, &["stop"]).assert_exited(0);
    assert_eq!(harness::lives(&life).len(), 1);
}

#[test]
fn failed_start_has_status_1() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("plain"), "").unwrap();
    for background in [false, true] {
        for managed in [false, true] {
            for (options, command, reason) in [
                (vec!["--work-dir", "/no/such"], "/bin/true", "cannot change directory"),
                (vec![], "/no/such/command", "cannot execute '/no/such/command'"),
                (vec![], "./plain", "cannot execute './plain'"),
                (vec!["-d", "/proc/logs", "1"], "/bin/true", "/proc/logs"),
            ] {
                let mut text = format!("#!{} --args\n--rc\n-p\npid\n", sandbox.path("vsrun").display());
                for word in options.into_iter().chain(if background { &["-b"][..] } else { &[] }.iter().copied()) {
                    text.push_str(&format!("{word}\n"));
                }
                text.push_str(if managed { "-m\nmonitor\n-\n--\n" } else { "--\n" });
                text.push_str(&format!("{command}\n"));
                let web = sandbox.executable("failing", text.as_bytes());
                for action in [&["start"][..], &[], &["restart"]] {
                    call(&sandbox, &web, action).assert_failed(1, &[reason]);
                    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
                }
                fs::remove_file(web).unwrap();
            }
        }
    }
}

#[test]
fn a_server_that_never_becomes_ready_is_a_failed_start() {
    let sandbox = Sandbox::new();
    for options in backgrounds() {
        let options = [options, vec!["--ready", "fd:4"]].concat();
        let web = service(&sandbox, &options, &["close", "4", "wait"]);
        call(&sandbox, &web, &["start"]).assert_failed(1, &["closed its ready descriptor"]);
        sandbox.await_nothing_left();
        call(&sandbox, &web, &["status"]).assert_exited(3);
        fs::remove_file(web).unwrap();
    }
}

#[test]
fn the_status_of_a_server_in_the_foreground_is_its_own() {
    let sandbox = Sandbox::new();
    for (managed, status) in [(false, 126), (true, 125), (true, 3)] {
        let mut options = vec!["-p", "pid"];
        options.extend(if managed { &["--restart", "no"][..] } else { &[] });
        let web = service(&sandbox, &options, &["exit", &status.to_string()]);
        call(&sandbox, &web, &["start"]).assert_exited(status);
        fs::remove_file(web).unwrap();
    }
}

#[test]
fn reload_sends_hup_to_the_manager_by_either_pidfile() {
    for options in [vec!["-q", "-b", "-p", "pid", "-m", "-", "-"], vec!["-q", "-b", "-p", "pid", "-m", "monitor", "-"]]
    {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        // The server ignores HUP, so only its manager can restart it.
        let web = service(&sandbox, &options, &["ignore", "1", "life", life.to_str().unwrap(), "wait"]);
        call(&sandbox, &web, &["start"]).assert_exited(0);
        let first = harness::await_life(&life, 1);
        call(&sandbox, &web, &["reload"]).assert_exited(0).assert_silent();
        assert_ne!(harness::await_life(&life, 2), first);
        call(&sandbox, &web, &["stop"]).assert_exited(0);
        call(&sandbox, &web, &["reload"]).assert_exited(7);
    }
}

#[test]
fn reload_replaces_the_server_where_hup_does_and_waits_for_it() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let options = ["-q", "-b", "-p", "pid", "-m", "monitor", "-", "--ready=fd:4", "--on-signal=HUP=replace"];
    let web = |end: &[&str]| {
        service(&sandbox, &options, &[&["life", life.to_str().unwrap()], end, &["tell", "4", "ready", "wait"]].concat())
    };
    // The third server exits before it is ready.
    let web = web(&["at", "3", "exit", "9"]);
    call(&sandbox, &web, &["reload"]).assert_exited(7);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    let named = || harness::text(&sandbox.path("pid")).trim().parse::<i32>().unwrap_or(0);
    let first = harness::await_life(&life, 1);
    call(&sandbox, &web, &["reload"]).assert_exited(0).assert_silent();
    let second = harness::await_life(&life, 2);
    assert!(named() == second && process::gone(first), "{first} and {second}");
    call(&sandbox, &web, &["reload"])
        .assert_failed(1, &["cannot replace the server of monitor", "exited with status 9"]);
    assert!(named() == second && !process::gone(second));
    call(&sandbox, &web, &["stop"]).assert_exited(0);
}

#[test]
fn reload_reaches_an_unmanaged_server() {
    let sandbox = Sandbox::new();
    let signals = sandbox.out("signals");
    let web = service(&sandbox, &["-b", "-p", "pid"], &["signals", signals.to_str().unwrap(), "15"]);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    harness::await_lines(&signals, 1);
    call(&sandbox, &web, &["reload"]).assert_exited(0).assert_silent();
    assert_eq!(harness::await_lines(&signals, 2), ["ready", "1"]);
    call(&sandbox, &web, &["stop"]).assert_exited(0);
}

#[test]
fn a_dead_server_is_1_for_status_7_for_reload_and_started_by_start() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let web = service(&sandbox, &["-b", "-p", "pid"], &["life", life.to_str().unwrap(), "wait"]);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    sys::kill(harness::await_life(&life, 1), libc::SIGKILL);
    sandbox.await_nothing_left();
    call(&sandbox, &web, &["status"]).assert_exited(1);
    call(&sandbox, &web, &["reload"]).assert_failed(7, &["dead: pid"]);
    call(&sandbox, &web, &["start"]).assert_exited(0).assert_silent();
    harness::await_life(&life, 2);
    call(&sandbox, &web, &["stop"]).assert_exited(0);
}

#[test]
fn a_restart_does_not_start_what_it_could_not_stop() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    // With `--stop-timeout 0` the manager never kills its server. The second service file sets a timeout of 10 ms.
    let options = ["-b", "-p", "pid", "-m", "monitor", "-", "--stop-timeout", "0"];
    let web = service(&sandbox, &options, &["ignore", "15", "life", life.to_str().unwrap(), "wait"]);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    let server = harness::await_life(&life, 1);
    let text = fs::read_to_string(&web).unwrap().replace("--stop-timeout\n0\n", "--stop-timeout\n10ms\n");
    let hasty = sandbox.executable("hasty", text.as_bytes());
    call(&sandbox, &hasty, &["restart"]).assert_failed(1, &["cannot stop monitor", "has not exited in time"]);
    // Without its own --stop-timeout, --stop waits as long as the file says. Its default would be a minute.
    sandbox
        .vsrun(words!["--stop", &hasty])
        .finish()
        .assert_failed(125, &["cannot stop monitor", "has not exited in time"]);
    assert!(!harness::gone(server));
    assert_eq!(harness::lives(&life).len(), 1);
}

/// The restart also waits for what the manager awaits after the server's exit: remaining processes and the logger.
#[test]
fn a_restart_waits_as_long_as_the_manager_of_the_file() {
    let sandbox = Sandbox::new();
    let (life, signals) = (sandbox.out("life"), sandbox.out("signals"));
    let options = ["-q", "-b", "-p", "pid", "-m", "monitor", "-", "--stop-timeout", "50ms", "--linger", "2s"];
    // The first server exits on SIGTERM, and leaves a process that ignores SIGTERM.
    let first = ["ignore", "15", "crowd", "1", "signals", signals.to_str().unwrap(), "15", "exit", "0"];
    let mut script = vec!["life", life.to_str().unwrap()];
    for action in first.split_inclusive(|word| ["15", "1", "0"].contains(word)) {
        script.extend([&["at", "1"], action].concat());
    }
    script.push("wait");
    let web = service(&sandbox, &options, &script);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    harness::await_life(&life, 1);
    harness::await_lines(&signals, 1);
    call(&sandbox, &web, &["restart"]).assert_exited(0);
    harness::await_life(&life, 2);
    call(&sandbox, &web, &["stop"]).assert_exited(0);
}

/// The server's user owns the directory of the pidfile, and has put a service file, or a link to one, into it.
#[test]
fn a_service_file_that_another_user_has_put_there_is_not_believed() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let victim = service(&sandbox, &["-b", "-p", "victim"], &["life", life.to_str().unwrap(), "wait"]);
    call(&sandbox, &victim, &["start"]).assert_exited(0);
    let server = harness::await_life(&life, 1);
    let (file, link, way, hard) = (sandbox.out("file"), sandbox.out("link"), sandbox.out("way"), sandbox.out("hard"));
    std::os::unix::fs::symlink(sandbox.directory(), &way).unwrap();
    std::os::unix::fs::lchown(&way, Some(harness::PLAIN), None).unwrap();
    // The user can make this link if fs.protected_hardlinks is 0.
    fs::hard_link(sandbox.path("victim"), &hard).unwrap();
    fs::write(&file, format!("#!x\n-p\n{}\n--\nsleep\n", sandbox.path("victim").display())).unwrap();
    std::os::unix::fs::chown(&file, Some(harness::PLAIN), None).unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(harness::PLAIN), None).unwrap();
    for command in [words!["--stop"], words!["--signal", "KILL"], words!["--status"]] {
        let run = |path: &Path| sandbox.vsrun([command.clone(), words![path]].concat()).finish();
        run(&file).assert_failed(125, &["service file '", "belongs to neither root nor the caller"]);
        for (path, why) in [
            (&link, "is a symbolic link"),
            (&way.join("victim"), "the owner of a directory in the path could exchange the file"),
            (&hard, "has more than one link"),
        ] {
            let refused = run(path);
            refused.assert_exited(4);
            assert!([&refused.out[..], &refused.err[..]].concat()[0].contains(why), "{refused:?}");
        }
    }
    assert!(!harness::gone(server));
    // Root's own link to root's own service file is followed.
    std::os::unix::fs::symlink(&victim, sandbox.path("S20web")).unwrap();
    sandbox.vsrun(words!["--stop", sandbox.path("S20web")]).finish().assert_exited(0).assert_silent();
    harness::await_true("the end", || harness::gone(server));
}

#[test]
fn wrong_words_are_wrong_usage_and_touch_nothing() {
    let sandbox = Sandbox::new();
    let web = service(&sandbox, &["-p", "pid"], &["exit", "0"]);
    for (action, reason) in [
        (&["strat"][..], "unknown action 'strat': did you mean start?"),
        (
            &["frobnicate"],
            "unknown action 'frobnicate': allowed are start, stop, restart, reload, force-reload, status, check",
        ),
        (&[""], "unknown action ''"),
        (&["START"], "unknown action 'START': did you mean start?"),
        (&["--help"], "unknown action '--help'"),
        (&["start", "now"], "unexpected argument 'now' after the action"),
        (&["stop", "stop"], "unexpected argument 'stop' after the action"),
        (&["--", "start"], "unexpected argument 'start' after the action"),
        (&["a\nb"], "unknown action 'a\\x0ab'"),
    ] {
        call(&sandbox, &web, action).assert_failed(2, &["web: option --rc: ", reason]);
        assert!(!sandbox.path("pid").exists());
    }
}

#[test]
fn the_option_needs_a_service_file_and_a_pidfile() {
    let sandbox = Sandbox::new();
    let probe = sandbox.probe();
    let outside = "option --rc is only for service files";
    sandbox.vsrun(words!["--rc", "-p", "pid", "--", &probe, "exit", "0"]).finish().assert_failed(2, &[outside]);
    sandbox.vsrun(words!["--rc", "--", &probe, "start"]).finish().assert_failed(2, &[outside]);
    fs::write(sandbox.path("plain"), format!("-p\npid\n--\n{}\nexit\n0\n", probe.display())).unwrap();
    sandbox.vsrun(words!["--rc", "--args", "plain", "start"]).finish().assert_failed(2, &[outside]);
    sandbox.vsrun(words!["--args", "plain"]).finish().assert_exited(0);
    let web = service(&sandbox, &["-m", "-", "-"], &["exit", "0"]);
    call(&sandbox, &web, &["start"]).assert_failed(2, &["option --rc needs a pidfile"]);
    // If the file contains no `--`, the argument is not taken for an action.
    fs::write(sandbox.path("open"), "--rc\n-p\npid\n").unwrap();
    sandbox.vsrun(words!["--args", "open", "start"]).finish().assert_failed(2, &["unexpected argument 'start'"]);
    sandbox.vsrun(words!["--args", "open", "--", &probe]).finish().assert_failed(2, &["'-- COMMAND' is missing"]);
    sandbox.vsrun(words!["--args", "open"]).finish().assert_failed(2, &["'-- COMMAND' is missing"]);
}

#[test]
fn an_option_before_the_file_goes_with_its_action() {
    let sandbox = Sandbox::new();
    let web = service(&sandbox, &["-p", "pid"], &["exit", "5"]);
    sandbox.vsrun(words!["--check", "--args", &web]).finish().assert_exited(0).assert_silent();
    sandbox.vsrun(words!["--check", "--args", &web, "start"]).finish().assert_exited(0).assert_silent();
    sandbox.vsrun(words!["-e", "A=1", "--args", &web, "start"]).finish().assert_exited(5);
    // A server in the foreground without a manager leaves its pidfile behind.
    sandbox.vsrun(words!["--status", &web]).finish().assert_exited(1);
    sandbox.vsrun(words!["--stop", &web]).finish().assert_exited(0);
}

#[test]
fn other_user_gets_status_unknown_and_changes_nothing() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let web = service(&sandbox, &["-b", "-p", "pid"], &["life", life.to_str().unwrap(), "wait"]);
    call(&sandbox, &web, &["start"]).assert_exited(0);
    let server = harness::await_life(&life, 1);
    let as_user = |action: &str| {
        let user = words!["--reuid=65534", "--clear-groups", &web, action];
        sandbox.program(&harness::find_tool("setpriv").unwrap(), user).finish()
    };
    as_user("status").assert_exited(4);
    as_user("stop").assert_failed(4, &["state unknown: pid"]);
    as_user("reload").assert_failed(4, &["state unknown: pid"]);
    as_user("start").assert_failed(1, &["pid"]);
    harness::await_true("the server to wait as before", || process::state(server) == "S");
    call(&sandbox, &web, &["stop"]).assert_exited(0);
}

/// The first start finds no pidfile, but when it tries to lock one, another start already has the lock.
#[test]
fn a_start_that_another_start_overtakes_finds_the_server_running() {
    needs!(harness::tool("strace"));
    for options in backgrounds() {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let web = service(&sandbox, &options, &["life", life.to_str().unwrap(), "wait"]);
        let trace = sandbox.path("trace");
        let mut line = words!["-qq", "-o", &trace, "-e", "inject=rt_sigaction:signal=SIGSTOP:when=1", &web];
        line.push("start".into());
        let late = sandbox.program(&harness::find_tool("strace").unwrap(), line).start();
        harness::await_true("the stop of the first", || harness::text(&trace).contains("stopped by SIGSTOP"));
        assert!(!harness::text(&trace).contains("F_OFD_SETLK"), "it has not come to the lock");
        call(&sandbox, &web, &["start"]).assert_exited(0).assert_silent();
        harness::await_life(&life, 1);
        sys::kill(process::children(late.pid())[0], libc::SIGCONT);
        let ended = late.finish();
        let file = if options.contains(&"-m") { "monitor" } else { "pid" };
        assert_eq!(ended.assert_exited(0).err, [format!("vsrun: already running: {file}")]);
        assert_eq!(harness::lives(&life).len(), 1, "nothing else was started");
        call(&sandbox, &web, &["stop"]).assert_exited(0);
    }
    // If another service holds the pidfile, the start fails, because this service does not run.
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let other = sandbox.vsrun(words!["-p", "pid", "--", sandbox.probe(), "life", &life, "wait"]).start();
    harness::await_life(&life, 1);
    let web = service(&sandbox, &["-b", "-p", "pid", "-m", "monitor", "-"], &["exit", "0"]);
    call(&sandbox, &web, &["start"]).assert_failed(1, &["already running: pid is locked by"]);
    other.stop();
}
