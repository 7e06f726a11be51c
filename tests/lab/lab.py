"""A laboratory of real engines: three in one Swarm, and one outside any."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.lab.engine import BUSYBOX, Engine, control_group
from tests.lab.namespaces import Cell, plug, remove_cgroups, run

PROGRAMS = ("dockerd", "containerd", "runc", "iptables", "ip", "nsenter", "unshare", "mount")
FOLDER_PREFIX = "swlab-"
JOIN_WAIT_S = 60.0
POLL_S = 0.05


def why_not() -> str | None:
    """Return why no engine can run here, in one line, or None when one can."""
    if os.geteuid() != 0:
        return "real engines need root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"real engines need {', '.join(missing)}"
    if not BUSYBOX.exists():
        return f"real engines need {BUSYBOX}"
    return None


def _sweep_dead_labs() -> None:
    """Remove files and control groups of labs whose test run was killed; their processes died with it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            for engine_folder in folder.iterdir():
                remove_cgroups(control_group(engine_folder))
            shutil.rmtree(folder, ignore_errors=True)


class Lab:
    """node1 is the Swarm's only manager at first, node2 and node3 are workers, and `outsider` is in no swarm.

    With `managers` 3 all nodes are managers from the start, node1 their leader.

    Use it as a context manager; leaving it ends every process and removes every file that it made.
    """

    def __init__(self, managers: int = 1) -> None:
        self.managers = managers
        # Not under pytest's folder: a unix socket's path may be 107 bytes long at most.
        _sweep_dead_labs()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        self.bridge = Cell("bridge", self.folder / "bridge.log")
        names = ("node1", "node2", "node3", "outsider")
        self.engines = tuple(
            Engine(name, f"10.220.0.{number}", self.folder / name) for number, name in enumerate(names, start=1)
        )
        self.manager, self.outsider = self.engines[0], self.engines[3]
        self.workers = self.engines[1:3]
        self.settings: dict[str, Any] = {}
        self.seconds_to_start = 0.0

    def __enter__(self) -> Lab:
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        self.seconds_to_start = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.close()
        self.bridge.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self.bridge.open("exec sleep infinity")
        run("ip", "link", "add", "br0", "type", "bridge", inside=self.bridge.process.pid)
        run("ip", "link", "set", "br0", "up", inside=self.bridge.process.pid)
        self.bridge.release()
        for number, engine in enumerate(self.engines, start=1):
            engine.open()
            plug(self.bridge, engine.cell, f"port{number}", f"{engine.address}/24")
            engine.start()
        with ThreadPoolExecutor(len(self.engines)) as pool:
            list(pool.map(Engine.wait, self.engines))
            images = [pool.submit(Engine.load_images, engine) for engine in self.engines[:3]]
            self._form_swarm()
            for loading in images:
                loading.result()

    def _form_swarm(self) -> None:
        with self.manager.client() as client:
            client.init_swarm(advertise_addr=self.manager.address, listen_addr="0.0.0.0:2377")
            swarm = client.inspect_swarm()
            self.settings, tokens = swarm["Spec"], swarm["JoinTokens"]
            for number, other in enumerate(self.engines[1:3], start=2):
                token = tokens["Manager" if number <= self.managers else "Worker"]
                with other.client() as joining:
                    joining.join_swarm([f"{self.manager.address}:2377"], token, listen_addr="0.0.0.0:2377")
            self._wait_until_ready(client)

    def _wait_until_ready(self, client: object) -> None:
        deadline = time.monotonic() + JOIN_WAIT_S
        while time.monotonic() < deadline:
            states = [node["Status"]["State"] for node in client.nodes()]  # type: ignore[attr-defined]
            if states == ["ready"] * 3:
                return
            time.sleep(POLL_S)
        raise RuntimeError(f"The swarm's nodes did not get ready: {states}")
