//! The options that decide what vsrun does while it supervises the server.

macro_rules! supervising {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that decide what vsrun does while it supervises the server.
    Supervising "Staying, and keeping the server alive" {

    Manager "manager" 'm' {
        line: "stay, restart it when it crashes ('-': none)",
        manual:
            "Stay and manage the server: restart it after an unexpected end, forward signals, reap orphans. PIDFILE "
            "is the manager's own pidfile; HANDLER is a program that is run after each unexpected end and decides "
            "about the restart; '-' for either means none. See THE MANAGER.",
        takes: ["PIDFILE" "file", "HANDLER" "command"],
        accepts: ["/run/web.manager.pid" "/etc/web/handler", "-" "-"],
        rejects: [],
        sets: |options, value, second| {
            options.manager = Some(ManagerFiles { pidfile: none_if_dash(value), crash_handler: none_if_dash(second) });
            true
        },
    }

    Init "init" {
        line: "stay as an init, and exit as the server does",
        manual:
            "Stay with the server as an init: forward every signal, also TERM, INT and HUP, reap orphans, and exit "
            "when the server exits, with its exit status, or 128 and the number of the signal that ended it. There is "
            "no restart. See INIT.",
    }

    Restart "restart" {
        line: "restart: no, on-failure, on-abort or always",
        manual:
            "Which ends of the server lead to a restart: no, on-failure (the default), on-abort (only death by a "
            "signal) or always. Without --manager and --init it also means '-m - -'.",
        takes: ["WHEN" "choices=no,on-failure,on-abort,always"],
        accepts: ["no", "on-failure", "on-abort", "always"],
        rejects: [
            "maybe": "unknown value 'maybe': allowed are no, on-failure, on-abort, always",
            "on-fail": "did you mean on-failure?",
            "allways": "did you mean always?",
        ],
        sets: restart = [Restart::No, Restart::OnFailure, Restart::OnAbort, Restart::Always],
    }

    SuccessExit "success-exit" {
        line: "exits that count as success, as 3,SIGTERM",
        manual:
            "Further exit statuses and signals that count as a voluntary end, separated by commas. When vsrun exits "
            "because of such an end, its own status is 0: also with --init ('--success-exit 143' for Java), and after "
            "a handler's refusal.",
        takes: ["LIST" "string"],
        wrong: "is not a list of statuses (0 to 255) and signals, as 3,SIGTERM",
        accepts: ["143", "3,SIGTERM", "hup"],
        rejects: [
            "256",
            "3,SIGTREM": "unknown signal 'SIGTREM': did you mean SIGTERM?",
            "3,,4": "unknown signal ''",
            "foo": "unknown signal 'foo'",
        ],
        sets: success_exit = SuccessExits::parse,
    }

    RestartDelay "restart-delay" {
        line: "pause before further restarts (100ms:30s)",
        manual:
            "The pause before consecutive restarts. The first unexpected end restarts at once. Further ones, without "
            "a run of 10 s (or MAX, if that is shorter) in between, wait MIN, then twice as long each time, up to "
            "MAX. The default is 100ms:30s; 0 means no pause. Without MAX the pause doubles up to 30 s, or stays at "
            "MIN if that is longer.",
        takes: ["MIN[:MAX]" "string"],
        wrong: "is not MIN[:MAX], two durations with MIN at most MAX, as 1s:1min",
        accepts: ["0", "1min", "100ms:30s", "5:5"],
        rejects: ["5:1", "x", "1:"],
        sets: restart_delay = parse_delay_range,
    }

    RestartLimit "restart-limit" {
        line: "give up after N restarts within DURATION",
        manual:
            "Give up if there would be more than N restarts within DURATION, after the handler has run, and exit as "
            "the server did. N is 1 to 65535. A restart by SIGHUP does not count. The default is to never give up.",
        takes: ["N/DURATION" "string"],
        wrong: "is not N/DURATION with N of 1 to 65535 and DURATION above 0, as 5/1min",
        accepts: ["5/1min", "1/1h"],
        rejects: ["5", "0/5", "5/0", "65536/1h"],
        sets: restart_limit = RestartLimit::parse,
    }

    HandlerTimeout "handler-timeout" {
        line: "end a handler that takes longer",
        manual:
            "Send SIGTERM to a handler that takes longer, and SIGKILL after the stop timeout. This counts as a "
            "refusal. The default is no limit.",
        takes: ["DURATION" "string"],
        wrong: "is not a duration above 0: digits and ms, s, min, h, d or w",
        accepts: ["1ms", "10s"],
        rejects: ["0", "5m": "did you mean 5min?"],
        sets: handler_timeout = positive_duration,
    }

    OnSignal "on-signal" {
        line: "on SIGNAL stop, reopen, ... (repeatable)",
        manual:
            "What vsrun does when it receives SIGNAL. ACTION is stop, restart, replace, reopen (the log files), "
            "ignore, forward or forward:SIGNAL; and for PID 1 poweroff, reboot and halt: stop the server, and then "
            "the machine. By default TERM and INT stop, HUP restarts, and every other signal is forwarded; with "
            "--init all are forwarded. Repeatable, for different signals. See SIGNALS; for replace, and the --ready "
            "that it needs, see REPLACEMENT.",
        takes: ["SIGNAL=ACTION" "string"] repeatable,
        wrong: "is not SIGNAL=ACTION, with a SIGNAL other than KILL, STOP and CHLD",
        accepts: ["HUP=stop", "SIGUSR1=forward:TERM", "winch=ignore"],
        rejects: [
            "USR1": "'USR1': '=ACTION' is missing",
            "USR3=stop": "unknown signal 'USR3': did you mean SIGUSR1?",
            "=stop": "unknown signal ''",
            "HUP=reload": "unknown action 'reload': allowed are ",
            "HUP=quit": "stop, restart, replace, reopen, ignore, forward, forward:SIGNAL",
            "HUP=restrat": "unknown action 'restrat': did you mean restart?",
            "HUP=Stop": "unknown action 'Stop': did you mean stop?",
            "HUP=reopn": "did you mean reopen?",
            "HUP=": "unknown action ''",
            "HUP=forward:TREM": "unknown signal 'TREM': did you mean SIGTERM?",
            "KILL=stop": "with a SIGNAL other than KILL, STOP and CHLD",
            "STOP=ignore": "with a SIGNAL other than KILL, STOP and CHLD",
            "CHLD=ignore": "with a SIGNAL other than KILL, STOP and CHLD",
        ],
        sets: on_signal += signal_action::parse,
    }

    } } };
}
