"""Tasks that find no room as long as others still have it that are to give it back in the same plan.

Two things make that last for ever, though there is room for all once the plan is done. A step that gives room back may
come only after the tasks in need of it run: what depends on others is written after them. (What is pruned goes last,
but for what others need: planning/making_room.py.) And of several `start-first` updates none gives anything back before
it has begun.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.plan import Action
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.claims import Claim
from reconciler.planning.preflight.demands import Demand, Survey, held_claim, is_placed, live_tasks
from reconciler.planning.preflight.placing import Shortfall, alone, beside, never_begun
from reconciler.planning.preflight.rooms import Rooms

Held = dict[str, list[tuple[str, Claim]]]
"""{service name: (node id, claim) of each of its tasks that the plan ends}"""


def crowded_out(context: Context, draft: Draft, survey: Survey, told: Iterable[str]) -> dict[str, Shortfall]:
    """Return {service name: what of it finds no room before others give back theirs}, without the services `told`.

    Each is looked at with nothing else new in place, so that nothing is said that a lucky order could place.
    """
    demands = [demand for demand in survey.demands if demand.service not in set(told)]
    found = _kept_out(draft, demands, survey.rooms, _given_back_later(context, draft, survey))
    starting = [one for one in demands if one.beside and one.claim.takes_room and one.service not in found]
    return found | (_deadlocked(starting, survey.rooms) if len(starting) > 1 else {})


def still_waiting(context: Context, draft: Draft, survey: Survey, demands: Iterable[Demand]) -> set[str]:
    """Return the services of `demands`, which the draft leaves alone, for which its room comes too late as well."""
    there = [demand for demand in demands if demand.is_placeable(survey.rooms)]
    return set(_kept_out(draft, there, survey.rooms, _given_back_later(context, draft, survey)))


def _kept_out(draft: Draft, demands: Iterable[Demand], rooms: Rooms, later: Held) -> dict[str, Shortfall]:
    followers = followers_of(draft, later)
    found: dict[str, Shortfall] = {}
    for demand in demands:
        held = {name: later[name] for name in sorted(followers.get(demand.service, ()))}
        if held and (short := _short_beside(demand, rooms, held)):
            found[demand.service] = replace(short, later=tuple(held))
    return found


def waits(action: Action) -> bool:
    """Return whether an action has to wait for others."""
    return bool(action.after or action.awaits)


def followers_of(draft: Draft, later: Container[str]) -> dict[str, set[str]]:
    """Return {service: those of `later` that are written only once its tasks run}."""
    by_id = {action.id: action for action in draft.actions}
    found: dict[str, set[str]] = {}
    for last in [action for action in draft.actions if action.kind is Kind.SERVICE and action.name in later]:
        seen, ahead = set[str](), [last]
        while ahead:
            action = ahead.pop()
            before = [by_id[name] for name in action.after if name in by_id and name not in seen]
            seen.update(one.id for one in before)
            ahead += before
            for name in (*action.awaits, *(one.name for one in before if one.starts_tasks)):
                found.setdefault(name, set()).add(last.name)
    return found


def _short_beside(demand: Demand, rooms: Rooms, held: Held) -> Shortfall | None:
    crowded = rooms.copy()
    for service, tasks in held.items():
        _put(crowded, service, tasks)
    return alone(demand, crowded) or beside(demand, crowded)


def _put(rooms: Rooms, service: str, tasks: Iterable[tuple[str, Claim]], count: int = 1) -> None:
    for node_id, claim in tasks:
        if (room := rooms.by_id.get(node_id)) is not None:
            room.take(service, claim, count)


def _deadlocked(demands: list[Demand], rooms: Rooms) -> dict[str, Shortfall]:
    """Return what of these start-first updates can't begin before another one of them has ended.

    Each that finds room for a first new task will end, and is out of the others' way. Only a global service's new tasks
    are sure to be where the old ones were.
    """
    crowded = rooms.copy()
    for demand in demands:
        _put(crowded, demand.service, demand.beside)
    waiting = {demand.service: demand for demand in demands}
    short_of: dict[str, Shortfall] = {}
    while waiting:
        looked_at = {name: never_begun(demand, crowded) for name, demand in waiting.items()}
        short_of = {name: short for name, short in looked_at.items() if short is not None}
        if len(short_of) == len(waiting):
            break
        for demand in [waiting.pop(name) for name in looked_at if name not in short_of]:
            _put(crowded, demand.service, demand.beside, -1)
            _put(crowded, demand.service, ((node_id, demand.claim) for node_id in demand.bound or ()))
    return {name: replace(short, rivals=tuple(sorted(waiting.keys() - {name}))) for name, short in short_of.items()}


def _given_back_later(context: Context, draft: Draft, survey: Survey) -> Held:
    """Return the tasks that actions of the draft end which have to wait until the tasks of others run."""
    if not context.options.waits:
        return {}
    ending = {action.object_id for action in draft.actions if action.kind is Kind.SERVICE and waits(action)}
    by_service = live_tasks(context)
    held: Held = {}
    for found in context.actual.services:
        if found.id not in ending:
            continue
        staying = {key: count for key, count in survey.standing.items() if key[0] == found.name}
        for task in by_service.get(found.id, ()):
            key = (found.name, task.node_id)
            if staying.get(key, 0):
                staying[key] -= 1
            elif is_placed(task):
                held.setdefault(found.name, []).append((task.node_id, held_claim(task, found)))
    return held
