"""Linux namespaces for the lab: a bridge that leads nowhere, and processes whose only way out is a port of it.

Nothing here has a name on the host: every namespace is held by a process, so it is gone with it, and any number
of labs can run side by side with the same addresses.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

READY_LINE = b"ready\n"
STOP_WAIT_S = 10.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """Have the kernel end this process when the test run dies, however it dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(*command: str, inside: int | None = None) -> str:
    """Return what a program printed; with `inside`, run it in the network namespace of that process."""
    entered = ("nsenter", f"--net=/proc/{inside}/ns/net", *command) if inside else command
    done = subprocess.run(entered, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Cell:
    """A process in network, mount, process and host-name namespaces of its own. Ending it ends all it started."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    _output: IO[bytes] = field(init=False)

    def open(self, script: str) -> None:
        """Make the namespaces; `script` waits in them until `release` is called.

        A private /run keeps engines from sharing plugin sockets, lock files and a system containerd.
        """
        preamble = f"hostname {self.name} && mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && read go"
        namespaces = ("--net", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL")
        self._output = self.log.open("wb")
        self.process = subprocess.Popen(
            ("unshare", *namespaces, "sh", "-c", f"{preamble} && {script}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - called before the tests start threads
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != READY_LINE:
            raise RuntimeError(f"No namespaces for {self.name}: {self.tail()}")

    def release(self) -> None:
        """Let the script go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()

    def tail(self, lines: int = 5) -> str:
        """Return the end of what the processes inside wrote to stderr."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """End every process inside, by ending the first of them; return when it is gone."""
        if not hasattr(self, "process"):
            return
        self.process.kill()
        self.process.wait(STOP_WAIT_S)
        for stream in (self.process.stdin, self.process.stdout, self._output):
            if stream is not None and not stream.closed:
                stream.close()


def plug(bridge: Cell, cell: Cell, port: str, address: str) -> None:
    """Join `cell` to the bridge `br0` inside `bridge` with `address` (with prefix length), and give it no other way."""
    outer, inner = bridge.process.pid, cell.process.pid
    # Made inside the bridge's namespace, so that not even a name is used on the host.
    run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(inner), inside=outer)
    run("ip", "link", "set", port, "master", "br0", "up", inside=outer)
    run("ip", "addr", "add", address, "dev", "eth0", inside=inner)
    run("ip", "link", "set", "eth0", "up", inside=inner)


def remove_cgroups(name: str) -> None:
    """Remove the control groups called `name` that containers of a dead engine left behind; they are empty."""
    root = Path("/sys/fs/cgroup")
    deadline = time.monotonic() + STOP_WAIT_S
    for top in (root / name, *root.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            _remove_group(Path(folder), deadline)


def _remove_group(folder: Path, deadline: float) -> None:
    while True:
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:  # the kernel has not let go of the last process yet
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
