"""Writes the results of bench.py as `bench.md`: goals and tables. chart.py draws the pictures from it."""

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
# The init programs for containers that vsrun can replace.
INITS = ["tini", "tini-static", "dumb-init", "catatonit (static)"]
KIB = 1024
BUSY = (
    "**The machine was busy with other work.** Counts (bytes, memory, page faults, system calls, wakeups) are still right.\n"
    "Times, throughput and the goals about them are not reliable: repeat the run on an idle machine.\n"
)
# The sizes of one write in the log tests, in bytes.
LARGE, SMALL = 65536, 100


def number(value, unit=""):
    if value is None or value == float("inf"):
        return "-"
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"
    return text + unit


def table(head, rows):
    """A table in Markdown: text in the first column, figures in the others."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        row = [f"**{row[0]}**" if row[0].startswith("vsrun") else row[0], *row[1:]]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines) + "\n"


def times(value, other):
    return f"{value / other:.2f} ×"


def least(figures, names):
    """The smallest figure of these programs, and the program's name."""
    known = [(figures[name], name) for name in names if name in figures and figures[name] is not None]
    return min(known) if known else (float("inf"), "none")


def peers(figures):
    """The names of the programs that vsrun is compared with."""
    return [name for name in figures if not name.startswith(("vsrun", "bound", "direct", "cat"))]


