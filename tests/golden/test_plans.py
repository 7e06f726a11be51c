"""Every example repository, planned against an empty swarm, gives the text that is kept here.

`make golden` rewrites the texts. Commit a rewritten one only when you understand what changed it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.cli.ports import Source
from reconciler.planning import render_text
from reconciler.planning.plan import plan
from reconciler.wiring import Wiring
from tests.unit.planning.builders import a_node, actual

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/swarm.yaml"))
HERE = Path(__file__).parent


def planned_text(example: Path) -> str:
    desired = Wiring(settings.read({"HOME": "/root"})).load(Source(str(example)))
    nodes = (a_node("node1", role="manager"), a_node("node2"), a_node("node3"))
    return render_text.render(plan(desired, actual(*nodes))).replace(desired.revision, "EXAMPLE")


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_gives_its_golden_plan(example: Path):
    golden = HERE / f"{example.name}.txt"
    text = planned_text(example)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "`make golden` rewrites it, once the difference is understood"
