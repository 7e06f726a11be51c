"""What a plan is made with, beside what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.model.desired import DesiredState
from reconciler.model.errors import Problem
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.objects import Kind


class PlanOptions(msgspec.Struct, frozen=True):
    """`images` are the registries' answers, {image as the manifest writes it: answer}; others are not looked up.

    `resolve` says which services they count for (planning/images.py): with `changed` a service whose image text
    stays keeps the digest that it runs, though a new one with the same image was looked up.
    `baseline` is another Revision that counts as what was last applied, instead of what the cluster has recorded: for
    showing what a pull request changes. `stacks` limits the plan to these stacks; None means everything.
    `waits` says whether each step waits until the tasks run of those that come before it: without, room that a later
    step gives back comes in any case (`apply --no-wait`).
    `elsewhere` is what other repositories declare that are applied beside this one: {(kind, name): their owner}.
    """

    images: Mapping[str, ResolvedImage | Problem | None] = msgspec.field(default_factory=dict)
    baseline: DesiredState | None = None
    stacks: frozenset[str] | None = None
    resolve: ResolveMode = ResolveMode.ALWAYS
    elsewhere: Mapping[tuple[Kind, str], str] = msgspec.field(default_factory=dict)
    waits: bool = True


NO_OPTIONS = PlanOptions()
