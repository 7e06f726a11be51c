"""What the clock alone makes a running controller do: windows that open and close, and polls that fall apart."""

from __future__ import annotations

import struct
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.gitops.patience import JITTER
from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.followed import SECRET, STACK, ask, controller_of
from tests.lab.git_servers import Repository, http_server


@pytest.fixture
def backend(emptied: Backend) -> Backend:
    return emptied


SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec:
  stacks:
    - {path: stacks/opens.yaml, windows: [{start: "12:00", duration: 1h, timezone: ZONE}]}
    - {path: stacks/over.yaml, windows: [{kind: deny, start: "11:00", duration: 1h, timezone: ZONE}]}
    - {path: stacks/shuts.yaml, windows: [{kind: deny, start: "12:00", duration: 1h, timezone: ZONE}]}
"""
STACKS = ("opens", "over", "shuts")
NOON_S = 12 * 3600
AHEAD_S = (4, 20, 60)
"""How far ahead it is noon: on a slow machine the first may be over before the commit is looked at."""


def zone_of_noon(folder: Path, noon: datetime) -> str:
    """Make a time zone (RFC 8536, version 1, of one offset) in which it is noon at `noon`, and return its name.

    Windows begin at whole minutes of a zone: so one opens when the test likes, by the machine's own clock.
    """
    of_day_s = noon.hour * 3600 + noon.minute * 60 + noon.second
    name = f"Test/Noon{of_day_s}"
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    file.write_bytes(b"TZif\0" + bytes(15) + counts + struct.pack(">lbb", NOON_S - of_day_s, 0, 0) + b"XXX\0")
    return name


def files(mark: str, zone: str = "UTC") -> dict[str, str]:
    stacks = {f"stacks__{name}_DOT_yaml": STACK.format(mark=mark) for name in STACKS}
    return {**stacks, "swarm_DOT_yaml": SWARM.replace("ZONE", zone)}


def marks(backend: Backend) -> dict[str, str]:
    """{stack: what the cluster has of it}"""
    found = {one["Spec"]["Name"]: one["Spec"]["Labels"]["mark"] for one in backend.engine.services()}
    return {name: found.get(f"{name}_api", "") for name in STACKS}


def standing(controller: Controller) -> dict[str, tuple[str, str]]:
    """{stack: the reason and the message of its conditions}"""
    scopes = ask(controller, "/v1/status")["scopes"]
    told = {one["name"]: one["conditions"][0] for one in scopes if one["kind"] == "stack"}
    return {name: (one["reason"], one["message"]) for name, one in told.items()}


def settled(controller: Controller) -> dict[str, tuple[str, str]]:
    """`standing`, once what was written runs: a pass that writes nothing may be over before."""

    def none_is_under_way() -> dict[str, tuple[str, str]] | None:
        told = standing(controller)
        return told if all(reason != "applying" for reason, _ in told.values()) else None

    found: dict[str, tuple[str, str]] = until(none_is_under_way, "what was written runs")
    return found


def applied_at(controller: Controller, subject: str, scopes: set[str]) -> datetime | None:
    """When these stacks were brought to what a commit asks for, as the history has it."""
    applies = ask(controller, "/v1/history")["applies"]
    found = [one["at"] for one in applies if set(one["scopes"]) == scopes and one["subject"] == subject]
    return datetime.fromisoformat(found[0]) if found else None


def test_what_waits_for_a_window_is_applied_when_it_opens_and_another_shuts(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    repository.commit("first", **{**files("1"), "swarm_DOT_yaml": SWARM.partition("spec:")[0]})
    controller = controller_of(tmp_path, backend)
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "10m"}
    controller.spec["sources"] = [source]
    controller.environment["PYTHONTZPATH"] = str(tmp_path / "zones")

    def commit(mark: str, **more: str) -> None:
        """Ask for it, and return once a pass has decided over it that writes nothing, or nothing more."""
        made = repository.commit(mark, **{**more})
        assert controller.webhook({"source": "infra"}, SECRET) == 202
        controller.await_line("pass decided", revision=made, actions=0)

    with ended(controller):
        controller.start()
        until(lambda: marks(backend) == dict.fromkeys(STACKS, "1"), "all is there")
        mark = "1"
        for ahead_s in AHEAD_S:
            noon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ahead_s)
            before, mark = mark, f"noon{ahead_s}"
            commit(mark, **files(mark, zone_of_noon(tmp_path / "zones", noon)))
            told, has, count = settled(controller), marks(backend), len(controller.passes())
            if datetime.now(UTC) < noon:
                break
        assert has == {"opens": before, "over": before, "shuts": mark}
        opens = f"No maintenance window is open. It opens at {noon:%Y-%m-%d %H:%M} UTC."
        assert told == {
            "opens": ("outside-window", opens),
            "over": ("outside-window", opens),
            "shuts": ("converged", ""),
        }
        until(lambda: marks(backend) == dict.fromkeys(STACKS, mark), "what waited is applied")
        at = until(lambda: applied_at(controller, mark, {"opens", "over"}), "it is in the history")
        assert at >= noon
        assert [one["cause"] for one in controller.passes()[count:] if one["actions"]] == ["interval"], "by the clock"

        # The other one is shut from then on, for all but whom somebody asks for by name.
        commit("late", **{name: text.replace(mark, "late") for name, text in files(mark).items() if "stacks" in name})
        assert marks(backend) == {"opens": "late", "over": "late", "shuts": mark}
        until_text = f"It opens at {noon + timedelta(hours=1):%Y-%m-%d %H:%M} UTC."
        shown = " ".join(backend.swarmctl.ok("status", "--controller", f"unix://{controller.socket}").split())
        assert until_text in shown
        ask(controller, "/v1/sync", {"stacks": ["shuts"]})
        until(lambda: marks(backend)["shuts"] == "late", "a sync passes windows")


POLL_S = 0.2
POLLS = 14
SPREAD_MIN_S = 0.3 * 2 * JITTER * POLL_S
"""Of evenly spread waits so many fall into a third of their range once in a million times."""
WALL_S = 0.005
"""By how much the clock that a controller waits by may differ from the test's over one wait."""


