//! The options that print help about vsrun.

macro_rules! help {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that print help about vsrun.
    Help "Help" {

    Help "help" 'h' {
        line: "print all options; -h: those used most",
        manual:
            "Print all options and exit, whatever follows on the command line. -h prints one screen instead: usage, "
            "examples and the options that are used most.",
        sets: request,
    }

    HelpCompletion "help-completion" {
        line: "print the options for a completion program",
        manual:
            "Print the options and the kinds of their values, one option a line, for programs that complete command "
            "lines: '-p,--pidfile file', '-b,--background none'. Kinds are none, file, dir, integer, string, user, "
            "command, inetaddr and choices=...; the last line is about the command's own words.",
        sets: request,
    }

    Version "version" 'V' {
        line: "print the version",
        manual: "Print the version, the compiler and the system, one line each, and exit.",
        sets: request,
    }

    } } };
}
