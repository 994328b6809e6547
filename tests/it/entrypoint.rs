//! Options that replace an entrypoint script: environment files, secrets from files, variables in the command.

use crate::harness::{self, PLAIN, Sandbox, needs, words};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A file in the test's directory that only its owner can read.
fn secret_file(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> OsString {
    let path = sandbox.path(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.into_os_string()
}

#[test]
fn environment_sources_override_each_other_in_the_documented_order() {
    needs!(harness::root());
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let first = secret_file(&sandbox, "first", b"# comment\nA=first\nB=first\nHOME=/first\nD=first\nOWN\nUNSET\n");
        let second = secret_file(&sandbox, "second", b"B=second # literal\r\nC=\"quoted\"\nSECRET_FILE=/nonexistent\n");
        let secret = secret_file(&sandbox, "secret", b"hunter2\n\n");
        fs::create_dir(sandbox.path("env")).unwrap();
        fs::write(sandbox.path("env/D"), "dir").unwrap();
        fs::write(sandbox.path("env/SECRET_FILE"), sandbox.path("secret").into_os_string().into_encoded_bytes())
            .unwrap();
        let _ = secret;
        let files = words!["--env-file", first, "--env-file", second, "--env-dir", sandbox.path("env")];
        let options = words!["-u", format!("{PLAIN}"), "--file-env", "SECRET,OTHER", "-e", "A=line"];
        let report = sandbox.out("report");
        let command = words!["--", sandbox.probe(), "report", &report];
        sandbox.vsrun([way, files, options, command].concat()).env("OWN", "mine").finish().assert_exited(0);
        let found = sandbox.report(&report);
        let variable = |name: &str| found.variable(name);
        assert_eq!(variable("A").as_deref(), Some("line"));
        assert_eq!(variable("B").as_deref(), Some("second # literal"));
        assert_eq!(variable("C").as_deref(), Some("\"quoted\""));
        assert_eq!(variable("D").as_deref(), Some("dir"));
        assert_eq!(variable("HOME").as_deref(), Some("/first"));
        assert_eq!(variable("OWN").as_deref(), Some("mine"));
        assert_eq!(variable("UNSET"), None);
        assert_eq!(variable("SECRET").as_deref(), Some("hunter2\n"), "one newline is cut");
        assert_eq!((variable("SECRET_FILE"), variable("OTHER")), (None, None));
    }
}

#[test]
fn a_name_alone_passes_a_value_on_through_a_cleared_environment() {
    let sandbox = Sandbox::new();
    let file = secret_file(&sandbox, "file", b"OWN\nGONE\n");
    let report = sandbox.out("report");
    let line =
        words!["--clear-env", "--env-file", file, "-e", sandbox.mark(), "--", sandbox.probe(), "report", &report];
    sandbox.vsrun(line).env("OWN", "a = b").env("OTHER", "x").finish().assert_exited(0);
    let found = sandbox.report(&report);
    assert_eq!(found.variable("OWN").as_deref(), Some("a = b"));
    assert_eq!((found.variable("OTHER"), found.variable("GONE")), (None, None));
}

#[test]
fn env_option_overrides_a_secret_from_a_file() {
    let sandbox = Sandbox::new();
    let secret = secret_file(&sandbox, "secret", b"from the file");
    let report = sandbox.out("report");
    let line = words!["--file-env", "PASSWORD", "-e", "PASSWORD=x", "--", sandbox.probe(), "report", &report];
    sandbox.vsrun(line).env("PASSWORD_FILE", &secret).finish().assert_exited(0);
    let found = sandbox.report(&report);
    assert_eq!((found.variable("PASSWORD").as_deref(), found.variable("PASSWORD_FILE")), (Some("x"), None));
}

/// Malformed environment files: the text, the number of the wrong line, and the reason.
const FILES: &[(&[u8], usize, &str)] = &[
    (b"A=1\n=2\n", 2, "name before '=' is missing"),
    (b"=", 1, "name before '=' is missing"),
    (b"\xef\xbb\xbf=1", 1, "name before '=' is missing"),
    (b"\n\n  =x", 3, "name before '=' is missing"),
    (b"=\n=", 1, "name before '=' is missing"),
    (b"\t=1", 1, "name before '=' is missing"),
    (b"\r\n=1\r\n", 2, "name before '=' is missing"),
    (b"# a\n\n# b\n= x", 4, "name before '=' is missing"),
    (b"A=\0", 1, "NUL byte"),
    (b"\0=1", 1, "NUL byte"),
    (b"A=1\nB=2\nC=3\n\0\n", 4, "NUL byte"),
    (b"A=1\r\nB\0=\r\n", 2, "NUL byte"),
    (b"A\nB\n\0", 3, "NUL byte"),
    (b"A=1\0\nB=2", 1, "NUL byte"),
    (b"export A=1", 1, "blank in the name"),
    (b"export\tA", 1, "blank in the name"),
    (b"A =1", 1, "blank in the name"),
    (b"A\t=1", 1, "blank in the name"),
    (b"A B", 1, "blank in the name"),
    (b" A B=1", 1, "blank in the name"),
    (b"A=1 \n B =2", 2, "blank in the name"),
    (b"set -e", 1, "blank in the name"),
    (b"A=1\nif true; then", 2, "blank in the name"),
    (b"A\x0c=1", 1, "blank in the name"),
    (b"declare -x A=1", 1, "blank in the name"),
];

/// Malformed words of COMMAND with `--expand`.
const MALFORMED: &[&str] = &[
    "${}", "${", "${A", "${A-x}", "${A:x}", "${A:?x}", "${A:+x}", "${1}", "${1A}", "${A B}", "${A.B}", "${-}",
    "${:-x}", "${@}", "${#A}", "${!A}", "${A%x}", "${A/x/y}", "${A[0]}", "x${A}y${", "$$${", "${ A}", "${A }", "${\n}",
];

/// Words with a variable that is not set.
const UNSET: &[&str] = &["${NO}", "a${A}b${NO}", "${_}"];

#[test]
fn at_least_fifty_malformed_inputs_are_tested() {
    let files: BTreeSet<&[u8]> = FILES.iter().map(|(text, ..)| *text).collect();
    let words: BTreeSet<&str> = MALFORMED.iter().chain(UNSET).copied().collect();
    assert_eq!((files.len(), words.len()), (FILES.len(), MALFORMED.len() + UNSET.len()), "each is another case");
    assert!(files.len() + words.len() >= 50);
}

/// Arguments for a server that would leave a pidfile and a file `ran`.
fn traced(sandbox: &Sandbox) -> Vec<OsString> {
    words!["-p", "pid", "--", sandbox.probe(), "append", sandbox.out("ran"), "x", "exit", "0"]
}

/// Asserts that no server has run, and that no process and no pidfile is left.
#[track_caller]
fn assert_nothing_started(sandbox: &Sandbox) {
    sandbox.await_nothing_left();
    assert!(!sandbox.path("pid").exists() && !sandbox.out("ran").exists());
}

#[test]
fn malformed_environment_files_are_wrong_usage_with_file_and_line() {
    let sandbox = Sandbox::new();
    for (text, line, reason) in FILES {
        let file = secret_file(&sandbox, "file", text);
        let expected = format!("{}:{line}: ", file.to_str().unwrap());
        for way in harness::ways() {
            let line = [way, words!["--env-file", &file], traced(&sandbox)].concat();
            sandbox.vsrun(line).finish().assert_failed(2, &[&expected, reason]);
            assert_nothing_started(&sandbox);
        }
    }
}

#[test]
fn malformed_expansions_are_wrong_usage_and_unset_names_are_errors() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let call = |word: &str| {
            let line = [way.clone(), words!["--expand"], traced(&sandbox), words![word]].concat();
            sandbox.vsrun(line).env("A", "1").without_env("_").finish()
        };
        for word in MALFORMED {
            let named = format!("option --expand: '{}' is malformed: write ${{NAME}}", word.replace('\n', "\\x0a"));
            call(word).assert_failed(2, &[&named]);
            assert_nothing_started(&sandbox);
        }
        for word in UNSET {
            let name = if word.contains("NO") { "NO" } else { "_" };
            let reason = format!("the server's environment does not set {name} (");
            call(word).assert_failed(125, &[&format!("cannot expand '${{{name}}}': "), &reason]);
            assert_nothing_started(&sandbox);
        }
    }
}

