"""What to plan, and a plan together with what it came from."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.images import ImageAnswers, ResolveMode
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan


class PlanRequest(msgspec.Struct, frozen=True):
    """What to plan, and how. `stacks` None means all; `images` are an earlier plan's answers, not to be asked again.

    `baseline` is another revision that counts as what was last applied, and `elsewhere` what other repositories declare
    that are applied beside this one: {(kind, name): their owner}. `waits` is False where the plan is carried out
    without waiting for tasks between its steps.
    """

    desired: DesiredState
    resolve: ResolveMode = ResolveMode.CHANGED
    stacks: frozenset[str] | None = None
    baseline: DesiredState | None = None
    images: ImageAnswers | None = None
    elsewhere: Mapping[tuple[Kind, str], str] = msgspec.field(default_factory=dict)
    waits: bool = True


class Planned(msgspec.Struct, frozen=True):
    """A plan, what it was made against, and the registries' answers that went into it."""

    plan: Plan
    actual: ActualState
    images: ImageAnswers
