"""What each node is told to run, from change to change."""

from __future__ import annotations

from reconciler.manager.dispatcher import Dispatcher
from reconciler.model.assignments import AssignmentSet
from reconciler.model.changes import Change
from reconciler.model.commands import CreateSecret, RemoveSecret, RemoveService, RollBackService
from reconciler.model.tasks import TaskState
from reconciler.store.apply import apply_noting
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec


def noting(swarm: VirtualSwarm, dispatcher: Dispatcher) -> None:
    """Let the dispatcher hear of every change that the swarm makes from now on."""
    note = swarm.brain.note

    def both(changes: list[Change]) -> None:
        note(changes)
        dispatcher.note(swarm.tables, changes)

    swarm.brain.note = both  # type: ignore[method-assign, assignment]


def told_anew(swarm: VirtualSwarm) -> dict[str, AssignmentSet]:
    return Dispatcher().take(swarm.tables)


def names(told: dict[str, AssignmentSet]) -> dict[str, tuple[set[str], set[str]]]:
    return {node_id: (set(one.wanted), set(one.kept)) for node_id, one in told.items()}


def test_at_first_every_node_is_told_and_then_only_where_something_changed() -> None:
    swarm, dispatcher = VirtualSwarm(nodes=3), Dispatcher()
    noting(swarm, dispatcher)
    assert set(dispatcher.take(swarm.tables)) == {"node1", "node2", "node3"}
    assert dispatcher.take(swarm.tables) == {}
    web = swarm.create(service_spec(task={"Placement": {"Constraints": ["node.hostname == node2"]}}))
    assert dispatcher.take(swarm.tables) == {}
    swarm.settle()
    told = dispatcher.take(swarm.tables)
    (task,) = swarm.running(web)
    assert names(told) == {"node2": ({task.id}, set())}


def test_what_is_told_is_what_a_look_at_everything_would_tell() -> None:
    swarm, dispatcher = VirtualSwarm(nodes=2), Dispatcher()
    noting(swarm, dispatcher)
    known = dispatcher.take(swarm.tables)
    web = swarm.create(service_spec(replicas=4, task={"RestartPolicy": {"Delay": 0}}))
    swarm.settle()
    known |= dispatcher.take(swarm.tables)
    swarm.exit(swarm.running(web)[0])
    swarm.update(web, service_spec(replicas=3, image="app:2"))
    swarm.rest()
    known |= dispatcher.take(swarm.tables)
    assert names(known) == names(told_anew(swarm))
    assert {one.desired_state for each in known.values() for one in each.wanted.values()} == {TaskState.RUNNING}
    swarm.remove_node("node2")
    swarm.rest()
    assert "node2" not in dispatcher.take(swarm.tables)
    swarm.do(RemoveService(at=swarm.now, id=web))
    swarm.rest()
    assert names(dispatcher.take(swarm.tables)) == {"node1": (set(), set())}


def test_a_task_keeps_what_it_was_given_first_and_its_wish_only_grows() -> None:
    swarm, dispatcher = VirtualSwarm(nodes=1), Dispatcher()
    noting(swarm, dispatcher)
    web = swarm.create(service_spec(Labels={"a": "1"}))
    swarm.settle()
    (task,) = swarm.running(web)
    first = dispatcher.take(swarm.tables)["node1"].wanted[task.id]
    swarm.update(web, service_spec(Labels={"a": "2"}))
    swarm.set_node("node1", Labels={"any": "change"})
    again = dispatcher.take(swarm.tables)["node1"].wanted[task.id]
    assert again is first
    swarm.stubborn.append(task.id)
    outcome, changes = apply_noting(swarm.tables, RemoveService(at=swarm.now, id=web))
    dispatcher.note(swarm.tables, changes)
    last = dispatcher.take(swarm.tables)["node1"].wanted[task.id]
    assert (last.desired_state, last.service_labels) == (TaskState.REMOVE, {"a": "1"})
    assert outcome is not None


def test_a_task_whose_secret_or_config_is_gone_is_told_so() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.do(CreateSecret(at=swarm.now, id="s1", spec={"Name": "key", "Data": "eA=="}))
    file = {"Name": "key", "UID": "0", "GID": "0", "Mode": 0o444}
    secrets = {"Secrets": [{"SecretID": "s1", "SecretName": "key", "File": file}]}
    with_it = service_spec(task={"ContainerSpec": {"Image": "app:1", **secrets}})
    web = swarm.create(with_it)
    swarm.settle()
    (told,) = told_anew(swarm)["node1"].wanted.values()
    assert ([one.name for one in told.secrets], told.lacking) == (["key"], "")
    swarm.update(web, service_spec())
    swarm.rest()
    swarm.do(RemoveSecret(at=swarm.now, id="s1"))
    version = swarm.service(web).version
    swarm.do(RollBackService(at=swarm.now, id=web, version=version, message="by hand", by_hand=True))
    swarm.settle()
    lacking = {one.lacking for one in told_anew(swarm)["node1"].wanted.values() if one.container.get("Secrets")}
    assert lacking == {"unable to get secret from secret store: secret s1 not found"}
