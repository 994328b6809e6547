//! The manual page vsrun(8), around the table of options. build.rs writes it.
//!
//! The prose is plain text with three marks: `bold` between backquotes (options are bold without them), a line
//! `= tag` above a paragraph that explains it, and lines indented by four blanks for what is shown as it is typed.
//! An empty line ends a paragraph. Numbers that the program holds too come from its own constants.

use crate::flags::{Chapter, FLAGS, PARAGRAPHS};
use crate::help;

#[allow(dead_code, reason = "of these three only the constants are used here")]
#[path = "../src/logic/base/exit.rs"]
mod exit;
#[allow(dead_code, reason = "exit.rs speaks of signals")]
#[path = "../src/logic/base/signal.rs"]
mod signal;
#[allow(dead_code, reason = "signal.rs reads numbers")]
#[path = "../src/logic/base/time.rs"]
mod time;

#[path = "confinement.rs"]
mod confinement;

/// When the prose below was last changed.
const DATE: &str = "2026-11-21";

/// How long a line of the source of the page is.
const WIDTH: usize = 78;

/// The whole page, in man(7).
pub fn page(version: &str) -> String {
    let mut page = format!(".TH VSRUN 8 {DATE} \"vsrun {}\" \"System Administration\"\n", escaped(version));
    // Options, paths and names are to be found again as they are: no hyphens but their own.
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
        ("THE MANAGER", THE_MANAGER),
        ("INIT", INIT),
        ("SIGNALS", SIGNALS),
        ("OUTPUT", OUTPUT),
        ("BACKGROUND", BACKGROUND),
        ("READINESS", READINESS),
        ("SOCKETS", SOCKETS),
        ("JAIL WITHOUT ROOT", confinement::JAIL_WITHOUT_ROOT),
        ("CONTROL GROUPS", confinement::CONTROL_GROUPS),
        ("CONTAINERS", CONTAINERS),
        ("UNDER SYSTEMD", &under_systemd()),
        ("CAPABILITIES", include_str!("capabilities.txt")),
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

const SYNOPSIS: &str = "
    vsrun [OPTION]... -- COMMAND [ARG]...
    vsrun --args FILE [ARG]...
    vsrun --status PIDFILE | --stop PIDFILE | --signal SIGNAL PIDFILE
    vsrun --check [OPTION]... -- COMMAND [ARG]...
    vsrun --help | --version | --help-completion
";

const DESCRIPTION: &str = "
`vsrun` starts COMMAND as a server: as the right user, in the right root and working directory, with clean signals
and file descriptors, with a locked pidfile, with its output in syslog or in files, and, if asked, in the background.

After that `vsrun` either is the server, in the same process, and nothing of `vsrun` is left; or, with an option of
the chapter Stay below, it stays as the server's parent: it restarts the server when it crashes, passes signals on,
reaps orphans, and ends with the right exit status. See THE MANAGER.

The word `--` must stand before COMMAND. Everything behind it is the command's own and is passed on byte for byte. An
option may be written `--name VALUE` or `--name=VALUE`. An option with values may be given once only, unless it says
that it is repeatable. A mistake on the command line is told in one line on standard error, with exit status 2, and
nothing has been touched then.

A FILE of --args that cannot be read is a failure (125). What is wrong in it (and that is another --args, too) is told
with the file and the line.

Paths on the command line, but those of --work-dir and COMMAND, are looked up outside the new root, and relative ones
from the directory in which `vsrun` was called.

The server starts with

= signals
all at their default action and none blocked; only a SIGHUP that was ignored when `vsrun` was called in the foreground, as
nohup(1) does, stays ignored, in `vsrun` and its helpers too, unless --on-signal `HUP=` says otherwise;

= descriptors
0, 1 and 2, and no other one, but for those that it is to have: the pidfile's where `vsrun` becomes the server (see
PIDFILES), its sockets, and that of --ready. Standard input is `/dev/null`, or an empty pipe where that cannot be
opened; --stdin leaves it alone. A manager has the same, so that a pipe of the caller's does not stay open in vain.
Standard output and error are as they were, unless --syslog or --logdir says otherwise;

= environment
that of `vsrun` or, with --clear-env, none; then the variables of --user, those of --env-dir and those of --env, each
in place of the ones before;

= all else
umask (but see --umask), limits (--limit), priority (--nice), capabilities (--caps) and so on: as `vsrun` found them.
With a --user other than root there are no capabilities but those of --caps: none permitted, effective, inheritable or
ambient, whatever the caller had.

A COMMAND without a slash is looked for in the directories of the server's `PATH`, by the server's user and inside the
new root. Without `PATH` these are /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin. There is no shell in
between. When COMMAND cannot be executed, the message says why as far as that can be found out: that the file is
there, but the interpreter of its `#!` line or its ELF loader is not, and so on; with --root, also what the path is on
the host.
";

const DURATIONS_AND_SIGNALS: &str = "
A duration is an integer and a unit: `ms`, `s`, `min`, `h`, `d` or `w`; without a unit it is seconds. Only KEEP of
--logdir has units of its own: `h`, `d`, `w` and `m` (30 days); without a unit it is days.

A signal is a name, with or without `SIG` and in any case, or a number from 1 to 64. `RTMIN+n` and `RTMAX-n` are known
too; `RTMIN` is 34, as for kill(1), and not the kernel's 32.
";

const USERS_AND_GROUPS: &str = "
USER and GROUP are looked up in `/etc/passwd` and `/etc/group` of the host, before the chroot. `vsrun` reads these
files itself: names that only NSS knows (LDAP, systemd) are unknown, and a container without these files needs
numbers. The first line with the name or number counts. Comments, lines that begin with `+` or `-`, and lines with
another number of fields are passed over; a user or group whose numbers are malformed is an error. A word of
`--user` that is no USER[:GROUP] is wrong usage (2); one that nobody knows is a failure (125).

= USER
A name, or a number that needs no entry. The server gets the gid of the entry and every group of `/etc/group` that
lists the user. Without an entry, it gets the gid of the same number and no other group.

= USER:GROUP
The server gets GROUP alone.

The list of supplementary groups always contains the gid. Ids that setresuid(2) or the kernel could misunderstand are
errors: 4294967295, negative ones, ones that overflow, and `12ab`.

With --user, `HOME`, `USER`, `LOGNAME` and `SHELL` are set: those of the entry, or `/`, the number, and `/bin/sh`. The
server has no controlling terminal, so that it cannot push keystrokes back into the terminal it was started from.

A `vsrun` that is not root can only stay who it is. If it is USER already, that is no error, and its groups stay as
they are; a GROUP that it has not is one. If not, it ends with \"started using wrong user ID (N), expected M\"; with
--no-user-checks it goes on as the current user, and `HOME` and the other variables are left alone.

After the change `vsrun` reads all ids, groups and capabilities back, and tries to become root again. When they are not
as they should be, or when the way back is open, the server is not started. The same goes for the root and working
directory, limits, nice value, umask, session and no_new_privs: what a kernel, a filter or a tracer only says it has
done is found out.

Handler and logger run as USER too, without any capabilities. --limit, --nice, --oom-score-adj, --caps,
--no-new-privs, --umask and the variables of --env-dir and --env are the server's alone.
";

const PIDFILES: &str = "
A pidfile holds the pid and a newline, and a lock. The lock tells the truth, not the number: whoever holds it is
alive. It is an exclusive lock of the open file description (fcntl(2), `F_OFD_SETLK`), which record locks of other
programs conflict with.

