"""From the kernel's start to the server's first instruction, with vsrun and with busybox as the machine's init.

`python3 boot.py VSRUN BOUND PLACE` prints the table alone; bench.py calls measure(). Each round boots one machine for
each init, in QEMU and in turn. The guest's clock, by which the server says when it began, is the number of instructions
that the guest has executed, one for each nanosecond (-icount): so it does not depend on what else the host does.
"""

import os
import shutil
import statistics
import subprocess
import sys

QEMU = "qemu-system-x86_64"
MOUNTS = ["proc", "sys", "dev"]
VSRUN = "#!/vsrun --args\n--at-exit\npoweroff\n--mount\n{mounts}\n{stay}\n--\n/server\nboot\n"
INITTAB = """::sysinit:/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
::sysinit:/bin/busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
::sysinit:/bin/busybox mount -t devtmpfs -o nosuid devtmpfs /dev
::{how}:/server boot
"""
# A name, the machine's init, and its arguments. The first one is the bound: the server is the init itself.
INITS = [
    ("bound: the server as init", "server", ""),
    ("vsrun --init", "vsrun", VSRUN.format(mounts=",".join(MOUNTS), stay="--init")),
    ("vsrun --restart always", "vsrun", VSRUN.format(mounts=",".join(MOUNTS), stay="--restart\nalways")),
    ("busybox init, once", "busybox", INITTAB.format(how="once")),
    ("busybox init, respawn", "busybox", INITTAB.format(how="respawn")),
]


def kernel():
    """The kernel of tools/kernel, or None."""
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "kernel")
    found = subprocess.run([tool], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 and shutil.which(QEMU) and shutil.which("cpio") else None


def executable(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def pack(kind, text, vsrun, bound, place):
    """An initramfs with this init, the server, and nothing else. Returns its path and size."""
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    shutil.copy2(bound, f"{place}/server")
    if kind == "server":
        shutil.copy2(bound, f"{place}/init")
    elif kind == "vsrun":
        shutil.copy2(vsrun, f"{place}/vsrun")
        executable(f"{place}/init", text)
    else:
        for directory in ["bin", "etc", *MOUNTS]:
            os.mkdir(f"{place}/{directory}")
        shutil.copy2(shutil.which("busybox"), f"{place}/bin/busybox")
        os.symlink("bin/busybox", f"{place}/init")
        with open(f"{place}/etc/inittab", "w") as file:
            file.write(text)
    archive = place + ".gz"
    subprocess.run(f"find . | cpio --quiet -o -H newc | gzip -9n >{archive}", shell=True, check=True, cwd=place)
    return archive, os.path.getsize(archive)


def boot(image, archive):
    """Boots it; returns the guest's clock at the server's first instruction, in ms."""
    line = [QEMU, "-M", "pc", "-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "qemu64", "-m", "256", "-nodefaults",
            "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", image, "-initrd", archive, "-append",
            "console=ttyS0 quiet panic=-1"]
    machine = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        for text in machine.stdout:
            if text.startswith(b"clock "):
                return int(text.split()[1]) / 1e6
        raise RuntimeError(f"{archive}: no server has started")
    finally:
        machine.kill()
        machine.wait()


def measure(vsrun, bound, place, rounds):
    """For each init the bytes of the initramfs and the median time in ms; nothing where no machine can be emulated."""
    image = kernel()
    if image is None:
        return {}
    archives = {}
    for number, (name, kind, text) in enumerate(INITS):
        archives[name] = pack(kind, text, vsrun, bound, f"{place}/boot{number}")
    found = {name: [] for name in archives}
    for _ in range(rounds):
        for name, (archive, _size) in archives.items():
            found[name].append(boot(image, archive))
    return {name: {"bytes": archives[name][1], "ms": statistics.median(times)} for name, times in found.items()}


WORDS = """## The init of a machine

From the start of the kernel (Linux {release}) to the first instruction of the server, in an emulated machine whose clock
counts instructions, one for each nanosecond: milliseconds, and what is over the bound, in which the server itself is the
init. The initramfs holds the server, the init and its settings; the kernel unpacks it within that time. Each init but
the bound mounts /proc, /sys and /dev first.
"""


def section(results):
    """The part of bench.md."""
    with open(kernel(), "rb") as file:
        text = file.read(1 << 16)
    # The boot header names the version: see Documentation/arch/x86/boot.rst.
    at = 0x200 + int.from_bytes(text[0x20E:0x210], "little")
    release = text[at:at + 32].split(b" ")[0].split(b"\0")[0].decode()
    least = next(iter(results.values()))["ms"]
    rows = ["| init | initramfs, bytes | ms | over the bound |", "|---|---:|---:|---:|"]
    for name, row in results.items():
        shown = f"**{name}**" if name.startswith("vsrun") else name
        rows.append(f"| {shown} | {row['bytes']:,} | {row['ms']:.1f} | {row['ms'] - least:.1f} |")
    return WORDS.format(release=release) + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(section(measure(*sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 5)), end="")
