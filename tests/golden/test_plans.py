"""Every example repository, planned against an empty swarm, gives the text and the comment that are kept here.

So does a story: the first example is applied, somebody changes the swarm by hand, somebody else the repository.
`make golden` rewrites them all. Commit a rewritten one only when you understand what changed it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from reconciler import settings
from reconciler.adapters.schema_files import plan_schema
from reconciler.cli.ports import Source
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Plan
from reconciler.planning import render_json, render_markdown, render_text
from reconciler.planning.plan import plan
from reconciler.wiring import Wiring
from tests.fakes.quiet_swarm import NODES, a_quiet_swarm
from tests.property.repositories import carried_out
from tests.unit.planning.builders import a_node, actual, running_tasks

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/swarm.yaml"))
HERE = Path(__file__).parent


def loaded(folder: Path) -> DesiredState:
    desired = Wiring(settings.read({"HOME": "/root"})).load(Source(str(folder)))
    return replace(desired, revision="EXAMPLE")


def check(name: str, made: Plan) -> None:
    """Compare a plan with what is kept of it, in the formats that people read; the third is what its schema says."""
    Draft202012Validator(plan_schema()).validate(json.loads(json.dumps(render_json.render(made))))
    for golden, text in (
        (HERE / f"{name}.txt", render_text.render(made)),
        (HERE / f"{name}.md", render_markdown.render(made)),
    ):
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(text)
        assert text == golden.read_text(), "`make golden` rewrites it, once the difference is understood"


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_gives_its_golden_plan(example: Path):
    nodes = (a_node("node1", role="manager"), a_node("node2"), a_node("node3"))
    check(example.name, plan(loaded(example), actual(*nodes)))


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def changed_by_hand(state: ActualState) -> ActualState:
    """`docker service scale site_web=5`, `docker service rm watch_pulse`, and a node that lost a label."""
    web = next(service for service in state.services if service.name == "site_web")
    spec = copy.deepcopy(web.spec)
    spec["Mode"]["Replicated"]["Replicas"] = 5
    scaled = replace(web, spec=spec)
    clerk = next(service for service in state.services if service.name == "watch_clerk")
    nodes = tuple(without_disk(node) if node.name == "n2" else node for node in state.nodes)
    return replace(
        state,
        endpoint="unix:///test.sock",
        services=(scaled, clerk),
        nodes=nodes,
        tasks=(*running_tasks(scaled), *running_tasks(clerk)),
    )


def without_disk(node: ObservedObject) -> ObservedObject:
    spec = {**node.spec, "Labels": {"zone": "b"}}
    return replace(node, spec=spec)


def test_drift_and_intent_are_told_apart(tmp_path: Path):
    folder = tmp_path / "infra"
    shutil.copytree(ROOT / "examples" / "stacks", folder)
    edit(folder / "swarm.yaml", *((f"node{number}", name) for number, name in enumerate(NODES, 1)))

    async def story() -> ActualState:
        cluster = await a_quiet_swarm()
        again, state = await carried_out(cluster, loaded(folder))
        assert again.is_empty
        return state

    state = changed_by_hand(asyncio.run(story()))
    edit(folder / "stacks" / "site.yaml", ('RELEASE: "1.0"', 'RELEASE: "1.1"'), ("replicas: 2", "replicas: 3"))
    edit(folder / "stacks" / "site" / "answer.py", ("import os\n", "import os\nimport time\n"))
    edit(folder / "stacks" / "site" / "greeting.txt", ("\n", "!\n"))
    made = plan(loaded(folder), state)
    assert {action.id for action in made.actions if action.kind is Kind.SERVICE} == {
        "service.site_web",
        "service.watch_pulse",
    }
    check("stacks.changed", made)
