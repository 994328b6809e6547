//! Chapters of the manual page about jails without root, control groups and the PID 1 of a machine.

/// Landlock.
pub const JAIL_WITHOUT_ROOT: &str = "
A chroot needs root and keeps in only what is not root. Landlock, see landlock(7), needs no privilege: a process gives
up rights for itself and for every process that it will start. It works as root and as a user, in a user namespace, and
in a container without any capability (the filters of Docker and Podman allow it). No chroot or user is needed, and both
may be used with it: then PATHs are those inside the root.

    vsrun --rox /usr/sbin/web --ro /etc/web --rw /var/lib/web \\
        --bind-tcp 8080 --connect-tcp none --scope signal,abstract -- /usr/sbin/web

= --ro, --rox, --rw, --rwx
As soon as one of them is given, the server opens, executes, makes, removes and moves files only where a rule allows it.
For one file the rights of all rules that cover it add up. A file is moved or linked to another directory only where
both are covered by --rw or --rwx. Descriptors that are open already keep working: standard input, output and error, and
the sockets of --listen. The rules also refuse mount(2), and tracing of a process that is not confined as well.

What they do not refuse: to change into a directory, to look at the owner, mode and size of a file (stat(2)), to change
its owner, mode and times (chmod(2), chown(2), utime(2)), and to connect to a Unix socket at a path. Before Linux 6.10
(ABI 5) ioctl(2) on devices is not confined either. For this it still matters who the server is: use --user.

= --bind-tcp, --connect-tcp
Each confines its own direction of TCP. UDP and Unix sockets are not confined by them.

= --scope
Keeps signals, and connections to abstract Unix sockets, inside the server and its children. Then the server cannot
signal `vsrun` either.

What is confined needs these kernels: files Linux 6.2 (ABI 3), TCP 6.7 (ABI 4), scopes 6.12 (ABI 6). Where the kernel is
older, has no Landlock, or does not enable it (`lsm=` on its command line), the server is not started (125), and the
message names the kernel that is needed. Nothing is left out silently. The handler, the logger and the log writer are
not confined.

.SS The least rules of a server

COMMAND, the interpreter of a `#!` line and the ELF loader need --rox; shared libraries, configuration and data need
--ro. --check says which of the first three no rule covers, and `ldd` lists the libraries. A dynamic server on Debian
usually needs

    --rox /usr/sbin/nginx --rox /lib64/ld-linux-x86-64.so.2 --ro /usr/lib --ro /etc/ld.so.cache
    --ro /etc/nginx --ro /etc/ssl --ro /etc/localtime --rw /dev/null --rw /var/lib/nginx --rw /var/log/nginx

and one that looks up names also `--ro /etc/resolv.conf --ro /etc/hosts --ro /etc/nsswitch.conf` and `--ro /etc/passwd
--ro /etc/group`. An interpreter needs its library of modules too; for `python3 -m http.server 8000` in `/srv/www` these are

    --rox /usr/bin/python3 --rox /lib64/ld-linux-x86-64.so.2 --ro /usr/lib/x86_64-linux-gnu --ro /usr/lib/python3.11
    --ro /etc/ld.so.cache --ro /etc/mime.types --ro /srv/www -w /srv/www --bind-tcp 8000 --connect-tcp none

A server that uses `/dev/urandom` or `/proc` has to name them. `strace -f -e trace=%file -Z` shows what was
refused: EACCES.
";

/// Control groups.
pub const CONTROL_GROUPS: &str = "
A process can leave its process group, its session and its parent, but not its control group. With --cgroup `DIR` the
server and all that it starts are in DIR, a directory of a cgroup 2 file system, usually below `/sys/fs/cgroup`. `vsrun`
makes DIR if it is missing, and not its parent. No process may be in DIR, or in a group below it, at the start. The
manager, the handler, the logger and the log writer are not in it.

    vsrun -m - - --cgroup /sys/fs/cgroup/web --cgroup-set memory.max=512M --cgroup-set pids.max=200 -- webserver

--cgroup-set writes a control file of DIR before the first start. Where the controller is not enabled, the message names
it: as root, once, `echo +memory >/sys/fs/cgroup/cgroup.subtree_control`. The kernel does not allow processes in a group
whose children have controllers, except in the root; see cgroups(7).

Where `vsrun` stays, whatever is left in DIR when the server has ended gets SIGKILL before the next start and before the
exit, without --linger at once, with it after SIGTERM and that time. It is one write to `cgroup.kill`; before Linux 5.14
the processes are listed and killed one by one. Where the memory controller is enabled, a server (or a child) that the
kernel has killed there for lack of memory is reported to the handler with the reason `oom`. At the exit DIR is removed
if `vsrun` has made it and it is empty. Where `vsrun` becomes the server, nothing of this is done: DIR stays.

A user may do all this in a directory that has been given to it with its files `cgroup.procs`, `cgroup.threads` and
`cgroup.subtree_control`, if `vsrun` itself is started in a group below it.
";

/// PID 1 of a machine.
pub const MACHINE: &str = "
As the PID 1 of a machine or microVM, `vsrun` may have to do what the first scripts of a distribution do.

= --mount
Before everything else, so that --limit, names of --user and `/dev/null` are found, `vsrun` mounts what LIST names and
what is not mounted yet: proc, sysfs and cgroup 2 with nosuid, nodev and noexec; devtmpfs with nosuid, and on it
`/dev/pts` and `/dev/shm` and the links `fd`, `stdin`, `stdout` and `stderr`; a tmpfs on `/run` (mode 0755) and on `/tmp`
(mode 1777) with nosuid and nodev. In `/sys/fs/cgroup` it enables all controllers, so that --cgroup-set works.

= Ctrl-Alt-Del
The kernel would start the machine again at once. As PID 1 of a machine, a `vsrun` that stays takes the keys from it,
and gets a SIGINT: a manager stops then, and with --at-exit the machine ends.

= Signals
--on-signal has three actions for PID 1: `poweroff`, `reboot` and `halt`. The server is stopped as by SIGTERM (with --init too; SIGKILL
after 30 s unless --stop-timeout says otherwise), and then the machine ends like that, whatever --at-exit says. With
--at-exit these are the defaults: RTMIN+3 halts, RTMIN+4 switches off, RTMIN+5 reboots, as systemd's PID 1 does and
`systemd-nspawn` and `machinectl` ask for it, and PWR switches off, as LXC asks for it. The commands `poweroff`,
`reboot` and `halt` of busybox send other signals; for them

    --on-signal USR2=poweroff --on-signal TERM=reboot --on-signal USR1=halt

= The end
On a machine, file systems of disks are made read-only where nothing is open to be written (which needs `/proc`), and
the caches are written back. --linger ends the processes that could have something open. A server that mounts disks
itself should also unmount them.
";
