//! The options that decide where the server's output and vsrun's own records go.

macro_rules! output {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that decide where the server's output and vsrun's own records go.
    Output "Output" {

    Syslog "syslog" 's' {
        line: "send all output to 'logger -t TAG'",
        manual:
            "Send the output of vsrun, server and handler to 'logger -t TAG'. The logger is looked up in PATH at the "
            "start, runs outside the chroot as USER and reads a pipe. If vsrun stays and the logger dies, vsrun "
            "starts it again on the same pipe; the server is not affected. Excludes --logdir. See OUTPUT.",
        takes: ["TAG" "string"],
        accepts: ["web"],
        rejects: [],
        sets: syslog = text,
    }

    Logdir "logdir" 'd' {
        line: "log to files in DIR, delete after KEEP: 7d",
        manual:
            "Write vsrun's own records to DIR/vsrun.log and the server's output to DIR/logfile. At the start, and at "
            "each restart by SIGHUP, existing files are renamed to vsrun.log.N and logfile.N. Renamed files older "
            "than KEEP are deleted. KEEP is an integer and h, d, w or m (30 days); no unit means days. DIR is created "
            "if it is missing, and becomes the server's working directory, unless --work-dir or --root says "
            "otherwise. See OUTPUT.",
        takes: ["DIR" "dir", "KEEP" "string"],
        wrong: "is not an age: digits and h, d, w or m (30 days), as in 7d",
        accepts: ["logs" "2w", "logs" "1", "/var/log/web" "3m"],
        rejects: ["logs" "1y", "logs" "-1", "logs" "99999999999999999999"],
        sets: |options, value, second| {
            store_if_some(&mut options.logdir, Span::parse_retention(second).map(|keep| (leak_copy(value), keep)))
        },
    }

    LogSize "log-size" {
        line: "rotate logfile before it exceeds SIZE: 10M",
        manual:
            "With --logdir, pass the server's output through a writer, a separate process of vsrun, which renames "
            "logfile and begins a new one at the end of a line before it becomes longer than SIZE. SIZE is a number "
            "of bytes, or one with k, M or G (powers of 1024). The server is not affected. See OUTPUT.",
        takes: ["SIZE" "string"],
        wrong: "is not a size above 0: digits and k, M or G, as in 10M",
        accepts: ["1", "10k", "3M", "1G"],
        rejects: ["0", "10kb", "1m", "-1"],
        sets: log_size = parse_size,
    }

    LogFiles "log-files" {
        line: "keep at most N rotated files",
        manual:
            "With --log-size, keep at most N renamed files of the server's output: the oldest are deleted at each "
            "rotation, whatever their age. 0 keeps none.",
        takes: ["N" "integer"],
        wrong: "is not an integer of at least 0",
        accepts: ["0", "10"],
        rejects: ["many", "-1"],
        sets: log_files = parse_number,
    }

    Logger "logger" {
        line: "run COMMAND instead of 'logger -t TAG'",
        manual:
            "With --syslog, run COMMAND instead of 'logger -t TAG'. Its words are split at blanks; there is no "
            "quoting. Any program that reads lines from its standard input works: svlogd, s6-log, multilog.",
        takes: ["COMMAND" "command"],
        wrong: "contains no command",
        accepts: ["svlogd -tt /var/log/web"],
        rejects: [" "],
        sets: logger = split_words,
    }

    SyslogUsage "syslog-usage" {
        line: "vsrun's own records to syslog: no, yes, only",
        manual:
            "Whether vsrun's own records go to the system logger: no (the default), yes (also there), or only (only "
            "there). They are sent to /dev/log, with the TAG of --syslog or 'vsrun'. Debug records are never sent "
            "there: with 'logger -t TAG' they go to standard error. With --syslog and without --logger the records "
            "are in the system log already.",
        takes: ["WHEN" "choices=no,yes,only"],
        accepts: ["no", "yes", "only"],
        rejects: ["both": "unknown value 'both': allowed are no, yes, only", "yse": "did you mean yes?"],
        sets: syslog_usage = [SyslogUsage::No, SyslogUsage::Yes, SyslogUsage::Only],
    }

    Quiet "quiet" 'q' {
        line: "record only warnings and errors",
        manual:
            "Omit records of the priorities notice and info: starts, ends, signals, restarts. With --init and without "
            "--syslog, --logdir, --syslog-usage or --debug this is the default, so that an init reports only warnings "
            "and errors on standard error. The last of --quiet and --no-quiet counts.",
        sets: quiet = true,
    }

    NoQuiet "no-quiet" {
        line: "record everything (--init alone is --quiet)",
        manual: "Write all records, also those of an init on standard error. Cancels an earlier --quiet.",
        sets: quiet = false,
    }

    TerminationLog "termination-log" {
        line: "write why vsrun exits into FILE",
        manual:
            "When vsrun exits for good, with another status than 0, write one line with the reason into FILE and, "
            "with --logdir, the last lines of logfile: 4096 bytes at most. Also for 125 to 127, but not for wrong "
            "usage. FILE is opened at the start, without following a symbolic link at its end, and written in place, "
            "so it may be a mount, a terminal or a FIFO; it is made if it is missing. That it cannot be opened is "
            "only a warning. It is meant for Kubernetes' termination message, a serial line or the host of a microVM. "
            "See CONTAINERS.",
        takes: ["FILE" "file"],
        accepts: ["/dev/termination-log"],
        rejects: [],
        sets: termination_log = text,
    }

    Debug "debug" {
        line: "report each step",
        manual:
            "Report each step of the process that becomes the server, see THE ORDER OF A START, just before it is "
            "taken: on standard error or, with --logdir, in vsrun.log; never in syslog.",
    }

    } } };
}
