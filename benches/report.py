"""The figures of bench.py as `bench.md` and `bench.svg`: tables and the goals; chart.py draws the pictures."""

import os
import platform
import subprocess
import time

import boot
import chart

# The programs whose size is reported.
PROGRAMS = [
    "tini", "tini-static", "dumb-init", "catatonit", "runsv", "chpst", "svlogd", "s6-supervise", "s6-setuidgid", "s6-log",
    "supervise", "setuidgid", "multilog", "daemon", "start-stop-daemon", "setpriv", "gosu", "busybox", "dash",
]
PACKAGES = [
    "tini", "dumb-init", "catatonit", "runit", "s6", "daemontools", "daemon", "dpkg", "util-linux", "gosu",
    "busybox-static", "supervisor", "coreutils", "musl-tools", "dash",
]
# The programs that vsrun takes the place of as a container's init.
INITS = ["tini", "tini-static", "dumb-init", "catatonit (static)"]
KIB = 1024
BUSY = (
    "**The machine was busy with other work.** What is counted (bytes, memory, page faults, system calls, wakeups) holds\n"
    "all the same; times, throughput and the goals about them say little here, and want a run on a quiet machine.\n"
)
LARGE, SMALL = 65536, 100


def number(value, unit=""):
    if value is None or value == float("inf"):
        return "-"
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"
    return text + unit


