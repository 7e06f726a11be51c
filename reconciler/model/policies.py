"""What the controller may do by itself, beyond swarm.yaml's `policy`: by stack, by object, and by the clock."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, time, tzinfo
from fnmatch import fnmatchcase
from typing import Final

import msgspec

_STEP: Final = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[([^\]"]+)\]|\.?([^.\[\]]+)')
_BY_NAME: Final = frozenset({"Networks", "Secrets", "Configs"})
"""Lists that name other objects, by names in a manifest and by ids in the cluster: neither can stand for the other."""

Steps = tuple[str, ...]


def path_steps(path: str) -> Steps | None:
    """Return the steps of a path as plans show it, or None for what is no path, or one that can't be ignored."""
    steps: list[str] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if not found or (position == 0 and path[0] in ".["):
            return None
        quoted, bracketed, plain = found.groups()
        steps.append(quoted if quoted is not None else bracketed or plain)
        position = found.end()
    if not steps or any(step in _BY_NAME for step in steps):
        return None
    return tuple(steps)


class DriftMode(enum.StrEnum):
    """What to do when the cluster moved though no commit asked for it."""

    HEAL = "heal"
    REPORT = "report"
    IGNORE = "ignore"


class IgnoreRule(msgspec.Struct, frozen=True):
    """Fields that are somebody else's: neither drift nor ever written, such as replicas under an autoscaler.

    `objects` is a glob over ids of objects ("service.web_*"). `path` is a field as plans show it, from the spec's root
    (`Mode.Replicated.Replicas`, `Labels["a.b"]`, `TaskTemplate.ContainerSpec.Env[NAME]`); `*` stands for any one step,
    and everything below the field is meant as well.
    """

    objects: str
    path: str


class WindowKind(enum.StrEnum):
    """What a window does while it is open."""

    ALLOW = "allow"
    DENY = "deny"


class Window(msgspec.Struct, frozen=True):
    """A maintenance window. It opens on each of `days` (0 is Monday) at `start` by the clocks of `zone`.

    Where there is any ALLOW window, changes wait for one of them. A DENY window holds them whatever else is open.
    """

    kind: WindowKind
    start: time
    duration_s: float
    days: frozenset[int] = frozenset(range(7))
    zone: tzinfo = UTC


class StackPolicy(msgspec.Struct, frozen=True):
    """What holds for one stack; None and () say nothing."""

    drift: DriftMode | None = None
    windows: tuple[Window, ...] = ()


class Policies(msgspec.Struct, frozen=True):
    """All that the controller is told. `objects` maps globs over ids of objects ("node.*") to drift modes.

    The first glob that fits counts, then the stack's mode, then `drift`. A stack's windows take the place of
    `windows`.
    """

    drift: DriftMode = DriftMode.HEAL
    windows: tuple[Window, ...] = ()
    stacks: Mapping[str, StackPolicy] = msgspec.field(default_factory=dict)
    objects: tuple[tuple[str, DriftMode], ...] = ()
    ignore: tuple[IgnoreRule, ...] = ()

    def drift_of(self, object_id: str, scope: str) -> DriftMode:
        """Return what to do with drift of one object ("service.web_api") of one stack, "" for none."""
        for pattern, mode in self.objects:
            if fnmatchcase(object_id, pattern):
                return mode
        stack = self.stacks.get(scope)
        return stack.drift if stack is not None and stack.drift is not None else self.drift

    def windows_of(self, scope: str) -> tuple[Window, ...]:
        """Return the windows that hold for one stack, "" for what belongs to none."""
        stack = self.stacks.get(scope)
        return stack.windows if stack is not None and stack.windows else self.windows
