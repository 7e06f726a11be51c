"""All of PySyncObj that we reach for: no other module touches the library, nor a name that it keeps to itself.

The names below and what they do are those of exactly one version. `check` refuses any other at the start; a test
compares the source of every method that is called or replaced.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Any, Protocol

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.monotonic import monotonic as clock  # CLOCK_MONOTONIC_RAW: it drifts away from Python's own
from pysyncobj.node import Node
from pysyncobj.transport import Transport as UpstreamTransport

from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import NodeId
from reconciler.model.errors import ErrorCode, SwarmctlError

VERSION = "0.3.17"

ENTRY_BYTES_MAX = 4 << 20
"""Bytes of one entry. Upstream would send a larger one than its batch in pieces that it pickles."""
_NEVER = 1 << 60

LogEntry = tuple[bytes, int, int]
"""What upstream's log holds: a byte for the kind and the data; index; term."""
Fields = dict[str, Any]
"""A message as upstream makes and reads it; `messages.py` says which there are."""

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "_SyncObj__applyLogEntries": "073db677773b5a2d",
        "_SyncObj__connectedToAnyone": "acd40e9e3ac6c4cc",
        "_SyncObj__deleteEntriesFrom": "3b23c411bb903d36",
        "_SyncObj__doApplyCommand": "1ea7aa506e950d0a",
        "_SyncObj__generateRaftTimeout": "92ed37d3620e781a",
        "_SyncObj__getCurrentLogIndex": "e5af22ca246686bd",
        "_SyncObj__getCurrentLogTerm": "1cb8867e6a13d397",
        "_SyncObj__getEntries": "e29c4b33293b2101",
        "_SyncObj__getPrevLogIndexTerm": "6766914806ae2311",
        "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
        "_SyncObj__onLeaderChanged": "53b7685e1d897887",
        "_SyncObj__onMessageReceived": "ddfe34b6c0282179",
        "_SyncObj__onSetCodeVersion": "17b050edb193c853",
        "_SyncObj__parseChangeClusterRequest": "b2d5d695b12e592f",
        "_SyncObj__sendAppendEntries": "9cb9073128c392fa",
        "_SyncObj__sendNextNodeIdx": "68aaeefc267b8896",
        "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
        "_SyncObj__setState": "2c1f239f7bd79b39",
        "_SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
        "__init__": "09df12cd7fd7d727",
        "_checkCommandsToApply": "a386a8079361d204",
        "_onTick": "cc9eb08232d005ba",
        "doTick": "bef78c2ba06d784b",
    }
)
"""The first 16 digits of the SHA-256 of each method's source: called, replaced, or called by one that is."""


class LogPort(Protocol):
    """What upstream wants of a journal, as far as it still gets there. Positions count from the oldest entry kept."""

    def add(self, command: bytes, index: int, term: int) -> None: ...
    def deleteEntriesFrom(self, position: int) -> None: ...
    def setCurrentTerm(self, term: int, voted_for: NodeId | None) -> None: ...
    def getCurrentTerm(self) -> int: ...
    def getVotedForNodeId(self) -> NodeId | None: ...
    def setRaftCommitIndex(self, index: int) -> None: ...
    def onOneSecondTimer(self) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, position: int | slice) -> Any: ...


def digest(name: str) -> str:
    """What METHODS holds for the installed library."""
    source = inspect.getsource(getattr(SyncObj, name))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def check() -> None:
    """Raise SwarmctlError (raft-library-version) unless the installed library is the one that this was written for."""
    try:
        installed = metadata.version("pysyncobj")
    except metadata.PackageNotFoundError:
        installed = "none"
    missing = [name for name in METHODS if not hasattr(SyncObj, name)]
    if installed == VERSION and not missing:
        return
    why = f"It replaces private parts of the library, which other versions have differently; installed is {installed}."
    if missing:
        why += f" {missing[0]} is missing."
    raise SwarmctlError(
        ErrorCode.RAFT_LIBRARY_VERSION,
        f"The replicated store on PySyncObj needs version {VERSION} of it.",
        why=why,
        hint=f"Install what the lock file names (pysyncobj=={VERSION}), or use the default store.",
    )


class Link(UpstreamTransport):  # type: ignore[misc]
    """Upstream's way out: everything that it sends is handed to `Upstream.send`. Nothing comes in this way."""

    def __init__(self) -> None:
        super().__init__(None, None, ())
        self.target: Upstream | None = None

    def send(self, node: Any, message: Fields) -> bool:
        assert self.target is not None
        return self.target.send(node.id, message)


