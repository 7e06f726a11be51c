"""The pre-flight of a whole plan."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.model.errors import Problem
from reconciler.planning.context import Context, Draft


def preflight(context: Context, draft: Draft) -> tuple[Problem, ...]:  # noqa: ARG001
    """Return one warning for each service that the draft leaves with tasks that no node can run, and why."""
    return ()


def stranded_by(context: Context, draft: Draft, leaving: Collection[str]) -> tuple[Problem, ...]:  # noqa: ARG001
    """Return one problem for each service whose replicas fit nowhere once the nodes with the ids `leaving` take none.

    Services that could not be placed before either are not the nodes' fault, and are left out.
    """
    return ()
