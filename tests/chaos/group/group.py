"""A group of member processes: started, killed, paused and asked; what they tell is kept with its time."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.group.histories import not_linearizable
from tests.chaos.group.ledger import Account
from tests.chaos.group.stores import Parts, identity
from tests.fakes.identities import Authority
from tests.free_ports import free_port, free_ports

ROOT = Path(__file__).resolve().parents[3]
ANSWER_S = 60.0
"""How long a test waits for a line: far more than anything takes."""

Line = dict[str, Any]


@dataclass
class Member:
    """One member: its process while it lives, and everything that it and its predecessors told."""

    parts: Parts
    log: Path
    inside: int | None = None
    lines: list[Line] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None
    _told: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def name(self) -> str:
        return self.parts.name

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> Line:
        """Start the process and return when it takes commands, or has said why it does not."""
        enter = ("nsenter", f"--net=/proc/{self.inside}/ns/net") if self.inside else ()
        program = (*enter, sys.executable, "-m", "tests.chaos.group.member", self.parts.encode())
        begun = len(self.lines)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *program, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        self._reading = asyncio.create_task(self._read(self.process))
        return await self.told(lambda line: "ready" in line or "failed" in line, begun)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while raw := await process.stdout.readline():
            if raw.endswith(b"\n"):
                self.lines.append(json.loads(raw))
                async with self._told:
                    self._told.notify_all()
        await process.wait()
        async with self._told:
            self._told.notify_all()

    async def told(self, wanted: Callable[[Line], bool], since: int = 0, within_s: float = ANSWER_S) -> Line:
        """Wait for a line. Fails when the process ends without it."""
        seen = since
        async with self._told, asyncio.timeout(within_s):
            while True:
                for line in self.lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.lines)
                assert self.alive, f"{self.name} has ended: {self.lines[-3:]} {self.tail()}"
                await self._told.wait()

    async def ask(self, *command: Any, answer: str, within_s: float = ANSWER_S) -> Line:
        """Send a command and return the line that has `answer`."""
        since = len(self.lines)
        self.send(*command)
        return await self.told(lambda line: answer in line or "refused" in line, since, within_s)

    def send(self, *command: Any) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> float:
        """kill -9, and wait until it is gone. Returns when it was done, on this machine's monotonic clock."""
        at = time.monotonic()
        if self.alive:
            self.signal(signal.SIGKILL)
        await self.gone()
        return at

    async def stop(self) -> None:
        """Let it end in order."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.gone()

    async def gone(self) -> None:
        if self.process is not None:
            await self.process.wait()
        if self._reading is not None:
            await self._reading

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log.exists() else ""

    def describe(self) -> str:
        """What it told last, what the system says of its process, and the end of its log."""
        state = f"process {self.process.pid if self.process else None}, {'alive' if self.alive else 'ended'}"
        return f"{self.name}: {state}\n  told {self.lines[-6:]}\n  " + self.tail().replace("\n", "\n  ")

    @property
    def leads_since(self) -> int:
        """The epoch in which it leads, as far as it told; 0 if it doesn't."""
        for line in reversed(self.lines):
            if "ready" in line:
                return 0
            if "leads" in line:
                return int(line["leads"])
            if "led" in line:
                return 0
        return 0


