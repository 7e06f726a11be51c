"""What a user can meet is documented: every command, option, setting and error code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode
from reconciler.wiring import Wiring

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
