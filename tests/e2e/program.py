"""The swarmctl program as a user runs it: another process, its output, its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_WAIT_S = 120.0
CLEAN = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "NO_COLOR")


@dataclass(frozen=True)
class Finished:
    """One run that ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Program:
    """Runs commands in one folder with one environment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environment: str) -> Finished:
        """Run `swarmctl ARGUMENTS` and return how it ended; never raises for a failing command."""
        finished = subprocess.run(
            [sys.executable, "-m", "reconciler.main", *arguments],
            cwd=self.folder,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_WAIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in finished.stderr, finished.stderr
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Begin `swarmctl ARGUMENTS` and return the process, for a test that interrupts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler.main", *arguments],
            cwd=self.folder,
            env=self._environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def ok(self, *arguments: str, code: int = 0) -> str:
        """Run a command that must end with `code`, and return what it printed."""
        finished = self(*arguments)
        assert finished.code == code, f"{arguments} ended with {finished.code}:\n{finished.text}"
        return finished.text

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in CLEAN}
        root = str(Path(__file__).resolve().parents[2])
        return {**inherited, "PYTHONPATH": root, **self.environment, **more}


class Repository:
    """A real Git repository that a test writes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments: str) -> str:
        settings = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        finished = subprocess.run(
            ["git", *settings, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return finished.stdout.strip()

    def commit(self, files: dict[str, str | None]) -> str:
        """Write (or, for None, delete) files, commit everything, and return the commit's id."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        return self.git("rev-parse", "HEAD")
