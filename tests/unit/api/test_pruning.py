"""What `prune` may remove, as an engine chooses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.api.faults import Refused
from reconciler.api.pruning import is_made, made_until, may_go
from reconciler.model.objects import Kind, ObservedObject
from tests.unit.api.conftest import Api
from tests.unit.api.test_requests import filters

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def network(**labels: str) -> ObservedObject:
    raw = {"Created": "2026-11-21T11:00:00.000000Z", "Labels": labels}
    return ObservedObject(Kind.NETWORK, "id", "net", 0, raw, raw)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("1m30s", NOW - timedelta(seconds=90)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-21T10:00:00Z", NOW - timedelta(hours=2)),
        ("1795262400", datetime.fromtimestamp(1795262400, UTC)),
        ("0", datetime.fromtimestamp(0, UTC)),
    ],
)
def test_until_is_a_moment_or_how_long_ago(text: str, moment: datetime) -> None:
    assert made_until({"until": (text,)}, NOW) == moment


@pytest.mark.parametrize("texts", [("nonsense",), ("",), ("1h", "2h")])
def test_what_is_no_moment_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        made_until({"until": texts}, NOW)


def test_what_was_made_later_stays() -> None:
    assert is_made(network(), None)
    assert is_made(network(), NOW)
    assert not is_made(network(), NOW - timedelta(hours=2))


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ({}, True),
        ({"label": ("a",)}, True),
        ({"label": ("a=1", "b")}, False),
        ({"label!": ("a",)}, False),
        ({"label!": ("a=2",)}, True),
        ({"label!": ("a", "b")}, True),
        ({"label": ("a",), "label!": ("a",)}, False),
    ],
)
def test_labels_choose_and_protect(asked: dict[str, tuple[str, ...]], goes: bool) -> None:
    assert may_go(network(a="1"), asked) is goes


async def test_a_label_protects_a_network(api: Api) -> None:
    for name in ("kept", "gone"):
        await api.ask(
            "POST", "/networks/create", json={"Name": name, "Driver": "overlay", "Labels": {name: ""}, "IPAM": {}}
        )
    answer = await api.ask("POST", "/networks/prune", params=filters(**{"label!": ["kept"]}))
    assert answer.json == {"NetworksDeleted": ["gone"]}


async def test_a_configuration_of_networks_is_not_pruned(api: Api) -> None:
    for name, only in (("shape", True), ("made", False)):
        asked = {"Name": name, "Driver": "bridge", "ConfigOnly": only, "IPAM": {}}
        await api.ask("POST", "/networks/create", json=asked)
    answer = await api.ask("POST", "/networks/prune")
    assert answer.json == {"NetworksDeleted": ["made"]}
