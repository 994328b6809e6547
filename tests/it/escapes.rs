//! Which attempts to escape succeed from which jail: each attempt of the probe (`tests/probe/escape.rs`) is made in
//! each jail, and compared with the table in SECURITY.md.

use crate::harness::{self, Call, Mount, Mounts, PLAIN, Running, Sandbox, needs, sys, words};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

/// A kind of jail, which is one column of the table in SECURITY.md.
#[derive(Clone, Copy)]
struct Jail {
    /// The heading of the table's column.
    column: &'static str,
    /// True if vsrun itself is called by a plain user.
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

/// What is outside of a jail: a directory, an accomplice (a process with the server's user), sockets, and a key of the
/// caller.
pub struct Outside {
    directory: PathBuf,
    /// The server's writable directory, as a path on the host.
    server_directory: PathBuf,
    facts: Vec<(String, String)>,
    _accomplice: Running,
    _listeners: (TcpListener, UnixListener, UnixListener),
}

const KEY: &CStr = c"vsrun-escape";

impl Outside {
    /// `call` turns a call as the sandbox's user into the call of the accomplice, for instance as another user.
    #[track_caller]
    pub fn new<'a>(sandbox: &'a Sandbox, own: PathBuf, call: impl FnOnce(Call<'a>) -> Call<'a>) -> Self {
        let directory = sandbox.path("outside");
        harness::sandbox::make_directory(&directory, 0o777);
        let facts = sandbox.out("facts");
        let helper = call(sandbox.program(&sandbox.probe(), words!["accomplice", &facts]));
        fs::write(directory.join("secret"), "secret\n").unwrap();
        let accomplice = helper.env("OWN", &own).env("OUTSIDE", &directory).start();
        harness::await_file(&facts);
        let name = format!("vsrun-escape-{}", sandbox.directory().display());
        let listeners = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            UnixListener::bind(directory.join("socket")).unwrap(),
        );
        sys::set_mode(&directory.join("socket"), 0o777);
        let pair = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut facts: Vec<_> = harness::lines(&facts).iter().filter_map(pair).collect();
        facts.extend([
            ("PORT".into(), listeners.0.local_addr().unwrap().port().to_string()),
            ("ABSTRACT".into(), name),
            ("KEY".into(), KEY.to_str().unwrap().into()),
            ("CGROUP".into(), format!("{}/cgroup.procs", control_groups().unwrap_or_default())),
            ("OUTSIDE".into(), directory.display().to_string()),
        ]);
        Self { directory, server_directory: own, facts, _accomplice: accomplice, _listeners: listeners }
    }

    /// Restores the server's directory and the files outside to their state before an attempt.
    pub fn lay_out(&self) {
        for name in harness::names(&self.server_directory).iter().filter(|name| *name != "accomplice") {
            let path = self.server_directory.join(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        let _ = fs::remove_dir_all(self.directory.join("wanders"));
        let _ = fs::remove_file(self.directory.join("made"));
        for (name, text) in [("secret", "secret\n"), ("file", "file\n")] {
            fs::write(self.directory.join(name), text).unwrap();
        }
        let file = self.directory.join("file");
        sys::set_mode(&file, 0o666);
        chown(file, Some(PLAIN), Some(PLAIN)).unwrap();
    }

    /// Adds to a call of the probe what its attempts need: the host's root directory as descriptor 20, a key in the
    /// caller's keyring, and environment variables. `own`, `program` and `suid` are paths as the server sees them.
    pub fn prepare_call<'a>(&self, call: Call<'a>, own: &Path, program: &Path, suid: &Path) -> Call<'a> {
        let host = fs::File::open("/").unwrap();
        let leak = move || sys::duplicate(host.as_raw_fd(), 20);
        let call = call.before(leak).before(|| sys::make_key(KEY));
        let call = self.facts.iter().fold(call, |call, (name, value)| call.env(name, value));
        call.env("OWN", own).env("PROGRAM", program).env("SUID", suid)
    }

    /// The result of the attempt: `out`, or `kept` with the reason.
    #[track_caller]
    pub fn result(&self, what: &str) -> String {
        let said = harness::lines(&self.server_directory.join("result"));
        assert_eq!(said.len(), 1, "{what}: {said:?}");
        said[0].clone()
    }
}

/// The mount point of a control group file system, of version 1 or 2.
fn control_groups() -> Option<String> {
    let mounts = harness::text(Path::new("/proc/self/mountinfo"));
    let line = mounts.lines().find(|line| line.contains(" - cgroup"))?;
    line.split(' ').nth(4).filter(|path| Path::new(path).join("cgroup.procs").exists()).map(str::to_owned)
}

/// A jail with what is outside of it.
struct JailTest {
    sandbox: Sandbox,
    jail: Jail,
    mounts: Mounts,
    outside: Outside,
}

impl JailTest {
    #[track_caller]
    fn new(jail: Jail) -> Self {
        let sandbox = if jail.plain { Sandbox::plain() } else { Sandbox::new() };
        let directory = sandbox.jail();
        harness::sandbox::make_directory(&directory.join("proc"), 0o755);
        harness::sandbox::copy(&sandbox.probe(), &directory.join("suid"));
        sys::set_mode(&directory.join("suid"), 0o4755);
        let mounts = Mounts::new(&sandbox, &[Mount::Bind("/proc".into(), directory.join("proc"))]);
        let outside = Outside::new(&sandbox, directory.join("out"), |call| {
            if jail.user { call.before(|| sys::become_plain(PLAIN)) } else { call }
        });
        Self { sandbox, jail, mounts, outside }
    }

