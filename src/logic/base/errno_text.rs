//! The texts of the errors that vsrun's system calls are likely to return. The C library's own table is twice as
//! long.

phrases! {
    /// The errors that have a text, in the order of their numbers. The text of EAGAIN names the cause that it has in
    /// fork(2), execve(2) and setuid(2); most other calls that fail with EAGAIN are repeated, and not reported.
    ErrnoText {
        Perm = "Operation not permitted",
        Noent = "No such file or directory",
        Srch = "No such process",
        Io = "I/O error",
        Nxio = "No such device or address",
        Toobig = "Argument list too long",
        Noexec = "Exec format error",
        Badf = "Bad file descriptor",
        Again = "Resource temporarily unavailable (too many processes)",
        Nomem = "Out of memory",
        Acces = "Permission denied",
        Busy = "Resource busy",
        Exist = "File exists",
        Nodev = "No such device",
        Notdir = "Not a directory",
        Isdir = "Is a directory",
        Inval = "Invalid argument",
        Nfile = "Too many open files in system",
        Mfile = "No file descriptors available",
        Txtbsy = "Text file busy (a process has it open for writing)",
        Fbig = "File too large",
        Nospc = "No space left on device",
        Rofs = "Read-only file system",
        Pipe = "Broken pipe",
        Nametoolong = "Filename too long",
        Nolck = "No locks available",
        Nosys = "Function not implemented",
        Loop = "Symbolic link loop",
        Msgsize = "Message too large",
        Opnotsupp = "Not supported",
        Afnosupport = "Address family not supported by protocol",
        Addrinuse = "Address in use",
        Addrnotavail = "Address not available",
        Nobufs = "No buffer space available",
        Shutdown = "The socket was shut down",
        Connrefused = "Connection refused",
        Stale = "Stale file handle",
        Dquot = "Quota exceeded",
    }
}
