"""Nodes on both backends: emptied before they step down or go, refused where tasks would have no place."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import COMMAND_WAIT_S, Repository
from tests.lab.lab import Lab
from tests.lab.meddling import put_node

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {{name: nodes}}
spec:
{spec}
"""
STACK = """\
version: "3.8"
services:
  web:
    image: swarmctl-test:1
    command: [sleep, "600"]
    stop_signal: SIGKILL
    deploy: {replicas: 3, endpoint_mode: dnsrr, update_config: {monitor: 500ms}%s}
"""
WAIT_S = 60.0
POLL_S = 0.1


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Engines of their own: a manager that has been through hundreds of deployments may stall when another joins."""
    with Lab() as started:
        yield started


def nodes_in(*entries: str) -> str:
    return SWARM.format(spec="\n".join(["  nodes:", *(f"    - {{{entry}}}" for entry in entries)]))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


def node(backend: Backend, name: str) -> dict:
    return next(one for one in backend.engine.nodes() if one["Description"]["Hostname"] == name)


def running_on(backend: Backend, name: str) -> list[dict]:
    """Tasks that run on a node, whatever is wanted of them."""
    node_id = node(backend, name)["ID"]
    alive = ("assigned", "accepted", "preparing", "ready", "starting", "running")
    return [one for one in backend.engine.tasks(filters={"node": node_id}) if one["Status"]["State"] in alive]


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "infra")
    backend.swarmctl.folder = made.folder
    return made


@pytest.fixture
def joining_anew(backend: Backend, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let an engine whose node a test has removed join again as a new node, so that the lab is whole for others."""
    yield
    if backend.name != "docker":
        return
    lab = request.getfixturevalue("lab")
    here = backend.hostnames()
    token = backend.engine.inspect_swarm()["JoinTokens"]["Worker"]
    for engine in lab.workers:
        if engine.name in here:
            continue
        with engine.client() as client:
            if client.info()["Swarm"]["LocalNodeState"] != "inactive":
                client.leave_swarm(force=True)
            client.join_swarm([f"{lab.manager.address}:2377"], token, listen_addr="0.0.0.0:2377")
    wait_until(lambda: len(backend.hostnames()) == len(lab.workers) + 1, "the engine joins again")
    wait_until(lambda: all(one["Status"]["State"] == "ready" for one in backend.engine.nodes()), "all are ready")


def test_a_manager_is_emptied_demoted_and_takes_tasks_again(backend: Backend, repository: Repository):
    first, second, third = backend.hostnames()
    entries = (f"hostname: {first}", f"hostname: {third}")
    manager = nodes_in(*entries, f"hostname: {second}, role: manager")
    repository.commit({"swarm.yaml": manager, "stacks/web.yaml": STACK % ""})
    backend.swarmctl.ok("apply", "--yes")
    before = {one["ID"] for one in running_on(backend, second)}
    assert before, "the scheduler spreads three tasks over three nodes"

    repository.commit({"swarm.yaml": nodes_in(*entries, f"hostname: {second}, role: worker")})
    planned = backend.swarmctl.ok("diff", code=2)
    assert "1 task moves to other nodes, so that it is empty before it is demoted" in planned
    backend.swarmctl.ok("apply", "--yes")
    after = node(backend, second)
    assert "ManagerStatus" not in after
    assert after["Spec"]["Availability"] == "active"
    assert not after["Spec"].get("Labels"), "what kept its availability is gone"
    assert not before & {one["ID"] for one in running_on(backend, second)}
    assert len(backend.running("web_web")) == 3
    assert "No changes." in backend.swarmctl.ok("diff")


def test_two_applies_at_once_demote_one_manager(backend: Backend, repository: Repository):
    first, second, third = backend.hostnames()
    entries = (f"hostname: {first}", f"hostname: {third}")
    repository.commit(
        {
            "swarm.yaml": nodes_in(*entries, f"hostname: {second}, role: manager"),
            "stacks/web.yaml": STACK % "",
        }
    )
    backend.swarmctl.ok("apply", "--yes")
    repository.commit({"swarm.yaml": nodes_in(*entries, f"hostname: {second}, role: worker")})
    both = [backend.swarmctl.start("apply", "--yes") for _ in range(2)]
    ended = [(*process.communicate(timeout=COMMAND_WAIT_S), process.returncode) for process in both]
    assert [code for _, _, code in ended] == [0, 0], ended
    after = node(backend, second)
    assert ("ManagerStatus" in after, after["Spec"]["Availability"]) == (False, "active")
    assert "No changes." in backend.swarmctl.ok("diff")


@pytest.mark.usefixtures("joining_anew")
def test_absent_nodes_are_emptied_and_removed(backend: Backend, repository: Repository):
    first, second, third = backend.hostnames()
    listed = nodes_in(f"hostname: {first}", f"hostname: {second}, role: manager", f"hostname: {third}")
    repository.commit({"swarm.yaml": listed, "stacks/web.yaml": STACK % ""})
    backend.swarmctl.ok("apply", "--yes")
    assert running_on(backend, second)
    assert running_on(backend, third)

    gone = nodes_in(f"hostname: {first}", f"hostname: {second}, state: absent", f"hostname: {third}, state: absent")
    repository.commit({"swarm.yaml": gone})
    backend.swarmctl.ok("apply", "--yes")
    assert backend.hostnames() == [first]
    assert len(backend.running("web_web")) == 3
    assert "No changes." in backend.swarmctl.ok("diff"), "gone already is nothing to do"


