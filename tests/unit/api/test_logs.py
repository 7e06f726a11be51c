"""Logs as the wire has them: frames, streams, times, details, tails, and what comes later."""

from __future__ import annotations

import asyncio
import re
import struct
from pathlib import Path
from typing import Any

from tests.unit.api.conftest import Api

WAIT_S = 60.0
SCRIPT = "echo one; echo two >&2; echo three; until [ -e go ]; do sleep 0.05; done; echo four; exec sleep 1000"
MOMENT = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Return (stream, content) of each frame of a body, which must be made of frames to its end."""
    found, at = [], 0
    while at < len(body):
        stream, length = struct.unpack_from(">BxxxL", body, at)
        found.append((stream, body[at + 8 : at + 8 + length]))
        at += 8 + length
    assert at == len(body)
    return found


async def printing(api: Api, script: str, lines: int, **container: Any) -> dict[str, Any]:
    """Run a script as service `web`, and return its task once it has printed so many lines."""
    spec = {
        "Name": "web",
        "TaskTemplate": {"ContainerSpec": {"Image": "i", "Command": ["sh", "-c", script], **container}},
        "Mode": {"Replicated": {"Replicas": 1}},
    }
    assert (await api.ask("POST", "/services/create", json=spec)).status == 201
    async with asyncio.timeout(WAIT_S):
        while len((await logs(api, stdout="1", stderr="1")).splitlines()) < lines:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    (task,) = (await api.ask("GET", "/tasks")).json
    assert isinstance(task, dict)
    return task


async def logs(api: Api, path: str = "/services/web", **query: str) -> bytes:
    return (await api.ask("GET", f"{path}/logs", params=query)).body


async def test_streams_times_details_and_tails(api: Api) -> None:
    task = await printing(api, SCRIPT, 3)
    both = [(1, b"one\n"), (2, b"two\n"), (1, b"three\n")]
    assert sorted(frames(await logs(api, stdout="1", stderr="1"))) == sorted(both)
    assert frames(await logs(api, stdout="1")) == [(1, b"one\n"), (1, b"three\n")]
    assert frames(await logs(api, stderr="true")) == [(2, b"two\n")]
    assert frames(await logs(api, f"/tasks/{task['ID'][:12]}", stdout="1")) == [(1, b"one\n"), (1, b"three\n")]
    assert frames(await logs(api, stdout="1", stderr="1", tail="0")) == []
    assert len(frames(await logs(api, stdout="1", stderr="1", tail="2"))) == 2
    ((_, line),) = frames(await logs(api, stderr="1", timestamps="1", details="1"))
    ids = f"com.docker.swarm.node.id={task['NodeID']},com.docker.swarm.service.id={task['ServiceID']}"
    assert re.fullmatch(MOMENT + rf" {ids},com.docker.swarm.task.id={task['ID']} two\n".encode(), line)


async def test_a_task_is_found_by_its_whole_name(api: Api) -> None:
    task = await printing(api, SCRIPT, 3)
    assert frames(await logs(api, f"/tasks/web.1.{task['ID']}", stderr="1")) == [(2, b"two\n")]
    assert (await api.ask("GET", "/tasks/web.1/logs", params={"stdout": "1"})).status == 404


async def test_since_leaves_out_what_is_older(api: Api) -> None:
    await printing(api, SCRIPT, 3)
    (first, last) = (await logs(api, stdout="1", timestamps="1")).split(b"\n")[:2]
    assert b"one" in first
    assert b"three" in last
    for begin, found in (("1", 2), ("4000000000", 0), ("0", 2), ("", 2)):
        assert len(frames(await logs(api, stdout="1", since=begin))) == found


async def test_a_log_that_is_followed_tells_later_lines_until_the_task_is_over(api: Api) -> None:
    task = await printing(api, SCRIPT, 3)
    query = {"stdout": "1", "follow": "1", "tail": "0"}
    async with api.session.get("http://docker/services/web/logs", params=query) as response:
        await asyncio.to_thread(_release, api.host.removeprefix("unix://").replace("api.sock", "swarm"), task["ID"])
        async with asyncio.timeout(WAIT_S):
            header = await response.content.readexactly(8)
            line = await response.content.readexactly(struct.unpack(">L", header[4:])[0])
        assert line == b"four\n"
        assert (await api.ask("DELETE", "/services/web")).status == 200
        async with asyncio.timeout(WAIT_S):
            assert await response.content.read() == b""


def _release(root: str, task_id: str) -> None:
    (folder,) = Path(root).rglob(f"tasks/{task_id}")
    (folder / "go").touch()


async def test_a_terminals_output_has_no_frames(api: Api) -> None:
    await printing(api, "echo one; exec sleep 1000", 1, TTY=True)
    answer = await api.ask("GET", "/services/web/logs", params={"stdout": "1"})
    assert answer.body == b"one\n"
    assert answer.headers["Content-Type"] == "application/vnd.docker.raw-stream"


async def test_older_clients_know_one_type_of_stream(api: Api) -> None:
    await printing(api, "echo one; exec sleep 1000", 1)
    for version, kind in (("1.41", "raw"), ("1.42", "multiplexed")):
        answer = await api.ask("GET", f"/v{version}/services/web/logs", params={"stdout": "1"})
        assert answer.headers["Content-Type"] == f"application/vnd.docker.{kind}-stream"
        assert frames(answer.body) == [(1, b"one\n")]
