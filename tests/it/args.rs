//! `--args`: a file with a part of the command line, or with a whole service.

use crate::harness::{self, PLAIN, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

/// Writes a file for `--args` with this text, and returns its name.
fn file(sandbox: &Sandbox, text: &str) -> &'static str {
    fs::write(sandbox.path("service"), text).unwrap();
    "service"
}

#[test]
fn lines_are_arguments_and_further_words_are_the_commands() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let (probe, to) = (sandbox.probe(), report.display().to_string());
    let text = format!("# a comment\n\n  --env=A=b c \r\n\t--umask\n077\n--\n{}\nreport\n{to}\n", probe.display());
    for line in [words!["--args", file(&sandbox, &text), "exit", "7"], words!["--args=service", "exit", "7"]] {
        sandbox.vsrun(line).finish().assert_exited(7);
        let found = sandbox.report(&report);
        assert_eq!(found.variable("A").as_deref(), Some("b c"));
        assert_eq!(found.number("umask"), 0o077);
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn options_before_the_args_file_precede_its_lines() {
    let sandbox = Sandbox::new();
    let text = format!("-f\n--\n{}\nexit\n3\n", sandbox.probe().display());
    // `-f` in the file comes after `-b`, and the later of the two counts.
    sandbox.vsrun(words!["-b", "--args", file(&sandbox, &text)]).finish().assert_exited(3);
}

/// The words before `--args`, the lines of the file and the words after it are one command line, in this order.
#[test]
fn the_lines_of_the_file_replace_its_option() {
    let sandbox = Sandbox::new();
    let probe = sandbox.probe().display().to_string();
    let said = |words: Vec<OsString>| {
        let _ = fs::remove_file(sandbox.out("said"));
        sandbox.vsrun(words).finish().assert_exited(0).assert_silent();
        harness::lines(&sandbox.out("said"))
    };
    // The file has only options: further options, `--` and the command are on the command line.
    fs::write(sandbox.path("options"), "-e\nA=1\n--umask\n077").unwrap();
    let command = words!["--", &probe, "append", "out/said", "--args"];
    assert_eq!(said([words!["--args", "options", "--argv0", "x"], command.clone()].concat()), ["--args"]);
    assert_eq!(said([words!["--argv0", "x", "--args=options"], command].concat()), ["--args"]);
    // The file has the first `--`: all words after it belong to the command.
    fs::write(sandbox.path("service"), format!("--\n{probe}\nappend\nout/said\n")).unwrap();
    assert_eq!(said(words!["--args", "service", "--"]), ["--"]);
    assert_eq!(said(words!["--args", "service", "--help"]), ["--help"]);
    assert_eq!(said(words!["--args", "service", "--args=service"]), ["--args=service"]);
    // The file ends with an option whose value is on the command line.
    fs::write(sandbox.path("half"), "--argv0\nx\n--umask").unwrap();
    assert_eq!(said(words!["--args", "half", "077", "--", &probe, "append", "out/said", "half"]), ["half"]);
}

#[test]
fn lines_are_any_bytes_and_their_ends_those_of_any_system() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let begin = format!("#!/nowhere\r\n \t \r\n\t# a comment\r\n--\r\n{}\r\nreport\r\n", sandbox.probe().display());
    let text =
        [begin.as_bytes(), report.as_os_str().as_bytes(), b"\r\nexit\r\n0\r\n", b" \xff \x01\xfe\t\r\n #no\nx#y"];
    fs::write(sandbox.path("service"), text.concat()).unwrap();
    sandbox.vsrun(words!["--args", "service"]).finish().assert_exited(0).assert_silent();
    let arguments = sandbox.report(&report).bytes("argument");
    assert_eq!(arguments[3..], [b"exit".to_vec(), b"0".to_vec(), b"\xff \x01\xfe".to_vec(), b"x#y".to_vec()]);
}

#[test]
fn the_args_file_may_be_a_pipe() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("service"), format!("--\n{}\nexit\n", sandbox.probe().display())).unwrap();
    let input = fs::File::open(sandbox.path("service")).unwrap();
    sandbox.vsrun(words!["--args", "/dev/stdin", "5"]).stdin(input).finish().assert_exited(5);
    let (reader, mut writer) = harness::sys::pipe();
    let caller = sandbox.vsrun(words!["--args", "/proc/self/fd/0", "6"]).stdin(reader).start();
    for part in ["--\n", &sandbox.probe().display().to_string(), "\nex", "it\n"] {
        writer.write_all(part.as_bytes()).unwrap();
    }
    drop(writer);
    caller.finish().assert_exited(6);
}

