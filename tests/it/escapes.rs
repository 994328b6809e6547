//! What gets out of which jail: each attempt of the probe's (`tests/probe/escape.rs`) from each jail, held against the
//! table in SECURITY.md.

use crate::harness::{self, Call, Mount, Mounts, PLAIN, Running, Sandbox, needs, sys, words};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

/// A jail: a column of the table.
#[derive(Clone, Copy)]
struct Jail {
    /// The heading of its column.
    column: &'static str,
    /// Whether vsrun itself is called without any privilege.
    plain: bool,
    root: bool,
    user: bool,
    landlock: bool,
}

const NONE: Jail = Jail { column: "no jail", plain: false, root: false, user: false, landlock: false };

const ROOT: Jail = Jail { column: "`-r`", root: true, ..NONE };

const ROOT_USER: Jail = Jail { column: "`-r -u`", root: true, user: true, ..NONE };

const LANDLOCK_ROOT: Jail = Jail { column: "Landlock, as root", landlock: true, ..NONE };

const LANDLOCK_USER: Jail = Jail { column: "Landlock, as a user", landlock: true, plain: true, ..NONE };

const BOTH: Jail = Jail { column: "`-r -u` and Landlock", root: true, user: true, landlock: true, ..NONE };

/// The server's directory, the world outside, and the processes that the attempts are about.
struct World {
    sandbox: Sandbox,
    jail: Jail,
    mounts: Mounts,
    facts: Vec<(String, String)>,
    _accomplice: Running,
    _listeners: (TcpListener, UnixListener, UnixListener),
}

const KEY: &std::ffi::CStr = c"vsrun-escape";

