"""Services: create what is missing, update what differs, replace what Swarm can't change in place."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.images import ResolvedImage
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Action, ActionType, Change, Origin
from reconciler.planning import canonical, effects
from reconciler.planning.config_contents import RealNames, content_changes
from reconciler.planning.contents import names_of_baseline, renamed_references
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere, differs_in_case
from reconciler.planning.differ import changes_between
from reconciler.planning.drained import Drained, drained_nodes, emptied_first
from reconciler.planning.drift import origin_of, origin_of_creation, with_image_of, with_origin, with_places
from reconciler.planning.held import missing, missing_externals
from reconciler.planning.images import answer_for, pinned
from reconciler.planning.inventory import applied_form, numbered
from reconciler.planning.marks import marked, prune_change
from reconciler.planning.node_moves import count_moves
from reconciler.planning.order import StackNeeds, after, awaits, references, services_in_order, stack_needs
from reconciler.planning.preflight.rooms import Room, planned_rooms
from reconciler.planning.relabelled import Relabelled, evicting, first_written, relabelled_nodes

PAUSED = ("paused", "rollback_paused")
"""States in which an update stands still until the service is written again (swarmkit's updater)."""


class _Surroundings(msgspec.Struct, frozen=True):
    """What the plan of one service looks at, beside the service."""

    context: Context
    draft: Draft
    real_names: RealNames
    names_before: RealNames
    needs: StackNeeds
    live: Mapping[str, ObservedObject]
    rooms: Mapping[str, Room]
    relabelled: tuple[Relabelled, ...]
    drained: tuple[Drained, ...]

    def after(self, wanted: DesiredObject, spec: JsonObject) -> tuple[str, ...]:
        return after(self.draft, wanted, spec, self.needs)

    def awaits(self, wanted: DesiredObject) -> tuple[str, ...]:
        return awaits(self.draft, wanted, self.live, self.needs)


def plan_services(context: Context, draft: Draft, real_names: RealNames) -> None:
    """Add what creates, updates and replaces services, each after those that it has to wait for."""
    live = context.actual.by_name(Kind.SERVICE)
    around = _Surroundings(
        context,
        draft,
        real_names,
        names_of_baseline(context, real_names),
        stack_needs(context),
        live,
        planned_rooms(context, draft).by_id,
        relabelled_nodes(context, draft),
        drained_nodes(context, draft),
    )
    unanswered: dict[str, Problem] = {}
    lacking = _missing_externals(context)
    for wanted in services_in_order(context):
        found = live.get(wanted.name)
        problems = [*_blocked_externals(lacking, wanted), *_blocked_needs(draft, wanted)]
        elsewhere = belongs_elsewhere(wanted, found) if found is not None else differs_in_case(wanted, live)
        if elsewhere is not None:
            problems.append(elsewhere)
        for problem in problems:
            draft.block(Kind.SERVICE, wanted.name, problem)
        if problems:
            continue
        spec = renamed_references(wanted.spec, real_names)
        answer = answer_for(wanted, found, context.options)
        if isinstance(answer, ResolvedImage):
            spec = pinned(spec, answer)
        elif answer is not None:
            unanswered.setdefault(answer.what, replace(answer, severity=Severity.WARNING))
        action = _create(around, wanted, spec) if found is None else _update(around, wanted, spec, found)
        if action is not None:
            draft.actions.append(action)
    draft.notes.extend(unanswered.values())
    count_moves(context, draft, around.relabelled)


def _blocked_needs(draft: Draft, wanted: DesiredObject) -> Iterator[Problem]:
    """Yield one problem for each object that the service needs and that this plan can't bring about."""
    needed = [*references(wanted.spec), *((Kind.SERVICE, name) for name in wanted.needs)]
    for kind, name in needed:
        cause = draft.why_blocked(action_id(kind, name))
        if cause is not None:
            yield Problem(
                ErrorCode.PLAN_BLOCKED,
                f"Service {wanted.name} has to wait for {kind} {name}.",
                why=cause.what,
                hint=cause.hint,
                place=wanted.place,
            )


def _missing_externals(context: Context) -> dict[tuple[Kind, str], Problem]:
    """Return what to say of each external object that services outside stacks use and the cluster lacks.

    A stack that lacks one is held as a whole, and its services never get here.
    """
    return {
        (reference.kind, reference.name): missing(reference)
        for reference in missing_externals(context)
        if reference.stack is None
    }


def _blocked_externals(lacking: dict[tuple[Kind, str], Problem], wanted: DesiredObject) -> list[Problem]:
    if wanted.stack is not None or not lacking:
        return []
    return [lacking[used] for used in dict.fromkeys(references(wanted.spec)) if used in lacking]


def comparable(context: Context, spec: JsonObject) -> JsonObject:
    """Return a wanted or live service spec in the form for comparing, by the names that the cluster has now."""
    names = context.id_names
    return canonical.service(spec, networks=names[Kind.NETWORK], secrets=names[Kind.SECRET], configs=names[Kind.CONFIG])


def _create(around: _Surroundings, wanted: DesiredObject, spec: JsonObject) -> Action:
    context = around.context
    effect = effects.of_create(spec, around.rooms)
    origin = origin_of_creation(context, Kind.SERVICE, wanted.name, wanted.name)
    changes = changes_between(ABSENT, canonical.stated(spec))
    return Action(
        id=action_id(Kind.SERVICE, wanted.name),
        type=ActionType.CREATE,
        kind=Kind.SERVICE,
        name=wanted.name,
        stack=wanted.stack,
        reason="it does not exist",
        effect=effect.kind,
        effect_text=effect.text,
        changes=with_places(changes, wanted, origin),
        after=around.after(wanted, spec),
        awaits=around.awaits(wanted),
        spec=marked(context, wanted, spec, comparable(context, spec)),
        place=wanted.place,
        origin=origin,
        tasks=effect.tasks,
    )


def _update(around: _Surroundings, wanted: DesiredObject, spec: JsonObject, found: ObservedObject) -> Action | None:
    context = around.context
    old, new = comparable(context, found.spec), comparable(context, spec)
    canonical.adopt_pinned_image(new, old)
    differing = _attributed(around, wanted, found, old, new)
    contents = content_changes(context, differing, around.names_before)
    changes = (*differing, *contents, *prune_change(context, wanted, found))
    paused = found.dig("UpdateStatus", "State") in PAUSED
    if not changes and not paused:
        return None
    mode_changes = old["Mode"].keys() != new["Mode"].keys()
    reason = "its mode differs, which Swarm can't change in place" if mode_changes else _reason(changes, paused=paused)
    body = spec if mode_changes else _as_it_runs(context, _carry_over(spec, new, found), found, changes)
    effect = _effect(around, found, body, changes, mode_changes=mode_changes)
    nodes_first = (*first_written(around.relabelled, found.spec, body), *emptied_first(around.drained, body, effect))
    return Action(
        id=action_id(Kind.SERVICE, wanted.name),
        type=ActionType.REPLACE if mode_changes else ActionType.UPDATE,
        kind=Kind.SERVICE,
        name=wanted.name,
        stack=wanted.stack,
        reason=reason,
        effect=effect.kind,
        effect_text=effect.text,
        changes=with_places(changes, wanted),
        after=(*around.after(wanted, spec), *nodes_first),
        awaits=around.awaits(wanted),
        object_id=found.id,
        version=found.version,
        spec=marked(context, wanted, body, numbered(comparable(context, body), found)),
        read_spec=found.spec,
        place=wanted.place,
        origin=origin_of(changes),
        tasks=effect.tasks,
    )


def _effect(
    around: _Surroundings, found: ObservedObject, body: JsonObject, changes: tuple[Change, ...], *, mode_changes: bool
) -> effects.Effect:
    context = around.context
    if mode_changes:
        return effects.of_replace(context.live_tasks(found.id), body, around.rooms)
    tasks = context.tasks_of(found.id)
    evicted_from = evicting(around.relabelled, found.spec)
    update = effects.Update(found, body, changes, tasks, around.rooms, context.id_names, evicted_from)
    return effects.of_update(update)


def _attributed(
    around: _Surroundings, wanted: DesiredObject, found: ObservedObject, old: JsonObject, new: JsonObject
) -> tuple[Change, ...]:
    """Return the differences, each blamed on who moved. Only where there are any is the record looked at."""
    changes = changes_between(old, new)
    if not changes:
        return ()
    context = around.context
    if context.baseline is None:
        applied = applied_form(found)
        if applied is None:
            return with_origin(changes, Origin.UNKNOWN)
    else:
        before = context.baseline.get((Kind.SERVICE, wanted.name))
        if before is None:
            return changes
        applied = comparable(context, renamed_references(before.spec, around.names_before))
    return changes_between(old, new, applied=with_image_of(applied, old, new))


def _reason(changes: tuple[Change, ...], *, paused: bool) -> str:
    if paused and not changes:
        return "its update was paused after failures, and goes on"
    return "1 field differs" if len(changes) == 1 else f"{len(changes)} fields differ"


def _as_it_runs(context: Context, body: JsonObject, found: ObservedObject, changes: tuple[Change, ...]) -> JsonObject:
    """Return the body of an update with the task template and the endpoint as they are, where nothing there differs.

    What means the same is not always the same to Swarm: an empty block where there was none, or two secrets in another
    order, would restart every task for the sake of a label (planning/renewal.py).
    """
    kept = dict(body)
    if not any(change.path.startswith("TaskTemplate") for change in changes):
        kept["TaskTemplate"] = copy.deepcopy(found.spec["TaskTemplate"])
        for attachment in kept["TaskTemplate"].get("Networks") or []:
            target = attachment.get("Target", "")
            attachment["Target"] = context.id_names[Kind.NETWORK].get(target, target)
    if not any(change.path.startswith("EndpointSpec") for change in changes):
        kept["EndpointSpec"] = found.spec.get("EndpointSpec")
    return {key: value for key, value in kept.items() if value is not None}


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