class _Dumps:
    """In the place of upstream's serializer: it never dumps; where it would send one, `wants_snapshot` is called."""

    def __init__(self, target: Upstream) -> None:
        self._target = target

    def checkSerializing(self) -> tuple[int, None]:
        return 0, None

    def getTransmissionData(self, node: Any) -> None:
        self._target.wants_snapshot(node.id)

    def cancelTransmisstion(self, node: Any) -> None:
        """Upstream calls this for peers that it takes for disconnected; for us none is."""


class Upstream(SyncObj):  # type: ignore[misc]
    """The election and append core of upstream under names of ours. `core.Core` fills in the hooks.

    No threads, no sockets, no files, no pickle: it has no methods to replicate, no dumps and no queue in use.
    """

    _SyncObj__connectedNodes: set[Any]
    _SyncObj__lastResponseTime: dict[Any, float]
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__noopIDx: int | None
    _SyncObj__otherNodes: set[Any]
    _SyncObj__raftCommitIndex: int
    _SyncObj__raftCurrentTerm: int
    _SyncObj__raftElectionDeadline: float
    _SyncObj__raftLastApplied: int
    _SyncObj__raftLeader: Any
    _SyncObj__raftLog: LogPort
    _SyncObj__raftMatchIndex: dict[Any, int]
    _SyncObj__raftNextIndex: dict[Any, int]
    _SyncObj__raftState: int
    _SyncObj__readonlyNodes: set[Any]
    _SyncObj__serializer: Any
    _SyncObj__transferInProgress: bool
    _SyncObj__votedForNodeId: NodeId | None

    def __init__(self, node: NodeId, settings: ConsensusSettings, log: LogPort) -> None:
        check()
        link = Link()
        super().__init__(
            Node(node),
            [],
            SyncObjConf(
                autoTick=False,
                raftMinTimeout=settings.election_min_s,
                raftMaxTimeout=settings.election_max_s,
                appendEntriesPeriod=settings.heartbeat_s,
                leaderFallbackTimeout=settings.fallback_s,
                connectionTimeout=settings.election_max_s + 1,
                appendEntriesBatchSizeBytes=ENTRY_BYTES_MAX + 2,
                logCompactionMinEntries=_NEVER,
                logCompactionMinTime=_NEVER,
                onStateChanged=lambda _old, _new: self.role_changed(),
            ),
            transport=link,
        )
        link.target = self
        self._SyncObj__raftLog = log
        self._SyncObj__raftCurrentTerm = log.getCurrentTerm()
        self._SyncObj__votedForNodeId = log.getVotedForNodeId()
        self._SyncObj__serializer = _Dumps(self)
        self.start_behind(log[0][1])

    # --- hooks

    def may_stand(self) -> bool:
        """Whether to become a candidate, now that the time without a leader is over."""
        raise NotImplementedError

    def apply_entry(self, index: int, command: bytes) -> None:
        """Apply a committed entry."""
        raise NotImplementedError

    def entries_to_send(self, first: int) -> list[LogEntry]:
        """What a message may carry of the log from an entry on."""
        raise NotImplementedError

    def role_changed(self) -> None:
        """This node has begun or ended to lead."""
        raise NotImplementedError

    def wants_snapshot(self, node: NodeId) -> None:
        """A peer needs entries that are no longer kept. Called with each heartbeat."""
        raise NotImplementedError

    def send(self, node: NodeId, message: Fields) -> bool:
        """Send what upstream made. False when it was dropped."""
        raise NotImplementedError

    # --- what it is told

    def tick(self) -> None:
        """Let time pass: elections, commit, step-down, applying, heartbeats. Raises what `apply_entry` raises."""
        self.doTick(0.0)

    def take(self, sender: NodeId, message: Fields) -> None:
        """Let upstream handle a message."""
        self._SyncObj__onMessageReceived(Node(sender), message)

    def append(self, command: bytes) -> int:
        """Put an entry behind the log of this leader, and send it. Returns its index."""
        assert self.leads
        assert len(command) <= ENTRY_BYTES_MAX + 1
        index = int(self._SyncObj__raftLog[-1][1]) + 1
        self._SyncObj__raftLog.add(command, index, self.term)
        self.send_entries()
        return index

    def send_entries(self) -> None:
        """Send every peer what it does not have, or else a heartbeat."""
        self._SyncObj__sendAppendEntries()

    def send_entries_soon(self) -> None:
        """Send with the next tick."""
        self._SyncObj__newAppendEntriesTime = 0

    def answer(self, leader: NodeId, next_index: int, *, reset: bool, matches: bool) -> None:
        """Tell a leader what is here. `matches`: all before `next_index` is equal to the leader's."""
        self._SyncObj__sendNextNodeIdx(Node(leader), reset=reset, nextNodeIdx=next_index, success=matches)

    def adopt_term(self, term: int) -> None:
        """Follow nobody in a newer term that was seen."""
        self._SyncObj__setCurrentTerm(term, None)
        self.step_down()

    def step_down(self) -> None:
        """Lead no more, and give others the time to."""
        self._SyncObj__raftElectionDeadline = clock() + self._SyncObj__generateRaftTimeout()
        self._SyncObj__setState(0)
        self._SyncObj__raftLeader = None

    def start_behind(self, index: int) -> None:
        """Take everything up to an index, which a snapshot holds, for applied."""
        self._SyncObj__raftLastApplied = index
        self._SyncObj__raftCommitIndex = max(index, self._SyncObj__raftCommitIndex)

    def set_peers(self, voters: Sequence[NodeId], learners: Sequence[NodeId]) -> None:
        """Who else takes part. Upstream sends its log to read-only nodes too, and does not count them."""
        others, readers = {Node(node) for node in voters}, {Node(node) for node in learners}
        for node in (self._SyncObj__otherNodes | self._SyncObj__readonlyNodes) - others - readers:
            for known in (self._SyncObj__raftNextIndex, self._SyncObj__raftMatchIndex, self._SyncObj__lastResponseTime):
                known.pop(node, None)
        for node in others | readers:
            self._SyncObj__raftNextIndex.setdefault(node, self._SyncObj__raftLog[-1][1] + 1)
            self._SyncObj__raftMatchIndex.setdefault(node, 0)
            self._SyncObj__lastResponseTime.setdefault(node, clock())
        self._SyncObj__otherNodes, self._SyncObj__readonlyNodes = others, readers
        self._reach_all()

    def set_heard(self, node: NodeId, age_s: float) -> None:
        """How long ago the newest message was sent that a peer has answered, for upstream to step down by."""
        self._SyncObj__lastResponseTime[Node(node)] = clock() - age_s

    def set_next(self, node: NodeId, index: int) -> None:
        """From which entry on to send to a peer."""
        self._SyncObj__raftNextIndex[Node(node)] = index

    def stop_sending(self, node: NodeId) -> None:
        """End the present round of sending to a peer; the next one tries again."""
        self._SyncObj__connectedNodes.discard(Node(node))

    # --- what it tells

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def committed(self) -> int:
        """The last index that is known here to be committed."""
        return int(self._SyncObj__raftCommitIndex)

    @property
    def applied(self) -> int:
        """The last index that was applied here."""
        return int(self._SyncObj__raftLastApplied)

    @property
    def leads(self) -> bool:
        return bool(self._SyncObj__raftState == 2)

    @property
    def leader(self) -> NodeId:
        """Who was last heard to lead, "" for nobody."""
        node = self._SyncObj__raftLeader
        return str(node.id) if node is not None else ""

    @property
    def is_asked_to_stand(self) -> bool:
        """The leader has handed over to this node."""
        return bool(self._SyncObj__transferInProgress)

    @property
    def started_at(self) -> int:
        """The index of the entry with which this leader began."""
        return int(self._SyncObj__noopIDx or 0)

    def next_of(self, node: NodeId) -> int:
        return int(self._SyncObj__raftNextIndex.get(Node(node), 0))

    def match_of(self, node: NodeId) -> int:
        """Up to where a peer's log is known to be equal, and synced there."""
        return int(self._SyncObj__raftMatchIndex.get(Node(node), 0))

    # --- what upstream calls, in the place of its own

    def _SyncObj__connectedToAnyone(self) -> bool:
        return self.may_stand()

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:
        self.apply_entry(self.applied + 1, command)

    def _SyncObj__getEntries(
        self, fromIDx: int | None, count: int | None = None, maxSizeBytes: int | None = None
    ) -> list[LogEntry]:
        if maxSizeBytes is not None and fromIDx is not None:
            return self.entries_to_send(fromIDx)
        found: list[LogEntry] = super()._SyncObj__getEntries(fromIDx, count)
        return found

    def _SyncObj__sendAppendEntries(self) -> None:
        self._reach_all()
        super()._SyncObj__sendAppendEntries()

    def _reach_all(self) -> None:
        """Whom it can reach is the transport's to know: upstream takes all for connected."""
        self._SyncObj__connectedNodes = self._SyncObj__otherNodes | self._SyncObj__readonlyNodes
