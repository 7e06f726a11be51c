"""A machine that boots: systemd as process 1 in namespaces of its own, on a throw-away layer over this machine's files.

It has no network but its loopback, nothing of it is left on this machine, and all of it dies with its first process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.namespaces import remove_cgroups

SYSTEMD: Final = Path("/lib/systemd/systemd")
BOOT_WAIT_S: Final = 90.0
POLL_S: Final = 0.1
DEVICES: Final = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
"""{name: minor number}, of the kernel's memory devices."""
GIVEN_UP: Final = "-sys_module,-sys_time,-sys_rawio,-syslog,-wake_alarm,-audit_control,-audit_read,-mac_admin"
"""What could change more than the machine that boots."""

# The upper layer is a file system of its own: the kernel takes none that lies below the lower one.
_LAYER: Final = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {base}
mkdir {base}/upper {base}/work {base}/root
mount -t overlay overlay -o lowerdir=/,upperdir={base}/upper,workdir={base}/work {base}/root
"""
_SCRIPT: Final = """{layer}
cd {base}/root
{binds}
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
{devices}
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
ln -s /proc/1/fd/2 dev/console
rm -rf etc/systemd/system/*.wants
echo > etc/fstab
mkdir -p old-root
pivot_root . old-root
umount -l /old-root
exec setpriv --bounding-set={given_up} --inh-caps={given_up} \
  env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  {systemd} --unit=basic.target --log-target=console --show-status=no
"""


def why_not() -> str | None:
    """Return why no machine can boot here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not SYSTEMD.exists():
        return f"needs {SYSTEMD}"
    if not all(shutil.which(one) for one in ("unshare", "nsenter", "setpriv")):
        return "needs util-linux"
    if not os.access(_top_group(), os.W_OK):
        return "needs control groups that may be written to"
    layered = ("unshare", "--mount", "sh", "-c", _LAYER.format(base="/mnt"))
    tried = subprocess.run(layered, check=False, capture_output=True)
    return None if tried.returncode == 0 else "needs overlay mounts over /"


@dataclass(frozen=True, slots=True)
class Machine:
    """`first` is the process id of its systemd, as this machine counts."""

    first: int
    log: Path

    def command(self, *words: str) -> list[str]:
        """Return what runs a program on it, as root."""
        names = {"mount": "mnt", "pid": "pid", "net": "net", "uts": "uts", "ipc": "ipc", "cgroup": "cgroup"}
        spaces = [f"--{name}=/proc/{self.first}/ns/{file}" for name, file in names.items()]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", *spaces, f"--root=/proc/{self.first}/root", "env", "-i", "--chdir=/", path, *words]

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program on it; never raises for one that fails."""
        return subprocess.run(
            self.command(*words), input=text, capture_output=True, text=True, check=False, timeout=BOOT_WAIT_S
        )

    def ok(self, *words: str, text: str = "") -> str:
        """Run a program that must not fail, and return what it printed."""
        done = self.run(*words, text=text)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644", owner: str = "root") -> None:
        """Put a file there."""
        self.ok("sh", "-c", f"umask 077; mkdir -p $(dirname {path}); cat > {path}", text=text)
        self.ok("sh", "-c", f"chown {owner} {path} && chmod {mode} {path}")

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.ok("systemctl", "show", "--value", f"--property={name}", unit).strip()


@contextmanager
def booted(base: Path, binds: dict[Path, str]) -> Iterator[Machine]:
    """Boot a machine. `base` is an empty folder of this one, `binds` are {what of this machine: where it is there}."""
    group = f"swarmctl-lab-booted-{os.getpid()}"
    top = _top_group() / group
    top.mkdir()
    log = base.with_name(f"{base.name}.log")
    script = _SCRIPT.format(
        layer=_LAYER.format(base=base),
        base=base,
        systemd=SYSTEMD,
        given_up=GIVEN_UP,
        binds="\n".join(_bind(*one) for one in binds.items()),
        devices="\n".join(f"mknod -m 666 dev/{name} c 1 {minor}" for name, minor in DEVICES.items()),
    )
    spaces = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child=SIGKILL")
    entered = f'echo $$ > {top}/cgroup.procs && exec unshare "$@"'
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", entered, "sh", *spaces, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield _await_boot(process, log)
    finally:
        process.kill()
        process.wait()
        remove_cgroups(group)


def _top_group() -> Path:
    """Where control groups of the second version are made."""
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else Path("/sys/fs/cgroup")


def _bind(source: Path, place: str) -> str:
    made = f"mkdir -p .{place}" if source.is_dir() else f"mkdir -p $(dirname .{place}); touch .{place}"
    return f"{made}; mount --rbind {source} .{place}"


def _await_boot(process: subprocess.Popen[bytes], log: Path) -> Machine:
    deadline = time.monotonic() + BOOT_WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            machine = Machine(int(children[0]), log)
            if Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd" and _is_up(machine):
                return machine
        time.sleep(POLL_S)
    raise RuntimeError(f"No machine has booted: {log.read_text(errors='replace')[-3000:]}")


def _is_up(machine: Machine) -> bool:
    return machine.run("systemctl", "is-active", "--quiet", "basic.target").returncode == 0
