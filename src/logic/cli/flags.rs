//! The table of options: every option is here once, and in the parser.
//!
//! build.rs reads this file too, so it imports nothing. It makes the help text, the man page and the completions out
//! of the table, so no option has a second list. The paragraphs are apart from the rows: only build.rs and the tests
//! use them, and so they are not in the program.

/// A chapter of the help text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chapter {
    /// How the server starts.
    Start,
    /// What vsrun does when it stays.
    Stay,
    /// Questions and orders about a server that runs.
    Control,
    /// Help about vsrun.
    Help,
}

/// A value that an option takes.
#[derive(Clone, Copy)]
pub struct Value {
    /// What the help text calls it.
    pub name: &'static str,
    /// What completes it: `file dir integer string user command choices=...`.
    pub kind: &'static str,
}

/// An option.
pub struct Flag {
    /// Which one; the reader of the command line asks.
    #[allow(dead_code)]
    pub id: Id,
    /// Where the help text shows it.
    pub chapter: Chapter,
    /// The letter, or a blank.
    pub short: char,
    /// The long name, without the dashes.
    pub long: &'static str,
    /// Its values, in order.
    pub values: &'static [Value],
    /// Whether it may be given more than once although it has values.
    pub repeatable: bool,
    /// What a malformed value of it is: `is not ...`; empty where the names of its choices say that.
    pub not: &'static str,
    /// What it does, for the help text.
    pub line: &'static str,
}

macro_rules! flags {
    ($(
        $chapter:ident $id:ident $short:literal $long:literal [$($name:literal $kind:literal)*] $($repeatable:ident)? $(/ $not:literal)?
        $line:literal $($text:literal)+;
    )*) => {
        /// Every option by its name, in the order of the help text.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Id {
            $(#[doc = concat!("`--", $long, "`.")] $id),*
        }

        /// All options, in the order of the help text.
        pub const FLAGS: &[Flag] = &[$(Flag {
            id: Id::$id,
            chapter: Chapter::$chapter,
            short: $short,
            long: $long,
            values: &[$(Value { name: $name, kind: $kind }),*],
            repeatable: !concat!($(stringify!($repeatable))?).is_empty(),
            not: concat!($($not)?),
            line: $line,
        }),*];

        /// For each option, in the same order, the paragraph of the man page.
        pub const PARAGRAPHS: &[&str] = &[$(concat!($($text),+)),*];
    };
}

