"""Every way to reach an engine that the docker CLI has, on real engines."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.docker.cluster import connect
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.settings import EndpointSettings
from tests.lab.lab import Lab
from tests.lab.namespaces import run
from tests.lab.tls import Authority, tls_door

engine = pytest.mark.engine
NODES = {"node1", "node2", "node3"}


async def observed(settings: EndpointSettings) -> ActualState:
    cluster = await connect(settings)
    try:
        return await cluster.observe()
    finally:
        await cluster.close()


async def refused(settings: EndpointSettings) -> Problem:
    with pytest.raises(SwarmctlError) as raised:
        await observed(settings)
    return raised.value.problems[0]


def names(actual: ActualState) -> set[str]:
    return {node.name for node in actual.nodes}


@engine
async def test_a_unix_socket(lab: Lab) -> None:
    actual = await observed(EndpointSettings(host=lab.manager.host))
    assert names(actual) == NODES
    assert actual.endpoint == lab.manager.host


@engine
async def test_tcp_with_client_certificates(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    client = authority.issue(tmp_path / "client")
    async with tls_door(lab.manager.socket, authority.issue(tmp_path / "server")) as port:
        settings = EndpointSettings(host=f"tcp://127.0.0.1:{port}", tls_verify=True, cert_path=str(client))
        assert names(await observed(settings)) == NODES


@engine
async def test_certificates_are_looked_for_in_the_configuration_folder(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    folder = authority.issue(tmp_path / "config")
    async with tls_door(lab.manager.socket, authority.issue(tmp_path / "server")) as port:
        settings = EndpointSettings(host=f"127.0.0.1:{port}", tls_verify=True, config_dir=str(folder))
        assert names(await observed(settings)) == NODES


@engine
async def test_a_server_of_another_authority_is_not_believed(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    client = Authority("stranger").issue(tmp_path / "client")
    async with tls_door(lab.manager.socket, authority.issue(tmp_path / "server")) as port:
        problem = await refused(
            EndpointSettings(host=f"tcp://127.0.0.1:{port}", tls_verify=True, cert_path=str(client))
        )
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE
    assert "TLS failed" in problem.why
    assert "self-signed" in problem.why or "issuer" in problem.why


@engine
async def test_a_client_without_a_certificate_is_told_that_tls_failed(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    client = authority.issue(tmp_path / "client")
    (client / "cert.pem").unlink()
    (client / "key.pem").unlink()
    async with tls_door(lab.manager.socket, authority.issue(tmp_path / "server")) as port:
        problem = await refused(
            EndpointSettings(host=f"tcp://127.0.0.1:{port}", tls_verify=True, cert_path=str(client))
        )
    assert (problem.code, "TLS failed" in problem.why) == (ErrorCode.ENGINE_UNREACHABLE, True)


@engine
async def test_half_a_client_certificate_is_told(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    client = authority.issue(tmp_path / "client")
    (client / "key.pem").unlink()
    problem = await refused(EndpointSettings(host="tcp://127.0.0.1:1", tls_verify=True, cert_path=str(client)))
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE
    assert "key.pem" in problem.hint


@engine
async def test_plain_http_to_a_tls_port_is_told(lab: Lab, tmp_path: Path) -> None:
    async with tls_door(lab.manager.socket, Authority("lab").issue(tmp_path / "server")) as port:
        problem = await refused(EndpointSettings(host=f"tcp://127.0.0.1:{port}"))
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE


def docker_context(config: Path, name: str, endpoint: str) -> None:
    """Let the real docker CLI make a context."""
    run("docker", "--config", str(config), "context", "create", name, "--docker", endpoint)


@engine
async def test_contexts_that_the_docker_cli_made(lab: Lab, tmp_path: Path) -> None:
    docker_context(tmp_path, "lab", f"host={lab.manager.host}")
    by_name = EndpointSettings(context="lab", config_dir=str(tmp_path))
    actual = await observed(by_name)
    assert names(actual) == NODES
    assert "context lab" in actual.endpoint

    run("docker", "--config", str(tmp_path), "context", "use", "lab")
    assert names(await observed(replace(by_name, context=None))) == NODES

    problem = await refused(replace(by_name, context="lob"))
    assert problem.code is ErrorCode.CONTEXT_NOT_FOUND
    assert "default, lab" in problem.why


@engine
async def test_a_context_brings_its_own_certificates(lab: Lab, tmp_path: Path) -> None:
    authority = Authority("lab")
    client = authority.issue(tmp_path / "client")
    async with tls_door(lab.manager.socket, authority.issue(tmp_path / "server")) as port:
        files = f"ca={client / 'ca.pem'},cert={client / 'cert.pem'},key={client / 'key.pem'}"
        docker_context(tmp_path / "config", "secure", f"host=tcp://127.0.0.1:{port},{files}")
        settings = EndpointSettings(context="secure", config_dir=str(tmp_path / "config"))
        assert names(await observed(settings)) == NODES


def fake_ssh(folder: Path, script: str) -> Path:
    """Write an `ssh` program that notes its arguments and does what `script` says."""
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{script}\n')
    program.chmod(0o755)
    return folder


@engine
async def test_ssh(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dial = f"exec docker --host {lab.manager.host} system dial-stdio"
    folder = fake_ssh(tmp_path / "bin", dial)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    cluster = await connect(EndpointSettings(host="ssh://alice@swarm.example:2222"))
    try:
        assert names(await cluster.observe()) == NODES
        event = asyncio.ensure_future(anext(cluster.events()))
        async with asyncio.timeout(60):
            # The stream dials by itself, and tells nothing of what was before.
            while not event.done():
                network = await cluster.create(Kind.NETWORK, {"Name": "over_ssh", "Driver": "overlay"})
                await cluster.remove(Kind.NETWORK, network)
                await asyncio.wait([event], timeout=0.5)
        assert (await event).kind in ("network", "node")
    finally:
        await cluster.close()
    asked = (folder / "asked").read_text().splitlines()
    assert all(line.endswith("-l alice -p 2222 -- swarm.example docker system dial-stdio") for line in asked)


async def test_ssh_that_fails_is_told_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_ssh(tmp_path / "bin", "echo 'alice@swarm.example: Permission denied (publickey).' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    problem = await refused(EndpointSettings(host="ssh://alice@swarm.example"))
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE
    assert "Permission denied (publickey)" in problem.why


async def test_no_ssh_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = await refused(EndpointSettings(host="ssh://swarm.example"))
    assert (problem.code, "did not start" in problem.why) == (ErrorCode.ENGINE_UNREACHABLE, True)


@engine
async def test_an_engine_outside_a_swarm(lab: Lab) -> None:
    problem = await refused(EndpointSettings(host=lab.outsider.host))
    assert problem.code is ErrorCode.NOT_IN_A_SWARM
    assert "docker swarm init" in problem.hint


@engine
async def test_a_worker_as_endpoint(lab: Lab) -> None:
    problem = await refused(EndpointSettings(host=lab.workers[0].host))
    assert problem.code is ErrorCode.NOT_A_MANAGER


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unix:///nowhere/docker.sock", "There is no socket /nowhere/docker.sock"),
        ("tcp://127.0.0.1:1", "refused"),
        ("tcp://swarm.invalid:2375", "cannot be resolved"),
    ],
)
async def test_an_engine_that_is_not_there(host: str, reason: str) -> None:
    problem = await refused(EndpointSettings(host=host))
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE
    assert host in problem.what
    assert reason in problem.why
    assert problem.hint


async def test_a_server_that_never_answers(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(lambda _, __: asyncio.sleep(3600), str(tmp_path / "s"))
    async with server:
        problem = await refused(EndpointSettings(host=f"unix://{tmp_path}/s", request_timeout_s=0.3))
    assert (problem.code, "in time" in problem.why) == (ErrorCode.ENGINE_UNREACHABLE, True)


@contextmanager
def web_server(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """Serve fixed answers on loopback; yield the host."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, (404, {}, b"nothing"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("in_header", [True, False])
async def test_an_engine_that_is_too_old(in_header: bool) -> None:
    ping = {"Api-Version": "1.39"} if in_header else {}
    version = json.dumps({"ApiVersion": "1.39"}).encode()
    with web_server({"/_ping": (200, ping, b"OK"), "/version": (200, {}, version)}) as host:
        problem = await refused(EndpointSettings(host=host))
    assert problem.code is ErrorCode.ENGINE_API_TOO_OLD
    assert "1.39" in problem.why
    assert "1.40" in problem.why


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"ApiVersion": "x"}', b"{}"])
async def test_a_server_that_is_no_engine(body: bytes) -> None:
    with web_server({"/_ping": (200, {}, b"hello"), "/version": (200, {}, body)}) as host:
        problem = await refused(EndpointSettings(host=host))
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE
    assert problem.why


async def test_the_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with web_server({"/_ping": (200, {"Api-Version": "1.39"}, b"OK")}) as host:
        assert (await refused(EndpointSettings(host=host))).code is ErrorCode.ENGINE_API_TOO_OLD
