//! The two jails in `examples/jail`: a dynamically linked nginx in a chroot, started by root, and one that Landlock
//! confines, started by an ordinary user. Both serve, and a process that has taken over nginx can do what SECURITY.md
//! says, no more and no less.

use super::can_run_field_tests;
use crate::escapes::{Outside, table};
use crate::harness::{self, Call, PLAIN, Running, Sandbox, needs, process, sys, words};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

/// The heading of the first column of the table in SECURITY.md.
const TABLE: &str = "| A taken over nginx |";

const CHROOT: &str = "chroot, by root";

const LANDLOCK: &str = "Landlock, by a user";

fn text(name: &str) -> String {
    harness::text(&example(name))
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/jail").join(name)
}

/// Replaces all these strings in `text`. Asserts that each of them occurs.
fn replaced(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is in {text}");
        text.replace(from, to)
    })
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// One of the two jails, as its service file describes it, with the address that nginx listens on.
struct Jail {
    sandbox: Sandbox,
    /// The service file up to the `--` before COMMAND.
    options: String,
    command: String,
    /// The path of nginx's own directory on the host, and its path inside the jail.
    own: (PathBuf, PathBuf),
    /// The path of a program that may be executed in the jail: on the host, and inside the jail.
    program: (PathBuf, PathBuf),
    address: SocketAddr,
    user: u32,
}

impl Jail {
    fn chroot() -> Self {
        let sandbox = Sandbox::new();
        let (root, vsrun) = (sandbox.path("jail"), display(&sandbox.path("vsrun")));
        let nginx = super::program("nginx").unwrap();
        sandbox.program(&example("make-root"), words![&root, &nginx]).finish().assert_exited(0);
        let address = address(103, 80);
        let settings = replaced(&text("nginx.conf"), &[("listen 80;", &format!("listen {address};"))]);
        fs::create_dir_all(root.join("etc/nginx")).unwrap();
        fs::write(root.join("etc/nginx/nginx.conf"), settings).unwrap();
        pages(&root.join("srv/www"));
        let (own, web) = (root.join("var/lib/nginx"), 33);
        fs::create_dir_all(&own).unwrap();
        chown(&own, Some(web), Some(web)).unwrap();
        let pidfile = format!("\n{}\n", display(&sandbox.path("manager.pid")));
        let places = [
            ("#!/sbin/vsrun", &*format!("#!{vsrun}")),
            ("\n/srv/nginx\n", &*format!("\n{}\n", root.display())),
            ("\n/run/nginx-manager.pid\n", &*pidfile),
        ];
        let service = replaced(&text("nginx"), &places);
        let program = (root.join("usr/sbin/nginx"), PathBuf::from("/usr/sbin/nginx"));
        Self::new(sandbox, &service, (own, "/var/lib/nginx".into()), program, address, web)
    }

    fn landlock() -> Self {
        let sandbox = Sandbox::plain();
        let vsrun = display(&sandbox.path("vsrun"));
        let (own, www, settings) = (sandbox.path("own"), sandbox.path("www"), sandbox.path("nginx.conf"));
        fs::create_dir(&own).unwrap();
        chown(&own, Some(PLAIN), Some(PLAIN)).unwrap();
        pages(&www);
        let address = address(104, 8080);
        let places = [("listen 80;", &*format!("listen {address};")), ("/srv/www", &*display(&www))];
        fs::write(&settings, replaced(&text("nginx.conf"), &places)).unwrap();
        let places = [
            ("#!/sbin/vsrun", &*format!("#!{vsrun}")),
            ("\n/var/lib/nginx\n", &*format!("\n{}\n", own.display())),
            ("\n/srv/www\n", &*format!("\n{}\n", www.display())),
            ("\n/etc/nginx/jail.conf\n", &*format!("\n{}\n", settings.display())),
        ];
        let service = replaced(&format!("{}\n", text("nginx-landlock")), &places);
        let program = sandbox.path("nginx");
        Self::new(sandbox, &service, (own.clone(), own), (program.clone(), program), address, PLAIN)
    }

    fn new(
        sandbox: Sandbox,
        service: &str,
        own: (PathBuf, PathBuf),
        program: (PathBuf, PathBuf),
        address: SocketAddr,
        user: u32,
    ) -> Self {
        let (options, command) = service.split_once("\n--\n").unwrap();
        let (options, command) = (options.to_owned(), command.to_owned());
        Self { sandbox, options, command, own, program, address, user }
    }

