"""What each operation answers and asks for, and that the OpenAPI document says the same."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator

from reconciler.controller_api import openapi
from reconciler.controller_api.access import Access
from reconciler.controller_api.application import application
from reconciler.controller_api.routes import LIMIT_MAX, ROUTES
from reconciler.gitops.overview import Health
from reconciler.gitops.state import Suspension
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.controller import JOIN_TOKEN, WEBHOOK_SECRET, FakeController
from tests.unit.controller_api.conftest import READ, Answer, Api, over_unix
from tests.unit.gitops.story import START

DOCUMENT = openapi.document()
ASKED: dict[str, dict[str, Any]] = {
    "sync": {"json": {"stacks": ["web"]}},
    "suspend": {"json": {"stack": "web"}},
    "resume": {"json": {"stack": "web"}},
    "rollback": {"json": {"stack": "web", "commit": "c" * 40}},
    "trace": {"params": {"name": "t1"}},
    "issue": {"json": {"role": "worker", "hostname": "node4"}},
    "rotate": {"json": {"role": "manager"}},
}


def validate(method: str, path: str, answer: Answer) -> None:
    """Hold an answer against what the document says of it."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    kind = answer.headers["Content-Type"].partition(";")[0]
    content = responses[str(answer.status)]["content"][kind]
    if kind == "application/json":
        root = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": DOCUMENT["components"]}
        Draft202012Validator({**root, **content["schema"]}).validate(answer.json)


def signed(body: bytes) -> dict[str, str]:
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}


def test_the_document_describes_the_routes_and_nothing_else(controller: FakeController) -> None:
    app = application(controller, Access(local=True))
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(DOCUMENT)
    for reference in set(text.split('"$ref": "')[1:]):
        name = reference.partition('"')[0].rpartition("/")[2]
        assert name in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize("route", [one for one in ROUTES if one.name != "webhook"], ids=lambda one: one.name)
async def test_each_answer_is_what_the_document_says(local: Api, route) -> None:
    answer = await local.ask(route.method, route.path, **ASKED.get(route.name, {}))
    assert answer.status == route.status, answer.text
    validate(route.method, route.path, answer)
    assert local.controller.counted == [(route.method, route.path, route.status)]


async def test_the_status_has_all_that_the_loop_remembers(local: Api) -> None:
    said = (await local.ask("GET", "/v1/status")).json
    assert (said["cluster"], said["leader"], said["epoch"]) == ("prod", "one", 7)
    [source] = said["sources"]
    assert source["revision"]["commit"] == f"{1:040x}"
    assert source["fault"]["code"] == "signature-missing"
    scopes = {(one["kind"], one["name"]): one for one in said["scopes"]}
    assert scopes["stack", "db"]["failed"]["code"] == "request-refused"
    assert scopes["stack", "db"]["suspended"]["by"] == "ada"
    assert scopes["stack", "web"]["applied"]["commit"] == f"{1:040x}"
    assert scopes["stack", "web"]["suspended"] is None
    ready = scopes["node", "id-node1"]["conditions"][0]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", False, "node-down")
    [drift] = said["drifts"]
    assert (drift["object"], drift["stack"], drift["differences"][0]["found"]) == ("service.web_api", "web", "live")
    assert {one["kind"] for one in said["incidents"]} >= {"drift", "node", "signature-refused"}


async def test_what_is_asked_for_reaches_the_controller_with_who_asked(remote: Api) -> None:
    await remote.ask("POST", "/v1/sync", json={"stacks": ["web", "db"]})
    await remote.ask("POST", "/v1/sync", json={})
    until = "2027-01-01T12:00:00+02:00"
    await remote.ask("POST", "/v1/suspend", json={"stack": "*", "until": until, "reason": "audit"})
    await remote.ask("POST", "/v1/resume", json={"stack": "*"})
    answer = await remote.ask("POST", "/v1/rollback", json={"stack": "web"})
    assert answer.json == {"accepted": True, "commit": "d" * 40}
    answer = await remote.ask("POST", "/v1/tokens/issue", json={"role": "manager", "hostname": "node4"})
    assert answer.json["command"] == f"docker swarm join --token {JOIN_TOKEN} 10.0.0.1:2377"
    await remote.ask("POST", "/v1/tokens/rotate", json={"role": "worker"})
    ends = datetime(2027, 1, 1, 10, tzinfo=UTC)
    assert remote.controller.asked == [
        ("sync", frozenset({"web", "db"}), "ada"),
        ("sync", frozenset({"*"}), "ada"),
        Suspension("*", START, "ada", "audit", ends),
        ("resume", "*", "ada"),
        ("rollback", "web", "", "ada"),
        ("issue", "manager", "node4", "ada"),
        ("rotate", "worker", "ada"),
    ]


