"""What came of strikes: each held against the writes that the engines have done, and all of them as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.table import in_columns
from tests.e2e.controller_group import SERVICES, STACKS, Group
from tests.e2e.controllers import Controller, until

HEAD = ["strike", "strikes", "in mid-apply", "not converged", "double writes", "writes done", "sent in vain"]
HEAD += ["state lost", "p50 s", "p95 s", "max s"]
HELD, DRIFTING = "held", "drifting"
HISTORY_MAX = 200
ALL = "all"


@dataclass(frozen=True)
class Standing:
    """What must survive every strike: a suspension and a drift that were there before the first."""

    suspended_since: str
    drift_since: str

    @classmethod
    def read(cls, status: dict[str, Any]) -> Standing | None:
        """What a controller says of them; None where one of them is missing."""
        held = next((one["suspended"] for one in status["scopes"] if one["name"] == HELD), None)
        drift = next((one["since"] for one in status["drifts"] if one["stack"] == DRIFTING), None)
        return cls(held["since"], drift) if held and drift else None


@dataclass
class Outcome:
    """One strike. `done_before` are the writes that were done when it fell, of STACKS.

    `seconds` passed until another led; where the program was `started` for that, its start is in them.
    """

    strike: str
    victim: str
    done_before: int
    started: bool = False
    seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    converged: bool = False
    complaints: list[str] = field(default_factory=list)

    @property
    def in_mid_apply(self) -> bool:
        return self.done_before < STACKS

    @property
    def doubles(self) -> int:
        return sum(count - 1 for count in self.done.values())

    def line(self) -> str:
        said = f"{self.strike:18} {self.victim}: {self.done_before} of {STACKS} done, then {self.seconds:.2f} s;"
        said += f" {self.done.total()} writes done, {self.sent} sent"
        return said + "".join(f"\n    {one}" for one in self.complaints)


def audit(group: Group, outcome: Outcome, leader: str, commit: str, before: int, standing: Standing) -> None:
    """Note what is wrong after a strike, as the engines and the controller that leads now have it."""
    missing = STACKS - len(outcome.done)
    if missing:
        outcome.complaints.append(f"{missing} of {STACKS} services were not written")
    if outcome.doubles or group.previous_replicas() != [before] * STACKS:
        outcome.complaints.append(f"double write: {dict(outcome.done)}, {group.previous_replicas()}")
    api = group.controllers[leader]
    found = Standing.read(api.get("/v1/status"))
    if found != standing:
        outcome.complaints.append(f"state lost: {found} in place of {standing}")
    try:
        until(lambda: not _untold(api, commit), "the history has it")
    except AssertionError:
        outcome.complaints.append(f"state lost: the history has nothing of {_untold(api, commit)} at {commit[:12]}")


def _untold(api: Controller, commit: str) -> list[str]:
    """Which stacks no entry of the history says a commit was brought to."""
    entries = [one for one in api.get(f"/v1/history?limit={HISTORY_MAX}")["applies"] if one["commit"] == commit]
    told = {scope for one in entries for scope in one["scopes"] if scope not in one["failed"]}
    return sorted({name.partition("_")[0] for name in SERVICES} - told)


def is_converged(group: Group, leader: str, commit: str) -> bool:
    """Whether a controller knows of a commit, and finds all stacks that are struck at it."""
    status = group.controllers[leader].get("/v1/status")
    if not any((one["revision"] or {}).get("commit") == commit for one in status["sources"]):
        return False
    ready = {
        one["name"]
        for one in status["scopes"]
        if any(each["type"] == "Ready" and each["status"] for each in one["conditions"])
    }
    return {name.partition("_")[0] for name in SERVICES} <= ready


def stand(group: Group, leader: str) -> Standing:
    """What the controllers say of the suspension and the drift, once they know of both."""
    found = until(lambda: Standing.read(group.controllers[leader].get("/v1/status")), "a suspension and a drift")
    assert isinstance(found, Standing)
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """All strikes, by kind, and together: then without the times of those after which the program had to start."""
    kinds = dict.fromkeys(one.strike for one in outcomes)
    rows = [_row(kind, [one for one in outcomes if one.strike == kind]) for kind in kinds]
    return in_columns([HEAD, *rows, _row(ALL, outcomes)])


def _row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    times = sorted(one.seconds for one in outcomes if name != ALL or not one.started) or [0.0]
    done = sum(one.done.total() for one in outcomes)
    counts = [
        len(outcomes),
        sum(one.in_mid_apply for one in outcomes),
        sum(not one.converged for one in outcomes),
        sum(one.doubles for one in outcomes),
        done,
        sum(one.sent for one in outcomes) - done,
        sum("state lost" in said for one in outcomes for said in one.complaints),
    ]
    shares = [times[min(int(len(times) * share / 100), len(times) - 1)] for share in (50, 95, 100)]
    return [name, *(f"{count:,}" for count in counts), *(f"{seconds:.2f}" for seconds in shares)]
