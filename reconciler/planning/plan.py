"""The planner: all choices are made here, and nothing chooses after it."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan
from reconciler.planning.contents import plan_contents
from reconciler.planning.context import Context, Draft
from reconciler.planning.drift import attributed
from reconciler.planning.handover import hand_over_ports
from reconciler.planning.held import hold_stacks
from reconciler.planning.ignored import with_ignored
from reconciler.planning.making_room import make_room
from reconciler.planning.networks import plan_networks
from reconciler.planning.options import NO_OPTIONS, PlanOptions
from reconciler.planning.ownership import inventory_after
from reconciler.planning.preflight import preflight, preflight_without_cluster
from reconciler.planning.prune import plan_prune
from reconciler.planning.rules_moved import note_moved_rules
from reconciler.planning.selection import check_stacks, narrowed
from reconciler.planning.services import plan_services
from reconciler.planning.takeover import block_contested, note_takeovers
from reconciler.planning.topology import leave_last, plan_nodes, plan_swarm
from reconciler.planning.topology_record import LastAsked, topology_after
from reconciler.planning.unasked import note_unasked


def plan(desired: DesiredState, actual: ActualState, options: PlanOptions = NO_OPTIONS) -> Plan:
    """Return the writes that bring `actual` to what `desired` asks for; change nothing.

    Actions come in an order in which they may be carried out one by one; `Action.after` says which really have
    to wait, and the others may go out together. What ought to be done and can't is in `Plan.blocked`, each with its
    reason. `Plan.notes` holds what a user should know and no plan can change. No action and nothing blocked means
    that the cluster is what the repository asks for; a plan made after this one converged is such a plan.
    Fields that `desired.policies` ignores are wanted as they are.
    Raises SwarmctlError when `options.stacks` names a stack that the repository neither declares nor has left behind.
    """
    desired = with_ignored(desired, actual, desired.policies.ignore)
    whole = desired
    desired, options = _chosen(desired, actual, options)
    context = replace(Context.of(desired, actual, options), whole=whole)
    draft = Draft()
    context = replace(context, contested=block_contested(context, draft))
    context = replace(context, held=hold_stacks(context, draft))
    plan_swarm(context, draft)
    plan_nodes(context, draft)
    last = LastAsked.of(context)
    note_moved_rules(context, draft)
    note_unasked(context, draft, last)
    plan_networks(context, draft)
    real_names = plan_contents(context, draft)
    plan_services(context, draft, real_names)
    plan_prune(context, draft, real_names)
    releases = hand_over_ports(context, draft)
    make_room(context, draft)
    note_takeovers(context, draft)
    leave_last(context, draft)
    return Plan(
        revision=desired.revision,
        commit=desired.commit,
        endpoint=actual.endpoint,
        base=options.baseline.revision if options.baseline is not None else "",
        actions=tuple(attributed(context, last, action) for action in (*releases, *draft.actions)),
        blocked=tuple(draft.blocked),
        notes=(*desired.warnings, *draft.notes),
        services=tuple(wanted.name for wanted in desired.of_kind(Kind.SERVICE)),
        # Nobody knows what nodes an imagined cluster has, beside those that the repository lists.
        unplaceable=(preflight_without_cluster if context.is_imagined else preflight)(context, draft),
        atomic_stacks=tuple(stack.name for stack in desired.stacks if stack.atomic),
        owner=desired.cluster,
        inventory=inventory_after(context, draft),
        topology=topology_after(context, draft),
    )


def _chosen(desired: DesiredState, actual: ActualState, options: PlanOptions) -> tuple[DesiredState, PlanOptions]:
    """Return what the plan is about. Raises SwarmctlError for a stack that is none of the repository's."""
    if options.stacks is None:
        return desired, options
    check_stacks(desired, actual, options.stacks)
    baseline = narrowed(options.baseline, options.stacks) if options.baseline is not None else None
    return narrowed(desired, options.stacks), replace(options, baseline=baseline)
