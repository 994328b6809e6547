//! Makes the manual page vsrun(8) from prose and the table of options. build.rs writes it into a file.
//!
//! The prose is plain text with four marks: `bold` between backquotes (options are bold without them), a line `= tag`
//! above the paragraph that explains the tag, an indentation of four blanks for lines that are shown as they are typed,
//! and a line `.SS heading` for a subsection. An empty line ends a paragraph. Exit statuses and other numbers of the
//! program come from its own constants.

use crate::flags::{CHAPTERS, FLAGS, MANUAL_PARAGRAPHS};
use crate::help;

#[allow(dead_code, reason = "of these three only the constants are used here")]
#[path = "../src/logic/base/exit.rs"]
mod exit;
#[allow(dead_code, reason = "exit.rs speaks of signals")]
#[path = "../src/logic/base/signal.rs"]
mod signal;
#[allow(dead_code, reason = "signal.rs splits and escapes texts")]
#[path = "../src/logic/base/text.rs"]
mod text;
#[allow(dead_code, reason = "signal.rs reads numbers")]
#[path = "../src/logic/base/time.rs"]
mod time;

#[path = "confinement.rs"]
mod confinement;

/// The date on the page: when its prose was last changed.
const DATE: &str = "2026-11-26";

/// The maximum length of a line of a paragraph in the source of the page, in characters.
const WIDTH: usize = 78;

