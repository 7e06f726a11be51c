"""A cut between two members, as a broken switch makes it: silent, and for longer than TCP would bear in good faith."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from reconciler.adapters.peers.identity import PeersFile
from reconciler.adapters.peers.names import PEERS_FILE
from tests.fakes.identities import Authority
from tests.lab.namespaces import Cell, plug, run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
PORT = 7946
HOSTS = {"a": "10.231.1.1", "b": "10.231.1.2"}
DISABLED, FORWARDING = "0", "3"  # of a bridge's port: <linux/if_bridge.h>

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Pair:
    """Two processes in network namespaces of their own, on a bridge."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.bridge = self._cell("bridge", folder, stack)
        run("ip", "link", "add", "br0", "type", "bridge", inside=self.bridge.process.pid)
        run("ip", "link", "set", "br0", "up", inside=self.bridge.process.pid)
        authority = Authority()
        self.outputs: dict[str, Path] = {}
        for name, other in (("a", "b"), ("b", "a")):
            cell = self._cell(name, folder, stack)
            plug(self.bridge, cell, f"port-{name}", f"{HOSTS[name]}/24")
            place = authority.folder(folder / name, name)
            (place / PEERS_FILE).write_bytes(msgspec.json.encode(PeersFile("c1", name, HOSTS[name], PORT)))
            peer = (
                sys.executable,
                "-m",
                "tests.chaos.transport_peer",
                str(folder),
                name,
                other,
                HOSTS[other],
                str(PORT),
            )
            inside = ("nsenter", f"--net=/proc/{cell.process.pid}/ns/net", *peer)
            self.outputs[name] = folder / f"{name}.out"
            with self.outputs[name].open("wb") as output:
                process = stack.enter_context(subprocess.Popen(inside, cwd=ROOT, stdout=output))
            stack.callback(process.kill)

    @staticmethod
    def _cell(name: str, folder: Path, stack: ExitStack) -> Cell:
        cell = Cell(name, folder / f"{name}.log")
        stack.callback(cell.close)
        cell.open("exec sleep infinity")
        cell.release()
        return cell

    def set_port(self, state: str) -> None:
        run("bridge", "link", "set", "dev", "port-a", "state", state, inside=self.bridge.process.pid)

    def heard_again(self, since_s: float) -> dict[str, float]:
        """When each end first heard the other after an interruption that ended at `since_s` or later."""
        found: dict[str, float] = {}
        end_s = time.monotonic() + PATIENCE_S
        while len(found) < len(self.outputs):
            assert time.monotonic() < end_s, f"only {found} hear the other again"
            for name, output in self.outputs.items():
                for line in output.read_text().splitlines(keepends=True):
                    after_s = json.loads(line)["after"] if line.endswith("\n") else -1.0
                    if after_s >= since_s:
                        found.setdefault(name, after_s)
            time.sleep(0.01)
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def test_members_find_each_other_again_after_silent_cuts(pair: Pair) -> None:
    pair.heard_again(0.0)  # the start is one, too
    for length_s in (0.5, 1.2, 3.0):
        pair.set_port(DISABLED)
        time.sleep(length_s)
        healed_s = time.monotonic()
        pair.set_port(FORWARDING)
        heard = pair.heard_again(healed_s)
        print(f"cut for {length_s} s: heard again after", {name: round(at - healed_s, 3) for name, at in heard.items()})