@pytest.mark.usefixtures("joining_anew")
@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_a_dead_manager_is_removed_and_then_another_steps_down(backend: Backend, repository: Repository, lab: Lab):
    first, second, third = backend.hostnames()
    manager = "hostname: {}, role: manager"
    repository.commit({"swarm.yaml": nodes_in(*(manager.format(name) for name in (first, second, third)))})
    backend.swarmctl.ok("apply", "--yes")
    with lab.workers[1].client() as client:
        client.leave_swarm(force=True)
    wait_until(lambda: node(backend, third)["Status"]["State"] == "down", "the swarm gives the node up")
    wait_until(lambda: node(backend, third)["ManagerStatus"]["Reachability"] == "unreachable", "nobody reaches it")
    assert f"Node {third} is listed and down" in backend.swarmctl.ok("diff")

    asked = (manager.format(first), f"hostname: {second}, role: worker", f"hostname: {third}, state: absent")
    repository.commit({"swarm.yaml": nodes_in(*asked)})
    backend.swarmctl.ok("apply", "--yes")
    assert backend.hostnames() == [first, second]
    assert "ManagerStatus" not in node(backend, second)
    assert "No changes." in backend.swarmctl.ok("diff")


@pytest.fixture
def putting_back(backend: Backend, lab: Lab) -> Iterator[None]:
    """Make the lab's first node a manager again, through another one, where a test has demoted it."""
    yield
    with lab.workers[0].client() as client:
        put_node(client, lab.manager.name, Role="manager")
    wait_until(lambda: serves(backend), "the first node is a manager again")


def serves(backend: Backend) -> bool:
    """Whether the node that is talked to is a manager."""
    try:
        return bool(backend.engine.nodes())
    except docker.errors.APIError:
        return False


@pytest.mark.usefixtures("putting_back")
@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_the_node_that_is_talked_to_steps_down_last(backend: Backend, repository: Repository):
    first, second, third = backend.hostnames()
    asked = nodes_in(f"hostname: {first}, role: worker", f"hostname: {second}, role: manager", f"hostname: {third}")
    repository.commit({"swarm.yaml": asked, "stacks/web.yaml": STACK % ""})
    told = backend.swarmctl.ok("apply", "--yes")
    assert f"Node {first} stops being a manager at the end of this plan" in told
    assert "web_web: converged" in told, "all else has been seen to before"
    assert not serves(backend)


def test_a_drain_that_leaves_tasks_nowhere_to_go_is_refused(backend: Backend, repository: Repository):
    names = backend.hostnames()
    pinned = STACK % f", placement: {{constraints: [node.hostname == {names[2]}]}}"
    listed = [f"hostname: {name}" for name in names]
    repository.commit({"swarm.yaml": nodes_in(*listed), "stacks/web.yaml": pinned})
    backend.swarmctl.ok("apply", "--yes")
    for asked in ("availability: drain", "state: absent"):
        repository.commit({"swarm.yaml": nodes_in(*listed[:2], f"{listed[2]}, {asked}")})
        ended = backend.swarmctl("apply", "--yes")
        assert ended.code == 1, ended.text
        assert "plan-blocked" in ended.text
        assert "web_web" in ended.text
        assert node(backend, names[2])["Spec"]["Availability"] == "active"
        assert len(running_on(backend, names[2])) == 3


def test_nodes_that_are_not_listed_are_told_and_left_alone(backend: Backend, repository: Repository):
    names = backend.hostnames()
    repository.commit({"swarm.yaml": nodes_in(f"hostname: {names[0]}")})
    told = backend.swarmctl.ok("diff")
    assert "No changes." in told
    assert f"{names[1]} (ready)" in told


def test_a_join_token_is_renewed_by_its_age_and_on_demand(backend: Backend, repository: Repository):
    def tokens() -> dict[str, object]:
        """The tokens, or where they are never shown (the embedded swarm) when they were made."""
        swarm = backend.engine.inspect_swarm()
        stamps = swarm["Spec"].get("Labels") or {}
        ages = {role: stamps.get(f"io.swarmctl.token-rotated.{role.lower()}") for role in ("Worker", "Manager")}
        return swarm.get("JoinTokens") or ages

    before = tokens()
    repository.commit({"swarm.yaml": SWARM.format(spec="  joinTokens: {worker: {rotateEvery: 1ms}}")})
    told = backend.swarmctl.ok("diff", code=2) + backend.swarmctl.ok("apply", "--yes")
    rotated = tokens()
    assert rotated["Worker"] != before["Worker"]
    assert rotated["Manager"] == before["Manager"]
    repository.commit(
        {"swarm.yaml": SWARM.format(spec="  joinTokens: {worker: {rotateEvery: 1h}, manager: {rotateEvery: 30d}}")}
    )
    assert "No changes." in backend.swarmctl.ok("diff")

    told += backend.swarmctl.ok("token", "rotate", "--role", "manager")
    assert "docker swarm join-token manager" in told
    assert tokens()["Manager"] != rotated["Manager"]
    assert tokens()["Worker"] == rotated["Worker"]
    assert "SWMTKN" not in told
    assert "No changes." in backend.swarmctl.ok("diff")


