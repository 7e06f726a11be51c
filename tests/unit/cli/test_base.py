"""diff --base, where the base is not what one would wish: without manifests, or with broken ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ExitCode
from reconciler.wiring import Wiring

CLUSTER = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: shop}\n"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first commit has no manifests (`before`), whose second has broken ones, and a good head."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "README").write_text("hello")
    for tag, text in (
        ("before", None),
        ("broken", "services: {a: {image: i, replica: 3}}"),
        ("good", "services: {a: {image: i}}"),
    ):
        if text is not None:
            (tmp_path / "stacks").mkdir(exist_ok=True)
            (tmp_path / "swarm.yaml").write_text(CLUSTER)
            (tmp_path / "stacks" / "web.yaml").write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", tag)
        git(tmp_path, "tag", tag)
    return tmp_path


def diff(*arguments: str) -> int:
    terminal = Terminal(color=False)
    words = ("diff", *arguments, "--offline")
    return app.run(app.build(Wiring(settings.read({"HOME": "/root"})), terminal, words), terminal, words)


@pytest.mark.parametrize("path", ["", "/stacks/web.yaml"])
def test_the_first_pull_request_has_a_base_without_manifests(
    repository: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(f"{repository}{path}", "--base", "before") == ExitCode.CHANGES
    shown = capsys.readouterr().out
    assert "service.web_a will be created" in shown
    assert "Note: The base before has no manifests" in shown


def test_what_is_wrong_with_the_base_is_told_as_the_bases(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(str(repository), "--base", "broken") == ExitCode.ERROR
    assert "In the base broken: Unknown key `replica`" in capsys.readouterr().err
    assert diff(str(repository), "--base", "good", "--head", "broken") == ExitCode.ERROR
    assert "In the base" not in capsys.readouterr().err


def test_a_file_that_the_bases_manifests_name_and_lack_is_an_error(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "swarm.yaml").write_text(CLUSTER + "spec: {stacks: [{path: stacks/nope.yaml}]}\n")
    git(repository, "commit", "-qam", "lacking")
    git(repository, "checkout", "-q", "good")
    assert diff(str(repository), "--base", "main") == ExitCode.ERROR
    assert "In the base main: stacks/nope.yaml does not exist" in capsys.readouterr().err


def test_a_path_that_the_head_lacks_as_well_is_an_error(repository: Path) -> None:
    assert diff(f"{repository}/nope", "--base", "before") == ExitCode.ERROR


def test_outside_any_repository_the_option_that_was_given_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "swarm.yaml").write_text(CLUSTER)
    assert diff(str(tmp_path), "--base", "main") == ExitCode.ERROR
    assert "leave out --revision and --base" in capsys.readouterr().err


def test_a_pull_request_may_add_a_file_that_overrides_others(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stacks = repository / "stacks"
    (stacks / "more.yaml").write_text("services: {a: {environment: {LEVEL: high}}}")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "an override")
    files = (f"{stacks}/web.yaml", "--compose-file", f"{stacks}/more.yaml")
    assert diff(*files, "--base", "HEAD~1") == ExitCode.CHANGES
    shown = capsys.readouterr().out
    assert "service.web_a will be updated in place" in shown
    assert "LEVEL" in shown
    assert "The base HEAD~1 has no" in shown
    assert "more.yaml: all that it says counts as new." in shown
    assert diff(*files, "--compose-file", f"{stacks}/none.yaml", "--base", "HEAD~1") == ExitCode.ERROR
    assert "none.yaml does not exist" in capsys.readouterr().err
    assert diff(*files, "--base", "HEAD~1", "--head", "HEAD") == ExitCode.CHANGES
