//! `--cgroup`: the server is in its control group from its first instruction on, and at the end no process is left
//! there.

use crate::harness::cgroups::{self, Parent, mounted};
use crate::harness::{self, ProcessResult, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

fn can_use_cgroups() -> bool {
    harness::root() && harness::available(mounted().is_some(), "a cgroup 2 file system")
}

/// The control group of a process, as a path in the file system.
fn group_of(pid: i32) -> PathBuf {
    cgroups::named(&harness::text(Path::new(&format!("/proc/{pid}/cgroup")))).unwrap()
}

fn processes(group: &Path) -> usize {
    harness::lines(&group.join("cgroup.procs")).len()
}

fn await_processes(group: &Path, count: usize) {
    harness::await_true("the processes of the group", || processes(group) == count);
}

#[test]
fn server_is_in_its_cgroup_and_vsrun_is_not() {
    needs!(can_use_cgroups());
    for way in harness::ways() {
        for user in [words![], words!["-u", "7:7"]] {
            let (sandbox, parent) = (Sandbox::new(), Parent::new());
            let report = sandbox.out("report");
            let line = [words!["-p", "pid", "--cgroup", parent.child()], user, way.clone()].concat();
            let line = [line, words!["--", sandbox.probe(), "report", &report, "wait"]].concat();
            let called = sandbox.vsrun(line).start();
            let server = sandbox.report(&report).number("pid");
            assert_eq!(group_of(server), parent.child(), "{way:?}");
            assert_eq!(
                sandbox.report(&report).descriptors().iter().filter(|fd| fd.number > 2).count(),
                usize::from(!way.contains(&"-m".into()))
            );
            let stays = way.contains(&"-m".into());
            if stays {
                assert_ne!(group_of(process::parent(server)), parent.child());
            }
            sys::kill(if stays { process::parent(server) } else { server }, libc::SIGTERM);
            called.finish();
            sandbox.await_nothing_left();
            // A manager has removed the group; a vsrun that became the server could not.
            assert_eq!(parent.child().exists(), !stays, "{way:?}");
        }
    }
}

#[test]
fn what_has_left_group_and_session_is_killed_before_the_next_run_and_at_the_end() {
    needs!(can_use_cgroups(), harness::tool("setsid"));
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let (life, children) = (sandbox.out("life"), sandbox.out("children"));
    // `child` starts a process that ignores TERM and HUP, `crowd` makes orphans.
    let script = words!["child", &children, "crowd", "5", "life", &life, "at", "1", "segv", "wait"];
    let line = [words!["--cgroup", parent.child(), "-m", "-", "-", "--", sandbox.probe()], script].concat();
    let manager = sandbox.vsrun(line).start();
    harness::await_life(&life, 2);
    let first: i32 = harness::await_lines(&children, 2)[0].parse().unwrap();
    harness::await_true("the first run's processes gone", || process::gone(first) && processes(&parent.child()) <= 7);
    assert_eq!(harness::lives(&life).len(), 2);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
    assert!(!parent.child().exists());
}

#[test]
fn linger_sends_term_to_the_cgroup_before_kill() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let seen = sandbox.out("seen");
    let script = words!["forked", "forked", "child", sandbox.out("child"), "signals", &seen, "15"];
    let line = words!["--cgroup", parent.child(), "--linger", "10s", "-m", "-", "-", "--", sandbox.probe()];
    let called = sandbox.vsrun([line, script].concat()).start();
    harness::await_lines(&seen, 1);
    called.signal(libc::SIGTERM);
    harness::await_file(&sandbox.out("child"));
    let stubborn: i32 = harness::await_lines(&sandbox.out("child"), 1)[0].parse().unwrap();
    called.await_err("sending SIGTERM to every process");
    assert!(!process::gone(stubborn), "it ignores TERM, and has time");
    called.signal(libc::SIGINT);
    called.finish();
    sandbox.await_nothing_left();
    assert!(!parent.child().exists());
}

