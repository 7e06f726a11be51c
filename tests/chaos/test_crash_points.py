"""The process, or the power, ends at each call to the disk: what was acknowledged is there, and nothing else."""

from __future__ import annotations

import os
import random

import pytest

from tests.fakes.crash_disk import CrashDisk, Died
from tests.fakes.log_model import Model, Step, carry_out, open_log, random_steps, snapshot_data

CUTS = int(os.environ.get("CUTS", "3"))
"""Power cuts at each call, each of which loses something else."""
WORKLOADS = int(os.environ.get("WORKLOADS", "6"))
STEPS = 45


def work(disk: CrashDisk, model: Model, steps: list[Step]) -> None:
    log, loaded = open_log(disk)
    assert not model.why_not(loaded)
    model.adopt(loaded)
    for step in steps:
        carry_out(log, model, step)


def until_death(steps: list[Step], dies_at: int) -> tuple[CrashDisk, Model]:
    disk, model = CrashDisk(dies_at=dies_at), Model()
    with pytest.raises(Died):
        work(disk, model, steps)
    return disk, model


def check(after: CrashDisk, model: Model, steps: list[Step], what: str) -> None:
    """Open what was left, twice; go on with it, and open that."""
    log, loaded = open_log(after)
    why = model.why_not(loaded)
    assert not why, f"{what}: {why}"
    reader = log.read_snapshot()
    if reader is not None:
        assert b"".join(reader) == b"".join(snapshot_data(reader.meta)), what
    log, again = open_log(after.kill())
    assert again == loaded, f"{what}: another start finds something else"
    going_on, follower = after.kill(), Model()
    follower.adopt(loaded)
    work(going_on, follower, steps)
    why = follower.why_not(open_log(going_on.kill())[1])
    assert not why, f"{what}, going on: {why}"


def calls_of(steps: list[Step]) -> int:
    disk = CrashDisk()
    work(disk, Model(), steps)
    return len(disk.calls)


@pytest.mark.parametrize("seed", range(WORKLOADS))
def test_a_process_that_ends_at_any_call_keeps_what_it_acknowledged(seed):
    steps = random_steps(seed, STEPS)
    for call in range(1, calls_of(steps) + 1):
        disk, model = until_death(steps, call)
        check(disk.kill(), model, random_steps(seed + call, 6), f"seed {seed}, killed at call {call}")


@pytest.mark.parametrize("seed", range(WORKLOADS))
def test_a_power_cut_at_any_call_keeps_what_was_acknowledged(seed):
    steps = random_steps(seed, STEPS)
    for call in range(1, calls_of(steps) + 1):
        disk, model = until_death(steps, call)
        for cut in range(CUTS):
            after = disk.cut_power(random.Random(f"{seed}/{call}/{cut}"))
            check(after, model, random_steps(seed + call, 4), f"seed {seed}, power cut {cut} at call {call}")


@pytest.mark.parametrize("seed", range(WORKLOADS))
def test_a_power_cut_while_a_power_cut_is_repaired_changes_nothing(seed):
    steps, chance = random_steps(seed, STEPS), random.Random(seed)
    repaired = 0
    for call in range(1, calls_of(steps) + 1):
        disk, model = until_death(steps, call)
        after = disk.cut_power(chance)
        for repair in range(1, 12):
            second = after.kill()
            second.dies_at = repair
            try:
                open_log(second)
            except Died:
                repaired += 1
                what = f"seed {seed}, cut at call {call} and at call {repair} of the repair"
                check(second.cut_power(chance), model, [], what)
            else:
                break
    assert repaired > 20


def test_the_workloads_reach_what_is_worth_a_crash():
    """The crash points mean nothing if no segment is made, replaced or removed in them."""
    calls: list[str] = []
    for seed in range(WORKLOADS):
        disk = CrashDisk()
        work(disk, Model(), random_steps(seed, STEPS))
        calls += [call.split("-0")[0] for call in disk.calls]
    assert calls.count("rename journal") > 2 * WORKLOADS
    assert calls.count("unlink journal") > WORKLOADS
    assert calls.count("unlink snapshot") >= WORKLOADS
    assert calls.count("rename hard-state") > 4 * WORKLOADS


def test_a_disk_that_forgets_to_sync_is_found_out(monkeypatch):
    """These tests can fail: without its fdatasync, the journal loses what it acknowledged."""
    monkeypatch.setattr(CrashDisk, "sync", lambda disk, descriptor: disk._count("sync"))
    found = 0
    for seed in range(2):
        steps = random_steps(seed, STEPS)
        for call in range(10, calls_of(steps) + 1, 5):
            disk, model = until_death(steps, call)
            try:
                check(disk.cut_power(random.Random(call)), model, [], "")
            except Exception:  # noqa: BLE001 - refused or lost: both are found out
                found += 1
            except AssertionError:
                found += 1
    assert found > 5
