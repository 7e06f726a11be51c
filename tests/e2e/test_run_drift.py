"""Each kind of out-of-band change through `swarmctl run`: it is found, told once, and under `heal` put back."""

from __future__ import annotations

import copy
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.model import labels
from reconciler.model.json import dig
from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.effect_cases import put
from tests.e2e.test_field_walk import ADDED
from tests.fakes.chat import running_chat, running_mail_server
from tests.lab.git_servers import Repository
from tests.lab.lab import Lab
from tests.lab.meddling import put_node, put_service, put_settings

SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec:
  settings: {taskHistoryLimit: 4}
  nodes:
    - {hostname: node1, role: manager, availability: active, labels: {zone: a}}
    - {hostname: node2, role: worker, availability: active, labels: {zone: b}}
    - {hostname: node9, role: worker}
  networks: {spare: {driver: overlay, attachable: true}}
  policy: {drift: MODE, prune: true, maxDeletePercent: 90}
"""
SERVICE = (
    "{image: 'swarmctl-test:1', command: sleep 100000, stop_grace_period: 100ms, networks: [],"
    " deploy: {replicas: 0, endpoint_mode: dnsrr}}"
)
WALKED = {f"web_f{number:02d}": (path, value) for number, (path, value) in enumerate(ADDED)}
"""{service: the field that is added to it}."""
WEB = "services:\n" + "".join(f"  {name.removeprefix('web_')}: {SERVICE}\n" for name in (*WALKED, "web_gone"))
WEB += "configs: {unused: {file: app.ini}}\nsecrets: {spare: {file: app.ini}}\n"

HEAL_S = 240.0
"""An engine that has just let a second manager in may take no write for two minutes: both have to agree to each, and
the new one has the whole log to fetch. Seen with dockerd 20.10, which then says that its lock was held too long, where
much else is written in these seconds: a role is changed when nothing else is."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Engines of their own: a manager that has been through hundreds of deployments may stall when another joins."""
    with Lab() as started:
        yield started


@contextmanager
def followed(backend: Backend, folder: Path, repository: Repository, interval: str = "200ms", **more: Any):
    """A controller that has brought a repository into being."""
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": interval}
    spec = {"name": "prod", "cluster": {"host": backend.host}, "sources": [source], **more}
    controller = Controller(folder / "c", {**spec, "apply": {"resolveImages": "never"}})
    with ended(controller):
        controller.start().await_line("pass decided", actions=0, held=0, awaited=None)
        yield controller


def ask(controller: Controller, path: str, body: Any = None) -> Any:
    """What the controller answers on its socket: a process for each question would cost too much."""
    connection = http.client.HTTPConnection("controller")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(controller.socket))
    with closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        return json.loads(connection.getresponse().read())


def drifts(controller: Controller) -> dict[str, list[str]]:
    """{object: the fields of it that drifted}."""
    found = ask(controller, "/v1/status")["drifts"]
    return {one["object"]: [each["path"] for each in one["differences"]] for one in found}


def reasons(controller: Controller) -> dict[str, str]:
    """{stack, or node: the reason of its conditions}."""
    return {one["name"]: one["conditions"][0]["reason"] for one in ask(controller, "/v1/status")["scopes"]}


def standing(backend: Backend, controller: Controller) -> str:
    """What keeps it from the end, for who has to find out why."""
    status = ask(controller, "/v1/status")
    conditions = {one["name"]: one["conditions"] for one in status["scopes"]}
    tasks = [
        (one.get("ServiceID"), one.get("NodeID"), one["DesiredState"], one["Status"])
        for one in backend.engine.tasks()
        if one["DesiredState"] != one["Status"]["State"]
    ]
    nodes = [(one["Description"]["Hostname"], one["Spec"], one["Status"]) for one in backend.engine.nodes()]
    return f"{drifts(controller)}, {conditions}, {tasks=}, {nodes=} in {controller.log_end()}"


def node(backend: Backend, hostname: str) -> dict[str, Any]:
    return next(one for one in backend.engine.nodes() if one["Description"]["Hostname"] == hostname)


def running(backend: Backend, service: str) -> int:
    tasks = backend.engine.tasks(filters={"service": service, "desired-state": "running"})
    return sum(1 for one in tasks if one["Status"]["State"] == "running")


def by_hand(backend: Backend, name: str, *changes: Any) -> None:
    spec = copy.deepcopy(backend.service(name)["Spec"])
    for change in changes:
        change(spec)
    put_service(backend.engine, name, spec)


def walked(backend: Backend) -> dict[str, Any]:
    """The specs of the services that are changed."""
    return {one["Spec"]["Name"]: one["Spec"] for one in backend.engine.services() if one["Spec"]["Name"] in WALKED}