The file is made with mode 0600. One that is there must be a regular file with one link, must belong to `vsrun`'s own
user or to root, and must not be a symbolic link. It is locked first and written afterwards. When it is locked by
somebody else, `vsrun` says \"already running: FILE is locked by pid N\" and ends with 125, and nothing was changed. A
file that nobody has locked is a leftover, whatever it holds, and is overwritten. A file system without locks is an
error.

= With a manager
The manager keeps both files open and locked for its whole life, and no other process has them. It writes the server's
file at each start and empties it when the server has died, before the pid can become somebody else's: so a number in
a locked file is never a stranger's. Between two lives of the server the file is empty. At its end the manager removes
both files, also when they lie outside of the server's root. A pidfile that cannot be written at a restart does not
hold up the restart.

= Without a manager
The server itself keeps the lock, as a shared one on a descriptor that it cannot write to, and it need not know. The
file stays when the server has ended. A child of the server that inherits the descriptor and outlives it keeps the
lock as well.
";

fn control() -> String {
    let exit::Exit::Code(ok) = exit::Exit::SUCCESS else { return String::new() };
    let (dead, absent, unknown, setup) = (exit::DEAD, exit::NOT_RUNNING, exit::UNKNOWN, exit::SETUP);
    format!(
        "
--status, --stop and --signal ask the lock who lives, and signal nobody but one who has it: the process that the file
names must have the file open with the lock on it (`/proc/PID/fdinfo`), or, where the lock is exclusive, its parent
must. It is held by a descriptor meanwhile (pidfd_open(2)), and lock and number are looked at once more, so that a
number that has become a stranger's hits nobody: be it stale, of another pid namespace, or kept in the file by what a
dead server left behind. A file that belongs to neither root nor the caller may name its owner's processes only. A server
whose first thread has ended is found by its other threads.

Where `/proc` is not there or does not tell, as it does to root without `CAP_SYS_PTRACE` about other users' processes,
an exclusive lock's number is believed, except the number 1, and only if the file belongs to root or to the caller and no
other user can write to it; a server without a manager is unknown then. Without `/proc`, stop a managed server by its
manager's pidfile. Before Linux 5.3, which brought pidfd_open(2), the process is
looked at again just before it is signalled; without `/proc` too, it is unknown.

Either pidfile of a managed server will do: --stop goes to the manager and ends the whole, --status tells whether it
runs, and --signal goes to the process that the file names. Between two runs the server's file is empty: --stop then
searches `/proc` for the process that has that very file open and locked, and stops it at once. A service file, which
begins with `#!`, may be given in place of its pidfile; the manager's pidfile comes before the server's. There is no one to talk to but the lock, so these options
work on every server that keeps a pidfile of `vsrun`.

--status prints `running: pid N (FILE), up 3 h 12 min`, N being the process that the file names; the time since its
start is there where `/proc` shows it. Otherwise it prints `restarting`, `dead`, `not running`
or `unknown`, then `: FILE: ` and the reason. The words before the first colon do not change; --signal and --stop say the
same on standard error where they signal no process. --stop of what does not run says `not running: FILE`, and exits with
{ok}.

The exit statuses are those of rc scripts:

= {ok}
--status: it runs, or is between two lives. --signal: the signal was sent. --stop: it is gone, or was not there.

= {dead}
--status: it is dead, and the file is there.

= {absent}
--status: it does not run. --signal: there is nobody to get the signal, also between two lives.

= {unknown}
That cannot be known: the file cannot be read or is no regular file, or a dead server's child has the lock. Nothing
was sent.

= {setup}
--stop: it will not go. --signal: the kernel refuses to send it.
"
    )
}

const THE_MANAGER: &str = "
With --manager, --init or --restart, `vsrun` stays as the server's parent. The server gets a session and process group of its
own. With --stdin, in the foreground, with a terminal on descriptor 0 and without --user, it becomes the terminal's
foreground process group in place of that, so that an interactive program works. With --user it always has a new
session without a terminal.

A first start that fails ends `vsrun`, with 127, 126 or 125. From then on the manager never gives up for lack of
memory, descriptors or disk. When there is no process to be had for a restart or for the handler, it tries again after
100 ms, then twice as long each time, up to 5 s. Its own words are lost rather than waited for.

Processes that become its children, as orphans do when it is PID 1 or their nearest subreaper (which it is), are
reaped. A server that is stopped (SIGSTOP) is not dead. A server or handler whose end a tracer hides (the kernel reports
it only when the tracer lets go) counts as dead after one second, from Linux 5.3 on; where `/proc` does not show how it
ended, its exit status counts as 255.

In each turn a limited number of children, signals and processes is handled, then the deadlines: orphans that are
forked in a loop keep no signal and no timeout waiting.

.SS How the server ends

= voluntarily
It exits with 0, or ends as --success-exit lists. The manager exits with 0. No handler, no restart.

= unexpectedly
It exits with another status, or it dies of a signal that did not come from the manager. The handler is run. If it
exits with 0 the server is restarted; otherwise the manager ends with the server's status, or 128+N for signal N.
Without a handler the server is restarted. A restart that cannot execute the command any more is an unexpected end
too, with status 127, 126 or 125.

= by a signal that was forwarded
If that is the stop signal, TERM, INT, QUIT, HUP or KILL, the end was requested: no handler and no restart, and the
manager exits with 128+N. Any other (USR1, a real-time signal, SEGV) has found a server that does not handle it, which is
an unexpected end.

= on request
After SIGTERM or SIGINT to the manager, however the server ends: the manager ends with 0.

--restart changes that. `on-abort`: only death by a signal is unexpected; another exit status ends the manager.
`always`: every end but one on request is unexpected. `no`: none is.

.SS The handler

It is a program, without arguments: HANDLER of --manager. It runs as the server's user, outside of the server's root,
in `/`, in a session of its own, with default signals. It must be there when `vsrun` starts; whether the server's user
may execute it shows only when it is run. What it writes to standard output and standard error is read through a pipe and
recorded, a line each as `handler: LINE`: 500 bytes of a line at most, and 1000 lines of each run. It has no descriptor of
`vsrun`'s own files. Its standard input is
`/dev/null`; with --logdir it is the server's logfile, opened where the life that has just ended began, so that a
`tail -n 20` is about that life; see --log-size for one that was rotated since.

A status other than 0, a signal, a handler that cannot be executed, and one that --handler-timeout ended all mean: no
restart. Its environment is `vsrun`'s own, with the user's `HOME` and so on, without any `VSRUN_` variable that was
there before, and with

= `VSRUN_SERVER_COMMAND`
the words of the command, joined by blanks, quoted where a shell would need it, cut to 64 KiB with `...` at the end

= `VSRUN_SERVER_EXPLAIN`
the end in words: \"exited with status 1\", \"killed by signal 9\" or \"dumped core with signal 11\"

= `VSRUN_SERVER_REASON`
`exit`, `signal`, `core`; `exec` when a restart could not start the server, `watchdog` when it was ended by --watchdog,
`oom` when the kernel has killed for lack of memory in `vsrun`'s control group, of version 1 or 2, during its life

= `VSRUN_SERVER_EXITED`
1 if it exited, otherwise 0

= `VSRUN_SERVER_EXITSTATUS`
its exit status; unset if it did not exit

= `VSRUN_SERVER_TERMSIG`
the number of the signal that ended it; unset if none did

= `VSRUN_SERVER_SIGNAME`
the name of that signal, such as `SIGSEGV`; unset if none did

