//! The completions of vsrun's command line in bash, zsh and fish. bash and zsh are interactive at a pseudo-terminal;
//! fish runs `complete -C`.

use crate::harness::{self, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A typed line, and the completions of its last word; of `--name=value` and `user:group` only what follows `=` or `:`.
type Row = (&'static str, &'static [&'static str]);

const ROWS: &[Row] = &[
    // Names of options.
    ("--resta", &["--restart", "--restart-delay", "--restart-limit"]),
    ("-b --pidf", &["--pidfile"]),
    ("--nonsense", &[]),
    // Values: after a blank, after `=`, and after a cluster of short options.
    ("-p a", &["a file", "abc"]),
    ("-p a\\ f", &["a file"]),
    ("-bp ab", &["abc"]),
    ("--pidfile=ab", &["abc"]),
    ("-r s", &["sub"]),
    ("--root=s", &["sub"]),
    ("-b --work-dir sub/", &["sub/inner"]),
    ("-u roo", &["root"]),
    ("-u root:daem", &["daemon"]),
    ("--user=root:daem", &["daemon"]),
    ("--restart ", &["always", "no", "on-abort", "on-failure"]),
    ("--restart=on-", &["on-abort", "on-failure"]),
    ("--stop-signal TER", &["TERM"]),
    ("--logger zz-", &["zz-one", "zz-two"]),
    // Values without completions.
    ("--umask 0", &[]),
    ("-s a", &[]),
    ("--restart-delay ", &[]),
    // Options with two values.
    ("-m a", &["a file", "abc"]),
    ("-m abc zz-", &["zz-one", "zz-two"]),
    ("--manager=abc zz-", &["zz-one", "zz-two"]),
    ("-m abc - --pidf", &["--pidfile"]),
    ("-d s", &["sub"]),
    ("-d sub ", &[]),
    ("-d sub 7d --pidf", &["--pidfile"]),
    // After `--args FILE` another option or an argument of the command may follow.
    ("--args a", &["a file", "abc"]),
    ("--args abc ab", &["abc"]),
    ("--args=abc --pidf", &["--pidfile"]),
    // The command and its arguments.
    ("-- zz-", &["zz-one", "zz-two"]),
    ("-p abc -- zz-t", &["zz-two"]),
    ("-m abc - -- zz-two ab", &["abc"]),
    ("-- zz-two --pidf", &[]),
    ("-- zz-two -p ab", &["abc"]),
];

/// After `--`, the shell's own completion of the command is used: the tests define one for `zz-one`.
const COMMAND_ROWS: &[Row] = &[("-b -- zz-one ", &["mine", "other"]), ("-b -- zz-one m", &["mine"])];

/// An option that may be given only once is not offered again. Only bash and zsh are tested for this.
const NOT_OFFERED_AGAIN: &[Row] = &[("-p abc --pidf", &[]), ("-bp abc --pidf", &[]), ("--pidfile=abc --pidf", &[])];

#[test]
fn bash_answers() {
    needs!(harness::tool("bash"));
    let sandbox = make_completion_sandbox();
    let registered = format!("source {}; complete -p vsrun", generated_file("vsrun.bash").display());
    let ended = sandbox.program(&tool("bash"), words!["-c", registered]).finish();
    ended.assert_exited(0);
    assert_eq!(ended.out, ["complete -F _vsrun vsrun"]);

    let bash = |lines: &[String]| ask_bash(&sandbox, "", lines);
    assert_completions(&[ROWS, NOT_OFFERED_AGAIN].concat(), &bash);
    assert_all_options_offered(&sandbox, &bash);
}

#[test]
fn bash_completes_with_the_bash_completion_package() {
    let package = Path::new("/usr/share/bash-completion/bash_completion");
    needs!(harness::tool("bash"), harness::available(package.is_file(), "bash-completion"));
    let sandbox = make_completion_sandbox();
    let rc = format!("source {}; complete -W 'mine other' zz-one", package.display());
    assert_completions(&[ROWS, NOT_OFFERED_AGAIN, COMMAND_ROWS].concat(), &|lines| ask_bash(&sandbox, &rc, lines));
}

#[test]
fn zsh_answers() {
    needs!(harness::tool("zsh"));
    let sandbox = make_completion_sandbox();
    let zsh = |lines: &[String]| ask_zsh(&sandbox, lines);
    assert_completions(&[ROWS, NOT_OFFERED_AGAIN, COMMAND_ROWS].concat(), &zsh);
    assert_all_options_offered(&sandbox, &zsh);
}

#[test]
fn fish_answers() {
    needs!(harness::tool("fish"));
    let sandbox = make_completion_sandbox();
    let fish = |lines: &[String]| ask_fish(&sandbox, lines);
    assert_completions(&[ROWS, COMMAND_ROWS].concat(), &fish);
    assert_all_options_offered(&sandbox, &fish);
}

/// Asserts that the shell's completions of each row are as expected.
#[track_caller]
fn assert_completions(rows: &[Row], ask: &dyn Fn(&[String]) -> Vec<Vec<String>>) {
    let lines: Vec<String> = rows.iter().map(|(line, _)| format!("vsrun {line}")).collect();
    let answers = ask(&lines);
    assert_eq!(answers.len(), rows.len(), "{answers:?}");
    let wrong: Vec<String> = rows
        .iter()
        .zip(answers)
        .map(|(row, answers)| (row, normal(answers)))
        .filter(|(row, answers)| answers != row.1)
        .map(|(row, answers)| format!("{:?} has {answers:?} and not {:?}", row.0, row.1))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asserts that every option of vsrun is offered, and `--env` again after a first one.
#[track_caller]
fn assert_all_options_offered(sandbox: &Sandbox, ask: &dyn Fn(&[String]) -> Vec<Vec<String>>) {
    let answers = ask(&["vsrun -".into(), "vsrun --".into(), "vsrun -e A=1 --en".into()]);
    for option in options(sandbox) {
        for name in option.split(' ').next().unwrap().split(',') {
            assert!(answers[0].iter().any(|answer| answer == name), "no {name} in {:?}", answers[0]);
            let long = name.starts_with("--");
            assert!(!long || answers[1].iter().any(|answer| answer == name), "no {name} in {:?}", answers[1]);
        }
    }
    assert!(answers[2].iter().any(|answer| answer == "--env"), "{answers:?}");
}

/// The lines of `--help-completion` except the last, which describes the command.
fn options(sandbox: &Sandbox) -> Vec<String> {
    let mut lines = sandbox.vsrun(words!["--help-completion"]).finish().assert_exited(0).out.clone();
    assert_eq!(lines.pop().as_deref(), Some("command 1 none"));
    lines
}

/// Sorts the completions, removes duplicates, the slash of a directory, and what precedes `=` or `:`.
fn normal(answers: Vec<String>) -> Vec<String> {
    let value = |answer: &String| {
        let answer = answer.trim_end_matches('/');
        answer.rsplit(['=', ':']).next().unwrap_or(answer).to_owned()
    };
    let mut answers: Vec<String> = answers.iter().map(value).collect();
    answers.sort();
    answers.dedup();
    answers
}

// Helpers that run the shells.

/// Creates a sandbox with files, directories and commands to complete.
fn make_completion_sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for directory in ["bin", "here/sub/inner", "zsh"] {
        fs::create_dir_all(sandbox.path(directory)).unwrap();
    }
    for file in ["a file", "abc", "sum"] {
        fs::write(sandbox.path("here").join(file), "").unwrap();
    }
    for command in ["bin/zz-one", "bin/zz-two"] {
        sandbox.executable(command, b"#!/bin/sh\n");
    }
    sandbox
}

fn ask_bash(sandbox: &Sandbox, rc: &str, lines: &[String]) -> Vec<Vec<String>> {
    // Meta-* inserts all completions into the line.
    let rc = format!(
        "{rc}\n{}\nsource {}\nPROMPT_COMMAND='>../ready'\n",
        recording_function(),
        generated_file("vsrun.bash").display()
    );
    fs::write(sandbox.path("bashrc"), rc).unwrap();
    let call = words!["--noprofile", "--rcfile", sandbox.path("bashrc"), "-i"];
    type_and_complete(sandbox, "bash", call, "\x1b*", lines)
}

fn ask_zsh(sandbox: &Sandbox, lines: &[String]) -> Vec<Vec<String>> {
    fs::copy(generated_file("_vsrun"), sandbox.path("zsh/_vsrun")).unwrap();
    let rc = format!(
        "fpath=($ZDOTDIR $fpath)\nautoload -U compinit\ncompinit -u -D\n{}\n\
         zz() {{ compadd mine other }}\ncompdef zz zz-one\n\
         all() {{ _main_complete; compstate[insert]=all; compstate[list]= }}\nzle -C all complete-word all\n\
         bindkey '^T' all\nzle-line-init() {{ >../ready }}\nzle -N zle-line-init\n",
        recording_function()
    );
    fs::write(sandbox.path("zsh/.zshrc"), rc).unwrap();
    type_and_complete(sandbox, "zsh", words!["-d", "-i"], "\x14", lines)
}

/// Types each line and the key that inserts its completions, and returns these. `vsrun` is a shell function that writes
/// its arguments to a file.
fn type_and_complete(
    sandbox: &Sandbox,
    shell: &str,
    call: Vec<OsString>,
    key: &str,
    lines: &[String],
) -> Vec<Vec<String>> {
    for file in ["ready", "answers"] {
        let _ = fs::remove_file(sandbox.path(file));
    }
    let call = sandbox.program(&tool(shell), call).directory(&sandbox.path("here"));
    let call = call.env("PATH", path(sandbox)).env("ZDOTDIR", sandbox.path("zsh")).env("HOME", sandbox.directory());
    let (call, terminal) = call.env("TERM", "dumb").on_terminal();
    let running = call.start();
    let mut person = terminal.master;
    let mut eyes = person.try_clone().unwrap();
    // Read the terminal to its end: the shell blocks if its output is not read.
    let reader = std::thread::spawn(move || while eyes.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {});
    harness::await_file(&sandbox.path("ready"));
    for line in lines {
        writeln!(person, "{line}{key}").unwrap();
    }
    person.write_all(b"exit 0\n").unwrap();
    running.finish().assert_exited(0);
    reader.join().unwrap();
    let noted = harness::lines(&sandbox.path("answers"));
    lines.iter().zip(noted).map(|(line, noted)| completed_words(line, &noted)).collect()
}

/// A shell function in place of vsrun. It writes its arguments to a file, separated by `|`, which no file name here
/// has.
fn recording_function() -> &'static str {
    "vsrun() { { printf '%s|' \"$@\"; echo; } >>../answers; }"
}

/// The completions: the written arguments, from the last typed word on. Returns none if the shell has not changed that
/// word.
fn completed_words(line: &str, noted: &str) -> Vec<String> {
    let typed: Vec<&str> = line.split(' ').collect();
    // A blank after a backslash does not end a word.
    let ends = typed.iter().filter(|word| !word.ends_with('\\')).count();
    let words: Vec<String> = noted.trim_end_matches('|').split('|').skip(ends - 2).map(str::to_owned).collect();
    let last = typed.last().copied().unwrap_or_default();
    if words.iter().eq([last]) || words.concat().is_empty() { Vec::new() } else { words }
}

fn ask_fish(sandbox: &Sandbox, lines: &[String]) -> Vec<Vec<String>> {
    let ask = |line: &String| {
        let script = format!(
            "source {}; complete -c zz-one -f -a 'mine other'; complete -C '{}'",
            generated_file("vsrun.fish").display(),
            line.replace('\\', "\\\\"),
        );
        let call = sandbox.program(&tool("fish"), words!["-c", script]).directory(&sandbox.path("here"));
        let ended = call.env("PATH", path(sandbox)).env("HOME", sandbox.directory()).finish();
        ended.assert_exited(0);
        assert!(ended.err.is_empty(), "{ended:?}");
        ended.out.iter().map(|answer| answer.split('\t').next().unwrap().to_owned()).collect()
    };
    lines.iter().map(ask).collect()
}

fn path(sandbox: &Sandbox) -> String {
    format!("{}:{}", sandbox.path("bin").display(), harness::call::PATH)
}

fn tool(name: &str) -> PathBuf {
    harness::find_tool(name).unwrap()
}

/// The path of a completion file that build.rs generated.
fn generated_file(name: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join(name)
}

// `--help-completion`, from which other programs make completions, and the installation.

#[test]
fn help_completion_has_a_line_for_each_option() {
    let sandbox = Sandbox::new();
    let lines = options(&sandbox);
    for line in ["-p,--pidfile file", "-b,--background none", "--umask integer", "-d,--logdir dir string"] {
        assert!(lines.iter().any(|found| found == line), "{line:?} is in {lines:?}");
    }
    for line in ["-m,--manager file command", "--restart choices=no,on-failure,on-abort,always", "-u,--user user"] {
        assert!(lines.iter().any(|found| found == line), "{line:?} is in {lines:?}");
    }
    let plain = ["none", "file", "dir", "integer", "string", "user", "command", "inetaddr"];
    let mut names = Vec::new();
    for line in &lines {
        let (all, kinds) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        for kind in kinds.split(' ') {
            let choices =
                kind.strip_prefix("choices=").is_some_and(|words| words.split(',').all(|word| !word.is_empty()));
            assert!(plain.contains(&kind) || choices, "{line:?}");
        }
        assert!(all.split(',').next_back().unwrap().starts_with("--"), "{line:?}");
        names.extend(all.split(',').map(str::to_owned));
    }
    let help = sandbox.vsrun(words!["--help"]).finish().out;
    let shown = help.iter().filter(|line| line.starts_with("  ")).flat_map(|line| {
        let names = line.split_whitespace().map(|word| word.trim_end_matches(','));
        names.take_while(|word| word.starts_with('-')).map(str::to_owned).collect::<Vec<_>>()
    });
    // The help groups the options by chapter, so compare sorted lists.
    let mut shown = shown.collect::<Vec<_>>();
    shown.sort();
    names.sort();
    assert_eq!(shown, names, "the help text has the same options");
}

#[test]
fn everything_is_installed_where_the_conventions_say_and_removed_again() {
    needs!(harness::tool("make"));
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("made")).unwrap();
    let make = |target: &str| {
        let build = Path::new(env!("OUT_DIR")).ancestors().nth(2).unwrap();
        let set = |name: &str, path: &Path| format!("{name}={}", path.display());
        let call = words![
            "-s",
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            target,
            "PREFIX=/usr",
            set("DESTDIR", &sandbox.path("root")),
            set("OUT", &sandbox.path("made")),
            set("BIN", &sandbox.path("vsrun")),
            set("MADE", build)
        ];
        sandbox.program(&tool("make"), call).finish().assert_exited(0).assert_silent();
    };
    make("install");
    let installed = [
        ("usr/sbin/vsrun", "vsrun", 0o755),
        ("usr/share/man/man8/vsrun.8.gz", "", 0o644),
        ("usr/share/bash-completion/completions/vsrun", "made/vsrun.bash", 0o644),
        ("usr/share/zsh/site-functions/_vsrun", "made/_vsrun", 0o644),
        ("usr/share/fish/vendor_completions.d/vsrun.fish", "made/vsrun.fish", 0o644),
    ];
    assert_eq!(files(&sandbox.path("root")).len(), installed.len());
    for (file, from, mode) in installed {
        use std::os::unix::fs::PermissionsExt;
        let path = sandbox.path("root").join(file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{file}");
        if !from.is_empty() {
            assert_eq!(fs::read(&path).unwrap(), fs::read(sandbox.path(from)).unwrap(), "{file}");
        }
    }
    for (name, made) in [("vsrun.bash", generated_file("vsrun.bash")), ("_vsrun", generated_file("_vsrun"))] {
        assert_eq!(fs::read(sandbox.path("made").join(name)).unwrap(), fs::read(made).unwrap(), "{name}");
    }
    make("uninstall");
    assert_eq!(files(&sandbox.path("root")), Vec::<PathBuf>::new());
}

/// All files below a directory.
fn files(top: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