def meddle(backend: Backend) -> dict[str, str]:
    """Change one thing of each kind, and return {object: the field, or its beginning, that must be told}."""
    engine = backend.engine
    for name, (path, value) in WALKED.items():
        by_hand(backend, name, put(path, value))
    engine.remove_service("web_gone")
    engine.remove_network("spare")
    config = next(one for one in engine.configs() if "unused" in one["Spec"]["Name"])
    secret = next(one for one in engine.secrets() if "spare" in one["Spec"]["Name"])
    engine.remove_config(config["ID"])
    engine.remove_secret(secret["ID"])
    owned = {labels.OWNER: "prod", labels.STACK_NAMESPACE: "web"}
    spec = {**walked(backend)["web_f00"], "Name": "web_stranger", "Labels": owned}
    engine._raise_for_status(engine._post_json(engine._url("/services/create"), data=spec))
    put_node(engine, "node1", Labels={"zone": "by-hand"})
    put_node(engine, "node2", Availability="pause")
    put_settings(engine, Orchestration={"TaskHistoryRetentionLimit": 9})
    return {
        **{f"service.{name}": path for name, (path, _) in WALKED.items()},
        "service.web_gone": "(removed)",
        "network.spare": "(removed)",
        f"config.{config['Spec']['Name']}": "(removed)",
        f"secret.{secret['Spec']['Name']}": "(removed)",
        "service.web_stranger": "(added)",
        "node.node1": "Labels",
        "node.node2": "Availability",
        "swarm.default": "TaskHistoryRetentionLimit",
    }


def names(backend: Backend, kind: str) -> set[str]:
    found: list[Mapping[str, Any]] = getattr(backend.engine, kind)()
    return {one["Name"] if kind == "networks" else one["Spec"]["Name"] for one in found}


