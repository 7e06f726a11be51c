"""Everything that was recorded of real Docker, where the recordings are at hand; `make parity` tells the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.parity.__main__ import CASES, CORPUS
from tests.parity.entries import Entry, case_entries, corpus_entries
from tests.parity.measure import measure

RECORDINGS = [
    pytest.param(CORPUS, corpus_entries, id="corpus"),
    pytest.param(CASES, case_entries, id="cases"),
]


@pytest.mark.parametrize(("recorded", "entries"), RECORDINGS)
def test_docker_and_we_make_the_same_of_every_recorded_file(
    recorded: Path, entries: Callable[[Path], Iterable[Entry]]
) -> None:
    if not recorded.exists():
        pytest.skip(f"no recordings at {recorded}")
    results = [measure(entry) for entry in entries(recorded)]
    assert results
    misses = {one.entry.name: one.misses for one in results if one.misses and not one.cluster_only}
    assert misses == {}
