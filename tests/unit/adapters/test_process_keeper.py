"""The small shell that starts a task's program and outlives the daemon."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from reconciler.adapters.process_runtime import child


def test_a_program_is_started_also_where_the_daemon_was_killed_at_that_moment(tmp_path: Path):
    """Nobody is there any more to be told its number; that is no fault of the program, and must not end it."""
    reader, writer = os.pipe()
    os.close(reader)
    exit_file = tmp_path / "exit"
    signals = "grep SigIgn /proc/self/status; exit 7"
    keeper = [child.SHELL, "-c", child._KEEPER, "keeper", str(exit_file), "program", child.SHELL, "-c", signals]
    ended = subprocess.run(keeper, stdin=writer, capture_output=True, text=True, timeout=30, check=False)
    os.close(writer)
    assert (ended.returncode, exit_file.read_text(), ended.stderr) == (7, "7\n", "")
    assert int(ended.stdout.split()[1], 16) & 1 << 12 == 0, "the program finds SIGPIPE as programs expect it"