= `VSRUN_SERVER_COREDUMP`
1 if it dumped core, otherwise 0

= `VSRUN_SERVER_PID`
its pid

= `VSRUN_SERVER_UPTIME`
how many whole seconds it lived

= `VSRUN_SERVER_RESTARTS`
how many restarts after unexpected ends there were before

= `VSRUN_SERVER_MAXRSS_KB`
the most memory it had, in KiB

= `VSRUN_SERVER_CPU_MS`
the processor time it took, in milliseconds

.SS Pauses

The first unexpected end leads to a restart at once. Ends in a row, without a life of 10 s (or MAX of --restart-delay,
when that is shorter) in between, wait for MIN, 2 MIN, 4 MIN, and so on up to MAX. Where only MIN is given, MAX is 30 s,
or MIN when that is longer; with a MIN of 0 there is no pause at all.
";

const INIT: &str = "
With --init, `vsrun` stays with the server and never restarts it of its own accord. Every signal of 1 to 64 but SIGKILL, SIGSTOP and
SIGCHLD is forwarded to the server, once and alone, also SIGTERM, SIGINT and SIGHUP. `vsrun` ends as the server does, with
its status or 128+N, on request too; with 0 where --success-exit lists that end. Its own time to end is the
server's affair: only with --stop-timeout a SIGTERM (or the signal of --stop-signal) that is sent on starts the clock,
at whose end the server's process group gets SIGKILL, and then SIGCONT follows it, so that a server that is stopped can
end. On standard error it reports warnings and errors only, unless --no-quiet is given. A manager's PIDFILE may be had too, with `-m PIDFILE -`; a
handler, --restart (except `no`), --restart-delay, --restart-limit and --handler-timeout contradict.

Session, terminal and orphans are as under THE MANAGER. The server is in a session of its own, and the kernel
discards SIGTSTP, SIGTTIN and SIGTTOU there unless the server handles them; `--on-signal TSTP=forward:STOP` stops it
all the same. An interactive shell with --stdin on a terminal has its jobs, and the terminal's foreground is given back
at the end. A server there that the suspend key itself has stopped goes on at once, as nobody else would let it.

.SS As PID 1

With --init or as a manager, `vsrun` may be PID 1: of a machine, or of a container. No signal ends it, since all of
them are blocked and read; no closed or hung up console, no full disk, and once the server runs no lack of memory or
processes. What it inherits in blocked or ignored signals reaches nobody.

An init that exits makes the kernel panic. --at-exit puts the end of the machine in place of every exit, also of one
because of an error: from where that option has been read on. Before it the caches of the disks are written back
(sync(2)); see PID 1 OF A MACHINE. In a container, reboot(2) makes the container's init die of SIGHUP for `reboot`, and
of SIGINT for `poweroff` and `halt`; without the right to it (CAP_SYS_BOOT) `vsrun` says so, and exits.

.SS What a server leaves behind

Processes that the server has started may outlive it: workers of a master that was killed keep its port, and children of
their own session are in no group of its. They are ended after every end of the server, before the handler, a restart or
the exit, with --group (what is left of the server's process group) and with --linger (every descendant of `vsrun`, in
whatever group or session). They get SIGTERM and SIGCONT, whatever the stop signal is, and SIGKILL after the DURATION of
--linger or, with --group alone, after the stop timeout (30s if not given, with --init too; with 0 they are awaited for
ever). After the SIGKILL the manager waits 5 s at most for those that the kernel cannot end. A SIGINT that comes after a
request to stop does not wait for the time to be up.

With --group, the server stays unreaped until the rest of its process group has ended, so that the number of the group
cannot become another's. A process of the group whose parent has left the group and lives is not seen, and is killed at
the end. The pidfile is empty meanwhile.

With --linger, the descendants are found in `/proc`, in one pass, some 1000 processes a turn. Between two runs a PID 1
ends its descendants only; at the exit every process, also those that entered the container from outside. Without `/proc`,
or with that of another pid namespace, only PID 1 can signal them, at the exit; otherwise `vsrun` can only wait until its
children have ended, or the time is up. The logger is left out; where that cannot be told from the rest, as `/proc` is
missing, PID 1 asks it too, and starts it again for the last lines.

Without both options, a warning at the exit says how many processes are left (`vsrun` as PID 1 need not: the kernel ends
them). A server that exits with 0 within 10 s and leaves processes has most likely put itself into the background: a
warning says so, with their names, because COMMAND must stay in the foreground.
";

const SIGNALS: &str = "
Signals to a manager, unless --on-signal says otherwise (with --init, see INIT):

= `SIGTERM`
Ends the server with the stop signal (--stop-signal), followed by SIGCONT, and then the manager, with 0. If the server
has not ended when --stop-timeout is over, its process group gets SIGKILL, again and again if need be. SIGTERM wins
over all else: during a pause the manager ends at once; a handler that runs gets SIGTERM, and SIGKILL after the stop
timeout; no server is started any more. A second SIGTERM changes nothing.

= `SIGINT`
The same; when a stop has begun already, the process group gets SIGKILL at once.

= `SIGHUP`
Ends the server in the same way and starts it again, with new log files (see OUTPUT). No handler, no pause, and no
count. During a pause the server is started at once. While the handler runs, there will be no pause if it agrees.

= any other
but SIGKILL, SIGSTOP and SIGCHLD is sent on to the server. When no server is there it is lost.

.SS --on-signal

gives a signal another action, one for each signal. KILL and STOP cannot be trapped, and CHLD tells of children: they
are errors.

= `stop`
as SIGTERM does

= `restart`
as SIGHUP does

= `reopen`
`vsrun.log` is opened again under its name, and so is `logfile` where --log-size is given, for programs such as
logrotate(8) that rename them: see LOGROTATE. The old file goes on where that fails, and no symbolic link is followed.

= `ignore`
nothing

= `poweroff`, `reboot`, `halt`
For PID 1: stop the server, and then end the machine; see PID 1 OF A MACHINE.

= `forward`, `forward:SIGNAL`
sends the signal, or another one in its place, on to the server

So `--on-signal HUP=forward` is for a server that reads its configuration again at SIGHUP, and
`--on-signal TERM=forward:QUIT` lets a server that ends gracefully at SIGQUIT do so; its end is what counts then (see
THE MANAGER), and no --stop-timeout follows.

A signal to a server of another user needs CAP_KILL, or CAP_SETUID: then it is sent by a short-lived child that has the
server's user as its real user id, but stays root otherwise, so that this user can neither trace it nor read its memory. So a
container that starts as root with SETUID and SETGID alone can stop its server. Where neither is there, as with a
set-user-id COMMAND under a plain user's `vsrun`, a warning says so at the start, and one more when a signal was refused. A
PID 1 that may not send SIGKILL exits instead, and the kernel ends all others.
";

const OUTPUT: &str = "
Without --syslog and --logdir, the output of the server goes where `vsrun`'s own goes, and `vsrun`'s records go to
standard error, each line beginning with \"vsrun: \". A terminal there is opened once more for them, so that a terminal
whose output is stopped does not block a manager; where it cannot be opened, poll(2) decides. Where `vsrun` becomes the server, it says nothing
but errors, unless --debug is given.

.SS --syslog

Output, and `vsrun`'s words with it, goes through a pipe to `logger -t TAG`, or to the command of --logger. It is
looked for in `vsrun`'s own `PATH` before anything is started, and runs as the server's user outside of its root. It
ends, by itself, when the last process that writes to it has ended.