#[test]
fn help_version_and_status_work_in_an_args_file() {
    let sandbox = Sandbox::new();
    for (text, first) in [("-b\n--version\n--bogus\n", "vsrun "), ("--help\n", "Usage: vsrun ")] {
        let ended = sandbox.vsrun(words!["--args", file(&sandbox, text)]).finish();
        assert!(ended.assert_exited(0).out[0].starts_with(first), "{ended:?}");
    }
    // `--version` before `--args`: the file is not read.
    sandbox.vsrun(words!["--version", "--args", "missing"]).finish().assert_exited(0);
    sandbox.vsrun(words!["--args", file(&sandbox, "--status\npid\n")]).finish().assert_exited(3);
}

/// A whole service in one file: it starts in the background under a manager, only once, and `--stop` finds its pidfile.
#[test]
fn a_service_in_one_file() {
    let sandbox = Sandbox::new();
    let text = format!(
        "#!{} --args\n# a service\n\n--background\n--manager\nkeeper\n-\n--pidfile\npid\n--ready\nfd:4\n--\n{}\ntell\n4\n\\\n",
        sandbox.path("vsrun").display(),
        sandbox.probe().display()
    );
    let service = sandbox.executable("service", text.as_bytes());
    sandbox.program(&service, words!["report", "out/report", "wait", "two words", ""]).finish().assert_exited(0);
    let arguments = sandbox.report(&sandbox.out("report")).all("argument");
    assert_eq!(arguments[1..], ["tell", "4", "\\", "report", "out/report", "wait", "two words", ""]);
    sandbox.program(&service, words!["wait"]).finish().assert_failed(125, &["already running"]);
    sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
    sandbox.await_nothing_left();
}

/// The root has no shell, /proc, /dev or /etc: only vsrun, this file and the server.
#[test]
fn vsrun_runs_as_init_in_an_otherwise_empty_root() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &jail.join("vsrun"));
    let text = "#!/vsrun --args\n--restart\non-failure\n--\n/probe\nlife\n/out/life\nat\n1\nexit\n1\nreport\n";
    fs::write(jail.join("init"), text).unwrap();
    fs::set_permissions(jail.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let root = jail.clone();
    let call = sandbox.program("/init".as_ref(), words!["/out/report", "exit", "0"]);
    call.before(move || harness::sys::change_root(root.as_os_str())).finish().assert_exited(0);
    assert_eq!(harness::lives(&jail.join("out/life")).len(), 2);
    assert_eq!(sandbox.report(&jail.join("out/report")).one("cwd"), "/");
}

#[test]
fn an_args_file_can_be_executed() {
    let sandbox = Sandbox::new();
    let vsrun = harness::sandbox::built("vsrun");
    let text = format!("#!{} --args\n--\n{}\nappend\n", vsrun.display(), sandbox.probe().display());
    let service = sandbox.executable("service", text.as_bytes());
    sandbox.program(&service, words![sandbox.out("said"), "hello"]).finish().assert_exited(0);
    assert_eq!(harness::lines(&sandbox.out("said")), ["hello"]);
}

#[test]
fn an_unreadable_args_file_is_an_error_with_status_125() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["--args", "missing"]).finish().assert_failed(125, &["'missing'", "No such file"]);
    sandbox.vsrun(words!["--args", sandbox.directory()]).finish().assert_failed(125, &["Is a directory"]);
    sandbox.vsrun(words!["--args", "/dev/zero"]).finish().assert_failed(125, &["/dev/zero", "too large"]);
    needs!(harness::root());
    let other = Sandbox::of_user(PLAIN);
    file(&other, "--\ntrue\n");
    fs::set_permissions(other.path("service"), fs::Permissions::from_mode(0o000)).unwrap();
    other.vsrun(words!["--args", "service"]).finish().assert_failed(125, &["'service'", "Permission denied"]);
    harness::sandbox::make_directory(&other.path("closed"), 0o000);
    other
        .vsrun(words!["--args", "closed/service"])
        .finish()
        .assert_failed(125, &["closed/service", "Permission denied"]);
    // The kernel may execute the file, but vsrun as its interpreter opens it with the rights of the caller.
    let text = format!("#!{} --args\n--\ntrue\n", other.path("vsrun").display());
    let service = other.executable("executable", text.as_bytes());
    fs::set_permissions(&service, fs::Permissions::from_mode(0o711)).unwrap();
    other.program(&service, words![]).finish().assert_failed(125, &["executable'", "Permission denied"]);
}

