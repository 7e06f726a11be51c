"""Count how far we agree with real Docker: `make parity [CORPUS=DIR] [CASES=FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.lab.lab import Lab, why_not
from tests.parity import on_engine
from tests.parity.entries import Entry, case_entries, corpus_entries
from tests.parity.measure import Result, measure

SHARED = Path(__file__).resolve().parents[3] / "shared"
CORPUS = SHARED / "corpus"
CASES = SHARED / "facts" / "compose-cases.jsonl"


def report(title: str, entries: Iterable[Entry]) -> bool:
    """Print the counts and misses of some entries; return whether every accepted one is equal."""
    results = [measure(entry) for entry in entries]
    accepted = [one for one in results if one.entry.accepted]
    compared = [one for one in accepted if one.requests_equal is not None]
    rejected = [one for one in results if not one.entry.accepted and not one.cluster_only]
    print(f"{title}: {len(results)} entries")
    print(f"  requests equal    {sum(bool(one.requests_equal) for one in compared)} / {len(compared)} accepted", end="")
    loaded = [one for one in accepted if one.value_equal is not None]
    print(f"; value equal {sum(bool(one.value_equal) for one in loaded)} / {len(loaded)} only loaded" if loaded else "")
    print(f"  refusals matched  {sum(bool(one.refused) for one in rejected)} / {len(rejected)} rejected")
    print(f"  same fault named  {sum(bool(one.same_fault) for one in rejected)} / {len(rejected)} rejected")
    told = [one for one in results if one.warnings_equal is not None]
    print(f"  warnings equal    {sum(bool(one.warnings_equal) for one in told)} / {len(told)} that we accept")
    _list("misses", [one for one in results if one.misses and not one.cluster_only])
    _list("refused by the cluster only, left to planning and the engine", [one for one in results if one.cluster_only])
    return all(one.requests_equal is not False and one.value_equal is not False for one in accepted)


def _list(title: str, results: list[Result]) -> None:
    if results:
        print(f"  {title}:")
    for one in results:
        print(f"    {one.entry.name}")
        for line in one.misses:
            print(f"      {line}")


def _on_engine(corpus: Path) -> bool:
    """Deploy every accepted entry on a real engine, where one can run."""
    if reason := why_not():
        print(f"on a real engine: not run, {reason}")
        return True
    with Lab() as lab:
        return on_engine.report(corpus, lab.manager.host)


def main() -> int:
    """Run both measures on what exists; return 1 when something that Docker accepts is not equal."""
    parser = argparse.ArgumentParser(prog="make parity", description=__doc__)
    parser.add_argument("--corpus", default="", help="folder of recorded deployments")
    parser.add_argument("--cases", default="", help="file of recorded cases, a JSON object a line")
    chosen = parser.parse_args()
    corpus = Path(chosen.corpus or CORPUS)
    cases = Path(chosen.cases or CASES)
    equal = []
    if corpus.is_dir():
        equal.append(report(f"corpus {corpus}", corpus_entries(corpus)))
        equal.append(_on_engine(corpus))
    if cases.is_file():
        equal.append(report(f"cases {cases}", case_entries(cases)))
    if not equal:
        print("Nothing to compare with: give CORPUS=DIR or CASES=FILE.", file=sys.stderr)
    return 0 if equal and all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
