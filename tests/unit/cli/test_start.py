"""What a command does not need is not imported for it. A start is told in modules: they are the same everywhere."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import main

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    "aiohttp",
    "apprise",
    "asyncio",
    "cryptography",
    "docker",
    "git",
    "jsonschema",
    "prometheus_client",
    "pydantic",
    "requests",
    "rich",
    "structlog",
    "typer",
    "yaml",
    "reconciler.api",
    "reconciler.manager",
    "reconciler.manifests",
    "reconciler.planning",
)
PROGRAM = """
import sys
from reconciler.main import main
code = main(sys.argv[2:])
print(*(name for name in sys.argv[1].split() if name in sys.modules), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


def imported(*arguments: str, code: int = 0) -> set[str]:
    """Return which of HEAVY a command has imported by its end, which is `code`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, " ".join(HEAVY), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == code, finished.stderr
    return set(finished.stderr.split()) & set(HEAVY)


def test_the_version_is_told_without_anything_heavy() -> None:
    assert not imported("--version")


@pytest.mark.parametrize("command", ["validate", "render"])
def test_a_sound_repository_is_read_without_what_only_others_need(command: str) -> None:
    unneeded = {"aiohttp", "cryptography", "docker", "git", "jsonschema", "pydantic", "requests", "reconciler.api"}
    assert not imported(command, str(ROOT / "examples/stacks")) & unneeded


def test_a_diff_makes_its_first_call_without_the_embedded_swarm_or_git() -> None:
    needed = {"asyncio", "rich", "typer", "yaml", "reconciler.manifests"}
    assert imported("diff", str(ROOT / "examples/stacks"), "--host", "unix:///nonexistent", code=1) <= needed


def printed(program: str, *arguments: str) -> list[str]:
    """Return the words that a Python program prints, which complains of nothing."""
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.stderr == ""
    return finished.stdout.split()


@pytest.mark.parametrize("command", ["diff", "apply"])
def test_a_first_call_is_under_way_before_what_reads_manifests_is_imported(command: str) -> None:
    modules = f"reconciler.main, reconciler.wiring, reconciler.cli.{command}, reconciler.adapters.docker.greeting"
    later = ("asyncio", "yaml", "reconciler.manifests", "reconciler.planning", "reconciler.controller")
    assert not printed(f"import sys, {modules}; print(*set({later!r}) & sys.modules.keys())")


def test_where_nobody_has_logged_in_no_sdk_is_imported_to_find_that_out() -> None:
    program = """
import sys
from reconciler.adapters.registry_auth import RegistryCredentials
assert RegistryCredentials(sys.argv[1], print).header_for("registry.example/web:1") is None
print(*{"docker", "requests"} & sys.modules.keys())
"""
    assert not printed(program, "/nonexistent")


def test_what_is_wrong_with_manifests_is_told_without_waiting_for_an_engine_that_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    (tmp_path / "web.yaml").write_text("services: {web: {image: 1, no_such_key: true}}")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        for command in (["diff"], ["apply", "--yes"]):
            finished = subprocess.run(
                [sys.executable, "-m", "reconciler.main", *command, str(tmp_path / "web.yaml"), "-H", f"unix://{path}"],
                env={**os.environ, "PYTHONPATH": str(ROOT), "SWARMCTL_REQUEST_TIMEOUT": "3600"},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert finished.returncode == 1
            assert "no_such_key" in finished.stderr


def test_a_ctrl_c_is_seen_to_before_anything_else_is_imported():
    """Afterwards it ends the process as it ends any other; before, Python would show where it struck."""
    statements = ast.parse(Path(main.__file__).read_text()).body
    first, second = statements[1:3]  # behind the docstring
    assert isinstance(first, ast.Import)
    assert [one.name for one in first.names] == ["_signal"]
    assert "_signal.signal(_signal.SIGINT" in ast.unparse(second)
