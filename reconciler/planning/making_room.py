"""Services that go before others because these need the room that they hold.

What is pruned goes last, so that a service is there until its successor runs. Where the nodes do not hold both, as with
a renamed service that publishes a port of each node or reserves most of their memory, the successor would wait for the
room of what is removed only once the successor runs. So it is with the addresses of an overlay. `docker stack deploy
--prune` removes before it creates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.model.words import some
from reconciler.planning.context import Context, Draft
from reconciler.planning.handover import in_order
from reconciler.planning.preflight.addresses import sizes_of, uses_of
from reconciler.planning.preflight.claims import Claim
from reconciler.planning.preflight.crowding import crowding
from reconciler.planning.preflight.demands import Demand, Survey, held_claim, is_placed, survey
from reconciler.planning.preflight.placing import Placement, place
from reconciler.planning.preflight.rooms import Rooms, planned_rooms
from reconciler.planning.preflight.searching import candidates_of

NAMED_MAX = 3
"""Services that a reason names."""

Held = Mapping[str, tuple[tuple[str, Claim], ...]]
"""{id of the action that removes a service: (node id, what it holds there) of each of its tasks}"""


def make_room(context: Context, draft: Draft) -> None:
    """Put the removal of a service before each service whose tasks find no node beside its own, but would without.

    Nothing changes for tasks that find no node either way: what runs is not taken away for them.
    """
    held = {action.id: tasks for action in draft.actions if _is_removal(action) and (tasks := _held(context, action))}
    if not context.actual.nodes or not any(_is_removal(action) for action in draft.actions):
        return
    surveyed = survey(context, draft, planned_rooms(context, draft))
    made = place(surveyed.demands, surveyed.rooms)
    _make_addresses(context, draft, surveyed, made)
    if not held:
        return
    short_anyway = {short.demand.service for short in made.shortfalls}
    crowded = surveyed.rooms.copy()
    for node_id, claim in (one for tasks in held.values() for one in tasks):
        if node_id in crowded.by_id:
            crowded.by_id[node_id].stay("", claim)
    for short in place(surveyed.demands, crowded).shortfalls:
        if short.demand.service not in short_anyway:
            _put_before(draft, (short.demand.service,), _in_the_way(short.demand, crowded, held))


def _is_removal(action: Action) -> bool:
    return action.kind is Kind.SERVICE and action.type is ActionType.DELETE


def _make_addresses(context: Context, draft: Draft, surveyed: Survey, made: Placement) -> None:
    """Put removals before the services that need their addresses of an overlay which has too few for both."""
    sizes = sizes_of(context, draft)
    uses = uses_of(context, draft, surveyed, made, sizes.keys())
    removals = {action.name: action.id for action in draft.actions if _is_removal(action)}
    for short in tuple(crowding(context, draft, surveyed, uses, sizes)):
        _put_before(draft, short.services, [removals[name] for name in short.later if name in removals])


def _held(context: Context, removal: Action) -> tuple[tuple[str, Claim], ...]:
    found = next((one for one in context.actual.services if one.id == removal.object_id), None)
    if found is None:
        return ()
    claims = ((task.node_id, held_claim(task, found)) for task in context.tasks_of(found.id) if is_placed(task))
    return tuple((node_id, claim) for node_id, claim in claims if claim.takes_room)


def _in_the_way(demand: Demand, rooms: Rooms, held: Held) -> list[str]:
    """Return which removals free something that `demand` asks for, on a node that suits it."""
    suited = {room.node.id for room in candidates_of(demand, rooms)}
    return [
        removal
        for removal, tasks in held.items()
        if any(node_id in suited and _contend(demand.claim, claim) for node_id, claim in tasks)
    ]


def _contend(one: Claim, other: Claim) -> bool:
    kinds = ({kind for kind, amount in claim.generic if amount} for claim in (one, other))
    return bool(
        set(one.host_ports) & set(other.host_ports)
        or (one.nano_cpus and other.nano_cpus)
        or (one.memory_bytes and other.memory_bytes)
        or set.intersection(*kinds)
    )


def _put_before(draft: Draft, services: Collection[str], removals: Collection[str]) -> None:
    by_id = {action.id: action for action in draft.actions}
    takers = [
        action.id
        for action in draft.actions
        if action.kind is Kind.SERVICE and action.name in services and action.type is not ActionType.DELETE
    ]
    told = f"{some(list(services), NAMED_MAX)} {'needs' if len(services) == 1 else 'need'} its room"
    for removal in removals if takers else ():
        giver = by_id[removal]
        if not all(removal in by_id[taker].after for taker in takers):
            by_id[removal] = replace(giver, after=(), reason=f"{giver.reason}; {told}")
    for taker in takers:
        after = by_id[taker].after
        by_id[taker] = replace(by_id[taker], after=tuple(dict.fromkeys((*after, *removals))))
    draft.actions[:] = in_order(by_id)
