"""Sources through the running program: each fault of a remote, what `status` says of it, and how it is over."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.followed import STACK, Followed, ask, controller_of, door_before, metrics
from tests.fakes.chat import Chat, running_chat
from tests.lab.git_servers import http_server, run, ssh_server, sshd_path
from tests.lab.signers import gpg_signer, ssh_signer

SOON = {"interval": "500ms"}
TOKEN = "hunter2-of-the-git-server"


@pytest.fixture
def backend(emptied: Backend) -> Backend:
    return emptied


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


def test_a_remote_that_hangs_holds_up_nothing_but_what_is_new_in_it(
    backend: Backend, controller: Controller, tmp_path: Path
):
    with http_server(tmp_path / "served") as server, door_before(int(server.url.rpartition(":")[2])) as door:

        def make(name: str, limit: str, interval: str) -> Followed:
            url = f"http://127.0.0.1:{door.port}/{name}.git"
            settings = {"url": url, "limits": {"time": limit}, "interval": interval}
            return Followed.make(tmp_path, name, controller, backend, **settings)

        hung, brief = make("hung", "60s", "10m"), make("brief", "5s", "1s")
        steady = Followed.make(tmp_path, "steady", controller, backend)
        first = hung.repository.git("rev-parse", "HEAD")
        with running(controller, hung, brief, steady):
            hung.commit("2")
            hung.wake()
            hung.await_mark("2")
            door.shut()
            until(lambda: door.waiting, "the next look stands at the door: those before it have ended, and saw nothing")
            for one in (hung, brief, steady):
                one.commit("3")
            # Drift, and what people ask for, wait for no answer of the remote's.
            count = len(controller.passes())
            hung.wake()
            hung.meddle()
            hung.await_mark("2")
            healed = next(one for one in controller.passes()[count:] if one.get("applying") == "hung")
            assert "source_code" not in healed, "the look, which is given up in half a minute, was under way"
            # One is given up, and says so; others go on.
            for one in (brief, steady):
                one.wake()
            steady.await_mark("3")
            brief.await_fault("source-timed-out", kept="1")
            ask(controller, "/v1/rollback", {"stack": "hung", "commit": first})
            hung.await_mark("1")
            ask(controller, "/v1/resume", {"stack": "hung"})
            hung.await_mark("2")
            ask(controller, "/v1/sync", {"stacks": ["hung"]})
            # Nor does a process that has just begun.
            controller.kill()
            hung.meddle()
            controller.start()
            hung.await_mark("2")
            door.slam()
            for one in (hung, brief):
                one.wake()
                one.await_recovery("3")


def test_whatever_names_a_commit_is_followed_and_nothing_else_makes_anything_happen(
    backend: Backend, controller: Controller, tmp_path: Path
):
    def make(name: str, **settings: Any) -> Followed:
        return Followed.make(tmp_path, name, controller, backend, **settings)

    (tmp_path / "token").write_text(TOKEN)
    with ExitStack() as servers:
        server = servers.enter_context(http_server(tmp_path / "served", token=TOKEN))
        fixed = make("fixed")
        fixed.settings["ref"] = {"commit": fixed.repository.git("rev-parse", "HEAD")}
        tagged = make("tagged", ref={"tag": "stable"})
        ranged = make("ranged", ref={"semver": ">=1.2 <2"})
        for one, tag in ((tagged, "stable"), (ranged, "v1.2.0")):
            one.repository.git("tag", tag)
            one.repository.push("--tags")
        below = make("below", path="prod")
        below.commit("0", **below.files("1", "prod/"))
        token = {"tokenFile": str(tmp_path / "token")}
        private = make("private", url=f"{server.url}/private.git", access=token)
        over_ssh = make("over-ssh")
        if sshd_path() is not None:  # else it is one more of a local path
            ssh = servers.enter_context(ssh_server(tmp_path / "ssh"))
            key = {"sshKeyFile": str(ssh.key), "knownHostsFile": str(ssh.known_hosts)}
            over_ssh.settings |= {"url": f"{ssh.url}{over_ssh.repository.bare}", "access": key}
        shallow = make("shallow")
        shallow.commit("1")
        copy = tmp_path / "shallow-copy.git"
        run(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{shallow.repository.bare}", str(copy))
        shallow.settings["url"] = str(copy)
        tree = make("tree", workTree=str(tmp_path / "tree-work"))
        followed = (fixed, tagged, ranged, below, private, over_ssh, shallow, tree)
        with running(controller, *followed):
            shown = tree.status()["revision"]
            assert (shown["commit"], shown["reference"]) == ("", "work tree")

            # A tag that moves, a version that is added, a file that is saved.
            for one in (fixed, tagged, ranged, private, over_ssh):
                one.commit("2")
            tagged.repository.git("tag", "-f", "stable")
            ranged.repository.git("tag", "v1.10.0")
            ranged.repository.git("tag", "v2.0.0")
            for one in (tagged, ranged):
                one.repository.push("--tags")
            run(copy, "fetch", "-q", "--depth=1", str(shallow.repository.work), f"{shallow.commit('2')}")
            run(copy, "update-ref", "refs/heads/main", shallow.repository.git("rev-parse", "HEAD"))
            (tree.repository.work / "stacks" / "tree.yaml").write_text(STACK.format(mark="2"))
            untouched = everything(tree.repository.work)
            for one in (fixed, tagged, ranged, private, over_ssh, shallow):
                one.wake()
            for one in (tagged, ranged, private, over_ssh, shallow, tree):
                one.await_recovery("2")
            assert ranged.status()["revision"]["reference"] == "refs/tags/v1.10.0"
            assert fixed.mark() == "1"

            # A commit that changes nothing below the path, nor what manifests use, is known and is written nowhere.
            versions = backend.versions()
            elsewhere = below.commit("3", README="x")
            below.wake()
            until(lambda: below.status()["revision"]["commit"] == elsewhere, "the commit is known")
            assert backend.versions() == versions
            below.commit("3", **below.files("4", "prod/"))
            below.wake()
            below.await_recovery("4")
            assert everything(tree.repository.work) == untouched
            assert TOKEN not in (controller.folder / "log").read_text()


def told(chat: Chat, name: str) -> bool:
    """Whether people were told of a signature."""
    return any(f"Signature refused: {name}" in str(post.body) for post in chat.posts)


@pytest.mark.skipif(not shutil.which("gpg") or not shutil.which("ssh-keygen"), reason="needs gpg, ssh-keygen")
def test_what_is_not_signed_by_a_trusted_key_is_not_applied_and_is_an_alert(
    backend: Backend, controller: Controller, tmp_path: Path
):
    signers = {"by-ssh": ssh_signer(tmp_path, "ada"), "by-gpg": gpg_signer(tmp_path, "bob")}
    names = {"by-ssh": "ada@example.org", "by-gpg": "bob@example.org"}
    stranger = ssh_signer(tmp_path, "eve")
    followed = []
    for name, signer in signers.items():
        (tmp_path / f"{name}-keys").write_text(signer.gpg_keys or signer.allowed_signers)
        key = "gpgKeysFile" if signer.gpg_keys else "allowedSignersFile"
        signatures = {"signed": "head", key: str(tmp_path / f"{name}-keys")}
        followed.append(Followed.make(tmp_path, name, controller, backend, signatures=signatures))
        signer.commit(followed[-1].repository, "signed")
    with running_chat() as chat:
        (tmp_path / "chat").write_text(f"json://127.0.0.1:{chat.port}/")
        controller.spec["alerts"] = {"sinks": [{"name": "chat", "urlFile": str(tmp_path / "chat")}]}
        with running(controller, *followed):
            for one in followed:
                signer = signers[one.name]
                assert names[one.name] in one.status()["revision"]["signer"]
                unsigned = one.commit("2")
                one.wake()
                assert one.await_fault("signature-missing", kept="1")["commit"] == unsigned
                stranger.commit(one.repository, "by somebody else")
                one.wake()
                one.await_fault("signature-refused", kept="1")
                until(partial(told, chat, one.name), f"people are told of {one.name}")
                signer.commit(one.repository, "signed again")
                one.wake()
                one.await_recovery("2")
            kinds = [one["kind"] for one in ask(controller, "/v1/status")["incidents"]]
            assert "signature" not in kinds
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=signers["by-gpg"].environment, check=False)


def test_a_remote_that_fails_is_asked_less_and_less_often(backend: Backend, controller: Controller, tmp_path: Path):
    well, away = (Followed.make(tmp_path, name, controller, backend, interval="200ms") for name in ("well", "away"))

    def looks(name: str, *outcomes: str) -> int:
        counts = [
            float(line.rpartition(" ")[2])
            for line in metrics(controller).splitlines()
            for outcome in outcomes
            if line.startswith("swarmctl_fetch_duration_seconds_count")
            if f'source="{name}"' in line and f'outcome="{outcome}"' in line
        ]
        return int(sum(counts))

    with running(controller, well, away):
        away.repository.bare.rename(tmp_path / "away.git")
        away.await_fault("source-unreachable", kept="1")
        begun = looks("well", "same")
        until(lambda: looks("well", "same") >= begun + 25, "25 further looks at the one that is well")
        # In the 5 s and more that these took: after 0.2, 0.4, 0.8, … s, doubled each time.
        assert 1 <= looks("away", "source-unreachable") <= 12
        (tmp_path / "away.git").rename(away.repository.bare)
        away.commit("2")
        away.wake()
        away.await_recovery("2")
