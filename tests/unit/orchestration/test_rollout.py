"""Stories of rolling updates and rollbacks."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.commands import RollBackService, UpdateCluster
from reconciler.model.tables import TaskRecord, UpdateState
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import SECOND, VirtualSwarm, service_spec


def image(task: TaskRecord) -> str:
    return str(task.spec["ContainerSpec"]["Image"])


def images(swarm: VirtualSwarm, service_id: str) -> list[str]:
    return [image(task) for task in sorted(swarm.running(service_id), key=lambda task: task.slot)]


def updating(replicas: int | None = 3, *, old: dict[str, Any] | None = None, **config: Any) -> tuple[VirtualSwarm, str]:
    """Return a swarm whose service web has just been given image app:2."""
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=replicas, UpdateConfig=config, **(old or {})))
    swarm.rest()
    swarm.exits = lambda task: 1 if image(task) == "bad:1" else None
    swarm.update(web, service_spec(replicas=replicas, image="app:2", UpdateConfig=config, **(old or {})))
    return swarm, web


def state_of(swarm: VirtualSwarm, service_id: str) -> UpdateState | None:
    update = swarm.service(service_id).update
    return update.state if update else None


def test_an_update_replaces_one_slot_after_the_other_and_completes_after_the_monitor() -> None:
    swarm, web = updating(Parallelism=1, Delay=10 * SECOND)
    swarm.advance(1)
    assert images(swarm, web) == ["app:2", "app:1", "app:1"]
    assert state_of(swarm, web) is UpdateState.UPDATING
    swarm.advance(10)
    assert images(swarm, web) == ["app:2", "app:2", "app:1"]
    swarm.advance(10)
    assert images(swarm, web) == ["app:2", "app:2", "app:2"]
    assert state_of(swarm, web) is UpdateState.UPDATING
    swarm.advance(12)
    update = swarm.service(web).update
    assert update is not None
    assert (update.state, update.message) == (UpdateState.COMPLETED, "update completed")
    assert update.completed_at is not None


def test_parallelism_zero_updates_all_at_once() -> None:
    swarm, web = updating(Parallelism=0, Delay=10 * SECOND)
    swarm.settle()
    assert images(swarm, web) == ["app:2"] * 3


def test_stop_first_never_runs_two_tasks_of_a_slot() -> None:
    seen: list[int] = []

    def check(swarm: VirtualSwarm) -> None:
        slots = [task.slot for task in swarm.tasks() if TaskState.STARTING <= task.state <= TaskState.RUNNING]
        seen.append(max((slots.count(slot) for slot in slots), default=0))

    swarm = VirtualSwarm(check=check)
    web = swarm.create(service_spec(replicas=2))
    swarm.rest()
    swarm.update(web, service_spec(replicas=2, image="app:2"))
    swarm.rest()
    assert images(swarm, web) == ["app:2", "app:2"]
    assert max(seen) == 1


def test_start_first_ends_the_old_task_only_when_the_new_one_runs() -> None:
    fewest: list[int] = []
    swarm, web = updating(replicas=2, Parallelism=1, Order="start-first")
    swarm._check = lambda swarm: fewest.append(len(swarm.running(web)))
    swarm.rest()
    assert images(swarm, web) == ["app:2", "app:2"]
    assert min(fewest) == 2
    assert max(fewest) == 3


@pytest.mark.parametrize("changed", [{"Labels": {"a": "b"}}, {"UpdateConfig": {"Parallelism": 5}}])
def test_what_is_not_of_the_template_restarts_nothing(changed: dict[str, Any]) -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.rest()
    before = [task.id for task in swarm.running(web)]
    swarm.update(web, {**service_spec(replicas=2), **changed})
    swarm.rest()
    assert [task.id for task in swarm.running(web)] == before
    assert state_of(swarm, web) is None


def test_a_new_constraint_restarts_only_tasks_on_nodes_that_break_it() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.rest()
    stays = next(task.id for task in swarm.running(web) if task.node_id == "node1")
    swarm.update(web, service_spec(replicas=2, task={"Placement": {"Constraints": ["node.hostname==node1"]}}))
    swarm.rest()
    assert {task.node_id for task in swarm.running(web)} == {"node1"}
    assert stays in {task.id for task in swarm.running(web)}


def test_a_forced_update_replaces_every_task() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.rest()
    before = {task.id for task in swarm.running(web)}
    swarm.update(web, service_spec(replicas=2, task={"ForceUpdate": 1}))
    swarm.rest()
    assert len(swarm.running(web)) == 2
    assert not before & {task.id for task in swarm.running(web)}


def failing(action: str, ratio: float = 0.0, replicas: int = 3) -> tuple[VirtualSwarm, str]:
    config: dict[str, Any] = {
        "Parallelism": 1,
        "FailureAction": action,
        "MaxFailureRatio": ratio,
        "Monitor": 5 * SECOND,
    }
    swarm, web = updating(replicas=replicas, **config)
    swarm.rest()
    swarm.update(web, service_spec(replicas=replicas, image="bad:1", UpdateConfig=config))
    swarm.advance(300)
    return swarm, web


def test_a_failing_update_pauses_and_names_the_task() -> None:
    swarm, web = failing("pause")
    update = swarm.service(web).update
    assert update is not None
    assert update.state is UpdateState.PAUSED
    assert update.message.startswith("update paused due to failure or early termination of task id")
    assert sorted(images(swarm, web)) == ["app:2", "app:2"]


def test_a_paused_update_goes_on_with_the_next_change() -> None:
    swarm, web = failing("pause")
    swarm.update(web, service_spec(replicas=3, image="app:3"))
    swarm.rest()
    assert images(swarm, web) == ["app:3"] * 3
    assert state_of(swarm, web) is UpdateState.COMPLETED


def test_a_failing_update_rolls_back_by_itself() -> None:
    swarm, web = failing("rollback")
    update = swarm.service(web).update
    assert update is not None
    assert (update.state, update.message) == (UpdateState.ROLLBACK_COMPLETED, "rollback completed")
    assert images(swarm, web) == ["app:2"] * 3
    assert swarm.service(web).previous_spec is None


def test_an_update_that_ignores_failures_reaches_every_slot() -> None:
    swarm, web = failing("continue")
    assert {image(task) for task in swarm.live(web)} == {"bad:1"}
    assert state_of(swarm, web) is UpdateState.COMPLETED


def test_failures_up_to_the_ratio_are_borne() -> None:
    swarm, web = failing("pause", ratio=0.5, replicas=4)
    broken = [task for task in swarm.live(web) if image(task) == "bad:1"]
    assert len(broken) == 3
    assert state_of(swarm, web) is UpdateState.PAUSED


def test_a_rollback_that_fails_pauses() -> None:
    swarm = VirtualSwarm()
    config = {"FailureAction": "rollback", "Monitor": 5 * SECOND}
    swarm.exits = lambda _task: 1 if "bad" in broken else None
    broken: list[str] = []
    web = swarm.create(service_spec(UpdateConfig=config))
    swarm.rest()
    broken.append("bad")
    swarm.update(web, service_spec(image="app:2", UpdateConfig=config))
    swarm.advance(60)
    update = swarm.service(web).update
    assert update is not None
    assert update.state is UpdateState.ROLLBACK_PAUSED
    assert update.message.startswith("update paused due to failure or early termination of task id")


def test_a_rollback_by_hand_brings_the_old_spec_back_and_a_second_one_the_new() -> None:
    swarm, web = updating()
    swarm.rest()
    for expected in ("app:1", "app:2"):
        command = RollBackService(
            at=swarm.now,
            id=web,
            version=swarm.service(web).version,
            message="manually requested rollback",
            by_hand=True,
        )
        swarm.do(command)
        swarm.rest()
        assert images(swarm, web) == [expected] * 3
        assert state_of(swarm, web) is UpdateState.ROLLBACK_COMPLETED


def test_a_change_during_an_update_starts_it_anew() -> None:
    swarm, web = updating(Parallelism=1, Delay=30 * SECOND)
    swarm.advance(1)
    assert images(swarm, web) == ["app:2", "app:1", "app:1"]
    swarm.update(web, service_spec(replicas=3, image="app:3"))
    swarm.rest()
    assert images(swarm, web) == ["app:3"] * 3
    assert state_of(swarm, web) is UpdateState.COMPLETED


def test_scaling_together_with_a_new_image_does_both() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.rest()
    swarm.update(web, service_spec(replicas=4, image="app:2"))
    swarm.rest()
    assert images(swarm, web) == ["app:2"] * 4


def test_a_global_service_is_updated_node_by_node() -> None:
    swarm, web = updating(replicas=None, Parallelism=1, Delay=10 * SECOND)
    swarm.advance(1)
    assert sorted(image(task) for task in swarm.running(web)) == ["app:1", "app:1", "app:2"]
    swarm.rest()
    assert [image(task) for task in swarm.running(web)] == ["app:2"] * 3
    assert {task.node_id for task in swarm.running(web)} == {"node1", "node2", "node3"}


def test_an_old_task_that_dies_while_its_start_first_successor_comes_up_is_not_replaced_twice() -> None:
    swarm = VirtualSwarm()
    config = {"Order": "start-first"}
    web = swarm.create(service_spec(UpdateConfig=config, task={"RestartPolicy": {"Delay": 0}}))
    swarm.rest()
    (old,) = swarm.running(web)
    nowhere = {"Constraints": ["node.labels.moon==full"]}
    task = {"RestartPolicy": {"Delay": 0}, "Placement": nowhere}
    swarm.update(web, service_spec(image="app:2", UpdateConfig=config, task=task))
    swarm.settle()
    assert len(swarm.live(web)) == 2
    swarm.exit(old)
    swarm.settle()
    (new,) = swarm.live(web)
    assert image(new) == "app:2"


def test_start_first_keeps_the_old_task_while_the_new_one_fails_and_is_tried_again() -> None:
    swarm, web = updating(replicas=1, Order="start-first", FailureAction="continue")
    tries: list[str] = []

    def exits(task: TaskRecord) -> int | None:
        tries.append(task.id)
        return 1 if len(tries) < 3 else None

    swarm.exits = exits
    fewest: list[int] = []
    swarm._check = lambda swarm: fewest.append(len(swarm.running(web)))
    swarm.rest()
    assert images(swarm, web) == ["app:2"]
    assert (len(tries), min(fewest)) == (3, 1)


def test_a_task_that_fails_after_its_monitor_period_does_not_count_against_the_update() -> None:
    swarm, web = updating(replicas=2, Parallelism=1, Delay=20 * SECOND, Monitor=5 * SECOND)
    swarm.advance(8)
    swarm.exit(next(task for task in swarm.running(web) if image(task) == "app:2"))
    swarm.rest()
    assert images(swarm, web) == ["app:2", "app:2"]
    assert state_of(swarm, web) is UpdateState.COMPLETED


def test_a_short_history_does_not_make_an_update_forget_its_failures() -> None:
    swarm = VirtualSwarm()
    cluster = swarm.tables.cluster
    assert cluster is not None
    settings = {**cluster.spec, "Orchestration": {"TaskHistoryRetentionLimit": 1}}
    swarm.do(UpdateCluster(at=swarm.now, version=cluster.version, spec=settings))
    config = {"Parallelism": 1, "MaxFailureRatio": 0.45, "Monitor": 5 * SECOND, "Delay": 20 * SECOND}
    web = swarm.create(service_spec(replicas=4, UpdateConfig=config))
    swarm.rest()
    swarm.exits = lambda task: 1 if image(task) == "bad:1" else None
    swarm.update(web, service_spec(replicas=4, image="bad:1", UpdateConfig=config))
    swarm.advance(300)
    assert state_of(swarm, web) is UpdateState.PAUSED
    assert images(swarm, web) == ["app:1", "app:1"]


def test_a_paused_node_is_left_out_of_the_update_of_a_global_service() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.rest()
    swarm.set_node("node2", Availability="pause")
    swarm.update(agent, service_spec("agent", replicas=None, image="app:2"))
    swarm.rest()
    assert {task.node_id: image(task) for task in swarm.running(agent)} == {"node1": "app:2", "node2": "app:1"}


def test_a_rollback_runs_what_had_finished_again() -> None:
    swarm = VirtualSwarm()
    task = {"RestartPolicy": {"Condition": "none"}}
    config = {"Parallelism": 1, "FailureAction": "rollback", "Monitor": 5 * SECOND}
    web = swarm.create(service_spec(replicas=2, task=task, UpdateConfig=config))
    swarm.rest()
    swarm.exit(next(one for one in swarm.running(web) if one.slot == 2), 0)
    swarm.exits = lambda one: 1 if image(one) == "bad:1" else None
    swarm.update(web, service_spec(replicas=2, image="bad:1", task=task, UpdateConfig=config))
    swarm.rest()
    assert state_of(swarm, web) is UpdateState.ROLLBACK_COMPLETED
    assert images(swarm, web) == ["app:1", "app:1"]


def test_a_rollback_to_tasks_that_end_at_once_makes_no_tight_loop() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.exits = lambda task: 1 if image(task) == "bad:1" else None
    task = {"RestartPolicy": {"Condition": "none"}}
    web = swarm.create(service_spec(image="bad:1", task=task, RollbackConfig={"Monitor": 0}))
    swarm.rest()
    swarm.update(web, service_spec(task=task))
    swarm.rest()
    version = swarm.service(web).version
    swarm.do(RollBackService(at=swarm.now, id=web, version=version, message="", by_hand=True))
    swarm.rest()
    assert state_of(swarm, web) is UpdateState.ROLLBACK_COMPLETED
    assert [image(one) for one in swarm.tasks(web)] == ["bad:1", "app:1", "bad:1"]


def test_a_start_first_successor_that_ends_at_once_is_tried_again_at_the_pace_of_the_restart_delay() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.exits = lambda task: 1 if image(task) == "bad:1" else None
    config = {"Order": "start-first", "FailureAction": "continue"}
    task = {"RestartPolicy": {"Condition": "none", "Delay": 10 * SECOND}}
    web = swarm.create(service_spec(task=task, UpdateConfig=config))
    swarm.rest()
    swarm.update(web, service_spec(image="bad:1", task=task, UpdateConfig=config))
    swarm.advance(25)
    assert images(swarm, web) == ["app:1"]
    assert [image(one) for one in swarm.tasks(web)] == ["app:1", "bad:1", "bad:1", "bad:1"]
    # It goes on after failures, and so it has been completed once all of it was tried: who waits for it is told.
    assert state_of(swarm, web) is UpdateState.COMPLETED
