"""Measures the cost of vsrun and of similar programs: `python3 bench.py VSRUN BOUND DIRECTORY DOCUMENTS`, as root.

`make bench` calls it. Everything runs on one processor. In each round all programs run once, in random order, so that
other load on the machine affects all of them. Times are medians. The servers (bound.c) report the time of their start
themselves, by CLOCK_MONOTONIC. So the figures do not contain the time that this program needs, except those of `exec`,
`init`, `entrypoint` and `stop`, where it is the same for all. QUICK=1 runs fewer rounds: it is for trying the command,
and its figures are not reliable.
"""

import os
import random
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import boot
import report

QUICK = bool(os.environ.get("QUICK"))
USER = "65534"
RECORD = struct.Struct("=3q")
NULL = os.open(os.devnull, os.O_RDWR)
# The log tests: the size of one write, and the sum of all writes, in bytes.
LOG_WRITES = [(65536, 64 << 20 if QUICK else 512 << 20), (100, 8 << 20 if QUICK else 64 << 20)]
# When a log file is rotated, in bytes, and how many old files are kept.
ROTATE_SIZE = 16 << 20
KEPT_FILES = 4
# How many managers are started to measure the memory of each of many.
MANY = 20 if QUICK else 200
IDLE_SECONDS = 3 if QUICK else 10
now_ns = time.monotonic_ns


def rounds(full, quick):
    """The number of rounds of a full or a quick run."""
    return quick if QUICK else full


def spawn(command, directory=None, output=NULL):
    """Starts a process on /dev/null, with default signal actions like a child of a shell. Returns its pid."""
    if directory:
        return subprocess.Popen(command, cwd=directory, stdin=NULL, stdout=output, stderr=NULL).pid
    actions = [(os.POSIX_SPAWN_DUP2, NULL, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, NULL, 2)]
    return os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=range(1, 32))


def median(values):
    return statistics.median(values) if values else None


