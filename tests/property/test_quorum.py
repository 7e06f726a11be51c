"""Law 7: no plan loses the managers' quorum, whatever the topology, its faults, and what is asked of it.

The swarm here checks nothing by itself, unlike Docker's: the plan alone has to be safe, in every order that it permits,
with promoted nodes that join late or never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.planning.topology import nodes as topology
from reconciler.planning.topology.steps import demotes, promotes
from tests.unit.planning.builders import HERE, actual, desired, planned

STATES = ("ready", "ready", "ready", "ready", "down", "unknown", "disconnected")
AVAILABILITIES = ("active", "pause", "drain")
PASSES_MAX = 4


@dataclass
class Node:
    """One node as it is. `reachable` None: it is no member of the managers' group."""

    id: str
    name: str
    state: str
    spec: JsonObject
    reachable: bool | None

    def observed(self) -> ObservedObject:
        raw: JsonObject = {"Status": {"State": self.state}}
        if self.reachable is not None:
            raw["ManagerStatus"] = {"Reachability": "reachable" if self.reachable else "unreachable"}
        return ObservedObject(Kind.NODE, self.id, self.name, 5, dict(self.spec), raw)


@st.composite
def node(draw: st.DrawFn, number: int) -> Node:
    """A node in any state. A manager may have died, may not have joined yet, and a worker may still be leaving."""
    role = draw(st.sampled_from(NodeRole))
    state = draw(st.sampled_from(STATES))
    reachable: bool | None = None
    if draw(st.integers(0, 9)) > 0 if role is NodeRole.MANAGER else draw(st.integers(0, 9)) == 0:
        reachable = state == "ready" and draw(st.integers(0, 5)) > 0
    labels = draw(st.sampled_from(({}, {"zone": "a"}, {"io.swarmctl.availability": "active"})))
    spec = {"Role": role.value, "Availability": draw(st.sampled_from(AVAILABILITIES)), "Labels": dict(labels)}
    return Node(f"id{number}", f"n{number}", state, spec, reachable)


@st.composite
def wish(draw: st.DrawFn, known: Node) -> DesiredNode:
    by_id = draw(st.booleans())
    return DesiredNode(
        known.id if by_id else known.name,
        by_id=by_id,
        role=draw(st.none() | st.sampled_from(NodeRole)),
        availability=draw(st.none() | st.sampled_from(AVAILABILITIES)),
        labels=draw(st.none() | st.just({"zone": "b"})),
        place=HERE,
        absent=draw(st.integers(0, 4)) == 0,
    )


Case = tuple[list[Node], tuple[DesiredNode, ...], str]


@st.composite
def swarms(draw: st.DrawFn) -> Case:
    """Nodes, what is asked of some of them, and the node that answers ("" for unknown)."""
    nodes = [draw(node(number)) for number in range(draw(st.integers(1, 8)))]
    listed = [one for one in nodes if draw(st.integers(0, 3)) > 0]
    wishes = [draw(wish(one)) for one in draw(st.permutations(listed))]
    if draw(st.booleans()):
        wishes.append(replace(draw(wish(nodes[0])), selector="nobody"))
    answering = [one.id for one in nodes if one.reachable]
    return nodes, tuple(wishes), draw(st.sampled_from(["", *answering]))


