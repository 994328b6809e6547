//! The table of options as the program holds it, for its help text and for the reader of the command line. Only build.rs
//! calls this.

use crate::flags::{Chapter, FLAGS, Flag};

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
See the manual page vsrun(8) for the rest.
";

/// The lines of the help text, without the layout. Those of options are `-u,--user`, the kinds of its values, a tab, the
/// names of its values, a tab, what it does and, for one with values, a tab and what a malformed one is not.
pub fn table() -> String {
    let mut text = String::from(USAGE);
    for (chapter, title) in [
        (Chapter::Start, "Start"),
        (Chapter::Stay, "Stay, and keep the server alive"),
        (Chapter::Control, "Control: by the pidfile's lock, with no daemon to talk to"),
        (Chapter::Help, "Help"),
    ] {
        text += &format!("\n{title}:\n");
        for flag in FLAGS.iter().filter(|flag| flag.chapter == chapter) {
            let short = if flag.short == ' ' { String::new() } else { format!("-{},", flag.short) };
            let kinds: Vec<&str> = flag.values.iter().map(|value| value.kind).collect();
            let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(" ") };
            let values: Vec<&str> = flag.values.iter().map(|value| value.name).collect();
            text += &format!("{short}--{} {kinds}\t{}\t{}{}\n", flag.long, values.join(" "), flag.line, not(flag));
        }
    }
    text + STATUS.trim_end()
}

fn not(flag: &Flag) -> String {
    if flag.not.is_empty() { String::new() } else { format!("\t{}", flag.not) }
}

/// An option as the help text and the man page name it: `-u, --user USER[:GROUP]`.
pub fn names(flag: &Flag) -> String {
    let short = if flag.short == ' ' { String::new() } else { format!("-{}, ", flag.short) };
    let values: String = flag.values.iter().map(|value| format!(" {}", value.name)).collect();
    format!("{short}--{}{values}", flag.long)
}