impl World {
    #[track_caller]
    fn new(jail: Jail) -> Self {
        let sandbox = if jail.plain { Sandbox::plain() } else { Sandbox::new() };
        let directory = sandbox.jail();
        harness::sandbox::make_directory(&directory.join("proc"), 0o755);
        harness::sandbox::make_directory(&sandbox.path("outside"), 0o777);
        harness::sandbox::copy(&sandbox.probe(), &directory.join("suid"));
        sys::set_mode(&directory.join("suid"), 0o4755);
        lay_out(&sandbox);
        let mounts = Mounts::new(&sandbox, &[Mount::Bind("/proc".into(), directory.join("proc"))]);
        let facts = sandbox.out("facts");
        let helper = sandbox.program(&sandbox.probe(), words!["accomplice", &facts]);
        let helper = helper.env("OWN", directory.join("out")).env("OUTSIDE", sandbox.path("outside"));
        let helper = if jail.user { helper.before(|| sys::become_plain(PLAIN)) } else { helper };
        let accomplice = helper.start();
        harness::await_file(&facts);
        let name = format!("vsrun-escape-{}", sandbox.directory().display());
        let listeners = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            UnixListener::bind(sandbox.path("outside/socket")).unwrap(),
        );
        sys::set_mode(&sandbox.path("outside/socket"), 0o777);
        let pair = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut facts: Vec<_> = harness::lines(&facts).iter().filter_map(pair).collect();
        let port = listeners.0.local_addr().unwrap().port().to_string();
        let group = harness::text(Path::new("/proc/self/mountinfo"))
            .lines()
            .find_map(|line| line.contains(" - cgroup").then(|| line.split(' ').nth(4)).flatten().map(str::to_owned));
        facts.extend([
            ("PORT".into(), port),
            ("ABSTRACT".into(), name),
            ("KEY".into(), KEY.to_str().unwrap().into()),
            ("CGROUP".into(), format!("{}/cgroup.procs", group.unwrap_or_default())),
            ("OUTSIDE".into(), sandbox.path("outside").display().to_string()),
        ]);
        Self { sandbox, jail, mounts, facts, _accomplice: accomplice, _listeners: listeners }
    }

    /// A path of the jail's, as the server sees it.
    fn inside(&self, name: &str) -> PathBuf {
        let top = if self.jail.root { PathBuf::from("/") } else { self.sandbox.path("jail") };
        top.join(name)
    }

    /// A call whose descriptor 20 is the host's root directory, and which has a key of its caller's.
    fn call<'a>(&'a self, call: Call<'a>) -> Call<'a> {
        let host = fs::File::open("/").unwrap();
        let leak = move || sys::duplicate(std::os::fd::AsRawFd::as_raw_fd(&host), 20);
        let call = call.within(&self.mounts).before(leak).before(|| sys::make_key(KEY));
        let call = self.facts.iter().fold(call, |call, (name, value)| call.env(name, value));
        call.env("OWN", self.inside("out")).env("SUID", self.inside("suid"))
    }

    fn options(&self) -> Vec<OsString> {
        let mut options = words!["--init"];
        if self.jail.root {
            options.extend(words!["-r", self.sandbox.path("jail")]);
        }
        if self.jail.user {
            options.extend(words!["-u", format!("{PLAIN}:{PLAIN}")]);
        }
        if self.jail.landlock {
            let (probe, suid, out) = (self.inside("probe"), self.inside("suid"), self.inside("out"));
            options.extend(words!["--rox", probe, "--rox", suid, "--rw", out, "--ro", "/proc"]);
            let none = words!["--bind-tcp", "none", "--connect-tcp", "none", "--scope", "signal,abstract"];
            options.extend(none);
        }
        options
    }

    /// What becomes of one attempt: `out`, or `kept` and the reason.
    #[track_caller]
    fn attempt(&self, name: &str) -> String {
        lay_out(&self.sandbox);
        let logger = format!("{} collect {}", self.sandbox.probe().display(), self.sandbox.out("log").display());
        let logger = if name == "keystroke" { words![] } else { words!["-s", "tag", "--logger", logger] };
        let line = [self.options(), logger, words!["--", self.inside("probe"), "escape", name]].concat();
        let call = self.call(self.sandbox.vsrun(line));
        let ended = if name == "keystroke" {
            let (call, _terminal) = call.on_terminal();
            call.finish()
        } else {
            call.finish()
        };
        self.result(&format!("{name} in {}: {ended:?}", self.jail.column))
    }

    /// The same without vsrun.
    #[track_caller]
    fn attempt_alone(&self, name: &str) -> String {
        lay_out(&self.sandbox);
        let ended = self.call(self.sandbox.program(&self.sandbox.probe(), words!["escape", name])).finish();
        self.result(&format!("{name} without vsrun: {ended:?}"))
    }

    #[track_caller]
    fn result(&self, what: &str) -> String {
        let said = harness::lines(&self.sandbox.path("jail/out/result"));
        assert_eq!(said.len(), 1, "{what}: {said:?}");
        said[0].clone()
    }
}

