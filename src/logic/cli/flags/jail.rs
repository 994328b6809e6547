//! The options that limit the files, ports and processes that the server can reach.

macro_rules! jail {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that limit the files, ports and processes that the server can reach.
    Jail "Jail" {

    Root "root" 'r' {
        line: "change the server's root directory to DIR",
        manual:
            "Change the server's root directory to DIR (chroot(2)). --work-dir and COMMAND are paths inside it; all "
            "other paths on the command line are outside.",
        takes: ["DIR" "dir"],
        accepts: ["/srv/jail"],
        rejects: [],
        sets: root = text,
    }

    WorkDir "work-dir" 'w' {
        line: "its working directory, inside its root",
        manual:
            "The server's working directory. It is entered as USER, after the chroot, so it is a path inside the new "
            "root, and a relative DIR begins at the new /. The default is the caller's directory; with --logdir, that "
            "directory; with --root, always / of the new root.",
        takes: ["DIR" "dir"],
        accepts: ["/var/lib/web"],
        rejects: [],
        sets: work_dir = text,
    }

    Ro "ro" {
        line: "Landlock: it may only read PATH (repeatable)",
        manual:
            "Confine the server with Landlock: it may read the file PATH, or all files and directories below the "
            "directory PATH. As soon as one of --ro, --rox, --rw and --rwx is given, the server and every process "
            "that it starts can reach only the files that these options name, whatever their user. The server's "
            "process looks PATH up just before the exec: inside its root, as its user, a relative one from its "
            "working directory, following symbolic links. A missing PATH is an error (125). Needs no privilege, sets "
            "no_new_privs, and works in containers. See JAIL WITHOUT ROOT.",
        takes: ["PATH" "file"] repeatable,
        accepts: ["/etc"],
        rejects: [],
        sets: confine,
    }

    Rox "rox" {
        line: "it may read and execute PATH (repeatable)",
        manual:
            "As --ro, and files may be executed. COMMAND, its interpreter and its ELF loader need this or --rwx; "
            "shared libraries need --ro only.",
        takes: ["PATH" "file"] repeatable,
        accepts: ["/usr"],
        rejects: [],
        sets: confine,
    }

    Rw "rw" {
        line: "it may read and write PATH (repeatable)",
        manual:
            "As --ro, and files may be written, truncated, made, removed, and moved between directories, directories "
            "made and removed, and ioctl(2) called on devices. Files may not be executed.",
        takes: ["PATH" "file"] repeatable,
        accepts: ["/var/lib/web"],
        rejects: [],
        sets: confine,
    }

    Rwx "rwx" {
        line: "read, write and execute PATH (repeatable)",
        manual: "As --rw, and files may be executed.",
        takes: ["PATH" "file"] repeatable,
        accepts: ["/tmp"],
        rejects: [],
        sets: confine,
    }

    BindTcp "bind-tcp" {
        line: "bind TCP to PORT only, or none (repeatable)",
        manual:
            "Confine the server with Landlock: it may bind TCP sockets to PORT, 1 to 65535, and to no port that none "
            "of these options names; 'none' allows no port at all. Repeatable. Sockets of --listen are not affected, "
            "and neither is UDP.",
        takes: ["PORT" "string"] repeatable,
        accepts: ["80", "65535", "none"],
        rejects: [
            "0": "is not 'none' or a port of 1 to 65535",
            "65536": "is not 'none' or a port of 1 to 65535",
            "http": "is not 'none' or a port of 1 to 65535",
        ],
        sets: confine,
    }

    ConnectTcp "connect-tcp" {
        line: "connect TCP to PORT, or none (repeatable)",
        manual:
            "Confine the server with Landlock: it may connect TCP sockets to PORT, 1 to 65535, of any address, and to "
            "no port that none of these options names; 'none' allows no port at all. Repeatable.",
        takes: ["PORT" "string"] repeatable,
        accepts: ["443", "none"],
        rejects: [
            "0": "is not 'none' or a port of 1 to 65535",
            "http": "is not 'none' or a port of 1 to 65535",
            "-1": "is not 'none' or a port of 1 to 65535",
        ],
        sets: confine,
    }

    Scope "scope" {
        line: "Landlock: block signal,abstract to outside",
        manual:
            "Confine the server with Landlock: LIST is signal, abstract or both, separated by a comma. With signal, "
            "the server and its children can send signals only to each other; with abstract, they can connect only to "
            "each other's abstract Unix sockets. abstract excludes --ready notify, because the notify socket is an "
            "abstract socket of vsrun.",
        takes: ["LIST" "string"],
        accepts: ["signal", "abstract", "signal,abstract"],
        rejects: ["abstrct": "is not signal, abstract or signal,abstract", "signal,": "is not signal, abstract or signal,abstract"],
        sets: confine,
    }

    } } };
}