/// The whole page, in the language of man(7).
pub fn page(version: &str) -> String {
    let mut page = format!(".TH VSRUN 8 {DATE} \"vsrun {}\" \"System Administration\"\n", escaped(version));
    // No hyphenation: readers search the page for options, paths and names as they are written.
    page += ".nr HY 0\n.nh\n.ad l\n";
    for (title, text) in [("NAME", NAME), ("SYNOPSIS", SYNOPSIS), ("DESCRIPTION", DESCRIPTION)] {
        page += &section(title, text);
    }
    page += &options();
    for (title, text) in [
        ("DURATIONS AND SIGNALS", DURATIONS_AND_SIGNALS),
        ("USERS AND GROUPS", USERS_AND_GROUPS),
        ("PIDFILES", PIDFILES),
        ("CONTROL", &control()),
        ("RC SCRIPTS", include_str!("man/rc-scripts.txt")),
        ("THE MANAGER", THE_MANAGER),
        ("INIT", INIT),
        ("SIGNALS", SIGNALS),
        ("OUTPUT", OUTPUT),
        ("BACKGROUND", BACKGROUND),
        ("READINESS", READINESS),
        ("REPLACEMENT", include_str!("man/replacement.txt")),
        ("SOCKETS", SOCKETS),
        ("JAIL WITHOUT ROOT", confinement::JAIL_WITHOUT_ROOT),
        ("CONTROL GROUPS", confinement::CONTROL_GROUPS),
        ("CONTAINERS", CONTAINERS),
        ("OTHER NAMES", include_str!("man/other-names.txt")),
        ("ENTRYPOINT", include_str!("man/entrypoint.txt")),
        ("PROBES", include_str!("man/probes.txt")),
        ("UNDER SYSTEMD", &under_systemd()),
        ("COMING FROM OTHER TOOLS", include_str!("man/coming-from.txt")),
        ("CAPABILITIES", include_str!("man/capabilities.txt")),
        ("INITRAMFS", INITRAMFS),
        ("PID 1 OF A MACHINE", confinement::MACHINE),
        ("THE ORDER OF A START", THE_ORDER_OF_A_START),
        ("NEIGHBOURS OF THE SERVER", NEIGHBOURS),
        ("CHECK", CHECK),
        ("EXIT STATUS", &exit_status()),
        ("MESSAGES", MESSAGES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", EXAMPLES),
        ("PORTABILITY", PORTABILITY),
        ("NOTES", NOTES),
        ("SEE ALSO", SEE_ALSO),
    ] {
        page += &section(title, text);
    }
    page
}

const NAME: &str = "vsrun - start one server process the right way, and stay to keep it alive if asked";

const SYNOPSIS: &str = include_str!("man/synopsis.txt");
const DESCRIPTION: &str = include_str!("man/description.txt");
const DURATIONS_AND_SIGNALS: &str = include_str!("man/durations-and-signals.txt");
const USERS_AND_GROUPS: &str = include_str!("man/users-and-groups.txt");
const PIDFILES: &str = include_str!("man/pidfiles.txt");
fn control() -> String {
    let exit::Exit::Code(ok) = exit::Exit::SUCCESS else { return String::new() };
    let (dead, absent, unknown, setup) =
        (exit::DEAD_WITH_PIDFILE, exit::NOT_RUNNING, exit::STATE_UNKNOWN, exit::VSRUN_FAILED);
    format!(
        "
--status, --stop, --replace and --signal trust the lock of the pidfile, and signal only a process that holds it: the process that the
file names must have the file open with the lock on it (`/proc/PID/fdinfo`), or, where the lock is exclusive, its parent
must. `vsrun` holds the process by a descriptor meanwhile (pidfd_open(2)) and checks lock and number once more. So a stale
number never leads to an unrelated process, whether it is old, of another pid namespace, or kept in the file by a child
of a dead server. In a file that belongs to neither root nor the caller, only a process of the file's owner may be named. A
server whose first thread has ended is found by its other threads.

Where `/proc` is not mounted or does not show the lock, as to root without `CAP_SYS_PTRACE` for other users' processes,
the number in an exclusively locked file is trusted, except the number 1, and only if the file belongs to root or to the
caller and no other user can write to it; the state of a server without a manager is then unknown. Without `/proc`, stop a
managed server by its manager's pidfile. Before Linux 5.3, which introduced pidfd_open(2), the process is checked again
just before it is signalled; without `/proc` as well, its state is unknown.

Either pidfile of a managed server works: --stop goes to the manager, which stops the server and exits, --status reports whether
the manager runs, --replace goes to the manager, and --signal to the process that the file names. Between two runs the server's file is empty: --stop
then searches `/proc` for the process that has this file open and locked, and stops it at once; without `/proc`, it waits
for the next run. FILE may also be a service
file, which begins with `#!`: then its own pidfile is used, the manager's before the server's. No daemon is involved, so these
options work for every server that keeps a pidfile of `vsrun`.

--status prints `running: pid N (FILE), up 3 h 12 min`. N is the process that the file names; the time since its
start is shown if `/proc` has it. Otherwise it prints `restarting`, `dead`, `not running`
or `unknown`, then `: FILE: ` and the reason. The words before the first colon are stable; --signal and --stop print the
same on standard error if they signal no process. --stop of a server that does not run prints `not running: FILE`, and exits with
{ok}.

The exit statuses are those of rc scripts, see RC SCRIPTS:

= {ok}
--status: the server runs, or is between two runs. --signal: the signal was sent. --stop: the server is gone, or did not run.
--replace: the new server serves, and the old one has exited.

= {dead}
--status: the server is dead, and the file exists.

= {absent}
--status: the server does not run. --signal and --replace: there is no process to signal, also between two runs.

= {unknown}
The state is unknown: the file cannot be read or is not a regular file, or a dead server's child holds the lock. Nothing
was sent.

= {setup}
--stop: the server does not exit. --replace: the old server goes on, or there is no manager; the reason is printed. --signal:
the kernel refuses to send the signal.
"
    )
}

const THE_MANAGER: &str = include_str!("man/the-manager.txt");
const INIT: &str = include_str!("man/init.txt");
const SIGNALS: &str = include_str!("man/signals.txt");
const OUTPUT: &str = include_str!("man/output.txt");
const BACKGROUND: &str = include_str!("man/background.txt");
const READINESS: &str = include_str!("man/readiness.txt");
const SOCKETS: &str = include_str!("man/sockets.txt");
const CONTAINERS: &str = include_str!("man/containers.txt");
/// The section about systemd. A line `< FILE` is replaced by a file of `examples/systemd`.
fn under_systemd() -> String {
    let file = |name: &str| UNITS.iter().find(|(unit, _)| *unit == name).expect("a unit of examples/systemd").1;
    let text = include_str!("man/systemd.txt");
    let lines = text.lines().map(|line| match line.strip_prefix("< ") {
        // An empty line of the file would end the block, so it is indented too.
        Some(name) => file(name).lines().map(|line| format!("    {line}\n")).collect(),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// The files of `examples/systemd` that the section shows.
const UNITS: [(&str, &str); 5] = [
    ("simple.service", include_str!("../examples/systemd/simple.service")),
    ("notify.service", include_str!("../examples/systemd/notify.service")),
    ("activated.socket", include_str!("../examples/systemd/activated.socket")),
    ("activated.service", include_str!("../examples/systemd/activated.service")),
    ("forking.service", include_str!("../examples/systemd/forking.service")),
];

const INITRAMFS: &str = include_str!("man/initramfs.txt");
const THE_ORDER_OF_A_START: &str = include_str!("man/the-order-of-a-start.txt");
const NEIGHBOURS: &str = include_str!("man/neighbours.txt");
const CHECK: &str = include_str!("man/check.txt");
fn exit_status() -> String {
    let exit::Exit::Code(ok) = exit::Exit::SUCCESS else { return String::new() };
    let (dead, absent, unknown, unhealthy) =
        (exit::DEAD_WITH_PIDFILE, exit::NOT_RUNNING, exit::STATE_UNKNOWN, exit::UNHEALTHY);
    let (usage, setup, refused, missing) = (exit::USAGE, exit::VSRUN_FAILED, exit::NOT_EXECUTABLE, exit::NOT_FOUND);
    format!(
        "
= {ok}
The server ended voluntarily, or was stopped on request. With --background: it has been started. With --check: nothing
was found.

= {usage}
Wrong usage. Nothing was changed.

= {setup}
The setup failed. This includes: the server is already running, `vsrun` has the wrong user, and the server was not ready in
time or ended before it was ready (see READINESS). Everything is undone, and nothing is left running. With --check: something
was found. With --help and similar options: the text could not be written.

= {refused}
COMMAND could not be executed: any error of execve(2) except the next one. Everything is undone.

= {missing}
COMMAND, its interpreter or its ELF loader was not found (ENOENT). Everything is undone.

= N
The server's own exit status; also when a manager gives up, because of the handler or of --restart-limit. If
--success-exit lists the end, the exit status is {ok}.

= 128+N
Signal N ended the server. (If `vsrun` became the server, its parent sees the signal itself.)

--status exits with {ok}, {dead}, {absent} or {unknown}, --signal and --replace with {ok}, {absent}, {unknown} or {setup}, and --stop
with {ok}, {unknown} or {setup}: see CONTROL. --probe exits with {ok}, {unhealthy} or {setup}: see PROBES.

A server may itself exit with {usage}, {setup}, {refused} or {missing}; the message on standard error or in the log
shows which case it was. Log files that a failed start has begun are not removed.
"
    )
}

const ENVIRONMENT: &str = include_str!("man/environment.txt");
const MESSAGES: &str = include_str!("man/messages.txt");
const FILES: &str = include_str!("man/files.txt");
const EXAMPLES: &str = include_str!("man/examples.txt");
const NOTES: &str = include_str!("man/notes.txt");
const PORTABILITY: &str = include_str!("man/portability.txt");
const SEE_ALSO: &str = include_str!("man/see-also.txt");
// The functions from here on translate the prose into the language of man(7).

/// The OPTIONS section of the page, from the table of options.
fn options() -> String {
    let mut text = String::from(".SH OPTIONS\n");
    for (chapter, title) in CHAPTERS {
        // The heading is the part of the title before the first colon or comma; other sections explain the rest.
        text += &format!(".SS {}\n", title.split([':', ',']).next().unwrap_or(title));
        for (flag, paragraph) in FLAGS.iter().zip(MANUAL_PARAGRAPHS).filter(|(flag, _)| flag.chapter == *chapter) {
            text += &format!(".TP\n{}\n{}", names(&help::names(flag)), filled(paragraph));
        }
    }
    text
}

/// The names of an option in bold, and the names of its values in italics.
fn names(text: &str) -> String {
    let mut names = String::new();
    let is_letter = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |char: char| is_letter(char) == is_letter(first);
        let (run, more) = rest.split_at(rest.find(|char| !same(char)).unwrap_or(rest.len()));
        names += &match first {
            '-' => format!("\\fB{}\\fR", escaped(run)),
            _ if is_letter(first) => format!("\\fI{}\\fR", escaped(run)),
            _ => escaped(run),
        };
        rest = more;
    }
    names
}

/// A section of the page, from its prose.
fn section(title: &str, text: &str) -> String {
    let mut page = format!(".SH {title}\n");
    // roff begins a paragraph after a heading by itself.
    let mut headed = true;
    for block in text.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty()) {
        let gap = if headed { "" } else { ".PP\n" };
        headed = block.starts_with(".SS ");
        page += &match block.strip_prefix("= ").and_then(|block| block.split_once('\n')) {
            Some((tag, text)) => format!(".TP\n{}\n{}", marked(tag), filled(text)),
            None if headed => format!("{}\n", escaped(block)),
            None if block.starts_with("    ") => format!("{gap}.RS 4\n.EX\n{}.EE\n.RE\n", literal_block(block)),
            None => format!("{gap}{}", filled(block)),
        };
    }
    page
}

/// An example: lines that are shown as they are.
fn literal_block(block: &str) -> String {
    block.lines().map(|line| text_line(&escaped(line.get(4..).unwrap_or_default()))).collect()
}

/// A paragraph, split into lines of at most [`WIDTH`] characters.
fn filled(text: &str) -> String {
    let marked = marked(text);
    let (mut page, mut line) = (String::new(), String::new());
    for word in marked.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            page += &text_line(&line);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    page + &text_line(&line)
}

/// A line that roff reads as text and not as a request, even if it begins with a dot or an apostrophe.
fn text_line(line: &str) -> String {
    let text = if line.starts_with('.') { "\\&" } else { "" };
    format!("{text}{line}\n")
}

/// Text in which options, and words between backquotes, are bold.
fn marked(text: &str) -> String {
    text.split('`').enumerate().map(|(index, part)| if index % 2 == 1 { bold(part) } else { plain(part) }).collect()
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// Text without backquotes: `-o` and `--option` are bold where they begin a word.
fn plain(text: &str) -> String {
    let mut page = String::new();
    let mut rest = text;
    while let Some(at) = option_in(rest) {
        let (before, option) = rest.split_at(at);
        let end = option.find(|char: char| !char.is_ascii_alphanumeric() && char != '-').unwrap_or(option.len());
        let (option, after) = option.split_at(end);
        page += &(escaped(before) + &bold(option));
        rest = after;
    }
    page + &escaped(rest)
}

/// The index of the next option in a text.
fn option_in(text: &str) -> Option<usize> {
    let begins =
        |at: usize| text.get(..at).is_some_and(|before| !before.ends_with(|char: char| char.is_alphanumeric()));
    let is_name = |at: usize| {
        let name = text.get(at..).unwrap_or_default().trim_start_matches('-');
        name.starts_with(|char: char| char.is_ascii_alphabetic())
    };
    text.match_indices('-').map(|(at, _)| at).find(|at| begins(*at) && is_name(*at))
}

/// Escapes characters that roff would interpret or replace by typographical ones.
fn escaped(text: &str) -> String {
    let mut page = String::new();
    for char in text.chars() {
        match char {
            '\\' => page += "\\e",
            '-' => page += "\\-",
            '\'' => page += "\\(aq",
            '"' => page += "\\(dq",
            '`' => page += "\\(ga",
            '~' => page += "\\(ti",
            '^' => page += "\\(ha",
            char => page.push(char),
        }
    }
    page
}
