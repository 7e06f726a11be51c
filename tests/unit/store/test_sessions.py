"""The bounded memory of outcomes."""

from __future__ import annotations

from reconciler.model.commands import Applied, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.store.sessions import Sessions


def filled(*uses: tuple[str, int], outcomes_max: int = 4, per_client_max: int = 3, clients_max: int = 99) -> Sessions:
    sessions = Sessions(outcomes_max, per_client_max, clients_max)
    for index, (client, sequence) in enumerate(uses, 1):
        if sessions.recall(client, sequence, index) is None:
            sessions.remember(client, sequence, index, Applied(index, "x"))
    return sessions


def test_the_client_that_was_silent_for_longest_is_forgotten_first() -> None:
    sessions = filled(("a", 1), ("b", 1), ("c", 1), ("a", 1), ("d", 1), ("e", 1))
    assert list(sessions.by_client) == ["c", "a", "d", "e"]  # the repetition kept a, and b went
    assert sessions.by_client["a"].last_use == 4
    assert sessions.recall("b", 1, 7) is None


def test_a_clients_oldest_outcome_goes_first_and_is_never_taken_for_a_new_one() -> None:
    sessions = filled(("a", 1), ("a", 2), ("a", 3), ("a", 4))
    forgotten = sessions.recall("a", 1, 5)
    assert isinstance(forgotten, Rejected)
    assert forgotten.code is ErrorCode.OUTCOME_FORGOTTEN
    assert sessions.recall("a", 2, 6) == Applied(2, "x")
    assert sessions.recall("a", 5, 7) is None


def test_one_client_with_many_under_way_does_not_push_out_the_others_below_the_bound() -> None:
    sessions = filled(("b", 1), *(("a", sequence) for sequence in range(1, 50)), outcomes_max=10)
    assert sessions.recall("b", 1, 51) == Applied(1, "x")
    assert sessions.count == 4


def test_the_memory_is_bounded() -> None:
    sessions = filled(*((f"client{n % 97}", n) for n in range(1, 2000)), outcomes_max=50)
    assert sessions.count == sum(len(one.outcomes) for one in sessions.by_client.values()) == 50
    assert all(one.outcomes for one in sessions.by_client.values())


def test_clients_are_counted_too() -> None:
    sessions = filled(("a", 1), ("a", 2), ("b", 1), ("c", 1), clients_max=2)
    assert (list(sessions.by_client), sessions.count) == (["b", "c"], 2)
