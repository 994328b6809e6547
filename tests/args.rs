//! A command line that goes on in a file, and a file that is a service.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{PLAIN, Place, needs, words};
use std::fs;
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
}
