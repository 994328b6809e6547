"""What vsrun costs beside its peers: `python3 bench.py VSRUN BOUND PLACE DOCUMENTS`, as root; `make bench` calls it.

Everything runs on one processor, the rivals in turn within each round, so that what disturbs the machine disturbs all
of them. Times are medians. The servers (bound.c) say by CLOCK_MONOTONIC when they began, so that this program's own
slowness is in none of the figures but those of `exec` and `stop`, where it is in all of them alike.
QUICK=1 makes a fraction of the rounds: to try the command, not to believe the figures.
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
# Bytes per second are counted for as many bytes as this, in writes of two sizes.
POURED = [(65536, 64 << 20 if QUICK else 512 << 20), (100, 8 << 20 if QUICK else 64 << 20)]
ROTATE = 16 << 20
KEPT = 4
MANY = 20 if QUICK else 200
IDLE_SECONDS = 3 if QUICK else 10
CLOCK = time.monotonic_ns


def rounds(full, quick):
    return quick if QUICK else full


def spawn(words, directory=None, output=NULL):
    """A process with nothing on its standard descriptors, which hears what a shell's children hear."""
    if directory:
        return subprocess.Popen(words, cwd=directory, stdin=NULL, stdout=output, stderr=NULL).pid
    actions = [(os.POSIX_SPAWN_DUP2, NULL, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, NULL, 2)]
    return os.posix_spawnp(words[0], words, os.environ, file_actions=actions, setsigdef=range(1, 32))


def median(values):
    return statistics.median(values) if values else None


class Server:
    """A fifo into which a server writes its records."""

    def __init__(self, place, name="fifo"):
        self.place = tempfile.mkdtemp(dir=place)
        self.path = os.path.join(self.place, name)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def first(self, rival):
        """The pid of the first server, which must come."""
        record = self.await_one(60)
        assert record, f"{rival.name} starts no server"
        return record[0]

    def await_one(self, patience=15):
        """The next record: pid, start, now. None where there is none in time."""
        if not select.select([self.fd], [], [], patience)[0]:
            return None
        return RECORD.unpack(os.read(self.fd, RECORD.size))

    def drain(self):
        """All records that are there."""
        records = []
        while select.select([self.fd], [], [], 0)[0]:
            records += RECORD.iter_unpack(os.read(self.fd, RECORD.size * 2000))
        return records

    def close(self):
        os.close(self.fd)
        shutil.rmtree(self.place, ignore_errors=True)


