"""Tasks as the Engine API shows them. A Task runs once, on one Node; it is replaced, never restarted."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject, dig


class TaskState(enum.IntEnum):
    """Only grows: of two reports the greater is right, whatever order they arrive in.

    Gaps leave room for states between. Names in lower case are the API's. (swarmkit api/types.proto)
    """

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @classmethod
    def parse(cls, name: str) -> TaskState:
        """Return the state that the API calls `name`; an unknown name counts as NEW."""
        return _BY_NAME.get(name, cls.NEW)

    @property
    def api_name(self) -> str:
        return self.name.lower()


NO_NODE = "no suitable node"
"""How the scheduler begins to say why a task that may go anywhere stays pending. (facts: swarmkit 3.3)"""


def is_enforced(state: TaskState, desired_state: TaskState) -> bool:
    """Return whether the constraint enforcer looks at such a task: it was given to its node, and is to go on there."""
    wanted = TaskState.ASSIGNED <= desired_state <= TaskState.COMPLETE
    return wanted and TaskState.ASSIGNED <= state < TaskState.COMPLETE


_BY_NAME = {state.name.lower(): state for state in TaskState} | {"allocated": TaskState.PENDING}


class ObservedTask(Discreet, frozen=True):
    """One task. `slot` is 0 for a global service's task; `node_id` is "" while unassigned.

    `up_to_date` says that the task runs what its service asks for now (the API's `_up-to-date` filter).
    `timestamp` is the API's text of when `state` was reached.
    """

    UNSHOWN = frozenset({"raw"})

    id: str
    service_id: str
    node_id: str
    slot: int
    state: TaskState
    desired_state: TaskState
    up_to_date: bool
    message: str
    error: str
    timestamp: str
    raw: JsonObject

    @classmethod
    def from_api(cls, raw: JsonObject, *, up_to_date: bool) -> ObservedTask:
        """Return the task that `GET /tasks` describes."""
        status: dict[str, Any] = raw.get("Status") or {}
        return cls(
            id=raw["ID"],
            service_id=raw.get("ServiceID", ""),
            node_id=raw.get("NodeID", ""),
            slot=raw.get("Slot", 0),
            state=TaskState.parse(status.get("State", "")),
            desired_state=TaskState.parse(raw.get("DesiredState", "")),
            up_to_date=up_to_date,
            message=status.get("Message", ""),
            error=status.get("Err", ""),
            timestamp=status.get("Timestamp", ""),
            raw=raw,
        )

    @property
    def no_node_because(self) -> str:
        """Why the scheduler finds no node for this task of today's spec, in its own words; else "".

        A task that was made for one node, a global service's, is told just why that node does not take it.
        (facts, swarmkit.md 3.1)
        """
        if not self.up_to_date or self.state is not TaskState.PENDING or self.desired_state > TaskState.COMPLETE:
            return ""
        if self.node_id and self.error:
            return self.error
        return next((text for text in (self.error, self.message) if text.startswith(NO_NODE)), "")

    @property
    def lacks_addresses(self) -> bool:
        """Whether it is wanted, of today's spec, and has no addresses yet. Swarm never says why one stays `new`."""
        return self.up_to_date and self.state is TaskState.NEW and self.desired_state <= TaskState.COMPLETE

    @property
    def reached_at(self) -> datetime | None:
        """When `state` was reached, aware UTC; None where the API does not tell."""
        try:
            told = datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None
        return told if told.tzinfo is not None else None

    @property
    def exit_code(self) -> int | None:
        """The process's exit code once it has ended, else None."""
        code = dig(self.raw, "Status", "ContainerStatus", "ExitCode")
        return code if isinstance(code, int) and self.state > TaskState.RUNNING else None