class Stamped(list[tuple[Any, ...]]):
    """A list that notes when something was added."""

    def append(self, one: tuple[Any, ...]) -> None:
        """Add it with the time, in seconds."""
        super().append((time.monotonic(), *one))


def polls(requests: Stamped) -> list[float]:
    """When a server was asked what there is."""
    return [at for at, path, _ in list(requests) if path.endswith("/info/refs")]


def said(controller: Controller) -> list[float]:
    """After how many seconds it looks again, as it says after each look that found nothing new."""
    return [one["again_s"] for one in controller.lines("looked") if one["outcome"] == "same"]


def test_polls_are_spread_and_two_controllers_do_not_poll_in_step(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml=SWARM.partition("spec:")[0])
    with ExitStack() as running:
        both, stamped = [], list[Stamped]()
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            server = running.enter_context(http_server(tmp_path / "served"))
            controller = controller_of(tmp_path / name, backend, log={"level": "debug"})
            url = f"{server.url}/infra.git"
            source = {"name": "infra", "url": url, "ref": {"branch": "main"}, "interval": f"{POLL_S:g}s"}
            controller.spec["sources"] = [source]
            running.enter_context(ended(controller.start()))
            both.append((controller, server))
        for controller, server in both:
            until(partial(said, controller), "the first fetch is over")
            stamped.append(Stamped())
            server.requests = stamped[-1]

        def found() -> list[tuple[list[float], list[float]]]:
            return [(said(one), polls(asked)) for (one, _), asked in zip(both, stamped, strict=True)]

        until(lambda: all(len(one) > POLLS for pair in found() for one in pair), "they poll")
        told = found()
    for waits, asked in told:
        assert max(waits) - min(waits) > SPREAD_MIN_S, waits
        assert POLL_S * (1 - JITTER) <= min(waits) <= max(waits) <= POLL_S * (1 + JITTER)
        # A slow machine makes a wait longer, and never shorter.
        assert min(later - before for before, later in pairwise(asked)) >= min(waits) - WALL_S
    # Both looked in the same seconds: what is made of a moment and a name would be the same for both. Of waits that are
    # told in microseconds two may be alike by chance.
    assert len(set(told[0][0][:POLLS]) & set(told[1][0][:POLLS])) < 3, told