A manager keeps the logger alive: it starts it again on the same pipe, after 100 ms, doubling up to 5 s, and a dead
logger costs the server no signal, and no line but those that the logger had read. At its end the manager waits for
the logger until it has read everything, 5 s at most. Where `vsrun` becomes the server, nobody does all that: a server
that writes to a dead logger gets SIGPIPE.

Whether a syslog daemon listens is not for `vsrun` to know: some loggers end with 0 when none does.

.SS --logdir

`vsrun`'s words go to `DIR/vsrun.log`, where a line reads

    2026-11-21T08:00:12.123Z vsrun[PID] PRIORITY: TEXT

in UTC; the server's output goes to `DIR/logfile`; the handler's goes to `vsrun.log`. When `vsrun` starts, and at each
restart by SIGHUP, what is there is renamed to `vsrun.log.N` and `logfile.N`, N one more than the highest number of
that name, and new files are begun: no file is ever replaced, and a renamed file keeps its name. A number is used once
while a manager lives; `logfile.N.gz` counts as N, and is not deleted; numbers of more than six digits are not `vsrun`'s.
When 999999 is taken, there is no further rotation, and a warning. A restart after a crash goes on in the same files. A process that outlives such a rotation goes on writing to the file it has open,
under its new name.

A manager opens the path DIR again at each rotation. Where it leads to another directory by then, the new files are begun
there; where it cannot be opened, a warning goes to the old `vsrun.log` and to standard error, and the old files go on.

Renamed files that were last written longer ago than KEEP are deleted when `vsrun` starts, and by a manager also at
each rotation and once an hour. Nothing else in DIR is touched.

A DIR that is made belongs to the server's user and group, with mode 0750; parents that have to be made stay root's
(or the caller's), with mode 0755. The files have mode 0640, whatever the umask; `logfile` belongs to the server's
user, `vsrun.log` does not. No link that is waiting in DIR is followed, and where others than root (or the caller) may
write to DIR, no file that is there is written to: it is renamed, and a new one is made.

.SS Directories that root uses

When `vsrun` is root, it goes to DIR, to the directories of pidfiles and Unix sockets, to that of --root and to that of
--env-dir one component at a time. Once a component belongs to another user than root (or the owner of `/`), every later
one must belong to that same user, and a symbolic link counts with its own owner: otherwise that user could make root use
what is not the user's. DIR itself must belong to root or to the server's user; a DIR that is missing is made in a
directory of a user only if it is to belong to that user. What is refused is told with the component and its owner,
and nothing has been made. A link of root's own, such as `/var/run`, is followed.

.SS --log-size

The server writes into a pipe, and a writer, a process of `vsrun`'s own, moves what comes into `logfile`. Before the file
would become longer than SIZE it is renamed as above, at the end of a line, and a new one is begun: nothing is lost, and
the server notices nothing. A line that has begun in a file ends in it, so that a file may become longer than SIZE by
the rest of a line; a line that alone is longer than SIZE is divided only where the file is twice as long. With
--log-files no more than N renamed files of the server's output stay. KEEP is obeyed at these rotations too, and SIGHUP
rotates as without a writer.

What has not been written yet is in the pipe, which takes 1 MiB, and never in the writer's memory only. A writer that is
killed loses no byte; a manager starts it again as it does a logger, and waits for it at its end, 5 s at most. A writer
whose manager was killed, or that is beside a server without a manager, goes on until the last process that writes has
ended. It has the rights of --user where DIR belongs to that user, and `vsrun`'s own otherwise, since it has to rename
files in DIR; it heeds no signal but SIGKILL and, from its manager, SIGHUP. When the disk is full it tries again each
second; once the pipe is full too, the server waits in its write. Of what a server has written before it ended the
handler and the next life wait up to half a second, so that `logfile` is complete for them. A handler reads the newest
file from its beginning, where it was rotated during the life.

When the limit of file sizes that `vsrun` was started with (`ulimit -f`) is reached, the next file is begun.

.SS LOGROTATE

`vsrun` rotates by itself, and needs no other program for it. Where logrotate(8) is to do it, give it the option
`dateext`, so that its names (`logfile-20261125`) are not `vsrun`'s, and `nocreate`; give `vsrun` --log-size with a SIZE
that is never reached, so that it can open `logfile` again, and --on-signal `USR1=reopen`:

    /var/log/web/vsrun.log /var/log/web/logfile {
        daily
        rotate 14
        dateext
        nocreate
        missingok
        compress
        delaycompress
        su root root
        sharedscripts
        postrotate
            vsrun --signal USR1 /run/web-manager.pid
        endscript
    }

Without `dateext` both would use the same names in opposite orders: the newest file of logrotate(8) is `logfile.1`, which
is the oldest of `vsrun`, and so the first that --log-files deletes. A `vsrun` that is told to open its file again and
finds it renamed to `vsrun.log.1` warns of that. Without --log-size the server itself has `logfile` open: then
logrotate(8) needs `copytruncate` for it, which loses what is written meanwhile, or a server that is restarted.

.SS --syslog-usage

With `yes`, `vsrun`'s own records (but not the server's output, and no debug records) go to the system logger as well,
with `only` there alone. They are sent to the socket `/dev/log`, with the facility `daemon`, the priorities that
`vsrun.log` shows, and the TAG of --syslog or `vsrun`, and `vsrun`'s pid. They are lost when nobody listens there, and
nobody waits for them. Errors of a start are told to the caller all the same. The `vsrun.log` of --logdir is made even
with `only`: debug records go there.

.SS Records

A record is at most 2 KiB long; what is beyond that is cut off. Control characters and backslashes in what others
may choose, such as paths and the words of the command, are written as `\\xnn`. A full disk, a full pipe, or a
standard error that nobody reads costs records, and never stops the manager.
";

const BACKGROUND: &str = "
With --background, the caller's process waits until the server has been started: until COMMAND has been executed, or
until the server has said so (see READINESS). Only then does it exit, with 0. Whatever goes wrong before, it prints, and
it exits with the status that `vsrun` would have had in the foreground. Nothing is left running then, and the pidfiles
are gone.

The server, and the manager if there is one, are in a new session without a terminal. The manager's working directory
is `/`; the server's is what it would be in the foreground. No descriptor of the caller stays open: 0 only with
--stdin, and 1 and 2 only without --syslog and --logdir.
";

const READINESS: &str = "
When the server counts as started is what --ready says.

= `exec`
Its execve(2) has succeeded.

= `fd:N`
It has written a newline to its descriptor N, as servers do for s6. A server that closes N without one is a failure.
N is 3 to 65535, and none of the numbers of its sockets.

= `notify`
It has sent `READY=1` to the socket that `NOTIFY_SOCKET` names, see sd_notify(3). `vsrun` makes that socket, of an
abstract name, so it needs no file and is found in every chroot (but not in another network namespace). A message
counts when the kernel says that a process of the server's user, or of root, has sent it. systemd-notify(1) works in a
shell wrapper around the server.

A server that is not ready when --ready-timeout is over is stopped, and `vsrun` ends with 125; so it does when the
server ends before it is ready, whatever its exit status was. That holds for the first start: a later life need not say
that it is ready. Without --background and without somebody who stays there is nobody to wait, and `fd:N` and `notify`
are wrong usage.

.SS What the server may say

All assignments of one message count. With --ready `notify` these have an effect:

= `READY=1`
The server is ready. From then on --watchdog applies. It also ends a `RELOADING=1`.

= `WATCHDOG=1`, `WATCHDOG=trigger`
The server works; or it does not, and --watchdog ends it now.

