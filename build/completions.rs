//! Makes the completions for bash, zsh and fish from the table of options. build.rs writes them into files.
//!
//! A template for each shell has what does not depend on the options, in the shell's own language. This module fills in
//! the lines that say what each option takes.

use crate::flags::{FLAGS, Flag, Value};

/// The signals that a completion offers. vsrun accepts all others too.
const SIGNALS: &str = "choices=ABRT,ALRM,CONT,HUP,INT,KILL,QUIT,TERM,USR1,USR2,WINCH";

/// The completion for bash: an arm of a `case` for each option.
pub fn bash() -> String {
    let arm = |flag: &Flag| {
        let name = if flag.repeatable { "''" } else { flag.long };
        let kinds: Vec<&str> = flag.values.iter().map(kind).collect();
        vec![format!("{}) name={name} values=({}) ;;", names(flag).join(" | "), kinds.join(" "))]
    };
    let all: Vec<String> = FLAGS.iter().flat_map(names).collect();
    filled(include_str!("completions/vsrun.bash"), arm).replace("@NAMES@", &all.join(" "))
}

/// The completion for zsh: an argument of `_arguments` for each name of an option.
pub fn zsh() -> String {
    let specs = |flag: &Flag| {
        let before = if flag.repeatable { "*".into() } else { format!("({})", names(flag).join(" ")) };
        let line = flag.help_line.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
        let values: String = flag.values.iter().map(zsh_value).collect();
        let spec = |name: String| {
            // zsh's marks for a value that may follow its option in the same word: `-pFILE`, `--pidfile=FILE`.
            let joined = match (flag.values, name.starts_with("--")) {
                ([], _) => "",
                (_, true) => "=",
                (_, false) => "+",
            };
            format!("{} \\", zsh_quoted(&format!("{before}{name}{joined}[{line}]{values}")))
        };
        names(flag).into_iter().map(spec).collect()
    };
    filled(include_str!("completions/_vsrun"), specs)
}

fn zsh_value(value: &Value) -> String {
    let action = match kind(value) {
        "file" => "_files".into(),
        "dir" => "_files -/".into(),
        "user" => "_vsrun_user".into(),
        "inetaddr" => "_vsrun_inetaddr".into(),
        "command" => "_command_names -e".into(),
        kind => kind.strip_prefix("choices=").map_or(" ".into(), |choices| format!("({})", choices.replace(',', " "))),
    };
    format!(":{}:{action}", value.name.replace(':', "\\:"))
}

/// The completion for fish: a call of `complete` for each option, and another one for its second value.
pub fn fish() -> String {
    let calls = |flag: &Flag| {
        let short = if flag.short == ' ' { String::new() } else { format!(" -s {}", flag.short) };
        let first = flag.values.first().map_or(String::new(), |value| format!(" -r{}", fish_value(value)));
        let mut calls =
            vec![format!("complete -c vsrun{short} -l {}{first} -d {}", flag.long, fish_quoted(flag.help_line))];
        if let Some(second) = flag.values.get(1) {
            let at = format!("__vsrun_second {}", names(flag).join(" "));
            calls.push(format!("complete -c vsrun -n {}{}", fish_quoted(&at), fish_value(second)));
        }
        calls
    };
    let two_values: Vec<String> = FLAGS.iter().filter(|flag| flag.values.len() > 1).flat_map(names).collect();
    filled(include_str!("completions/vsrun.fish"), calls).replace("@SECOND@", &two_values.join(" "))
}

/// The arguments of fish's `complete` for a value. They exclude file names, unless the value is a file.
fn fish_value(value: &Value) -> String {
    let answers = match kind(value) {
        "file" => return " -F".into(),
        "dir" => "(__fish_complete_directories)".into(),
        "user" => "(__vsrun_users)".into(),
        "inetaddr" => "0.0.0.0 127.0.0.1 :: ::1".into(),
        "command" => "(__fish_complete_command)".into(),
        kind => kind.strip_prefix("choices=").unwrap_or_default().replace(',', " "),
    };
    if answers.is_empty() { " -f".into() } else { format!(" -f -a {}", fish_quoted(&answers)) }
}

/// The template with the lines of all options in place of its line `@OPTIONS@`, with the same indentation.
fn filled(frame: &str, lines_of: impl Fn(&Flag) -> Vec<String>) -> String {
    let lines: Vec<String> = FLAGS.iter().flat_map(lines_of).collect();
    let (before, after) = frame.split_once("@OPTIONS@").expect("a frame asks for the options");
    let indent = before.rsplit('\n').next().unwrap_or_default();
    format!("{before}{}{after}", lines.join(&format!("\n{indent}")))
}

/// The names of an option, such as `-u` and `--user`.
fn names(flag: &Flag) -> Vec<String> {
    let long = format!("--{}", flag.long);
    if flag.short == ' ' { vec![long] } else { vec![format!("-{}", flag.short), long] }
}

fn kind(value: &Value) -> &'static str {
    if value.name == "SIGNAL" { SIGNALS } else { value.kind }
}

fn zsh_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
