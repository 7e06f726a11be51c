"""Sources through the running program: each fault of a remote, what `status` says of it, and how it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.followed import STACK, Followed, ask, controller_of, door_before
from tests.lab.git_servers import http_server, run

pytestmark = pytest.mark.parametrize("backend", ["embedded"], indirect=True)
SOON = {"interval": "500ms"}


@pytest.fixture
def controller(backend: Backend, tmp_path: Path) -> Controller:
    return controller_of(tmp_path, backend)


@contextmanager
def running(controller: Controller, *followed: Followed) -> Iterator[None]:
    """Run the controller over these sources, until all that they ask for is there."""
    controller.spec["sources"] = [one.source for one in followed]
    with ended(controller):
        controller.start().await_line("api listens")
        for one in followed:
            one.await_mark("1")
        yield
        assert controller.stop() == 0


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file's content and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_each_fault_of_a_repository_leaves_the_last_good_revision_in_force(
    backend: Backend, controller: Controller, tmp_path: Path
):
    def make(name: str, **settings: Any) -> Followed:
        return Followed.make(tmp_path, name, controller, backend, **settings)

    steady = make("steady")
    pushed, held = make("pushed"), make("held", rewrites="hold")
    deleted, emptied, vanished = make("deleted", **SOON), make("emptied", **SOON), make("vanished", **SOON)
    broken, damaged = make("broken"), make("damaged")
    untouched = everything(steady.repository.bare)
    with running(controller, steady, pushed, held, deleted, emptied, vanished, broken, damaged):
        # Seven faults at once.
        for one in (pushed, held):
            one.repository.git("checkout", "-q", "--orphan", "anew")
            one.commit("2")
            one.repository.push("HEAD:main")
            one.wake()
        run(deleted.repository.bare, "update-ref", "refs/heads/other", "refs/heads/main")
        for one in (deleted, emptied):
            run(one.repository.bare, "update-ref", "-d", "refs/heads/main")
        vanished.repository.bare.rename(tmp_path / "away")
        bad = broken.commit("2", stacks__broken_DOT_yaml="services:\n  api:\n    imagee: x\n")
        broken.wake()
        clone = next((controller.folder / "data" / "sources").glob("damaged-*")) / "repository.git"
        for pack in (clone / "objects" / "pack").glob("*.pack"):
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes()[:40])
        (clone / "HEAD").write_bytes(b"\0")
        damaged.commit("2")
        damaged.wake()

        # A force-push is followed and told; a damaged clone mends itself.
        pushed.await_mark("2")
        assert pushed.status()["revision"]["rewritten"] is True
        damaged.await_recovery("2")
        hint = held.await_fault("history-rewritten", kept="1")["hint"]
        assert "sync" in hint
        assert "deleted" in deleted.await_fault("revision-not-found", kept="1")["why"]
        emptied.await_fault("source-empty", kept="1")
        vanished.await_fault("source-unreachable", kept="1")
        located = broken.await_fault("unknown-key", kept="1")
        assert (located["what"].startswith("stacks/broken.yaml:3:5"), located["commit"]) == (True, bad)
        shown = backend.swarmctl.ok("status", "--controller", f"unix://{controller.socket}")
        told = " ".join(shown.split())
        for code in ("history-rewritten", "revision-not-found", "source-empty", "source-unreachable", "unknown-key"):
            assert f"{code}:" in told, shown

        # What is in force is still kept so.
        vanished.meddle()
        vanished.await_mark("1")

        # Each is over by itself, once its cause is; what was held back by the source's own wish, by a sync.
        ask(controller, "/v1/sync", {"stacks": ["held"]})
        held.await_recovery("2")
        for one in (deleted, emptied):
            one.repository.push("HEAD:main")
            one.commit("2")
            one.await_recovery("2")
        (tmp_path / "away").rename(vanished.repository.bare)
        vanished.commit("2")
        vanished.await_recovery("2")
        broken.commit("3")
        broken.wake()
        broken.await_recovery("3")
        assert (steady.mark(), steady.fault()) == ("1", {})
    assert everything(steady.repository.bare) == untouched
    # A fault is logged by the passes that saw it, and is one incident.
    events = [line for line in controller.lines() if line["event"] == "pass failed"]
    assert events == []
