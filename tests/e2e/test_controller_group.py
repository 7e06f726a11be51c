"""Three controllers on one swarm: the leader is killed, or paused, in the middle of an apply."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controller_group import NAMES, STACKS, SWARM, Group, a_group, is_write, stacks
from tests.e2e.controllers import Controller, ended, until
from tests.lab.git_servers import Repository, free_port


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("nothing yet", swarm_DOT_yaml=SWARM)
    return made


@pytest.fixture
def group(backend: Backend, repository: Repository, tmp_path: Path) -> Iterator[Group]:
    with a_group(backend, repository, tmp_path) as made:
        yield made


def test_whoever_leads_next_finishes_a_half_done_apply_and_nothing_is_written_twice(
    group: Group, repository: Repository
):
    first = group.leader()
    group.controllers[first].await_line("pass decided", outcome="idle")

    repository.commit("deploy", **stacks(1))
    until(lambda: len(group.writes(first)) >= 2, "the apply is under way")
    epoch = group.epochs()[first]
    group.controllers[first].kill()
    half = len(group.replicas())
    until(lambda: len(group.replicas()) == STACKS, "the next leader finishes it")
    second = group.leader(after=epoch)
    assert second != first
    assert half < STACKS, "the kill came too late to tell anything"
    group.controllers[second].await_line("pass decided", outcome="idle", stalled=0)
    assert group.previous_replicas() == [None] * STACKS
    created = [one for name in NAMES for one in group.writes(name)]
    assert set(created) == {"POST /services/create"}
    assert len(created) <= STACKS + 1, "one create may have been on its way when its sender died"

    group.controllers[first].start()
    repository.commit("scale", **stacks(2))
    until(lambda: 2 in group.replicas(), "the apply is under way")
    epoch = group.epochs()[second]
    group.controllers[second].signal(signal.SIGSTOP)
    until(lambda: group.replicas() == [2] * STACKS, "the next leader finishes it, too")
    third = group.leader(after=epoch)
    sent = len(group.writes(second))
    group.controllers[second].signal(signal.SIGCONT)
    group.controllers[second].await_line("leading ended")
    assert group.previous_replicas() == [1] * STACKS
    assert len(group.writes(second)) <= sent + 1, "who was paused may end the one call that it was in"
    assert third != second


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_leader_whose_write_hangs_gives_way_at_once_and_stays(group: Group, repository: Repository):
    first = group.leader()
    group.controllers[first].await_line("pass decided", outcome="idle")
    goes_on = threading.Event()
    group.proxies[first].reset(lambda _, call: (is_write(call) and not goes_on.wait()) or None)
    try:
        repository.commit("deploy", **stacks(1))
        until(lambda: group.writes(first), "a write hangs")
        epoch = group.epochs()[first]
        group.controllers[first].signal(signal.SIGSTOP)
        second = group.leader(after=epoch)
        group.controllers[first].signal(signal.SIGCONT)
        group.controllers[first].await_line("leading ended")
        assert not group.controllers[first].lines("controller ends"), "it must stay, for the group needs a majority"
        assert len(group.writes(first)) == 1
        until(lambda: len(group.replicas()) == STACKS, "the next leader does it")
        group.controllers[second].await_line("pass decided", outcome="idle", stalled=0)
        assert group.controllers[first].stop() == 0, "nor does its end wait for what hangs"
    finally:
        goes_on.set()
    assert group.previous_replicas() == [None] * STACKS


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_new_controller_takes_the_place_of_a_dead_one(group: Group, tmp_path: Path):
    lost = group.leader()
    group.controllers[lost].kill()
    address = f"127.0.0.1:{free_port()}"
    keeper = str(tmp_path / "peers-c1")
    group.backend.swarmctl.ok("peers", "add", "c4", address, "--out", str(tmp_path / "peers-c4"), "--dir", keeper)
    spec = group.controllers[lost].spec
    members = {**spec["group"]["members"], "c4": address}
    fourth = Controller(tmp_path / "c4", {**spec, "group": {"peers": str(tmp_path / "peers-c4"), "members": members}})
    fourth.spec["group"] |= {"joins": True, "removed": [lost]}
    with ended(fourth):
        fourth.start()
        for name in NAMES:
            if name != lost:
                group.controllers[name].stop()
                group.controllers[name].spec["group"] |= {"members": members, "removed": [lost]}
                group.controllers[name].start()

        def names() -> list[str]:
            found = group.backend.swarmctl("status", "--controller", f"unix://{fourth.socket}", "--format", "json")
            return [one["name"] for one in json.loads(found.out)["members"]] if found.code == 0 else []

        until(lambda: names() == sorted({*NAMES, "c4"} - {lost}), "the group has changed")


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_leader_whose_engine_is_gone_gives_way(group: Group, repository: Repository):
    first = group.leader()
    group.controllers[first].await_line("pass decided", outcome="idle")
    epoch = group.epochs()[first]
    group.proxies[first].cut.set()
    group.controllers[first].await_line("gives way")
    assert group.leader(after=epoch) != first
    repository.commit("deploy", **stacks(1))
    until(lambda: len(group.replicas()) == STACKS, "it deploys")
