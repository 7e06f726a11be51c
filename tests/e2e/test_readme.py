"""The first stack of README.md, typed as it stands there, and the files that it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.program import CLEAN
from tests.free_ports import free_port
from tests.unit.manifests.builders import loaded

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
IDENTITY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "reader",
    "GIT_AUTHOR_EMAIL": "reader@example.com",
    "GIT_COMMITTER_NAME": "reader",
    "GIT_COMMITTER_EMAIL": "reader@example.com",
}


def block(heading: str) -> str:
    """Return the first block of code under a heading."""
    found = re.search(rf"^## {heading}\n.*?```[a-z]*\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def reader_of(folder: Path) -> dict[str, str]:
    """Return the environment of somebody who has just run `make demo`, and has nothing running."""
    bin_folder = folder / "clone" / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    program = bin_folder / "swarmctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m reconciler.main "$@"\n')
    program.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if name not in CLEAN}
    return {**inherited, **IDENTITY, "PYTHONPATH": str(ROOT), "SWARMCTL_DATA_DIR": str(folder / "swarm")}


def test_the_first_stack_comes_up_as_the_readme_says(tmp_path: Path) -> None:
    environment, port = reader_of(tmp_path), free_port()
    script = block("A first stack in five minutes").replace("8000", str(port))
    # What a person does at the terminal: answers yes, and looks at an exit code of 2 without ending there.
    script, asked = re.subn(r"^swarmctl apply  ", "swarmctl apply --yes ", script, flags=re.MULTILINE)
    script, differs = re.subn(r"^swarmctl diff .*$", "swarmctl diff || test $? = 2", script, flags=re.MULTILINE)
    assert (asked, differs) == (1, 1)
    fetch = f"{sys.executable} -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())'"
    script = script.replace("curl http", f"{fetch} http")  # which not every machine has
    shell = ["bash", "-eu", "-c", script + 'echo "at $DOCKER_HOST"\n']
    clone = tmp_path / "clone"
    try:
        done = subprocess.run(
            shell, cwd=clone, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        program = str(clone / ".venv" / "bin" / "swarmctl")
        subprocess.run([program, "down"], env=environment, timeout=60, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Plan: 2 to add, 1 to change, 0 to destroy." in done.stdout
    assert "<title>Directory listing for /</title>" in done.stdout
    assert re.search(r"web +in sync", done.stdout)
    assert f"at unix://{tmp_path}/swarm/" in done.stdout


def test_the_repository_that_the_readme_shows_is_sound() -> None:
    manifest = block("The repository")
    stack = "services: {s: {image: i}}"
    state = loaded({"swarm.yaml": manifest, "stacks/db.yaml": stack, "stacks/web.yaml": stack})
    assert [one.name for one in state.stacks] == ["db", "web"]
    assert yaml.safe_load(manifest)["metadata"]["name"] == state.cluster


@pytest.mark.parametrize("target", ["demo", "test", "bench", "kills", "restarts", "strikes", "chaos", "conformance"])
def test_the_targets_that_the_readme_names_exist(target: str) -> None:
    assert re.search(rf"`(make )?{target}\b|^make {target}\b", README, re.MULTILINE)
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
