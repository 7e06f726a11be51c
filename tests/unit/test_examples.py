"""The examples say what is true: every command line in them is one that the program takes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.forges import ForgeName
from reconciler.wiring import Wiring

EXAMPLES = Path(__file__).parents[2] / "examples"


def ci_commands(file: Path) -> list[str]:
    """Return the command lines of swarmctl in a pipeline, with what the shell fills in as one word."""
    texts: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, str):
            texts.append(re.sub(r'"\$\(.*?\)"(?= |$)|\$\{.*?\}|\$[A-Z_]+', "VALUE", value).partition(" >> ")[0])
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    collect(yaml.safe_load(file.read_text()))
    return [text for text in texts if text.startswith("swarmctl ")]


def lines() -> Iterator[str]:
    for name, count in (("github.yaml", 3), ("gitlab.yaml", 2)):
        found = ci_commands(EXAMPLES / "ci" / name)
        assert len(found) == count, name
        yield from found
    dockerfile = (EXAMPLES / "controller" / "Dockerfile").read_text()
    words = {
        key: json.loads(value) for key, value in re.findall(r"\b(ENTRYPOINT|CMD) (\[.*\])$", dockerfile, re.MULTILINE)
    }
    yield shlex.join([*words["ENTRYPOINT"], *words["CMD"]])
    [health] = re.findall(r"HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.MULTILINE)
    yield shlex.join(json.loads(health))
    unit = (EXAMPLES / "controller" / "swarmctl.service").read_text()
    yield from (line.rpartition("/bin/")[2] for line in re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE))


@pytest.mark.parametrize("line", list(lines()))
def test_the_program_takes_it(line: str):
    _, name, *words = shlex.split(line)
    group: Any = typer.main.get_command(app.build(Wiring(settings.read({"HOME": "/nowhere"})), Terminal(), [name]))
    group.commands[name].make_context(name, words)


@pytest.mark.parametrize("provider", [ForgeName.GITHUB, ForgeName.GITEA])
def test_the_workflow_s_token_is_read_with_either_provider(provider: ForgeName):
    # Gitea Actions reads the same file; a token for one forge is never taken for another by a variable of its name.
    steps = yaml.safe_load((EXAMPLES / "ci" / "github.yaml").read_text())["jobs"]["plan"]["steps"]
    [given] = [step["env"] for step in steps if "swarmctl comment" in step.get("run", "")]
    assert settings.forge(given, provider).token == "${{ secrets.GITHUB_TOKEN }}"


def test_a_pull_request_is_compared_from_where_it_left_its_base():
    # From the tip of the base what was merged meanwhile would be shown as undone.
    assert '--base "$(git merge-base ' in (EXAMPLES / "ci" / "github.yaml").read_text()
    gitlab = (EXAMPLES / "ci" / "gitlab.yaml").read_text()
    assert '--base "$CI_MERGE_REQUEST_DIFF_BASE_SHA"' in gitlab
    # A pipeline for merged results runs on a commit that has the target branch's tip as a parent.
    assert '--head "${CI_MERGE_REQUEST_SOURCE_BRANCH_SHA:-$CI_COMMIT_SHA}"' in gitlab
