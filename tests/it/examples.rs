//! Runs the services in `examples/` as they are, except for the paths and addresses that a test has to replace.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, process, sys, words};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const BUSYBOX: &str = "/bin/busybox";

/// Copies an example with these replacements, each of which must apply, and returns the path.
fn example(sandbox: &Sandbox, name: &str, replacements: &[(&str, &str)]) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111, "{name} can be executed");
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from:?} is in {name}");
        text = text.replace(from, to);
    }
    sandbox.executable(name, text.as_bytes())
}

fn busybox() -> bool {
    harness::available(Path::new(BUSYBOX).is_file(), BUSYBOX)
}

/// A loopback address that only this test uses: all of 127/8 is local.
fn address(test: u8) -> SocketAddr {
    let number = sys::pid().cast_unsigned().wrapping_add(harness::namespace());
    format!("127.{test}.{}.{}:8080", (number >> 8) & 255, number & 255 | 1).parse().unwrap()
}

fn page(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[track_caller]
fn await_page(address: SocketAddr, text: &str) {
    harness::await_true("the page", || page(address).is_some_and(|answer| answer.ends_with(text)));
}

#[test]
fn the_web_server_starts_crashes_and_stops() {
    needs!(harness::root(), busybox());
    let sandbox = Sandbox::new();
    let memory = ["/run", "/srv", "/var/log"].map(|path| Mount::Memory(path.into(), "mode=755"));
    let mounts = Mounts::new(&sandbox, &memory);
    let inside = |path: &str| mounts.path(Path::new(path));
    fs::create_dir(inside("/srv/www")).unwrap();
    fs::write(inside("/srv/www/index.html"), "the web server's page\n").unwrap();
    let vsrun = sandbox.path("vsrun");
    let address = address(101);
    let web =
        example(&sandbox, "web", &[("/sbin/vsrun", vsrun.to_str().unwrap()), ("\n8080\n", &format!("\n{address}\n"))]);

    sandbox.program(&web, words![]).within(&mounts).finish().assert_exited(0).assert_silent();
    let pid = |path: &str| harness::text(&inside(path)).trim().parse::<i32>().unwrap_or(0);
    await_page(address, "the web server's page\n");
    let first = pid("/run/web.pid");
    let user = process::status(first, "Uid").split_whitespace().next().unwrap().to_owned();
    assert!(harness::text(Path::new("/etc/passwd")).contains(&format!("www-data:x:{user}:")), "{user} is www-data");
    // Since version 0.2 the example is an rc script: `start` succeeds if the server is already running.
    let again = sandbox.program(&web, words!["start"]).within(&mounts).finish();
    assert_eq!(again.assert_exited(0).err, ["vsrun: already running: /run/web-manager.pid"]);
    assert_eq!(pid("/run/web.pid"), first, "and starts nothing");

    sys::kill(first, libc::SIGSEGV);
    harness::await_true("a new life", || ![0, first].contains(&pid("/run/web.pid")));
    await_page(address, "the web server's page\n");
    assert!(harness::text(&inside("/var/log/web/logfile")).contains("response:200"));

    let manager = pid("/run/web-manager.pid");
    sys::kill(manager, libc::SIGTERM);
    harness::await_gone(manager);
    assert_eq!(harness::names(&inside("/run")), Vec::<String>::new());
}

#[test]
fn the_jailed_job_unpacks_and_ends_as_tar_does() {
    needs!(harness::root(), busybox());
    let sandbox = Sandbox::new();
    let jail = sandbox.path("jail");
    fs::create_dir_all(jail.join("data")).unwrap();
    chown(jail.join("data"), Some(61000), Some(61000)).unwrap();
    harness::sandbox::copy(Path::new(BUSYBOX), &jail.join("busybox"));
    fs::write(sandbox.path("letter"), "dear jail\n").unwrap();
    sandbox.program(Path::new(BUSYBOX), words!["tar", "-cf", "upload.tar", "letter"]).finish().assert_exited(0);
    let vsrun = sandbox.path("vsrun");
    let replacements = [
        ("#!/sbin/vsrun", &*format!("#!{}", vsrun.display())),
        ("\n/srv/unpack\n", &*format!("\n{}\n", jail.display())),
    ];
    let unpack = example(&sandbox, "unpack", &replacements);

    let call = sandbox.program(&unpack, words!["-v"]).stdin(File::open(sandbox.path("upload.tar")).unwrap());
    let ended = call.finish();
    ended.assert_exited(0);
    assert_eq!(ended.out, ["letter"], "-v has reached tar");
    let letter = jail.join("data/letter");
    assert_eq!(harness::text(&letter), "dear jail\n");
    let found = fs::metadata(&letter).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (61000, 61000, 0o600));

    let wrong = sandbox.program(&unpack, words!["-z"]).stdin(File::open(sandbox.path("letter")).unwrap());
    wrong.finish().assert_exited(1);
}

#[test]
fn the_init_is_pid_1_keeps_its_server_and_hears_term() {
    needs!(harness::root(), busybox(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    for directory in ["bin", "sbin", "www"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    harness::sandbox::copy(Path::new(BUSYBOX), &root.join("bin/busybox"));
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &root.join("sbin/vsrun"));
    fs::write(root.join("www/index.html"), "init's page\n").unwrap();
    let address = address(102);
    let init = example(&sandbox, "init", &[("\n8080\n", &format!("\n{address}\n"))]);
    harness::sandbox::copy(&init, &root.join("init"));

    let wrapped = words!["--pid", "--fork", "--kill-child", "--root", &root, "--", "/init"];
    let outside = sandbox.program(&harness::find_tool("unshare").unwrap(), wrapped).start();
    let first = harness::await_some("PID 1", || process::children(outside.pid()).first().copied());
    await_page(address, "init's page\n");
    let server = process::children(first)[0];
    assert_eq!(process::status(server, "NSpid").split_whitespace().count(), 2, "in a pid namespace of its own");
    assert_eq!(process::status(server, "Uid").split_whitespace().next(), Some("80"));

    sys::kill(server, libc::SIGKILL);
    harness::await_gone(server);
    await_page(address, "init's page\n");
    sys::kill(first, libc::SIGTERM);
    outside.finish().assert_exited(0);
}
