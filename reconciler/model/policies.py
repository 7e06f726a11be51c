"""What the controller may do by itself, beyond swarm.yaml's `policy`: by stack, by object, and by the clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, time, tzinfo
from fnmatch import fnmatchcase

from reconciler.model.desired import DriftMode


@dataclass(frozen=True, slots=True)
class IgnoreRule:
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


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window. It opens on each of `days` (0 is Monday) at `start` by the clocks of `zone`.

    Where there is any ALLOW window, changes wait for one of them. A DENY window holds them whatever else is open.
    """

    kind: WindowKind
    start: time
    duration_s: float
    days: frozenset[int] = frozenset(range(7))
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class StackPolicy:
    """What holds for one stack; None and () say nothing."""

    drift: DriftMode | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Policies:
    """All that the controller is told. `objects` maps globs over ids of objects ("node.*") to drift modes.

    The first glob that fits counts, then the stack's mode, then `drift`. A stack's windows take the place of
    `windows`.
    """

    drift: DriftMode = DriftMode.HEAL
    windows: tuple[Window, ...] = ()
    stacks: Mapping[str, StackPolicy] = field(default_factory=dict)
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