/// The process has joined the group but is no descendant of vsrun, so vsrun can find it only through the group.
#[test]
fn with_linger_a_process_of_another_parent_is_killed_before_the_next_run_too() {
    needs!(can_use_cgroups());
    for linger in [words!["--linger", "10s"], words![]] {
        let (sandbox, parent) = (Sandbox::new(), Parent::new());
        let life = sandbox.out("life");
        let line = [words!["--cgroup", parent.child()], linger, words!["-m", "-", "-", "--", sandbox.probe()]].concat();
        let manager = sandbox.vsrun([line, words!["life", &life, "wait"]].concat()).start();
        harness::await_life(&life, 1);
        let joined = sandbox.program(&sandbox.probe(), words!["wait"]).start();
        fs::write(parent.child().join("cgroup.procs"), joined.pid().to_string()).unwrap();
        sys::kill(process::children(manager.pid())[0], libc::SIGSEGV);
        assert_eq!(joined.finish().signal(), Some(libc::SIGKILL));
        harness::await_life(&life, 2);
        manager.stop().assert_exited(0);
        assert!(!parent.child().exists());
    }
}

#[test]
fn a_directory_in_use_or_of_another_kind_is_refused_and_nothing_is_left() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let holder =
        words!["--cgroup", parent.child(), "--init", "--", sandbox.probe(), "append", sandbox.out("up"), "x", "wait"];
    let holder = sandbox.vsrun(holder).start();
    harness::await_file(&sandbox.out("up"));
    let v1 = Path::new("/sys/fs/cgroup/cpu/vsrun-test").to_owned();
    let mut cases = vec![
        (parent.child(), "other processes are in it"),
        (parent.0.clone(), "other processes are in it"),
        (parent.0.join("no/where"), "No such file or directory"),
        (sandbox.out("plain"), "is not in a cgroup 2 file system"),
    ];
    if v1.parent().unwrap().is_dir() {
        cases.push((v1, "is not in a cgroup 2 file system"));
    }
    for (group, says) in cases {
        for way in harness::ways() {
            let line = [
                words!["-p", "pid", "--cgroup", &group],
                way,
                words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"],
            ];
            sandbox.vsrun(line.concat()).finish().assert_failed(125, &["cgroup '", says]);
            assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
        }
        let check = sandbox.vsrun(words!["--check", "--cgroup", &group, "--", sandbox.probe()]).finish();
        assert!(check.assert_exited(125).out[0].contains(says), "{check:?}");
    }
    assert!(!sandbox.out("plain").exists());
    holder.stop();
    let before = harness::names(&parent.0);
    sandbox
        .vsrun(words!["--check", "--cgroup", parent.child(), "--", sandbox.probe()])
        .finish()
        .assert_exited(0)
        .assert_silent();
    assert_eq!(harness::names(&parent.0), before, "--check makes none");
}

#[test]
fn a_group_that_cannot_be_made_or_entered_is_a_finding() {
    needs!(can_use_cgroups(), harness::tool("unshare"));
    let (sandbox, parent) = (Sandbox::plain(), Parent::new());
    let have = parent.0.join("have");
    fs::create_dir(&have).unwrap();
    let same = |call: &dyn Fn(Vec<OsString>) -> ProcessResult, group: &Path, says: &str| {
        let line = words!["--cgroup", group, "--", sandbox.probe(), "exit", "0"];
        let check = call([words!["--check"], line.clone()].concat());
        check.assert_exited(125);
        assert!(check.out[0].contains(&group.display().to_string()) && check.out[0].ends_with(says), "{check:?}");
        let start = call(line);
        start.assert_failed(125, &[&check.out[0]]);
    };
    for group in [parent.child(), have.clone()] {
        same(&|line| sandbox.vsrun(line).finish(), &group, "Permission denied");
    }
    // The owner of the group's directory may still not move a process into the group.
    std::os::unix::fs::chown(&have, Some(sandbox.user()), None).unwrap();
    same(&|line| sandbox.vsrun(line).finish(), &have, "Permission denied");
    let sandbox = Sandbox::new();
    let view = sandbox.path("view");
    harness::sandbox::make_directory(&view, 0o755);
    let script = format!(
        "mount --bind {} {view} && mount -o remount,bind,ro {view} && exec \"$0\" \"$@\"",
        parent.0.display(),
        view = view.display()
    );
    let unshare = |line: Vec<OsString>| {
        let words = [words!["--mount", "sh", "-c", &script, sandbox.path("vsrun")], line].concat();
        sandbox.program(&harness::find_tool("unshare").unwrap(), words).finish()
    };
    for group in ["web", "have"] {
        same(&unshare, &view.join(group), "Read-only file system");
    }
    assert!(!parent.child().exists());
}

