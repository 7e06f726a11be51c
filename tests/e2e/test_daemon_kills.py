"""kill -9 of a daemon at random moments of deploys and updates (KILLS=100, SEED=N; a few in `make test`).

After each: what was acknowledged is there, the swarm converges, no slot has two tasks that run, no address two holders,
a service that nobody touched runs on untouched, and no process is left of a task that is over.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from tests.e2e.daemon import Daemon, a_daemon, until
from tests.lab.engine import IMAGES
from tests.lab.lab import Lab

KILLS = int(os.environ.get("KILLS") or 4)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
CONTAINER_KILLS = int(os.environ.get("CONTAINER_KILLS") or 2)
KILL_WITHIN_S = 0.25
SERVICES = ("web", "api")
NETWORK = "net"
NETWORK_LABEL, NODE_LABEL = "com.docker.swarm.network.id", "com.docker.swarm.node.id"
REPLICAS_MAX = 5
LOST = (docker.errors.APIError, requests.RequestException)


@dataclass
class Expected:
    """What the swarm must hold. Of each service one of (round, replicas): what was acknowledged last, or what was
    under way when the daemon was killed; None when there may be no such service. And the acknowledged secrets."""

    services: dict[str, list[tuple[int, int] | None]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    acknowledged: int = 0


def spec_of(name: str, number: int, replicas: int) -> dict[str, Any]:
    container = {"Image": IMAGES[0], "Command": ["sleep", "1000000"], "Env": [f"ROUND={number}"]}
    return {
        "name": name,
        "task_template": {
            "ContainerSpec": {**container, "StopGracePeriod": 1_000_000_000},
            "RestartPolicy": {"Condition": "any", "Delay": 0},
            "Networks": [{"Target": NETWORK}],
        },
        "mode": {"Replicated": {"Replicas": replicas}},
        "update_config": {"Parallelism": 2, "Monitor": 50_000_000, "Delay": 0, "Order": "stop-first"},
    }


class Deployer:
    """Changes the swarm, one call after the other, until the daemon is gone."""

    def __init__(self, daemon: Daemon, expected: Expected, chance: random.Random, number: int) -> None:
        self._daemon, self._expected, self._chance = daemon, expected, chance
        self._number = number * 1000
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        client = docker.APIClient(base_url=self._daemon.host, version="1.44", timeout=30)
        try:
            while True:
                self._number += 1
                if self._chance.random() < 0.25:
                    self._secret(client)
                else:
                    self._service(client, self._chance.choice(SERVICES))
        except LOST:
            return
        finally:
            client.close()

    def _secret(self, client: Any) -> None:
        name = f"secret-{self._number}"
        client.create_secret(name, b"hush")
        self._expected.secrets.append(name)
        self._expected.acknowledged += 1

    def _service(self, client: Any, name: str) -> None:
        replicas = self._chance.randint(1, REPLICAS_MAX)
        wanted = spec_of(name, self._number, replicas)
        known = self._expected.services.setdefault(name, [None])
        version = None if known == [None] else client.inspect_service(name)["Version"]["Index"]
        known.append((self._number, replicas))  # from here on it may have happened, whether or not there is an answer
        if version is None:
            template, rest = wanted.pop("task_template"), wanted
            client.create_service(template, **rest)
        else:
            try:
                client.update_service(name, version, **wanted)
            except docker.errors.APIError as error:
                if "out of sequence" not in str(error):
                    raise
                known.pop()  # the updater was faster; nothing was changed
                return
        self._expected.services[name] = [(self._number, replicas)]
        self._expected.acknowledged += 1


def seen(daemon: Daemon, name: str) -> tuple[int, int] | None:
    """Return the (round, replicas) that a service has now, None when there is none."""
    try:
        spec = daemon.client.inspect_service(name)["Spec"]
    except docker.errors.NotFound:
        return None
    environment = spec["TaskTemplate"]["ContainerSpec"]["Env"][0]
    return int(environment.removeprefix("ROUND=")), int(spec["Mode"]["Replicated"]["Replicas"])


def check_slots(daemon: Daemon) -> None:
    """Fail if two tasks of a slot run at the same time: by what the swarm says, and by the processes that there are."""
    programs = daemon.programs()
    tasks = {task["ID"]: task for task in daemon.client.tasks()}
    says = Counter(_slot(task) for task in tasks.values() if task["Status"]["State"] == "running")
    runs = Counter(_slot(tasks[task_id]) for task_id in programs if task_id in tasks)
    for slot, count in (*says.items(), *runs.items()):
        assert count == 1, f"{count} tasks run in slot {slot}: {says}, {runs}, {programs}, {list(tasks.values())}"


def check_addresses(daemon: Daemon) -> None:
    """Fail if two have the same address: services, and tasks that may still have theirs."""
    held = [one["Addr"] for service in daemon.client.services() for one in service["Endpoint"]["VirtualIPs"]]
    for task in daemon.client.tasks():
        if task["DesiredState"] == "running" or task["Status"]["State"] == "running":
            held += [address for one in task.get("NetworksAttachments") or () for address in one["Addresses"]]
    assert len(held) == len(set(held)), f"{sorted(held)}: {daemon.client.tasks()}"


def _slot(task: Any) -> tuple[str, int]:
    return task["ServiceID"], task["Slot"]


def settle(daemon: Daemon, expected: Expected, steady: dict[int, Any]) -> None:
    for name, wanted in expected.services.items():
        found = seen(daemon, name)
        assert found in wanted, f"{name} is {found}, and not one of {wanted}"
        expected.services[name] = [found]
    names = {secret["Spec"]["Name"] for secret in daemon.client.secrets()}
    assert names >= set(expected.secrets)
    check_slots(daemon)
    check_addresses(daemon)
    wanted_tasks = {task["ID"]: task for task in daemon.running("steady", len(steady)).values()}
    for name, (found,) in expected.services.items():
        if found is not None:
            wanted_tasks |= {task["ID"]: task for task in daemon.running(name, found[1]).values()}
        check_slots(daemon)
    assert {task["Slot"]: (task["ID"], task["Status"]) for task in steady.values()} == {
        task["Slot"]: (task["ID"], task["Status"])
        for task in wanted_tasks.values()
        if task["ServiceID"] == steady[1]["ServiceID"]
    }
    try:
        until("only what is wanted runs", lambda: set(daemon.programs()) == set(wanted_tasks))
    except AssertionError:
        print(f"{daemon.programs()} run, wanted are {list(wanted_tasks)} of {daemon.client.tasks()}")
        print((daemon.folder / "log").read_text()[-4000:])
        raise


def test_a_daemon_that_is_killed_again_and_again(tmp_path: Path) -> None:
    with a_daemon(tmp_path) as daemon:
        kill_again_and_again(daemon, KILLS)


@pytest.mark.engine
def test_a_daemon_of_containers_that_is_killed_again_and_again(lab: Lab, tmp_path: Path) -> None:
    lab.outsider.load_images()
    with lab.outsider.client() as engine, a_daemon(tmp_path, engine, lab.outsider) as daemon:
        kill_again_and_again(daemon, CONTAINER_KILLS)
        left = [engine.inspect_network(one["Id"]) for one in engine.networks(filters={"label": NETWORK_LABEL})]
        assert (engine.containers(all=True, filters={"label": NODE_LABEL}), left) == ([], [])


def kill_again_and_again(daemon: Daemon, kills: int) -> None:
    chance, expected = random.Random(SEED), Expected()
    daemon.init()
    daemon.client.create_network(NETWORK, driver="overlay")
    template = spec_of("steady", 0, 2)
    daemon.client.create_service(template.pop("task_template"), **template)
    steady = daemon.running("steady", 2)
    for number in range(1, kills + 1):
        deployer = Deployer(daemon, expected, chance, number)
        time.sleep(chance.uniform(0, KILL_WITHIN_S))
        daemon.kill()
        deployer.join()
        daemon.start()
        try:
            settle(daemon, expected, steady)
        except BaseException:
            print(f"kill {number} of SEED={SEED}")
            print((daemon.folder / "log").read_text()[-4000:])
            for one in daemon.engine.containers(all=True) if daemon.engine is not None else ():
                print(one["Names"], one["State"], one["Status"])
            raise
    daemon.client.leave_swarm(force=True)
    assert daemon.programs() == {}
    assert expected.acknowledged
    print(f"{kills} kills, {expected.acknowledged} acknowledged writes, SEED={SEED}")
