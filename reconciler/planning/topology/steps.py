"""The Actions that bring one node where swarm.yaml wants it.

A manager is drained, and waited for until it is empty, before it is demoted; so is every node before it is removed.
Swarm itself would let tasks run on through a demotion; but a node whose role changes has a new certificate to fetch,
and may fail at that, and its tasks should not go down with it unannounced.
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.model import labels
from reconciler.model.json import JsonObject, dig
from reconciler.model.modes import mode_of
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import Action, ActionType, Change, TaskEffect
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.model.words import many
from reconciler.planning.context import Context
from reconciler.planning.differ import changes_between
from reconciler.planning.topology.listing import ListedNode, is_manager

ACTIVE: Final = "active"
DRAIN: Final = "drain"
AVAILABILITIES: Final = (ACTIVE, "pause", DRAIN)

_GONE: Final = "gone"
"""In the place of a mode, where the service is not there any more."""


def target_spec(node: ListedNode) -> JsonObject:
    """Return the NodeSpec that swarm.yaml asks for, the live one wherever it says nothing.

    A node that we have drained for a demotion, and whose availability is nobody's business, gets back what it had.
    """
    wanted, spec = node.wanted, dict(node.found.spec)
    kept = {name: value for name, value in node.found.labels.items() if name != labels.AVAILABILITY}
    spec["Labels"] = kept if wanted.labels is None else dict(wanted.labels)
    before = node.found.labels.get(labels.AVAILABILITY)
    if wanted.availability is not None:
        spec["Availability"] = wanted.availability
    elif before in AVAILABILITIES and spec.get("Availability") == DRAIN:
        spec["Availability"] = before
    if wanted.role is not None:
        spec["Role"] = wanted.role.value
    return spec


def promotes(action: Action) -> bool:
    """Return whether the action makes a manager of a worker."""
    return action.spec is not None and is_manager(action.spec) and not is_manager(action.read_spec or {})


def demotes(action: Action) -> bool:
    """Return whether the action makes a worker of a manager."""
    return action.spec is not None and is_manager(action.read_spec or {}) and not is_manager(action.spec)


def changes_of(node: ListedNode, before: JsonObject, after: JsonObject) -> tuple[Change, ...]:
    """Return what differs between two NodeSpecs, each with the line that asks for it.

    What is only for a while, such as a drain before a demotion, no line asks for: it has the place of the node's entry.
    """
    old, new, asked = ({**spec, "Labels": spec.get("Labels") or {}} for spec in (before, after, target_spec(node)))
    for_a_while = {change.path for change in changes_between(new, asked)}
    return tuple(
        Change(
            one.path,
            one.old,
            one.new,
            sensitive=one.sensitive,
            place=node.wanted.place if one.path in for_a_while else node.wanted.place_of(one.path),
        )
        for one in changes_between(old, new)
    )


class Chain(msgspec.Struct):
    """The actions on one node, each after the one before; the first is after `after`.

    Each reads what the one before has written: Swarm moves the versions of nodes by itself, and apply then compares
    specs (controller/write.py).
    """

    context: Context
    node: ListedNode
    after: tuple[str, ...]
    actions: list[Action] = msgspec.field(default_factory=list)

    def write(self, spec: JsonObject, step: str, reason: str, effect: tuple[TaskEffect, str]) -> None:
        """Add an update to `spec`, if that differs. `step` tells it from others; the last is called after the node."""
        before = self._written()
        changes = changes_of(self.node, before, spec)
        if not changes:
            return
        self.actions.append(
            Action(
                id=self._next_id(step),
                type=ActionType.UPDATE,
                kind=Kind.NODE,
                name=self.node.told_name,
                stack=None,
                reason=reason or ("1 field differs" if len(changes) == 1 else f"{len(changes)} fields differ"),
                effect=effect[0],
                effect_text=effect[1],
                changes=changes,
                after=self._after(),
                object_id=self.node.found.id,
                version=self.node.found.version,
                spec=spec,
                read_spec=before,
                place=self.node.wanted.place,
            )
        )

    def remove(self) -> None:
        """Add the removal."""
        down = self.node.is_down
        text = "it is down, and takes no task" if down else "no task is left on it by then"
        unseen = _last_seen_on(self.context, self.node) if down else 0
        ends = f"ends {many(unseen, 'task')} last seen on it, where still running, and " if unseen else ""
        self.actions.append(
            Action(
                id=self._next_id(""),
                type=ActionType.DELETE,
                kind=Kind.NODE,
                name=self.node.told_name,
                stack=None,
                reason="swarm.yaml says `state: absent`",
                effect_text=f"{text}; `docker swarm leave` there {ends}lets its engine join again",
                after=self._after(),
                object_id=self.node.found.id,
                version=self.node.found.version,
                read_spec=self._written(),
                place=self.node.wanted.place,
                force=not down,
            )
        )

    def _written(self) -> JsonObject:
        return (self.actions[-1].spec if self.actions else None) or self.node.found.spec

    def _after(self) -> tuple[str, ...]:
        return (self.actions[-1].id,) if self.actions else self.after

    def _next_id(self, step: str) -> str:
        return f"{self.node.action_id}.{step}" if step else self.node.action_id


def updated(context: Context, node: ListedNode, after: tuple[str, ...]) -> Chain:
    """Return the one write that brings a node to its target, or none if it is there."""
    chain = Chain(context, node, after)
    spec = target_spec(node)
    chain.write(spec, "", "", _effect_of_update(context, node, spec))
    return chain


def demoted(context: Context, node: ListedNode, after: tuple[str, ...], *, at_once: bool) -> Chain:
    """Return the writes that make a worker of a manager: drained, demoted, and then as swarm.yaml wants it.

    `at_once` puts the last two into one write, for the node whose API we use: there is none afterwards.
    """
    chain = Chain(context, node, after)
    target = target_spec(node)
    stays_drained = target.get("Availability") == DRAIN
    drained = {**(target if stays_drained else _drained(node)), "Role": NodeRole.MANAGER.value}
    if not _is_drained(node) and not node.is_down:
        chain.write(drained, "drain", "it is to be demoted", _effect_of_drain(context, node, "before it is demoted"))
    last = at_once or node.is_down or stays_drained
    lowered = target if last else {**drained, "Role": NodeRole.WORKER.value}
    text = "its manager stops" if node.is_down else "its manager stops, once no task is left on it"
    chain.write(lowered, "" if last else "demote", "swarm.yaml wants a worker", (TaskEffect.NONE, text))
    chain.write(target, "", "it was drained to be demoted only", (TaskEffect.NONE, "it may get tasks again"))
    return chain


def removed(context: Context, node: ListedNode, after: tuple[str, ...]) -> Chain:
    """Return the actions that take a node out of the swarm: drained, demoted if it is a manager, removed."""
    chain = Chain(context, node, after)
    spec = dict(node.found.spec)
    if not _is_drained(node) and not node.is_down:
        spec |= {"Availability": DRAIN}
        chain.write(spec, "drain", "it is to be removed", _effect_of_drain(context, node, "before it is removed"))
    if is_manager(spec):
        text = "its manager stops" if node.is_down else "its manager stops, once no task is left on it"
        lowered = {**spec, "Role": NodeRole.WORKER.value}
        chain.write(lowered, "demote", "it is to be removed", (TaskEffect.NONE, text))
    chain.remove()
    return chain


def drains(node: ListedNode, spec: JsonObject) -> bool:
    """Return whether `spec` takes the node from those that run tasks."""
    return bool(spec.get("Availability") == DRAIN) and not _is_drained(node)


def _becomes_active(node: ListedNode, spec: JsonObject) -> bool:
    return bool(spec.get("Availability") == ACTIVE) and bool(node.found.spec.get("Availability") != ACTIVE)


def _is_drained(node: ListedNode) -> bool:
    return bool(node.found.spec.get("Availability") == DRAIN)


def _drained(node: ListedNode) -> JsonObject:
    """Return the live spec, drained for a while; its availability is kept in a label if no manifest says it.

    Without that, an apply that ends half-way would leave nobody who knows what to go back to.
    """
    spec = {**node.found.spec, "Availability": DRAIN}
    if node.wanted.availability is None and not _is_drained(node):
        spec["Labels"] = {**node.found.labels, labels.AVAILABILITY: node.found.spec.get("Availability", "active")}
    return spec


def _effect_of_update(context: Context, node: ListedNode, spec: JsonObject) -> tuple[TaskEffect, str]:
    if drains(node, spec):
        return _effect_of_drain(context, node, "")
    changes = changes_of(node, node.found.spec, spec)
    if _becomes_active(node, spec):
        return TaskEffect.MOVE, "tasks start that had no node"
    if any(_is_constrained(context, change.path) for change in changes):
        return TaskEffect.MOVE, "tasks whose constraints it no longer meets move"
    if spec.get("Role") != node.found.spec.get("Role"):
        return TaskEffect.NONE, f"{TaskEffect.NONE.value}; its manager starts"
    return TaskEffect.NONE, TaskEffect.NONE.value


def _effect_of_drain(context: Context, node: ListedNode, purpose: str) -> tuple[TaskEffect, str]:
    """Return what draining the node does to the tasks on it.

    Tasks of replicated services move, those of global services stop, and those of jobs run on to their end, and so do
    those that an engine of 20.10 left running after their job was removed. What is to end there anyway is not counted:
    on a node that is down it never tells that it has.
    Source: swarmkit's orchestrators; the one for jobs takes no notice of nodes.
    """
    running = [task for task in context.actual.tasks if task.node_id == node.found.id and _runs_on(task)]
    if not running:
        return TaskEffect.NONE, "no task runs on it now" + (f", and none may start {purpose}" if purpose else "")
    modes = {service.id: mode_of(service.spec) for service in context.actual.services}
    of = [modes.get(task.service_id, _GONE) for task in running]
    jobs, everywhere, gone = sum(mode.endswith("Job") for mode in of), of.count("Global"), of.count(_GONE)
    told = [
        _tasks(len(of) - jobs - everywhere - gone, "moves to other nodes", "move to other nodes"),
        _tasks(everywhere, "of a global service stops", "of global services stop"),
        _tasks(jobs, "of a job runs on to its end", "of jobs run on to their end"),
        _tasks(gone, "of a removed service runs on to its end", "of removed services run on to their end"),
    ]
    ending = f", so that it is empty {purpose}" if purpose else ""
    return TaskEffect.MOVE, ", ".join(text for text in told if text) + ending


def _runs_on(task: ObservedTask) -> bool:
    """Return whether the task has been given to a node, has not ended there, and is not to end either."""
    return TaskState.PENDING < task.state <= TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE


def _last_seen_on(context: Context, node: ListedNode) -> int:
    """Return how many tasks ran on the node, or were about to, when it was last heard of: they may run on there."""
    return sum(
        1
        for task in context.actual.tasks
        if task.node_id == node.found.id and TaskState.PENDING < task.state <= TaskState.RUNNING
    )


def _tasks(count: int, one: str, many: str) -> str:
    return f"1 task {one}" if count == 1 else f"{count} tasks {many}" if count else ""


def _is_constrained(context: Context, path: str) -> bool:
    """Return whether a live service's placement looks at the node field `path` (a label, or the role)."""
    key = "node.role" if path == "Role" else path.replace('Labels["', "node.labels.").removesuffix('"]')
    return any(
        constraint.partition("=")[0].rstrip("!").strip().lower() == key.lower()
        for service in context.actual.services
        for constraint in dig(service.spec, "TaskTemplate", "Placement", "Constraints") or []
    )


def local_node(context: Context) -> ObservedObject | None:
    """Return the node whose API this plan goes through, as far as known."""
    return next((node for node in context.actual.nodes if node.id == context.actual.local_node_id), None)
