//! The table of options. Every option has one row here, and one arm in the parser.
//!
//! build.rs reads this file too, so it imports nothing. It makes the help text, the man page and the completions from
//! the table, so that no second list of options exists. The paragraphs of the man page are a list of their own, because
//! only build.rs and the tests use them: so they are not in the program.

/// A group of options in the help text and in the manual's section OPTIONS, which show each group in the order of the
/// table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chapter {
    /// The server's user and rights.
    Identity,
    /// The files, ports and processes that the server can reach.
    Jail,
    /// The server's variables, attributes and resource limits.
    Environment,
    /// Where the server's output and vsrun's own records go.
    Output,
    /// The listening sockets that the server inherits.
    Sockets,
    /// How the server is started.
    Starting,
    /// What vsrun does while it supervises the server.
    Staying,
    /// How the server is stopped.
    Stopping,
    /// How the server shows that it is ready and healthy.
    Readiness,
    /// Questions and control commands about a running server.
    Control,
    /// Service files, and what `--check` finds.
    Files,
    /// Help about vsrun.
    Help,
}

/// All chapters with their headings, in the order of the help text.
pub const CHAPTERS: [(Chapter, &str); 12] = [
    (Chapter::Identity, "Identity"),
    (Chapter::Jail, "Jail"),
    (Chapter::Environment, "Environment and limits"),
    (Chapter::Output, "Output"),
    (Chapter::Sockets, "Sockets"),
    (Chapter::Starting, "Starting"),
    (Chapter::Staying, "Staying, and keeping the server alive"),
    (Chapter::Stopping, "Stopping"),
    (Chapter::Readiness, "Readiness and health"),
    (Chapter::Control, "Control: by the pidfile's lock, with no daemon to talk to"),
    (Chapter::Files, "Files and checks"),
    (Chapter::Help, "Help"),
];

/// A value of an option.
#[derive(Clone, Copy)]
pub struct Value {
    /// The name of the value in the help text.
    pub name: &'static str,
    /// The kind of the value for completions: `file dir integer string user command choices=...`.
    pub kind: &'static str,
}

/// An option.
pub struct Flag {
    /// The identifier by which the parser refers to the option.
    #[allow(dead_code)]
    pub id: Id,
    /// The chapter in which the help text shows the option.
    pub chapter: Chapter,
    /// The letter of the short name; a blank if there is none.
    pub short: char,
    /// The long name, without the two dashes.
    pub long: &'static str,
    /// The values of the option, in order.
    pub values: &'static [Value],
    /// True for an option with values that may be given more than once.
    pub repeatable: bool,
    /// The words after a malformed value: `is not ...`. Empty if the choices of the value say the same.
    pub rejection: &'static str,
    /// The line of the help text that says what the option does.
    pub line: &'static str,
}

macro_rules! flags {
    ($(
        $chapter:ident $id:ident $short:literal $long:literal [$($name:literal $kind:literal)*] $($repeatable:ident)? $(/ $not:literal)?
        $line:literal $($text:literal)+;
    )*) => {
        /// The identifiers of all options, in the order of the table.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Id {
            $(#[doc = concat!("`--", $long, "`.")] $id),*
        }

        /// All options, in the order of the table.
        pub const FLAGS: &[Flag] = &[$(Flag {
            id: Id::$id,
            chapter: Chapter::$chapter,
            short: $short,
            long: $long,
            values: &[$(Value { name: $name, kind: $kind }),*],
            repeatable: !concat!($(stringify!($repeatable))?).is_empty(),
            rejection: concat!($($not)?),
            line: $line,
        }),*];

        /// The man page's paragraph for each option, in the order of the table.
        pub const PARAGRAPHS: &[&str] = &[$(concat!($($text),+)),*];
    };
}

