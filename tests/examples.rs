//! The services in `examples/`: each is run as it stands there, but for where vsrun is and the web server's address.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, needs, process, sys, words};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const BUSYBOX: &str = "/bin/busybox";

/// The example with these replacements, each of which it must have.
fn example(place: &Place, name: &str, replacements: &[(&str, &str)]) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111, "{name} can be executed");
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from:?} is in {name}");
        text = text.replace(from, to);
    }
    place.executable(name, text.as_bytes())
}

fn busybox() -> bool {
    kit::available(Path::new(BUSYBOX).is_file(), BUSYBOX)
}

/// An address that only this test uses: every number in 127/8 is the loopback device.
fn address(test: u8) -> SocketAddr {
    let number = sys::pid().cast_unsigned();
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
    kit::await_true("the page", || page(address).is_some_and(|answer| answer.ends_with(text)));
}

#[test]
fn the_web_server_starts_crashes_and_stops() {
    needs!(kit::root(), busybox());
    let place = Place::new();
    let memory = ["/run", "/srv", "/var/log"].map(|path| Mount::Memory(path.into(), "mode=755"));
    let mounts = Mounts::new(&place, &memory);
    let inside = |path: &str| mounts.path(Path::new(path));
    fs::create_dir(inside("/srv/www")).unwrap();
    fs::write(inside("/srv/www/index.html"), "the web server's page\n").unwrap();
    let vsrun = place.path("vsrun");
    let address = address(101);
    let web =
        example(&place, "web", &[("/sbin/vsrun", vsrun.to_str().unwrap()), ("\n8080\n", &format!("\n{address}\n"))]);

    place.program(&web, words![]).within(&mounts).finish().exited(0).silently();
    let pid = |path: &str| kit::text(&inside(path)).trim().parse::<i32>().unwrap_or(0);
    await_page(address, "the web server's page\n");
    let first = pid("/run/web.pid");
    let user = process::status(first, "Uid").split_whitespace().next().unwrap().to_owned();
    assert!(kit::text(Path::new("/etc/passwd")).contains(&format!("www-data:x:{user}:")), "{user} is www-data");
    place.program(&web, words![]).within(&mounts).finish().exited(125);

    sys::kill(first, libc::SIGSEGV);
    kit::await_true("a new life", || ![0, first].contains(&pid("/run/web.pid")));
    await_page(address, "the web server's page\n");
    assert!(kit::text(&inside("/var/log/web/logfile")).contains("response:200"));

    let manager = pid("/run/web-manager.pid");
    sys::kill(manager, libc::SIGTERM);
    kit::await_gone(manager);
    assert_eq!(kit::names(&inside("/run")), Vec::<String>::new());
}

#[test]
fn the_jailed_job_unpacks_and_ends_as_tar_does() {
    needs!(kit::root(), busybox());
    let place = Place::new();
    let jail = place.path("jail");
    fs::create_dir_all(jail.join("data")).unwrap();
    chown(jail.join("data"), Some(61000), Some(61000)).unwrap();
    kit::place::copy(Path::new(BUSYBOX), &jail.join("busybox"));
    fs::write(place.path("letter"), "dear jail\n").unwrap();
    place.program(Path::new(BUSYBOX), words!["tar", "-cf", "upload.tar", "letter"]).finish().exited(0);
    let vsrun = place.path("vsrun");
    let replacements = [
        ("#!/sbin/vsrun", &*format!("#!{}", vsrun.display())),
        ("\n/srv/unpack\n", &*format!("\n{}\n", jail.display())),
    ];
    let unpack = example(&place, "unpack", &replacements);

    let call = place.program(&unpack, words!["-v"]).stdin(File::open(place.path("upload.tar")).unwrap());
    let ended = call.finish();
    ended.exited(0);
    assert_eq!(ended.out, ["letter"], "-v has reached tar");
    let letter = jail.join("data/letter");
    assert_eq!(kit::text(&letter), "dear jail\n");
    let found = fs::metadata(&letter).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (61000, 61000, 0o600));

    let wrong = place.program(&unpack, words!["-z"]).stdin(File::open(place.path("letter")).unwrap());
    wrong.finish().exited(1);
}

#[test]
fn the_init_is_pid_1_keeps_its_server_and_hears_term() {
    needs!(kit::root(), busybox(), kit::tool("unshare"));
    let place = Place::new();
    let root = place.path("root");
    for directory in ["bin", "sbin", "www"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    kit::place::copy(Path::new(BUSYBOX), &root.join("bin/busybox"));
    kit::place::install(&kit::place::built("vsrun"), &root.join("sbin/vsrun"));
    fs::write(root.join("www/index.html"), "init's page\n").unwrap();
    let address = address(102);
    let init = example(&place, "init", &[("\n8080\n", &format!("\n{address}\n"))]);
    kit::place::copy(&init, &root.join("init"));

    let wrapped = words!["--pid", "--fork", "--kill-child", "--root", &root, "--", "/init"];
    let outside = place.program(&kit::find_tool("unshare").unwrap(), wrapped).start();
    let first = kit::await_some("PID 1", || process::children(outside.pid()).first().copied());
    await_page(address, "init's page\n");
    let server = process::children(first)[0];
    assert_eq!(process::status(server, "NSpid").split_whitespace().count(), 2, "in a pid namespace of its own");
    assert_eq!(process::status(server, "Uid").split_whitespace().next(), Some("80"));

    sys::kill(server, libc::SIGKILL);
    kit::await_gone(server);
    await_page(address, "init's page\n");
    sys::kill(first, libc::SIGTERM);
    outside.finish().exited(0);
}
