"""Services: create what is missing, update what differs, replace what Swarm can't change in place."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from reconciler.model.desired import DesiredObject, Stack
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Action, ActionType, Change
from reconciler.planning import canonical, effects
from reconciler.planning.contents import RealNames, renamed_references
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere
from reconciler.planning.differ import changes_between
from reconciler.planning.held import missing, missing_externals

PAUSED = ("paused", "rollback_paused")
"""States in which an update stands still until the service is written again (swarmkit's updater)."""


def plan_services(context: Context, draft: Draft, real_names: RealNames) -> None:
    """Add what creates, updates and replaces services; stacks come after those that they depend on."""
    live = context.actual.by_name(Kind.SERVICE)
    waves = stack_waves(context.desired.stacks)
    for wanted in sorted(context.wanted(Kind.SERVICE), key=lambda one: waves.get(one.stack or "", 0)):
        spec = renamed_references(wanted.spec, real_names)
        found = live.get(wanted.name)
        problems = [*_missing_externals(context, wanted), *_blocked_needs(draft, wanted)]
        if found is not None and (elsewhere := belongs_elsewhere(wanted, found)):
            problems.append(elsewhere)
        for problem in problems:
            draft.block(Kind.SERVICE, wanted.name, problem)
        if problems:
            continue
        if found is None:
            draft.actions.append(_create(context, draft, wanted, spec))
        elif action := _update(context, draft, wanted, spec, found):
            draft.actions.append(action)


def stack_waves(stacks: tuple[Stack, ...]) -> dict[str, int]:
    """Return {stack name: wave}: 0 for stacks that need no other, else one more than the latest they need.

    The loader has refused cycles; a name that no stack has counts as wave 0.
    """
    needs = {stack.name: stack.depends_on for stack in stacks}
    waves: dict[str, int] = {}

    def wave(name: str) -> int:
        if name not in waves:
            waves[name] = 0  # ends a cycle, should one get here
            waves[name] = max((wave(needed) + 1 for needed in needs.get(name, ())), default=0)
        return waves[name]

    for stack in stacks:
        wave(stack.name)
    return waves


def _blocked_needs(draft: Draft, wanted: DesiredObject) -> Iterator[Problem]:
    """Yield one problem for each object that the service refers to and that this plan can't bring about."""
    blocked = {one.id: one.problem for one in draft.blocked}
    for kind, name in references(wanted.spec):
        cause = blocked.get(action_id(kind, name))
        if cause is not None:
            yield Problem(
                ErrorCode.PLAN_BLOCKED,
                f"Service {wanted.name} has to wait for {kind} {name}.",
                why=cause.what,
                hint=cause.hint,
                place=wanted.place,
            )


def _missing_externals(context: Context, wanted: DesiredObject) -> Iterator[Problem]:
    """Yield one problem for each external object that a service outside stacks uses and the cluster lacks.

    A stack that lacks one is held as a whole, and never gets here.
    """
    if wanted.stack is not None:
        return
    used = set(references(wanted.spec))
    for reference in missing_externals(context):
        if reference.stack is None and (reference.kind, reference.name) in used:
            yield missing(reference)


def references(spec: JsonObject) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, name) of each network, secret and config that a service spec of a manifest refers to."""
    for attachment in dig(spec, "TaskTemplate", "Networks") or []:
        yield Kind.NETWORK, attachment.get("Target", "")
    for secret in dig(spec, "TaskTemplate", "ContainerSpec", "Secrets") or []:
        yield Kind.SECRET, secret.get("SecretName", "")
    for config in dig(spec, "TaskTemplate", "ContainerSpec", "Configs") or []:
        yield Kind.CONFIG, config.get("ConfigName", "")


def comparable(context: Context, spec: JsonObject) -> JsonObject:
    """Return a wanted or live service spec in the form for comparing, by the names that the cluster has now."""
    names = context.id_names
    return canonical.service(spec, networks=names[Kind.NETWORK], secrets=names[Kind.SECRET], configs=names[Kind.CONFIG])


def _after(context: Context, draft: Draft, wanted: DesiredObject, spec: JsonObject) -> tuple[str, ...]:
    """Return the actions that must come before: what the service refers to, and the stacks that its stack needs."""
    planned = {action.id for action in draft.actions}
    needed = [action_id(kind, name) for kind, name in references(spec)]
    stack = next((one for one in context.desired.stacks if one.name == wanted.stack), None)
    if stack and stack.depends_on:  # most need none: no look at every service for each of them
        others = (other for other in context.desired.of_kind(Kind.SERVICE) if other.stack in stack.depends_on)
        needed += [action_id(Kind.SERVICE, other.name) for other in others]
    return tuple(dict.fromkeys(name for name in needed if name in planned))


def _create(context: Context, draft: Draft, wanted: DesiredObject, spec: JsonObject) -> Action:
    effect = effects.of_create(spec, len(context.actual.nodes))
    return Action(
        id=action_id(Kind.SERVICE, wanted.name),
        type=ActionType.CREATE,
        kind=Kind.SERVICE,
        name=wanted.name,
        stack=wanted.stack,
        reason="it does not exist",
        effect=effect.kind,
        effect_text=effect.text,
        changes=changes_between(ABSENT, canonical.stated(spec)),
        after=_after(context, draft, wanted, spec),
        spec=context.with_owner(spec),
        place=wanted.place,
    )


def _update(
    context: Context, draft: Draft, wanted: DesiredObject, spec: JsonObject, found: ObservedObject
) -> Action | None:
    old, new = comparable(context, found.spec), comparable(context, spec)
    canonical.adopt_pinned_image(new, old)
    changes = changes_between(old, new)
    paused = found.dig("UpdateStatus", "State") in PAUSED
    if not changes and not paused:
        return None
    mode_changes = old["Mode"].keys() != new["Mode"].keys()
    running = context.live_tasks(found.id)
    effect = effects.of_delete(running) if mode_changes else effects.of_update(new, changes, running)
    reason = "its mode differs, which Swarm can't change in place" if mode_changes else _reason(changes, paused=paused)
    return Action(
        id=action_id(Kind.SERVICE, wanted.name),
        type=ActionType.REPLACE if mode_changes else ActionType.UPDATE,
        kind=Kind.SERVICE,
        name=wanted.name,
        stack=wanted.stack,
        reason=reason,
        effect=effect.kind,
        effect_text=f"{effect.text}, then those of the new mode start" if mode_changes else effect.text,
        changes=changes,
        after=_after(context, draft, wanted, spec),
        object_id=found.id,
        version=found.version,
        spec=context.with_owner(spec if mode_changes else _carry_over(spec, new, found)),
        read_spec=found.spec,
        place=wanted.place,
    )


def _reason(changes: tuple[Change, ...], *, paused: bool) -> str:
    if paused and not changes:
        return "its update was paused after failures, and goes on"
    return "1 field differs" if len(changes) == 1 else f"{len(changes)} fields differ"


def _carry_over(spec: JsonObject, compared: JsonObject, found: ObservedObject) -> JsonObject:
    """Return the body of an update: what the file asks for, and what belongs to the running service.

    ForceUpdate counts forced renewals, and the pinned digest with its platforms was resolved at the last deploy:
    sending either otherwise would restart every task (docker stack deploy keeps them likewise).
    """
    body = copy.deepcopy(spec)
    template = body.setdefault("TaskTemplate", {})
    template["ForceUpdate"] = dig(found.spec, "TaskTemplate", "ForceUpdate") or 0
    template["ContainerSpec"]["Image"] = compared["TaskTemplate"]["ContainerSpec"].get("Image", "")
    platforms = dig(compared, "TaskTemplate", "Placement", "Platforms")
    if platforms:
        template["Placement"] = {**(template.get("Placement") or {}), "Platforms": platforms}
    return body