def goals(results):
    """The goals for vsrun: (goal, measured figure, whether it is met)."""
    size, execs, inits, rest = results["size"], results["exec"], results["init"], results["rest"]
    forward, stop, log = results["forward"], results["stop"], results["log"]
    rows = []

    def goal(title, figure, met):
        rows.append((title, figure, "met" if met else "**not met**"))

    own = size["vsrun"][0]
    goal("the small binary: ≤ 160 KiB", number(own / KIB, " KiB") + f" ({own} bytes)", own <= 160 * KIB)
    own, bound = execs["vsrun -u"]["us"], execs["bound"]["us"]
    goal("launch with `-u`: ≤ 1.5 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.5 * bound)
    own, other = inits["vsrun --init"]["us"], inits["catatonit (static)"]["us"]
    goal("launch with `--init`: ≤ catatonit (static)", f"{number(own)} µs, {times(own, other)}", own <= other)
    own, bound = results["entrypoint"]["vsrun --before"]["us"], results["entrypoint"]["bound"]["us"]
    figures = {name: row["us"] for name, row in results["entrypoint"].items()}
    best, name = least(figures, peers(figures))
    goal("a step and the server as a user (`--before`, `--expand`): no slower than a script",
         f"{number(own)} µs; {name} {number(best)}", own <= best)
    for name in ["vsrun -m", "vsrun --init"]:
        own = rest[name]["many"]
        goal(f"memory, each of {results['run']['many']} idle managers (`{name[6:]}`): ≤ 17 KiB", number(own, " KiB"), own <= 17)
    for test, title in [("restart", "restart, server up over a second"), ("crash", "restart in a crash loop")]:
        figures = results[test]
        own, bound, (best, name) = figures["vsrun -m"], figures["bound"], least(figures, peers(figures))
        goal(f"{title}: ≤ 1.35 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.35 * bound)
        goal(f"{title}: faster than all other programs", f"{number(own)} µs; {name} {number(best)}", own <= best)
    for name in ["vsrun -m", "vsrun --init"]:
        own, bound, tini = stop[name], stop["bound"], min(stop["tini"], stop["tini-static"])
        goal(f"stop (`{name[6:]}`): ≤ 1.25 × the bound", f"{number(own)} µs, {times(own, bound)}", own <= 1.25 * bound)
        goal(f"stop (`{name[6:]}`): ≤ 1.2 × tini", f"{number(own)} µs, {times(own, tini)}", own <= 1.2 * tini)
    for name in ["vsrun -m", "vsrun --init"]:
        own, direct = forward[name], forward["direct"]
        other = forward["catatonit (static)"]
        goal(f"forwarded signal (`{name[6:]}`), minus a direct kill: ≤ 12 µs", number(own, " µs"), own <= 12)
        both = own + direct, other + direct
        goal(f"forwarded signal (`{name[6:]}`), from kill to server: ≤ 1.2 × catatonit (static)",
             f"{number(both[0])} µs, {times(*both)}", both[0] <= 1.2 * both[1])
    own, direct, (best, name) = forward["vsrun --init"], forward["direct"], least(forward, INITS)
    goal("forwarded signal (`--init`), from kill to server: no slower than tini, dumb-init and catatonit",
         f"{number(own + direct)} µs; {name} {number(best + direct)}", own <= best)
    own, file, cat = log["vsrun -d"][LARGE], log["direct file"][LARGE], log["cat >file"][LARGE]
    goal("log, plain `-d`: ≥ 0.97 × a direct file", f"{number(own)} MB/s, {times(own, file)}", own >= 0.97 * file)
    rotating = ["s6-log", "multilog", "svlogd"]
    own, best = log["vsrun -d --log-size"][LARGE], max(log[name][LARGE] for name in rotating)
    goal("log, `--log-size`, 64 KiB writes: ≥ `cat >file`", f"{number(own)} MB/s, {times(own, cat)}", own >= cat)
    goal("log, `--log-size`, 64 KiB writes: ≥ 5 × the fastest other program that rotates", times(own, best), own >= 5 * best)
    own, cat = log["vsrun -d --log-size"][SMALL], log["cat >file"][SMALL]
    goal("log, `--log-size`, 100 byte writes: ≥ 1.5 × `cat >file`", f"{number(own)} MB/s, {times(own, cat)}", own >= 1.5 * cat)
    for name in ["vsrun -m", "vsrun --init"]:
        own = rest[name]["woken"]
        goal(f"wakeups in 10 idle seconds (`{name[6:]}`): 0", number(own), own == 0)
    return rows


def machine():
    """A line about the machine and its system."""
    with open("/proc/cpuinfo") as file:
        text = file.read()
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "unknown")
    virtual = "virtual machine" if " hypervisor" in text else "physical machine"
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
    out = ["# What vsrun costs, compared with similar programs\n"]
    out.append(
        "`make bench` writes this page. All programs run on one processor, in random order within each round; times are medians.\n"
        "Compare figures within this page, not between machines. The other programs are unchanged Debian packages. *Bound*, the\n"
        "lower bound, is [benches/bound.c](../benches/bound.c): a static program with musl that makes only the system calls that\n"
        "the task needs, without checks and messages. It is also the server: it reports the time of its first instruction.\n"
    )
    if run["quick"]:
        out.append("**Made with QUICK=1: the figures are not reliable.**\n")
    if max(run["loads"]) > 2:
        out.append(BUSY)
    loads = " and ".join(f"{load:.1f}" for load in run["loads"])
    out.append(
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {number(run['seconds'])} s; load average before and after: {loads}\n"
        f"- {machine()}\n- {run['version']}, {versions(packages)}\n"
    )
    out.append("![the figures as bars](bench.svg)\n")
    out.append("## Goals\n\n" + table(["goal", "measured", ""], goals(results)))
    out.append("## Size\n\nThe size of the program's file in bytes, and other files that it needs.\n\n" + table(
        ["program", "bytes", "needs"], [(name, f"{size:,}", needs) for name, (size, needs) in results["size"].items()]))
    launches = ["program", "µs", "× bound", "page faults", "system calls"]
    for test, heading in [
        ("exec", "## Launch as another user\n\n`vsrun -u 65534:65534 -- true` and similar commands, minus the figures of `true` "
                 "alone (static). Over 60 of the\nsystem calls of vsrun are rt_sigaction, which resets signal actions.\n"),
        ("entrypoint", "## A step and then the server, as another user\n\n`vsrun -u 65534:65534 --before STEP --expand -- SERVER "
                       "'${HOME}'` and a script of two lines: TOOL STEP, and\nexec TOOL SERVER \"${HOME}\". STEP and "
                       "SERVER are `true` (static); the figures of one `true` alone are subtracted. Page\nfaults are "
                       "those of all processes of a start; system calls are those of the first process alone. Debian has no su-exec;\n"
                       "chpst is a similar program of similar size.\n"),
        ("init", "## Launch with a parent process\n\n`vsrun --init -- true` and similar commands, until the parent exits, minus the figures "
                 "of `true` alone. The system\ncalls are those of the parent.\n"),
    ]:
        figures = results[test]
        bound = next(iter(figures.values()))["us"]
        out.append(heading + "\n" + table(launches, [
            (name, number(row["us"]), f"{row['us'] / bound:.2f}", number(row["faults"]), row["calls"])
            for name, row in figures.items()]))
    out.append(
        "## Restart\n\nMicroseconds. *Up*: from SIGKILL of a server that has run for over a second to the first instruction of the\n"
        "next. *Crash loop*: from the last instruction of a server that fails at once to the first of the next; `vsrun` with\n"
        "`--restart-delay 0`. Most of the other programs wait a second on purpose.\n\n" + table(
            ["manager", "up", "crash loop"],
            [(name, number(value), number(results["crash"].get(name))) for name, value in results["restart"].items()]))
    direct = results["forward"]["direct"]
    names = list(dict.fromkeys([*results["stop"], *results["forward"]]))
    names.remove("direct")
    out.append(
        "## Signals\n\nMicroseconds. *Stop*: from TERM for the manager to its exit, with a server that TERM kills at once. *Forwarded*:\n"
        f"from USR1 for the manager until the server has received it, minus the time of a direct kill ({number(direct)} µs).\n"
        "`vsrun -m` also writes a record for each signal; `vsrun --init` and the other inits do not.\n\n" + table(
            ["manager", "stop", "forwarded, minus a direct kill"],
            [(name, number(results["stop"].get(name)), number(results["forward"].get(name))) for name in names]))
    out.append(
        f"## At rest\n\nThe proportional set size (PSS) in KiB: of one manager alone, and of each of {many} equal managers (`supervisord`:\n"
        "one process for all servers). Wakeups are the manager's context switches in 10 s.\n\n" + table(
            ["manager", "one", f"each of {many}", "wakeups", "descriptors"],
            [(name, number(row["one"]), number(row["many"]), number(row["woken"]), row["descriptors"])
             for name, row in results["rest"].items()]))
    out.append(
        "## Logs\n\nMB/s from a server that writes as fast as it can to files on a tmpfs, until all output is in the files. With `direct\n"
        "file`, the server itself writes to the file. The programs that rotate files do so at 16 MiB and keep 4 files.\n\n" + table(
            ["writer", "64 KiB writes", "100 byte writes"],
            [(name, number(row[LARGE]), number(row[SMALL])) for name, row in results["log"].items()]))
    if results["boot"]:
        out.append(boot.section(results["boot"]))
    return "\n".join(out)


def write(results, packages, directory):
    """Writes the page and the pictures, and prints the goals."""
    with open(os.path.join(directory, "bench.md"), "w", encoding="utf-8") as file:
        file.write(document(results, packages))
    chart.draw(directory)
    for goal, figure, met in goals(results):
        print(f"{met.strip('*'):8} {goal}: {figure}")
