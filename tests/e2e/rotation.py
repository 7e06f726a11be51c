"""A repository that keeps changing, and whether a swarm holds exactly what one of its revisions asks for.

For tests that disturb one apply after the other: what any of them left over or did twice is seen in the end.
"""

from __future__ import annotations

import time

from tests.e2e.conftest import Backend

KEEP = 1
SETTLED_WAIT_S = 60.0
"""For the tasks: an engine that was away may be a little behind."""

POLL_S = 0.1

SWARM = f"""\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {{name: kills}}
spec:
  policy: {{prune: true, maxDeletePercent: 100, keepVersions: {KEEP}}}
"""

HEAD = """\
version: "3.8"
x-task: &task
  image: swarmctl-test:1
  command: ["sleep", "3600"]
  stop_signal: SIGKILL
  stop_grace_period: 0s
x-deploy: &deploy
  endpoint_mode: dnsrr
  update_config: {monitor: 50ms}
services:
  web:
    <<: *task
    environment: {LEVEL: "%(level)s"}
    configs: [{source: app, target: /app.ini}]
    secrets: [key]
    deploy: {<<: *deploy}
"""

TAIL = """\
configs: {app: {file: app.ini}}
secrets: {key: {file: key.txt}}
"""

EXTRA = """\
  extra:
    <<: *task
    networks: [inner]
    deploy: {<<: *deploy}
networks:
  inner: {driver: overlay}
"""

OTHER_MODE = """\
  turns:
    <<: *task
    deploy: {<<: *deploy, %(mode)s}
"""

REVISIONS = (
    HEAD % {"level": 1} + OTHER_MODE % {"mode": "mode: replicated"} + TAIL,
    HEAD % {"level": 2} + OTHER_MODE % {"mode": "mode: global"} + EXTRA + TAIL,
    HEAD % {"level": 3} + EXTRA + TAIL,
)
"""Between them a config and a secret rotate, a network and a service come and go, and a service changes its mode."""


def files_of(number: int) -> dict[str, str | None]:
    return {
        "swarm.yaml": SWARM,
        "stacks/app.yaml": REVISIONS[number % len(REVISIONS)],
        "stacks/app.ini": f"level = {number}\n",
        "stacks/key.txt": f"hush {number}",
    }


def check(backend: Backend, number: int, where: object) -> dict[str, int]:
    """The swarm holds exactly what revision `number` asks for, and kept versions as the policy has it.

    Returns {service: its tasks}. `where` tells a developer what went before.
    """
    diff = backend.swarmctl("diff", "--resolve-image", "never")
    assert diff.code == 0, (where, diff.text)
    engine = backend.engine
    text = REVISIONS[number % len(REVISIONS)]
    wanted = {name for name in ("app_web", "app_turns", "app_extra") if f"\n  {name.removeprefix('app_')}:\n" in text}
    services = [service["Spec"]["Name"] for service in engine.services()]
    assert sorted(services) == sorted(wanted), where
    web = backend.service("app_web")
    container = web["Spec"]["TaskTemplate"]["ContainerSpec"]
    former = web.get("PreviousSpec", {}).get("TaskTemplate", {}).get("ContainerSpec", {})
    for noun, listed in (("Config", engine.configs()), ("Secret", engine.secrets())):
        used, brought_back = (
            {reference[f"{noun}ID"] for reference in spec.get(f"{noun}s", [])} for spec in (container, former)
        )
        ids = {one["ID"] for one in listed}
        assert used <= ids, where
        names = [one["Spec"]["Name"] for one in listed]
        assert len(ids - used - brought_back) <= KEEP, (where, noun, names)
        assert len(set(names)) == len(names), where
    assert container["Env"] == [f"LEVEL={number % len(REVISIONS) + 1}"], where
    counts = {name: 3 if name == "app_turns" and "mode: global" in text else 1 for name in wanted}
    expected = {"app_default", "app_inner"} if "app_extra" in wanted else {"app_default"}
    deadline = time.monotonic() + SETTLED_WAIT_S
    while (running := {name: len(backend.running(name)) for name in wanted}) != counts or networks_of(
        backend
    ) != sorted(expected):
        assert time.monotonic() < deadline, (where, running, networks_of(backend))
        time.sleep(POLL_S)
    return counts


def networks_of(backend: Backend) -> list[str]:
    """The names of the swarm's networks but its own."""
    return sorted(one["Name"] for one in backend.engine.networks(filters={"scope": "swarm"}) if not one["Ingress"])
