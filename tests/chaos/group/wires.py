"""A network of the members' own: one namespace each on a bridge that leads nowhere, with links that can be cut."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.lab.namespaces import Cell, plug, run

WAIT_FOR_EVER = "exec sleep infinity"


class Wires:
    """Use it as a context manager; leaving it ends the namespaces and all that runs in them."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._bridge = Cell("bridge", folder / "bridge.log")
        self._cells = {name: Cell(name, folder / f"cell-{name}.log") for name in names}
        self._addresses = {name: f"10.231.0.{number}" for number, name in enumerate(self._cells, start=1)}

    def __enter__(self) -> Wires:
        try:
            self._bridge.open(WAIT_FOR_EVER)
            run("ip", "link", "add", "br0", "type", "bridge", inside=self._bridge.process.pid)
            run("ip", "link", "set", "br0", "up", inside=self._bridge.process.pid)
            self._bridge.release()
            for number, (name, cell) in enumerate(self._cells.items()):
                cell.open(WAIT_FOR_EVER)
                plug(self._bridge, cell, f"port{number}", f"{self._addresses[name]}/24")
                cell.release()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for cell in (*self._cells.values(), self._bridge):
            cell.close()

    @property
    def hosts(self) -> dict[str, tuple[str, int]]:
        """Each member's address, and a process whose network it is to share."""
        return {name: (self._addresses[name], cell.process.pid) for name, cell in self._cells.items()}

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Let nothing pass from `one` to `other`, nor back unless `one_way`. What is cut is cut silently."""
        for source, target in ((one, other),) if one_way else ((one, other), (other, one)):
            self._route("replace", source, target)

    def isolate(self, name: str) -> None:
        """Cut a member off from all others."""
        for other in self._cells:
            if other != name:
                self.cut(name, other)

    def heal(self) -> None:
        """Take back all cuts."""
        for source in self._cells:
            for target in self._cells:
                if source != target:
                    self._route("del", source, target)

    def _route(self, verb: str, source: str, target: str) -> None:
        inside = self._cells[source].process.pid
        command = ("ip", "route", verb, "blackhole", f"{self._addresses[target]}/32")
        done = subprocess.run(
            ("nsenter", f"--net=/proc/{inside}/ns/net", *command), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or verb == "del", done.stderr