#[test]
fn a_malformed_expansion_in_a_service_file_is_reported_with_the_file() {
    let sandbox = Sandbox::new();
    // A service file has one word per line, so a word with a newline cannot be written there.
    for word in MALFORMED.iter().filter(|word| !word.contains('\n')) {
        let words = [words!["--expand"], traced(&sandbox), words![word]].concat();
        let lines: Vec<String> = words.into_iter().map(|word| format!("{}\n", word.into_string().unwrap())).collect();
        fs::write(sandbox.path("service"), lines.concat()).unwrap();
        let ended = sandbox.vsrun(words!["--args", "service"]).env("A", "1").finish();
        ended.assert_failed(2, &["vsrun: service: option --expand: '", "' is malformed"]);
        assert_nothing_started(&sandbox);
    }
}

#[test]
fn words_are_expanded_and_never_split() {
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let report = sandbox.out("report");
        let arguments = words!["${TWO}", "$${TWO}", "${NO:-else where}", "-p${PORT}", "$HOME", "${EMPTY}", "$"];
        let line = [
            way,
            words!["--expand", "-e", "TWO=a  b", "--", "${PROBE}", "report", "${OUT}/report", "exit", "0"],
            arguments,
        ];
        let call = sandbox.vsrun(line.concat()).env("PROBE", sandbox.probe()).env("OUT", sandbox.out(""));
        call.env("PORT", "80").env("EMPTY", "").finish().assert_exited(0);
        let found = sandbox.report(&report);
        let words = found.all("argument");
        assert_eq!(&words[words.len() - 7..], ["a  b", "${TWO}", "else where", "-p80", "$HOME", "", "$"]);
    }
}

