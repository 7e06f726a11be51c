"""Standard streams that are full or closed: a message and an exit code, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


def run(redirection: str, *words: str) -> tuple[int, str, str]:
    """Run swarmctl by a shell with `redirection`; return its exit code, output and errors."""
    command = f'exec "$@" {redirection}'
    program = [sys.executable, "-m", "reconciler.main", *words]
    ended = subprocess.run(["sh", "-c", command, "sh", *program], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert "[internal]" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def stack(tmp_path: Path) -> str:
    file = tmp_path / "web.yaml"
    file.write_text("services: {a: {image: i}}\n")
    return str(file)


@pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full here")
def test_a_full_output_is_an_error_and_said_so(stack: str):
    for words in (("validate", stack), ("render", stack), ("--help",)):
        code, _, errors = run(f"> {FULL}", *words)
        assert code == 1
        assert "[output-failed]" in errors
    assert run(f"> {FULL}", "--version")[0] == 1
    assert run(f"2> {FULL}", "validate", stack)[0] == 0


def test_closed_streams_change_no_exit_code(stack: str):
    assert run(">&-", "validate", stack)[0] == 0
    assert run(">&-", "--version")[0] == 0
    code, _, errors = run(">&- <&-", "validate", f"{stack}.not")
    assert (code, "[path-not-found]" in errors) == (1, True)
    assert run("2>&-", "validate", f"{stack}.not")[:2] == (1, "")
