"""A group of cores whose messages, disks and clock a test moves by hand."""

from __future__ import annotations

from reconciler.consensus.core import Core
from reconciler.consensus.membership import bootstrap
from reconciler.consensus.outputs import Envelope, Proposed, Ready, Role
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import Entry, EntryKind, HardState, Message, SnapshotMeta

STEP_S = 0.01
SNAPSHOT = bytes(range(100))


def a_core(
    name: str, *, voters: tuple[str, ...] = ("a", "b", "c"), term: int = 1, entries: int = 1, **settings: int
) -> Core:
    """A started node whose log has `entries` entries of term 1, the first of which sets the membership."""
    _, first = bootstrap(voters)
    rest = [Entry(index, 1, EntryKind.NORMAL, b"old") for index in range(2, entries + 1)]
    disk = (HardState(term, ""), None, [first, *rest])
    return Core(name, ConsensusSettings(**settings), disk, now_s=0.0, jitter_seed=ord(name[0]))


def drain(core: Core, now_s: float = 0.0, *, sync: bool = True) -> list[Ready]:
    """All Readies of a core, synced at once unless the disk hangs."""
    readies = []
    while (ready := core.ready()) is not None:
        readies.append(ready)
        if sync:
            core.persisted(ready.number, now_s)
    return readies


def said(readies: list[Ready], kind: type) -> list[Message]:
    """Messages of one kind, whenever they may leave."""
    return [
        envelope.message
        for ready in readies
        for envelope in (*ready.messages, *ready.messages_after)
        if isinstance(envelope.message, kind)
    ]


class Group:
    def __init__(self, *names: str, **settings: int) -> None:
        self.now = 0.0
        self.settings = settings
        self.cut: set[str] = set()
        self.stuck_disks: set[str] = set()
        self.applied: dict[str, list[Entry]] = {}
        self.reads: list[tuple[str, int, int]] = []
        self.roles: dict[str, list[Role]] = {}
        self.sent: list[tuple[str, str, Message]] = []
        self.lose: list[type] = []
        self.snapshots: dict[str, SnapshotMeta] = {}
        self.refusing: dict[str, float] = {}  # who can't use snapshots, and for how many seconds it wants none
        self._queue: list[tuple[str, str, Message]] = []
        self._installing: dict[str, SnapshotMeta] = {}
        self.cores: dict[str, Core] = {}
        for name in names:
            self._start(name, a_core(name, voters=names, **settings))

    def _start(self, name: str, core: Core) -> None:
        self.cores[name] = core
        self.applied[name], self.roles[name] = [], []

    def join(self, name: str) -> None:
        settings = ConsensusSettings(**self.settings)
        self._start(name, Core(name, settings, (HardState(), None, []), now_s=self.now, jitter_seed=ord(name[0])))

    def restart(self, name: str) -> None:
        """Start a node again that has nothing but its first entry and the newest term on its disk."""
        status = self.cores[name].status(self.now)
        _, first = bootstrap(tuple(self.cores))
        disk = (HardState(status.term, status.voted_for), None, [first])
        self.cores[name] = Core(name, ConsensusSettings(**self.settings), disk, now_s=self.now, jitter_seed=7)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            for core in self.cores.values():
                core.tick(self.now)
            self.exchange()

    def exchange(self) -> None:
        """Carry messages until nobody says anything more."""
        while True:
            for name, core in self.cores.items():
                while (ready := core.ready()) is not None:
                    self._do(name, core, ready)
            if not self._queue:
                return
            queue, self._queue = self._queue, []
            for sender, to, message in queue:
                if to in self.cores and not self.cut & {sender, to} and type(message) not in self.lose:
                    self.cores[to].receive(sender, message, self.now)

    def _do(self, name: str, core: Core, ready: Ready) -> None:
        if ready.role is not None:
            self.roles[name].append(ready.role.role)
        self._send(name, ready.messages)
        if name not in self.stuck_disks:
            core.persisted(ready.number, self.now)
            self._send(name, ready.messages_after)
        self.applied[name].extend(ready.committed)
        self.reads.extend((name, done.token, done.index) for done in ready.reads)
        for piece in ready.pieces:
            assert SNAPSHOT[piece.offset : piece.offset + len(piece.data)] == piece.data
            if piece.last and name in self.refusing:
                core.snapshot_refused(self.now, self.refusing[name], "it is too new")
            elif piece.last:
                core.snapshot_installed(piece.meta, self.now)
                self.snapshots[name] = piece.meta
        for wanted in ready.chunks_wanted:
            part = SNAPSHOT[wanted.offset : wanted.offset + wanted.bytes_max]
            core.send_chunk(wanted, part, len(SNAPSHOT), self.now)

    def _send(self, sender: str, envelopes: tuple[Envelope, ...]) -> None:
        for envelope in envelopes:
            self._queue.append((sender, envelope.to, envelope.message))
            self.sent.append((sender, envelope.to, envelope.message))

    def leaders(self) -> list[str]:
        return [name for name, core in self.cores.items() if core.status(self.now).role is Role.LEADER]

    def elect(self) -> str:
        self.run(3.0)
        (leader,) = self.leaders()
        return leader

    def followers(self) -> list[str]:
        return [name for name in self.cores if name not in self.leaders()]

    def write(self, *datas: bytes) -> Proposed:
        (leader,) = self.leaders()
        answer = self.cores[leader].propose(datas, self.now)
        assert isinstance(answer, Proposed), answer
        self.exchange()
        return answer

    def commit(self, name: str) -> int:
        return self.cores[name].status(self.now).commit_index

    def datas(self, name: str) -> list[bytes]:
        return [entry.data for entry in self.applied[name] if entry.kind is EntryKind.NORMAL]
