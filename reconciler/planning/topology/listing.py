"""Which nodes the list of swarm.yaml means, and what is to be said of the others."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.planning.context import Context, Draft, action_id


class ListedNode(msgspec.Struct, frozen=True):
    """A node that swarm.yaml lists, and that the swarm has."""

    wanted: DesiredNode
    found: ObservedObject

    @property
    def action_id(self) -> str:
        """The id of the only, or the last, action on it."""
        return action_id(Kind.NODE, self.label)

    @property
    def label(self) -> str:
        """What swarm.yaml calls it: its hostname, or its id where that is what it is listed by."""
        return self.wanted.selector

    @property
    def told_name(self) -> str:
        """Its hostname for people; with its id where it is listed by that, as others may have the hostname."""
        name, node_id = self.found.name, self.found.id
        return f"{name} ({node_id})" if self.wanted.by_id and name != node_id else name

    @property
    def is_down(self) -> bool:
        return is_down(self.found)

    @property
    def is_joining_managers(self) -> bool:
        """Whether it was promoted, and its engine, which answers, is no manager yet."""
        promoted = is_manager(self.found.spec) and self.found.dig("ManagerStatus") is None
        return promoted and self.found.dig("Status", "State") == "ready"


def is_down(node: ObservedObject) -> bool:
    """Return whether the swarm has given the node up: nothing can be waited for there."""
    return bool(node.dig("Status", "State") == "down")


def listed_nodes(context: Context, draft: Draft) -> tuple[ListedNode, ...]:
    """Return the nodes that swarm.yaml means; note what it lists in vain, and what it doesn't list.

    Of a cluster that is only imagined, whose nodes are those of another revision, nothing is noted.
    """
    listed: dict[str, ListedNode] = {}
    for wanted in context.desired.nodes:
        for found in _match(context, draft, wanted):
            first = listed.get(found.id)
            if first is not None:
                draft.block(Kind.NODE, wanted.selector, _meant_twice(wanted, first.wanted, found))
                continue
            listed[found.id] = ListedNode(wanted, found)
            if is_down(found) and not wanted.absent:
                draft.notes.append(_down(context, wanted, found))
    _note_unlisted(context, draft)
    return tuple(listed.values())


def _match(context: Context, draft: Draft, wanted: DesiredNode) -> Iterator[ObservedObject]:
    """Yield the node that `wanted` means, or nothing and a note: a missing node is news, not something to do."""
    found = _meant(context, wanted)
    if len(found) == 1:
        yield found[0]
    elif found:
        draft.block(Kind.NODE, wanted.selector, _ambiguous(wanted, found))
    elif not wanted.absent and not context.is_imagined:
        draft.notes.append(_missing(context, wanted))


def _meant(context: Context, wanted: DesiredNode) -> list[ObservedObject]:
    """Return the one node that `wanted` means; several where that can't be told, and none where none is called so."""
    found = _called(context, wanted)
    up = [node for node in found if not is_down(node)]
    if len(up) == 1 and not wanted.absent:
        return up  # the others are what it left behind when it joined anew
    return found


def _called(context: Context, wanted: DesiredNode) -> list[ObservedObject]:
    if wanted.by_id:
        return [node for node in context.actual.nodes if node.id == wanted.selector]
    return [node for node in context.actual.nodes if node.name == wanted.selector]


def _note_unlisted(context: Context, draft: Draft) -> None:
    """Tell which nodes no entry means. A repository that lists none leaves them to others, and hears nothing."""
    if not context.desired.nodes or context.is_imagined:
        return
    known = {node.id for wanted in context.desired.nodes for node in _meant(context, wanted)}
    unlisted = [node for node in context.actual.nodes if node.id not in known]
    if not unlisted:
        return
    shared = {node.name for node in context.actual.nodes if node.id in known}
    names = ", ".join(sorted(_described(node, with_id=node.name in shared) for node in unlisted))
    count = "1 node is" if len(unlisted) == 1 else f"{len(unlisted)} nodes are"
    draft.notes.append(
        Problem(
            ErrorCode.NODE_NOT_LISTED,
            f"{count} in the swarm and not in swarm.yaml: {names}.",
            why="What is not listed is left as it is.",
            hint="List it under spec.nodes, with `state: absent` if it shall go.",
            severity=Severity.WARNING,
        )
    )


def _described(node: ObservedObject, *, with_id: bool) -> str:
    """Return a node's name and state; `with_id` where an entry that has the hostname means another node."""
    state = node.dig("Status", "State") or "unknown"
    return f"{node.name} (id: {node.id}, {state})" if with_id else f"{node.name} ({state})"


def _ambiguous(wanted: DesiredNode, found: list[ObservedObject]) -> Problem:
    return Problem(
        ErrorCode.INVALID_VALUE,
        f"{len(found)} nodes have the hostname {wanted.selector}.",
        why="A hostname must mean one node.",
        hint="Name the node by id instead: "
        + ", ".join(f"id: {node.id} ({node.dig('Status', 'State') or 'unknown'})" for node in found),
        place=wanted.place,
    )


def _meant_twice(wanted: DesiredNode, first: DesiredNode, found: ObservedObject) -> Problem:
    return Problem(
        ErrorCode.INVALID_VALUE,
        f"Two entries mean node {found.name}: {first.selector} and {wanted.selector}.",
        why=f"Its hostname is {found.name}, and its id is {found.id}.",
        hint="Put all that is asked of it into one entry.",
        place=wanted.place,
    )


def _down(context: Context, wanted: DesiredNode, found: ObservedObject) -> Problem:
    message = found.dig("Status", "Message")
    locks = dig(context.actual.swarm.spec, "EncryptionConfig", "AutoLockManagers")
    # A manager that waits for the unlock key after a restart looks just like one that is not running.
    unlocked = ", and unlock it there with `docker swarm unlock`" if locks and is_manager(found.spec) else ""
    return Problem(
        ErrorCode.NODE_DOWN,
        f"Node {found.name} is listed and down.",
        why=f"The swarm says: {message}." if message else "The swarm has not heard of it for a while.",
        hint=f"Start its engine again{unlocked}; or write `state: absent`, if it shall not come back.",
        place=wanted.place,
        severity=Severity.WARNING,
    )


def is_manager(spec: JsonObject) -> bool:
    """Return whether a node's spec makes it a manager."""
    return bool(spec.get("Role") == NodeRole.MANAGER)


def _missing(context: Context, wanted: DesiredNode) -> Problem:
    known = ", ".join(sorted(node.name for node in context.actual.nodes))
    return Problem(
        ErrorCode.OBJECT_NOT_FOUND,
        f"Node {wanted.selector} is listed and not in the swarm.",
        why=f"The swarm's nodes are {known}.",
        hint="Join it (docker swarm join-token worker), or take it off the list.",
        place=wanted.place,
        severity=Severity.WARNING,
    )
