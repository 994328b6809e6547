//! The options that decide how the server is started.

macro_rules! starting {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that decide how the server is started.
    Starting "Starting" {

    Pidfile "pidfile" 'p' {
        line: "write and lock the server's pidfile",
        manual:
            "Write the server's pid into FILE, and keep the file locked as long as vsrun or the server runs. A second "
            "start reports the process that holds the lock and exits with 125. See PIDFILES.",
        takes: ["FILE" "file"],
        accepts: ["/run/web.pid"],
        rejects: [],
        sets: pidfile = text,
    }

    Background "background" 'b' {
        line: "detach; exit once the server has been started",
        manual:
            "Detach from the terminal and the caller. vsrun exits with 0 only when the server has been started; "
            "otherwise it prints the error and exits with the status that it would have had in the foreground. See "
            "BACKGROUND.",
        sets: background = true,
    }

    Foreground "foreground" 'f' {
        line: "stay in the foreground (the default)",
        manual: "Stay in the foreground: the default. Cancels an earlier --background.",
        sets: background = false,
    }

    Stdin "stdin" {
        line: "leave the server's standard input unchanged",
        manual:
            "Leave the server's standard input unchanged. Without this option it is always /dev/null, or an empty "
            "pipe if /dev/null cannot be opened. For an interactive program on a terminal see THE MANAGER.",
    }

    Before "before" {
        line: "run COMMAND first; it must exit with 0",
        manual:
            "Before each start of the server, also before a restart, run COMMAND and wait for it: as the server's "
            "user and in its root, working directory, control group and confinement, with its environment, limits and "
            "output, but without its sockets and NOTIFY_SOCKET. Its words are split at blanks; there is no quoting "
            "and no shell. Repeatable: the commands run one after the other. If one does not exit with 0, the start "
            "has failed: 125 at the first start, later an unexpected end. --ready-timeout limits how long that may "
            "take. See ENTRYPOINT.",
        takes: ["COMMAND" "command"] repeatable,
        wrong: "contains no command",
        accepts: ["/bin/migrate --all"],
        rejects: [" "],
        sets: before += |value| split_words(value).map(|_| leak_copy(value)),
    }

    Mount "mount" {
        line: "PID 1: mount proc,sys,dev,run,tmp,cgroup",
        manual:
            "As PID 1, and before everything else, mount the file systems of LIST that are not mounted yet: words "
            "separated by commas, in any order: proc, sys, dev (devtmpfs on /dev, with /dev/pts and /dev/shm), run "
            "and tmp (tmpfs), cgroup (version 2, on /sys/fs/cgroup). An error (125) if vsrun is not PID 1. See PID 1 "
            "OF A MACHINE.",
        takes: ["LIST" "string"],
        wrong: "is not a list of proc, sys, dev, run, tmp and cgroup",
        accepts: ["proc", "proc,sys,dev,run,tmp,cgroup"],
        rejects: ["proc,home", "proc,"],
        sets: mounts = MountSet::parse,
    }

    Argv0 "argv0" {
        line: "the server's argv[0]",
        manual: "The server's argv[0], which it sees as its own name, instead of COMMAND.",
        takes: ["NAME" "string"],
        accepts: ["-sh", ""],
        rejects: [],
        sets: argv0 = text,
    }

    } } };
}
