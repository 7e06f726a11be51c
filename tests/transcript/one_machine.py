"""The verbs of scenarios of one machine: record what a real engine prints, or hold ours against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.lab.engine import Engine
from tests.transcript import scenarios
from tests.transcript.scenarios import Printed

Play = Callable[[type[Engine], Sequence[str]], dict[str, list[Printed]]]
"""Returns what the chosen scenarios print on a kind of machine."""


def names(folder: str) -> list[str]:
    """Return the names of a folder's scenarios, as tests.transcript.scenarios knows them."""
    return sorted(f"{folder}/{path.stem}" for path in (scenarios.SCENARIOS / folder).glob("*.txt"))


def one_machine(arguments: list[str], usage: str | None, folder: str, played: Play, ours: type[Engine]) -> int:
    """Do what the package's own verbs do, with the scenarios of one folder; return the exit code."""
    verb, chosen = (arguments[:1] or [""])[0], [f"{folder}/{name}" for name in arguments[1:]] or names(folder)
    if verb not in ("record", "ours", "both"):
        print(usage)
        return 2
    if verb == "record":
        for name, printed in played(Engine, chosen).items():
            scenarios.write_golden(name, printed)
            print(f"{name}: {len(printed)} steps")
        return 0
    engine = played(Engine, chosen) if verb == "both" else {name: scenarios.golden(name) for name in chosen}
    own = played(ours, chosen)
    found = [told for name in chosen for told in scenarios.surprises(name, engine[name], own[name])]
    print("\n\n".join(found))
    print(f"{sum(len(own[name]) for name in chosen)} steps, {len(found)} surprises")
    return min(len(found), 1)