/// If vsrun cannot read cgroup.events, other processes may be in the group, which it must not kill at the end of a run.
#[test]
fn a_group_that_cannot_be_looked_into_is_refused() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    fs::create_dir(parent.child()).unwrap();
    // A device file whose device has no driver cannot be opened.
    let device = sandbox.path("device");
    sys::make_character_device(&device, 300, 1).unwrap();
    let events = parent.child().join("cgroup.events");
    let script = format!("mount --bind {} {} && exec \"$@\"", device.display(), events.display());
    let unshare = words!["--mount", "sh", "-c", script, "sh", sandbox.path("vsrun"), "--cgroup", parent.child()];
    for way in harness::ways() {
        let server = words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        let call = sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare.clone(), way, server].concat());
        call.finish().assert_failed(125, &["cannot use cgroup '", "No such device or address"]);
        assert!(!sandbox.out("ran").exists());
    }
}

/// Below the mount point all files are the kernel's, but the path to it may lead through a user's link.
#[test]
fn cgroup_path_may_have_links_of_root_but_not_of_users() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let home = sandbox.path("home");
    harness::sandbox::make_directory(&home, 0o755);
    let link = home.join("groups");
    std::os::unix::fs::symlink(&parent.0, &link).unwrap();
    let line = words!["--cgroup", link.join("web"), "--init", "--", sandbox.probe(), "exit", "0"];
    sandbox.vsrun(line.clone()).finish().assert_exited(0);
    for path in [&home, &link] {
        std::os::unix::fs::lchown(path, Some(12345), Some(12345)).unwrap();
    }
    sandbox.vsrun(line.clone()).finish().assert_failed(125, &["cannot use cgroup '", "belongs to user 0", "12345"]);
    let check = sandbox.vsrun([words!["--check"], line].concat()).finish();
    assert!(check.assert_exited(125).out[0].contains("belongs to user 0"), "{check:?}");
    assert!(!parent.child().exists());
}

#[test]
fn a_start_that_fails_removes_the_group_that_it_made() {
    needs!(can_use_cgroups());
    for way in harness::ways() {
        for user in [words![], words!["-u", "7:7"]] {
            let (sandbox, parent) = (Sandbox::new(), Parent::new());
            let line =
                [words!["-p", "pid", "--cgroup", parent.child()], user, way.clone(), words!["--", "/nothing"]].concat();
            sandbox.vsrun(line.clone()).finish().assert_exited(127);
            harness::await_true("no group", || !parent.child().exists());
            sandbox.await_nothing_left();
            // A group that existed before the start is not removed.
            fs::create_dir(parent.child()).unwrap();
            sandbox.vsrun(line).finish().assert_exited(127);
            sandbox.await_nothing_left();
            assert!(parent.child().exists());
        }
    }
}

