"""An apply that is killed at any moment: the next one finishes, with nothing doubled, nothing lost, nothing left over.

On a real swarm, `swarmctl apply` alternates between a few revisions and is killed (SIGKILL, or SIGINT as Ctrl-C sends
it) at a random moment, again and again. KILLS says how often; SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import Repository

KILLS = int(os.environ.get("KILLS") or 12)
SEED = int(os.environ.get("SEED") or 0) or random.SystemRandom().randrange(1, 1 << 30)
CHECK_EVERY = 4
"""Kills in a row before an apply is left to finish, so that kills add up."""

KEEP = 1
LATEST_KILL_SHARE = 1.1
"""Of the time that the first apply takes, which nothing disturbs."""

ATTEMPTS_PER_KILL = 4
"""A kill that comes too late says nothing, and does not count."""

COMMAND_WAIT_S = 120.0

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


@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_whenever_an_apply_is_killed_the_next_one_finishes(backend: Backend, tmp_path: Path):
    rolls = random.Random(SEED)
    repository = Repository(tmp_path / "infra")
    swarmctl = backend.swarmctl
    swarmctl.folder = repository.folder
    repository.commit(files_of(0))
    began = time.monotonic()
    swarmctl.ok("apply", "--yes", "--resolve-image", "never")
    undisturbed_s = time.monotonic() - began
    endings: Counter[str] = Counter()
    for kill in range(1, ATTEMPTS_PER_KILL * KILLS + 1):
        repository.commit(files_of(kill))
        endings[killed(backend, rolls, undisturbed_s)] += 1
        hit = endings["killed"] + endings["interrupted"]
        if kill % CHECK_EVERY == 0 or hit == KILLS:
            finished = swarmctl("apply", "--yes", "--resolve-image", "never")
            assert finished.code == 0, (SEED, kill, finished.text)
            check(backend, kill)
        print(f"{hit} kills of {KILLS}, seed {SEED}: {dict(endings)}", flush=True)
        if hit == KILLS:
            break
    assert hit == KILLS, endings


def killed(backend: Backend, rolls: random.Random, undisturbed_s: float) -> str:
    """Begin an apply, kill it after a random time, and return how it ended: killed, interrupted, or too late."""
    number = rolls.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
    program = backend.swarmctl.start("apply", "--yes", "--resolve-image", "never")
    try:
        _, err = program.communicate(timeout=rolls.uniform(0.0, undisturbed_s * LATEST_KILL_SHARE))
    except subprocess.TimeoutExpired:
        program.send_signal(number)
        _, err = program.communicate(timeout=COMMAND_WAIT_S)
    finally:
        program.kill()  # should the test itself be ended
    assert "Traceback" not in err or program.returncode == -signal.SIGINT, err
    words = {-signal.SIGKILL: "killed", -signal.SIGINT: "interrupted", 130: "interrupted", 0: "too late"}
    assert program.returncode in words, (program.returncode, err)
    return words[program.returncode]


def check(backend: Backend, kill: int) -> None:
    """The swarm holds exactly what the last revision asks for, and kept versions as the policy has it."""
    where = (SEED, kill)
    diff = backend.swarmctl("diff", "--resolve-image", "never")
    assert diff.code == 0, (where, diff.text)
    engine = backend.engine
    text = REVISIONS[kill % len(REVISIONS)]
    wanted = {name for name in ("app_web", "app_turns", "app_extra") if f"\n  {name.removeprefix('app_')}:\n" in text}
    services = [service["Spec"]["Name"] for service in engine.services()]
    assert sorted(services) == sorted(wanted), where
    networks = sorted(one["Name"] for one in engine.networks(filters={"scope": "swarm"}) if not one["Ingress"])
    expected = {"app_default"} | ({"app_inner"} if "app_extra" in wanted else set())
    assert set(networks) - {"app_inner"} == expected - {"app_inner"}, where
    assert len(networks) == len(set(networks)), where
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
    assert container["Env"] == [f"LEVEL={kill % len(REVISIONS) + 1}"], where
    for name in wanted:
        count = 3 if name == "app_turns" and "mode: global" in text else 1
        assert len(backend.running(name)) == count, (where, name)
