"""Runs the docker CLI against one machine or another."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

STEP_WAIT_S = 60.0
WAIT_POLLS = 60
STILL_POLLS = 4
POLL_S = 0.25


class Addressed(Protocol):
    """One machine: where its API is, and what it is called."""

    @property
    def number(self) -> int: ...
    @property
    def host(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def hostname(self) -> str: ...

    async def do(self, verb: str) -> None:
        """End its daemon in an orderly way ("stop") or the hard way ("kill"), start it again ("start"), or both
        ("restart")."""


class Machines(Protocol):
    """Machines, numbered from 1."""

    @property
    def machines(self) -> Sequence[Addressed]: ...


@dataclass
class Player:
    """Runs commands with the CLI against the machines of one world."""

    folder: Path
    files: Path | None = None
    names: dict[str, str] = field(default_factory=dict)

    async def run(self, world: Machines, number: int, command: str) -> tuple[int, str, str]:
        for name, value in {**_names(world), **self.names}.items():
            command = command.replace("{" + name + "}", value)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOCKER_HOST": world.machines[number - 1].host,
            "DOCKER_CLI_HINTS": "false",
        }
        process = await asyncio.create_subprocess_shell(
            command,
            executable="/bin/bash",
            env=environment,
            cwd=self.files or self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), STEP_WAIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            return 124, "", "timed out"
        text = out.decode(errors="replace")
        self._remember_token(command, text)
        return process.returncode or 0, text, err.decode(errors="replace")

    def _remember_token(self, command: str, out: str) -> None:
        token = re.search(r"SWMTKN-\S+", out)
        if token is None or not re.search(r"swarm (init|join-token)", command):
            return
        rotated = "--rotate" in command and "worker" in command
        name = "tok_new" if rotated else "tok_m" if "manager" in command else "tok_w"
        self.names[name] = token[0]

    async def settle(self, world: Machines, number: int, command: str) -> None:
        """Run a command until it has said the same for a while."""
        last, same = "", 0
        for _ in range(WAIT_POLLS):
            _, out, _ = await self.run(world, number, command)
            same = same + 1 if out == last else 0
            if same >= STILL_POLLS:
                return
            last = out
            await asyncio.sleep(POLL_S)


def _names(world: Machines) -> dict[str, str]:
    named = {f"ip{one.number}": one.address for one in world.machines}
    return named | {f"h{one.number}": one.hostname for one in world.machines}
