"""Three controllers on one swarm: the leader is killed, paused, or cut off, in the middle of an apply."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.group.trial import why_no_wires
from tests.chaos.group.wires import Wires
from tests.e2e.conftest import Backend
from tests.e2e.controller_group import NAMES, STACKS, SWARM, Group, a_group, is_write, slow_writes, stacks
from tests.e2e.controllers import Controller, ended, until
from tests.free_ports import free_port
from tests.lab.git_servers import Repository
from tests.lab.proxy import Call, Fault

embedded = pytest.mark.parametrize("backend", ["embedded"], indirect=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("nothing yet", swarm_DOT_yaml=SWARM)
    return made


@pytest.fixture
def group(backend: Backend, repository: Repository, tmp_path: Path) -> Iterator[Group]:
    with a_group(backend, repository, tmp_path) as made:
        yield made


def commits(group: Group, name: str) -> list[str]:
    """The commits of the history, newest first, as a controller has it."""
    return [one["commit"] for one in group.controllers[name].get("/v1/history")["applies"]]


def test_whoever_leads_next_finishes_a_half_done_apply_and_nothing_is_written_twice(
    group: Group, repository: Repository
):
    first = group.settled_leader()
    commit = repository.commit("deploy", **stacks(1))
    until(lambda: len(group.writes(first)) >= 2, "the apply is under way")
    epoch = group.epochs()[first]
    group.controllers[first].kill()
    half = len(group.replicas())
    until(lambda: len(group.replicas()) == STACKS, "the next leader finishes it")
    assert group.leader(after=epoch) != first
    assert half < STACKS, "the kill came too late to tell anything"
    second = group.settled_leader(commit)
    assert group.previous_replicas() == [None] * STACKS
    assert group.done() == {"POST /services/create": STACKS}

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


@embedded
def test_a_leader_whose_write_hangs_gives_way_at_once_and_stays(group: Group, repository: Repository):
    group.settled_leader()
    hangs_at: list[str] = []
    goes_on = threading.Event()

    def one_hangs(name: str, call: Call) -> Fault | None:
        if is_write(call) and not hangs_at:
            hangs_at.append(name)
            goes_on.wait()
        return None

    group.choose(one_hangs)
    try:
        commit = repository.commit("deploy", **stacks(1))
        until(lambda: hangs_at, "a write hangs")
        first = group.controllers[hangs_at[0]]
        count, epoch = len(first.lines("leading ended")), group.epochs()[hangs_at[0]]
        first.signal(signal.SIGSTOP)
        group.leader(after=epoch)
        first.signal(signal.SIGCONT)
        first.await_line("leading ended", count=count + 1)
        assert not first.lines("controller ends"), "it must stay: the group needs a majority"
        group.settled_leader(commit)
        assert len(group.writes(hangs_at[0])) == 1
        assert first.stop() == 0, "nor does its end wait for what hangs"
    finally:
        goes_on.set()
    assert len(group.replicas()) == STACKS
    assert group.previous_replicas() == [None] * STACKS


@embedded
@pytest.mark.skipif(why_no_wires() is not None, reason=str(why_no_wires()))
def test_a_leader_that_is_cut_off_writes_nothing_more_and_what_was_known_survives_the_death_of_all(
    backend: Backend, repository: Repository, tmp_path: Path
):
    with Wires(tmp_path, NAMES) as wires, a_group(backend, repository, tmp_path, wires=wires) as group:
        for proxy in group.proxies.values():
            proxy.reset(slow_writes)
        first = group.settled_leader()
        commit = repository.commit("deploy", **stacks(1))
        until(lambda: len(group.writes(first)) >= 2, "the apply is under way")
        count, epoch = len(group.controllers[first].lines("leading ended")), group.epochs()[first]
        wires.isolate(first)
        assert group.leader(after=epoch) != first
        group.controllers[first].await_line("leading ended", count=count + 1)
        second = group.settled_leader(commit)
        assert second != first
        assert group.done() == {"POST /services/create": STACKS}
        wires.heal()
        known = until(lambda: commits(group, second), "the commit is in the history")
        assert known == [commit]

        epoch = group.epochs()[second]
        for controller in group.controllers.values():
            controller.kill()
        for controller in group.controllers.values():
            controller.start()
        assert commits(group, group.settled_leader(commit, after=epoch)) == known
        assert group.done() == {"POST /services/create": STACKS}


@embedded
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


@embedded
def test_a_leader_whose_engine_is_gone_or_hangs_gives_way(group: Group, repository: Repository):
    first = group.settled_leader()
    epoch = group.epochs()[first]
    group.proxies[first].cut.set()
    group.controllers[first].await_line("gives way")
    assert group.leader(after=epoch) != first
    commit = repository.commit("deploy", **stacks(1))
    until(lambda: len(group.replicas()) == STACKS, "it deploys")
    group.proxies[first].cut.clear()

    second = group.settled_leader(commit)
    epoch, goes_on = group.epochs()[second], threading.Event()
    looks = len(group.controllers[second].passes())

    def hangs(name: str, call: Call) -> Fault | None:
        if name == second and not goes_on.is_set():
            goes_on.wait()
            return Fault.DROPPED_BEFORE
        return None

    group.choose(hangs)
    try:
        repository.commit("scale", **stacks(2))
        told = group.controllers[second].await_line("gives way")
        assert told["why"] == "its engine does not answer"
        since = group.controllers[second].passes()[looks:]
        assert "blind" not in [one["outcome"] for one in since], "its first call was still out"
        assert group.leader(after=epoch) != second
        until(lambda: group.replicas() == [2] * STACKS, "it deploys")
        assert group.writes(second) == []
    finally:
        goes_on.set()
    group.controllers[second].await_line("engine answers again")
