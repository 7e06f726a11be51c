"""What `validate` counts of what it has checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ExitCode
from reconciler.wiring import Wiring

CLUSTER = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: shop}\n"


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ("{policy: {prune: true}}", "nothing declared"),
        ("{nodes: [{hostname: n1, role: worker}]}", "1 node"),
        ("{settings: {autolock: true, taskHistoryLimit: 3}}", "2 settings"),
        ("{joinTokens: {worker: {rotateEvery: 30d}}}", "1 join token"),
    ],
)
def test_all_that_a_repository_declares_is_counted(
    tmp_path: Path, spec: str, counted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "swarm.yaml").write_text(f"{CLUSTER}spec: {spec}\n")
    terminal, words = Terminal(color=False), ("validate", str(tmp_path))
    outside = Wiring(settings.read({"HOME": "/root"}))
    assert app.run(app.build(outside, terminal, words), terminal, words) == ExitCode.OK
    assert f"Valid: {counted} (" in capsys.readouterr().out