def test_autolock_goes_on_and_off(backend: Backend, repository: Repository):
    def locks() -> bool:
        return bool((backend.engine.inspect_swarm()["Spec"].get("EncryptionConfig") or {}).get("AutoLockManagers"))

    repository.commit({"swarm.yaml": SWARM.format(spec="  settings: {autolock: true}")})
    assert "docker swarm unlock-key" in backend.swarmctl.ok("diff", code=2)
    backend.swarmctl.ok("apply", "--yes")
    assert locks()
    assert "No changes." in backend.swarmctl.ok("diff")
    repository.commit({"swarm.yaml": SWARM.format(spec="  settings: {autolock: false}")})
    backend.swarmctl.ok("apply", "--yes")
    assert not locks()


MOVED = """\
version: "3.8"
x-quick: &quick
  endpoint_mode: dnsrr
  update_config: {monitor: 100ms}
  restart_policy: {delay: 0s}
  placement: {constraints: [node.labels.zone == a]}
services:
  api: &it
    image: swarmctl-test:1
    command: [sleep, "600"]
    stop_signal: SIGKILL
    networks: []
    deploy: {<<: *quick, replicas: 4}
  agent: {<<: *it, deploy: {<<: *quick, mode: global}}
  other: {<<: *it, deploy: {<<: *quick, mode: global, placement: {constraints: [node.labels.zone == b]}}}
"""
ZONES = ["aab", "bab", "abb", "bba", "aaa"]


def test_what_new_labels_of_nodes_move_is_told_exactly_and_waited_for(backend: Backend, tmp_path: Path):
    """Several nodes at once: what leaves one for another that is written later leaves that one, too."""
    repository = Repository(tmp_path / "moves")

    def label(zones: str) -> None:
        nodes = nodes_in(*(f"hostname: node{n}, labels: {{zone: {zone}}}" for n, zone in enumerate(zones, 1)))
        repository.commit({"swarm.yaml": nodes, "stacks/web.yaml": MOVED})

    def wanted() -> dict[str, str]:
        """{task: its service} of what is to run."""
        services = {one["ID"]: one["Spec"]["Name"] for one in backend.engine.services()}
        tasks = backend.engine.tasks(filters={"desired-state": "running"})
        return {one["ID"]: services[one["ServiceID"]] for one in tasks}

    label(ZONES[0])
    backend.swarmctl.ok("apply", "--yes", str(repository.folder))
    for zones in ZONES[1:]:
        label(zones)
        before = wanted()
        actions = json.loads(backend.swarmctl.ok("diff", "--format", "json", str(repository.folder), code=2))["actions"]
        told = Counter[tuple[str, str]]()
        for action in actions:
            assert action["kind"] == "node"
            for count, service, verb in re.findall(r"(\d+) tasks? of (\S+) (move|stop|start)", action["effect_text"]):
                told[service, verb] += int(count)
        backend.swarmctl.ok("apply", "--yes", str(repository.folder))
        after = wanted()
        gone, come = (Counter(those.values()) for those in (minus(before, after), minus(after, before)))
        assert gone == Counter({service: n for (service, verb), n in told.items() if verb != "start"}), zones
        assert come == Counter({service: n for (service, verb), n in told.items() if verb != "stop"}), zones


def test_an_update_leaves_out_paused_nodes_and_converges(backend: Backend, tmp_path: Path):
    repository = Repository(tmp_path / "paused")
    only_agent = MOVED[: MOVED.index("  other:")].replace("constraints: [node.labels.zone == a]", "")
    repository.commit({"swarm.yaml": nodes_in("hostname: node1"), "stacks/web.yaml": only_agent})
    backend.swarmctl.ok("apply", "--yes", str(repository.folder))
    put_node(backend.engine, "node3", Availability="pause")
    repository.commit({"stacks/web.yaml": only_agent.replace('"600"', '"601"')})
    told = backend.swarmctl.ok("apply", "--yes", "--timeout", "60", str(repository.folder))
    assert "effect: 1 task on a paused node stays as it is; rolling restart of 2 tasks" in told
    assert "web_agent: converged: 2/2 tasks" in told
    again = backend.swarmctl.ok("apply", "--yes", "--timeout", "60", str(repository.folder))
    assert "No changes." in again

    repository.commit({"swarm.yaml": nodes_in("hostname: node3, availability: active")})
    assert "effect: 1 task of web_agent restarts" in backend.swarmctl.ok("apply", "--yes", str(repository.folder))
    commands = [task["Spec"]["ContainerSpec"]["Args"] for task in backend.running("web_agent")]
    assert commands == [["sleep", "601"]] * 3


def minus(some: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    return {task: service for task, service in some.items() if task not in others}