    /// A path in the jail, as the server sees it.
    fn inside(&self, name: &str) -> PathBuf {
        let top = if self.jail.root { PathBuf::from("/") } else { self.sandbox.path("jail") };
        top.join(name)
    }

    fn call<'a>(&'a self, call: Call<'a>) -> Call<'a> {
        let (own, program, suid) = (self.inside("out"), self.inside("probe"), self.inside("suid"));
        self.outside.prepare_call(call.within(&self.mounts), &own, &program, &suid)
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

    /// Makes one attempt and returns its result: `out`, or `kept` with the reason.
    #[track_caller]
    fn attempt(&self, name: &str) -> String {
        self.outside.lay_out();
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
        self.outside.result(&format!("{name} in {}: {ended:?}", self.jail.column))
    }

    /// Makes one attempt without vsrun and returns its result.
    #[track_caller]
    fn attempt_alone(&self, name: &str) -> String {
        self.outside.lay_out();
        let ended = self.call(self.sandbox.program(&self.sandbox.probe(), words!["escape", name])).finish();
        self.outside.result(&format!("{name} without vsrun: {ended:?}"))
    }
}

fn can_test_escapes() -> bool {
    let sandbox = Sandbox::new();
    let line = words!["--rwx", "/", "--bind-tcp", "none", "--scope", "signal", "--", sandbox.probe()];
    harness::root()
        && harness::tool("unshare")
        && harness::available(sandbox.vsrun(line).finish().code() == Some(0), "a kernel with Landlock of Linux 6.12")
        && harness::available(sys::grants_special_rights(sandbox.directory()), "set-user-id programs")
        && harness::available(allows_everything(), "a kernel that lets users make namespaces, rings and keystrokes")
        && harness::available(control_groups().is_some(), "control groups")
}

/// True if no setting of this kernel refuses what an attempt of the table needs.
fn allows_everything() -> bool {
    let set = |name: &str, value: &str| harness::text(&Path::new("/proc/sys").join(name)).trim() == value;
    let refused =
        [("dev/tty/legacy_tiocsti", "0"), ("kernel/io_uring_disabled", "1"), ("kernel/io_uring_disabled", "2")];
    let sandbox = Sandbox::plain();
    let unshare = sandbox.program(&harness::find_tool("unshare").unwrap(), words!["--user", "--", sandbox.probe()]);
    unshare.finish().code() == Some(0) && !refused.iter().any(|(name, value)| set(name, value))
}

fn attempts() -> Vec<String> {
    let sandbox = Sandbox::new();
    sandbox.program(&sandbox.probe(), words!["escapes"]).finish().assert_exited(0).out.clone()
}

/// The beginning of the table's first line in SECURITY.md.
const TABLE: &str = "| Attempt |";

/// Reads the table that begins with `heading`: by attempt and column, whether the attempt gets out of that jail.
pub fn table(heading: &str) -> BTreeMap<String, BTreeMap<String, bool>> {
    let text = harness::text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md"));
    let rows = text.lines().skip_while(|line| !line.starts_with(heading)).take_while(|line| !line.is_empty());
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
    needs!(can_test_escapes());
    let world = JailTest::new(jail);
    let table = table(TABLE);
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
    assert_eq!(table(TABLE).into_keys().collect::<Vec<_>>(), attempts);
}

/// Otherwise an attempt in a jail could fail for a reason that has nothing to do with the jail.
#[test]
fn without_a_jail_every_attempt_of_root_succeeds() {
    needs!(can_test_escapes());
    let world = JailTest::new(NONE);
    for name in attempts() {
        // Even without a jail, vsrun closes the descriptor that its caller has left open: these two attempts run
        // without vsrun.
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
    needs!(can_test_escapes());
    let world = JailTest::new(ROOT_USER);
    for (option, result) in [(words!["--no-new-privs"], "kept"), (words![], "out")] {
        world.outside.lay_out();
        let line = [world.options(), option, words!["--", "/probe", "escape", "set-user-id"]].concat();
        world.call(world.sandbox.vsrun(line)).finish().assert_exited(0);
        assert!(world.outside.result("set-user-id").starts_with(result), "{}", world.outside.result("set-user-id"));
    }
}

#[test]
fn without_a_user_the_server_that_vsrun_becomes_keeps_the_terminal() {
    needs!(can_test_escapes());
    let world = JailTest::new(LANDLOCK_USER);
    for (options, result) in [(world.options(), "kept"), (world.options().split_off(1), "out")] {
        world.outside.lay_out();
        let line = [options, words!["--", world.inside("probe"), "escape", "keystroke"]].concat();
        let (call, _terminal) = world.call(world.sandbox.vsrun(line)).on_terminal();
        call.finish().assert_exited(0);
        assert!(world.outside.result("keystroke").starts_with(result), "{}", world.outside.result("keystroke"));
    }
}