flags! {
    Start User 'u' "user" ["USER[:GROUP]" "user"]
    / "is not USER[:GROUP]"
    "run the server as USER"
    "Run the server, and the handler and logger with it, as USER. All digits is a number, never a name, and needs no "
    "passwd entry; a name does not begin with a digit, '-' or '+'. Without :GROUP the server gets the gid of passwd "
    "and every group that /etc/group lists for USER; with it, that group alone; a number without an entry and without "
    "a group has the gid of the same number and no other groups. The files /etc/passwd and /etc/group of the host are "
    "read before any chroot, by vsrun itself: no NSS, no LDAP. HOME, USER, LOGNAME and SHELL are set (HOME=/ and "
    "SHELL=/bin/sh when unknown). The server has no controlling terminal. After the change vsrun proves that uid 0 "
    "cannot be had back, and refuses to start the server otherwise.";

    Start NoUserChecks ' ' "no-user-checks" []
    "go on as who we are where USER is another"
    "Without it, a vsrun that does not run as root and whose effective uid is not USER's ends with 'started using "
    "wrong user ID (N), expected M'. With it, vsrun goes on as the current user, and --user changes nothing.";

    Start Pidfile 'p' "pidfile" ["FILE" "file"]
    "write and lock the server's pidfile"
    "Write the server's pid into FILE, and keep the file locked as long as vsrun or the server lives: a second start "
    "says who holds it and ends with 125. See PIDFILES.";

    Start Root 'r' "root" ["DIR" "dir"]
    "change the server's root directory to DIR"
    "chroot(2) to DIR. All paths on the command line but --work-dir and COMMAND are outside of it; those two are "
    "inside.";

    Start WorkDir 'w' "work-dir" ["DIR" "dir"]
    "its working directory, inside its root"
    "The server's working directory, entered as USER after the chroot and so inside of it; there a relative DIR begins "
    "at the new /. The default is the caller's "
    "directory; with --logdir, that directory; with --root, always / of the new root.";

    Start Background 'b' "background" []
    "detach; exit once the server has been started"
    "Detach from the terminal and the caller. vsrun exits with 0 only when the server has been started, and "
    "otherwise prints the error and exits with the status that it would have had in the foreground.";

    Start Foreground 'f' "foreground" []
    "stay in the foreground (the default)"
    "Stay in the foreground: the default. Cancels an earlier --background.";

    Start Syslog 's' "syslog" ["TAG" "string"]
    "send all output to 'logger -t TAG'"
    "Send the output of vsrun, server and handler to 'logger -t TAG'. The logger is looked up in PATH at the start, "
    "runs outside the chroot as USER and reads a pipe. Where vsrun stays, a logger that dies is started again on the "
    "same pipe, and the server notices nothing. Excludes --logdir.";

    Start Logdir 'd' "logdir" ["DIR" "dir" "KEEP" "string"]
    / "is not KEEP: an integer and h, d, w or m"
    "write all output to files in DIR"
    "Write vsrun's own records to DIR/vsrun.log and the server's output to DIR/logfile. At the start, and at each "
    "restart by SIGHUP, existing files are renamed to vsrun.log.N and logfile.N, N one more than the highest there. "
    "Renamed files older than KEEP are deleted: at the start, at each rotation and once an hour. KEEP is an integer "
    "and h, d, w or m (30 days); no unit means days. DIR is created with mode 0750 and belongs to USER; parents that "
    "are missing are created with mode 0755. Also makes DIR the server's working directory, unless --work-dir or --root says otherwise.";

    Start LogSize ' ' "log-size" ["SIZE" "string"]
    / "is not a size: an integer and k, M or G"
    "rotate logfile when it is that long"
    "With --logdir, pass the server's output through a writer, a process of vsrun's own that renames logfile and begins "
    "a new one at the end of a line, when it would become longer than SIZE: a number of bytes, or with k, M or G: 1024 of them, 1024 k, 1024 M. "
    "The server notices nothing. See OUTPUT.";

    Start LogFiles ' ' "log-files" ["N" "integer"]
    / "is not a number"
    "keep at most N renamed ones"
    "With --log-size, keep at most N renamed files of the server's output: the oldest are deleted at each rotation, "
    "whatever KEEP says of their age. With 0 none is kept.";

    Start Logger ' ' "logger" ["COMMAND" "command"]
    / "is empty"
    "run COMMAND in place of 'logger -t TAG'"
    "With --syslog, run COMMAND in place of 'logger -t TAG'. Its words are split at blanks; there is no quoting. Any "
    "program that reads lines from its standard input will do: svlogd, s6-log, multilog.";

    Start SyslogUsage ' ' "syslog-usage" ["WHEN" "choices=no,yes,only"]
    "vsrun's own records: no syslog, also, only"
    "Whether vsrun's own records go to the system logger: no (the default), yes, which means there too, or only, which "
    "means there alone. They are sent to /dev/log, named after the TAG of --syslog or 'vsrun'. Debug records never go "
    "there: with 'logger -t TAG' they go to standard error. With --syslog and without --logger the records are there already.";

    Start Stdin ' ' "stdin" []
    "leave the server's standard input as it is"
    "Leave the server's standard input as it is. Without it, it is always /dev/null, or an empty pipe where that "
    "cannot be opened. For an interactive program on a terminal see THE MANAGER.";

    Start Port ' ' "port" ["PORT[/udp]" "integer"]
    / "is not PORT[/udp] with PORT of 1 to 65535"
    "open a listening socket for the server"
    "Open a listening socket on PORT, 1 to 65535, for TCP or, with /udp, for UDP, and hand it to the server as descriptor 3. "
    "Without --bind it takes connections to every address, of IPv6 and IPv4. See SOCKETS.";

    Start Bind ' ' "bind" ["ADDRESS" "inetaddr"]
    / "is not a numeric address, or a path from / on of at most 107 bytes"
    "on this address only, or at this path"
    "Listen on ADDRESS only, which is numeric and needs --port; [::] means both families. A path from / on, without --port, is a Unix "
    "socket.";

    Start Listen ' ' "listen" ["[NAME=][ADDRESS:]PORT[/udp]" "inetaddr"] repeatable
    / "is not [NAME=][ADDRESS:]PORT[/udp], or [NAME=]/PATH of at most 107 bytes"
    "the same in one word, or /PATH (repeatable)"
    "Open a listening socket, as --port and --bind do; an IPv6 address stands in brackets. [NAME=]/PATH is a Unix "
    "socket of mode 0660 that belongs to USER. Repeatable: the server finds the sockets from "
    "descriptor 3 on, in the order of the command line, and LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, where each is "
    "called NAME, or vsrun. See SOCKETS.";

    Start Env 'e' "env" ["NAME=VALUE" "string"] repeatable
    / "is not NAME=VALUE"
    "set a variable of the server (repeatable)"
    "Set a variable of the server's environment, and of nobody else's. Repeatable; of one name the last VALUE counts, which "
    "may be empty.";

    Start EnvDir ' ' "env-dir" ["DIR" "dir"]
    "set the variables that files in DIR hold"
    "Set a variable for each file in DIR, as 'chpst -e' and envdir do: its name is the file's, its value the first line "
    "without blanks at the end, where a NUL stands for a newline; an empty file unsets it. Names that begin with a dot "
    "and directories are passed over. DIR is read first of all, on the host and with vsrun's own rights, so a file may "
    "belong to root alone. A symbolic link is followed only within DIR. What cannot be read, is no regular file, is "
    "longer than 128 KiB with its name or has a '=' in its name ends the start (125). DIR is read again at each restart by "
    "request, and not after a crash; what cannot be read then is recorded, and the previous variables stay. See "
    "ENVIRONMENT.";

    Start EnvFile ' ' "env-file" ["FILE" "file"] repeatable
    "set the variables in FILE (repeatable)"
    "Set the variables that the lines of FILE define, in Docker's format: NAME=VALUE, where VALUE is literal (no quotes, no "
    "escapes, no expansion) and goes to the end of the line; empty lines and lines that begin with # are skipped; a NAME "
    "alone passes on vsrun's own value, also with --clear-env. FILE is read at the start, on the host and with vsrun's own "
    "rights, so it may belong to root alone. A file that cannot be read or is not a regular file ends the start (125); a line "
    "without a name, with a blank in the name or with a NUL byte is wrong usage (2), reported with file and line. See ENTRYPOINT.";

    Start FileEnv ' ' "file-env" ["NAME[,NAME]..." "string"] repeatable
    / "is not NAME[,NAME]... of different names without '='"
    "set NAME from the file that NAME_FILE names"
    "For each NAME: if the variable NAME_FILE is set, set NAME to the contents of the file that it names, without one "
    "newline at its end, and remove NAME_FILE. This is how the official container images take secrets. The file is read at the "
    "start, on the host and with vsrun's own rights, so it may belong to root alone. NAME_FILE is looked for after --env-file and --env-dir; "
    "a --env of NAME wins. It is an error (125) if NAME is set as well, or if the file cannot be read, is not a regular "
    "file, contains a NUL byte or is longer than 128 KiB. Nothing happens for a NAME whose NAME_FILE is unset. See ENTRYPOINT.";

    Start Expand ' ' "expand" []
    "replace ${NAME} in the words of COMMAND"
    "Replace ${NAME} and ${NAME:-WORD} in each word of COMMAND from the server's environment, so that no shell is needed "
    "for it. ${NAME:-WORD} is WORD if NAME is unset or empty; WORD is literal and ends at the first }. $$ is a dollar "
    "sign, and a $ before any other character is literal. A value is not expanded again and never split into several words. "
    "An unset NAME without WORD ends the start (125); any other text in ${...} is wrong usage (2). Records and VSRUN_SERVER_COMMAND show the words "
    "as they were given. See ENTRYPOINT.";

    Start ClearEnv ' ' "clear-env" []
    "begin with an empty environment"
    "Begin with an empty environment in place of vsrun's own; what --user, --env-dir and --env set is added. COMMAND is "
    "looked up in the server's PATH; where none is set, in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin.";

    Start Umask ' ' "umask" ["OCTAL" "integer"]
    / "is not an octal number of 0 to 777"
    "the server's file mode creation mask"
    "The server's file mode creation mask, in octal, 0 to 777. Without it, vsrun's own is passed on.";

    Start Nice ' ' "nice" ["N" "integer"]
    / "is not an integer of -20 to 19"
    "its nice value, -20 (urgent) to 19"
    "The server's nice value, of -20, the most urgent, to 19; not an increment.";

    Start OomScoreAdj ' ' "oom-score-adj" ["N" "integer"]
    / "is not an integer of -1000 to 1000"
    "who goes when memory is out: -1000 to 1000"
    "What the kernel adds to the server's score when memory is out and some process has to go: 1000 chooses it first, "
    "-1000 never. Needs /proc.";

    Start Limit ' ' "limit" ["NAME=SOFT[:HARD]" "string"] repeatable
    / "is not NAME=SOFT[:HARD] with a name of prlimit(1) and SOFT at most HARD"
    "limit a resource (repeatable)"
    "Limit a resource of the server, by the names and in the units of prlimit(1): as, core, cpu, data, fsize, locks, "
    "memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack. Each value is a number or "
    "'unlimited'; without HARD, SOFT is both. Repeatable, for different names.";

    Start NoNewPrivs ' ' "no-new-privs" []
    "no set-user-id program gives it more rights"
    "Set no_new_privs, see prctl(2): no program that the server executes gets rights that the server does not have, "
    "neither by set-user-id nor by capabilities of its file.";

    Start Caps ' ' "caps" ["LIST" "string"]
    / "is not 'none' or a list of capabilities, without cap_"
    "keep just these capabilities, or none"
    "The server keeps exactly the capabilities of LIST: names of capabilities(7), with or without CAP_, in any case, or numbers, "
    "separated by commas; or none. All others leave the bounding set for good, those of LIST are permitted, effective, "
    "inheritable and ambient, so that they live on in a server with --user: '-u web --caps net_bind_service' may open "
    "port 80 and do nothing else of root's. One that cannot be kept, or another that does not go, ends the start (125). "
    "Needs CAP_SETPCAP, except for none where no capability is left to drop. Without --caps, a server with a --user other than root has no capabilities at all.";

    Start Ro ' ' "ro" ["PATH" "file"] repeatable
    "Landlock: it may read PATH (repeatable)"
    "Confine the server with Landlock: it may read the file PATH, or all files and directories below the directory "
    "PATH. As soon as one of --ro, --rox, --rw and --rwx is given, the server and every process that it starts reach "
    "no file that none of them names, whatever their user. PATH is looked up by the server's process just before the exec: inside its root, "
    "as its user, a relative one from its working directory on, symbolic links followed. A PATH that is missing is an "
    "error (125). Needs no privilege, sets no_new_privs, and works in containers. See JAIL WITHOUT ROOT.";

    Start Rox ' ' "rox" ["PATH" "file"] repeatable
    "it may read and execute PATH (repeatable)"
    "As --ro, and files may be executed. COMMAND, its interpreter and its ELF loader need this or --rwx; shared "
    "libraries need --ro only.";

    Start Rw ' ' "rw" ["PATH" "file"] repeatable
    "it may do all except execute (repeatable)"
    "As --ro, and files may be written, truncated, made, removed, and moved between directories, directories made and "
    "removed, and ioctl(2) called on devices. Files may not be executed.";

    Start Rwx ' ' "rwx" ["PATH" "file"] repeatable
    "it may do all there (repeatable)"
    "As --rw, and files may be executed.";

    Start BindTcp ' ' "bind-tcp" ["PORT" "string"] repeatable
    "bind TCP sockets to this port only, or none"
    "Confine the server with Landlock: it may bind TCP sockets to PORT, 1 to 65535, and to no port that none of these "
    "options names; 'none' allows no port at all. Repeatable. Sockets of --listen are not affected, and neither is UDP.";

    Start ConnectTcp ' ' "connect-tcp" ["PORT" "string"] repeatable
    "connect to this TCP port only, or none"
    "Confine the server with Landlock: it may connect TCP sockets to PORT, 1 to 65535, of any address, and to no port "
    "that none of these options names; 'none' allows no port at all. Repeatable.";

    Start Scope ' ' "scope" ["LIST" "string"]
    "keep signal and abstract sockets inside"
    "Confine the server with Landlock: LIST is signal, abstract or both, separated by a comma. With signal, the server and "
    "its children send signals only to each other; with abstract, they connect only to abstract Unix sockets of each "
    "other. Excludes --ready notify for abstract, because that socket is an abstract one of vsrun's.";

    Start Cgroup ' ' "cgroup" ["DIR" "dir"]
    "run the server in this control group"
    "Run the server in the control group (version 2) of the directory DIR, such as /sys/fs/cgroup/web, which is made if it is missing; "
    "its parent must be there. The server's process enters it before all other steps. A DIR in which processes are "
    "already is an error (125). Where vsrun stays, every process that is left in it at the end of a run is killed: at once, or with --linger "
    "after SIGTERM and that time; and DIR is removed at the exit, if it was made and is empty. See CONTROL GROUPS.";

    Start CgroupSet ' ' "cgroup-set" ["FILE=VALUE" "string"] repeatable
    / "is not FILE=VALUE"
    "write a control file of it (repeatable)"
    "Before the server is started, write VALUE to the file FILE in the directory of --cgroup: memory.max=512M, pids.max=100, cpu.weight=50. "
    "Repeatable, in that order. The controller, the part of FILE before the dot, must be enabled in cgroup.subtree_control "
    "of the parent.";

    Start Mount ' ' "mount" ["LIST" "string"]
    / "is not a list of proc, sys, dev, run, tmp and cgroup"
    "PID 1: mount proc,sys,dev,run,tmp,cgroup"
    "As PID 1, and before everything else, mount the file systems of LIST that are not mounted yet, words separated by commas, in any "
    "order: proc, sys, dev (devtmpfs on /dev, with /dev/pts and /dev/shm), run and tmp (tmpfs), cgroup (version 2, on "
    "/sys/fs/cgroup, with all controllers enabled). Directories that are missing are made. It is an error (125) when "
    "vsrun is not PID 1. See PID 1 OF A MACHINE.";

    Start Argv0 ' ' "argv0" ["NAME" "string"]
    "the server's argv[0]"
    "What the server sees as its own name, argv[0], in place of COMMAND.";

    Start Quiet 'q' "quiet" []
    "record only warnings and errors"
    "Write no records of the priorities notice and info: starts, ends, signals, restarts. With --init and without "
    "--syslog, --logdir, --syslog-usage or --debug that is the default, so that on standard error an init reports only "
    "warnings and errors. The last of --quiet and --no-quiet counts.";

    Start NoQuiet ' ' "no-quiet" []
    "record everything, with --init too"
    "Write all records, also those of an init on standard error. Cancels an earlier --quiet.";

    Start Debug ' ' "debug" []
    "tell each step"
    "Tell each step of the process that becomes the server, see THE ORDER OF A START, just before it is taken: on standard "
    "error or, with --logdir, in vsrun.log; never in syslog.";

    Start Check ' ' "check" []
    "say what would keep it from starting"
    "Look for everything that a start with these options would need, start nothing, and create and change nothing. "
    "Each finding is a line on standard output; the exit status is 0 when there is none, and 125 otherwise. See CHECK.";

    Start Args ' ' "args" ["FILE" "file"]
    "read arguments from FILE, one a line"
    "Read arguments from FILE, one a line, as if they stood in its place: surrounding blanks are cut, empty lines and "
    "lines that begin with # are left out. Words after FILE on the command line are appended, so they become the "
    "command's. As the first line may be '#!/sbin/vsrun --args', such a file can be executed: a service in one file.";

    Stay Manager 'm' "manager" ["PIDFILE" "file" "HANDLER" "command"]
    "stay, and restart the server when it crashes"
    "Stay and manage the server: restart it after an unexpected end, pass signals on, reap orphans. PIDFILE is the "
    "manager's own, HANDLER a program that is asked after each unexpected end; '-' for either means none. See THE "
    "MANAGER.";

    Stay Init ' ' "init" []
    "stay as an init, and end as the server ends"
    "Stay with the server as an init: forward every signal, TERM, INT and HUP too, reap orphans, and end as the server "
    "ends, with its exit status or 128 and the number of the signal that ended it. There is no restart. See INIT.";

    Stay Restart ' ' "restart" ["WHEN" "choices=no,on-failure,on-abort,always"]
    "which ends of the server lead to a restart"
    "Which ends of the server lead to a restart: no, on-failure (the default), on-abort (only death by a signal) or "
    "always. Given alone it means '-m - -'.";

    Stay SuccessExit ' ' "success-exit" ["LIST" "string"]
    / "is no list of statuses and signals"
    "further voluntary ends: 3,SIGTERM"
    "Further exit statuses and signals that count as a voluntary end, separated by commas. When vsrun exits because of "
    "such an end, its own status is 0: with --init too ('--success-exit 143' for Java), and after a handler's refusal.";

    Stay RestartDelay ' ' "restart-delay" ["MIN[:MAX]" "string"]
    / "is not MIN[:MAX] with MIN at most MAX"
    "pause before restarts in a row (100ms:30s)"
    "The pause before restarts in a row. The first unexpected end restarts at once; those that follow without a life "
    "of 10 s (or MAX, when that is shorter) in between wait MIN, then twice as long each time, up to MAX. The "
    "default is 100ms:30s; 0 means none. Without MAX they double up to 30 s, or remain at MIN if that is longer.";

    Stay RestartLimit ' ' "restart-limit" ["N/DURATION" "string"]
    / "is not N/DURATION with N of 1 to 65535"
    "give up beyond N restarts within DURATION"
    "Give up, after the handler has run, when there would be more than N restarts within DURATION, and end as the server "
    "did. N is 1 to 65535. A restart by SIGHUP does not count. The default is never.";

    Stay HandlerTimeout ' ' "handler-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end a handler that takes longer"
    "Send SIGTERM to a handler that takes longer, SIGKILL after the stop timeout. It counts as a refusal. The default "
    "is to wait as long as it takes.";

    Stay StopSignal ' ' "stop-signal" ["SIGNAL" "string"]
    / "is not a signal that ends a server"
    "the signal that ends the server (TERM)"
    "The signal that asks the server to end, in place of SIGTERM. SIGCONT follows it. This option and --stop-timeout are "
    "also allowed with --background and a --ready other than exec, for a server that is not ready in time.";

    Stay StopTimeout ' ' "stop-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "then KILL after that long (30s; 0 = never)"
    "Send SIGKILL to the server's process group when the server has not ended that long after the stop signal. The "
    "default is 30s; 0 means never. With --init there is none unless it is given, see INIT. With --stop: how long that "
    "waits.";

    Stay OnSignal ' ' "on-signal" ["SIGNAL=ACTION" "string"] repeatable
    / "is not SIGNAL=ACTION for a signal that can be trapped"
    "what a signal to vsrun does (repeatable)"
    "What is done when SIGNAL comes. ACTION is stop, restart, reopen (the log files under their names), ignore, "
    "forward or forward:SIGNAL; and for PID 1 poweroff, reboot and halt: stop the server, and then end the machine like that. TERM and INT stop, HUP restarts, every other signal is forwarded unless said otherwise; "
    "with --init all are. Repeatable, for different signals. See SIGNALS.";

    Stay Group ' ' "group" []
    "signals go to the server's whole group"
    "Send signals to the server's whole process group. What is left of the group when the server has ended gets TERM and "
    "CONT, whatever the stop signal is, and SIGKILL after the stop timeout (with --linger: after its DURATION), before "
    "the handler, a restart or the exit. See INIT.";

    Stay Linger ' ' "linger" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end what is left of the server"
    "After every end of the server, before a restart as well as before the exit, send TERM and CONT to every process that "
    "is left below vsrun, except the logger; wait until they have exited, DURATION at most, and then send SIGKILL. As "
    "PID 1, and only at the exit, every process of the container is included. The default is 0: they are left alone. See INIT.";

    Stay AtExit ' ' "at-exit" ["WHAT" "choices=poweroff,reboot,halt"]
    "PID 1: do that in place of any exit"
    "As PID 1, write the disks' caches back and then poweroff, reboot or halt the machine in place of any exit, "
    "whatever its status: the kernel panics when its init exits. In a container that ends the container. It is an "
    "error (125) when vsrun is not PID 1, and wrong usage with --background. See INIT.";

    Stay Ready ' ' "ready" ["HOW" "string"]
    / "is not exec, notify or fd:N with N of 3 to 65535"
    "started when: exec, fd:N or notify"
    "When the server counts as started: exec (the default), once its exec has succeeded; fd:N, once it has written a "
    "newline to its descriptor N; notify, once a process of its user has sent READY=1 to $NOTIFY_SOCKET, see sd_notify(3). Anything but "
    "exec needs --background or somebody who stays. A server that ends before, or that closes descriptor N without a "
    "newline, is a failure: vsrun ends with 125. See READINESS.";

    Stay ReadyTimeout ' ' "ready-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "fail when that takes longer"
    "Stop the server, and end with 125, when it does not count as started after that long. The default is to wait as "
    "long as it takes.";

    Stay Watchdog ' ' "watchdog" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end a server that is silent that long"
    "With --ready notify: from READY=1 on, a server that does not send WATCHDOG=1 at least that often gets SIGABRT, and "
    "SIGKILL after the stop timeout. That counts as an unexpected end, however it exits. WATCHDOG_USEC and "
    "WATCHDOG_PID tell the server; see sd_watchdog_enabled(3). The server may set another time for its run, and WATCHDOG=trigger "
    "is silence at once: see READINESS.";

    Control Status ' ' "status" ["PIDFILE" "file"]
    "say whether the server of PIDFILE runs"
    "Print one line about the server of PIDFILE, and exit with 0 when it runs, which means that its pidfile, or its "
    "manager's, is locked (also when it is between two lives); 1 when it is dead and the file is there; 3 when it is "
    "not running; 4 when that cannot be known: the file cannot be read, is no regular file, or is held by what a dead "
    "server left behind. Needs no daemon to talk to: the lock tells the truth. PIDFILE may be a service file too, which "
    "begins with '#!': its own pidfile is meant, the manager's before the server's. --status, --stop and --signal take no "
    "COMMAND, and no other option but --stop-timeout with --stop.";

    Control Stop ' ' "stop" ["PIDFILE" "file"]
    "stop it, and wait until it is gone"
    "Send SIGTERM and SIGCONT to the one who keeps the server of PIDFILE alive, and wait for the end: to the process "
    "that the file names or, where the server is managed, to its manager. So either pidfile stops the whole. Between "
    "two runs of the server its file is empty, and the manager is found by its lock; without /proc, vsrun waits for the "
    "next run. A server without a manager that "
    "outlives --stop-timeout gets SIGKILL; a manager, which kills its server itself, is only waited for, twice that "
    "time. With a timeout of 0 nothing is killed, and the wait has no end. The exit status is 0 once it is gone, "
    "also when it was not running, which is said on standard error; 125 when it will not go; 4 as with --status, and then nothing was sent.";

    Control Signal ' ' "signal" ["SIGNAL" "string" "PIDFILE" "file"]
    / "is not a signal"
    "send it a signal, and never to a stranger"
    "Send SIGNAL to the process that PIDFILE names, if it is the one who holds the file's lock, or its manager is: "
    "never to a stranger who got the number. The exit status is 3 when it is not running or between two lives, and 4 "
    "as with --status.";

    Control Probe ' ' "probe" ["PROBE" "string"]
    / "is not [http:][ADDRESS:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM"
    "ask once whether a server works: 0 or 1"
    "Try PROBE once, and exit with 0 if it succeeds and with 1, and one line of reason on standard error, if it does not. It is meant for the "
    "health checks of images without a shell: Docker's HEALTHCHECK and Kubernetes' exec probes. PROBE is "
    "[ADDRESS:]PORT or /SOCKET, which must accept a connection; [http:][ADDRESS:]PORT[/PATH] or [http:]/SOCKET[:/PATH], "
    "which must answer an HTTP GET with a status of 200 to 399 (the rest of the answer is not read); or exec:/PROGRAM "
    "[ARG]..., which must exit with 0, its words split at blanks. ADDRESS is numeric, an IPv6 address in "
    "brackets; without it, the loopback addresses 127.0.0.1 and ::1 are tried in turn. See PROBES.";

    Control ProbeTimeout ' ' "probe-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "how long --probe may take (1s)"
    "With --probe: how long it may take. The default is 1s. A program that takes longer is killed with its process group.";

    Help Help 'h' "help" []
    "print this text"
    "Print the options and exit, whatever follows on the command line.";

    Help HelpCompletion ' ' "help-completion" []
    "print the options for a completion program"
    "Print the options and the kinds of their values, one option a line, for programs that complete command lines: "
    "'-p,--pidfile file', '-b,--background none'. Kinds are none, file, dir, integer, string, user, command, inetaddr and "
    "choices=...; the last line is about the command's own words.";

    Help Version 'V' "version" []
    "print the version"
    "Print the version, the compiler and the system, one line each, and exit.";
}
