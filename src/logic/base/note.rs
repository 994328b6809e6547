//! The texts of vsrun's own records, except errors and the output of other programs.

phrases! {
    /// A record. Its text has a `%` for each value that is inserted into it.
    Note {
        // Records about the start and the end of the server, and about its health.
        Starting = "starting: %",
        Started = "started: pid %",
        RunningBefore = "running --before '%'",
        Silent = "the server has not sent WATCHDOG=1 in time (--watchdog)",
        Unhealthy = "the server is not healthy: stopping it",
        Exited = "the server (pid %) % after %",
        EndHidden = "the server (pid %) has exited, but a process that traces it hides its exit; the exit status may be unknown",
        WrongSender = "ignored a notify message from pid % (uid %): %",
        GivingUp = "giving up: --restart-limit allows % restarts within %",
        Shutdown = "shutdown of vsrun: %, status %",
        // Records about restarts and replacements of the server.
        RestartingIn = "restarting in % (restart %)",
        Restarting = "restarting the server (restart %)",
        RestartingOnRequest = "restarting the server on request",
        NotReplaced = "the server is not replaced: %%",
        Replacing = "replacing the server (pid %)",
        Prepared = "the new server is prepared, in place of pid %",
        SwitchedOver = "the server is now pid %, in place of pid %",
        Replaced = "the server has been replaced",
        ReplacementFailed = "replacement failed: %%",
        // Records about signals that vsrun receives or sends.
        Received = "received %",
        Sending = "sending % to pid %",
        SendingToGroup = "sending % to the process group of pid %",
        SendingToAll = "sending % to every process that is left",
        Delayed = "stopping the server in % (--stop-delay)",
        CannotSend = "cannot send % to pid %: %%",
        // Records about failures that do not end vsrun.
        CannotWritePidfile = "cannot write pidfile '%': %",
        CannotEmptyPidfile = "cannot empty pidfile '%': %",
        CannotStartHandler = "cannot start the handler now%: %",
        CannotStartProcess = "cannot start the server's process now%: %",
        CannotListen = "cannot restore the server's listening socket (descriptor %): %",
        StaleVariables = "%; the server keeps its previous environment variables",
        CannotReread = "cannot read the files of the environment again: %; the previous variables stay",
        // Records about processes other than the server: the crash handler, the logger, orphans.
        HandlerAgrees = "the handler allows the restart: %%",
        HandlerRefuses = "the handler refuses the restart: %%",
        HandlerHidden = "the handler has exited, but a process that traces it hides its exit",
        HandlerOutput = "handler: %%",
        MoreOutput = "further output of the handler is not recorded",
        LogChildEnded = "the % %, and will be started again",
        Reaped = "Reaped zombie process with pid=%",
        // Records about the rotation of log files.
        ForeignNumbers = "another program has renamed % to %.1, which is the oldest file for vsrun: see LOGROTATE in vsrun(8)",
        Renamed = "rotated: this file has been renamed",
        Rotated = "rotated: new log files are open",
        Reopened = "reopened: the log files have been opened again by their names",
        OtherLogdir = "the path '%' now leads to another directory: new log files are there",
        NumberTaken = "cannot rotate the log files: a file with the last number, %, exists; the present files stay in use",
    }
}
