"""The API of a running controller beside its own document: each route's real answers, and each kind of refusal."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_of
from prometheus_client.parser import text_string_to_metric_families as metrics_of

from reconciler.controller_api.routes import ROUTES
from tests.e2e.attacked import READ, WRITE, Served, serving
from tests.e2e.conftest import Backend
from tests.e2e.controllers import until
from tests.e2e.followed import STACK, small_swarm
from tests.e2e.test_run_attacks import signed

REPORTING = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: infra}\nspec: {policy: {drift: report}}\n"
PROMISED = {
    "swarmctl_condition": "sync state",
    "swarmctl_drift_seconds": "drift seconds",
    "swarmctl_pass_duration_seconds": "reconcile duration",
    "swarmctl_writes": "writes",
    "swarmctl_leader": "leader",
    "swarmctl_queue_length": "queue lengths",
}
"""{family: what the requirements call it}"""

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    """RFC 3339, 5.6; a value that is no text is the type's affair."""
    return not isinstance(value, str) or datetime.fromisoformat(value).utcoffset() is not None


@dataclass
class Checked:
    """Asks a controller, and holds every answer against the document that it serves."""

    served: Served
    document: dict[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str = WRITE, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return (status, answer): JSON decoded, anything else as bytes."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        context = ssl.create_default_context(cafile=str(self.served.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.served.port, timeout=60, context=context)
        with closing(connection):
            connection.request(method, path, content, {**sent, **(headers or {})})
            answer = connection.getresponse()
            text, kind = answer.read(), answer.headers.get_content_type()
        found = json.loads(text) if kind == "application/json" else text
        self._check(method, path.partition("?")[0], answer.status, kind, found)
        return answer.status, found

    def _check(self, method: str, path: str, status: int, kind: str, found: Any) -> None:
        if not self.document:
            self.document = found
            Draft202012Validator({"required": ["openapi", "paths"]}).validate(found)
        self.seen.add((method, path, status))
        responses = self.document["paths"][path][method.lower()]["responses"]
        assert str(status) in responses, (method, path, status, found)
        kinds = responses[str(status)]["content"]
        assert kind in kinds, (method, path, status, kind)
        if kind == "application/json":
            schema = {"components": self.document["components"], **kinds[kind]["schema"]}
            Draft202012Validator(schema, format_checker=formats).validate(found)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with small_swarm(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture(scope="module")
def checked(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    """A controller with something of everything to tell: drift, a fault, a suspension, a failure of a stack."""
    with serving(tmp_path_factory.mktemp("c"), backend) as served:
        followed = served.followed
        # This stack can't be written: an engine refuses the port twice.
        bad = STACK.format(mark="1").replace("deploy:", 'ports: ["8080:80"]\n    deploy:')
        stacks = {"stacks__bad_DOT_yaml": bad, "stacks__worse_DOT_yaml": bad}
        followed.commit("2", **stacks, swarm_DOT_yaml=REPORTING)
        followed.wake()
        followed.await_mark("2")
        followed.meddle()
        followed.repository.commit("3", stacks__infra_DOT_yaml="services: {api: {imagee: x}}\n")
        followed.wake()
        made = Checked(served)
        assert made.ask("GET", "/openapi.json", token="")[0] == 200
        until(lambda: followed.fault() and followed.status(), "the fault is told")
        until(lambda: made.ask("GET", "/v1/status")[1]["drifts"], "the drift is told")
        yield made
        assert served.controller.stop() == 0


def test_each_refusal_is_one_that_the_document_names_and_metrics_have_what_was_promised(checked: Checked):
    asked = checked.ask
    for route in ROUTES:
        need = {"open": None, "signed": None, "metrics": READ, "read": READ, "write": WRITE}[route.need]
        if need is not None:
            assert asked(route.method, route.path, token="")[0] == 401, route.path
            assert asked(route.method, route.path, token=WRITE, headers={"Origin": "https://x"})[0] == 403, route.path
        if need == WRITE:
            assert asked(route.method, route.path, token=READ)[0] == 403, route.path
        if route.body is not None:
            assert asked(route.method, route.path, {"unknown": 1})[0] == 400, route.path
            assert asked(route.method, route.path, b"{}", headers={"Content-Type": "text/plain"})[0] == 415, route.path
            assert asked(route.method, route.path, b"[" * 70_000)[0] == 413, route.path
        for query in route.query:
            assert asked(route.method, f"{route.path}?{query.name}=")[0] == 400, route.path
    for path, body in {
        "suspend": {"stack": "none"},
        "resume": {"stack": "none"},
        "rollback": {"stack": "none"},
    }.items():
        assert asked("POST", f"/v1/{path}", body)[0] == 404
    assert asked("POST", "/v1/sync", {"stacks": ["none"]})[0] == 404
    assert asked("GET", "/v1/trace?name=none")[0] == 404
    push = b'{"ref": "refs/heads/main", "repository": {}}'
    answers = [asked("POST", "/v1/webhook", push, token="", headers=headers)[0] for headers in ({}, signed(b"x"))]
    assert answers == [401, 401]
    assert [asked("POST", "/v1/webhook", push, token="", headers=signed(push))[0] for _ in range(2)] == [202, 409]
    assert asked("POST", "/v1/webhook", b"{", token="", headers=signed(b"{"))[0] == 400

    for accept, read in (("", metrics_of), ("application/openmetrics-text;version=1.0.0", open_metrics_of)):
        found = asked("GET", "/metrics", token=READ, headers={"Accept": accept})[1].decode()
        assert ("# EOF" in found) is bool(accept)
        families = {family.name: family for family in read(found)}
        assert not PROMISED.keys() - families.keys()
        assert all(families[name].samples for name in PROMISED), [n for n in PROMISED if not families[n].samples]
        drifts = {one.labels["object"]: one.value for one in families["swarmctl_drift_seconds"].samples}
        assert drifts["service.infra_api"] >= 0
        leads = [(one.labels["member"], one.value) for one in families["swarmctl_leader"].samples]
        assert leads == [("controller", 1.0)]


def test_each_answer_of_a_running_controller_is_what_its_document_says(checked: Checked):
    asked = checked.ask
    suspension = {"stack": "infra", "until": "2099-01-01T00:00:00Z", "reason": "we look into it"}
    bodies = {
        "sync": {"stacks": ["infra"]},
        "suspend": suspension,
        "resume": {"stack": "infra"},
        "rollback": {"stack": "infra", "commit": checked.served.followed.repository.git("rev-parse", "HEAD~2")},
        "issue": {"role": "worker", "hostname": "node4"},
        "rotate": {"role": "worker"},
    }
    queries = {"trace": "?name=infra_api", "history": "?limit=5", "events": "?stack=infra&after=0&limit=500"}
    for route in ROUTES:
        if route.name == "webhook":
            body = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": "served/infra"}}).encode()
            status, _ = asked(route.method, route.path, body, token="", headers=signed(body))
        else:
            status, _ = asked(route.method, route.path + queries.get(route.name, ""), bodies.get(route.name))
        assert status == route.status, route.path
    until(lambda: len(asked("GET", "/v1/history")[1]["applies"]) >= 2, "both applies are told")
    told = asked("GET", "/v1/status")[1]
    [source] = told["sources"]
    assert (source["fault"]["code"], bool(source["revision"]["commit"])) == ("unknown-key", True)
    infra = next(one for one in told["scopes"] if one["name"] == "infra")
    assert infra["suspended"]["reason"].startswith("rolled back")
    assert {one["kind"] for one in told["incidents"]} >= {"manifests", "drift"}
    assert {one["kind"] for one in told["scopes"]} == {"cluster", "stack", "node"}
    assert asked("GET", "/v1/history")[1]["tickets"]
    assert asked("GET", "/v1/events")[1]["events"]
