//! The causes of a failed exec, and the text of each for messages.

phrases! {
    /// Why an exec failed, as far as the file system shows. The child sends the number of the cause to its parent. The
    /// text has a `%` in place of the path.
    ExecFailure {
        // The cause of a failed exec of which nothing is known except the errno.
        Plain = "",
        NoInterpreter = " (the file is there, but the interpreter of its #! line, '%', is not%)",
        NoLoader = " (the file is there, but its ELF loader '%' is not)",
        NoDirectory = " (there is no directory '%')",
        Closed = " (the directory '%' is not searchable for this user)",
        NotExecutable = " ('%' is not executable for this user)",
        NotAFile = " ('%' is not a regular file)",
        Noexec = " (the file system of '%' is mounted noexec)",
        Foreign = " ('%' is a program for another machine, or damaged)",
        NoFormat = " ('%' is neither a program nor a script that begins with #!)",
        NotInPath = " (in no directory of the server's PATH)",
        Dangling = " ('%' is a symbolic link to a missing file)",
        NotHere = " (looked for in the directory '%')",
        Uncovered = " (no --rox or --rwx covers '%')",
        UncoveredDir = " (no --ro, --rox, --rw or --rwx covers '%')",
        // No Landlock rule covers at least one of COMMAND, its interpreter and its ELF loader; which one is unknown.
        Confined = " (no --rox or --rwx covers '%', its interpreter or its ELF loader)",
    }
}
