//! A command line that goes on in a file, and a file that is a service.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{PLAIN, Place, needs, words};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

/// A file of arguments with this text.
fn file(place: &Place, text: &str) -> &'static str {
    fs::write(place.path("service"), text).unwrap();
    "service"
}

#[test]
fn lines_are_arguments_and_further_words_are_the_commands() {
    let place = Place::new();
    let report = place.out("report");
    let (probe, to) = (place.probe(), report.display().to_string());
    let text = format!("# a comment\n\n  --env=A=b c \r\n\t--umask\n077\n--\n{}\nreport\n{to}\n", probe.display());
    for line in [words!["--args", file(&place, &text), "exit", "7"], words!["--args=service", "exit", "7"]] {
        place.vsrun(line).finish().exited(7);
        let found = place.report(&report);
        assert_eq!(found.variable("A").as_deref(), Some("b c"));
        assert_eq!(found.number("umask"), 0o077);
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn words_before_it_stand_before_its_lines() {
    let place = Place::new();
    let text = format!("-f\n--\n{}\nexit\n3\n", place.probe().display());
    // The later of the two counts.
    place.vsrun(words!["-b", "--args", file(&place, &text)]).finish().exited(3);
}

/// Where the words stand makes one command line of them.
#[test]
fn the_file_stands_where_its_option_stood() {
    let place = Place::new();
    let probe = place.probe().display().to_string();
    let said = |words: Vec<OsString>| {
        let _ = fs::remove_file(place.out("said"));
        place.vsrun(words).finish().exited(0).silently();
        kit::lines(&place.out("said"))
    };
    // Options alone: the rest is on the command line, with the first `--`.
    fs::write(place.path("options"), "-e\nA=1\n--umask\n077").unwrap();
    let command = words!["--", &probe, "append", "out/said", "--args"];
    assert_eq!(said([words!["--args", "options", "--argv0", "x"], command.clone()].concat()), ["--args"]);
    assert_eq!(said([words!["--argv0", "x", "--args=options"], command].concat()), ["--args"]);
    // The first `--` in the file: everything behind it is the command's own.
    fs::write(place.path("service"), format!("--\n{probe}\nappend\nout/said\n")).unwrap();
    assert_eq!(said(words!["--args", "service", "--"]), ["--"]);
    assert_eq!(said(words!["--args", "service", "--help"]), ["--help"]);
    assert_eq!(said(words!["--args", "service", "--args=service"]), ["--args=service"]);
    // Half of an option, and the other half.
    fs::write(place.path("half"), "--argv0\nx\n--umask").unwrap();
    assert_eq!(said(words!["--args", "half", "077", "--", &probe, "append", "out/said", "half"]), ["half"]);
}

#[test]
fn lines_are_any_bytes_and_their_ends_those_of_any_system() {
    let place = Place::new();
    let report = place.out("report");
    let begin = format!("#!/nowhere\r\n \t \r\n\t# a comment\r\n--\r\n{}\r\nreport\r\n", place.probe().display());
    let text =
        [begin.as_bytes(), report.as_os_str().as_bytes(), b"\r\nexit\r\n0\r\n", b" \xff \x01\xfe\t\r\n #no\nx#y"];
    fs::write(place.path("service"), text.concat()).unwrap();
    place.vsrun(words!["--args", "service"]).finish().exited(0).silently();
    let arguments = place.report(&report).bytes("argument");
    assert_eq!(arguments[3..], [b"exit".to_vec(), b"0".to_vec(), b"\xff \x01\xfe".to_vec(), b"x#y".to_vec()]);
}

#[test]
fn it_may_come_through_a_pipe() {
    let place = Place::new();
    fs::write(place.path("service"), format!("--\n{}\nexit\n", place.probe().display())).unwrap();
    let input = fs::File::open(place.path("service")).unwrap();
    place.vsrun(words!["--args", "/dev/stdin", "5"]).stdin(input).finish().exited(5);
    let (reader, mut writer) = kit::sys::pipe();
    let caller = place.vsrun(words!["--args", "/proc/self/fd/0", "6"]).stdin(reader).start();
    for part in ["--\n", &place.probe().display().to_string(), "\nex", "it\n"] {
        writer.write_all(part.as_bytes()).unwrap();
    }
    drop(writer);
    caller.finish().exited(6);
}

#[test]
fn questions_in_it_are_answered() {
    let place = Place::new();
    for (text, first) in [("-b\n--version\n--bogus\n", "vsrun "), ("--help\n", "Usage: vsrun ")] {
        let ended = place.vsrun(words!["--args", file(&place, text)]).finish();
        assert!(ended.exited(0).out[0].starts_with(first), "{ended:?}");
    }
    // Who asks first need not read it.
    place.vsrun(words!["--version", "--args", "missing"]).finish().exited(0);
    place.vsrun(words!["--args", file(&place, "--status\npid\n")]).finish().exited(3);
}

/// All of a service in one file: in the background, under a manager, asked and stopped by its pidfile.
#[test]
fn a_service_in_one_file() {
    let place = Place::new();
    let text = format!(
        "#!{} --args\n# a service\n\n--background\n--manager\nkeeper\n-\n--pidfile\npid\n--ready\nfd:4\n--\n{}\ntell\n4\n\\\n",
        place.path("vsrun").display(),
        place.probe().display()
    );
    let service = place.executable("service", text.as_bytes());
    place.program(&service, words!["report", "out/report", "wait", "two words", ""]).finish().exited(0);
    let arguments = place.report(&place.out("report")).all("argument");
    assert_eq!(arguments[1..], ["tell", "4", "\\", "report", "out/report", "wait", "two words", ""]);
    place.program(&service, words!["wait"]).finish().failed(125, &["already running"]);
    place.vsrun(words!["--stop", "pid"]).finish().exited(0);
    place.await_nothing_left();
}

/// No shell, no /proc, no /dev, no /etc: the file is all there is.
#[test]
fn an_init_in_an_empty_root() {
    needs!(kit::root());
    let place = Place::new();
    let jail = place.jail();
    kit::place::install(&kit::place::built("vsrun"), &jail.join("vsrun"));
    let text = "#!/vsrun --args\n--restart\non-failure\n--\n/probe\nlife\n/out/life\nat\n1\nexit\n1\nreport\n";
    fs::write(jail.join("init"), text).unwrap();
    fs::set_permissions(jail.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let root = jail.clone();
    let call = place.program("/init".as_ref(), words!["/out/report", "exit", "0"]);
    call.before(move || kit::sys::change_root(root.as_os_str())).finish().exited(0);
    assert_eq!(kit::lives(&jail.join("out/life")).len(), 2);
    assert_eq!(place.report(&jail.join("out/report")).one("cwd"), "/");
}

#[test]
fn it_can_be_executed() {
    let place = Place::new();
    let vsrun = kit::place::built("vsrun");
    let text = format!("#!{} --args\n--\n{}\nappend\n", vsrun.display(), place.probe().display());
    let service = place.executable("service", text.as_bytes());
    place.program(&service, words![place.out("said"), "hello"]).finish().exited(0);
    assert_eq!(kit::lines(&place.out("said")), ["hello"]);
}

#[test]
fn what_cannot_be_read_is_125() {
    let place = Place::new();
    place.vsrun(words!["--args", "missing"]).finish().failed(125, &["'missing'", "No such file"]);
    place.vsrun(words!["--args", place.directory()]).finish().failed(125, &["Is a directory"]);
    place.vsrun(words!["--args", "/dev/zero"]).finish().failed(125, &["/dev/zero", "too large"]);
    needs!(kit::root());
    let other = Place::of_user(PLAIN);
    file(&other, "--\ntrue\n");
    fs::set_permissions(other.path("service"), fs::Permissions::from_mode(0o000)).unwrap();
    other.vsrun(words!["--args", "service"]).finish().failed(125, &["'service'", "Permission denied"]);
    kit::place::make_directory(&other.path("closed"), 0o000);
    other.vsrun(words!["--args", "closed/service"]).finish().failed(125, &["closed/service", "Permission denied"]);
    // As an interpreter, it is the caller's rights that count.
    let text = format!("#!{} --args\n--\ntrue\n", other.path("vsrun").display());
    let service = other.executable("executable", text.as_bytes());
    fs::set_permissions(&service, fs::Permissions::from_mode(0o711)).unwrap();
    other.program(&service, words![]).finish().failed(125, &["executable'", "Permission denied"]);
}

#[test]
fn a_malformed_name_is_told_in_one_line() {
    let place = Place::new();
    place.vsrun(words!["--args"]).finish().failed(2, &["--args"]);
    place.vsrun(words!["--args", ""]).finish().failed(2, &["--args"]);
    place.vsrun(words!["--args", "a\nb\\"]).finish().failed(125, &["a\\x0ab\\x5c"]);
    fs::write(place.path("a\nb"), "--bogus\n").unwrap();
    place.vsrun(words!["--args", "a\nb"]).finish().failed(2, &["a\\x0ab:1: ", "--bogus"]);
}

#[test]
fn wrong_lines_are_named_by_file_and_line() {
    let place = Place::new();
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
        place.vsrun(words!["--args", file(&place, text)]).finish().failed(2, &parts);
    }
}

#[test]
fn a_long_line_is_one_argument() {
    let place = Place::new();
    let long = "x".repeat(100_000);
    let text = format!("--\n{}\nappend\n{}\n{long}\n", place.probe().display(), place.out("said").display());
    place.vsrun(words!["--args", file(&place, &text)]).finish().exited(0);
    assert_eq!(kit::text(&place.out("said")).len(), 100_001);
    // The kernel's limit is half of that; the file is none of its business.
    let text = text.replace(&long, &long.repeat(2));
    place.vsrun(words!["--args", file(&place, &text)]).finish().failed(126, &["probe", "too long"]);
    // Options and comments are as long as they are.
    let text = format!("#{}\n--umask\n{long}\n", long.repeat(5));
    place.vsrun(words!["--args", file(&place, &text)]).finish().failed(2, &["service:3: ", "--umask"]);
}
