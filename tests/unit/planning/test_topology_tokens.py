"""Join tokens are renewed by the clock of the observation, in one write with the settings, and never seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import TokenPolicy
from reconciler.model.objects import Kind, NodeRole
from reconciler.planning.topology.tokens import due_roles, last_rotation
from tests.unit.planning.builders import NOW, actual, desired, observed, paths, planned
from tests.unit.planning.plans import place

DAY_S = 86400.0
MONTHLY = TokenPolicy(worker_every_s=30 * DAY_S, manager_every_s=7 * DAY_S)


def aged(days: float, **spec_labels: str) -> ActualState:
    """A swarm that was made so many days before it is observed."""
    state = actual()
    spec = {**state.swarm.spec, "Labels": spec_labels}
    created = (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    return replace(state, swarm=observed(Kind.SWARM, spec, object_id="id-swarm", version=3, CreatedAt=created))


def test_no_policy_rotates_nothing():
    assert planned(desired(), aged(1000)).is_empty


def test_a_token_is_renewed_once_it_is_older_than_the_policy():
    assert planned(desired(join_tokens=MONTHLY), aged(6)).is_empty
    made = planned(desired(join_tokens=MONTHLY), aged(8))
    assert paths(made) == {"swarm.default": ["JoinTokens.Manager"]}
    assert made.actions[0].rotates == (NodeRole.MANAGER,)
    assert "manager join token is older" in made.actions[0].reason
    assert planned(desired(join_tokens=MONTHLY), aged(31)).actions[0].rotates == (NodeRole.WORKER, NodeRole.MANAGER)


def test_the_next_plan_finds_it_renewed():
    state = aged(31, **{f"{labels.INVENTORY}.prod": "packed", "by": "hand"})
    made = planned(desired(join_tokens=MONTHLY), state)
    written = made.actions[0].spec
    assert written is not None
    assert written["Labels"][f"{labels.INVENTORY}.prod"] == "packed", "other labels of the swarm stay"
    assert written["Labels"]["by"] == "hand"
    raw = {**state.swarm.raw, "Spec": written}
    after = replace(state, swarm=replace(state.swarm, spec=written, raw=raw))
    assert planned(desired(join_tokens=MONTHLY), after).is_empty
    later = replace(after, observed_at=NOW + timedelta(days=8))
    assert planned(desired(join_tokens=MONTHLY), later).actions[0].rotates == (NodeRole.MANAGER,)


def test_settings_and_rotation_are_one_write():
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 3}}
    made = planned(desired(settings=settings, join_tokens=MONTHLY), aged(8))
    assert paths(made) == {"swarm.default": ["Orchestration.TaskHistoryRetentionLimit", "JoinTokens.Manager"]}
    assert made.actions[0].reason.startswith("its settings differ and the manager join token")


def test_a_renewal_is_told_with_the_line_that_asks_for_it():
    policy = replace(MONTHLY, worker_place=place(4), manager_place=place(5))
    (action,) = planned(desired(join_tokens=policy), aged(31)).actions
    assert [change.place for change in action.changes] == [place(4), place(5)]
    assert action.place == place(4)
    (action,) = planned(desired(join_tokens=policy), aged(8)).actions
    assert action.place == place(5)


def test_no_change_of_a_token_has_a_value():
    (action,) = planned(desired(join_tokens=MONTHLY), aged(31)).actions
    assert all(change.sensitive for change in action.changes)
    assert "SWMTKN" not in repr(action)


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-13-01T00:00:00Z", "2025-12-31T00:00:00"])
def test_a_stamp_that_means_no_instant_counts_as_none(stamp: str):
    swarm = aged(8, **{f"{labels.TOKEN_ROTATED}.manager": stamp}).swarm
    assert last_rotation(swarm, NodeRole.MANAGER) == NOW - timedelta(days=8) + timedelta(microseconds=123456)


def test_an_unknown_age_is_not_due():
    assert due_roles(MONTHLY, actual().swarm, datetime(2100, 1, 1, tzinfo=UTC)) == ()
