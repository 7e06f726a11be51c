"""What time it is for an engine: its own clock tells how long ago something was."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler.adapters.docker.cluster import connect
from reconciler.adapters.docker.engine_clock import EngineClock
from reconciler.settings import EndpointSettings

HOUR = timedelta(hours=1)
HERE = datetime(2026, 5, 1, 12, 0, 0, 400_000, tzinfo=UTC)


def ahead(clock: EngineClock) -> timedelta:
    return clock.now() - datetime.now(UTC)


@pytest.fixture(params=[-HOUR, timedelta(), HOUR])
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, timedelta]]:
    """An engine with an empty swarm: where it answers, and by how much its clock is ahead of ours."""
    difference: timedelta = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            swarm = {"ID": "s", "Spec": {}, "Version": {"Index": 1}}
            content = json.dumps(swarm if self.path.endswith("/swarm") else []).encode()
            self.send_response(200)
            self.send_header("Api-Version", "1.41")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + difference, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_address[1]}", difference
    server.shutdown()
    server.server_close()


def test_a_look_is_dated_by_the_engines_clock(engine: tuple[str, timedelta]):
    address, difference = engine

    async def looked_at() -> list[datetime]:
        cluster = await connect(EndpointSettings(host=address))
        try:
            first = await cluster.observe()
            tasks = await cluster.observe_tasks(first)
            return [first.observed_at, (await cluster.observe(first)).observed_at, tasks.observed_at]
        finally:
            await cluster.close()

    for moment in asyncio.run(looked_at()):
        off = moment - (datetime.now(UTC) + difference)
        assert abs(off) < timedelta(seconds=10), off


@pytest.mark.parametrize("date", ["Fri, 01 May 2026 12:00:00 GMT", "Fri, 01 May 2026 11:59:59 GMT"])
def test_clocks_that_may_agree_are_taken_to(date: str):
    clock = EngineClock()
    clock.note(date, HERE, HERE + timedelta(milliseconds=1))
    assert abs(ahead(clock)) < timedelta(seconds=0.5)


def test_a_slow_answer_makes_no_difference():
    clock = EngineClock()
    for date in ("Fri, 01 May 2026 12:00:00 GMT", "Fri, 01 May 2026 12:00:29 GMT"):
        clock.note(date, HERE, HERE + timedelta(seconds=30))
    assert abs(ahead(clock)) < timedelta(seconds=0.5)


def test_a_clock_that_is_set_right_is_followed():
    clock = EngineClock()
    clock.note("Fri, 01 May 2026 13:00:00 GMT", HERE, HERE)
    assert abs(ahead(clock) - HOUR) < timedelta(seconds=1.5)
    clock.note("Fri, 01 May 2026 12:00:00 GMT", HERE, HERE)
    assert abs(ahead(clock)) < timedelta(seconds=1.5)


@pytest.mark.parametrize("date", [None, "", "now", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 99 May 2026 1:1"])
def test_what_is_no_date_of_a_clock_tells_nothing(date: str | None):
    clock = EngineClock()
    clock.note(date, HERE, HERE)
    assert abs(ahead(clock)) < timedelta(seconds=0.5)