def table(head, rows):
    """Markdown: the first column is words, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        row = [f"**{row[0]}**" if row[0].startswith("vsrun") else row[0], *row[1:]]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines) + "\n"


def times(value, other):
    return f"{value / other:.2f} ×"


def least(figures, names):
    """The best of the peers: its name and figure."""
    known = [(figures[name], name) for name in names if name in figures and figures[name] is not None]
    return min(known) if known else (float("inf"), "none")


def peers(figures):
    return [name for name in figures if not name.startswith(("vsrun", "bound", "direct", "cat"))]


def goals(results):
    """What was to be reached: (goal, what was found, whether it was met)."""
    size, execs, inits, rest = results["size"], results["exec"], results["init"], results["rest"]
    forward, stop, log = results["forward"], results["stop"], results["log"]
    found = []

    def goal(words, figure, met):
        found.append((words, figure, "met" if met else "**not met**"))

    own = size["vsrun"][0]
    goal("the small binary: ≤ 160 KiB", number(own / KIB, " KiB") + f" ({own} bytes)", own <= 160 * KIB)
    own, bound = execs["vsrun -u"]["us"], execs["bound"]["us"]
    goal("exec with `-u`: ≤ 1.5 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.5 * bound)
    own, other = inits["vsrun --init"]["us"], inits["catatonit (static)"]["us"]
    goal("the same, `--init`: ≤ catatonit (static)", f"{number(own)} µs, {times(own, other)}", own <= other)
    own, bound = results["entrypoint"]["vsrun --before"]["us"], results["entrypoint"]["bound"]["us"]
    figures = {name: row["us"] for name, row in results["entrypoint"].items()}
    best, name = least(figures, peers(figures))
    goal("a step and the server as a user (`--before`, `--expand`): no slower than a script",
         f"{number(own)} µs; {name} {number(best)}", own <= best)
    for name in ["vsrun -m", "vsrun --init"]:
        own = rest[name]["many"]
        goal(f"memory, each of {results['run']['many']} idle managers (`{name[6:]}`): ≤ 17 KiB", number(own, " KiB"), own <= 17)
    for what, words in [("restart", "restart, server up over a second"), ("crash", "restart in a crash loop")]:
        figures = results[what]
        own, bound, (best, name) = figures["vsrun -m"], figures["bound"], least(figures, peers(figures))
        goal(f"{words}: ≤ 1.35 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.35 * bound)
        goal(f"{words}: ahead of every peer", f"{number(own)} µs; {name} {number(best)}", own <= best)
    for name in ["vsrun -m", "vsrun --init"]:
        own, bound, tini = stop[name], stop["bound"], min(stop["tini"], stop["tini-static"])
        goal(f"stop (`{name[6:]}`): ≤ 1.25 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.25 * bound)
        goal(f"stop (`{name[6:]}`): ≤ 1.2 × tini", f"{number(own)} µs, {times(own, tini)}", own <= 1.2 * tini)
    for name in ["vsrun -m", "vsrun --init"]:
        own, direct = forward[name], forward["direct"]
        other = forward["catatonit (static)"]
        goal(f"a signal passed on (`{name[6:]}`), over a direct kill: ≤ 12 µs", number(own, " µs"), own <= 12)
        both = own + direct, other + direct
        goal(f"a signal passed on (`{name[6:]}`), from kill to server: ≤ 1.2 × catatonit (static)",
             f"{number(both[0])} µs, {times(*both)}", both[0] <= 1.2 * both[1])
    own, direct, (best, name) = forward["vsrun --init"], forward["direct"], least(forward, INITS)
    goal("a signal passed on (`--init`), from kill to server: no later than through tini, dumb-init or catatonit",
         f"{number(own + direct)} µs; {name} {number(best + direct)}", own <= best)
    own, file, cat = log["vsrun -d"][LARGE], log["direct file"][LARGE], log["cat >file"][LARGE]
    goal("log, plain `-d`: ≥ 0.97 × a direct file", f"{number(own)} MB/s, {times(own, file)}", own >= 0.97 * file)
    rotating = ["s6-log", "multilog", "svlogd"]
    own, best = log["vsrun -d --log-size"][LARGE], max(log[name][LARGE] for name in rotating)
    goal("log, `--log-size`, 64 KiB writes: ≥ `cat >file`", f"{number(own)} MB/s, {times(own, cat)}", own >= cat)
    goal("log, `--log-size`, 64 KiB writes: ≥ 5 × the best rotating peer", times(own, best), own >= 5 * best)
    own, cat = log["vsrun -d --log-size"][SMALL], log["cat >file"][SMALL]
    goal("log, `--log-size`, 100 byte writes: ≥ 1.5 × `cat >file`", f"{number(own)} MB/s, {times(own, cat)}", own >= 1.5 * cat)
    for name in ["vsrun -m", "vsrun --init"]:
        own = rest[name]["woken"]
        goal(f"wakeups in 10 idle seconds (`{name[6:]}`): 0", number(own), own == 0)
    return found


def machine():
    """The machine's kind, for readers who compare."""
    with open("/proc/cpuinfo") as file:
        text = file.read()
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "unknown")
    virtual = "a virtual machine" if " hypervisor" in text else "no virtual machine"
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / KIB / KIB
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    kernel = ".".join(platform.release().split(".")[:2])
    system = f"Linux {kernel}, {release}, {platform.machine()}"
    return f"{model}, {os.cpu_count()} processors, {virtual}, {memory:.0f} GiB; {system}"


def versions(packages):
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *packages], capture_output=True, text=True)
    return ", ".join(found.stdout.split("\n")[:-1])


