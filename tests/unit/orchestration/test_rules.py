"""Rules of Swarm that no story tells, each named by its number in the facts (swarmkit.md)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reconciler.model.commands import UpdateCluster
from reconciler.model.json import JsonObject
from reconciler.model.tables import UpdateState
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import SECOND, VirtualSwarm, service_spec


def errs(swarm: VirtualSwarm, service_id: str) -> list[str]:
    return [task.status.err for task in swarm.live(service_id) if task.state is TaskState.PENDING]


def published(port: int, mode: str = "host", protocol: str = "tcp") -> JsonObject:
    described = {"Protocol": protocol, "TargetPort": 80, "PublishedPort": port, "PublishMode": mode}
    return {"EndpointSpec": {"Mode": "vip", "Ports": [described]}}


def keep(swarm: VirtualSwarm, limit: int) -> None:
    version = swarm.tables.cluster.version if swarm.tables.cluster else 0
    spec = {"Name": "default", "Orchestration": {"TaskHistoryRetentionLimit": limit}}
    swarm.do(UpdateCluster(at=swarm.now, version=version, spec=spec))


def failing(**policy: Any) -> tuple[VirtualSwarm, str]:
    """Return a swarm of one node with a service whose tasks fail at once."""
    swarm = VirtualSwarm(nodes=1)
    swarm.exits = lambda _task: 1
    return swarm, swarm.create(service_spec(task={"RestartPolicy": {"Delay": SECOND, **policy}}))


# --- 2.2 scale-down


def test_2_2_scaling_down_takes_what_does_not_run_yet_and_of_equals_the_highest_slot() -> None:
    swarm = VirtualSwarm(nodes=1)
    web = swarm.create(service_spec(replicas=4, task={"RestartPolicy": {"Delay": 60 * SECOND}}))
    swarm.settle()
    swarm.exit(next(task for task in swarm.running(web) if task.slot == 2))
    swarm.settle()
    spec = service_spec(replicas=2, task={"RestartPolicy": {"Delay": 60 * SECOND}})
    swarm.update(web, spec)
    swarm.settle()
    assert sorted(task.slot for task in swarm.live(web)) == [1, 3]


# --- 2.4 jobs


def test_2_4_a_new_iteration_of_a_job_removes_the_tasks_of_the_old_one() -> None:
    swarm = VirtualSwarm(nodes=1)
    job = service_spec(Mode={"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}})
    web = swarm.create(job)
    swarm.settle()
    (old,) = swarm.running(web)
    swarm.update(web, {**job, "Labels": {"any": "change"}})
    swarm.rest()
    (new,) = swarm.tasks(web)
    assert (new.job_iteration, new.id == old.id) == (1, False)
    assert old.id not in swarm.tables.tasks


def test_2_4_a_completed_task_of_a_job_stays_wanted() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.exits = lambda _task: 0
    web = swarm.create(service_spec(Mode={"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}}))
    swarm.rest()
    assert [(task.slot, task.state, task.desired_state) for task in swarm.tasks(web)] == [
        (0, TaskState.COMPLETE, TaskState.COMPLETE),
        (1, TaskState.COMPLETE, TaskState.COMPLETE),
    ]


# --- 2.5 restarts, 1.5 history


def test_2_5_attempts_are_forgotten_when_the_template_changes() -> None:
    swarm, web = failing(MaxAttempts=1)
    swarm.rest()
    assert len(swarm.tasks(web)) == 2
    policy = {"RestartPolicy": {"Delay": SECOND, "MaxAttempts": 1}}
    swarm.update(web, service_spec(image="app:2", task=policy, UpdateConfig={"FailureAction": "continue"}))
    swarm.advance(120)
    new = [task for task in swarm.tasks(web) if task.spec["ContainerSpec"]["Image"] == "app:2"]
    assert [task.is_restart for task in new] == [False, True]


def test_1_5_attempts_keep_one_more_task_than_there_may_be() -> None:
    swarm, web = failing(MaxAttempts=8)
    keep(swarm, 1)
    swarm.rest()
    assert len(swarm.tasks(web)) == 9


def test_1_5_a_negative_limit_keeps_everything() -> None:
    swarm, web = failing()
    keep(swarm, -1)
    swarm.advance(30)
    assert len(swarm.tasks(web)) > 20


# --- 2.7 the enforcer


def test_2_7_a_paused_node_keeps_a_task_that_its_constraints_exclude() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.set_node("node2", Labels={"zone": "a"})
    web = swarm.create(service_spec(task={"Placement": {"Constraints": ["node.labels.zone == a"]}}))
    swarm.settle()
    before = swarm.running(web)
    swarm.set_node("node2", Availability="pause", Labels={})
    swarm.rest()
    assert swarm.running(web) == before
    swarm.set_node("node2", Availability="active")
    swarm.rest()
    assert swarm.running(web) == []
    assert errs(swarm, web) == ["no suitable node (scheduling constraints not satisfied on 2 nodes)"]


# --- 3.2 filters


def test_3_2_of_equal_counts_the_filter_that_comes_first_is_told_first() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.set_node("node1", Labels={"zone": "a"})
    swarm.set_node("node2", Availability="pause")
    web = swarm.create(service_spec(task={"Placement": {"Constraints": ["node.labels.zone == b"]}}))
    swarm.settle()
    reasons = "1 node not available for new tasks; scheduling constraints not satisfied on 1 node"
    assert errs(swarm, web) == [f"no suitable node ({reasons})"]


def test_3_2_the_first_filter_that_fails_is_the_reason() -> None:
    swarm = VirtualSwarm(nodes=1)
    much = {"Resources": {"Reservations": {"NanoCPUs": 64 * SECOND}}}
    web = swarm.create(service_spec(task={"Placement": {"Constraints": ["node.id == x"], "MaxReplicas": 1}, **much}))
    swarm.settle()
    assert errs(swarm, web) == ["no suitable node (insufficient resources on 1 node)"]


def test_3_2_limits_are_no_reservations() -> None:
    swarm = VirtualSwarm(nodes=1)
    web = swarm.create(service_spec(replicas=2, task={"Resources": {"Limits": {"NanoCPUs": 64 * SECOND}}}))
    swarm.settle()
    assert len(swarm.running(web)) == 2


def test_3_2_a_host_port_is_of_its_protocol_and_one_that_nobody_chose_is_never_taken() -> None:
    swarm = VirtualSwarm(nodes=1)
    for number, spec in enumerate((published(53), published(53, protocol="udp"), published(0), published(0))):
        service_id = swarm.create(service_spec(f"s{number}", **spec))
        swarm.settle()
        assert len(swarm.running(service_id)) == 1
    last = swarm.create(service_spec("last", replicas=2, **published(53, protocol="sctp")))
    swarm.settle()
    assert errs(swarm, last) == ["no suitable node (host-mode port already in use on 1 node)"]


def test_3_2_the_port_of_a_task_that_is_still_stopping_is_taken() -> None:
    swarm = VirtualSwarm(nodes=1)
    first = swarm.create(service_spec("first", **published(53)))
    swarm.settle()
    swarm.stubborn = [task.id for task in swarm.running(first)]
    swarm.update(first, service_spec("first", replicas=0, **published(53)))
    second = swarm.create(service_spec("second", **published(54)))
    third = swarm.create(service_spec("third", task={"Placement": {"MaxReplicas": 1}}))
    swarm.settle()
    assert (len(swarm.running(second)), len(swarm.running(third))) == (1, 1)
    other = swarm.create(service_spec("other", **published(55)))
    swarm.update(other, service_spec("other", **published(53)))
    swarm.settle()
    assert errs(swarm, other) == ["no suitable node (host-mode port already in use on 1 node)"]
    swarm.stubborn.clear()
    swarm.rest()
    assert len(swarm.running(other)) == 1


def test_3_2_max_replicas_count_tasks_that_shall_run() -> None:
    swarm = VirtualSwarm(nodes=1)
    one_each = {"Placement": {"MaxReplicas": 1}, "RestartPolicy": {"Delay": 0}}
    web = swarm.create(service_spec(replicas=1, task=one_each))
    swarm.settle()
    swarm.exit(swarm.running(web)[0])
    swarm.rest()
    assert len(swarm.running(web)) == 1


def test_3_2_a_global_task_waits_for_its_own_node_only() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.describe("node2", Resources={"NanoCPUs": SECOND, "MemoryBytes": 1 << 30})
    web = swarm.create(service_spec(replicas=None, task={"Resources": {"Reservations": {"NanoCPUs": 2 * SECOND}}}))
    swarm.settle()
    assert [task.node_id for task in swarm.running(web)] == ["node1"]
    assert errs(swarm, web) == ["insufficient resources on 1 node"]
    swarm.describe("node2", Resources={"NanoCPUs": 2 * SECOND, "MemoryBytes": 1 << 30})
    swarm.settle()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 1, "node2": 1}


# --- 3.4 order of nodes


def test_3_4_failures_are_forgotten_after_five_minutes() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.exits = lambda task: 1 if task.node_id == "node1" else None
    pinned = service_spec(task={"RestartPolicy": {"Delay": SECOND}, "Placement": {"Constraints": []}})
    web = swarm.create(pinned)
    busy = service_spec("busy", replicas=9, task={"Placement": {"Constraints": ["node.hostname==node2"]}})
    swarm.create(busy)
    swarm.advance(30)
    assert [task.node_id for task in swarm.running(web)] == ["node2"]
    swarm.exits = lambda _task: None
    swarm.advance(301)
    swarm.exit(swarm.running(web)[0])
    swarm.rest()
    assert [task.node_id for task in swarm.running(web)] == ["node1"]


# --- 4 updates


def test_4_a_delay_that_is_longer_than_the_monitor_is_watched_for_a_second_more() -> None:
    swarm = VirtualSwarm(nodes=1)
    config = {"Parallelism": 1, "Delay": 20 * SECOND, "Monitor": 5 * SECOND}
    web = swarm.create(service_spec(UpdateConfig=config))
    swarm.settle()
    swarm.update(web, service_spec(image="app:2", UpdateConfig=config))
    swarm.advance(20.5)
    update = swarm.service(web).update
    assert update is not None
    assert update.state is UpdateState.UPDATING
    swarm.advance(0.5)
    update = swarm.service(web).update
    assert update is not None
    assert update.state is UpdateState.COMPLETED


def test_4_an_update_of_nothing_that_runs_leaves_no_status() -> None:
    swarm = VirtualSwarm(nodes=1)
    web = swarm.create(service_spec(replicas=0))
    swarm.settle()
    swarm.update(web, service_spec(replicas=0, image="app:2"))
    swarm.rest()
    assert swarm.service(web).update is None
