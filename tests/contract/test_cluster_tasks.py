"""Tasks: what every backend of the Cluster port makes of a service."""

from __future__ import annotations

import asyncio
from collections import Counter

from reconciler.model.actual import ActualState
from reconciler.model.objects import Kind
from reconciler.model.tasks import TaskState
from tests.contract.subject import POLL_S, SECOND, WAIT_S, Subject, live, overlay, secret, service


async def test_replicas_run_on_slots_of_their_own_spread_over_the_nodes(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_spread", replicas=6))
    tasks = await subject.running(service_id, 6)
    assert [task.slot for task in tasks] == [1, 2, 3, 4, 5, 6]
    assert sorted(Counter(task.node_id for task in tasks).values()) == [2, 2, 2]
    assert all(task.up_to_date for task in tasks)


async def test_a_global_service_runs_once_on_every_node(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_global", replicas=None))
    tasks = await subject.running(service_id, 3)
    assert {task.node_id for task in tasks} == {node.id for node in await subject.nodes()}
    assert {task.slot for task in tasks} == {0}


async def test_a_task_that_exits_is_replaced_in_its_slot(subject: Subject) -> None:
    spec = service("task_dies", "sh", "-c", "sleep 0.5; exit 3", replicas=2)
    service_id = await subject.cluster.create(Kind.SERVICE, spec)

    def replaced(actual: ActualState) -> bool:
        failed = [task for task in actual.tasks_of(service_id) if task.state is TaskState.FAILED]
        return {task.slot for task in failed} == {1, 2} and len(live(actual, service_id)) == 2

    actual = await subject.until("both tasks failed and were replaced", replaced)
    failed = [task for task in actual.tasks_of(service_id) if task.state is TaskState.FAILED]
    assert {task.exit_code for task in failed} == {3}
    assert all("non-zero exit (3)" in task.error for task in failed)
    assert [task.slot for task in live(actual, service_id)] == [1, 2]


async def test_a_task_that_is_done_is_not_run_again_when_told_so(subject: Subject) -> None:
    spec = service("task_once", "sh", "-c", "exit 0", RestartPolicy={"Condition": "on-failure"})
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    await subject.until(
        "the task completed",
        lambda actual: [task.state for task in actual.tasks_of(service_id)] == [TaskState.COMPLETE],
    )
    await asyncio.sleep(1)
    assert len(list((await subject.cluster.observe()).tasks_of(service_id))) == 1


async def test_scaling_keeps_the_tasks_that_stay(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_scale", replicas=2))
    two = {task.id for task in await subject.running(service_id, 2)}

    await subject.update(Kind.SERVICE, service_id, Mode={"Replicated": {"Replicas": 4}})
    four = {task.id for task in await subject.running(service_id, 4)}
    assert two < four

    await subject.update(Kind.SERVICE, service_id, Mode={"Replicated": {"Replicas": 1}})
    (one,) = await subject.running(service_id, 1)
    assert one.id in four
    await subject.until(
        "the others are gone", lambda actual: {task.id for task in actual.tasks_of(service_id)} == {one.id}
    )


async def test_a_new_image_replaces_the_tasks(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_update", replicas=2))
    before = {task.id for task in await subject.running(service_id, 2)}

    await subject.cluster.update(
        Kind.SERVICE,
        service_id,
        (await subject.cluster.get(Kind.SERVICE, service_id)).version,
        service("task_update", replicas=2, container={"Image": "swarmctl-test:2", "Env": ["NEW=1"]}),
    )

    def updated(actual: ActualState) -> bool:
        wanted = live(actual, service_id)
        return len(wanted) == 2 and all(task.up_to_date and task.state is TaskState.RUNNING for task in wanted)

    after = live(await subject.until("both tasks are up to date", updated), service_id)
    assert not before & {task.id for task in after}
    assert [task.slot for task in after] == [1, 2]
    assert {task.raw["Spec"]["ContainerSpec"]["Image"] for task in after} == {"swarmctl-test:2"}


async def test_looking_again_tells_what_a_new_look_tells(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_again", replicas=2))
    await subject.running(service_id, 2)
    first = await subject.cluster.observe()
    assert running(await subject.cluster.observe(first)) == running(first)
    image = {"Image": "swarmctl-test:2", "Env": ["NEW=1"]}
    await subject.update(Kind.SERVICE, service_id, **service("task_again", replicas=2, container=image))
    assert not any(task.up_to_date for task in (await subject.cluster.observe(first)).tasks if task in first.tasks)
    for _ in range(round(WAIT_S / POLL_S)):
        again = await subject.cluster.observe(first)
        if len(updated := running(again)) == 2 and all(up_to_date for _, up_to_date in updated):
            break
        await asyncio.sleep(POLL_S)
    assert running(again) == running(await subject.cluster.observe())
    assert not {task_id for task_id, _ in running(first)} & {task_id for task_id, _ in updated}


async def test_looking_at_tasks_alone_tells_of_them_what_a_new_look_tells(subject: Subject) -> None:
    since = before = await subject.cluster.observe()
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_alone", replicas=2))
    for _ in range(round(WAIT_S / POLL_S)):
        since = await subject.cluster.observe_tasks(since)
        if len(running(since) - running(before)) == 2:
            break
        await asyncio.sleep(POLL_S)
    assert {task.id for task in live(since, service_id)} == {task_id for task_id, _ in running(since) - running(before)}
    assert running(since) == running(await subject.cluster.observe())
    assert since.swarm == before.swarm


def running(actual: ActualState) -> set[tuple[str, bool]]:
    """Return (id, up to date?) of the tasks that run and should."""
    wanted = (task for task in actual.tasks if task.state is task.desired_state is TaskState.RUNNING)
    return {(task.id, task.up_to_date) for task in wanted}


async def test_a_service_label_replaces_no_task(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_label", replicas=2))
    before = {task.id for task in await subject.running(service_id, 2)}
    await subject.update(Kind.SERVICE, service_id, Labels={"new": "label"})
    await asyncio.sleep(1)
    after = await subject.running(service_id, 2)
    assert {task.id for task in after} == before
    assert all(task.up_to_date for task in after)


async def test_a_forced_update_replaces_the_task(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_force"))
    (before,) = await subject.running(service_id, 1)
    template = (await subject.cluster.get(Kind.SERVICE, service_id)).spec["TaskTemplate"]
    await subject.update(Kind.SERVICE, service_id, TaskTemplate={**template, "ForceUpdate": 1})

    def forced(actual: ActualState) -> bool:
        (task,) = live(actual, service_id) or [before]
        return task.id != before.id and task.state is TaskState.RUNNING and task.up_to_date

    await subject.until("a new task runs", forced)


async def test_constraints_are_respected(subject: Subject) -> None:
    node = await subject.worker()
    await subject.update(Kind.NODE, node.id, Labels={"disk": "ssd"})
    spec = service("task_placed", replicas=2, Placement={"Constraints": ["node.labels.disk == ssd"]})
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    assert {task.node_id for task in await subject.running(service_id, 2)} == {node.id}


async def test_a_task_that_fits_nowhere_waits_and_says_why(subject: Subject) -> None:
    spec = service("task_nowhere", Placement={"Constraints": ["node.labels.moon == full"]})
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    actual = await subject.until(
        "the task says why it waits", lambda seen: [task.error for task in seen.tasks_of(service_id) if task.error]
    )
    (task,) = actual.tasks_of(service_id)
    assert (task.state, task.node_id) == (TaskState.PENDING, "")
    assert task.error == "no suitable node (scheduling constraints not satisfied on 3 nodes)"

    node = await subject.worker()
    await subject.update(Kind.NODE, node.id, Labels={"moon": "full"})
    assert [found.node_id for found in await subject.running(service_id, 1)] == [node.id]


async def test_a_drained_node_loses_its_tasks(subject: Subject) -> None:
    node = await subject.worker()
    replicated = await subject.cluster.create(Kind.SERVICE, service("task_move", replicas=3))
    everywhere = await subject.cluster.create(Kind.SERVICE, service("task_leave", replicas=None))
    await subject.running(replicated, 3)
    await subject.running(everywhere, 3)

    await subject.update(Kind.NODE, node.id, Availability="drain")
    await subject.until(
        "nothing is left on the node", lambda actual: node.id not in {task.node_id for task in live(actual, everywhere)}
    )
    assert node.id not in {task.node_id for task in await subject.running(everywhere, 2)}
    await subject.until(
        "the replicas moved", lambda actual: node.id not in {task.node_id for task in live(actual, replicated)}
    )
    assert [task.slot for task in await subject.running(replicated, 3)] == [1, 2, 3]

    await subject.update(Kind.NODE, node.id, Availability="active")
    assert node.id in {task.node_id for task in await subject.running(everywhere, 3)}


async def test_tasks_of_a_removed_service_go(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_gone", replicas=2))
    await subject.running(service_id, 2)
    await subject.cluster.remove(Kind.SERVICE, service_id)
    await subject.until("its tasks are gone", lambda actual: not list(actual.tasks_of(service_id)))


async def test_the_log_is_what_the_task_printed(subject: Subject) -> None:
    script = "echo one; echo two >&2; echo three $GREETING; sleep 1000"
    spec = service("task_log", "sh", "-c", script, container={"Env": ["GREETING=hello"]})
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    (task,) = await subject.running(service_id, 1)

    lines = await _log_with(subject, task.id, "three hello")
    # stdout and stderr are two pipes: the order between them is nobody's promise.
    assert sorted(lines) == ["one", "three hello", "two"]
    assert len(await subject.cluster.task_log(task.id, tail_lines=1)) == 1


async def _log_with(subject: Subject, task_id: str, line: str) -> tuple[str, ...]:
    """Return a task's log once it holds `line`."""
    for _ in range(round(WAIT_S / POLL_S)):
        lines = await subject.cluster.task_log(task_id, tail_lines=10)
        if line in lines:
            return lines
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"The log has no {line!r}, only {lines}")


async def test_secret_and_config_files_are_there_for_the_task(subject: Subject) -> None:
    secret_id = await subject.cluster.create(Kind.SECRET, secret("task_secret", b"hush\n"))
    config_id = await subject.cluster.create(Kind.CONFIG, secret("task_config", b"open\n"))
    file = {"UID": "0", "GID": "0", "Mode": 0o444}
    container = {
        "Secrets": [{"File": {"Name": "s", **file}, "SecretID": secret_id, "SecretName": "task_secret"}],
        "Configs": [{"File": {"Name": "/tmp/c", **file}, "ConfigID": config_id, "ConfigName": "task_config"}],
    }
    # Relative: a container starts in its root, a process in the folder that stands for it.
    script = "cat run/secrets/s tmp/c; sleep 1000"
    service_id = await subject.cluster.create(
        Kind.SERVICE, service("task_files", "sh", "-c", script, container=container)
    )
    (task,) = await subject.running(service_id, 1)
    assert await _log_with(subject, task.id, "open") == ("hush", "open")


async def test_a_task_without_a_word_has_an_empty_log(subject: Subject) -> None:
    service_id = await subject.cluster.create(Kind.SERVICE, service("task_mute"))
    (task,) = await subject.running(service_id, 1)
    assert await subject.cluster.task_log(task.id, tail_lines=10) == ()


async def test_a_network_is_free_while_the_last_tasks_on_it_still_stop(subject: Subject) -> None:
    """`docker stack rm` removes networks right after services; it does not wait for tasks to end."""
    network_id = await subject.cluster.create(Kind.NETWORK, overlay("task_net"))
    slow = {"StopGracePeriod": 5 * SECOND, "StopSignal": "SIGTERM"}
    script = "trap '' TERM; while :; do sleep 1; done"
    spec = service("task_slow", "sh", "-c", script, container=slow, Networks=[{"Target": network_id}])
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    await subject.running(service_id, 1)

    await subject.cluster.remove(Kind.SERVICE, service_id)
    await asyncio.sleep(0.5)  # the manager tells the tasks to go in a step of its own
    await subject.cluster.remove(Kind.NETWORK, network_id)
    assert network_id not in [network.id for network in (await subject.cluster.observe()).networks]
