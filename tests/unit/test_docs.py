"""What a user can meet is documented: every command, option, setting and error code."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reconciler import settings
from reconciler.adapters.metrics import Metrics, Remembered
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.controller_api.routes import ROUTES
from reconciler.model.alerts import AlertKind
from reconciler.model.conditions import Reason
from reconciler.model.errors import ErrorCode
from reconciler.wiring import Wiring
from tests.benchmarks import __main__ as benchmarks

ROOT = Path(__file__).resolve().parents[2]
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text()
ERRORS_PAGE = (ROOT / "docs" / "errors.md").read_text()


def commands() -> dict[str, Any]:
    group = typer.main.get_command(app.build(Wiring(settings.read({"HOME": "/nowhere"})), Terminal()))
    return dict(getattr(group, "commands"))  # noqa: B009 - mypy knows less of it than we do


@pytest.mark.parametrize("name", sorted(commands()))
def test_each_command_and_option_is_on_the_commands_page(name):
    assert re.search(rf"^## swarmctl {name}\b", COMMANDS_PAGE, re.MULTILINE)
    for parameter in commands()[name].params:
        for option in parameter.opts:
            assert not option.startswith("--") or f"`{option}" in COMMANDS_PAGE or f" {option} " in COMMANDS_PAGE


def test_each_environment_variable_that_is_read_is_on_the_commands_page():
    source = (ROOT / "reconciler" / "settings.py").read_text()
    names = set(re.findall(r'"((?:SWARMCTL|DOCKER|NO|FORCE|XDG)_[A-Z_]+)"', source))
    assert len(names) > 8
    for name in names:
        assert name in COMMANDS_PAGE


@pytest.mark.parametrize("code", sorted(ErrorCode))
def test_each_error_code_has_a_section(code):
    assert re.search(rf"^### {re.escape(code)}$", ERRORS_PAGE, re.MULTILINE)


def test_no_section_describes_a_code_that_does_not_exist():
    assert set(re.findall(r"^### (\S+)$", ERRORS_PAGE, re.MULTILINE)) <= {code.value for code in ErrorCode}


def test_each_code_is_raised_somewhere():
    sources = "".join(path.read_text() for path in (ROOT / "reconciler").rglob("*.py") if path.name != "errors.py")
    unused = [code.name for code in ErrorCode if f"ErrorCode.{code.name}" not in sources]
    assert unused == []


def test_the_documents_name_only_links_that_exist():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def written_commands() -> list[str]:
    """Return each command line that the pages write out whole: between backticks, with an option."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = {line for page in pages for line in re.findall(r"`(swarmctl [a-z]+ [^`]*--[^`]*)`", page.read_text())}
    return sorted(line for line in found if "COMMAND" not in line)


@pytest.mark.parametrize("line", written_commands())
def test_each_command_that_a_page_writes_out_is_one_that_the_program_takes(line):
    words = [word.strip("[]") for word in shlex.split(line)]
    command: Any = typer.main.get_command(app.build(Wiring(settings.read({"HOME": "/nowhere"})), Terminal(), words[1:]))
    while hasattr(command, "commands"):
        command, words = command.commands[words[1]], words[1:]
    command.make_context(words[0], words[1:])


def test_each_benchmark_is_on_its_page():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [name for name in benchmarks.PARTS if f"`make bench PART={name}`" not in page] == []


def test_each_operation_of_the_api_is_on_its_page():
    page = (ROOT / "docs" / "api.md").read_text()
    missing = [f"{one.method} {one.path}" for one in ROUTES if f"`{one.method} {one.path}" not in page]
    assert missing == ["GET /openapi.json"], "that one has a sentence of its own"
    assert "`/openapi.json`" in page


def test_each_metric_kind_of_alert_and_reason_is_on_its_page():
    alerts, loop = (ROOT / "docs" / "alerts.md").read_text(), (ROOT / "docs" / "gitops.md").read_text()
    exposition = Metrics(lambda: Remembered(datetime(2026, 11, 21, tzinfo=UTC), "c")).exposition()[0].decode()
    metrics = [one.split()[2] for one in exposition.splitlines() if one.startswith("# TYPE swarmctl_")]
    shown = [one for one in metrics if not one.endswith("_created")]
    assert len(shown) > 15
    assert [one for one in shown if f"`{one}`" not in alerts] == []
    assert [one.value for one in AlertKind if f"`{one.value}`" not in alerts] == []
    assert [one.value for one in Reason if f"`{one.value}`" not in loop] == []
