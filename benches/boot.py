"""Measures the time from the kernel's start to the server's first instruction, with vsrun and busybox as init.

`python3 boot.py VSRUN BOUND DIRECTORY [ROUNDS]` prints the table alone; bench.py calls measure(). Each round boots a
virtual machine in QEMU for each init, one after the other. The server prints the guest's clock. With -icount this is the
number of instructions that the guest has executed, one for each nanosecond, so the host's load does not change it.
"""

import os
import shutil
import statistics
import subprocess
import sys

QEMU = "qemu-system-x86_64"
MOUNTS = ["proc", "sys", "dev"]
VSRUN_SERVICE = "#!/vsrun --args\n--at-exit\npoweroff\n--mount\n{mounts}\n{option}\n--\n/server\nboot\n"
INITTAB = """::sysinit:/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
::sysinit:/bin/busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
::sysinit:/bin/busybox mount -t devtmpfs -o nosuid devtmpfs /dev
::{action}:/server boot
"""
# Name, kind of init, and its settings file. In the first row, the lower bound, the server itself is the init.
INITS = [
    ("bound: the server as init", "server", ""),
    ("vsrun --init", "vsrun", VSRUN_SERVICE.format(mounts=",".join(MOUNTS), option="--init")),
    ("vsrun --restart always", "vsrun", VSRUN_SERVICE.format(mounts=",".join(MOUNTS), option="--restart\nalways")),
    ("busybox init, once", "busybox", INITTAB.format(action="once")),
    ("busybox init, respawn", "busybox", INITTAB.format(action="respawn")),
]


def kernel():
    """Returns the path of the kernel from tools/kernel; None if it, QEMU or cpio is missing."""
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "kernel")
    found = subprocess.run([tool], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 and shutil.which(QEMU) and shutil.which("cpio") else None


def write_executable(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def pack(kind, settings, vsrun, bound, directory):
    """Makes an initramfs with this init, the server, and nothing else. Returns its path and its size in bytes."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    shutil.copy2(bound, f"{directory}/server")
    if kind == "server":
        shutil.copy2(bound, f"{directory}/init")
    elif kind == "vsrun":
        shutil.copy2(vsrun, f"{directory}/vsrun")
        write_executable(f"{directory}/init", settings)
    else:
        for name in ["bin", "etc", *MOUNTS]:
            os.mkdir(f"{directory}/{name}")
        shutil.copy2(shutil.which("busybox"), f"{directory}/bin/busybox")
        os.symlink("bin/busybox", f"{directory}/init")
        with open(f"{directory}/etc/inittab", "w") as file:
            file.write(settings)
    archive = directory + ".gz"
    subprocess.run(f"find . | cpio --quiet -o -H newc | gzip -9n >{archive}", shell=True, check=True, cwd=directory)
    return archive, os.path.getsize(archive)


def boot(image, archive):
    """Boots this kernel and initramfs. Returns the guest's clock at the server's first instruction, in ms."""
    command = [QEMU, "-M", "pc", "-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "qemu64", "-m", "256", "-nodefaults",
               "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", image, "-initrd", archive, "-append",
               "console=ttyS0 quiet panic=-1"]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        for line in machine.stdout:
            if line.startswith(b"clock "):
                return int(line.split()[1]) / 1e6
        raise RuntimeError(f"{archive}: the server has not started")
    finally:
        machine.kill()
        machine.wait()


def measure(vsrun, bound, directory, rounds):
    """Returns for each init the size of the initramfs in bytes and the median time in ms; {} if no machine can be emulated."""
    image = kernel()
    if image is None:
        return {}
    archives = {}
    for number, (name, kind, settings) in enumerate(INITS):
        archives[name] = pack(kind, settings, vsrun, bound, f"{directory}/boot{number}")
    times = {name: [] for name in archives}
    for _ in range(rounds):
        for name, (archive, _size) in archives.items():
            times[name].append(boot(image, archive))
    return {name: {"bytes": archives[name][1], "ms": statistics.median(values)} for name, values in times.items()}


SECTION = """## The init of a machine

Milliseconds from the start of the kernel (Linux {release}) to the first instruction of the server,
in an emulated machine whose clock counts instructions, one for each nanosecond. In the bound, the server itself is the
init. The initramfs contains the server, the init and its settings; the time includes the unpacking of the initramfs by
the kernel. Each init except the bound first mounts /proc, /sys and /dev.
"""


def section(results):
    """Returns the section of bench.md."""
    with open(kernel(), "rb") as file:
        text = file.read(1 << 16)
    # The offset of the version is in the kernel's boot header: see Documentation/arch/x86/boot.rst.
    offset = 0x200 + int.from_bytes(text[0x20E:0x210], "little")
    release = text[offset:offset + 32].split(b" ")[0].split(b"\0")[0].decode()
    bound_ms = next(iter(results.values()))["ms"]
    rows = ["| init | initramfs, bytes | ms | minus the bound |", "|---|---:|---:|---:|"]
    for name, row in results.items():
        shown = f"**{name}**" if name.startswith("vsrun") else name
        rows.append(f"| {shown} | {row['bytes']:,} | {row['ms']:.1f} | {row['ms'] - bound_ms:.1f} |")
    return SECTION.format(release=release) + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(section(measure(*sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 5)), end="")