#[test]
fn a_malformed_name_is_reported_in_one_line() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["--args"]).finish().assert_failed(2, &["--args"]);
    sandbox.vsrun(words!["--args", ""]).finish().assert_failed(2, &["--args"]);
    sandbox.vsrun(words!["--args", "a\nb\\"]).finish().assert_failed(125, &["a\\x0ab\\x5c"]);
    fs::write(sandbox.path("a\nb"), "--bogus\n").unwrap();
    sandbox.vsrun(words!["--args", "a\nb"]).finish().assert_failed(2, &["a\\x0ab:1: ", "--bogus"]);
}

#[test]
fn wrong_lines_are_named_by_file_and_line() {
    let sandbox = Sandbox::new();
    for (text, parts) in [
        ("", ["service: ", "'-- COMMAND' is missing"]),
        ("# nothing\n", ["service: ", "'-- COMMAND' is missing"]),
        ("-b\n--args\nservice\n--\ntrue\n", ["service:3: ", "--args"]),
        ("--umask\n077\n--bogus\n--\ntrue\n", ["service:3: ", "--bogus"]),
        ("--umask\n999\n--\ntrue\n", ["service:2: ", "'999'"]),
        ("--user\n\n--\ntrue\n", ["service:1: ", "--user"]),
        ("true\n", ["service:1: ", "'true'"]),
        ("-b\n--env\nA=\0\n--\ntrue\n", ["service:3: ", "NUL"]),
        ("--stop-timeout\n5\n--\ntrue\n", ["service: ", "--stop-timeout"]),
        ("-b\n\n# x\n--args=service\n--\ntrue\n", ["service:4: ", "--args"]),
        ("--args=other\n", ["service:1: ", "--args"]),
        ("--args\n", ["service:1: ", "--args"]),
        ("\r\n--bogus\r\n--\r\n", ["service:2: ", "--bogus"]),
        ("-b\n-b=\x1b[31m\n--\ntrue\n", ["service:2: ", "-b"]),
        ("\0\n--\ntrue\n", ["service:1: ", "NUL"]),
        ("--\ntrue\na\0b", ["service:3: ", "NUL"]),
        ("-m\n-\n", ["service:2: ", "--manager"]),
        ("--umask\n--\ntrue\n", ["service:1: ", "--umask"]),
        ("--\n", ["service: ", "no COMMAND"]),
        ("-p\nsame\n-p\nsame\n--\ntrue\n", ["service:4: ", "--pidfile"]),
    ] {
        sandbox.vsrun(words!["--args", file(&sandbox, text)]).finish().assert_failed(2, &parts);
    }
}

#[test]
fn a_long_line_is_one_argument() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(100_000);
    let text = format!("--\n{}\nappend\n{}\n{long}\n", sandbox.probe().display(), sandbox.out("said").display());
    sandbox.vsrun(words!["--args", file(&sandbox, &text)]).finish().assert_exited(0);
    assert_eq!(harness::text(&sandbox.out("said")).len(), 100_001);
    // The kernel limits one argument of execve(2) to 128 KiB. The line of 200 kB in the file is no such argument, but
    // COMMAND gets it.
    let text = text.replace(&long, &long.repeat(2));
    sandbox.vsrun(words!["--args", file(&sandbox, &text)]).finish().assert_failed(126, &["probe", "too long"]);
    // After a comment of 500 kB, an error about a value of 100 kB still names the right line.
    let text = format!("#{}\n--umask\n{long}\n", long.repeat(5));
    sandbox.vsrun(words!["--args", file(&sandbox, &text)]).finish().assert_failed(2, &["service:3: ", "--umask"]);
}
