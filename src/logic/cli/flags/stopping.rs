//! The options that decide how the server is stopped.

macro_rules! stopping {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that decide how the server is stopped.
    Stopping "Stopping" {

    StopSignal "stop-signal" {
        line: "the signal that stops the server (TERM)",
        manual:
            "The signal that asks the server to exit, instead of SIGTERM. SIGCONT follows it. This option and "
            "--stop-timeout are also allowed with --background and a --ready other than exec, for a server that is "
            "not ready in time.",
        takes: ["SIGNAL" "string"],
        wrong: "is not a signal that ends a server",
        accepts: ["TERM", "SIGINT", "quit", "3"],
        rejects: [
            "STOP",
            "CHLD",
            "CONT",
            "SIGTREM": "unknown signal 'SIGTREM': did you mean SIGTERM?",
            "trem": "did you mean SIGTERM?",
            "USR": "did you mean SIGUSR1?",
            "KIL": "did you mean SIGKILL?",
            "HANGUP": "unknown signal 'HANGUP'",
            "0": "'0' is not a signal",
            "65": "their numbers are 1 to 64",
        ],
        sets: stop_signal = parse_stop_signal,
    }

    StopTimeout "stop-timeout" {
        line: "then KILL after that long (30s; 0 = never)",
        manual:
            "Send SIGKILL to the server's process group if the server has not exited that long after the stop signal. "
            "The default is 30s; 0 means never. With --init there is no timeout unless this option is given, see "
            "INIT. With --stop: how long that waits.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration: digits and ms, s, min, h, d or w",
        accepts: ["0", "5", "500ms", "2min", "1h", "1d", "1w"],
        rejects: [
            "1.5s",
            "-1",
            "x",
            "5m": "digits and ms, s, min, h, d or w: did you mean 5min?",
            "5sec": "did you mean 5s?",
            "2hours": "did you mean 2h?",
            "2days": "did you mean 2d?",
        ],
        sets: stop_timeout = duration,
    }

    StopDelay "stop-delay" {
        line: "wait that long before the stop signal",
        manual:
            "On a request to stop (SIGTERM, SIGINT, --stop), send the stop signal only after DURATION, so that load "
            "balancers can take the server out first. STOPPING=1 is reported to a service manager at once. A second "
            "request skips the wait, and a SIGINT after that kills. A server that exits meanwhile is not restarted. "
            "With --init, the forwarded SIGTERM or SIGINT is delayed. A restart by request is not delayed, nor is the "
            "stop of a server that has not been ready yet. With --stop: how much longer that waits. See INIT.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration: digits and ms, s, min, h, d or w",
        accepts: ["0", "10s"],
        rejects: ["soon", "5m"],
        sets: stop_delay = duration,
    }

    Group "group" {
        line: "signals go to its whole process group",
        manual:
            "Send signals to the server's whole process group. Processes that are left in the group after the "
            "server's end get TERM and CONT, whatever the stop signal is, and SIGKILL after the stop timeout (with "
            "--linger: after its DURATION), before the handler, a restart or the exit. See INIT.",
    }

    Linger "linger" {
        line: "TERM leftover processes, KILL after DURATION",
        manual:
            "After every end of the server, before a restart as well as before the exit, send TERM and CONT to every "
            "process that is left below vsrun, except the logger; wait until they have exited, for at most DURATION, "
            "and then send SIGKILL. As PID 1, at the exit only, this includes every process of the container. The "
            "default is 0: they are not touched. See INIT.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration: digits and ms, s, min, h, d or w",
        accepts: ["0", "10s"],
        rejects: ["soon", "5m": "did you mean 5min?"],
        sets: linger = duration,
    }

    AtExit "at-exit" {
        line: "PID 1: poweroff, reboot or halt at the exit",
        manual:
            "As PID 1, write the disks' caches back and then poweroff, reboot or halt the machine instead of exiting, "
            "whatever the status: the kernel panics when its init exits. In a container this ends the container. It "
            "is an error (125) if vsrun is not PID 1, and wrong usage with --background. See INIT.",
        takes: ["WHAT" "choices=poweroff,reboot,halt"],
        accepts: ["poweroff", "reboot", "halt"],
        rejects: [
            "shutdown": "unknown value 'shutdown': allowed are poweroff, reboot, halt",
            "power-off": "did you mean poweroff?",
        ],
        sets: at_exit = [AtExit::Poweroff, AtExit::Reboot, AtExit::Halt],
    }

    } } };
}
