"""The nodes that swarm.yaml lists: what is asked of each, in an order that never risks the managers' majority.

First what takes nothing away: labels, availability, promotions one after the other. Then drains and removals of
workers. Then managers that step down, one after the other, each drained and empty before. Last, the node whose API this
plan goes through.
"""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight import stranded_by
from reconciler.planning.topology import steps
from reconciler.planning.topology.listing import ListedNode, is_manager, listed_nodes
from reconciler.planning.topology.quorum import Managers

NAMED_MAX = 3
"""Services named in one refusal; a drain of a whole rack would name them all."""


def plan_nodes(context: Context, draft: Draft) -> None:
    """Add what changes nodes, as far as the majority of managers and the room for tasks allow; block the rest.

    An action on a manager's role counts on those before it having ended: a promoted node is reachable then, a demoted
    one has left (controller/nodes.py waits for that). A promotion that can't be made holds demotions back.

    Of a cluster that is only imagined nobody knows what nodes it has besides: there the majority and the room for tasks
    block nothing.
    """
    work = _Work(context, draft)
    listed = listed_nodes(context, draft)
    draft.listed.update((node.found.id, node.wanted) for node in listed)
    stepping_down = [node for node in listed if _steps_down(node)]
    leaving = [node for node in listed if node.wanted.absent and node not in stepping_down]
    staying = [node for node in listed if node not in stepping_down and node not in leaving]
    draining = [node for node in staying if steps.drains(node, steps.target_spec(node))]
    for node in staying:
        if node not in draining and not _steps_up(node):
            work.add(steps.updated(context, node, ()))
    for node in staying:
        if _steps_up(node):
            work.promote(node)
    for node in (*draining, *leaving):
        if not _steps_up(node):
            work.take_away(node)
    for node in sorted(stepping_down, key=work.turn):
        work.step_down(node)


def leave_last(context: Context, draft: Draft) -> None:
    """Put the demotion of the node whose API this plan goes through behind all others: nothing can be done after it."""
    own = steps.local_node(context)
    last = [action for action in draft.actions if own and action.object_id == own.id and steps.demotes(action)]
    if not last:
        return
    (demotion,) = last
    others = [action for action in draft.actions if action is not demotion]
    before = tuple(dict.fromkeys((*demotion.after, *(action.id for action in others))))
    draft.actions[:] = [*others, replace(demotion, after=before)]
    draft.notes.append(
        Problem(
            ErrorCode.NOT_A_MANAGER,
            f"Node {demotion.name} stops being a manager at the end of this plan, which goes through it.",
            why="Only managers serve the swarm's API.",
            hint="Choose the endpoint of another manager from then on.",
            place=demotion.place,
            severity=Severity.WARNING,
        )
    )


def _steps_down(node: ListedNode) -> bool:
    """Whether a manager shall be one no more. One that is drained for that already is still one."""
    if node.wanted.absent:
        return is_manager(node.found.spec)
    return is_manager(node.found.spec) and not is_manager(steps.target_spec(node))


def _steps_up(node: ListedNode) -> bool:
    if node.wanted.absent:
        return False
    return is_manager(steps.target_spec(node)) and not is_manager(node.found.spec)


