"""An embedded swarm as a whole: updates, drains, published ports, and what is left when it goes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tasks import TaskState
from tests.free_ports import free_port, free_ports
from tests.simulation.live import (
    SECOND,
    WAIT_S,
    Live,
    is_alive,
    live_swarm,
    pid_of,
    processes_of,
    script,
    spec,
)

SERVE = 'cd "$SWARM_TASK_DIR" && echo "$NAME" > index.html && exec python3 -m http.server 8000 --bind "$SWARM_TASK_IP"'


def web(name: str = "web", port: int = 0, greeting: str = "{{.Task.Slot}}", replicas: int = 2) -> JsonObject:
    ports = {"Ports": [{"TargetPort": 8000, "PublishedPort": port, "PublishMode": "ingress"}]}
    return script(name, SERVE, replicas=replicas, container={"Env": [f"NAME={greeting}"]}, EndpointSpec=ports)


async def fetch(port: int) -> str:
    """Return the body that the published port answers with, "" when it closes the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    except OSError:
        return ""
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


async def fetched(port: int, *expected: str) -> None:
    """Wait until the port has answered with all of `expected`, one after the other, in a row of requests."""
    async with asyncio.timeout(WAIT_S):
        while {await fetch(port) for _ in range(2 * len(expected))} != set(expected):  # noqa: ASYNC110 -- a server starts
            await asyncio.sleep(0.05)


async def test_a_published_port_leads_to_every_running_task_in_turn(live: Live) -> None:
    port = free_port()
    await live.create(web(port=port, replicas=2))
    await fetched(port, "1", "2")


async def test_a_published_port_follows_an_update_and_ends_with_the_service(live: Live) -> None:
    port, other = free_ports(2)
    service_id = await live.create(web(port=port, greeting="old", replicas=1))
    await fetched(port, "old")
    await live.update(service_id, web(port=other, greeting="new", replicas=1))
    await fetched(other, "new")
    assert await fetch(port) == ""
    await live.cluster.remove(Kind.SERVICE, service_id)
    await live.until("the tasks are gone", lambda actual: not actual.tasks)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", other)


