"""How long swarmctl takes to begin: until it has told its version, and until its first call to an engine."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.table import in_columns

ROUNDS = 15
WAIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "reconciler.main")
STACK = "services:\n  web: {image: 'nginx:1'}\n"


def until_ended_s(*command: str) -> float:
    """Return the seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began


def until_first_call_s(folder: Path) -> float:
    """Return the seconds from the start of `swarmctl diff` until it connects to its engine, the manifests loaded."""
    stack, path = folder / "web.yaml", folder / "engine.sock"
    stack.write_text(STACK)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        listening.settimeout(WAIT_S)
        began = time.perf_counter()
        process = subprocess.Popen(
            (*PROGRAM, "diff", str(stack), "--host", f"unix://{path}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection, _ = listening.accept()
            seconds = time.perf_counter() - began
            connection.close()
        finally:
            process.kill()
            process.wait()
        return seconds


def bench_start() -> None:
    """Print the median and the best of ROUNDS starts."""
    with tempfile.TemporaryDirectory() as name:
        measures: list[tuple[str, Callable[[], float]]] = [
            ("python -c pass", lambda: until_ended_s(sys.executable, "-c", "pass")),
            ("docker --version", lambda: until_ended_s("docker", "--version")),
            ("swarmctl --version", lambda: until_ended_s(*PROGRAM, "--version")),
            ("swarmctl diff, until its first call", lambda: until_first_call_s(Path(name))),
        ]
        rows = [["", "median s", "best s"]]
        for title, measure in measures:
            if title.startswith("docker") and not _is_installed("docker"):
                continue
            times = [measure() for _ in range(ROUNDS)]
            rows.append([title, f"{statistics.median(times):.3f}", f"{min(times):.3f}"])
    print(f"\nstart, of {ROUNDS} runs")
    print(in_columns(rows))


def _is_installed(program: str) -> bool:
    return any(Path(folder, program).exists() for folder in os.get_exec_path())
