"""Writes down in the swarm what the repository has created, once an apply knows how its actions ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from reconciler.controller.patience import Patience, Tries
from reconciler.controller.ports import Cluster
from reconciler.controller.transactions import Before, swarm_spec_with_undo
from reconciler.controller.write import STALE_RETRIES_MAX
from reconciler.model.errors import ErrorCode, Problem, Severity, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.model.progress import ActionProgress, ActionStatus
from reconciler.planning.inventory import recorded_in, swarm_spec_with
from reconciler.planning.topology_record import NODES, SETTINGS, swarm_spec_with_topology


def names_to_record(
    plan: Plan, ended: Iterable[ActionProgress], written: Iterable[str], undone: Iterable[ActionProgress] = ()
) -> frozenset[str] | None:
    """Return what the inventory is to name after these endings, or None when the plan leaves it alone.

    What was not created is not there, and what was not removed still is. `written` are the ids of the actions that
    were carried out, whatever became of their tasks; `undone` are the writes that put stacks back. Pure.
    """
    if plan.inventory is None:
        return None
    names, sent = set(plan.inventory), frozenset(written)
    for one in ended:
        if one.action.kind in (Kind.SWARM, Kind.NODE):
            continue  # nobody creates these, and so nobody owns them
        if one.action.id not in sent and one.action.type is ActionType.CREATE:
            names.discard(_name(one.action))
        elif one.action.id not in sent and one.action.type is ActionType.DELETE:
            names.add(_name(one.action))
    for one in undone:
        if one.status is not ActionStatus.DONE:
            continue
        if one.action.type is ActionType.DELETE:
            names.discard(_name(one.action))
        else:
            names.add(_name(one.action))
    return frozenset(names)


def topology_to_record(plan: Plan, before: JsonObject | None, ended: Iterable[ActionProgress]) -> JsonObject | None:
    """Return what is to be recorded of nodes and settings after these endings; None when the plan leaves it alone.

    Of what was not written, what was recorded `before` stays. Pure.
    """
    if plan.topology is None:
        return None
    settings, nodes = plan.topology[SETTINGS], dict(plan.topology[NODES])
    known = before or {SETTINGS: {}, NODES: {}}
    for one in ended:
        if one.status is ActionStatus.DONE:
            continue
        if one.action.kind is Kind.SWARM:
            settings = known[SETTINGS]
        elif one.action.kind is Kind.NODE and one.action.object_id in known[NODES]:
            nodes[one.action.object_id] = known[NODES][one.action.object_id]
        elif one.action.kind is Kind.NODE:
            nodes.pop(one.action.object_id, None)
    return {SETTINGS: settings, NODES: nodes}


def _name(action: Action) -> str:
    return f"{action.kind}.{action.name}"


class Books(msgspec.Struct, frozen=True):
    """What one write to the swarm's own labels is to change: the inventory of `owner`, and stacks' records.

    `names` None leaves the inventory as it is, `topology` None what was asked of nodes and settings. `undo` has for
    each stack what it is to go back to; None removes that. `read` is the inventory as the plan found it: what other
    applies of the same repository have added to it since, or taken out, stays so.
    """

    owner: str
    names: frozenset[str] | None = None
    topology: JsonObject | None = None
    undo: Mapping[str, Before | None] = msgspec.field(default_factory=dict)
    read: frozenset[str] = frozenset()

    def on(self, spec: JsonObject) -> JsonObject:
        """Return the swarm's own Spec with these changes."""
        with_names = spec
        if self.names is not None:
            names = (recorded_in(spec, self.owner) | self.names - self.read) - (self.read - self.names)
            with_names = swarm_spec_with(spec, self.owner, names)
        if self.topology is not None:
            with_names = swarm_spec_with_topology(with_names, self.owner, self.topology)
        return swarm_spec_with_undo(with_names, self.owner, self.undo)


async def record(cluster: Cluster, patience: Patience, books: Books) -> Problem | None:
    """Write `books` to the swarm; return a warning where that did not succeed. Nothing to change is nothing to ask.

    One write, made on what the swarm's settings are now; made again when they move in between, within a limit.
    """
    if books.names is None and books.topology is None and not books.undo:
        return None
    tries, moved = Tries(), 0
    try:
        while True:
            swarm = await patience.read(lambda: cluster.get(Kind.SWARM, ""))
            spec = books.on(swarm.spec)
            if spec == swarm.spec:
                return None
            try:
                await cluster.update(Kind.SWARM, swarm.id, swarm.version, spec)
            except SwarmctlError as error:
                moved += error.code is ErrorCode.STALE_VERSION
                if moved > STALE_RETRIES_MAX:
                    raise
                if error.code is not ErrorCode.STALE_VERSION:
                    await patience.bear(error, tries)
            else:
                patience.heard()
                return None
    except SwarmctlError as error:
        return _not_written(error.problems[0], books)


def _not_written(cause: Problem, books: Books) -> Problem:
    what = "What this repository has created could not be written down in the swarm."
    hint = "The next apply that writes something does it; until then, what loses its labels counts as foreign."
    if any(books.undo.values()):
        what = "What the stacks are before this apply could not be written down in the swarm."
        hint = "Should this apply be interrupted, the next one can't put them back."
    elif books.names is None and books.topology is not None:
        what = "What was asked of nodes and settings could not be written down in the swarm."
        hint = "The next apply that writes something does it; until then, who moved them is told wrongly or not at all."
    elif books.names is None:
        what = "That this apply has ended could not be written down in the swarm."
        hint = "The next apply does it."
    return Problem(cause.code, what, why=cause.why or cause.what, hint=hint, severity=Severity.WARNING)
