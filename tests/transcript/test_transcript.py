"""The docker CLI prints with ours what it printed with a real engine.

`make test` plays a few scenarios; `python -m tests.transcript ours` plays all.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transcript import scenarios
from tests.transcript.replay import replay
from tests.transcript.shaping import shaped
from tests.transcript.subjects import ours
from tests.transcript.sweeps import expanded

LEAN = (
    "alone",
    "composed_odd",
    "flags",
    "looks",
    "members",
    "networks",
    "nodes",
    "older",
    "sealed",
    "shown",
    "sweep_networks",
    "sweep_sealed",
    "updates",
    "worker",
)
"""Scenarios of a few seconds, which wait for nothing."""

TABLE = """ID             NAME      REPLICAS   ENGINE VERSION
x2i06ws6txhi   web       1/1        28.1
3kq1zk5vmo8p * api-two   0/1        28.2
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths are short enough, which pytest's own may be too long for."""
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        yield Path(folder)


@pytest.fixture
def needs_the_cli() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker CLI")


@pytest.mark.usefixtures("needs_the_cli")
@pytest.mark.parametrize("name", LEAN)
async def test_the_cli_prints_what_it_prints_with_an_engine(name: str, short_folder: Path) -> None:
    async with ours(short_folder) as world:
        printed = await scenarios.play(name, world, short_folder)
    assert scenarios.surprises(name, scenarios.golden(name), printed) == []


def test_every_scenario_has_its_golden_output() -> None:
    counted = 0
    for name in scenarios.names():
        compared = [step.command for step in scenarios.steps(name) if step.sign in scenarios.COMPARED]
        assert compared == [printed.command for printed in scenarios.golden(name)]
        counted += len(compared)
    assert counted >= 150


def test_every_listed_difference_is_of_a_step() -> None:
    for name, command in scenarios.reasons():
        assert command in [step.command for step in scenarios.steps(name)]


def test_what_differs_is_told() -> None:
    (first, *_), ours_too = scenarios.golden("sealed"), scenarios.golden("sealed")
    ours_too[0] = scenarios.Printed(first.command, 1, first.out, ("Error",))
    (told,) = scenarios.surprises("sealed", scenarios.golden("sealed"), ours_too)
    assert first.command in told


def test_a_table_of_values_becomes_steps() -> None:
    text = """# Told to nobody.
1- prepare
> make {flags} {name}
< show {names}
~ remove {names}
--one
--two
1$ between
> look {flags}

--again"""
    assert list(expanded(text)) == [
        "1- prepare",
        "1$ make --one swept1",
        "1$ make --two swept2",
        "1= show swept1 swept2",
        "1- remove swept1 swept2",
        "1$ between",
        "1$ look",
        "1$ look --again",
    ]


@pytest.mark.usefixtures("needs_the_cli")
def test_every_flag_is_used_alone() -> None:
    """Each flag that the CLI of the recordings has for services, in a line of a sweep that names it first."""
    for name, command in (("sweep_create", "create"), ("sweep_update", "update")):
        swept = (scenarios.SCENARIOS / f"{name}.sweep").read_text()
        told = subprocess.run(["docker", "service", command, "--help"], capture_output=True, text=True, check=True)
        flags = set(re.findall(r"--[a-z][a-z-]+", told.stdout)) - {"--help", "--detach"}
        missing = [flag for flag in sorted(flags) if not re.search(rf"^{flag}\b|^1\$.* {flag} ", swept, re.MULTILINE)]
        assert missing == []


def test_tables_are_compared_by_column() -> None:
    assert shaped(TABLE) == [
        "ID | NAME | REPLICAS | ENGINE VERSION",
        "<ID> | web | 1/1 | <VERSION>",
        "<ID> * | api-two | 0/1 | <VERSION>",
    ]


def test_json_is_compared_by_key() -> None:
    assert shaped('{"b": {"Index": 7}, "a": "2026-11-21T12:00:00.5Z"}') == shaped(
        json.dumps({"a": "2025-01-01T00:00:00Z", "b": {"Index": 1}}, indent=3)
    )


@pytest.mark.usefixtures("needs_the_cli")
async def test_recorded_steps_are_played_and_counted(short_folder: Path) -> None:
    recorded = [
        {"id": "a.1", "node": 1, "ctl": "reset", "tags": []},
        {"id": "a.2", "node": 1, "cmd": "docker node ls -q", "rc": 1, "out": ["x"], "err": [], "tags": []},
        {"id": "a.3", "node": 1, "cmd": "docker swarm init --advertise-addr {ip1} -q || echo <ID>", "tags": []},
        {"id": "a.4", "node": 1, "cmd": "echo {h1}", "rc": 0, "out": ["node1"], "err": [], "tags": []},
    ]
    score = await replay(recorded, ["a"], short_folder, short_folder)
    assert (score.same["a"], score.steps["a"]) == (1, 2)
    assert len(score.failures) == 1
