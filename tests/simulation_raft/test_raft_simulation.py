"""A thousand stories of failing managers, each decided by its seed; SEEDS=N runs more, FIRST_SEED=N begins elsewhere.

To look at one again: FIRST_SEED=710 SEEDS=1 pytest tests/simulation_raft
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from reconciler.model.errors import SwarmctlError
from tests.simulation_raft.linearizability import NEVER, Operation, is_linearizable
from tests.simulation_raft.mutations import FOUND_BY_CHANCE, FOUND_BY_FORWARDING, FOUND_BY_STORY
from tests.simulation_raft.world import World

SEEDS = int(os.environ.get("SEEDS", "1000"))
FIRST_SEED = int(os.environ.get("FIRST_SEED", "0"))
SHARES = 10
MUTANT_SEEDS = 400
"""Within so many seeds each deliberate bug is found that chance finds at all."""


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_acknowledged_is_lost_whatever_fails(share: int) -> None:
    elections = acknowledged = reads = forwarded = refused = 0
    for seed in range(FIRST_SEED + share, FIRST_SEED + SEEDS, SHARES):
        world = World(seed)
        try:
            world.run()
        except Exception as error:
            raise AssertionError(
                f"seed {seed} at {world.now:.3f} s: {error}\n" + "\n".join(world.describe())
            ) from error
        elections += world.elections
        acknowledged += world.clients.acknowledged
        reads += world.clients.reads + world.forwarders.reads
        forwarded += world.forwarders.acknowledged
        refused += world.refused
    if SEEDS >= 100:  # the stories are not empty
        assert elections > SEEDS / SHARES
        assert acknowledged > 5 * SEEDS / SHARES
        assert reads > 3 * SEEDS / SHARES
        assert forwarded > 2 * SEEDS / SHARES
    if SEEDS >= 5000:  # about one seed in twelve has any, and they come in heaps
        assert refused > 0


def test_one_seed_is_one_story() -> None:
    def story() -> tuple[object, ...]:
        world = World(7)
        world.run()
        return world.now, world.messages, world.elections, world.invariants.committed, world.clients.histories

    assert story() == story()


@pytest.mark.parametrize("mutation", FOUND_BY_CHANCE)
def test_random_faults_find_a_deliberate_bug(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    for seed in range(MUTANT_SEEDS):
        try:
            World(seed).run()
        except (SwarmctlError, AssertionError):
            return
    pytest.fail(f"{mutation.__name__} was not found in {MUTANT_SEEDS} seeds")


@pytest.mark.parametrize("mutation", FOUND_BY_FORWARDING)
def test_random_faults_find_a_deliberate_bug_of_forwarding(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    first = FOUND_BY_FORWARDING[mutation]
    for seed in range(first, first + MUTANT_SEEDS):
        try:
            World(seed, forwarding=True).run()
        except (SwarmctlError, AssertionError):
            return
    pytest.fail(f"{mutation.__name__} was not found in {MUTANT_SEEDS} seeds")


@pytest.mark.parametrize("mutation", FOUND_BY_STORY)
def test_a_story_finds_a_deliberate_bug(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    FOUND_BY_STORY[mutation]()
    mutation(monkeypatch)
    with pytest.raises((SwarmctlError, AssertionError)):
        FOUND_BY_STORY[mutation]()


def _write(start: float, end: float, value: str) -> Operation:
    return Operation(start, end, True, value)


def _read(start: float, end: float, value: str | None) -> Operation:
    return Operation(start, end, False, value)


@pytest.mark.parametrize(
    ("story", "history", "possible"),
    [
        ("a read sees the last write", [_write(0, 1, "x"), _read(2, 3, "x")], True),
        ("a stale read", [_write(0, 1, "x"), _write(2, 3, "y"), _read(4, 5, "x")], False),
        ("overlapping writes in any order", [_write(0, 3, "x"), _write(1, 2, "y"), _read(4, 5, "x")], True),
        ("two readers, new then old", [_write(0, 9, "x"), _read(1, 2, "x"), _read(3, 4, None)], False),
        ("an unknown write that took place late", [_write(0, NEVER, "x"), _read(1, 2, None), _read(3, 4, "x")], True),
        ("an unknown write that never did", [_write(0, NEVER, "x"), _read(1, 2, None)], True),
        ("a value out of nowhere", [_read(0, 1, "x")], False),
    ],
)
def test_the_checker_of_histories_knows(story: str, history: list[Operation], *, possible: bool) -> None:
    assert is_linearizable(history) is possible