@dataclass
class Swarm:
    """Carries a plan out, event by event, and looks at the law after each."""

    nodes: dict[str, Node]
    local: str
    chance: Random
    joins: bool
    """Whether every promoted node joins in time; otherwise some do late, and some never."""
    in_flight: list[Action] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    story: list[str] = field(default_factory=list)

    def has_majority(self) -> bool:
        members = [one for one in self.nodes.values() if one.reachable is not None]
        return sum(bool(one.reachable) for one in members) >= len(members) // 2 + 1

    def is_member(self, action: Action) -> bool:
        return self.nodes[action.object_id or ""].reachable is not None

    def observe(self) -> ActualState:
        return replace(actual(*(one.observed() for one in self.nodes.values())), local_node_id=self.local)

    def carry_out(self, plan: Plan) -> None:
        """Begin and end actions in a random order that `after` permits, with several under way at once."""
        waiting = list(plan.actions)
        while waiting or self.in_flight:
            ready = [one for one in waiting if set(one.after) <= self.ended]
            skipped = [one for one in waiting if set(one.after) & self.failed]
            if skipped:
                waiting.remove(skipped[0])
                self.failed.add(skipped[0].id)
                continue
            assert ready or self.in_flight, "the plan waits for itself"
            had_majority = self.has_majority()
            stuck = [one for one in ready if one.type is ActionType.DELETE and self.is_member(one)]
            if stuck and self.chance.random() < 0.3:  # apply waits until it has left, and gives up
                waiting.remove(stuck[0])
                self.failed.add(stuck[0].id)
                continue
            ready = [one for one in ready if one not in stuck]
            if ready and (not self.in_flight or self.chance.random() < 0.5):
                action = self.chance.choice(ready)
                waiting.remove(action)
                self.begin(action, [one for one in plan.actions if one is not action])
            elif self.in_flight:
                self.end(self.in_flight.pop(self.chance.randrange(len(self.in_flight))))
            assert self.has_majority() or not had_majority, self.story
            self.something_happens()

    def begin(self, action: Action, others: list[Action]) -> None:
        """Write it, having looked at what must hold at that moment."""
        self.story.append(f"begin {action.id}")
        assert action.kind is Kind.NODE
        assert action.object_id is not None
        found = self.nodes[action.object_id]
        assert action.read_spec == found.spec, "compare-and-swap would refuse it"
        if promotes(action) or demotes(action):
            assert not [one for one in self.in_flight if promotes(one) or demotes(one)], "one manager at a time"
        if promotes(action):
            assert found.state == "ready", "it could not join"
        if demotes(action):
            assert all(one.id in self.ended for one in others if promotes(one)), "promotions come first"
            assert any(one.spec["Role"] == "manager" for one in self.nodes.values() if one is not found), "the last one"
        if demotes(action) and action.object_id == self.local:
            assert {one.id for one in others} <= self.ended, "nothing can be done after it"
        if demotes(action) or action.type is ActionType.DELETE:
            assert found.state == "down" or found.spec["Availability"] == "drain", "it has to be empty"
        if action.type is ActionType.DELETE:
            assert found.spec["Role"] == "worker"
            assert action.force or found.state == "down", "Swarm would refuse it"
            assert not self.is_member(action)
        if action.spec is not None:
            found.spec = dict(action.spec)
            if demotes(action) and self.chance.random() < 0.5:
                found.reachable = None
        self.in_flight.append(action)

    def end(self, action: Action) -> None:
        assert action.object_id is not None
        found = self.nodes[action.object_id]
        joined = self.joins or self.chance.random() < 0.7
        self.story.append(f"end {action.id} {joined}")
        if promotes(action) and not joined:
            self.failed.add(action.id)
            return
        if promotes(action):
            found.reachable = True
        elif demotes(action):
            found.reachable = None
        elif action.type is ActionType.DELETE:
            del self.nodes[action.object_id]
        self.ended.add(action.id)

    def something_happens(self) -> None:
        """A node that was promoted joins late; one that was demoted before our time leaves, if the swarm lets it."""
        for one in self.nodes.values():
            if self.chance.random() > 0.2 or any(action.object_id == one.id for action in self.in_flight):
                continue
            before = one.reachable
            if one.spec["Role"] == "manager" and before is None and one.state == "ready" and self.has_majority():
                one.reachable = True
            elif one.spec["Role"] == "worker" and before is not None:
                one.reachable = None
            if not self.has_majority():
                one.reachable = before


@settings(deadline=None, max_examples=400)
@given(swarms(), st.randoms(use_true_random=False), st.booleans())
def test_no_plan_loses_quorum(given_swarm: Case, chance: Random, joins: bool):
    nodes, wishes, local = given_swarm
    selectors = {wanted.selector for wanted in wishes}
    unlisted = {one.id: dict(one.spec) for one in nodes if not {one.id, one.name} & selectors}
    absent = {one.id for one in nodes for wanted in wishes if wanted.absent and wanted.selector in (one.id, one.name)}
    swarm = Swarm({one.id: one for one in nodes}, local, chance, joins)
    no_room = {one.id for one in nodes if chance.random() < 0.1}

    def stranded(_context: object, _draft: object, leaving: set[str]) -> tuple[Problem, ...]:
        return (Problem(ErrorCode.UNSCHEDULABLE, "No room."),) if leaving & no_room else ()

    with patch.object(topology, "stranded_by", stranded):
        made = planned(desired(nodes=wishes), swarm.observe())
        assert len({one.id for one in made.actions}) == len(made.actions)
        swarm.carry_out(made)
    assert {key: swarm.nodes[key].spec for key in unlisted} == unlisted, "what isn't listed is never touched"
    assert {one.id for one in nodes} - swarm.nodes.keys() <= absent, "only `state: absent` removes"


@settings(deadline=None, max_examples=150)
@given(swarms(), st.randoms(use_true_random=False))
def test_plans_come_to_an_end(given_swarm: Case, chance: Random):
    nodes, wishes, local = given_swarm
    swarm = Swarm({one.id: one for one in nodes}, local, chance, joins=True)
    for _ in range(PASSES_MAX):
        made = planned(desired(nodes=wishes), swarm.observe())
        if not made.actions:
            return
        swarm.carry_out(made)
        if swarm.failed:
            return  # a node that never leaves the managers; apply says so each time
        swarm.ended.clear()
        if any(demotes(one) and one.object_id == local for one in made.actions):
            swarm.local = ""  # from then on it is another manager that is talked to
    raise AssertionError([one.id for one in made.actions])