/// The server's directory as it is before an attempt, and what is outside.
fn lay_out(sandbox: &Sandbox) {
    let (own, outside) = (sandbox.path("jail/out"), sandbox.path("outside"));
    for name in harness::names(&own).iter().filter(|name| *name != "accomplice") {
        let path = own.join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    let _ = fs::remove_dir_all(outside.join("wanders"));
    let _ = fs::remove_file(outside.join("made"));
    for (name, text) in [("secret", "secret\n"), ("file", "file\n")] {
        fs::write(outside.join(name), text).unwrap();
    }
    sys::set_mode(&outside.join("file"), 0o666);
    chown(outside.join("file"), Some(PLAIN), Some(PLAIN)).unwrap();
}

fn able() -> bool {
    let sandbox = Sandbox::new();
    let line = words!["--rwx", "/", "--bind-tcp", "none", "--scope", "signal", "--", sandbox.probe()];
    harness::root()
        && harness::available(sandbox.vsrun(line).finish().code() == Some(0), "a kernel with Landlock of Linux 6.12")
        && harness::available(sys::grants_special_rights(sandbox.directory()), "set-user-id programs")
}

fn attempts() -> Vec<String> {
    let sandbox = Sandbox::new();
    sandbox.program(&sandbox.probe(), words!["escapes"]).finish().exited(0).out.clone()
}

/// The table: for each attempt whether it gets out of the jail of each heading.
fn table() -> BTreeMap<String, BTreeMap<String, bool>> {
    let text = harness::text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md"));
    let rows = text.lines().skip_while(|line| !line.starts_with("| Attempt |")).take_while(|line| !line.is_empty());
    let mut rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let headings = rows.next().unwrap();
    let cells = |row: Vec<&str>| {
        let name = row[0].split('`').nth(1).unwrap_or_else(|| panic!("{row:?}")).to_owned();
        let cell = |cell: &str| match cell {
            "**out**" => true,
            "in" => false,
            _ => panic!("{row:?}"),
        };
        (
            name,
            headings[1..].iter().zip(&row[1..]).map(|(heading, found)| ((*heading).to_owned(), cell(found))).collect(),
        )
    };
    rows.skip(1).map(cells).collect()
}

#[track_caller]
fn assert_table_is_true_of(jail: Jail) {
    needs!(able());
    let world = World::new(jail);
    let table = table();
    let wrong: Vec<String> = attempts()
        .iter()
        .filter_map(|name| {
            let result = world.attempt(name);
            let expected = table[name][jail.column];
            ((result == "out") != expected).then(|| format!("{name}: {result}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}: {wrong:#?}", jail.column);
}

#[test]
fn the_table_has_every_attempt() {
    let mut attempts = attempts();
    attempts.sort();
    assert_eq!(table().into_keys().collect::<Vec<_>>(), attempts);
}

/// Otherwise an attempt could fail in a jail for a reason that is none of the jail's.
#[test]
fn without_a_jail_every_attempt_of_root_succeeds() {
    needs!(able());
    let world = World::new(NONE);
    for name in attempts() {
        // vsrun closes the descriptor that its caller has left open, without any jail.
        let result =
            if ["fchdir", "fd-links"].contains(&&*name) { world.attempt_alone(&name) } else { world.attempt(&name) };
        assert_eq!(result, "out", "{name}");
    }
}

#[test]
fn a_changed_root_keeps_root_in_as_the_table_says() {
    assert_table_is_true_of(ROOT);
}

#[test]
fn a_changed_root_and_user_keep_in_what_the_table_says() {
    assert_table_is_true_of(ROOT_USER);
}

#[test]
fn landlock_keeps_root_in_as_the_table_says() {
    assert_table_is_true_of(LANDLOCK_ROOT);
}

#[test]
fn landlock_keeps_a_user_in_as_the_table_says() {
    assert_table_is_true_of(LANDLOCK_USER);
}

#[test]
fn both_jails_keep_in_what_the_table_says() {
    assert_table_is_true_of(BOTH);
}

#[test]
fn no_set_user_id_program_makes_root_without_new_privileges() {
    needs!(able());
    let world = World::new(ROOT_USER);
    for (option, result) in [(words!["--no-new-privs"], "kept"), (words![], "out")] {
        lay_out(&world.sandbox);
        let line = [world.options(), option, words!["--", "/probe", "escape", "set-user-id"]].concat();
        world.call(world.sandbox.vsrun(line)).finish().exited(0);
        assert!(world.result("set-user-id").starts_with(result), "{}", world.result("set-user-id"));
    }
}

#[test]
fn without_a_user_the_server_that_vsrun_becomes_keeps_the_terminal() {
    needs!(able());
    let world = World::new(LANDLOCK_USER);
    for (options, result) in [(world.options(), "kept"), (world.options().split_off(1), "out")] {
        lay_out(&world.sandbox);
        let line = [options, words!["--", world.inside("probe"), "escape", "keystroke"]].concat();
        let (call, _terminal) = world.call(world.sandbox.vsrun(line)).on_terminal();
        call.finish().exited(0);
        assert!(world.result("keystroke").starts_with(result), "{}", world.result("keystroke"));
    }
}