#[test]
fn expansion_is_off_without_the_option() {
    let sandbox = Sandbox::new();
    let found = {
        let report = sandbox.out("report");
        let line = words!["--", sandbox.probe(), "report", &report, "exit", "0", "${A}", "${", "$$"];
        sandbox.vsrun(line).finish().assert_exited(0);
        sandbox.report(&report)
    };
    let words = found.all("argument");
    assert_eq!(&words[words.len() - 3..], ["${A}", "${", "$$"]);
}

#[test]
fn what_cannot_be_read_ends_the_start_and_is_named() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    harness::sys::make_fifo(fifo.as_os_str()).unwrap();
    let directory = sandbox.directory().to_owned();
    for (path, reason) in [
        (sandbox.path("missing"), "No such file or directory"),
        (fifo, "not a regular file"),
        (directory, "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
    ] {
        let line = words!["-p", "pid", "--env-file", &path, "--", sandbox.probe(), "exit", "0"];
        sandbox.vsrun(line).finish().assert_failed(125, &["cannot read --env-file '", reason]);
        let line = words!["-p", "pid", "--file-env", "TOKEN", "--", sandbox.probe(), "exit", "0"];
        sandbox
            .vsrun(line)
            .env("TOKEN_FILE", &path)
            .finish()
            .assert_failed(125, &["cannot read '", "TOKEN_FILE", reason]);
        assert!(!sandbox.path("pid").exists());
    }
    let nul = secret_file(&sandbox, "nul", b"geheim\0geheim");
    let long = secret_file(&sandbox, "long", &vec![b'x'; (128 << 10) + 1]);
    for (path, reason) in [(nul, "contains a NUL byte"), (long, "File too large")] {
        let line = words!["--file-env", "TOKEN", "--", sandbox.probe(), "exit", "0"];
        let ended = sandbox.vsrun(line).env("TOKEN_FILE", &path).finish();
        ended.assert_failed(125, &["TOKEN_FILE", reason]);
    }
    let file = secret_file(&sandbox, "file", b"x");
    let line = words!["--file-env", "TOKEN", "--", sandbox.probe(), "exit", "0"];
    let call = sandbox.vsrun(line).env("TOKEN_FILE", &file).env("TOKEN", "y");
    call.finish().assert_failed(125, &["option --file-env: both TOKEN and TOKEN_FILE are set"]);
}