@pytest.mark.timeout(900)
def test_each_kind_of_change_is_found_left_alone_under_report_and_put_back_under_heal(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    report = {"swarm_DOT_yaml": SWARM.replace("MODE", "report"), "stacks__web_DOT_yaml": WEB}
    repository.commit("first", **report, **{"stacks__app_DOT_ini": "level = 1\n"})
    with followed(backend, tmp_path, repository) as controller:
        assert reasons(controller)[node(backend, "node3")["ID"]] == "node-not-listed"
        assert reasons(controller)["node9"] == "node-missing"

        expected = meddle(backend)
        # An engine that is told to end a task in the moment in which it reports something never does.
        until(lambda: running(backend, "web_f01") == 3, lambda: standing(backend, controller))
        until(
            lambda: set(drifts(controller)) >= set(expected),
            f"all are found: {set(expected) - set(drifts(controller))}",
        )
        found = drifts(controller)
        assert set(found) == set(expected)
        for name, path in expected.items():
            assert any(path.rsplit(".", 1)[-1] in one for one in found[name]), (name, path, found[name])
        versions, count = backend.versions(), len(controller.passes())
        until(lambda: len(controller.passes()) >= count + 2, "two further passes")
        assert backend.versions() == versions, "what is only to be told is not written"

        repository.commit("heal", swarm_DOT_yaml=SWARM.replace("MODE", "heal"))
        until(lambda: not drifts(controller), lambda: standing(backend, controller), HEAL_S)
        specs = walked(backend)
        changed = [name for name, (path, value) in WALKED.items() if dig(specs[name], *path.split(".")) == value]
        assert not changed
        assert {"web_gone"} <= names(backend, "services")
        assert "web_stranger" not in names(backend, "services")
        assert "spare" in names(backend, "networks")
        assert node(backend, "node1")["Spec"]["Labels"] == {"zone": "a"}
        assert node(backend, "node2")["Spec"]["Availability"] == "active"
        assert backend.engine.inspect_swarm()["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 4
        controller.await_line("pass decided", count=1, outcome="idle", drifted=0)


@pytest.mark.timeout(900)
def test_a_role_that_somebody_changed_is_found_and_put_back(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml=SWARM.replace("MODE", "report"))
    with followed(backend, tmp_path, repository) as controller:
        put_node(backend.engine, "node2", Role="manager")
        until(lambda: "node.node2" in drifts(controller), lambda: standing(backend, controller), HEAL_S)
        assert any("Role" in path for path in drifts(controller)["node.node2"])
        if backend.name == "docker":
            until(lambda: node(backend, "node2").get("ManagerStatus"), "node2 is a manager", HEAL_S)
        repository.commit("heal", swarm_DOT_yaml=SWARM.replace("MODE", "heal"))
        until(lambda: not drifts(controller), lambda: standing(backend, controller), HEAL_S)
        assert node(backend, "node2")["Spec"]["Role"] == "worker"
        until(lambda: not node(backend, "node2").get("ManagerStatus"), "node2 is a worker again", HEAL_S)


MODES = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec:
  stacks:
    - {path: stacks/heal.yaml}
    - {path: stacks/told.yaml, drift: report}
    - {path: stacks/lost.yaml, drift: ignore}
    - {path: stacks/late.yaml, windows: [WINDOW]}
    - {path: stacks/held.yaml}
  policy:
    drift: heal
    prune: true
    objects: [{match: service.*_cron, drift: ignore}]
    ignoreDifferences: [{match: service.heal_scaled, paths: [Mode.Replicated.Replicas]}]
"""
SCALED = SERVICE.replace("replicas: 0", "replicas: 0, update_config: {monitor: 100ms, parallelism: 0}")
CLOSED = '{kind: deny, start: "00:00", duration: 24h}'
STACKS = {
    "heal": f"services:\n  api: {SERVICE}\n  cron: {SERVICE}\n  scaled: {SCALED}\n",
    **{name: f"services:\n  api: {SERVICE}\n" for name in ("told", "lost", "late", "held")},
}
PASSES = 100


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_policies_windows_and_suspensions_hold_and_a_hundred_passes_tell_once(backend: Backend, tmp_path: Path):
    """A chat that answers, one that hangs and a mail server: each drift is told once, and no deploy waits for them."""
    repository = Repository.make(tmp_path)
    files = {f"stacks__{name}_DOT_yaml": text for name, text in STACKS.items()}
    repository.commit("first", swarm_DOT_yaml=MODES.replace("WINDOW", ""), **files)
    with running_chat() as chat, running_chat(answers=[None] * 1000) as hanging, running_mail_server() as mail:
        urls = {
            "chat": f"json://127.0.0.1:{chat.port}/",
            "hanging": f"json://127.0.0.1:{hanging.port}/?rto=60",
            "mail": f"mailto://127.0.0.1:{mail.port}/?from=a@b.test&to=c@d.test&mode=insecure",
        }
        for name, url in urls.items():
            (tmp_path / name).write_text(url)
        sinks = [{"name": name, "urlFile": str(tmp_path / name), "kinds": ["drift"]} for name in urls]
        with followed(backend, tmp_path, repository, "20ms", alerts={"sinks": sinks}) as controller:
            ask(controller, "/v1/suspend", {"stack": "held", "reason": "we look into it"})
            closed = repository.commit("no time", swarm_DOT_yaml=MODES.replace("WINDOW", CLOSED))
            controller.await_line("pass decided", revision=closed, actions=0)
            moved = put("TaskTemplate.ContainerSpec.Dir", "/by-hand")
            services = [f"{stack}_api" for stack in STACKS] + ["heal_cron", "heal_scaled"]
            # Of one service two fields in one write: what is put back twice in a row is waited with.
            by_hand(backend, "heal_scaled", put("Mode.Replicated.Replicas", 5), moved)
            for name in services[:-1]:
                by_hand(backend, name, moved)

            standing = {"service.told_api", "service.late_api", "service.held_api"}
            until(lambda: set(drifts(controller)) == standing, "what may be is healed, and the rest is told")
            assert by_hand_now(backend, services) == {"told_api", "lost_api", "late_api", "held_api", "heal_cron"}
            assert replicas(backend, "heal_scaled") == 5
            expected_reasons = {
                "heal": "converged",
                "told": "drifted",
                "lost": "converged",
                "late": "outside-window",
                "held": "suspended",
            }
            until(lambda: expected_reasons.items() <= reasons(controller).items(), f"but it is {reasons(controller)}")
            count = len(controller.passes())
            until(lambda: len(controller.passes()) >= count + PASSES, f"{PASSES} passes", 240)
            assert set(drifts(controller)) == standing
            assert hanging.posts, "a chat hangs meanwhile"
            text = STACKS["heal"].replace("sleep 100000", "sleep 200000", 1)
            deployed = repository.commit("deploy", stacks__heal_DOT_yaml=text)
            controller.await_line("apply ended", failed=0)
            until(lambda: applied(controller, "heal") == deployed, "the deploy does not wait for a chat")

            repository.commit("open", swarm_DOT_yaml=MODES.replace("WINDOW", ""))
            ask(controller, "/v1/resume", {"stack": "held"})
            ask(controller, "/v1/sync", {"stacks": ["told"]})
            until(lambda: not drifts(controller), "all is put back")
            assert by_hand_now(backend, services) == {"lost_api", "heal_cron"}
            told = [f"service.{name}" for name in ("heal_api", "heal_scaled", "told_api", "late_api", "held_api")]
            expected = sorted(f"[prod] {what}: {name}" for name in told for what in ("Drift", "Healed"))
            until(lambda: len(mail.mails) >= len(expected), "the mails are there")
            assert sorted(post.body["title"] for post in chat.posts) == expected
            assert sorted(str(one["Subject"]) for one in mail.mails) == expected


def by_hand_now(backend: Backend, services: list[str]) -> set[str]:
    """Which of them still have what was written by hand."""
    specs = {name: backend.service(name)["Spec"]["TaskTemplate"]["ContainerSpec"] for name in services}
    return {name for name, spec in specs.items() if spec.get("Dir") == "/by-hand"}


def replicas(backend: Backend, name: str) -> int:
    return backend.service(name)["Spec"]["Mode"]["Replicated"]["Replicas"]


def applied(controller: Controller, stack: str) -> str:
    found = {one["name"]: one["applied"] or {} for one in ask(controller, "/v1/status")["scopes"]}
    return found[stack].get("commit", "")
