//! The help texts, and the table of options from which the program makes its help and reads its command line. build.rs
//! writes them into files.

use crate::flags::{CHAPTERS, FLAGS, Flag};

const USAGE: &str = "\
Usage: vsrun [OPTION]... -- COMMAND [ARG]...
       vsrun --status|--stop|--replace PIDFILE | --signal SIGNAL PIDFILE
       vsrun --help | --version
";

const MORE: &str = "See vsrun -h (examples), vsrun --help (all options) and man vsrun.\n";

const ABOUT: &str = "
Starts one server process the right way, and stays to keep it alive if asked.
";

const STATUS: &str = "
Durations: digits and ms, s, min, h, d or w; no unit means seconds.
Exit status: the server's own; 128+N when signal N ended it; 0 when it was
stopped on request or is up in the background; 2 wrong usage; 125 vsrun could
not set it up; 126 COMMAND could not be executed; 127 it was not found.
See the manual page vsrun(8) for the rest.

Examples:";

const EXAMPLES: &str = "
  vsrun -u www-data -- httpd -f                 change the user, exec the server
  vsrun --init --stdin -- server                PID 1 of a container
  vsrun -b -m /run/x.pid - -- server            in the background, restarted
  vsrun --signal HUP /run/x.pid                 restart it, with new log files
  vsrun --stop /run/x.pid                       stop it, and wait for its end
  vsrun --check -u www-data -- httpd -f         only report what would fail
";

/// The parts of the help texts, each with the name of its file. The file `options` has a line for each option, in the
/// order of the table: `-u,--user`, the kinds of its values or `none`, a tab, the names of its values, a tab and the
/// option's help line. If the option has a `rejection`, a tab and that text follow (`is not ...`).
pub fn parts() -> [(&'static str, String); 7] {
    let headings: Vec<String> = CHAPTERS.iter().map(|(_, title)| format!("{title}:")).collect();
    [
        ("usage", USAGE.into()),
        ("more", MORE.into()),
        ("about", ABOUT.into()),
        ("headings", headings.join("\n")),
        ("options", FLAGS.iter().map(options_line).collect()),
        ("status", STATUS.into()),
        ("examples", EXAMPLES.into()),
    ]
}

fn options_line(flag: &Flag) -> String {
    let short = if flag.short == ' ' { String::new() } else { format!("-{},", flag.short) };
    let kinds: Vec<&str> = flag.values.iter().map(|value| value.kind).collect();
    let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(" ") };
    let values: Vec<&str> = flag.values.iter().map(|value| value.name).collect();
    format!("{short}--{} {kinds}\t{}\t{}{}\n", flag.long, values.join(" "), flag.help_line, rejection(flag))
}

fn rejection(flag: &Flag) -> String {
    if flag.rejection.is_empty() { String::new() } else { format!("\t{}", flag.rejection) }
}

/// The names and values of an option, as the help text and the man page show them: `-u, --user USER[:GROUP]`.
pub fn names(flag: &Flag) -> String {
    let short = if flag.short == ' ' { String::new() } else { format!("-{}, ", flag.short) };
    let values: String = flag.values.iter().map(|value| format!(" {}", value.name)).collect();
    format!("{short}--{}{values}", flag.long)
}
