//! The options for service files, and for checking a start without starting anything.

macro_rules! files {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options for service files, and for checking a start without starting anything.
    Files "Files and checks" {

    Check "check" {
        line: "report what would make the start fail",
        manual:
            "Check everything that a start with these options would need, without starting, creating or changing "
            "anything. Each problem is one line on standard output; the exit status is 0 if there is none, and 125 "
            "otherwise. See CHECK.",
    }

    Args "args" {
        line: "read arguments from FILE, one a line",
        manual:
            "Read arguments from FILE, one a line, as if they were in its place on the command line. Surrounding "
            "blanks are removed; empty lines and lines that begin with # are skipped. Words after FILE on the command "
            "line are appended, so they become arguments of COMMAND. If the first line is '#!/sbin/vsrun --args', the "
            "file can be executed: a service in one file.",
        takes: ["FILE" "file"],
        accepts: ["/etc/web.args"],
        rejects: [],
        sets: request,
    }

    Rc "rc" {
        line: "in a '#!' file of --args: be an init script",
        manual:
            "In a file of --args, and only there: a word after FILE on the command line is an action and no argument "
            "of COMMAND: start (the default), stop, restart, reload, status or check. So an executable file that "
            "begins with '#!/sbin/vsrun --args' is a whole rc script. It needs --pidfile, or a PIDFILE of --manager. "
            "The exit statuses are those of LSB. See RC SCRIPTS.",
    }

    } } };
}