class Rival:
    """A program that stays with a server: how to start it, and with what it comes."""

    def __init__(self, name, package, words, kind="words", jobs=""):
        self.name, self.package, self.words, self.kind, self.jobs = name, package, words, kind, jobs

    def start(self, server, bench, mode="serve"):
        """Starts it with a server that writes to `server`; returns its pid."""
        if self.kind == "directory":
            shutil.copy2(bench.bound, os.path.join(server.place, "run"))
            return spawn(self.words + ["."], server.place)
        if self.kind == "config":
            return spawn(self.words + [self.configure(server.place, [(server, mode)], bench)], server.place)
        return spawn(self.words + [bench.bound, mode, server.path])

    @staticmethod
    def configure(place, servers, bench):
        path = os.path.join(place, "conf")
        with open(path, "w") as file:
            file.write(f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={place}/pid\n")
            for number, (server, mode) in enumerate(servers):
                file.write(
                    f"[program:s{number}]\ncommand={bench.bound} {mode} {server.path}\nautorestart=true\n"
                    "startsecs=0\nstartretries=1000000\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                )
        return path


def end(pid, *others):
    """Ends a manager and its servers for good, and takes its status."""
    for one in (pid, *others):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


class Bench:
    def __init__(self, vsrun, bound, place):
        self.vsrun, self.bound, self.place = vsrun, bound, place
        here = lambda rival: shutil.which(rival.words[0]) is not None
        libslack = ["daemon", "--foreground", "--respawn", "--idiot", "--acceptable=1", "--attempts=1000000", "--delay=1"]
        self.rivals = list(filter(here, [
            Rival("bound", "", [bound, "keep"], jobs="restart stop forward memory"),
            Rival("bound --init", "", [bound, "init"], jobs="init"),
            Rival("vsrun -m", "vsrun", [vsrun, "-m", "-", "-", "--restart-delay", "0", "--"],
                  jobs="restart stop forward memory"),
            Rival("vsrun --init", "vsrun", [vsrun, "--init", "--"], jobs="init stop forward memory"),
            Rival("tini", "tini", ["tini", "-s", "--"], jobs="init stop forward memory"),
            Rival("tini-static", "tini", ["tini-static", "-s", "--"], jobs="init stop forward memory"),
            Rival("dumb-init", "dumb-init", ["dumb-init", "--"], jobs="init stop forward memory"),
            Rival("catatonit (static)", "catatonit", ["catatonit", "--"], jobs="init stop forward memory"),
            Rival("runsv", "runit", ["runsv"], "directory", jobs="restart stop memory"),
            Rival("s6-supervise", "s6", ["s6-supervise"], "directory", jobs="restart stop memory"),
            Rival("supervise", "daemontools", ["supervise"], "directory", jobs="restart memory"),
            Rival("daemon", "daemon", libslack + ["--"], jobs="restart stop memory"),
            Rival("supervisord", "supervisor", ["supervisord", "-c"], "config", jobs="restart stop memory"),
        ]))

    def of(self, job):
        return [rival for rival in self.rivals if job in rival.jobs.split()]

    # Size.

    def size(self):
        """Bytes of each program's file, and whether it needs other files."""
        found = {}
        for name, path in [("bound", self.bound), ("vsrun", self.vsrun)] + [(n, n) for n in report.PROGRAMS]:
            path = shutil.which(path)
            if not path:
                continue
            with open(path, "rb") as file:
                head = file.read(4)
            linked = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True).stdout
            needs = "ld.so, libc" if "INTERP" in linked else "nothing"
            found[name] = (os.stat(path).st_size, needs if head == b"\x7fELF" else "an interpreter")
        return found

    # What a launch costs.

    def launchers(self):
        end = [self.bound, "true"]
        noop = [
            ("direct", end),
            ("bound", [self.bound, "user", USER] + end),
            ("vsrun -u", [self.vsrun, "-u", f"{USER}:{USER}", "--"] + end),
            ("chpst", ["chpst", "-u", f":{USER}:{USER}"] + end),
            ("setuidgid", ["setuidgid", "nobody"] + end),
            ("s6-applyuidgid", ["s6-applyuidgid", "-u", USER, "-g", USER, "-G", ""] + end),
            ("s6-setuidgid", ["s6-setuidgid", f"{USER}:{USER}"] + end),
            ("setpriv", ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"] + end),
            ("gosu", ["gosu", f"{USER}:{USER}"] + end),
            ("start-stop-daemon", ["start-stop-daemon", "-S", "-q", "-c", f"{USER}:{USER}", "-x", self.bound, "--", "true"]),
            ("busybox start-stop-daemon", ["busybox", "start-stop-daemon", "-S", "-q", "-c", f"{USER}:{USER}", "-x", self.bound, "--", "true"]),
        ]
        return [(name, words) for name, words in noop if shutil.which(words[0])]

    def entrypoints(self):
        """A step as the user and then the server as the user, with a variable in its words: vsrun, and shell scripts."""
        end = [self.bound, "true"]
        rivals = [
            ("direct", end),
            ("bound", [self.bound, "before", USER] + end),
            ("vsrun --before", [self.vsrun, "-u", f"{USER}:{USER}", "--before", f"{self.bound} true", "--expand", "--"]
             + end + ["${HOME}"]),
        ]
        tools = {
            "chpst": f"chpst -u :{USER}:{USER}",
            "setpriv": f"setpriv --reuid {USER} --regid {USER} --clear-groups",
            "gosu": f"gosu {USER}:{USER}",
        }
        for tool in filter(shutil.which, tools):
            path = os.path.join(self.place, f"{tool}.sh")
            # By its path: busybox has a setpriv of its own, which knows less.
            call = os.path.join(os.path.dirname(shutil.which(tool)), tools[tool])
            with open(path, "w") as file:
                file.write(f'set -e\n{call} {self.bound} true\nexec {call} {self.bound} true "${{HOME}}"\n')
            for shell in filter(shutil.which, ["dash", "busybox"]):
                rivals.append((f"{shell}, {tool}", [shell, "sh", path] if shell == "busybox" else [shell, path]))
        return rivals

    def inits(self):
        end = [self.bound, "true"]
        return [("direct", end)] + [(rival.name, rival.words + end) for rival in self.of("init")]

    def launch(self, rivals):
        """Microseconds and page faults over those of COMMAND itself, and system calls of the one that is started."""
        times = {name: [] for name, _ in rivals}
        faults = {name: [] for name, _ in rivals}
        for turn in range(rounds(600, 60) + 5):
            for name, words in random.sample(rivals, len(rivals)):
                begin = CLOCK()
                _, status, usage = os.wait4(spawn(words), 0)
                took = CLOCK() - begin
                assert status == 0, f"{words} ended with {status}"
                if turn >= 5:
                    times[name].append(took / 1000)
                    faults[name].append(usage.ru_minflt)
        base, few = median(times["direct"]), median(faults["direct"])
        return {
            name: {
                "us": median(times[name]) - base,
                "faults": median(faults[name]) - few,
                "calls": self.count_calls(words) - self.count_calls(rivals[0][1]),
            }
            for name, words in rivals
            if name != "direct"
        }

    def count_calls(self, words):
        """System calls of this process, the execs it makes among them."""
        trace = os.path.join(self.place, "trace")
        subprocess.run(["strace", "-qq", "-o", trace] + words, stdout=NULL, stderr=NULL, check=True)
        with open(trace) as file:
            return sum("(" in line and not line.startswith(("---", "+++")) for line in file)

    # Restarts.

    def restart(self):
        """Microseconds from the kill of a server that has run for over a second to the first instruction of the next."""
        running = []
        for rival in self.of("restart"):
            server = Server(self.place)
            running.append([rival, rival.start(server, self), server, server.first(rival), []])
        slow = set()
        for turn in range(rounds(40, 3)):
            time.sleep(1.2)
            for one in random.sample(running, len(running)):
                rival, _, server, pid, found = one
                if rival.name in slow and turn % 10:
                    continue
                begin = CLOCK()
                os.kill(pid, signal.SIGKILL)
                record = server.await_one()
                if record is None:
                    slow.add(rival.name)
                    found.append(float("inf"))
                    continue
                one[3] = record[0]
                found.append((record[1] - begin) / 1000)
                if found[-1] > 100_000:
                    slow.add(rival.name)
                time.sleep(0.003)
        for _, manager, server, pid, _ in running:
            end(manager, pid)
            server.close()
        return {rival.name: median(found) for rival, _, _, _, found in running}

    def crash_loop(self):
        """Microseconds from the end of a server that fails at once to the first instruction of the next."""
        found = {rival.name: [] for rival in self.of("restart")}
        for turn in range(rounds(10, 2)):
            for rival in random.sample(self.of("restart"), len(found)):
                if turn and (median(found[rival.name]) or float("inf")) > 100_000:
                    continue
                server = Server(self.place, "crash")
                manager = rival.start(server, self, "die")
                server.await_one()
                time.sleep(0.3)
                records = server.drain()
                if len(records) < 5:
                    time.sleep(4)
                    records += server.drain()
                end(manager, *[pid for pid, _, _ in records[-1:]])
                server.close()
                # The first lives find cold caches, and supervisors that count them.
                lives = records[5:] if len(records) > 20 else records
                found[rival.name] += [(after[1] - one[2]) / 1000 for one, after in zip(lives, lives[1:])]
        return {name: median(values) for name, values in found.items()}

    # Signals.

    def stop(self):
        """Microseconds from TERM to the manager's end, with a server that dies of it at once."""
        found = {rival.name: [] for rival in self.of("stop")}
        slow = set()
        for turn in range(rounds(200, 10)):
            for rival in random.sample(self.of("stop"), len(found)):
                if rival.name in slow and turn % 40:
                    continue
                server = Server(self.place)
                manager = rival.start(server, self)
                pid = server.first(rival)
                time.sleep(0.3 if rival.kind == "config" else 0.004)
                begin = CLOCK()
                os.kill(manager, signal.SIGTERM)
                ended, patience = 0, begin + 5_000_000_000
                while not ended and CLOCK() < patience:
                    # Blocks where it can: polling would take the processor from them.
                    ended = os.waitpid(manager, 0)[0]
                took = (CLOCK() - begin) / 1000
                if took > 20_000:
                    slow.add(rival.name)
                found[rival.name].append(took)
                end(pid) if os.path.exists(f"/proc/{pid}") else None
                server.close()
        return {name: median(values) for name, values in found.items()}

    def forward(self):
        """Microseconds from a signal for the manager to its server's waking, and the same without a manager."""
        running = []
        for rival in [Rival("direct", "", [self.bound])] + self.of("forward"):
            server = Server(self.place)
            manager = spawn([self.bound, "serve", server.path]) if rival.name == "direct" else rival.start(server, self)
            running.append((rival.name, manager, server, server.first(rival), []))
        time.sleep(0.1)
        for turn in range(rounds(2000, 200) + 20):
            for _, manager, server, _, found in random.sample(running, len(running)):
                begin = CLOCK()
                os.kill(manager, signal.SIGUSR1)
                record = server.await_one()
                if turn >= 20:
                    found.append((record[1] - begin) / 1000)
        for _, manager, server, pid, _ in running:
            end(manager, pid)
            server.close()
        direct = median(running[0][4])
        found = {name: median(values) - direct for name, _, _, _, values in running[1:]}
        return {"direct": direct, **found}

    # Managers at rest.

    def start_many(self, rival, count):
        """`count` servers under this kind of manager: the managers' pids, the servers' and what they tell."""
        servers = [Server(self.place) for _ in range(count)]
        if rival.kind == "config":
            path = rival.configure(servers[0].place, [(server, "serve") for server in servers], self)
            managers = [spawn(rival.words + [path], servers[0].place)]
        else:
            managers = [rival.start(server, self) for server in servers]
        pids = [server.first(rival) for server in servers]
        return managers, pids, servers

    def rest(self):
        """KiB of one manager alone and of each of many, the pages that they share divided; and wakeups."""
        found = {}
        for rival in self.of("memory"):
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
                    end(manager)
                for pid, server in zip(pids, servers):
                    end(pid)
                    server.close()
        # The single ones have been left running: all of them are watched over the same seconds.
        time.sleep(1)
        before = {name: switches(row["woken"][0]) for name, row in found.items()}
        time.sleep(IDLE_SECONDS)
        for name, row in found.items():
            managers, pids, servers, _ = row["woken"]
            row["woken"] = (switches(managers) - before[name]) * 10 / IDLE_SECONDS
            end(managers[0], *pids)
            servers[0].close()
        return found

    # Logs.

    def writers(self, directory):
        """The programs that write a server's output to files in `directory`: (name, words before the server's, words of a reader)."""
        os.mkdir(directory)
        if shutil.which("svlogd"):
            with open(os.path.join(directory, "config"), "w") as file:
                file.write(f"s{ROTATE}\nn{KEPT}\n")
        to_file = os.path.join(directory, "direct")
        everything = [
            ("direct file", [], None, to_file),
            ("cat >file", [], ["cat"], to_file),
            ("vsrun -d", [self.vsrun, "-d", directory, "1", "--"], None, None),
            # With --init it waits for its writer, and so do we.
            ("vsrun -d --log-size", [self.vsrun, "--init", "-d", directory, "1", "--log-size", str(ROTATE), "--log-files", str(KEPT), "--"], None, None),
            ("s6-log", [], ["s6-log", "-b", f"n{KEPT}", f"s{ROTATE}", directory], None),
            ("multilog", [], ["multilog", f"n{KEPT}", f"s{ROTATE - 1}", directory], None),
            ("svlogd", [], ["svlogd", directory], None),
        ]
        return [one for one in everything if not one[2] or shutil.which(one[2][0])]

    def pour(self, name, size, total):
        """Seconds until these bytes have been written, and the process that writes them has exited."""
        directory = os.path.join(self.place, "logs")
        _, before, reader, to_file = next(one for one in self.writers(directory) if one[0] == name)
        words = before + [self.bound, "pour", str(size), str(total // size)]
        output = os.open(to_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if to_file else os.dup(NULL)
        begin = CLOCK()
        if reader:
            read, write = os.pipe()
            one = subprocess.Popen(reader, stdin=read, stdout=output, stderr=NULL)
            os.close(read)
            other = spawn(words, output=write)
            os.close(write)
            status = os.waitpid(other, 0)[1] or one.wait()
        else:
            status = os.waitpid(spawn(words, output=output), 0)[1]
        took = (CLOCK() - begin) / 1e9
        assert status == 0, f"{name}: {status}"
        os.close(output)
        shutil.rmtree(directory)
        return took

    def log(self):
        """MB/s of each writer, for writes of each size."""
        names = [one[0] for one in self.writers(os.path.join(self.place, "logs"))]
        shutil.rmtree(os.path.join(self.place, "logs"))
        found = {name: {} for name in names}
        for size, total in POURED:
            times = {name: [] for name in names}
            for _ in range(rounds(7, 2)):
                for name in random.sample(names, len(names)):
                    times[name].append(self.pour(name, size, total))
            for name in names:
                found[name][size] = total / 1e6 / median(times[name])
        return found


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def switches(pids):
    """How often these processes have got the processor."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status") as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def main():
    vsrun, bound, place, documents = sys.argv[1:]
    if os.geteuid() != 0:
        sys.exit("make bench: root is needed, to start servers as another user")
    loads = [os.getloadavg()[0]]
    # The last one: the first gets most of a small machine's interrupts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Before all else that runs here, as far as the machine lets us: what we start inherits it.
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # The caller's environment is copied at each exec and lies on each stack: with a few words all machines measure the
    # same.
    for name in set(os.environ) - {"PATH", "HOME"}:
        del os.environ[name]
    begin = time.monotonic()
    results = {}
    bench = Bench(vsrun, bound, place)
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
        ("boot", lambda: boot.measure(vsrun, bound, place, rounds(5, 1))),
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
