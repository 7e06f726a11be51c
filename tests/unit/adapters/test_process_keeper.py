"""The small shell that starts a task's program and outlives the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.adapters.process_runtime import child
from reconciler.adapters.process_runtime.signals import hand_on_defaults, signal_number


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


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGINT", 2),
        ("int", 2),
        ("2", 2),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("SIGRTMAX+1", 15),
        ("0", 15),
        ("65", 15),
        ("SIGNALS", 15),
        ("", 15),
    ],
)
def test_a_signal_has_many_names(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["SIGQUIT", "SIGABRT", "SIGPWR", "SIGRTMIN+3"])
def test_a_keeper_outlives_every_signal_that_asks_a_program_to_end(tmp_path: Path, name: str) -> None:
    number, told = signal_number(name), tmp_path / "told"
    script = f"trap 'exit 9' {number}; : >{told}; while :; do sleep 0.02; done"
    exit_file = tmp_path / "exit"
    words = [child.SHELL, "-c", child._KEEPER, "keeper", str(exit_file), "program", child.SHELL, "-c", script]
    hand_on_defaults()
    reader, writer = os.pipe()
    with subprocess.Popen(words, stdin=writer, start_new_session=True) as keeper:
        os.close(writer)
        deadline = time.monotonic() + 30
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(keeper.pid, number)
        assert keeper.wait(30) == 9
    os.close(reader)
    assert exit_file.read_text() == "9\n"


def test_a_program_begins_with_the_defaults_also_where_its_daemon_was_started_beside(tmp_path: Path) -> None:
    """A shell's & ignores SIGINT and SIGQUIT, nohup SIGHUP: a program could not be stopped by these any more."""
    seen = "grep SigIgn /proc/self/status"
    daemon = f"""
import signal, subprocess
from reconciler.adapters.process_runtime.signals import hand_on_defaults
hand_on_defaults()
signal.raise_signal(signal.SIGHUP)
print(subprocess.check_output({seen!r}, shell=True, text=True))
"""
    words = [child.SHELL, "-c", "trap '' 1 2 3; exec \"$@\"", "beside", sys.executable, "-c", daemon]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    # The C library keeps 32 and 33 for itself: nobody can set them, they stay as the machine has them.
    settable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert int(ended.stdout.split()[1], 16) & settable == 0
