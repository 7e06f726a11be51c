"""The swarm's own settings, and its nodes: role, availability, labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, TaskEffect
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.differ import changes_between

MANAGER = "manager"
SWARM_NAME = "default"
"""The only name that Swarm lets a cluster have."""


def plan_swarm(context: Context, draft: Draft) -> None:
    """Add what changes swarm-wide settings. Only the settings that swarm.yaml gives are compared."""
    wanted = context.desired.settings
    if not wanted:
        return
    live = context.actual.swarm
    merged = _merged(live.spec, wanted)
    changes = changes_between(live.spec, merged)
    if not changes:
        return
    draft.actions.append(
        Action(
            id=action_id(Kind.SWARM, SWARM_NAME),
            type=ActionType.UPDATE,
            kind=Kind.SWARM,
            name=SWARM_NAME,
            stack=None,
            reason="its settings differ",
            changes=changes,
            object_id=live.id,
            version=live.version,
            spec=merged,
            read_spec=live.spec,
            place=next((context.desired.settings_places.get(change.path) for change in changes), None),
        )
    )


def _merged(base: JsonObject, over: JsonObject) -> JsonObject:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below or {}, value) if isinstance(value, dict) else value
    return merged


def plan_nodes(context: Context, draft: Draft) -> None:
    """Add what changes nodes: promotions first, then demotions as far as quorum allows, one after the other."""
    matched = [(wanted, found) for wanted in context.desired.nodes for found in _match(context, draft, wanted)]
    actions = [action for wanted, found in matched if (action := _update(context, wanted, found))]
    others = _one_by_one([action for action in actions if not _demotes(action)])
    draft.actions.extend(others)
    draft.actions.extend(_safe_demotions(context, draft, [action for action in actions if _demotes(action)], others))


def _one_by_one(actions: list[Action]) -> list[Action]:
    """Return the actions with each promotion after the one before: Swarm takes one manager at a time."""
    ordered: list[Action] = []
    promoted: tuple[str, ...] = ()
    for action in actions:
        if (action.spec or {}).get("Role") != _old_role(action):
            ordered.append(replace(action, after=promoted))
            promoted = (action.id,)
        else:
            ordered.append(action)
    return ordered


def _match(context: Context, draft: Draft, wanted: DesiredNode) -> Iterator[ObservedObject]:
    """Yield the node that `wanted` means, or nothing and a note: a missing node is news, not something to do."""
    if wanted.by_id:
        found = [node for node in context.actual.nodes if node.id == wanted.selector]
    else:
        found = [node for node in context.actual.nodes if node.name == wanted.selector]
    up = [node for node in found if node.dig("Status", "State") != "down"]
    if len(found) == 1 or len(up) == 1:
        yield (up or found)[0]
        return
    if found:
        draft.block(
            Kind.NODE,
            wanted.selector,
            Problem(
                ErrorCode.INVALID_VALUE,
                f"{len(found)} nodes have the hostname {wanted.selector}.",
                why="A hostname must mean one node.",
                hint="Name the node by id instead: " + ", ".join(f"id: {node.id}" for node in found),
                place=wanted.place,
            ),
        )
        return
    known = ", ".join(sorted(node.name for node in context.actual.nodes))
    draft.notes.append(
        Problem(
            ErrorCode.OBJECT_NOT_FOUND,
            f"Node {wanted.selector} is listed and not in the swarm.",
            why=f"The swarm's nodes are {known}.",
            hint="Join it (docker swarm join-token worker), or take it off the list.",
            place=wanted.place,
            severity=Severity.WARNING,
        )
    )


def _update(context: Context, wanted: DesiredNode, found: ObservedObject) -> Action | None:
    spec = dict(found.spec)
    if wanted.role is not None:
        spec["Role"] = wanted.role.value
    if wanted.availability is not None:
        spec["Availability"] = wanted.availability
    if wanted.labels is not None:
        spec["Labels"] = dict(wanted.labels)
    changes = changes_between(
        {**found.spec, "Labels": found.spec.get("Labels") or {}}, {**spec, "Labels": spec.get("Labels") or {}}
    )
    if not changes:
        return None
    drains = spec.get("Availability") == "drain" != found.spec.get("Availability")
    relabels = any(_is_constrained(context, change.path) for change in changes)
    text = TaskEffect.NONE.value
    if drains:
        text = "its tasks move to other nodes"
    elif relabels:
        text = "tasks whose constraints it no longer meets move"
    return Action(
        id=action_id(Kind.NODE, found.name if not wanted.by_id else found.id),
        type=ActionType.UPDATE,
        kind=Kind.NODE,
        name=found.name,
        stack=None,
        reason="1 field differs" if len(changes) == 1 else f"{len(changes)} fields differ",
        effect=TaskEffect.MOVE if drains or relabels else TaskEffect.NONE,
        effect_text=text,
        changes=changes,
        object_id=found.id,
        version=found.version,
        spec=spec,
        read_spec=found.spec,
        place=wanted.place,
    )


def _is_constrained(context: Context, path: str) -> bool:
    """Return whether a live service's placement looks at the node field `path` (a label, or the role)."""
    key = "node.role" if path == "Role" else path.replace('Labels["', "node.labels.").removesuffix('"]')
    return any(
        constraint.partition("=")[0].rstrip("!").strip().lower() == key.lower()
        for service in context.actual.services
        for constraint in dig(service.spec, "TaskTemplate", "Placement", "Constraints") or []
    )


def _demotes(action: Action) -> bool:
    before, after = action.read_spec or {}, action.spec or {}
    return before.get("Role") == MANAGER != after.get("Role")


def _safe_demotions(context: Context, draft: Draft, demotions: list[Action], others: list[Action]) -> Iterator[Action]:
    """Yield the demotions after which a majority of managers is still reachable; block the rest.

    Managers that this plan promotes count as members, and not as reachable: they have to join the managers'
    Raft group first, and may fail to.
    """
    managers = [node for node in context.actual.nodes if node.spec.get("Role") == MANAGER]
    reachable = {node.id for node in managers if node.dig("ManagerStatus", "Reachability") == "reachable"}
    members = len(managers) + sum(
        1 for action in others if (action.spec or {}).get("Role") == MANAGER != _old_role(action)
    )
    before = tuple(action.id for action in others if action.kind is Kind.NODE)
    for action in demotions:
        left = reachable - {action.object_id}
        if members - 1 < 1 or len(left) < (members - 1) // 2 + 1:
            draft.block(Kind.NODE, action.name, _would_lose_quorum(action, members - 1, len(left)))
            continue
        reachable, members = left, members - 1
        yield replace(action, after=before)
        before = (*before, action.id)


def _old_role(action: Action) -> str | None:
    return (action.read_spec or {}).get("Role")


def _would_lose_quorum(action: Action, members: int, reachable: int) -> Problem:
    if members < 1:
        why = "It is the last manager: without one the swarm can't be changed any more."
    else:
        why = f"Of the {members} managers left, {reachable} would be known to be reachable: no majority."
    return Problem(
        ErrorCode.PLAN_BLOCKED,
        f"Node {action.name} can't be demoted now.",
        why=why,
        hint="Promote other nodes first, and apply again once `swarmctl status` shows them reachable.",
        place=action.place,
    )