class _Work:
    """The nodes' part of a plan in the making."""

    def __init__(self, context: Context, draft: Draft) -> None:
        self.context, self.draft = context, draft
        self.managers = Managers.of(context.actual.nodes)
        self.away: set[str] = set()
        """Ids of the nodes that take no tasks once this plan is done, though they do now."""
        self.given: list[str] = []
        """Ids of the actions that take nothing away; what does comes after them."""
        self.role_changed: tuple[str, ...] = ()
        """The last action on the role before: one at a time."""
        self.refused_promotion = ""

    def add(self, chain: steps.Chain) -> None:
        """Take over a chain that takes nothing away."""
        self.draft.actions.extend(chain.actions)
        self.given.extend(action.id for action in chain.actions)

    def promote(self, node: ListedNode) -> None:
        """Add a promotion after the one before, or block it."""
        state = node.found.dig("Status", "State") or "unknown"
        why = self.managers.why_not_joined()
        if state != "ready":
            why = f"It is {state}: it would count as a manager, and nobody could reach it."
        if why:
            self.refused_promotion = node.label
            self._refuse(node, f"Node {node.label} can't be promoted now.", why, "Start its engine, and apply again.")
            return
        chain = steps.updated(self.context, node, self.role_changed)
        if steps.drains(node, steps.target_spec(node)):
            if self._strands(node):
                self.refused_promotion = node.label
                return
            self.away.add(node.found.id)
        self.add(chain)
        self.managers = self.managers.joined_by(node.found.id)
        self.role_changed = (chain.actions[-1].id,)

    def take_away(self, node: ListedNode) -> None:
        """Add the drain or the removal of a worker, or block it."""
        if self._strands(node):
            return
        build = steps.removed if node.wanted.absent else steps.updated
        self.draft.actions.extend(build(self.context, node, tuple(self.given)).actions)
        self.away.add(node.found.id)

    def turn(self, node: ListedNode) -> tuple[bool, bool, bool]:
        """Sort key: managers that nobody reaches step down first, the leader late, the node that we talk to last."""
        reachable = node.found.id in self.managers.reachable
        own = node.found.id == self.context.actual.local_node_id
        return own, bool(node.found.dig("ManagerStatus", "Leader")), reachable

    def step_down(self, node: ListedNode) -> None:
        """Add the demotion or removal of a manager after the role change before it, or block it."""
        why, hint = self._why_not_down(node)
        if why:
            verb = "removed" if node.wanted.absent else "demoted"
            self._refuse(node, f"Node {node.label} can't be {verb} now.", why, hint)
            return
        if self._strands(node):
            return
        after = tuple(dict.fromkeys((*self.given, *self.role_changed)))
        own = node.found.id == self.context.actual.local_node_id
        if node.wanted.absent:
            chain = steps.removed(self.context, node, after)
        else:
            chain = steps.demoted(self.context, node, after, at_once=own)
        self.draft.actions.extend(chain.actions)
        self.managers = self.managers.without(node.found.id)
        self.role_changed = (chain.actions[-1].id,)
        if chain.actions[-1].type is ActionType.DELETE or (chain.actions[-1].spec or {})["Availability"] == steps.DRAIN:
            self.away.add(node.found.id)

    def _why_not_down(self, node: ListedNode) -> tuple[str, str]:
        """Return why a manager must not step down or go now and what helps, or ("", "") when it may."""
        own = node.found.id == self.context.actual.local_node_id
        others = self.managers.without(node.found.id).members
        if node.wanted.absent and own and others:
            return (
                "It is the node through which this plan goes, and which could not see itself out.",
                "Apply again through another manager (--host or --context).",
            )
        if self.refused_promotion and node.found.id in self.managers.reachable:
            return (
                f"Promotions come before demotions, and node {self.refused_promotion} can't be promoted.",
                "Mend that node, or ask for another manager instead, and apply again.",
            )
        if node.is_joining_managers:
            return (
                "It was promoted and has not joined the managers yet: if it joins while it is demoted, it counts "
                "among them and is gone, and they may have no majority any more.",
                "Apply again once `swarmctl status` shows it reachable.",
            )
        why = "" if self.context.is_imagined else self.managers.why_not_without(node.found.id)
        return why, "Promote other nodes first, and apply again once `swarmctl status` shows them reachable."

    def _strands(self, node: ListedNode) -> bool:
        """Whether tasks would have nowhere to go without the node, as far as that is known; it is blocked then."""
        if node.found.spec.get("Availability") == steps.DRAIN or node.is_down:
            return False  # nothing is placed there as it is
        if self.context.is_imagined:
            return False
        stranded = stranded_by(self.context, self.draft, self.away | {node.found.id})
        if not stranded:
            return False
        told = [f"{problem.what} {problem.why}".strip() for problem in stranded[:NAMED_MAX]]
        if len(stranded) > NAMED_MAX:
            told.append(f"And {len(stranded) - NAMED_MAX} more services.")
        self._refuse(
            node,
            f"Node {node.label} can't be drained now: tasks would have nowhere to go.",
            " ".join(told),
            "Make room first: activate or join other nodes, or lower what these services ask for.",
        )
        return True

    def _refuse(self, node: ListedNode, what: str, why: str, hint: str) -> None:
        problem = Problem(ErrorCode.PLAN_BLOCKED, what, why=why, hint=hint, place=node.wanted.place)
        self.draft.block(Kind.NODE, node.wanted.selector, problem)