class Server:
    """A server, as this program sees it: the fifo into which it writes its records (see bound.c)."""

    def __init__(self, directory, name="fifo"):
        self.directory = tempfile.mkdtemp(dir=directory)
        self.path = os.path.join(self.directory, name)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def first_pid(self, rival):
        """Waits for the first record of a server, and returns its pid."""
        record = self.next_record(60)
        assert record, f"{rival.name} has not started the server"
        return record[0]

    def next_record(self, timeout=15):
        """The next record: pid, start, now. None if none is written within `timeout` seconds."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return None
        return RECORD.unpack(os.read(self.fd, RECORD.size))

    def drain(self):
        """All records that have been written so far."""
        records = []
        while select.select([self.fd], [], [], 0)[0]:
            records += RECORD.iter_unpack(os.read(self.fd, RECORD.size * 2000))
        return records

    def close(self):
        os.close(self.fd)
        shutil.rmtree(self.directory, ignore_errors=True)


class Rival:
    """A program that starts and supervises a server.

    `package` is its Debian package, `command` its command, and `tests` the tests in which it takes part, separated by blanks.
    `kind` is how it gets the server: as the last arguments of its `command`, from a service `directory`, or from a
    `config` file.
    """

    def __init__(self, name, package, command, kind="command", tests=""):
        self.name, self.package, self.command, self.kind, self.tests = name, package, command, kind, tests

    def start(self, server, bench, mode="serve"):
        """Starts the program with a server that writes its records to `server`. Returns the program's pid."""
        if self.kind == "directory":
            shutil.copy2(bench.bound, os.path.join(server.directory, "run"))
            return spawn(self.command + ["."], server.directory)
        if self.kind == "config":
            return spawn(self.command + [self.configure(server.directory, [(server, mode)], bench)], server.directory)
        return spawn(self.command + [bench.bound, mode, server.path])

    @staticmethod
    def configure(directory, servers, bench):
        """Writes supervisord's configuration for these servers and their modes of bound.c. Returns its path."""
        path = os.path.join(directory, "conf")
        with open(path, "w") as file:
            file.write(f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={directory}/pid\n")
            for number, (server, mode) in enumerate(servers):
                file.write(
                    f"[program:s{number}]\ncommand={bench.bound} {mode} {server.path}\nautorestart=true\n"
                    "startsecs=0\nstartretries=1000000\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                )
        return path


def kill_and_reap(manager, *servers):
    """Kills a manager and its servers, and reaps the manager."""
    for process in (manager, *servers):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        os.waitpid(manager, 0)
    except ChildProcessError:
        pass


class Bench:
    def __init__(self, vsrun, bound, directory):
        self.vsrun, self.bound, self.directory = vsrun, bound, directory
        is_installed = lambda rival: shutil.which(rival.command[0]) is not None
        libslack = ["daemon", "--foreground", "--respawn", "--idiot", "--acceptable=1", "--attempts=1000000", "--delay=1"]
        self.rivals = list(filter(is_installed, [
            Rival("bound", "", [bound, "restart"], tests="restart stop forward memory"),
            Rival("bound --init", "", [bound, "init"], tests="init"),
            Rival("vsrun -m", "vsrun", [vsrun, "-m", "-", "-", "--restart-delay", "0", "--"],
                  tests="restart stop forward memory"),
            Rival("vsrun --init", "vsrun", [vsrun, "--init", "--"], tests="init stop forward memory"),
            Rival("tini", "tini", ["tini", "-s", "--"], tests="init stop forward memory"),
            Rival("tini-static", "tini", ["tini-static", "-s", "--"], tests="init stop forward memory"),
            Rival("dumb-init", "dumb-init", ["dumb-init", "--"], tests="init stop forward memory"),
            Rival("catatonit (static)", "catatonit", ["catatonit", "--"], tests="init stop forward memory"),
            Rival("runsv", "runit", ["runsv"], "directory", tests="restart stop memory"),
            Rival("s6-supervise", "s6", ["s6-supervise"], "directory", tests="restart stop memory"),
            Rival("supervise", "daemontools", ["supervise"], "directory", tests="restart memory"),
            Rival("daemon", "daemon", libslack + ["--"], tests="restart stop memory"),
            Rival("supervisord", "supervisor", ["supervisord", "-c"], "config", tests="restart stop memory"),
        ]))

    def rivals_in(self, test):
        """The programs that take part in a test."""
        return [rival for rival in self.rivals if test in rival.tests.split()]

    # Size.

    def size(self):
        """The size of each program's file in bytes, and which other files it needs."""
        found = {}
        for name, path in [("bound", self.bound), ("vsrun", self.vsrun)] + [(program, program) for program in report.PROGRAMS]:
            path = shutil.which(path)
            if not path:
                continue
            with open(path, "rb") as file:
                magic = file.read(4)
            segments = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True).stdout
            needs = "ld.so, libc" if "INTERP" in segments else "nothing"
            found[name] = (os.stat(path).st_size, needs if magic == b"\x7fELF" else "an interpreter")
        return found

    # The cost of starting a program.

    def launchers(self):
        """Commands that start `bound true` as another user: (name, command)."""
        target = [self.bound, "true"]
        launchers = [
            ("direct", target),
            ("bound", [self.bound, "user", USER] + target),
            ("vsrun -u", [self.vsrun, "-u", f"{USER}:{USER}", "--"] + target),
            ("chpst", ["chpst", "-u", f":{USER}:{USER}"] + target),
            ("setuidgid", ["setuidgid", "nobody"] + target),
            ("s6-applyuidgid", ["s6-applyuidgid", "-u", USER, "-g", USER, "-G", ""] + target),
            ("s6-setuidgid", ["s6-setuidgid", f"{USER}:{USER}"] + target),
            ("setpriv", ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"] + target),
            ("gosu", ["gosu", f"{USER}:{USER}"] + target),
            ("start-stop-daemon", ["start-stop-daemon", "-S", "-q", "-c", f"{USER}:{USER}", "-x", self.bound, "--", "true"]),
            ("busybox start-stop-daemon", ["busybox", "start-stop-daemon", "-S", "-q", "-c", f"{USER}:{USER}", "-x", self.bound, "--", "true"]),
        ]
        return [(name, command) for name, command in launchers if shutil.which(command[0])]

    def entrypoints(self):
        """Commands that run a step and then the server as another user, with a variable in its arguments."""
        target = [self.bound, "true"]
        rivals = [
            ("direct", target),
            ("bound", [self.bound, "before", USER] + target),
            ("vsrun --before", [self.vsrun, "-u", f"{USER}:{USER}", "--before", f"{self.bound} true", "--expand", "--"]
             + target + ["${HOME}"]),
        ]
        tools = {
            "chpst": f"chpst -u :{USER}:{USER}",
            "setpriv": f"setpriv --reuid {USER} --regid {USER} --clear-groups",
            "gosu": f"gosu {USER}:{USER}",
        }
        for tool in filter(shutil.which, tools):
            path = os.path.join(self.directory, f"{tool}.sh")
            # Call the tool by its path, because busybox's shell would run its own setpriv, which has fewer options.
            call = os.path.join(os.path.dirname(shutil.which(tool)), tools[tool])
            with open(path, "w") as file:
                file.write(f'set -e\n{call} {self.bound} true\nexec {call} {self.bound} true "${{HOME}}"\n')
            for shell in filter(shutil.which, ["dash", "busybox"]):
                rivals.append((f"{shell}, {tool}", [shell, "sh", path] if shell == "busybox" else [shell, path]))
        return rivals

    def inits(self):
        """Commands in which an init runs `bound true`: (name, command)."""
        target = [self.bound, "true"]
        return [("direct", target)] + [(rival.name, rival.command + target) for rival in self.rivals_in("init")]

    def launch(self, rivals):
        """Microseconds, page faults and system calls of each command, minus those of `direct`, which has no launcher.

        Page faults are those of all processes, system calls those of the first process.
        """
        times = {name: [] for name, _ in rivals}
        faults = {name: [] for name, _ in rivals}
        for turn in range(rounds(600, 60) + 5):
            for name, command in random.sample(rivals, len(rivals)):
                begin = now_ns()
                _, status, usage = os.wait4(spawn(command), 0)
                took = now_ns() - begin
                assert status == 0, f"{command} exited with {status}"
                if turn >= 5:
                    times[name].append(took / 1000)
                    faults[name].append(usage.ru_minflt)
        direct_us, direct_faults = median(times["direct"]), median(faults["direct"])
        return {
            name: {
                "us": median(times[name]) - direct_us,
                "faults": median(faults[name]) - direct_faults,
                "calls": self.count_calls(command) - self.count_calls(rivals[0][1]),
            }
            for name, command in rivals
            if name != "direct"
        }

    def count_calls(self, command):
        """The number of system calls of the process that is started, including its exec calls."""
        trace = os.path.join(self.directory, "trace")
        subprocess.run(["strace", "-qq", "-o", trace] + command, stdout=NULL, stderr=NULL, check=True)
        with open(trace) as file:
            return sum("(" in line and not line.startswith(("---", "+++")) for line in file)

    # Restarts.

    def restart(self):
        """Microseconds from the kill of a server that has run for over a second to the first instruction of the next one."""
        running = []
        for rival in self.rivals_in("restart"):
            server = Server(self.directory)
            running.append([rival, rival.start(server, self), server, server.first_pid(rival), []])
        slow = set()
        for turn in range(rounds(40, 3)):
            time.sleep(1.2)
            for entry in random.sample(running, len(running)):
                rival, _, server, pid, found = entry
                if rival.name in slow and turn % 10:
                    continue
                begin = now_ns()
                os.kill(pid, signal.SIGKILL)
                record = server.next_record()
                if record is None:
                    slow.add(rival.name)
                    found.append(float("inf"))
                    continue
                entry[3] = record[0]
                found.append((record[1] - begin) / 1000)
                if found[-1] > 100_000:
                    slow.add(rival.name)
                time.sleep(0.003)
        for _, manager, server, pid, _ in running:
            kill_and_reap(manager, pid)
            server.close()
        return {rival.name: median(found) for rival, _, _, _, found in running}

    def crash_loop(self):
        """Microseconds from the exit of a server that fails at once to the first instruction of the next server."""
        found = {rival.name: [] for rival in self.rivals_in("restart")}
        for turn in range(rounds(10, 2)):
            for rival in random.sample(self.rivals_in("restart"), len(found)):
                if turn and (median(found[rival.name]) or float("inf")) > 100_000:
                    continue
                server = Server(self.directory, "crash")
                manager = rival.start(server, self, "fail")
                server.next_record()
                time.sleep(0.3)
                records = server.drain()
                if len(records) < 5:
                    time.sleep(4)
                    records += server.drain()
                kill_and_reap(manager, *[pid for pid, _, _ in records[-1:]])
                server.close()
                # Skip the first runs: caches are cold, and some supervisors treat the first crashes differently.
                runs = records[5:] if len(records) > 20 else records
                found[rival.name] += [(after[1] - before[2]) / 1000 for before, after in zip(runs, runs[1:])]
        return {name: median(values) for name, values in found.items()}

    # Signals.

    def stop(self):
        """Microseconds from TERM to the manager's exit, with a server that TERM kills at once."""
        found = {rival.name: [] for rival in self.rivals_in("stop")}
        slow = set()
        for turn in range(rounds(200, 10)):
            for rival in random.sample(self.rivals_in("stop"), len(found)):
                if rival.name in slow and turn % 40:
                    continue
                server = Server(self.directory)
                manager = rival.start(server, self)
                pid = server.first_pid(rival)
                time.sleep(0.3 if rival.kind == "config" else 0.004)
                begin = now_ns()
                os.kill(manager, signal.SIGTERM)
                exited, deadline = 0, begin + 5_000_000_000
                while not exited and now_ns() < deadline:
                    # waitpid blocks, because polling would use the processor on which all of them run.
                    exited = os.waitpid(manager, 0)[0]
                took = (now_ns() - begin) / 1000
                if took > 20_000:
                    slow.add(rival.name)
                found[rival.name].append(took)
                kill_and_reap(pid) if os.path.exists(f"/proc/{pid}") else None
                server.close()
        return {name: median(values) for name, values in found.items()}

    def forward(self):
        """Microseconds from a signal for the manager to the server's return from sigwaitinfo, minus those of `direct`.

        `direct` is a signal for a server without a manager.
        """
        running = []
        for rival in [Rival("direct", "", [self.bound])] + self.rivals_in("forward"):
            server = Server(self.directory)
            manager = spawn([self.bound, "serve", server.path]) if rival.name == "direct" else rival.start(server, self)
            running.append((rival.name, manager, server, server.first_pid(rival), []))
        time.sleep(0.1)
        for turn in range(rounds(2000, 200) + 20):
            for _, manager, server, _, found in random.sample(running, len(running)):
                begin = now_ns()
                os.kill(manager, signal.SIGUSR1)
                record = server.next_record()
                if turn >= 20:
                    found.append((record[1] - begin) / 1000)
        for _, manager, server, pid, _ in running:
            kill_and_reap(manager, pid)
            server.close()
        direct = median(running[0][4])
        found = {name: median(values) - direct for name, _, _, _, values in running[1:]}
        return {"direct": direct, **found}

    # Managers at rest.

    def start_many(self, rival, count):
        """Starts `count` servers under this manager. Returns the pids of managers and servers, and the Server objects."""
        servers = [Server(self.directory) for _ in range(count)]
        if rival.kind == "config":
            path = rival.configure(servers[0].directory, [(server, "serve") for server in servers], self)
            managers = [spawn(rival.command + [path], servers[0].directory)]
        else:
            managers = [rival.start(server, self) for server in servers]
        pids = [server.first_pid(rival) for server in servers]
        return managers, pids, servers

    def rest(self):
        """The PSS of one manager alone and of each of many, in KiB; and wakeups and descriptors."""
        found = {}
        for rival in self.rivals_in("memory"):
            row = found[rival.name] = {}
            for what, count in [("one", 1), ("many", MANY)]:
                managers, pids, servers = self.start_many(rival, count)
                time.sleep(1)
                row[what] = sum(map(pss, managers)) / count
                if what == "many":
                    row["descriptors"] = len(os.listdir(f"/proc/{managers[-1]}/fd"))
                else:
                    row["woken"] = (managers, pids, servers, switches(managers))
                    continue
                for manager in managers:
                    kill_and_reap(manager)
                for pid, server in zip(pids, servers):
                    kill_and_reap(pid)
                    server.close()
        # The managers of the tests with one are still running: count the wakeups of all of them in the same seconds.
        time.sleep(1)
        before = {name: switches(row["woken"][0]) for name, row in found.items()}
        time.sleep(IDLE_SECONDS)
        for name, row in found.items():
            managers, pids, servers, _ = row["woken"]
            row["woken"] = (switches(managers) - before[name]) * 10 / IDLE_SECONDS
            kill_and_reap(managers[0], *pids)
            servers[0].close()
        return found

    # Logs.

    def writers(self, directory):
        """Programs that write a server's output to files in `directory`.

        Returns (name, command before the server's, command that reads the output from a pipe, file for the output).
        """
        os.mkdir(directory)
        if shutil.which("svlogd"):
            with open(os.path.join(directory, "config"), "w") as file:
                file.write(f"s{ROTATE_SIZE}\nn{KEPT_FILES}\n")
        to_file = os.path.join(directory, "direct")
        writers = [
            ("direct file", [], None, to_file),
            ("cat >file", [], ["cat"], to_file),
            ("vsrun -d", [self.vsrun, "-d", directory, "1", "--"], None, None),
            # With --init, vsrun waits for its rotator before it exits, so the time includes the writing of the files.
            ("vsrun -d --log-size", [self.vsrun, "--init", "-d", directory, "1", "--log-size", str(ROTATE_SIZE), "--log-files", str(KEPT_FILES), "--"], None, None),
            ("s6-log", [], ["s6-log", "-b", f"n{KEPT_FILES}", f"s{ROTATE_SIZE}", directory], None),
            ("multilog", [], ["multilog", f"n{KEPT_FILES}", f"s{ROTATE_SIZE - 1}", directory], None),
            ("svlogd", [], ["svlogd", directory], None),
        ]
        return [writer for writer in writers if not writer[2] or shutil.which(writer[2][0])]

    def time_writes(self, name, size, total):
        """Seconds until this writer has written `total` bytes, in writes of `size` bytes, and has exited."""
        directory = os.path.join(self.directory, "logs")
        _, before, reader, to_file = next(writer for writer in self.writers(directory) if writer[0] == name)
        command = before + [self.bound, "write", str(size), str(total // size)]
        output = os.open(to_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if to_file else os.dup(NULL)
        begin = now_ns()
        if reader:
            read, write = os.pipe()
            log_process = subprocess.Popen(reader, stdin=read, stdout=output, stderr=NULL)
            os.close(read)
            server = spawn(command, output=write)
            os.close(write)
            status = os.waitpid(server, 0)[1] or log_process.wait()
        else:
            status = os.waitpid(spawn(command, output=output), 0)[1]
        took = (now_ns() - begin) / 1e9
        assert status == 0, f"{name}: {status}"
        os.close(output)
        shutil.rmtree(directory)
        return took

    def log(self):
        """MB/s of each writer, for writes of each size."""
        names = [writer[0] for writer in self.writers(os.path.join(self.directory, "logs"))]
        shutil.rmtree(os.path.join(self.directory, "logs"))
        found = {name: {} for name in names}
        for size, total in LOG_WRITES:
            times = {name: [] for name in names}
            for _ in range(rounds(7, 2)):
                for name in random.sample(names, len(names)):
                    times[name].append(self.time_writes(name, size, total))
            for name in names:
                found[name][size] = total / 1e6 / median(times[name])
        return found


def pss(pid):
    """The proportional set size of a process, in KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def switches(pids):
    """The number of context switches of these processes."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status") as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def main():
    vsrun, bound, directory, documents = sys.argv[1:]
    if os.geteuid() != 0:
        sys.exit("bench: root is needed, to start servers as another user")
    loads = [os.getloadavg()[0]]
    # Use the last processor, because on a small machine the first one handles most interrupts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Set the highest priority, which the measured programs inherit.
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # Each exec copies the environment to the new stack. With only these variables, its size is similar on all machines.
    for name in set(os.environ) - {"PATH", "HOME"}:
        del os.environ[name]
    begin = time.monotonic()
    results = {}
    bench = Bench(vsrun, bound, directory)
    for name, what in [
        ("size", bench.size),
        ("exec", lambda: bench.launch(bench.launchers())),
        ("init", lambda: bench.launch(bench.inits())),
        ("entrypoint", lambda: bench.launch(bench.entrypoints())),
        ("forward", bench.forward),
        ("stop", bench.stop),
        ("crash", bench.crash_loop),
        ("restart", bench.restart),
        ("rest", bench.rest),
        ("log", bench.log),
        ("boot", lambda: boot.measure(vsrun, bound, directory, rounds(5, 1))),
    ]:
        started = time.monotonic()
        results[name] = what()
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    loads.append(os.getloadavg()[0])
    version = subprocess.run([vsrun, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    results["run"] = {
        "loads": loads, "seconds": time.monotonic() - begin, "quick": QUICK, "many": MANY, "version": version,
    }
    packages = sorted({rival.package for rival in bench.rivals} - {"", "vsrun"} | set(report.PACKAGES))
    report.write(results, packages, documents)


if __name__ == "__main__":
    main()