= `WATCHDOG_USEC=N`
Another time for --watchdog, in microseconds, for this run of the server. 0 turns the watchdog off.

= `EXTEND_TIMEOUT_USEC=N`
The server needs more time to be ready (--ready-timeout), or to stop on request (--stop-timeout): so many microseconds
from now. A deadline that is later stays. A server may do that again and again; SIGINT to a `vsrun` that stops kills it
at once.

= `STOPPING=1`
The server exits by itself; --watchdog rests.

= `RELOADING=1`
The server reads its configuration again, until it says `READY=1`. --watchdog goes on. Passed on, with its
`MONOTONIC_USEC=`.

= `STATUS=TEXT`
Passed on: the first 240 bytes, with control characters and backslashes as `\\xnn`.

= `BARRIER=1`
The descriptor that came with it is closed once all messages before it have been handled.

`MAINPID=` and `FDSTORE=1` are not supported. A message that is ignored is recorded with the reason, once for each
reason in each run of the server. Descriptors that come with a message are closed by a short-lived process, so that one
whose close sleeps holds up nothing. While other users fill the queue of the socket, a server has twice its watchdog
time.

.SS What vsrun says to the service manager above it

A `vsrun` that stays and that was itself given a `NOTIFY_SOCKET` reports there:

= `READY=1`, `MAINPID=` (its own pid)
The server counts as started, for the first time or again after a `RELOADING=1`.

= `RELOADING=1`, `MONOTONIC_USEC=`
A restart was requested, also during the pause before a restart or while the handler runs. `READY=1` follows when the new
server is ready in the sense of --ready. A later run of a server that never says so leaves it at that. A restart after a
crash is not reported.

= `STOPPING=1`
`vsrun` was asked to stop.

= `STATUS=`, `EXTEND_TIMEOUT_USEC=`, `RELOADING=1`
What the server has said, see above.

= `WATCHDOG=1`
Where `WATCHDOG_USEC` is set, and `WATCHDOG_PID` is missing or its own: at half of that time, as long as `vsrun` works,
also while the server stops or is restarted.

Nothing waits for the service manager. A `READY=1`, `RELOADING=1` or `STOPPING=1` for which its queue has no room is sent
again every 100 ms. Server and handler have none of `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` of the service
manager above. Where `vsrun` becomes the server, these variables stay as they are: without --background the pid is the
same, so a `WATCHDOG_PID` is still right.
";

const SOCKETS: &str = "
The sockets of --listen, --port and --bind are bound, and listen with room for 4096 connections that wait, before
privileges are dropped and before the server is started. A port below 1024 needs no right of the server's user. The
server finds them from descriptor 3 on, in the order of the command line, with `LISTEN_FDS`, `LISTEN_PID` (its own pid)
and `LISTEN_FDNAMES`, as sd_listen_fds(3) reads them. A manager keeps them over all restarts: who connects while there
is no server waits in the queue and is not refused.

Before each later run of the server, a TCP socket on which the last one has called shutdown(2) listens again, and a UDP
socket forgets a peer that it was connected to.

Without an address a port is that of `[::]`, for both families, or of `0.0.0.0` where there is no IPv6. When an address
is in use, the message names the process that has it, where `/proc` tells.

A Unix socket belongs to the server's user and group, with mode 0660. Root makes it in a directory of its own beside its
place, gives it to the user there and moves it to its place, so that no user can exchange it. A path that exists is an error, unless it is a
socket of `vsrun`'s user or the server's that nobody listens on any more, and a pidfile lock of ours (--pidfile or --manager) proves that no other
instance lives: then it is replaced. `vsrun` removes the socket at its end where it stays, and when the start fails.
Where it becomes the server the socket is left behind, and the next start with that --pidfile replaces it.

Sockets that `vsrun`'s own parent handed over in the same way are passed on, before its own, with `LISTEN_PID` set
right; those without a name are called `unknown`. When they were meant for another pid the variables are removed.
";

const CONTAINERS: &str = "
As PID 1 of a container `vsrun` needs no shell, no `/etc`, no `/proc`, no right, and nothing that it could write to
but the directory of a pidfile, if there is one. The kernel gives PID 1 no signal that it has no handler for, and
makes every orphan its child: --init and the manager do both jobs.

When PID 1 ends, the kernel kills all others without a word. --linger gives them time before. Whoever stops a
container does the same to PID 1 after a while (`docker stop` after 10 s, Kubernetes after
`terminationGracePeriodSeconds`): --stop-timeout and --linger together should be shorter.

--status `FILE` and --signal `HUP FILE`, executed in the container, are a probe and a reload that need no other
program. FILE has to be on a file system that can be written to, such as a tmpfs on `/run`. Outside of the container,
its pidfiles have numbers that mean somebody else there; where the outside has a `/proc` that can be read, --status
answers 4 then, and nothing is signalled.

With --stdin and a terminal, the terminal's foreground is the server's.

A command that is executed in a container and puts a server into the background should have --logdir or --syslog: the
one who has executed it waits until its output is closed. `runc run` that stays in the foreground passes on every
signal, also SIGURG, which Go's runtime sends to its own threads; --on-signal `URG=ignore` keeps them off the server.
";

