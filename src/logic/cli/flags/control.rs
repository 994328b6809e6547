//! The options that report the state of a running server, control it, and probe it.

macro_rules! control {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that report the state of a running server, control it, and probe it.
    Control "Control: by the pidfile's lock, with no daemon to talk to" {

    Status "status" {
        line: "report whether the server of PIDFILE runs",
        manual:
            "Print one line about the server of PIDFILE, and exit with 0 if it runs, that is, if its pidfile or its "
            "manager's is locked (also between two runs); 1 if it is dead and the file exists; 3 if it is not "
            "running; 4 if that is unknown. PIDFILE may also be a service file, which begins with '#!' and belongs to "
            "root or to the caller: its own pidfile is used, the manager's before the server's. --status, --stop, --replace and --signal take no "
            "COMMAND, and no other option except --stop-timeout with --stop. See CONTROL.",
        takes: ["PIDFILE" "file"],
        accepts: ["/run/web.pid"],
        rejects: [],
        sets: control,
    }

    Stop "stop" {
        line: "stop it, and wait until it has exited",
        manual:
            "Send SIGTERM, then SIGCONT, to the server of PIDFILE or, if it is managed, to its manager, and wait "
            "until it has exited. Either pidfile stops both. A server without a manager that has not exited after "
            "--stop-timeout gets SIGKILL; for a manager, which kills its server itself, vsrun only waits, up to twice "
            "that time. If PIDFILE is a service file, its --stop-timeout is the default, and a stop may take as long as "
            "its --stop-delay and --linger say; otherwise give a --stop-timeout that is long enough for them. With a "
            "timeout of 0 nothing is killed, and vsrun waits without limit. The exit status is 0 "
            "when it is gone, also if it was not running, which is reported on standard error; 125 if it does not "
            "exit; 4 as with --status, and then no signal was sent. See CONTROL.",
        takes: ["PIDFILE" "file"],
        accepts: ["/run/web.pid"],
        rejects: [],
        sets: control,
    }

    Replace "replace" {
        line: "replace it without a gap, and wait for that",
        manual:
            "Let the manager of PIDFILE start a second server beside the first, and stop the first only when the "
            "second is ready. Waits for the end of it. The exit status is 0 when the new server serves and the old "
            "one has exited; 125, with the reason, if the old server goes on, or the replacement was ended by a stop "
            "or restart, or there is no manager, or its server has no readiness; 3 and 4 as with --signal. The "
            "manager needs no option for it except --ready, but not with exec or a probe of the network. See "
            "REPLACEMENT.",
        takes: ["PIDFILE" "file"],
        accepts: ["/run/web.pid"],
        rejects: [],
        sets: control,
    }

    Signal "signal" {
        line: "send it a signal",
        manual:
            "Send SIGNAL to the process that PIDFILE names, if that process or its manager holds the file's lock: an "
            "unrelated process that has got the number is never signalled. The exit status is 3 if it is not running "
            "or between two runs, and 4 as with --status.",
        takes: ["SIGNAL" "string", "PIDFILE" "file"],
        wrong: "is not a signal",
        accepts: ["HUP" "/run/web.pid", "15" "/run/web.pid"],
        rejects: [
            "0" "p": "'0' is not a signal",
            "HUPP" "p": "unknown signal 'HUPP': did you mean SIGHUP?",
            "99" "p": "'99' is not a signal",
        ],
        sets: control,
    }

    Probe "probe" {
        line: "exit 0 if [http:]PORT|/SOCKET|exec:/PROG ok",
        manual:
            "Try PROBE once. Exit with 0 if it succeeds, or with 1 and one line of reason on standard error if it "
            "fails, for the health checks of Docker and Kubernetes in images without a shell. PROBE is [ADDRESS:]PORT "
            "or /SOCKET, which must accept a connection; [http:][ADDRESS:]PORT[/PATH] or [http:]/SOCKET[:/PATH], "
            "which must answer an HTTP GET with a status of 200 to 399; or exec:/PROGRAM [ARG]..., which must exit "
            "with 0. Without ADDRESS, the loopback addresses are tried. See PROBES.",
        takes: ["PROBE" "string"],
        wrong: "is not [http:][IP:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM",
        accepts: ["80", "127.0.0.1:80", "http:80/healthy", "/run/web.sock", "exec:/bin/true"],
        rejects: ["localhost", "0", "exec:true"],
        sets: probe = |value| Probe::parse(value).map(|_| leak_copy(value)),
    }

    ProbeTimeout "probe-timeout" {
        line: "how long --probe may take (1s)",
        manual:
            "With --probe: how long it may take. The default is 1s. A program that takes longer is killed with its "
            "process group.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["500ms"],
        rejects: ["0", "x"],
        sets: probe_timeout = positive_duration,
    }

    } } };
}
