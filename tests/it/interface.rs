//! The stable interface (SUPPORT.md): options and exit statuses are those of docs/interface.txt, so that no
//! incompatible change happens by accident.

use crate::harness::{Sandbox, words};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the two parts of docs/interface.txt: the lines of `--help-completion`, and the lines `STATUS meaning`.
fn listed() -> (BTreeSet<String>, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interface.txt");
    let text = fs::read_to_string(path).unwrap();
    let (options, statuses) = text.split_once("\n\n").unwrap();
    let lines = |part: &str| part.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    (lines(options).into_iter().collect(), lines(statuses))
}

#[test]
fn options_are_those_of_the_checked_in_list() {
    let sandbox = Sandbox::new();
    let ended = sandbox.vsrun(words!["--help-completion"]).finish();
    let found: BTreeSet<String> = ended.assert_exited(0).out.iter().cloned().collect();
    let (expected, _) = listed();
    let gone: Vec<_> = expected.difference(&found).collect();
    let new: Vec<_> = found.difference(&expected).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the options differ from docs/interface.txt: gone {gone:#?}, new {new:#?}. A line that is gone or changed breaks \
         scripts: see SUPPORT.md. If that is meant, change the file and write it into the CHANGELOG."
    );
}

#[test]
fn exit_statuses_are_those_of_the_checked_in_list() {
    let sandbox = Sandbox::new();
    let probe = sandbox.probe();
    let status = |line| sandbox.vsrun(line).finish().code().unwrap();
    let found = [
        (status(words!["--", &probe, "exit", "0"]), "the server exited with 0"),
        (status(words!["--", &probe, "exit", "7"]), "the server exited with 7"),
        (status(words!["--init", "--", &probe, "raise", "15"]), "the server was killed by signal 15"),
        (status(words!["--no-such-option"]), "wrong usage"),
        (status(words!["-w", "/no/such/directory", "--", &probe, "exit", "0"]), "the server could not be set up"),
        (status(words!["--", sandbox.directory()]), "COMMAND could not be executed"),
        (status(words!["--", "/no/such/command"]), "COMMAND was not found"),
        (status(words!["--status", sandbox.path("none")]), "--status: not running"),
        (status(words!["--status", sandbox.directory()]), "--status: unknown"),
        (status(words!["--signal", "HUP", sandbox.path("none")]), "--signal: not running"),
        (status(words!["--stop", sandbox.path("none")]), "--stop: not running"),
        (status(words!["--replace", sandbox.path("none")]), "--replace: not running"),
        (status(words!["--probe", sandbox.path("none")]), "--probe: not healthy"),
    ];
    let found: Vec<String> = found.iter().map(|(status, meaning)| format!("{status} {meaning}")).collect();
    assert_eq!(found, listed().1, "the statuses differ from docs/interface.txt");
}
