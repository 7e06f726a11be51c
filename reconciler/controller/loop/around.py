"""What passes work with while this controller leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from reconciler.controller.apply import ApplyOptions
from reconciler.controller.loop.link import ClusterLink
from reconciler.controller.loop.ports import Clock, Meters
from reconciler.controller.loop.state_records import Memory
from reconciler.controller.prepare import RegistryAuth, no_registry_auth
from reconciler.gitops.state import LoopState
from reconciler.model.discreet import Discreet
from reconciler.model.images import ResolveMode
from reconciler.model.progress import (
    ActionProgress,
    ActionStatus,
    Assessment,
    Progress,
    ServicesProgress,
    UndoneStack,
)

log = structlog.stdlib.get_logger(__name__)


class ApplySettings(Discreet, frozen=True):
    """How plans are carried out. `timeout_s` is for each wait for tasks."""

    UNSHOWN = frozenset({"registry_auth", "nodes_auth"})

    parallel: int = 8
    timeout_s: float = 300.0
    resolve: ResolveMode = ResolveMode.CHANGED
    registry_auth: RegistryAuth = no_registry_auth
    """What registries are asked with."""
    nodes_auth: RegistryAuth = no_registry_auth
    """What nodes pull with."""

    def options(self) -> ApplyOptions:
        """Return them as `apply` takes them.

        Who leads no more stops at once. A write under way can't be taken back, so there is nothing to wait for: a
        controller that waited would end by itself as one that goes on although it leads no more.
        """
        return ApplyOptions(self.parallel, True, self.timeout_s, self.nodes_auth, interrupt_grace_s=0.0)


class Around(msgspec.Struct, frozen=True):
    """What a pass works with, in one leadership."""

    memory: Memory
    link: ClusterLink
    clock: Clock
    meters: Meters
    epoch: int
    apply: ApplySettings = ApplySettings()
    decided: Callable[[LoopState], None] = lambda _: None
    """Told of the state of each decision: forges show it beside commits."""


@dataclass(slots=True)
class Told:
    """One line for each write: who reads them knows what was sent, and when.

    `steps` are the last of each action, by its id, `services` the last looks at those that are awaited, by name, and
    `undone` the stacks that were put back. `moved` is called with each.
    """

    pass_id: str
    steps: dict[str, ActionProgress] = field(default_factory=dict)
    services: dict[str, Assessment] = field(default_factory=dict)
    undone: dict[str, UndoneStack] = field(default_factory=dict)
    moved: Callable[[Progress], None] = lambda _: None

    @property
    def is_writing(self) -> bool:
        """Whether a write is under way: it can't be taken back, and is ended first."""
        return any(one.status is ActionStatus.RUNNING for one in self.steps.values())

    def __call__(self, step: Progress) -> None:
        if isinstance(step, ServicesProgress):
            self.services |= {one.service: one for one in step.assessments}
        elif isinstance(step, UndoneStack):
            self.undone[step.stack] = step
        else:
            self._action(step)
        self.moved(step)

    def _action(self, step: ActionProgress) -> None:
        action, status = step.action, step.status
        self.steps[action.id] = step
        if status is not ActionStatus.WAITING:
            log.info("action", pass_id=self.pass_id, action=action.id, type=action.type.value, status=status.value)
