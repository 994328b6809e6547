//! The options that say how the server shows that it is ready and healthy.

macro_rules! readiness {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that say how the server shows that it is ready and healthy.
    Readiness "Readiness and health" {

    Ready "ready" {
        line: "ready at exec fd:N notify alive:TIME probe:P",
        manual:
            "When the server counts as started: exec (the default), when its exec has succeeded; fd:N, when it has "
            "written a newline to its descriptor N; notify, when a process of its user has sent READY=1 to "
            "$NOTIFY_SOCKET, see sd_notify(3); alive:DURATION, when it has lived that long; probe:PROBE, when PROBE "
            "succeeds, see PROBES. All except exec need --background or an option with which vsrun stays. See "
            "READINESS.",
        takes: ["HOW" "string"],
        wrong: "is not exec, notify, fd:N (3 to 65535), alive:DURATION (above 0), or probe: and [http:][IP:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM",
        accepts: ["exec", "notify", "fd:3", "alive:2s", "probe:80"],
        rejects: ["now", "fd:2", "fd:65536", "alive:", "probe:localhost"],
        sets: ready = ReadyCondition::parse,
    }

    ReadyTimeout "ready-timeout" {
        line: "fail if it is not ready in time",
        manual:
            "Stop the server, and exit with 125, if it does not count as started after that long. The commands of "
            "--before are part of that time; with them alone, it limits only them, and those of each restart too. The "
            "default is no limit; at a replacement, it is 60s, and with alive its DURATION and 60s.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["1ms", "1min"],
        rejects: ["0", "5m": "did you mean 5min?"],
        sets: ready_timeout = positive_duration,
    }

    Watchdog "watchdog" {
        line: "abort it if no WATCHDOG=1 for that long",
        manual:
            "With --ready notify: after READY=1, a server that does not send WATCHDOG=1 at least that often gets "
            "SIGABRT, and SIGKILL after the stop timeout. This counts as an unexpected end, whatever its exit status. "
            "The server finds the time in WATCHDOG_USEC and WATCHDOG_PID, see sd_watchdog_enabled(3). It may set "
            "another time for its run, and WATCHDOG=trigger counts as silence at once: see READINESS.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["10s"],
        rejects: ["0", "5m": "did you mean 5min?"],
        sets: watchdog = positive_duration,
    }

    Health "health" {
        line: "restart it if PROBE fails (see --probe)",
        manual:
            "Try PROBE, see PROBES, again and again while the server is ready: first one --health-interval after it "
            "counts as started. After --health-retries failures in a row the server gets the stop signal, and SIGKILL "
            "after the stop timeout. This counts as an unexpected end, with the reason 'health' for the handler, "
            "whatever its exit status. Needs --manager, --init or --restart.",
        takes: ["PROBE" "string"],
        wrong: "is not [http:][IP:]PORT[/PATH], [http:]/SOCKET[:/PATH] or exec:/PROGRAM",
        accepts: ["80", "http:80/healthy", "[::1]:80", "/run/web.sock", "exec:/bin/true"],
        rejects: ["localhost", "0", "exec:true"],
        sets: health = |value| Probe::parse(value).map(|_| leak_copy(value)),
    }

    HealthInterval "health-interval" {
        line: "the time between two probes (10s)",
        manual: "With --health: the time from the begin of one probe to that of the next. The default is 10s.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["1min"],
        rejects: ["0", "x"],
        sets: health_interval = positive_duration,
    }

    HealthTimeout "health-timeout" {
        line: "how long a probe may take (2s)",
        manual: "With --health: a probe that takes longer is killed, and has failed. The default is 2s.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["1s"],
        rejects: ["0", "x"],
        sets: health_timeout = positive_duration,
    }

    HealthRetries "health-retries" {
        line: "failures in a row that end the server (3)",
        manual: "With --health: after how many failures in a row the server is ended. The default is 3.",
        takes: ["N" "integer"],
        wrong: "is not an integer of at least 1",
        accepts: ["1", "10"],
        rejects: ["0", "-1", "x"],
        sets: health_retries = |value| parse_number(value).filter(|count| *count > 0),
    }

    } } };
}