@dataclass
class Group:
    """Members that were founded together, and others that joined."""

    folder: Path
    authority: Authority = field(default_factory=lambda: Authority("chaos"))
    members: list[Member] = field(default_factory=list)
    _replaced: int = 0

    @classmethod
    def of(
        cls,
        folder: Path,
        names: tuple[str, ...] = ("a", "b", "c"),
        kind: str = "core",
        settings: Mapping[str, Any] | None = None,
        hosts: Mapping[str, tuple[str, int]] | None = None,
        places: Mapping[str, Path] | None = None,
    ) -> Group:
        """Make identities and addresses for members.

        `hosts`: address and network namespace (that of a process) of each. `places`: where each has its folder.
        """
        group = cls(folder)
        for name in ("ledgers", "histories", "logs"):
            (folder / name).mkdir()
        ports = free_ports(len(names))
        addresses = {
            name: (hosts[name][0] if hosts else "127.0.0.1", port) for name, port in zip(names, ports, strict=True)
        }
        for name in names:
            parts = Parts(
                kind=kind,
                name=name,
                folder=str((places[name] if places else folder) / f"data-{name}"),
                identity=str(identity(group.authority, folder, name, addresses[name])),
                notes=str(folder),
                addresses=addresses,
                settings=dict(settings or {}),
            )
            inside = hosts[name][1] if hosts else None
            group.members.append(Member(parts, folder / "logs" / name, inside))
        return group

    async def replace(self, dead: Member) -> None:
        """Put an empty member under a new name into the place of one that is gone for good, and start it."""
        self._replaced += 1
        name = f"{dead.name.partition('-')[0]}-{self._replaced}"
        host, _ = dead.parts.addresses[dead.name]
        address = (host, free_port())
        others = [member for member in self.members if member is not dead]
        known = {member.name: member.parts.addresses[member.name] for member in others}
        parts = msgspec.structs.replace(
            dead.parts,
            name=name,
            folder=str(Path(dead.parts.folder).with_name(f"data-{name}")),
            identity=str(identity(self.authority, self.folder, name, address)),
            addresses={**known, name: address},
            joins=True,
        )
        member = Member(parts, self.folder / "logs" / name, dead.inside)
        await self._change(others, lambda members: dead.name not in members, "remove", dead.name)
        await member.start()
        await self._change(others, lambda members: name in members, "add", name, *address)
        self.members[self.members.index(dead)] = member
        await self._change(others, lambda members: members.get(name, False))

    async def _change(self, among: list[Member], holds: Callable[[dict[str, bool]], bool], *command: Any) -> None:
        """Have whoever leads carry out a change of the members, or wait for one, until it is committed that it `holds`
        of them: name to whether it votes. Before that, the end of another member may be the end of the majority.

        A change whose outcome is unknown is not asked for again once it holds.
        """
        answers: list[Line] = []
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    leader = await self.leader(among)
                    answers = [await leader.ask("members", answer="members")]
                    if "members" in answers[0] and not answers[0]["pending"]:
                        if holds({name: voter for name, voter, _ in answers[0]["members"]}):
                            return
                        if command:
                            answers.append(await leader.ask(*command, answer="changed"))
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise AssertionError(f"{command or 'a voter'} never came to be: {answers}\n{self.describe()}") from error

    def describe(self) -> str:
        """What is known of each member, for when something did not come to be."""
        return "\n".join(member.describe() for member in self.members)

    async def start(self) -> None:
        await asyncio.gather(*(member.start() for member in self.members if not member.alive))

    async def close(self) -> None:
        await asyncio.gather(*(member.kill() for member in self.members))

    def named(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    async def leader(self, among: list[Member] | None = None, within_s: float = ANSWER_S) -> Member:
        """Wait for a member that leads, with its claim committed; the newest if two still believe so."""
        async with asyncio.timeout(within_s):
            while True:
                leading = [member for member in among or self.members if member.alive and member.leads_since]
                if leading:
                    return max(leading, key=lambda member: member.leads_since)
                await asyncio.sleep(0.002)

    def load(self, writers: int = 4, size: int = 200, clients: int = 2) -> None:
        """Start writers and clients of the shared registers in every member that lives."""
        for member in self.members:
            if member.alive:
                member.send("load", writers, size, clients)

    async def quiet(self) -> None:
        await asyncio.gather(*(one.ask("quiet", answer="quiet") for one in self.members if one.alive))

    async def verdict(self) -> Verdict:
        """With all members up and no load: wait until their states are equal, then hold them against the notes."""
        dumps, complaints = await self._equal_dumps()
        account = Account.read(self.folder / "ledgers")
        if not complaints:
            complaints = account.complaints(json.loads(dumps[0].read_text()))
        count, wrong = await asyncio.to_thread(not_linearizable, self.folder / "histories")
        complaints += [f"register {register} is not linearizable" for register in wrong]
        return Verdict(account.count, count, complaints)

    async def _equal_dumps(self) -> tuple[list[Path], list[str]]:
        paths = [self.folder / f"dump-{member.name}" for member in self.members]
        end = time.monotonic() + ANSWER_S
        while True:
            answers = await asyncio.gather(
                *(
                    member.ask("dump", str(path), answer="dumped")
                    for member, path in zip(self.members, paths, strict=True)
                )
            )
            if all("dumped" in answer for answer in answers):
                digests = {answer["digest"] for answer in answers}
                if len(digests) == 1:
                    return paths, []
                if time.monotonic() > end or len({answer["dumped"] for answer in answers}) == 1:
                    return paths, [f"states differ: {answers}"]
            elif time.monotonic() > end:
                return paths, [f"not live: {answers}\n{self.describe()}"]
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Verdict:
    """`acknowledged` writes and `operations` of the histories were checked; `complaints` should be empty."""

    acknowledged: int
    operations: int
    complaints: list[str]
