"""Promotions, demotions, drains and removals: in an order, and held back where they would cost quorum or room."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Place, Problem
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ActionType, Plan, TaskEffect
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.topology import nodes as topology
from tests.unit.planning.builders import NOW, a_node, actual, desired, observed, planned, service_spec, wanted_node

GLOBAL: dict[str, Any] = {"Global": {}}


def absent(name: str) -> DesiredNode:
    return replace(wanted_node(name), absent=True)


def down(name: str, **fields: Any) -> ObservedObject:
    node = a_node(name, **fields)
    node.raw["Status"] = {"State": "down"}
    return node


def managers(*names: str) -> tuple[ObservedObject, ...]:
    return tuple(a_node(name, role="manager") for name in names)


def made_for(asked: tuple[DesiredNode, ...], *nodes: ObservedObject, **fields: Any) -> Plan:
    return planned(desired(nodes=asked), actual(*nodes, **fields))


def order(made: Plan) -> dict[str, tuple[str, ...]]:
    """{action id without its kind: what it comes after}"""
    return {one.id.removeprefix("node."): tuple(i.removeprefix("node.") for i in one.after) for one in made.actions}


def refused(made: Plan) -> dict[str, str]:
    assert all(one.code is ErrorCode.PLAN_BLOCKED for one in made.blocked)
    return {one.id.removeprefix("node."): one.problem.why for one in made.blocked}


def a_task(node: str, service: str, state: str = "running") -> ObservedTask:
    raw = {
        "ID": f"{service}-on-{node}",
        "ServiceID": f"id-{service}",
        "NodeID": f"id-{node}",
        "Slot": 1,
        "Status": {"State": state},
        "DesiredState": "running",
    }
    return ObservedTask.from_api(raw, up_to_date=True)


def test_a_manager_is_drained_demoted_and_made_active_again():
    made = made_for((wanted_node("m2", role="worker", availability="active"),), *managers("m1", "m2", "m3"))
    assert order(made) == {"m2.drain": (), "m2.demote": ("m2.drain",), "m2": ("m2.demote",)}
    specs = [(one.spec["Role"], one.spec["Availability"]) for one in made.actions]
    assert specs == [("manager", "drain"), ("worker", "drain"), ("worker", "active")]
    read = [one.read_spec for one in made.actions]
    assert read[1:] == [one.spec for one in made.actions][:-1], "each reads what the one before wrote"
    assert made.actions[0].effect_text == "no task runs on it now, and none may start before it is demoted"


def test_each_field_of_a_node_is_told_with_its_line_and_a_drain_for_a_while_with_the_nodes():
    lines = {"Role": 10, "Availability": 11, 'Labels["a"]': 13}
    places = {path: Place("swarm.yaml", line) for path, line in lines.items()}
    asked = replace(wanted_node("n3", role="worker", availability="active", labels={"a": "1"}), field_places=places)
    made = made_for((asked,), *managers("n1", "n2", "n3"))
    told = [(one.path, one.new, one.place.line) for action in made.actions for one in action.changes if one.place]
    assert told == [
        ("Availability", "drain", asked.place.line),
        ("Role", "worker", 10),
        ("Availability", "active", 11),
        ('Labels["a"]', "1", 13),
    ]


def test_a_manager_that_is_to_be_drained_stays_drained():
    made = made_for((wanted_node("m2", role="worker", availability="drain"),), *managers("m1", "m2", "m3"))
    assert order(made) == {"m2.drain": (), "m2": ("m2.drain",)}


def test_an_availability_that_is_nobodys_business_is_kept_in_a_label_meanwhile():
    asked = (wanted_node("m2", role="worker"),)
    first, second, third = made_for(asked, *managers("m1", "m2", "m3")).actions
    assert first.spec["Labels"] == second.spec["Labels"] == {labels.AVAILABILITY: "active"}
    assert third.spec == {"Role": "worker", "Availability": "active", "Labels": {}}


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_demotion_that_was_interrupted_is_finished_by_the_next_plan(written: int):
    asked = (wanted_node("m2", role="worker"),)
    m1, m2, m3 = managers("m1", "m2", "m3")
    actions = made_for(asked, m1, replace(m2, spec={**m2.spec, "Availability": "pause"}), m3).actions
    spec = actions[written - 1].spec
    assert spec is not None
    raw = {"Status": {"State": "ready"}} | ({"ManagerStatus": m2.dig("ManagerStatus")} if written == 1 else {})
    rest = made_for(asked, m1, replace(m2, spec=spec, raw=raw), m3).actions
    assert [one.spec for one in rest] == [one.spec for one in actions[written:]]
    assert actions[-1].spec["Availability"] == "pause"


def test_one_manager_steps_down_at_a_time_after_all_promotions():
    asked = (wanted_node("m1", role="worker"), wanted_node("m2", role="worker"), wanted_node("w1", role="manager"))
    made = made_for(asked, *managers("m1", "m2", "m3"), a_node("w1"))
    assert list(order(made)) == ["w1", "m1.drain", "m1.demote", "m1", "m2.drain", "m2.demote", "m2"]
    assert order(made)["m1.drain"] == ("w1",)
    assert order(made)["m2.drain"] == ("w1", "m1")
    assert made.blocked == ()


def test_promotions_come_one_by_one():
    asked = (wanted_node("w1", role="manager"), wanted_node("w2", role="manager"))
    made = made_for(asked, *managers("m1"), a_node("w1"), a_node("w2"))
    assert order(made) == {"w1": (), "w2": ("w1",)}


def test_the_only_manager_can_be_swapped_in_one_plan():
    asked = (wanted_node("m1", role="worker"), wanted_node("w1", role="manager"))
    made = made_for(asked, *managers("m1"), a_node("w1"))
    assert list(order(made)) == ["w1", "m1.drain", "m1.demote", "m1"]
    assert made.blocked == ()


def test_the_last_manager_is_never_demoted_nor_removed():
    for asked in (wanted_node("m1", role="worker"), absent("m1")):
        made = made_for((asked,), *managers("m1"), a_node("w1"))
        assert made.actions == ()
        assert "the last manager" in refused(made)["m1"]


@pytest.mark.parametrize("asked", [wanted_node("m2", role="worker"), absent("m2")])
def test_who_was_promoted_is_not_demoted_before_it_has_joined(asked: DesiredNode):
    """Else it may join while it is demoted, and be gone: of two managers one is then no majority."""
    m1, m2 = managers("m1", "m2")
    joining = replace(m2, raw={"Status": {"State": "ready"}})
    made = made_for((asked,), m1, joining)
    assert made.actions == ()
    assert "has not joined the managers yet" in refused(made)["m2"]
    gone = replace(m2, raw={"Status": {"State": "down"}})
    assert made_for((asked,), m1, gone).blocked == ()


def test_a_manager_stays_when_the_rest_has_no_reachable_majority():
    nodes = (*managers("m1", "m2"), a_node("m3", role="manager", reachable=False))
    made = made_for((wanted_node("m2", role="worker"),), *nodes)
    assert made.actions == ()
    assert "1 would be known to be reachable" in refused(made)["m2"]


def test_a_manager_that_nobody_reaches_goes_first_and_makes_room_for_the_next():
    nodes = (*managers("m1", "m2"), down("m3", role="manager", reachable=False))
    made = made_for((wanted_node("m2", role="worker"), absent("m3")), *nodes)
    assert list(order(made)) == ["m3.demote", "m3", "m2.drain", "m2.demote", "m2"]
    assert made.actions[1].force is False, "a node that is down goes without force"
    assert made.blocked == ()


def test_a_node_that_is_down_is_not_promoted_and_holds_demotions_back():
    asked = (wanted_node("w1", role="manager"), wanted_node("m2", role="worker"))
    made = made_for(asked, *managers("m1", "m2", "m3"), down("w1"))
    assert made.actions == ()
    assert "It is down" in refused(made)["w1"]
    assert "w1 can't be promoted" in refused(made)["m2"]


def test_a_manager_that_was_just_promoted_and_is_not_reachable_yet_counts_for_nothing():
    joining = a_node("w1", Role="manager")
    made = made_for((wanted_node("m1", role="worker"),), *managers("m1"), joining)
    assert list(refused(made)) == ["m1"]


def test_a_manager_that_is_on_its_way_out_counts_for_nothing():
    leaving = a_node("m2", role="manager")
    leaving = replace(leaving, spec={**leaving.spec, "Role": "worker"})
    made = made_for((wanted_node("m1", role="worker"),), *managers("m1"), leaving)
    assert "the last manager" in refused(made)["m1"]


def test_a_worker_is_drained_and_removed():
    made = made_for((absent("w1"),), *managers("m1"), a_node("w1"))
    assert order(made) == {"w1.drain": (), "w1": ("w1.drain",)}
    removal = made.actions[-1]
    assert (removal.type, removal.force, removal.spec) == (ActionType.DELETE, True, None)
    assert "docker swarm leave" in removal.effect_text


def test_a_drained_worker_and_one_that_is_down_are_removed_at_once():
    made = made_for((absent("w1"), absent("w2")), *managers("m1"), a_node("w1", Availability="drain"), down("w2"))
    assert order(made) == {"w1": (), "w2": ()}
    assert [one.force for one in made.actions] == [True, False]


def test_a_manager_is_demoted_before_it_is_removed():
    made = made_for((absent("m2"),), *managers("m1", "m2", "m3"))
    assert order(made) == {"m2.drain": (), "m2.demote": ("m2.drain",), "m2": ("m2.demote",)}


def test_what_is_gone_already_is_no_news():
    made = made_for((absent("w9"), wanted_node("m1")), *managers("m1"))
    assert made.is_empty
    assert made.notes == ()


def test_a_removal_never_guesses_which_of_two_nodes_is_meant():
    made = made_for((absent("w1"),), *managers("m1"), a_node("w1"), replace(down("w1"), id="stale"))
    assert made.actions == ()
    assert [one.code for one in made.blocked] == [ErrorCode.INVALID_VALUE]


def test_a_drain_tells_what_becomes_of_the_tasks():
    services = [observed(Kind.SERVICE, service_spec(name)) for name in ("web", "agent", "batch")]
    services[1].spec["Mode"], services[2].spec["Mode"] = GLOBAL, {"ReplicatedJob": {}}
    tasks = (*(a_task("w1", name) for name in ("web", "agent", "batch")), a_task("w1", "web", "shutdown"))
    state = actual(*managers("m1"), a_node("w1"), *services, tasks=tasks)
    made = planned(desired(nodes=(wanted_node("w1", availability="drain"),)), state)
    drain = next(one for one in made.actions if one.kind is Kind.NODE)
    assert drain.effect is TaskEffect.MOVE
    assert drain.effect_text == (
        "1 task moves to other nodes, 1 task of a global service stops, 1 task of a job runs on to its end"
    )


def test_a_drain_moves_no_task_whose_service_is_gone():
    """Engines of 20.10 may leave the tasks of a removed job running, and nobody replaces them."""
    state = actual(*managers("m1"), a_node("w1"), tasks=(a_task("w1", "batch"),))
    made = planned(desired(nodes=(wanted_node("w1", availability="drain"),)), state)
    (drain,) = (one for one in made.actions if one.kind is Kind.NODE)
    assert drain.effect_text == "1 task of a removed service runs on to its end"


@pytest.mark.parametrize("to_be", [TaskState.SHUTDOWN, TaskState.REMOVE])
def test_a_drain_moves_no_task_that_is_to_end_already(to_be: TaskState):
    """Of a node that is down, Swarm has moved the tasks long before; there they "run" until it is back."""
    moved = replace(a_task("w1", "web"), desired_state=to_be)
    state = actual(*managers("m1"), down("w1"), observed(Kind.SERVICE, service_spec("web")), tasks=(moved,))
    made = planned(desired(nodes=(wanted_node("w1", availability="drain"),)), state)
    (drain,) = (one for one in made.actions if one.kind is Kind.NODE)
    assert (drain.effect, drain.effect_text) == (TaskEffect.NONE, "no task runs on it now")


@pytest.mark.parametrize(
    "asked",
    [wanted_node("m2", availability="drain"), wanted_node("m2", role="worker"), absent("m2")],
    ids=["drain", "demotion", "removal"],
)
def test_a_drain_that_leaves_tasks_nowhere_to_go_is_refused(monkeypatch: pytest.MonkeyPatch, asked: DesiredNode):
    def no_room(_context: object, _draft: object, leaving: set[str]) -> tuple[Problem, ...]:
        assert leaving == {"id-m2"}
        return (Problem(ErrorCode.UNSCHEDULABLE, "Service web_api has 2 tasks that fit nowhere."),)

    monkeypatch.setattr(topology, "stranded_by", no_room)
    made = made_for((asked,), *managers("m1", "m2", "m3"))
    assert made.actions == ()
    assert refused(made) == {"m2": "Service web_api has 2 tasks that fit nowhere."}


def test_room_is_counted_over_all_that_leaves(monkeypatch: pytest.MonkeyPatch):
    asked_for: list[set[str]] = []

    def room(_context: object, _draft: object, leaving: set[str]) -> tuple[Problem, ...]:
        asked_for.append(set(leaving))
        return ()

    monkeypatch.setattr(topology, "stranded_by", room)
    asked = (wanted_node("w1", availability="drain"), absent("w2"), wanted_node("m2", role="worker"), absent("m3"))
    made_for(asked, *managers("m1", "m2", "m3", "m4", "m5"), a_node("w1"), a_node("w2"))
    w1, w2, m2, m3 = "id-w1", "id-w2", "id-m2", "id-m3"
    assert asked_for == [{w1}, {w1, w2}, {w1, w2, m2}, {w1, w2, m3}], "m2 takes tasks again when m3 goes"


def own(state: ActualState, name: str) -> ActualState:
    return replace(state, local_node_id=f"id-{name}")


def test_the_node_that_we_talk_to_steps_down_last_of_all():
    asked = (wanted_node("m1", role="worker"), wanted_node("m2", role="worker"), wanted_node("w1", role="manager"))
    state = own(actual(*managers("m1", "m2", "m3"), a_node("w1")), "m1")
    made = planned(desired(nodes=asked, settings={"Raft": {"SnapshotInterval": 7}}), state)
    assert made.actions[-1].id == "node.m1"
    assert set(made.actions[-1].after) == {one.id for one in made.actions[:-1]}
    assert made.actions[-1].spec == {"Role": "worker", "Availability": "active", "Labels": {}}
    (note,) = [note for note in made.notes if note.code is ErrorCode.NOT_A_MANAGER]
    assert "m1" in note.what


def test_the_node_that_we_talk_to_is_not_removed():
    made = planned(desired(nodes=(absent("m1"),)), own(actual(*managers("m1", "m2", "m3")), "m1"))
    assert made.actions == ()
    assert "through which this plan goes" in refused(made)["m1"]


def test_where_it_is_the_last_manager_that_is_told_and_no_other_manager_is_hinted_at():
    made = planned(desired(nodes=(absent("m1"),)), own(actual(*managers("m1"), a_node("w1")), "m1"))
    (blocked,) = made.blocked
    assert "the last manager" in blocked.problem.why
    assert blocked.problem.hint.startswith("Promote other nodes first")


def test_ids_are_unique_and_the_time_plays_no_part():
    asked = (absent("m1"), wanted_node("m2", role="worker"), wanted_node("w1", role="manager"), absent("w2"))
    state = actual(*managers("m1", "m2", "m3"), a_node("w1"), a_node("w2"))
    made = planned(desired(nodes=asked), state)
    assert len({one.id for one in made.actions}) == len(made.actions)
    assert planned(desired(nodes=asked), replace(state, observed_at=NOW.replace(year=2040))).actions == made.actions
