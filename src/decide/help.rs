//! The help text, out of the table of options. Only build.rs and the tests call this: the program holds the result.

use super::flags::{Chapter, FLAGS, Flag};

const USAGE: &str = "\
Usage: vsrun [OPTION]... -- COMMAND [ARG]...
       vsrun --status PIDFILE | --stop PIDFILE | --signal SIGNAL PIDFILE
       vsrun --help | --version

Starts one server process the right way, and stays to keep it alive if asked.
";

const STATUS: &str = "
Durations: an integer and ms, s, min, h, d or w; no unit means seconds.
Exit status: the server's own; 128+N when signal N ended it; 0 when it was
stopped on request or is up in the background; 2 wrong usage; 125 vsrun could
not set it up; 126 COMMAND could not be executed; 127 it was not found.
The manual page vsrun(8) tells the rest.
";

/// How wide the column of option names is.
const COLUMN: usize = 35;

/// All of `--help`.
pub fn text() -> String {
    let mut text = String::from(USAGE);
    for (chapter, title) in [
        (Chapter::Start, "Start"),
        (Chapter::Stay, "Stay, and keep the server alive"),
        (Chapter::Control, "Control: by the pidfile's lock, with no daemon to talk to"),
        (Chapter::Help, "Help"),
    ] {
        text += &format!("\n{title}:\n");
        for flag in FLAGS.iter().filter(|flag| flag.chapter == chapter) {
            text += &row(flag);
        }
    }
    text + STATUS
}

/// An option as the help text and the man page name it: `-u, --user USER[:GROUP]`.
pub fn names(flag: &Flag) -> String {
    let short = if flag.short == ' ' { String::new() } else { format!("-{}, ", flag.short) };
    let values: String = flag.values.iter().map(|value| format!(" {}", value.name)).collect();
    format!("{short}--{}{values}", flag.long)
}

/// All of `--help-completion`: a line for each option, then one for the arguments.
pub fn completion() -> String {
    let mut text = String::new();
    for flag in FLAGS {
        let short = if flag.short == ' ' { String::new() } else { format!("-{},", flag.short) };
        let kinds: Vec<&str> = flag.values.iter().map(|value| value.kind).collect();
        let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(" ") };
        text += &format!("{short}--{} {kinds}\n", flag.long);
    }
    text + "command 1 none\n"
}

fn row(flag: &Flag) -> String {
    let indent = if flag.short == ' ' { "      " } else { "  " };
    let names = format!("{indent}{}", names(flag));
    if names.len() < COLUMN {
        format!("{names:COLUMN$}{}\n", flag.line)
    } else {
        format!("{names}\n{:COLUMN$}{}\n", "", flag.line)
    }
}
