"""The simulation's stories with the durable log under each core. LOG_SEEDS=N runs more."""

from __future__ import annotations

import os

import pytest

from tests.chaos import log_disk
from tests.simulation_raft import node
from tests.simulation_raft.world import World

LOG_SEEDS = int(os.environ.get("LOG_SEEDS", "120"))
FIRST_SEED = int(os.environ.get("FIRST_SEED", "0"))


def test_nothing_acknowledged_is_lost_by_cores_on_durable_logs(monkeypatch):
    monkeypatch.setattr(node, "FakeDisk", log_disk.LogDisk)
    log_disk.interrupted.clear()
    acknowledged = installs = 0
    for seed in range(FIRST_SEED, FIRST_SEED + LOG_SEEDS):
        world = World(seed)
        try:
            world.run()
        except Exception as error:
            raise AssertionError(f"seed {seed} at {world.now:.3f} s: {error!r}") from error
        acknowledged += world.clients.acknowledged
        installs += world.installs
    assert acknowledged > 5 * LOG_SEEDS
    assert installs > 0
    assert len(log_disk.interrupted) > LOG_SEEDS // 40, "the crashes miss the syncs"


def test_a_log_that_skips_a_sync_is_found_out(monkeypatch):
    monkeypatch.setattr(node, "FakeDisk", log_disk.LogDisk)
    monkeypatch.setattr(log_disk.CrashDisk, "sync", lambda disk, descriptor: disk._count("sync"))
    with pytest.raises(Exception):  # noqa: B017, PT011, PT012 - refused, lost, or two leaders: whatever comes first
        for seed in range(200):
            World(seed).run()