#[test]
fn settings_are_written_before_the_server_runs() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let out = sandbox.out("settings");
    let sets = words!["--cgroup-set", "cgroup.max.depth=3", "--cgroup-set", "cgroup.max.descendants=5"];
    let line = [words!["--cgroup", parent.child()], sets, words!["--init", "--", sandbox.probe()]].concat();
    let copies =
        ["cgroup.max.depth", "cgroup.max.descendants"].map(|name| words!["copy", parent.child().join(name), &out]);
    sandbox.vsrun([line, copies.concat()].concat()).finish().assert_exited(0);
    assert_eq!(harness::lines(&out), ["3", "5"]);
    for (set, says) in [
        ("memory.max=1M", "'+memory' is missing in '"),
        ("hugetlb.2MB.max=0", "'+hugetlb' is missing in '"),
        ("cgroup.max.depth=x", "Invalid argument"),
        ("cgroup.nothing=1", "No such file or directory"),
    ] {
        let line = words!["--cgroup", parent.child(), "--cgroup-set", set, "--init", "--", sandbox.probe()];
        sandbox.vsrun(line).finish().assert_failed(125, &["cannot write '", says]);
        assert!(!parent.child().exists(), "{set}");
    }
    let line = words!["--check", "--cgroup", parent.child(), "--cgroup-set", "memory.max=1M", "--", sandbox.probe()];
    assert!(sandbox.vsrun(line).finish().assert_exited(125).out[0].contains("'+memory' is missing in '"));
    // With the controller enabled, its setting is written.
    let root = mounted().unwrap();
    if fs::write(root.join("cgroup.subtree_control"), "+hugetlb").is_ok()
        && fs::write(parent.0.join("cgroup.subtree_control"), "+hugetlb").is_ok()
    {
        let line =
            words!["--cgroup", parent.child(), "--cgroup-set", "hugetlb.2MB.max=0", "--init", "--", sandbox.probe()];
        let out = sandbox.out("limit");
        sandbox
            .vsrun([line, words!["copy", parent.child().join("hugetlb.2MB.max"), &out]].concat())
            .finish()
            .assert_exited(0);
        assert_eq!(harness::lines(&out), ["0"]);
    }
    drop(parent);
    let _ = fs::write(root.join("cgroup.subtree_control"), "-hugetlb");
}

#[test]
fn groups_that_the_server_makes_are_emptied_with_it() {
    needs!(can_use_cgroups(), harness::tool("sh"));
    for hidden in [false, true] {
        let (sandbox, parent) = (Sandbox::new(), Parent::new());
        // Linux before 5.14 has no cgroup.kill: here a file that cannot be written is mounted over it.
        let group = parent.child();
        let script =
            "mkdir inner inner/most; sleep 1000 & echo $! >inner/most/cgroup.procs; echo up >UP; exec sleep 1000";
        let script = script.replace("UP", sandbox.out("up").to_str().unwrap());
        let line = words!["--cgroup", &group, "-w", &group, "--init", "--", "/bin/sh", "-c", script];
        let call = if hidden {
            let mount = format!("mount --bind /proc/version {} && exec \"$@\"", group.join("cgroup.kill").display());
            let unshare = words!["--mount", "sh", "-c", mount, "sh", sandbox.path("vsrun")];
            sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat())
        } else {
            sandbox.vsrun(line)
        };
        fs::create_dir(&group).unwrap();
        let called = call.start();
        harness::await_lines(&sandbox.out("up"), 1);
        assert_eq!(processes(&group.join("inner/most")), 1);
        let keeper = harness::await_some("a keeper", || {
            let keeper = process::parent(harness::lines(&group.join("cgroup.procs"))[0].parse().ok()?);
            Some(keeper)
        });
        sys::kill(keeper, libc::SIGTERM);
        called.finish();
        sandbox.await_nothing_left();
        assert_eq!(processes(&group.join("inner/most")), 0);
    }
}

