"""The controller's API over real sockets, with a controller behind it that only remembers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.controller_api import Access, ListenSettings, Role, Token, serve
from reconciler.gitops.results import suspended
from reconciler.gitops.state import LoopState, Suspension
from reconciler.model.errors import ErrorCode
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.sources import SourceFault
from tests.fakes.certificate import self_signed
from tests.fakes.controller import FakeController
from tests.unit.gitops.story import START, Story, actual, desired, node, stack, update

READ, WRITE = "read-token-0123456789", "write-token-0123456789"
TOKENS = (Token("grafana", Role.READ, READ), Token("ada", Role.WRITE, WRITE))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    text: str
    json: Any


@dataclass
class Api:
    """`ask("GET", "/v1/status")` sends a request, over the network with `token`."""

    base: str
    controller: FakeController
    session: aiohttp.ClientSession
    token: str = ""

    async def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> Answer:
        given = self.token if token is None else token
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        headers |= options.pop("headers", {})
        async with self.session.request(method, self.base + path, headers=headers, **options) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, text, await response.json() if is_json else None)


def a_busy_state() -> LoopState:
    """A loop with something in every list that the status has."""
    story = Story(policies=Policies(drift=DriftMode.REPORT), wanted=desired(stack("web"), stack("db")))
    story.sees(update("web_api"))
    story.applied()
    story.found(SourceFault(ErrorCode.SIGNATURE_MISSING, "The commit is not signed.", commit="b" * 40))
    story.wait(minutes=1).sees(update("web_api", Origin.DRIFT), update("db_api"), cluster=actual(node("node1", "down")))
    story.applied(failed={"service.db_api": ErrorCode.REQUEST_REFUSED})
    return suspended(story.state, Suspension("db", START, "ada", "freeze", START + timedelta(days=1)))


@pytest.fixture
def controller() -> FakeController:
    return FakeController(a_busy_state())


@asynccontextmanager
async def over_unix(tmp_path: Path, controller: FakeController, **settings: Any) -> AsyncIterator[Api]:
    """The API on a unix socket."""
    path = tmp_path / "api.sock"
    async with (
        serve(controller, Access(local=True), ListenSettings(unix_path=str(path), **settings)),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield Api("http://controller", controller, session)


@pytest.fixture
async def local(tmp_path: Path, controller: FakeController) -> AsyncIterator[Api]:
    async with over_unix(tmp_path, controller) as api:
        yield api


@asynccontextmanager
async def over_tls(tmp_path: Path, controller: FakeController, **settings: Any) -> AsyncIterator[Api]:
    """The API on a loopback port, with tokens."""
    certificate, key = self_signed(tmp_path)
    listen = ListenSettings(host="127.0.0.1", port=0, certificate=str(certificate), key=str(key), **settings)
    async with serve(controller, Access(TOKENS), listen) as address:
        context = ssl.create_default_context(cafile=str(certificate))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            yield Api(address, controller, session, WRITE)


@pytest.fixture
async def remote(tmp_path: Path, controller: FakeController) -> AsyncIterator[Api]:
    async with over_tls(tmp_path, controller) as api:
        yield api
