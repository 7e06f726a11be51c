"""Answers in JSON of something that is no engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler.adapters.docker.cluster import _listed_networks, connect
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.settings import EndpointSettings

ANSWERS = ["[]", "{}", "[1]", '"x"', "5", '[{"a": 1}]']


@pytest.fixture(params=ANSWERS)
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers everything with the same JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = request.param.encode()
            self.send_response(200)
            for name, value in (("Api-Version", "1.41"), ("Content-Type", "application/json")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_something_else_that_speaks_json_is_told_as_no_engine(address: str):
    async def look() -> None:
        cluster = await connect(EndpointSettings(host=address))
        try:
            await cluster.observe()
        finally:
            await cluster.close()

    with pytest.raises(SwarmctlError) as caught:
        asyncio.run(look())
    assert caught.value.code is ErrorCode.ENGINE_UNREACHABLE
    assert "address is right" in caught.value.problems[0].hint


@pytest.mark.parametrize("network", [{"Id": "x", "Name": None}, {"ID": "x"}, {"Id": 5, "Name": 7, "Scope": "swarm"}])
def test_networks_without_what_a_network_has_are_no_answer_of_an_engine(network: dict[str, object]):
    with pytest.raises(SwarmctlError) as told:
        _listed_networks([network])
    assert told.value.code is ErrorCode.ENGINE_UNREACHABLE