#[test]
fn plain_user_can_use_a_cgroup_in_its_own_directory() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::plain(), Parent::new());
    let start = parent.0.join("start");
    fs::create_dir(&start).unwrap();
    for path in [parent.0.clone(), parent.0.join("cgroup.procs"), parent.0.join("cgroup.subtree_control")] {
        std::os::unix::fs::chown(path, Some(sandbox.user()), Some(sandbox.user())).unwrap();
    }
    let out = sandbox.out("cgroup");
    let line = words!["--cgroup", parent.child(), "--init", "--", sandbox.probe(), "copy", "/proc/self/cgroup", &out];
    let enter = move || fs::write(start.join("cgroup.procs"), "0");
    sandbox.vsrun(line).before(enter).finish().assert_exited(0);
    assert!(harness::text(&out).trim().ends_with("/web"), "{}", harness::text(&out));
    assert!(!parent.child().exists());
}

/// A process that enters a frozen group executes nothing until the group is thawed, and no signal but KILL ends it.
#[test]
fn manager_handles_signals_while_its_cgroup_is_frozen() {
    needs!(can_use_cgroups());
    for way in [words![], words!["-b"]] {
        let (sandbox, parent) = (Sandbox::new(), Parent::new());
        let options = words!["-m", "keeper", "-", "--stop-timeout", "100ms", "--cgroup", parent.child()];
        let server = words!["--cgroup-set", "cgroup.freeze=1", "--", sandbox.probe(), "wait"];
        let called = sandbox.vsrun([way.clone(), options, server].concat()).start();
        await_processes(&parent.child(), 1);
        if way.is_empty() {
            called.stop().assert_exited(0);
        } else {
            sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
            called.finish().assert_exited(128 + libc::SIGTERM);
        }
        sandbox.await_nothing_left();
        assert!(!parent.child().exists());
    }
}

#[test]
fn a_restart_into_a_frozen_group_can_be_stopped() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let life = sandbox.out("life");
    let options = words!["-m", "-", "-", "--stop-timeout", "100ms", "--cgroup", parent.child()];
    let server = words!["--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    let first = harness::await_life(&life, 1);
    fs::write(parent.child().join("cgroup.freeze"), "1").unwrap();
    sys::kill(first, libc::SIGKILL);
    process::await_gone(first);
    await_processes(&parent.child(), 1);
    manager.stop().assert_exited(0);
    assert_eq!(harness::lives(&life).len(), 1);
    assert!(!parent.child().exists());
}

/// When the ready timeout is over, the manager does not wait for the exec of the new server any longer.
#[test]
fn a_replacement_in_a_frozen_group_is_given_up_in_time() {
    needs!(can_use_cgroups());
    let (sandbox, parent) = (Sandbox::new(), Parent::new());
    let life = sandbox.out("life");
    let options = words!["-m", "keeper", "-", "--stop-timeout", "100ms", "--cgroup", parent.child()];
    let ready = words!["--ready", "fd:4", "--ready-timeout", "5"];
    let server = words!["--", sandbox.probe(), "life", &life, "tell", "4", "", "wait"];
    let manager = sandbox.vsrun([options, ready, server].concat()).start();
    harness::await_life(&life, 1);
    harness::await_true("the closed ready pipe", || !process::has_pipe(manager.pid()));
    fs::write(parent.child().join("cgroup.freeze"), "1").unwrap();
    sandbox.vsrun(words!["--replace", "keeper"]).finish().assert_failed(125, &["not ready in time"]);
    await_processes(&parent.child(), 1);
    manager.stop().assert_exited(0);
    assert!(!parent.child().exists());
}

#[test]
fn wrong_usage_is_named() {
    let sandbox = Sandbox::new();
    for (line, says) in [
        (words!["--cgroup-set", "pids.max=1"], "--cgroup-set needs --cgroup"),
        (words!["--cgroup", "x", "--cgroup-set", "pids.max"], "FILE=VALUE"),
        (words!["--cgroup", "x", "--cgroup-set", "../pids.max=1"], "FILE=VALUE"),
        (words!["--cgroup", "x", "--cgroup", "y"], "given twice"),
    ] {
        let line: Vec<OsString> = [line, words!["--", sandbox.probe()]].concat();
        sandbox.vsrun(line).finish().assert_failed(2, &[says]);
    }
}