#[test]
fn a_check_reports_an_unreadable_file_once() {
    let sandbox = Sandbox::new();
    let user = harness::sys::user().to_string();
    for options in [words![], words!["-u", user]] {
        let line = words!["--env-file", sandbox.path("missing"), "--", sandbox.probe(), "exit", "0"];
        let ended = sandbox.vsrun([words!["--check"], options, line].concat()).finish();
        let found = ended.assert_exited(125).out.iter().filter(|line| line.contains("--env-file")).count();
        assert_eq!(found, 1, "{ended:?}");
    }
}

#[test]
fn malformed_lists_of_names_are_wrong_usage() {
    let sandbox = Sandbox::new();
    for list in ["", ",", "A,", ",A", "A,A", "A=B", "A,,B", "="] {
        let line = words!["--file-env", list, "--", "/bin/true"];
        sandbox.vsrun(line).finish().assert_failed(2, &["option --file-env: '"]);
    }
    sandbox
        .vsrun(words!["--file-env", "A", "--file-env", "B,A", "--", "/bin/true"])
        .finish()
        .assert_failed(2, &["--file-env"]);
}

/// A secret appears in no log, record, debug line or termination log, not in the handler, and not in the output of
/// `--check`.
#[test]
fn secrets_reach_the_server_and_nothing_else() {
    const SECRET: &str = "pl4nted-s3cret";
    let sandbox = Sandbox::new();
    let file = secret_file(&sandbox, "file", format!("PASSWORD={SECRET}\n").as_bytes());
    let token = secret_file(&sandbox, "token", SECRET.as_bytes());
    let handler = sandbox.script("handler", words!["report", sandbox.out("handler"), "exit", "1"]);
    let options =
        words!["--debug", "--env-file", &file, "--file-env", "TOKEN", "--expand", "-d", sandbox.path("logs"), "1"];
    let termination = sandbox.path("termination");
    let before = format!("{} print ${{PASSWORD}}", sandbox.probe().display());
    let options = [options, words!["--termination-log", &termination, "--before", before]].concat();
    let command = words!["--", sandbox.probe(), "exit", "3", "${PASSWORD}${TOKEN}"];
    let run = [words!["-m", "-", &handler], options.clone(), command.clone()].concat();
    let ended = sandbox.vsrun(run).env("TOKEN_FILE", &token).finish();
    ended.assert_exited(3);
    harness::await_file(&sandbox.out("handler"));
    assert!(harness::text(&termination).starts_with("vsrun: the server exited with status 3"));
    let check = [words!["--check"], options, command].concat();
    let checked = sandbox.vsrun(check).env("TOKEN_FILE", &token).finish();
    let logs = fs::read_dir(sandbox.path("logs")).unwrap().map(|entry| harness::text(&entry.unwrap().path()));
    for text in logs.chain([
        harness::text(&sandbox.out("handler")),
        harness::text(&termination),
        ended.err.join("\n"),
        ended.out.join("\n"),
        checked.out.join("\n"),
        checked.err.join("\n"),
    ]) {
        assert!(!text.contains(SECRET), "{text}");
    }
}