async def test_lists_are_bounded_and_narrowed(local: Api) -> None:
    await local.ask("GET", "/v1/history?limit=100000&stack=web")
    await local.ask("GET", "/v1/events?after=17")
    assert local.controller.asked == [("history", "web", LIMIT_MAX), ("events", None, 17, 50)]


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v1/sync", {"json": {"stack": "web"}}, 400),
        ("/v1/sync", {"json": {"stacks": "web"}}, 400),
        ("/v1/sync", {"json": []}, 400),
        ("/v1/sync", {"json": {"stacks": [""]}}, 400),
        ("/v1/sync", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("/v1/sync", {"data": b"[" * 60_000, "headers": {"Content-Type": "application/json"}}, 400),
        ("/v1/sync", {"data": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400),
        ("/v1/sync", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("/v1/sync", {"data": {"stacks": "web"}}, 415),
        ("/v1/sync", {"json": {"stacks": ["x" * 200] * 900}}, 413),
        ("/v1/suspend", {"json": {}}, 400),
        ("/v1/suspend", {"json": {"stack": "web", "until": "2027-01-01T00:00:00"}}, 400),
        ("/v1/suspend", {"json": {"stack": "web", "until": "2020-01-01T00:00:00Z"}}, 400),
        ("/v1/suspend", {"json": {"stack": "web", "reason": "x" * 501}}, 400),
        ("/v1/rollback", {"json": {"stack": "web", "commit": "--upload-pack=x"}}, 400),
        ("/v1/tokens/issue", {"json": {"role": "worker"}}, 400),
        ("/v1/tokens/issue", {"json": {"role": "king", "hostname": "node4"}}, 400),
        ("/v1/tokens/issue", {"json": {"role": "worker", "hostname": "node4\n"}}, 400),
        ("/v1/tokens/issue", {"json": {"role": "worker", "hostname": "$(reboot)"}}, 400),
        ("/v1/tokens/rotate", {"json": {}}, 400),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_and_asks_for_nothing(local: Api, path, sent, status) -> None:
    answer = await local.ask("POST", path, **sent)
    assert answer.status == status
    validate("POST", path, answer)
    assert local.controller.asked == []
    assert "regex" not in answer.json["hint"], "people read it"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/history?limit=-1", 400),
        ("/v1/history?limit=1e9", 400),
        ("/v1/events?after=" + "9" * 40, 400),
        ("/v1/history?stack=", 400),
        ("/v1/trace", 400),
        ("/v1/trace?name=%00", 400),
        ("/v1/nothing", 404),
        ("/", 404),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(local: Api, path: str, status: int) -> None:
    answer = await local.ask("GET", path)
    assert answer.status == status
    assert answer.json["code"] == "api-request-invalid"
    assert (await local.ask("DELETE", "/v1/status")).status == 405


@pytest.mark.parametrize(
    ("code", "passing", "status"),
    [
        (ErrorCode.OBJECT_NOT_FOUND, False, 404),
        (ErrorCode.RAFT_NO_LEADER, False, 503),
        (ErrorCode.SWARM_UNAVAILABLE, True, 503),
        (ErrorCode.PLAN_BLOCKED, False, 409),
    ],
)
async def test_an_error_is_answered_with_its_code_and_a_fitting_status(local: Api, code, passing, status) -> None:
    local.controller.failure = SwarmctlError(code, "What.", why="Why.", hint="Hint.", passing=passing)
    answer = await local.ask("GET", "/v1/trace?name=x")
    assert (answer.status, answer.json) == (status, {"code": code, "message": "What.", "why": "Why.", "hint": "Hint."})
    validate("GET", "/v1/trace", answer)


async def test_probes_say_why_not(local: Api) -> None:
    local.controller.told_health = Health(ready=False, why="No leader is known.")
    assert (await local.ask("GET", "/healthz")).status == 200
    answer = await local.ask("GET", "/readyz")
    assert (answer.status, answer.json) == (503, {"ok": False, "why": "No leader is known."})


async def test_a_webhook_is_taken_once_and_only_with_its_signature(remote: Api) -> None:
    body = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": "team/infra"}}).encode()
    first = await remote.ask("POST", "/v1/webhook", token="", data=body, headers=signed(body))
    assert (first.status, first.json) == (202, {"accepted": True})
    validate("POST", "/v1/webhook", first)
    again = await remote.ask("POST", "/v1/webhook", token="", data=body, headers=signed(body))
    assert (again.status, again.json["code"]) == (409, "webhook-replayed")
    forged = await remote.ask("POST", "/v1/webhook", token="", data=body + b" ", headers=signed(body))
    assert (forged.status, forged.json["code"], forged.json["why"]) == (401, "webhook-refused", "")
    without = await remote.ask("POST", "/v1/webhook", data=body)
    assert without.status == 401


async def test_a_backup_comes_whole_or_is_seen_to_be_cut_off(tmp_path: Path, controller: FakeController) -> None:
    # Nobody is shown out for being idle: the answer itself must end.
    async with over_unix(tmp_path, controller, headers_s=3600.0) as local:
        answer = await local.ask("GET", "/v1/backup")
        assert (answer.text, answer.headers["Content-Length"]) == ("all of the state", "16")
        assert "backup" in str(controller.asked)
        controller.backup_bytes += 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await local.ask("GET", "/v1/backup", timeout=aiohttp.ClientTimeout(total=60))


async def test_a_reading_token_gets_no_backup(remote: Api) -> None:
    assert (await remote.ask("GET", "/v1/backup", token=READ)).status == 403
    assert remote.controller.asked == []