    /// A call of the service file with these options and this COMMAND.
    fn call(&self, options: &str, command: &str) -> Call<'_> {
        let service = format!("{options}\n--\n{command}\n");
        let file = self.sandbox.executable("service", service.as_bytes());
        self.sandbox.program(&file, words![])
    }

    /// True if the page is served. Asserts that nginx does not follow a symbolic link from the pages to a file outside.
    #[track_caller]
    fn serves(&self) -> bool {
        let page = answer_of(self.address, "index.html");
        let secret = answer_of(self.address, "secret.html");
        assert!(!secret.contains("root:"), "{secret}");
        page.ends_with("the page\n")
            && ["404", "403"].iter().any(|status| secret.starts_with(&format!("HTTP/1.1 {status}")))
    }

    #[track_caller]
    fn assert_escapes_match_table(&self, column: &str) {
        let (host, inside) = &self.program;
        let _ = fs::remove_file(host);
        harness::sandbox::copy(&self.sandbox.probe(), host);
        let suid = host.with_file_name("suid");
        harness::sandbox::copy(&self.sandbox.probe(), &suid);
        sys::set_mode(&suid, 0o4755);
        let user = self.user;
        let outside = Outside::new(&self.sandbox, self.own.0.clone(), |call| match self.sandbox.user() {
            0 => call.before(move || sys::become_plain(user)),
            _ => call,
        });
        let rules = format!("\n--rox\n{}\n--rox\n{}", inside.display(), suid.display());
        let options =
            if self.options.contains("\n--rox\n") { self.options.clone() + &rules } else { self.options.clone() };
        let table = table(TABLE);
        assert!(table.len() > 15, "{table:?}");
        let wrong = table.iter().filter_map(|(name, expected)| {
            outside.lay_out();
            let call = self.call(&options, &format!("{}\nescape\n{name}", inside.display()));
            let suid = inside.with_file_name("suid");
            let ended = outside.prepare_call(call, &self.own.1, inside, &suid).finish();
            let result = outside.result(&format!("{name}: {ended:?}"));
            ((result == "out") != expected[column]).then(|| format!("{name}: {result}"))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new(), "{column}");
    }
}

/// A loopback address that only this test uses: all of 127.0.0.0/8 belongs to the loopback device.
fn address(test: u8, port: u16) -> SocketAddr {
    let number = sys::pid().cast_unsigned();
    format!("127.{test}.{}.{}:{port}", (number >> 8) & 255, number & 255 | 1).parse().unwrap()
}

fn pages(www: &Path) {
    fs::create_dir_all(www).unwrap();
    fs::write(www.join("index.html"), "the page\n").unwrap();
    symlink("/etc/passwd", www.join("secret.html")).unwrap();
}

fn answer_of(address: SocketAddr, page: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(format!("GET /{page} HTTP/1.0\r\n\r\n").as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

/// Starts nginx under its manager and waits until it serves. Asserts that it and its workers run as the jail's user.
#[track_caller]
fn assert_serves(jail: &Jail) -> Running {
    let running = jail.call(&jail.options, &jail.command).start();
    harness::await_within(super::RESTART_LIMIT, "nginx' page", || {
        assert!(running.is_running(), "{:?}", running.err());
        jail.serves().then_some(())
    });
    let all = super::descendants(running.pid());
    assert!(all.len() >= 2, "nginx and its worker: {all:?}");
    for pid in all {
        assert_eq!(process::status(pid, "Uid").split_whitespace().next(), Some(&*jail.user.to_string()));
        assert_eq!(process::status(pid, "NoNewPrivs"), "1");
    }
    running
}

#[test]
fn nginx_in_a_chroot_escapes_only_as_security_md_says() {
    needs!(can_run_field_tests(&["nginx"]), harness::tool("ldd"));
    let jail = Jail::chroot();
    let running = assert_serves(&jail);
    let server = process::children(running.pid())[0];
    assert_eq!(process::link(server, "root"), display(&jail.sandbox.path("jail")));
    assert_eq!(process::status(server, "CapEff"), format!("{:016x}", 1 << 10), "net_bind_service");
    running.stop().assert_exited(0);
    jail.assert_escapes_match_table(CHROOT);
}

#[test]
fn nginx_under_landlock_escapes_only_as_security_md_says() {
    needs!(
        can_run_field_tests(&["nginx"]),
        harness::available(Path::new("/lib64/ld-linux-x86-64.so.2").exists(), "x86_64")
    );
    let jail = Jail::landlock();
    assert_serves(&jail).stop().assert_exited(0);
    jail.assert_escapes_match_table(LANDLOCK);
}