/// The chapter about systemd, where a line `< FILE` stands for a file of `examples/systemd`.
fn under_systemd() -> String {
    let file = |name: &str| UNITS.iter().find(|(unit, _)| *unit == name).expect("a unit of examples/systemd").1;
    let text = include_str!("systemd.txt");
    let lines = text.lines().map(|line| match line.strip_prefix("< ") {
        // An empty line of the file would end the block.
        Some(name) => file(name).lines().map(|line| format!("    {line}\n")).collect(),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// The units that the chapter shows.
const UNITS: [(&str, &str); 5] = [
    ("simple.service", include_str!("../examples/systemd/simple.service")),
    ("notify.service", include_str!("../examples/systemd/notify.service")),
    ("activated.socket", include_str!("../examples/systemd/activated.socket")),
    ("activated.service", include_str!("../examples/systemd/activated.service")),
    ("forking.service", include_str!("../examples/systemd/forking.service")),
];

const INITRAMFS: &str = "
A file of arguments whose first line is `#!/vsrun --args` is a complete `/init`: the kernel executes it, without a
shell. What stands behind `--` on the kernel's command line is appended, and so becomes the server's; a word
`name=value` that the kernel does not know becomes a variable. The kernel opens `/dev/console` as the descriptors 0 to
2, or leaves them closed where it cannot; `vsrun` puts something in their place.

When the real PID 1 exits, the kernel panics. With --at-exit `vsrun` does not exit, whatever happens after that option has
been read: it should be the first.

A server that is put into the background in the initramfs (by a script with --background) outlives the change to the
real root. If the file system of its pidfiles, such as a tmpfs on `/run`, is moved there (`mount --move`), they are
locked as before, and --status, --signal and --stop work from the real root, with or without `/proc`. But `vsrun` and
its server remain in the old root, whose files `switch_root` deletes: what lives there goes on, and cannot be
restarted. It has to be stopped, and started anew in the real root.
";

const THE_ORDER_OF_A_START: &str = "
Each step that fails ends the start, with a message that names the step. --debug shows those of the last paragraph.

First, as the caller: the options are read, then the directory of --env-dir, then user and group, and from here on every signal has its default action.
A manager blocks all signals, to read them later, and closes all descriptors above 2 but the sockets it was
given. The pidfiles are locked, the
server's first, the control group is made and its settings are written, and the sockets are bound. The manager looks whether the handler can be executed. The logger is looked
for, or the log files are begun.

Then `vsrun` detaches, with --background; the manager's pid is written, and the logger is started.

Then, in the process that becomes the server:

= 1.
the control group of --cgroup; signals, session and terminal; the pid is written; nice value, oom score, limits; standard input, output and error; the
sockets; without --work-dir and --root, the logdir becomes the working directory;

= 2.
every descriptor above 2 is closed, except those of the pidfile, the sockets and --ready, and a pipe that reports a step
that fails. So no path that is followed from here on, that of execve(2) included, leads through a descriptor out of the
root. With --root, a directory among the server's own descriptors is an error. Where the steps of --debug go to
vsrun.log, which is closed too, those that follow are recorded in advance;

= 3.
chroot, and into its `/`;

= 4.
where the user changes: signals are blocked, and a session keyring without root's keys is joined; groups, gid and uid
(real, effective and saved), after each of which no core can be dumped; the user's own session keyring; the
capabilities that go with uid 0; proof that this is so and that there is no way back;

= 5.
the capabilities of --caps; no_new_privs (also where Landlock needs it); umask; the directory of --work-dir, and proof
that it is inside the root; the rules of Landlock; the signals are unblocked; execve(2).

So --work-dir is entered, and COMMAND is found and executed, with the rights of the user. A managed server without
--work-dir, --root and --logdir starts each time in the directory in which `vsrun` was called, while the manager itself
moves to `/` and pins no mount. If another directory has that path by then, it is entered with the rights of the user.

A helper that is not executed within 5 s, because its user has stopped it, is killed: at the start that is an error
(125), later it is started again.

A limit may be raised with the rights of the caller, and holds already for what `vsrun` itself does after it:
with --limit `nofile=4` it may not have enough to go on.
";

const NEIGHBOURS: &str = "
With --user, the server's user is taken to be hostile. The processes that `vsrun` runs beside the server as the same
user are outside its root:

= handler and logger
keep one harmless capability that the server does not have: CAP_WAKE_ALARM, else CAP_BLOCK_SUSPEND,
CAP_NET_BIND_SERVICE or CAP_AUDIT_WRITE. The kernel then lets the server neither trace them nor use their /proc/PID/root,
cwd, fd and mem, pidfd_getfd(2) or process_vm_readv(2). A program of theirs that grants rights, such as sudo(8) or
sendmail(8), works as ever. In a container that has none of these four, or before Linux 4.3, handler and logger are not
protected from the server, and --check says so;

= the log writer
executes nothing and stays a process that only root can trace.

The server's user can still send them signals, stop or kill them (a logger and a log writer are started again), change
their limits and priority, and use up the processes and memory that its user may have. Other processes of that user, which
`vsrun` has not started, are not protected at all: give each server a user of its own.

= terminal
With --user and without --stdin, a terminal on descriptors 1 and 2 is reopened for writing only. The server can neither
read keys from it nor make it its own nor push input into it; it can still write to it, and change its settings. Without /proc it
stays as it is, and --check says so.

= keys
The server has a session keyring of its own. In a container whose filter refuses keyctl(2) (Docker's does) it keeps the
one of the container.
";

const CHECK: &str = "
With --check, which may stand anywhere among the options and in a FILE of --args, `vsrun` looks for everything that a
start with the same options would need, at that moment and for the one who asks: so whoever will start the service, as
a rule root, should check it. It starts nothing, and creates, changes and locks nothing.

Each finding is a line on standard output, in the words in which the start would fail. The exit status is 0 when there
is none, 125 when there is, and 2 for wrong usage, which is told on standard error as ever. Where a finding hides
others, as an unknown user or a missing root does, a line says `not checked`; a line that begins with `warning` is no
finding.

= Outside
The user; the directory of --env-dir; the pidfiles, their directories and locks (a server that is running already is a finding); the
addresses of the sockets; the logdir; the handler and the logger, as their user would execute them; and /dev/log with
--syslog-usage. Whether a port is free is read from the kernel's lists in `/proc/net`, so that no other program's bind(2)
fails meanwhile; where they cannot be read, a line says `not checked`. A socket on [::] counts for IPv4 too, although it
may be for IPv6 only.

= Inside
A child goes the way of the server, step by step, into its root and working directory, as its user, and looks at
COMMAND, the interpreter of its `#!` line and its ELF loader. Of the rules of Landlock it says which of these no rule
lets the server execute, and whether the directory of --work-dir is covered. A step that fails is told and left out, so that the
others are found too.

What a start alone can show is not found: that it is not PID 1's, with --at-exit; that a disk is full, that the user has too many processes, that an address
is asked for twice, that a program lacks a library or does not like its arguments. A file that its user may execute
but not read is taken for a program, and one that only binfmt_misc would execute for none.
";

fn exit_status() -> String {
    let exit::Exit::Code(ok) = exit::Exit::SUCCESS else { return String::new() };
    let (dead, absent, unknown) = (exit::DEAD, exit::NOT_RUNNING, exit::UNKNOWN);
    let (usage, setup, refused, missing) = (exit::USAGE, exit::SETUP, exit::NOT_EXECUTABLE, exit::NOT_FOUND);
    format!(
        "
= {ok}
The server ended voluntarily, or was stopped on request; with --background: it has been started; with --check: nothing
was found.

= {usage}
Wrong usage. Nothing has been touched.

= {setup}
`vsrun` could not set it up; also: already running, wrong user, and a server that was not ready in time or ended before
(see READINESS). Everything is undone, and nothing is left running. With --check: something was found. Of --help and
the like: the text could not be written.

= {refused}
COMMAND could not be executed: every error of execve(2) but the next one. Everything is undone.

= {missing}
COMMAND was not found: ENOENT of execve(2), so its interpreter or loader may be what lacks. Everything is undone.

= N
The server's own exit status; of a manager that gives up, too: because the handler refuses, or by --restart-limit. Where
--success-exit lists the end, it is 0.

= 128+N
Signal N ended the server, or its last life. (Where `vsrun` became the server, its parent sees the signal itself.)

--status exits with {ok}, {dead}, {absent} or {unknown}, --signal with {ok}, {absent}, {unknown} or {setup}, and --stop
with {ok}, {unknown} or {setup}: see CONTROL.

A server may exit with {usage}, {setup}, {refused} or {missing} itself; then the words on standard error or in the log
tell which it was. Log files that a failed start has begun stay.
"
    )
}

const ENVIRONMENT: &str = "
= `PATH`
where COMMAND is looked for, in the server's environment, and the logger, in `vsrun`'s own

= `HOME`, `USER`, `LOGNAME`, `SHELL`
set by --user for server, handler and logger; --env-dir and --env may change them for the server

= `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`
the server's sockets, those that `vsrun` was given among them; unset where there are none, see SOCKETS

= `WATCHDOG_USEC`, `WATCHDOG_PID`
set for the server with --watchdog: the time in microseconds, and its pid. Those that a `vsrun` that stays was given are
for itself: it sends `WATCHDOG=1` to the service manager above, and the server does not get them

= `NOTIFY_SOCKET`
where a server, or a `vsrun` that stays, reports that it is ready; set for the server with --ready `notify`, see
READINESS

= `VSRUN_SERVER_...`
what the handler is told, see THE MANAGER; `vsrun` itself obeys no variable of that name
";

const MESSAGES: &str = "
An error is one line on standard error: `vsrun: `, then what could not be done, to what, and why; what the kernel says
stands last. Wrong usage begins with the option or, of a file of --args, with `FILE:LINE:`. The error of a start
with --background is told by the caller's process.

Most errors read `cannot STEP: WHY`, where STEP is one of THE ORDER OF A START. These want to be explained:

= `already running: FILE is locked by pid N`
Another instance lives, and nothing was changed. Where the file `names no pid`, that one starts just now, or is between
two lives of its server.

= `started using wrong user ID (N), expected M`
`vsrun` is neither root nor USER; see --no-user-checks.

= `already running: FILE is locked by pid N`
That process has the lock. `not by pid M, which it names` follows where the file names another process: as a rule a server
that has ended, whose child N has inherited the lock. End that child.

= `cannot send SIGNAL to pid N: Operation not permitted (needs CAP_KILL or CAP_SETUID)`
The process belongs to another user. This is recorded once. See SIGNALS.

= `cannot listen on 'ADDRESS': WHY (pid N has it)`
The address is in use, by that process where `/proc` tells. Of a Unix socket: see SOCKETS for when a file that is there
is replaced.

= `cannot execute 'COMMAND': WHY (REASON)`
REASON is what the file system shows beyond the kernel's WHY.

= `cannot prove that it is user N and nobody else: WHY`
The kernel, a filter or a tracer has only said that it had changed the user, or there is a way back to root.

= `the server END before it was ready`, `the server was not ready in time: --ready HOW, --ready-timeout TIME`
The server was started, but see READINESS. The same goes for `the server closed its ready descriptor without a newline`.

= `the background process ended before the server was started`
Somebody has killed it.

A manager records besides, in the order of a life, with these priorities:

= `starting: COMMAND` (info), `started: pid N` (info)
The words of the command, as for a shell; and each time that it has been executed.

= `the server (pid N) END after TIME` (notice)
END: `exited with status 1`, `killed by SIGKILL (9)`, `killed by SIGSEGV (11), core dumped`. TIME has one decimal below a
minute: `12.8 s`, `3 min 5 s`.

= `the server has left PROCESSES running: ...`, `N processes of the server are left: PROCESSES` (warning)
See INIT, What a server leaves behind. The first three are named: `pid 12 (nginx)`.

= `the server (pid N) has ended, which a process that traces it hides` (warning)
The same for the handler. See THE MANAGER.

= `handler: LINE` (notice)
What the handler writes.

= `the handler agrees: END`, `the handler refuses: END` (notice)
What it has decided, and how it ended.

= `restarting in TIME (restart N)` (notice)
A pause begins, see --restart-delay.

= `giving up: --restart-limit allows N restarts within TIME` (err)
One more would be needed.

= `restarting the server (restart N)`, `restarting the server on request` (notice)
After an unexpected end, number N of them; and because of SIGHUP.

= `received SIGNAL`, `sending SIGNAL to pid N` (notice)
The signal that came, and the one that was sent; also `to the process group of pid N`, and `to every process that is
left` for --linger.

= `rotated: this file has been renamed`, `rotated: the files begin anew`, `reopened: the file was opened anew` (info)
The last record of an old vsrun.log, and the first of a new one.

= `the log directory 'DIR' is another one now: the files begin there` (notice)
The path of --logdir leads to another directory than before.

= `cannot rotate the log files in 'DIR': WHY; they go on`, `cannot reopen ...` (warning)
Also on standard error. Where DIR is there again, the next rotation begins new files in it.

= `vsrun.log was renamed to vsrun.log.1 by another program, whose numbers are not vsrun's` (warning)
See LOGROTATE.

= `shutdown: WHY, status N` (info; where N is not 0 notice with --init, otherwise err)
WHY is `on request`, `with the server`, `after too many restarts`, or `without a server` where the start failed.

= `the server has been silent for too long` (warning)
--watchdog ends it now.

= `ignored a notify message from pid N (uid N): WHY` (warning)
WHY is `not the server's user`, `MAINPID and FDSTORE are not supported`, `not a number of microseconds`, or that
descriptors came with it and eight processes that close earlier ones hang (on a FUSE file system, for example): the
socket is not read then, and --watchdog rests. A pid of 0 is outside of `vsrun`'s pid namespace.

= `cannot listen again on descriptor N: WHY` (warning)
The server has shut its socket down, and it cannot be brought back: a Unix socket never can, and a port may have been
taken by another process meanwhile. Restart `vsrun`.

= `the logger END, and will be started again` (warning)
It has died, or the writer of --log-size has. What is in the pipe waits for the next one.

= `cannot start a process now: WHY`, `cannot start the handler now: WHY` (warning)
The kernel has none to give. It is tried again after 100 ms, and so on up to 5 s.

= `cannot write pidfile 'FILE': WHY`, `cannot empty pidfile 'FILE': WHY` (warning)
Life goes on, with a file that does not name the server, or names the one that has ended; it is tried again at the next
restart, or when the file is emptied.

= `cannot rotate the log files: WHY; they go on`, `cannot open the log file anew: WHY; the old one goes on` (warning)
Nothing is lost.

The steps of --debug are `debug: PID: STEP`.
";

const FILES: &str = "
= `/etc/passwd`, `/etc/group`
users and groups; read only for --user, and only names need them

= `/dev/log`
the system logger, with --syslog-usage

= `/dev/null`, `/dev/tty`
used where they are there

= PIDFILE, FILE
the locks and numbers of --pidfile and --manager, see PIDFILES; wherever you say, as a rule in `/run`

= `/proc`
who has a lock (--status, --stop, --signal) or an address; the descendants of --linger; `/proc/self/oom_score_adj` for
--oom-score-adj; `/proc/self/fd` before Linux 5.11. Nothing else of `vsrun` needs it

= `/proc/self/cgroup`, `memory.events`, `memory.oom_control`
below `/sys/fs/cgroup`: whether the kernel has killed for lack of memory, for a manager with a handler

= `DIR/vsrun.log`, `DIR/vsrun.log.N`
`vsrun`'s own records, with --logdir

= `DIR/logfile`, `DIR/logfile.N`
the server's output, with --logdir
";

const EXAMPLES: &str = "
As the user www-data, with a pidfile; `vsrun` becomes the server:

    vsrun -u www-data -p /run/httpd.pid -- busybox httpd -f -p 8080 -h /srv/www

In a jail that holds nothing but a static program and its data:

    vsrun -u www-data -r /srv/jail -w /www -- /busybox httpd -f -p 8080

On port 80 without anything else of root's, with its secrets in files that only root can read, and with limits:

    vsrun -u www-data --caps net_bind_service --no-new-privs --env-dir /etc/web.env \\
        --limit nofile=65536 --limit core=0 --nice 5 -- webserver

In the background, with the output in syslog:

    vsrun -b -u www-data -p /run/httpd.pid -s httpd -- \\
        busybox httpd -f -v -p 8080 -h /srv/www

In the background, with the output in files, the old ones kept for two weeks:

    vsrun -b -u redis -p /run/redis.pid -d /var/log/redis 14d -w /var/lib/redis -- \\
        redis-server --port 6380

Kept alive, with a handler that mails the last lines of each crash:

    vsrun -u redis -m /run/redis-manager.pid /usr/local/sbin/server-died \\
        -d /var/log/redis 14d -w /var/lib/redis -- redis-server --port 6380

where /usr/local/sbin/server-died is

    #!/bin/sh
    tail -n 20 | mail -s \"$VSRUN_SERVER_COMMAND: $VSRUN_SERVER_EXPLAIN\" root
    exit 0 # go on, even if there is no mail

All of it: a jailed server in the background that gives up after five crashes in a minute:

    vsrun -b -u www-data -r /srv/jail -w /www -p /run/httpd.pid \\
        -m /run/httpd-manager.pid /usr/local/sbin/server-died \\
        --restart-limit 5/1min -d /var/log/httpd 14d -- \\
        /busybox httpd -f -v -p 8080

The same in a file that can be executed, /etc/rc.d/httpd:

    #!/usr/local/sbin/vsrun --args
    # arguments, one a line
    --background
    --user=www-data
    --root=/srv/jail
    --work-dir=/www
    --pidfile=/run/httpd.pid
    --manager
    /run/httpd-manager.pid
    /usr/local/sbin/server-died
    --restart-limit=5/1min
    --logdir=/var/log/httpd
    14d
    --
    /busybox
    httpd
    -f
    -v
    -p
    8080

A server that says when it is ready; the command returns then, or after ten seconds with an error:

    vsrun -b -u redis -m /run/redis-manager.pid - --ready notify --ready-timeout 10s \\
        -w /var/lib/redis -- redis-server --supervised systemd --port 6380

A server that is handed its socket, and a client that calls during a restart waits:

    vsrun -b -u www-data -m /run/app.pid - --listen 80 --ready notify -w /srv/app -- \\
        gunicorn app:app

The new start of the server above, with new log files, whether it runs, and its end:

    vsrun --signal HUP /run/httpd-manager.pid
    vsrun --status /run/httpd.pid
    vsrun --stop /run/httpd-manager.pid
";

const NOTES: &str = "
COMMAND has to stay in the foreground. A server that detaches by itself has, for `vsrun`, ended.

`vsrun` refuses to run set-user-id, set-group-id or with file capabilities. A transition of a security module, which sets
AT_SECURE too, is no reason to refuse.

A caller that is not root and asks for a GROUP it does not have is refused, though USER is who it is.

--ready `fd:N` refuses 0 to 2 and the numbers of sockets: those descriptors are something else to the server already.

A first server that ends before it is ready is a failed start (125), also if it exits with 0.

A manager that is killed with SIGKILL leaves its server running, and its pidfiles unlocked.

--stop-signal takes KILL, but not STOP, CONT or CHLD, which end no server. The stop signal, and the signals that are
passed on, go to the server's process alone; the SIGKILL of --stop-timeout goes to its process group.

A chroot keeps in what is not root. A server in a jail should have a --user, and a jail should hold neither devices
nor what belongs to that user and is executed by others.
";

const PORTABILITY: &str = "
Linux, on x86_64, aarch64, armv7 with hard float, i686 and riscv64. Also on machines of 32 bits times after January 2038
are right (from Linux 5.1 on, which tells them), and files may be longer than 2 GiB.

The oldest kernel is Linux 3.15, for the locks of pidfiles. On an older one --pidfile and the PIDFILE of --manager are an error,
and what needs no pidfile works.

What a younger call does is done in another way where the kernel does not have it, or where the filter of a container
refuses it, with ENOSYS or, as filters do that are older than the call, with EPERM:

= close_range(2) with `CLOSE_RANGE_CLOEXEC` (Linux 5.11)
Descriptors are closed one by one: those that `/proc` lists, or where there is no `/proc`, those below the hard limit, at
least 65536 and at most 1048576.

= pidfd_open(2) (Linux 5.3)
--stop and --signal hold the process by its directory in `/proc`, and --stop looks ten times a second whether it is
gone. Where there is no `/proc` either, they signal nobody (4).

= renameat2(2) (where the file system does not know it, too)
Log files are renamed by link(2) and unlink(2), which replace no file either.

= pwritev2(2) with `RWF_NOWAIT`
A record is waited for where somebody else has filled the pipe in the same instant.

= statx(2) and clock_gettime64(2), on 32 bits only
The older calls, which know no time after January 2038.

Nothing is needed of the root: without `/dev/null` the server's standard input is an empty pipe, without `/etc/passwd`
USER is a number, and on a read-only file system everything works that makes no file.
";

const SEE_ALSO: &str = "
daemon(1), logger(1), prlimit(1), chroot(2), execve(2), fcntl(2), pidfd_open(2), prctl(2), setgroups(2), setresuid(2),
sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3), group(5), passwd(5), proc(5), capabilities(7), cgroups(7),
signal(7), logrotate(8), runsv(8), start-stop-daemon(8)
";

// ------------------------------------------------------------------------------------------------------------------
// From here on, how it is written in man(7).

/// The chapter of the options, out of their table.
fn options() -> String {
    let mut text = String::from(".SH OPTIONS\n");
    for (chapter, title) in
        [(Chapter::Start, "Start"), (Chapter::Stay, "Stay"), (Chapter::Control, "Control"), (Chapter::Help, "Help")]
    {
        text += &format!(".SS {title}\n");
        for (flag, paragraph) in FLAGS.iter().zip(PARAGRAPHS).filter(|(flag, _)| flag.chapter == chapter) {
            text += &format!(".TP\n{}\n{}", names(&help::names(flag)), filled(paragraph));
        }
    }
    text
}

/// The names of an option in bold, those of its values in italics.
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

/// A section out of the prose.
fn section(title: &str, text: &str) -> String {
    let mut page = format!(".SH {title}\n");
    // What stands right under a heading begins a paragraph by itself.
    let mut headed = true;
    for block in text.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty()) {
        let gap = if headed { "" } else { ".PP\n" };
        headed = block.starts_with(".SS ");
        page += &match block.strip_prefix("= ").and_then(|block| block.split_once('\n')) {
            Some((tag, text)) => format!(".TP\n{}\n{}", marked(tag), filled(text)),
            None if headed => format!("{}\n", escaped(block)),
            None if block.starts_with("    ") => format!("{gap}.RS 4\n.EX\n{}.EE\n.RE\n", shown(block)),
            None => format!("{gap}{}", filled(block)),
        };
    }
    page
}

/// Lines as they are.
fn shown(block: &str) -> String {
    block.lines().map(|line| control_free(&escaped(line.get(4..).unwrap_or_default()))).collect()
}

/// A paragraph in lines of a sensible length.
fn filled(text: &str) -> String {
    let marked = marked(text);
    let (mut page, mut line) = (String::new(), String::new());
    for word in marked.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            page += &control_free(&line);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    page + &control_free(&line)
}

/// A line that is text and no request, whatever it begins with.
fn control_free(line: &str) -> String {
    let text = if line.starts_with('.') { "\\&" } else { "" };
    format!("{text}{line}\n")
}

/// Text with what is between backquotes in bold, and options too.
fn marked(text: &str) -> String {
    text.split('`').enumerate().map(|(index, part)| if index % 2 == 1 { bold(part) } else { plain(part) }).collect()
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// Text outside of backquotes: `-o` and `--option` are bold where they begin a word.
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

/// Where the next option begins.
fn option_in(text: &str) -> Option<usize> {
    let begins =
        |at: usize| text.get(..at).is_some_and(|before| !before.ends_with(|char: char| char.is_alphanumeric()));
    let is_name = |at: usize| {
        let name = text.get(at..).unwrap_or_default().trim_start_matches('-');
        name.starts_with(|char: char| char.is_ascii_alphabetic())
    };
    text.match_indices('-').map(|(at, _)| at).find(|at| begins(*at) && is_name(*at))
}

/// Characters that mean something to roff, or that it would turn into typographical ones.
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