def document(results, packages):
    run, many = results["run"], results["run"]["many"]
    out = ["# What vsrun costs, beside its peers\n"]
    out.append(
        "`make bench` has written this: all programs in one run, in turn within each round, on one processor; times are\n"
        "medians. Compare within this page, not between machines. The peers are Debian's packages as they come. *Bound* is\n"
        "[benches/bound.c](../benches/bound.c): a static program over musl that makes the system calls the job needs and\n"
        "nothing else, without a check or a message. Servers are the same program: they stamp their first instruction.\n"
    )
    if run["quick"]:
        out.append("**Made with QUICK=1: the figures are there to try the command, not to be believed.**\n")
    if max(run["loads"]) > 2:
        out.append(BUSY)
    loads = " and ".join(f"{load:.1f}" for load in run["loads"])
    out.append(
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {number(run['seconds'])} s; load average before and after: {loads}\n"
        f"- {machine()}\n- {run['version']}, {versions(packages)}\n"
    )
    out.append("![the figures as bars](bench.svg)\n")
    out.append("## Goals\n\n" + table(["goal", "found", ""], goals(results)))
    out.append("## Size\n\nBytes of the program's file, and what it needs besides.\n\n" + table(
        ["program", "bytes", "needs"], [(name, f"{size:,}", needs) for name, (size, needs) in results["size"].items()]))
    launches = ["program", "µs", "× bound", "page faults", "system calls"]
    for what, words in [
        ("exec", "## Launch as another user\n\n`vsrun -u 65534:65534 -- true` and the like, over `true` itself (static). The "
                 "system calls are those up to\n`true`'s own; over 60 of vsrun's are rt_sigaction, for clean signals.\n"),
        ("entrypoint", "## A step and then the server, as another user\n\n`vsrun -u 65534:65534 --before STEP --expand -- SERVER "
                       "'${HOME}'` and a script of two lines: TOOL STEP, and\nexec TOOL SERVER \"${HOME}\". STEP and "
                       "SERVER are `true` (static), and the figures are those over one `true` itself. Page\nfaults are "
                       "those of all processes of a start; system calls are those of the first process alone. Debian has no su-exec,\n"
                       "of which chpst has the size and the kind.\n"),
        ("init", "## Launch with a parent that stays\n\n`vsrun --init -- true` and the like, from start to the parent's end, over "
                 "`true` itself. The system calls are the\nparent's.\n"),
    ]:
        figures = results[what]
        bound = next(iter(figures.values()))["us"]
        out.append(words + "\n" + table(launches, [
            (name, number(row["us"]), f"{row['us'] / bound:.2f}", number(row["faults"]), row["calls"])
            for name, row in figures.items()]))
    out.append(
        "## Restart\n\nMicroseconds. *Up*: from SIGKILL of a server that has run for over a second to the first instruction of the\n"
        "next. *Crash loop*: from the last instruction of a server that fails at once to the first of the next; `vsrun` with\n"
        "`--restart-delay 0`. Most peers wait a second by design.\n\n" + table(
            ["manager", "up", "crash loop"],
            [(name, number(value), number(results["crash"].get(name))) for name, value in results["restart"].items()]))
    direct = results["forward"]["direct"]
    names = list(dict.fromkeys([*results["stop"], *results["forward"]]))
    names.remove("direct")
    out.append(
        "## Signals\n\nMicroseconds. *Stop*: from TERM for the manager to its end, with a server that dies of TERM at once. *Passed on*:\n"
        f"from USR1 for the manager to its server's waking, over a direct kill ({number(direct)} µs). `vsrun -m`\n"
        "records each signal, which is in its figure; `vsrun --init` and the other inits record none.\n\n" + table(
            ["manager", "stop", "passed on, over a direct kill"],
            [(name, number(results["stop"].get(name)), number(results["forward"].get(name))) for name in names]))
    out.append(
        f"## At rest\n\nKiB of the proportional set size (PSS): of one manager alone, and of each of {many} of its kind (`supervisord`: one\n"
        "process for all). Wakeups are its switches of context, in 10 s.\n\n" + table(
            ["manager", "one", f"each of {many}", "wakeups", "descriptors"],
            [(name, number(row["one"]), number(row["many"]), number(row["woken"]), row["descriptors"])
             for name, row in results["rest"].items()]))
    out.append(
        "## Logs\n\nMB/s from a server that writes as fast as it can to files in memory, until all of it has been written. `direct file`\n"
        "has no program between. Those that rotate do at 16 MiB and keep 4 files.\n\n" + table(
            ["writer", "64 KiB writes", "100 byte writes"],
            [(name, number(row[LARGE]), number(row[SMALL])) for name, row in results["log"].items()]))
    if results["boot"]:
        out.append(boot.section(results["boot"]))
    return "\n".join(out)


def write(results, packages, directory):
    """Writes the page, and the pictures of it."""
    with open(os.path.join(directory, "bench.md"), "w", encoding="utf-8") as file:
        file.write(document(results, packages))
    chart.draw(directory)
    for words, figure, met in goals(results):
        print(f"{met.strip('*'):8} {words}: {figure}")
