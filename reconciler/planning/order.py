"""What has to come before what: between stacks, inside one, and between a service and what it refers to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from reconciler.model.desired import DesiredObject, Stack
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft, action_id

StackNeeds = Mapping[str, tuple[str, ...]]
"""{stack: names of all services of the stacks that it depends on}."""


def services_in_order(context: Context) -> list[DesiredObject]:
    """Return the wanted services, each after all that must have converged before it.

    The loader has refused cycles; should one get here, its services come in some order.
    """
    services = list(context.wanted(Kind.SERVICE))
    waves = stack_waves(context.desired.stacks)
    steps = depths({wanted.name: wanted.needs for wanted in services})
    return sorted(services, key=lambda one: (waves.get(one.stack or "", 0), steps[one.name]))


def stack_waves(stacks: tuple[Stack, ...]) -> dict[str, int]:
    """Return {stack name: wave}: 0 for stacks that need no other, else one more than the latest they need."""
    return depths({stack.name: stack.depends_on for stack in stacks})


def depths(needs: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return {name: 0 for what needs nothing, else one more than the deepest that it needs}.

    Without recursion: a chain may be longer than Python's stack. Of a cycle, what closes it counts for nothing.
    """
    found: dict[str, int] = {}
    for start in needs:
        entered: set[str] = set()
        path = [start]
        while path:
            name = path[-1]
            if name in found:
                path.pop()
            elif name in entered:
                found[name] = max((found.get(needed, -1) + 1 for needed in needs.get(name, ())), default=0)
                path.pop()
            else:
                entered.add(name)
                path.extend(needed for needed in needs.get(name, ()) if needed not in found and needed not in entered)
    return found


def stack_needs(context: Context) -> StackNeeds:
    """Return for each stack that depends on others what its services have to wait for."""
    of_stack: dict[str | None, list[str]] = {}
    for wanted in context.desired.of_kind(Kind.SERVICE):
        of_stack.setdefault(wanted.stack, []).append(wanted.name)
    return {
        stack.name: tuple(service for name in stack.depends_on for service in of_stack.get(name, ()))
        for stack in context.desired.stacks
        if stack.depends_on
    }


def after(draft: Draft, wanted: DesiredObject, spec: JsonObject, needs: StackNeeds) -> tuple[str, ...]:
    """Return the planned actions that must have succeeded before a service with `spec` is written."""
    needed = [action_id(kind, name) for kind, name in references(spec)]
    needed += [action_id(Kind.SERVICE, name) for name in _services_needed(wanted, needs)]
    return tuple(dict.fromkeys(name for name in needed if draft.is_planned(name)))


def awaits(draft: Draft, wanted: DesiredObject, live: Collection[str], needs: StackNeeds) -> tuple[str, ...]:
    """Return the services among `live` that must have converged before `wanted` is written, and that the plan leaves.

    An earlier apply may have left them on their way, or failing: equal specs alone are no convergence.
    """
    there = (name for name in _services_needed(wanted, needs) if name in live and name != wanted.name)
    return tuple(dict.fromkeys(name for name in there if not draft.is_planned(action_id(Kind.SERVICE, name))))


def _services_needed(wanted: DesiredObject, needs: StackNeeds) -> tuple[str, ...]:
    return (*wanted.needs, *needs.get(wanted.stack or "", ()))


def references(spec: JsonObject) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, name) of each network, secret and config that a service spec of a manifest refers to."""
    for attachment in dig(spec, "TaskTemplate", "Networks") or []:
        yield Kind.NETWORK, attachment.get("Target", "")
    for secret in dig(spec, "TaskTemplate", "ContainerSpec", "Secrets") or []:
        yield Kind.SECRET, secret.get("SecretName", "")
    for config in dig(spec, "TaskTemplate", "ContainerSpec", "Configs") or []:
        yield Kind.CONFIG, config.get("ConfigName", "")
