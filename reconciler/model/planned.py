"""A plan together with what it came from."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.actual import ActualState
from reconciler.model.images import ImageAnswers
from reconciler.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it was made against, and the registries' answers that went into it."""

    plan: Plan
    actual: ActualState
    images: ImageAnswers