flags! {
    Identity User 'u' "user" ["USER[:GROUP]" "user"]
    / "is not USER[:GROUP]"
    "run the server as USER"
    "Run the server, the handler and the logger as USER. A USER made of digits is a UID, never a name, and needs no passwd entry. "
    "Without :GROUP the server gets the gid of passwd and every group that /etc/group lists for USER. With :GROUP it gets that "
    "group only. A UID without an entry gets the gid of the same number and no other groups. vsrun itself reads the host's "
    "/etc/passwd and /etc/group, before any chroot: there is no NSS and no LDAP. HOME, USER, LOGNAME and SHELL are set. The server "
    "has no controlling terminal. After the change vsrun proves that uid 0 cannot be regained, and otherwise does not start the "
    "server. See USERS AND GROUPS.";

    Identity NoUserChecks ' ' "no-user-checks" []
    "if not root, ignore --user; do not fail"
    "If vsrun is neither root nor USER, run the server as the current user and ignore --user, instead of failing with 'started "
    "using wrong user ID (N), expected M'.";

    Identity NoNewPrivs ' ' "no-new-privs" []
    "no rights from set-user-id programs"
    "Set no_new_privs, see prctl(2): no program that the server executes gains rights that the server does not have, neither by "
    "set-user-id nor by file capabilities.";

    Identity Caps ' ' "caps" ["LIST" "string"]
    / "is not 'none' or a list of capabilities, without cap_"
    "keep only these capabilities, or none"
    "The server keeps exactly the capabilities of LIST: names of capabilities(7), with or without CAP_, in any case, or numbers, "
    "separated by commas; or none. All others leave the bounding set permanently. A server with --user keeps those of LIST too: "
    "'-u web --caps net_bind_service' may open port 80 and has no other right of root. A capability that cannot be kept, or one "
    "that cannot be dropped, ends the start (125). Needs CAP_SETPCAP, except for none if no capability is left to drop. Without "
    "--caps, a server with a --user other than root has no capabilities. See CAPABILITIES.";

    Jail Root 'r' "root" ["DIR" "dir"]
    "change the server's root directory to DIR"
    "Change the server's root directory to DIR (chroot(2)). --work-dir and COMMAND are paths inside it; all other paths on the "
    "command line are outside.";

    Jail WorkDir 'w' "work-dir" ["DIR" "dir"]
    "its working directory, inside its root"
    "The server's working directory. It is entered as USER, after the chroot, so it is a path inside the new root, and a relative "
    "DIR begins at the new /. The default is the caller's directory; with --logdir, that directory; with --root, always / of the "
    "new root.";

    Jail Ro ' ' "ro" ["PATH" "file"] repeatable
    "Landlock: it may read PATH (repeatable)"
    "Confine the server with Landlock: it may read the file PATH, or all files and directories below the directory PATH. As soon "
    "as one of --ro, --rox, --rw and --rwx is given, the server and every process that it starts can reach only the files that "
    "these options name, whatever their user. The server's process looks PATH up just before the exec: inside its root, as its "
    "user, a relative one from its working directory, following symbolic links. A missing PATH is an error (125). Needs no "
    "privilege, sets no_new_privs, and works in containers. See JAIL WITHOUT ROOT.";

    Jail Rox ' ' "rox" ["PATH" "file"] repeatable
    "it may read and execute PATH (repeatable)"
    "As --ro, and files may be executed. COMMAND, its interpreter and its ELF loader need this or --rwx; shared libraries need "
    "--ro only.";

    Jail Rw ' ' "rw" ["PATH" "file"] repeatable
    "it may do all except execute (repeatable)"
    "As --ro, and files may be written, truncated, made, removed, and moved between directories, directories made and removed, and "
    "ioctl(2) called on devices. Files may not be executed.";

    Jail Rwx ' ' "rwx" ["PATH" "file"] repeatable
    "it may do all there (repeatable)"
    "As --rw, and files may be executed.";

    Jail BindTcp ' ' "bind-tcp" ["PORT" "string"] repeatable
    "bind TCP sockets to this port only, or none"
    "Confine the server with Landlock: it may bind TCP sockets to PORT, 1 to 65535, and to no port that none of these options "
    "names; 'none' allows no port at all. Repeatable. Sockets of --listen are not affected, and neither is UDP.";

    Jail ConnectTcp ' ' "connect-tcp" ["PORT" "string"] repeatable
    "connect to this TCP port only, or none"
    "Confine the server with Landlock: it may connect TCP sockets to PORT, 1 to 65535, of any address, and to no port that none of "
    "these options names; 'none' allows no port at all. Repeatable.";

    Jail Scope ' ' "scope" ["LIST" "string"]
    "keep signal and abstract sockets inside"
    "Confine the server with Landlock: LIST is signal, abstract or both, separated by a comma. With signal, the server and its "
    "children can send signals only to each other; with abstract, they can connect only to each other's abstract Unix sockets. "
    "abstract excludes --ready notify, because the notify socket is an abstract socket of vsrun.";

    Environment Env 'e' "env" ["NAME=VALUE" "string"] repeatable
    / "is not NAME=VALUE"
    "set a variable of the server (repeatable)"
    "Set a variable in the server's environment only. Repeatable; if a name is given again, the last VALUE counts. VALUE may be "
    "empty. See ENVIRONMENT.";

    Environment EnvDir ' ' "env-dir" ["DIR" "dir"]
    "set variables from the files in DIR"
    "Set a variable for each file in DIR, as 'chpst -e' and envdir do: the name is that of the file, the value is its first line "
    "without blanks at the end, in which a NUL is replaced by a newline. An empty file unsets the variable. Directories and names "
    "that begin with a dot are skipped. DIR is read on the host and with vsrun's own rights, so a file may belong to root alone. A "
    "symbolic link is followed only within DIR. A file that cannot be read, is not a regular file, is longer than 128 KiB with its "
    "name or has a '=' in its name ends the start (125). See ENVIRONMENT.";

    Environment EnvFile ' ' "env-file" ["FILE" "file"] repeatable
    "set the variables in FILE (repeatable)"
    "Set the variables that the lines of FILE define, in Docker's format: NAME=VALUE, where VALUE is literal and extends to the "
    "end of the line. FILE is read on the host and with vsrun's own rights, so it may belong to root alone. A file that cannot be "
    "read or is not a regular file ends the start (125); a line without a name, with a blank in the name or with a NUL byte is "
    "wrong usage (2), reported with file and line. See ENTRYPOINT.";

    Environment FileEnv ' ' "file-env" ["NAME[,NAME]..." "string"] repeatable
    / "is not NAME[,NAME]... of different names without '='"
    "set NAME from the file that NAME_FILE names"
    "For each NAME: if the variable NAME_FILE is set, set NAME to the contents of the file that it names, without one newline at "
    "its end, and remove NAME_FILE. The official container images take secrets in this way. The file is read on the host and with "
    "vsrun's own rights, so it may belong to root alone. It is an error (125) if NAME is set as well, or if the file cannot be "
    "read, is not a regular file, contains a NUL byte or is longer than 128 KiB. --env NAME=VALUE overrides it. See ENTRYPOINT.";

    Environment Expand ' ' "expand" []
    "replace ${NAME} in the words of COMMAND"
    "Replace ${NAME} and ${NAME:-WORD} in each word of COMMAND from the server's environment, without a shell. WORD is used if "
    "NAME is unset or empty. $$ is a dollar sign, and a $ before any other character is literal. No value is expanded again or "
    "split into words. An unset NAME without WORD ends the start (125). Records and VSRUN_SERVER_COMMAND show the words as they "
    "were given. See ENTRYPOINT.";

    Environment ClearEnv ' ' "clear-env" []
    "begin with an empty environment"
    "Begin with an empty environment instead of vsrun's own. The variables of --user, --env-file, --env-dir, --file-env and --env "
    "are added. COMMAND is looked up in the server's PATH; if that is unset, in "
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin.";

    Environment Umask ' ' "umask" ["OCTAL" "integer"]
    / "is not an octal number of 0 to 777"
    "the server's file mode creation mask"
    "The server's file mode creation mask, in octal, 0 to 777. Without it, vsrun's own is passed on.";

    Environment Nice ' ' "nice" ["N" "integer"]
    / "is not an integer of -20 to 19"
    "its nice value, -20 (urgent) to 19"
    "The server's nice value, from -20, the most urgent, to 19. It is absolute, not an increment.";

    Environment OomScoreAdj ' ' "oom-score-adj" ["N" "integer"]
    / "is not an integer of -1000 to 1000"
    "OOM killer preference: -1000 to 1000"
    "Adjust the kernel's choice of a process to kill when memory is exhausted: with 1000 the server is chosen first, with -1000 "
    "never. Needs /proc.";

    Environment Limit ' ' "limit" ["NAME=SOFT[:HARD]" "string"] repeatable
    / "is not NAME=SOFT[:HARD] with a name of prlimit(1) and SOFT at most HARD"
    "limit a resource (repeatable)"
    "Limit a resource of the server, with the names and units of prlimit(1): as, core, cpu, data, fsize, locks, memlock, msgqueue, "
    "nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack. Each value is a number or 'unlimited'; without HARD, SOFT is "
    "used for both. Repeatable, for different names.";

    Environment Cgroup ' ' "cgroup" ["DIR" "dir"]
    "run the server in this control group"
    "Run the server in the control group (version 2) of the directory DIR, such as /sys/fs/cgroup/web. DIR is made if it is "
    "missing; its parent must exist. The server's process enters it before all other steps. It is an error (125) if DIR already "
    "contains processes. If vsrun stays, every process that is left in DIR at the end of a run is killed: at once, or with "
    "--linger after SIGTERM and that time. DIR is removed at the exit if vsrun has made it and it is empty. See CONTROL GROUPS.";

    Environment CgroupSet ' ' "cgroup-set" ["FILE=VALUE" "string"] repeatable
    / "is not FILE=VALUE"
    "write a control file of it (repeatable)"
    "Before the server is started, write VALUE to the file FILE in the directory of --cgroup: memory.max=512M, pids.max=100, "
    "cpu.weight=50. Repeatable, in that order. The controller, the part of FILE before the dot, must be enabled in "
    "cgroup.subtree_control of the parent.";

    Output Syslog 's' "syslog" ["TAG" "string"]
    "send all output to 'logger -t TAG'"
    "Send the output of vsrun, server and handler to 'logger -t TAG'. The logger is looked up in PATH at the start, runs outside "
    "the chroot as USER and reads a pipe. If vsrun stays and the logger dies, vsrun starts it again on the same pipe; the server "
    "is not affected. Excludes --logdir. See OUTPUT.";

    Output Logdir 'd' "logdir" ["DIR" "dir" "KEEP" "string"]
    / "is not KEEP: an integer and h, d, w or m"
    "write all output to files in DIR"
    "Write vsrun's own records to DIR/vsrun.log and the server's output to DIR/logfile. At the start, and at each restart by "
    "SIGHUP, existing files are renamed to vsrun.log.N and logfile.N. Renamed files older than KEEP are deleted. KEEP is an "
    "integer and h, d, w or m (30 days); no unit means days. DIR is created if it is missing, and becomes the server's working "
    "directory, unless --work-dir or --root says otherwise. See OUTPUT.";

    Output LogSize ' ' "log-size" ["SIZE" "string"]
    / "is not a size: an integer and k, M or G"
    "rotate logfile before it exceeds SIZE"
    "With --logdir, pass the server's output through a writer, a separate process of vsrun, which renames logfile and begins a new "
    "one at the end of a line before it becomes longer than SIZE. SIZE is a number of bytes, or one with k, M or G (powers of "
    "1024). The server is not affected. See OUTPUT.";

    Output LogFiles ' ' "log-files" ["N" "integer"]
    / "is not a number"
    "keep at most N rotated files"
    "With --log-size, keep at most N renamed files of the server's output: the oldest are deleted at each rotation, whatever their "
    "age. 0 keeps none.";

    Output Logger ' ' "logger" ["COMMAND" "command"]
    / "is empty"
    "run COMMAND instead of 'logger -t TAG'"
    "With --syslog, run COMMAND instead of 'logger -t TAG'. Its words are split at blanks; there is no quoting. Any program that "
    "reads lines from its standard input works: svlogd, s6-log, multilog.";

    Output SyslogUsage ' ' "syslog-usage" ["WHEN" "choices=no,yes,only"]
    "vsrun's own records to syslog: no, yes, only"
    "Whether vsrun's own records go to the system logger: no (the default), yes (also there), or only (only there). They are sent "
    "to /dev/log, with the TAG of --syslog or 'vsrun'. Debug records are never sent there: with 'logger -t TAG' they go to "
    "standard error. With --syslog and without --logger the records are in the system log already.";

    Output Quiet 'q' "quiet" []
    "record only warnings and errors"
    "Omit records of the priorities notice and info: starts, ends, signals, restarts. With --init and without --syslog, --logdir, "
    "--syslog-usage or --debug this is the default, so that an init reports only warnings and errors on standard error. The last "
    "of --quiet and --no-quiet counts.";

    Output NoQuiet ' ' "no-quiet" []
    "record everything, with --init too"
    "Write all records, also those of an init on standard error. Cancels an earlier --quiet.";

    Output TerminationLog ' ' "termination-log" ["FILE" "file"]
    "write why vsrun exits into FILE"
    "When vsrun exits for good, with another status than 0, write one line with the reason into FILE and, with --logdir, the last "
    "lines of logfile: 4096 bytes at most. Also for 125 to 127, but not for wrong usage. FILE is opened at the start, without "
    "following a symbolic link at its end, and written in place, so it may be a mount, a terminal or a FIFO; it is made if it is "
    "missing. That it cannot be opened is only a warning. It is meant for Kubernetes' termination message, a serial line or the "
    "host of a microVM. See CONTAINERS.";

    Output Debug ' ' "debug" []
    "report each step"
    "Report each step of the process that becomes the server, see THE ORDER OF A START, just before it is taken: on standard error "
    "or, with --logdir, in vsrun.log; never in syslog.";

    Sockets Port ' ' "port" ["PORT[/udp]" "integer"]
    / "is not PORT[/udp] with PORT of 1 to 65535"
    "open a listening socket for the server"
    "Open a listening socket on PORT, 1 to 65535, for TCP or, with /udp, for UDP, and pass it to the server as descriptor 3. "
    "Without --bind it listens on every address, of IPv6 and IPv4. See SOCKETS.";

    Sockets Bind ' ' "bind" ["ADDRESS" "inetaddr"]
    / "is not a numeric address, or a path from / on of at most 107 bytes"
    "on this address only, or at this path"
    "Listen on ADDRESS only, which is numeric and needs --port; [::] means both families. A path from / on, without --port, is a "
    "Unix socket.";

    Sockets Listen ' ' "listen" ["[NAME=][ADDRESS:]PORT[/udp]" "inetaddr"] repeatable
    / "is not [NAME=][ADDRESS:]PORT[/udp], or [NAME=]/PATH of at most 107 bytes"
    "the same in one word, or /PATH (repeatable)"
    "Open a listening socket, as --port and --bind do; an IPv6 address is written in brackets. [NAME=]/PATH is a Unix socket of "
    "mode 0660 that belongs to USER. Repeatable: the server gets the sockets as descriptors from 3 on, in the order of the command "
    "line, and the variables LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. The name of a socket is NAME, or vsrun. See SOCKETS.";

    Starting Pidfile 'p' "pidfile" ["FILE" "file"]
    "write and lock the server's pidfile"
    "Write the server's pid into FILE, and keep the file locked as long as vsrun or the server runs. A second start reports the "
    "process that holds the lock and exits with 125. See PIDFILES.";

    Starting Background 'b' "background" []
    "detach; exit once the server has been started"
    "Detach from the terminal and the caller. vsrun exits with 0 only when the server has been started; otherwise it prints the "
    "error and exits with the status that it would have had in the foreground. See BACKGROUND.";

    Starting Foreground 'f' "foreground" []
    "stay in the foreground (the default)"
    "Stay in the foreground: the default. Cancels an earlier --background.";

    Starting Stdin ' ' "stdin" []
    "leave the server's standard input unchanged"
    "Leave the server's standard input unchanged. Without this option it is always /dev/null, or an empty pipe if /dev/null cannot "
    "be opened. For an interactive program on a terminal see THE MANAGER.";

    Starting Before ' ' "before" ["COMMAND" "command"] repeatable
    / "is empty"
    "run COMMAND first; it must exit with 0"
    "Before each start of the server, also before a restart, run COMMAND and wait for it: as the server's user and in its root, "
    "working directory, control group and confinement, with its environment, limits and output, but without its sockets and "
    "NOTIFY_SOCKET. Its words are split at blanks; there is no quoting and no shell. Repeatable: the commands run one after the "
    "other. If one does not exit with 0, the start has failed: 125 at the first start, later an unexpected end. --ready-timeout "
    "limits how long that may take. See ENTRYPOINT.";

    Starting Mount ' ' "mount" ["LIST" "string"]
    / "is not a list of proc, sys, dev, run, tmp and cgroup"
    "PID 1: mount proc,sys,dev,run,tmp,cgroup"
    "As PID 1, and before everything else, mount the file systems of LIST that are not mounted yet: words separated by commas, in "
    "any order: proc, sys, dev (devtmpfs on /dev, with /dev/pts and /dev/shm), run and tmp (tmpfs), cgroup (version 2, on "
    "/sys/fs/cgroup). An error (125) if vsrun is not PID 1. See PID 1 OF A MACHINE.";

    Starting Argv0 ' ' "argv0" ["NAME" "string"]
    "the server's argv[0]"
    "The server's argv[0], which it sees as its own name, instead of COMMAND.";

    Staying Manager 'm' "manager" ["PIDFILE" "file" "HANDLER" "command"]
    "stay, and restart the server when it crashes"
    "Stay and manage the server: restart it after an unexpected end, forward signals, reap orphans. PIDFILE is the manager's own "
    "pidfile; HANDLER is a program that is run after each unexpected end and decides about the restart; '-' for either means none. "
    "See THE MANAGER.";

    Staying Init ' ' "init" []
    "stay as an init, and exit as the server does"
    "Stay with the server as an init: forward every signal, also TERM, INT and HUP, reap orphans, and exit when the server exits, "
    "with its exit status, or 128 and the number of the signal that ended it. There is no restart. See INIT.";

    Staying Restart ' ' "restart" ["WHEN" "choices=no,on-failure,on-abort,always"]
    "which ends of the server lead to a restart"
    "Which ends of the server lead to a restart: no, on-failure (the default), on-abort (only death by a signal) or always. "
    "Without --manager and --init it also means '-m - -'.";

    Staying SuccessExit ' ' "success-exit" ["LIST" "string"]
    / "is not a list of statuses and signals"
    "further voluntary ends: 3,SIGTERM"
    "Further exit statuses and signals that count as a voluntary end, separated by commas. When vsrun exits because of such an "
    "end, its own status is 0: also with --init ('--success-exit 143' for Java), and after a handler's refusal.";

    Staying RestartDelay ' ' "restart-delay" ["MIN[:MAX]" "string"]
    / "is not MIN[:MAX] with MIN at most MAX"
    "pause before further restarts (100ms:30s)"
    "The pause before consecutive restarts. The first unexpected end restarts at once. Further ones, without a run of 10 s (or "
    "MAX, if that is shorter) in between, wait MIN, then twice as long each time, up to MAX. The default is 100ms:30s; 0 means no "
    "pause. Without MAX the pause doubles up to 30 s, or stays at MIN if that is longer.";

    Staying RestartLimit ' ' "restart-limit" ["N/DURATION" "string"]
    / "is not N/DURATION with N of 1 to 65535"
    "give up after N restarts within DURATION"
    "Give up if there would be more than N restarts within DURATION, after the handler has run, and exit as the server did. N is 1 "
    "to 65535. A restart by SIGHUP does not count. The default is to never give up.";

    Staying HandlerTimeout ' ' "handler-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end a handler that takes longer"
    "Send SIGTERM to a handler that takes longer, and SIGKILL after the stop timeout. This counts as a refusal. The default is no "
    "limit.";

    Staying OnSignal ' ' "on-signal" ["SIGNAL=ACTION" "string"] repeatable
    / "is not SIGNAL=ACTION for a signal that can be trapped"
    "what a signal to vsrun does (repeatable)"
    "What vsrun does when it receives SIGNAL. ACTION is stop, restart, replace, reopen (the log files), ignore, forward or forward:SIGNAL; "
    "and for PID 1 poweroff, reboot and halt: stop the server, and then the machine. By default TERM and INT stop, HUP restarts, "
    "and every other signal is forwarded; with --init all are forwarded. Repeatable, for different signals. See SIGNALS; "
    "for replace, and the --ready that it needs, see REPLACEMENT.";

    Stopping StopSignal ' ' "stop-signal" ["SIGNAL" "string"]
    / "is not a signal that ends a server"
    "the signal that stops the server (TERM)"
    "The signal that asks the server to exit, instead of SIGTERM. SIGCONT follows it. This option and --stop-timeout are also "
    "allowed with --background and a --ready other than exec, for a server that is not ready in time.";

    Stopping StopTimeout ' ' "stop-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "then KILL after that long (30s; 0 = never)"
    "Send SIGKILL to the server's process group if the server has not exited that long after the stop signal. The default is 30s; "
    "0 means never. With --init there is no timeout unless this option is given, see INIT. With --stop: how long that waits.";

    Stopping StopDelay ' ' "stop-delay" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "wait that long before the stop signal"
    "On a request to stop (SIGTERM, SIGINT, --stop), send the stop signal only after DURATION, so that load balancers can take "
    "the server out first. STOPPING=1 is reported to a service manager at once. A second request skips the wait, and a SIGINT "
    "after that kills. A server that exits meanwhile is not restarted. With --init, the forwarded SIGTERM or SIGINT is delayed. "
    "A restart by request is not delayed, nor is the stop of a server that has not been ready yet. With --stop: how much longer "
    "that waits. See INIT.";

    Stopping Group ' ' "group" []
    "signals go to the server's whole group"
    "Send signals to the server's whole process group. Processes that are left in the group after the server's end get TERM and "
    "CONT, whatever the stop signal is, and SIGKILL after the stop timeout (with --linger: after its DURATION), before the "
    "handler, a restart or the exit. See INIT.";

    Stopping Linger ' ' "linger" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end the server's remaining processes"
    "After every end of the server, before a restart as well as before the exit, send TERM and CONT to every process that is left "
    "below vsrun, except the logger; wait until they have exited, for at most DURATION, and then send SIGKILL. As PID 1, at the "
    "exit only, this includes every process of the container. The default is 0: they are not touched. See INIT.";

    Stopping AtExit ' ' "at-exit" ["WHAT" "choices=poweroff,reboot,halt"]
    "PID 1: do that instead of exiting"
    "As PID 1, write the disks' caches back and then poweroff, reboot or halt the machine instead of exiting, whatever the status: "
    "the kernel panics when its init exits. In a container this ends the container. It is an error (125) if vsrun is not PID 1, "
    "and wrong usage with --background. See INIT.";

    Readiness Ready ' ' "ready" ["HOW" "string"]
    / "is not exec, notify or fd:N with N of 3 to 65535, nor alive:DURATION, nor probe:PROBE"
    "exec, fd:N, notify, alive:TIME, probe:PROBE"
    "When the server counts as started: exec (the default), when its exec has succeeded; fd:N, when it has written a newline to "
    "its descriptor N; notify, when a process of its user has sent READY=1 to $NOTIFY_SOCKET, see sd_notify(3); alive:DURATION, "
    "when it has lived that long; probe:PROBE, when PROBE succeeds, see PROBES. All except exec need --background or an option "
    "with which vsrun stays. See READINESS.";

    Readiness ReadyTimeout ' ' "ready-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "fail if it is not ready in time"
    "Stop the server, and exit with 125, if it does not count as started after that long. The commands of --before are part of "
    "that time; with them alone, it limits only them, and those of each restart too. The default is no limit; at a replacement, "
    "it is 60s, and with alive its DURATION and 60s.";

    Readiness Watchdog ' ' "watchdog" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "end a server that is silent for that long"
    "With --ready notify: after READY=1, a server that does not send WATCHDOG=1 at least that often gets SIGABRT, and SIGKILL "
    "after the stop timeout. This counts as an unexpected end, whatever its exit status. The server finds the time in "
    "WATCHDOG_USEC and WATCHDOG_PID, see sd_watchdog_enabled(3). It may set another time for its run, and WATCHDOG=trigger counts "
    "as silence at once: see READINESS.";

    Readiness Health ' ' "health" ["PROBE" "string"]
    / "is not [http:][ADDRESS:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM"
    "probe it, and restart one that fails"
    "Try PROBE, see PROBES, again and again while the server is ready: first one --health-interval after it counts as started. "
    "After --health-retries failures in a row the server gets the stop signal, and SIGKILL after the stop timeout. This counts as "
    "an unexpected end, with the reason 'health' for the handler, whatever its exit status. Needs --manager, --init or --restart.";

    Readiness HealthInterval ' ' "health-interval" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "the time between two probes (10s)"
    "With --health: the time from the begin of one probe to that of the next. The default is 10s.";

    Readiness HealthTimeout ' ' "health-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "how long a probe may take (2s)"
    "With --health: a probe that takes longer is killed, and has failed. The default is 2s.";

    Readiness HealthRetries ' ' "health-retries" ["N" "integer"]
    / "is not an integer of at least 1"
    "failures in a row that end the server (3)"
    "With --health: after how many failures in a row the server is ended. The default is 3.";

    Control Status ' ' "status" ["PIDFILE" "file"]
    "report whether the server of PIDFILE runs"
    "Print one line about the server of PIDFILE, and exit with 0 if it runs, that is, if its pidfile or its manager's is locked "
    "(also between two runs); 1 if it is dead and the file exists; 3 if it is not running; 4 if that is unknown. PIDFILE may also "
    "be a service file, which begins with '#!': its own pidfile is used, the manager's before the server's. --status, --stop, "
    "--replace and --signal take no COMMAND, and no other option except --stop-timeout with --stop. See CONTROL.";

    Control Stop ' ' "stop" ["PIDFILE" "file"]
    "stop it, and wait until it has exited"
    "Send SIGTERM, then SIGCONT, to the server of PIDFILE or, if it is managed, to its manager, and wait until it has exited. "
    "Either pidfile stops both. A server without a manager that has not exited after --stop-timeout gets SIGKILL; for a manager, "
    "which kills its server itself, vsrun only waits, up to twice that time. With a timeout of 0 nothing is killed, and vsrun "
    "waits without limit. The exit status is 0 when it is gone, also if it was not running, which is reported on standard error; "
    "125 if it does not exit; 4 as with --status, and then no signal was sent. See CONTROL.";

    Control Replace ' ' "replace" ["PIDFILE" "file"]
    "replace it without a gap, and wait for that"
    "Let the manager of PIDFILE start a second server beside the first, and stop the first only when the second is ready. Waits for "
    "the end of it. The exit status is 0 when the new server serves and the old one has exited; 125, with the reason, if the old "
    "server goes on, or the replacement was ended by a stop or restart, or there is no manager, or its server has no readiness; 3 "
    "and 4 as with --signal. The manager needs no option for it except --ready, but not with exec or a probe of the network. See REPLACEMENT.";

    Control Signal ' ' "signal" ["SIGNAL" "string" "PIDFILE" "file"]
    / "is not a signal"
    "send it a signal"
    "Send SIGNAL to the process that PIDFILE names, if that process or its manager holds the file's lock: an unrelated process "
    "that has got the number is never signalled. The exit status is 3 if it is not running or between two runs, and 4 as with "
    "--status.";

    Control Probe ' ' "probe" ["PROBE" "string"]
    / "is not [http:][ADDRESS:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM"
    "test once whether a server works: 0 or 1"
    "Try PROBE once. Exit with 0 if it succeeds, or with 1 and one line of reason on standard error if it fails, for the health "
    "checks of Docker and Kubernetes in images without a shell. PROBE is [ADDRESS:]PORT or /SOCKET, which must accept a "
    "connection; [http:][ADDRESS:]PORT[/PATH] or [http:]/SOCKET[:/PATH], which must answer an HTTP GET with a status of 200 to "
    "399; or exec:/PROGRAM [ARG]..., which must exit with 0. Without ADDRESS, the loopback addresses are tried. See PROBES.";

    Control ProbeTimeout ' ' "probe-timeout" ["DURATION" "string"]
    / "is not a duration: an integer and ms, s, min, h, d or w"
    "how long --probe may take (1s)"
    "With --probe: how long it may take. The default is 1s. A program that takes longer is killed with its process group.";

    Files Check ' ' "check" []
    "report what would make the start fail"
    "Check everything that a start with these options would need, without starting, creating or changing anything. Each problem is "
    "one line on standard output; the exit status is 0 if there is none, and 125 otherwise. See CHECK.";

    Files Args ' ' "args" ["FILE" "file"]
    "read arguments from FILE, one a line"
    "Read arguments from FILE, one a line, as if they were in its place on the command line. Surrounding blanks are removed; empty "
    "lines and lines that begin with # are skipped. Words after FILE on the command line are appended, so they become arguments of "
    "COMMAND. If the first line is '#!/sbin/vsrun --args', the file can be executed: a service in one file.";

    Files Rc ' ' "rc" []
    "in a service file: be an rc script"
    "In a file of --args, and only there: a word after FILE on the command line is an action and no argument of COMMAND: start "
    "(the default), stop, restart, reload, status or check. So an executable file that begins with '#!/sbin/vsrun --args' is a "
    "whole rc script. It needs --pidfile, or a PIDFILE of --manager. The exit statuses are those of LSB. See RC SCRIPTS.";

    Help Help 'h' "help" []
    "print all options; -h: those used most"
    "Print all options and exit, whatever follows on the command line. -h prints one screen instead: usage, examples and the "
    "options that are used most.";

    Help HelpCompletion ' ' "help-completion" []
    "print the options for a completion program"
    "Print the options and the kinds of their values, one option a line, for programs that complete command lines: '-p,--pidfile "
    "file', '-b,--background none'. Kinds are none, file, dir, integer, string, user, command, inetaddr and choices=...; the last "
    "line is about the command's own words.";

    Help Version 'V' "version" []
    "print the version"
    "Print the version, the compiler and the system, one line each, and exit.";
}