async def test_a_connection_is_closed_when_no_task_accepts_it(live: Live) -> None:
    port = free_port()
    ports = {"Ports": [{"TargetPort": 8000, "PublishedPort": port, "PublishMode": "ingress"}]}
    service_id = await live.create(spec("web", "sleep", "1000", EndpointSpec=ports))
    await live.running(service_id, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_port_that_someone_else_has_is_told_in_the_tasks_output_and_taken_when_free(live: Live) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service_id = await live.create(web(port=port, replicas=1))
        (task,) = await live.running(service_id, 1)
        await live.log_with(task, f"swarmctl: published port {port} is not served on this host: address already in use")
    await fetched(port, "1")


async def test_a_rolling_update_replaces_all_and_says_so(live: Live) -> None:
    quick = {"UpdateConfig": {"Parallelism": 1, "Monitor": SECOND // 10}}
    service_id = await live.create(spec("web", "sleep", "1000", replicas=3, **quick))
    before = {task.id for task in await live.running(service_id, 3)}
    await live.update(service_id, spec("web", "sleep", "1001", replicas=3, **quick))
    await live.until(
        "the update is completed", lambda actual: actual.services[0].dig("UpdateStatus", "State") == "completed"
    )
    after = await live.running(service_id, 3)
    assert not before & {task.id for task in after}
    assert [task.slot for task in after] == [1, 2, 3]
    assert all(task.up_to_date for task in after)


async def test_a_failing_update_rolls_back(live: Live) -> None:
    quick = {"UpdateConfig": {"FailureAction": "rollback", "Monitor": SECOND}, "RollbackConfig": {"Monitor": 1}}
    service_id = await live.create(spec("web", "sleep", "1000", replicas=2, **quick))
    await live.running(service_id, 2)
    await live.update(service_id, spec("web", "no-such-program", replicas=2, **quick))
    await live.until(
        "it is rolled back",
        lambda actual: actual.services[0].dig("UpdateStatus", "State") == "rollback_completed",
    )
    tasks = await live.running(service_id, 2)
    assert {tuple(task.raw["Spec"]["ContainerSpec"]["Command"]) for task in tasks} == {("sleep", "1000")}


async def test_a_drained_node_is_emptied_and_its_processes_end(live: Live) -> None:
    service_id = await live.create(spec("web", "sleep", "1000", replicas=3))
    before = await live.running(service_id, 3)
    node = next(one for one in (await live.cluster.observe()).nodes if one.spec["Role"] == NodeRole.WORKER)
    await live.cluster.update(Kind.NODE, node.id, node.version, {**node.spec, "Availability": "drain"})
    moved = next(task for task in before if task.node_id == node.id)
    await live.until(
        "nothing runs on the drained node",
        lambda actual: all(task.node_id != node.id for task in actual.tasks if task.desired_state <= TaskState.RUNNING),
    )
    after = await live.running(service_id, 3)
    assert node.id not in Counter(task.node_id for task in after)
    await live.until("the old task ended", lambda _: not is_alive(pid_of(moved)))


async def test_a_removed_node_takes_its_processes_along(live: Live) -> None:
    service_id = await live.create(spec("agent", "sleep", "1000", replicas=None))
    before = await live.running(service_id, 3)
    node = next(one for one in (await live.cluster.observe()).nodes if one.spec["Role"] == NodeRole.WORKER)
    await live.cluster.remove(Kind.NODE, node.id, force=True)
    gone = next(task for task in before if task.node_id == node.id)
    await live.running(service_id, 2)
    await live.until("its process ended", lambda _: not is_alive(pid_of(gone)))


async def test_events_tell_of_changes_from_the_subscription_on(live: Live) -> None:
    await live.create(spec("before", "sleep", "1000"))
    events = live.cluster.events()
    service_id = await live.create(spec("web", "sleep", "1000"))
    await live.cluster.remove(Kind.SERVICE, service_id)
    async with asyncio.timeout(WAIT_S):
        seen = [await anext(events) for _ in range(2)]
    assert [(event.kind, event.action, event.name) for event in seen] == [
        ("service", "create", "web"),
        ("service", "remove", "web"),
    ]


async def test_a_stopped_swarm_leaves_no_process_and_its_folder_can_be_used_again(tmp_path: Path) -> None:
    async with live_swarm(tmp_path) as first:
        service_id = await first.create(script("web", "trap '' TERM; sleep 1000", replicas=4))
        pids = [pid_of(task) for task in await first.running(service_id, 4)]
    assert not any(is_alive(pid) for pid in pids)
    assert sorted(os.listdir(tmp_path)) == ["swarm.lock"]
    async with live_swarm(tmp_path) as second:
        assert (await second.cluster.observe()).services == ()


async def test_a_subscriber_is_told_when_the_swarm_ends(tmp_path: Path) -> None:
    async with live_swarm(tmp_path) as live:
        events = live.cluster.events()
    with pytest.raises(SwarmctlError) as lost:
        await anext(events)
    assert lost.value.code is ErrorCode.ENGINE_UNREACHABLE
    with pytest.raises(SwarmctlError) as refused:
        await live.create(spec("web", "sleep", "1000"))
    assert refused.value.code is ErrorCode.EMBEDDED_NOT_RUNNING


async def test_two_swarms_never_share_a_folder(live: Live) -> None:
    with pytest.raises(SwarmctlError) as refused:
        await start_embedded_swarm(EmbeddedSettings(str(live.folder)))
    assert refused.value.code is ErrorCode.EMBEDDED_ALREADY_RUNNING


async def test_two_swarms_in_two_folders_live_side_by_side(tmp_path: Path) -> None:
    async with live_swarm(tmp_path / "a", nodes=1) as one, live_swarm(tmp_path / "b", nodes=1) as other:
        ids = [await live.create(spec("web", "sleep", "1000", replicas=2)) for live in (one, other)]
        tasks = await one.running(ids[0], 2) + await other.running(ids[1], 2)
        addresses = [record.status.address for live in (one, other) for record in live.cluster.tables.tasks.values()]
        assert len(set(addresses)) == len(tasks) == 4


HOST_PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.simulation.live import live_swarm, script

async def main():
    async with live_swarm(Path(sys.argv[1]), nodes=1) as live:
        text = "setsid sleep 1000 & trap '' TERM; while :; do sleep 1; done"
        service_id = await live.create(script("web", text, replicas=2))
        await live.running(service_id, 2)
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_swarm_left_running_is_ended_by_the_next_one(tmp_path: Path) -> None:
    program = (sys.executable, "-c", HOST_PROGRAM, str(tmp_path))
    host = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    bystander = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        assert host.stdout is not None
        assert await host.stdout.readline() == b"up\n"
        host.kill()
        await host.wait()
        left = processes_of(tmp_path)
        assert len(left) >= 4
        # A record whose number belongs to someone else by now must not cost that one its life.
        (folder,) = tmp_path.glob("nodes/*/processes")  # noqa: ASYNC240 - nothing else runs yet
        (folder / "stale.json").write_text(f'{{"pid": {bystander.pid}, "start_ticks": 1, "boot_id": "{_boot_id()}"}}')
        async with live_swarm(tmp_path):
            assert not any(is_alive(pid) for pid in left)
            assert is_alive(bystander.pid)
    finally:
        for process in (host, bystander):
            if process.returncode is None:
                process.kill()
            await process.wait()
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
