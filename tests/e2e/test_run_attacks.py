"""The running program under attack: over the network, and by what a repository holds.

Everything is refused at a bounded cost, is logged once, tells nothing, and holds up no commit meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller_api.door import CONNECTIONS_MAX
from tests.e2e.attacked import GIB, READ, WRITE, Served, connections, endless_body, serving, slow
from tests.e2e.conftest import Backend
from tests.e2e.controllers import until
from tests.e2e.followed import SECRET, STACK, Followed, ask
from tests.fakes.certificate import self_signed
from tests.lab.git_servers import run

GROWTH_MIB_MAX = 48
"""By how much a process may grow under attack. What it answers with is made and gone."""


@pytest.fixture
def backend(emptied: Backend) -> Backend:
    return emptied


@pytest.fixture
def served(backend: Backend, tmp_path: Path) -> Iterator[Served]:
    """A controller that has converged, and that is still well at the end."""
    with serving(tmp_path, backend) as made:
        yield made
        made.followed.commit("at last")
        made.followed.wake()
        made.followed.await_recovery("at last")
        assert made.controller.stop() == 0
    log = (made.controller.folder / "log").read_text()
    assert not [secret for secret in (READ, WRITE, SECRET) if secret in log]


def test_every_command_works_over_https_for_who_has_the_token_and_trusts_the_certificate(
    backend: Backend, served: Served, tmp_path: Path
):
    def ok(*arguments: str) -> str:
        finished = backend.swarmctl(*arguments, **served.environment(WRITE))
        assert finished.code == 0, (arguments, finished.text)
        return finished.text

    first = served.followed.repository.git("rev-parse", "HEAD")
    second = served.followed.commit("2")
    ok("sync", "infra")
    served.followed.await_mark("2")
    until(lambda: f"{second[:12]}" in ok("status"), "the status has the commit")
    assert second[:12] in ok("history")
    assert json.loads(ok("trace", "infra_api", "--format", "json"))["commit"] == second
    ok("suspend", "infra", "--reason", "we look into it")
    until(lambda: "we look into it" in ok("status"), "it is suspended")
    ok("resume", "infra")
    assert first[:12] in ok("rollback", "infra")
    served.followed.await_mark("1")
    ok("resume", "infra")
    assert "write asks for a rollback of infra" in " ".join(ok("events").split())

    (tmp_path / "other").mkdir()
    other, _ = self_signed(tmp_path / "other")
    refused = {
        "no token": (served.environment(""), "api-refused"),
        "a wrong token": (served.environment("wrong-token-of-nobody"), "api-refused"),
        "another authority": (served.environment(WRITE, other), "controller-unreachable"),
        "no authority": (served.environment(WRITE) | {"SWARMCTL_CONTROLLER_CA": ""}, "controller-unreachable"),
        "no TLS": (served.environment(WRITE) | {"SWARMCTL_CONTROLLER": f"http://127.0.0.1:{served.port}"}, "usage"),
    }
    for what, (environment, code) in refused.items():
        finished = backend.swarmctl("suspend", "infra", **environment)
        assert (finished.code != 0, f"[{code}]" in finished.text) == (True, True), (what, finished.text)
        assert WRITE not in finished.text
    reading = served.environment(READ)
    assert backend.swarmctl("status", **reading).code == 0
    assert "may read, and no more" in backend.swarmctl("suspend", "infra", **reading).text
    assert "suspended" not in backend.swarmctl("status", **reading).text
    assert len(served.refusals(status=401)) == 1


def signed(body: bytes, secret: str = SECRET, **headers: str) -> dict[str, str]:
    """A GitHub webhook's headers."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest}", **headers}


def test_only_a_webhook_that_is_signed_and_new_wakes_anything(served: Served):
    second = served.followed.commit("2")
    push = {"ref": "refs/heads/main", "after": second, "repository": {"full_name": "served/infra"}}
    body = json.dumps(push).encode()
    unsigned = {"X-GitHub-Event": "push"}
    for headers in (unsigned, signed(body, "wrong"), signed(body + b" "), {}, {"Authorization": "Bearer wrong"}):
        assert served.ask("POST", "/v1/webhook", headers, body) == 401
    assert not served.controller.lines("webhook"), "nothing was woken"
    assert served.ask("POST", "/v1/webhook", signed(body), body) == 202
    served.followed.await_mark("2")
    for headers in (signed(body), signed(body, **{"X-GitHub-Delivery": "another"})):
        assert served.ask("POST", "/v1/webhook", headers, body) == 409
    assert served.ask("POST", "/v1/webhook", signed(b"{"), b"{") == 400
    looked = [line for line in served.controller.lines("webhook") if line["forge"] == "github"]
    assert len(looked) == 1
    # Each kind of each forge is logged once, until one is right again.
    refused = [(one["forge"], one["code"]) for one in served.controller.lines("webhook refused")]
    kinds = [("github", code) for code in ("webhook-refused", "webhook-replayed", "webhook-unreadable")]
    assert sorted(refused) == [("generic", "webhook-refused"), *kinds]


def test_floods_are_refused_at_a_bounded_cost_and_hold_up_no_commit(served: Served):
    assert served.ask("GET", "/v1/status", {"Authorization": f"Bearer {READ}"}) == 200
    memory_mib, files = served.memory_mib(), served.files_open()
    assert endless_body(served) < GIB
    with served.connect() as declared:
        declared.sendall(f"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: {GIB}\r\n\r\n".encode())
        assert b" 401 " in declared.recv(100)
    with served.connect() as declared:
        declared.sendall(f"POST /v1/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {GIB}\r\n\r\n".encode())
        assert b" 413 " in declared.recv(100)

    with connections(served, 600), slow(served, 20):
        # Whoever has something to say is heard, and the controller does its work.
        assert served.ask("GET", "/healthz") == 200
        for _ in range(20):
            assert served.ask("GET", "/v1/status") == 401
        assert served.files_open() < files + 2 * CONNECTIONS_MAX
        served.followed.commit("2")
        served.followed.wake()
        served.followed.await_mark("2")
        assert served.ask("GET", "/v1/status", {"Authorization": f"Bearer {READ}"}) == 200
    assert served.memory_mib() < memory_mib + GROWTH_MIB_MAX
    until(lambda: served.files_open() < files + 50, "connections are let go")
    statuses = [one["status"] for one in served.refusals()]
    assert sorted(statuses) == sorted(set(statuses)), "each kind is logged once"


HOSTILE_KEYS = (
    *("core.fsmonitor", "core.sshCommand", "core.askPass", "core.pager", "core.gitProxy", "core.alternateRefsCommand"),
    *("gpg.program", "uploadpack.packObjectsHook", "diff.external", "filter.x.smudge", "filter.x.process"),
)
HOOKS = ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-index-change", "post-upload-pack")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghij")
)
KEPT_SECRET = "root-of-this-machine"


def test_what_a_hostile_repository_holds_costs_little_runs_nothing_and_tells_nothing(
    served: Served, backend: Backend, tmp_path: Path
):
    controller, canary = served.controller, tmp_path / "canary"
    (tmp_path / "shadow").write_text(f"PASSWORD={KEPT_SECRET}\n")

    def make(name: str, **settings: Any) -> Followed:
        return Followed.make(tmp_path, name, controller, backend, **settings)

    link, module, bomb, endless = make("link"), make("module"), make("bomb"), make("endless")
    large, many = make("large", limits={"size": "1MiB"}), make("many", limits={"files": 50})
    bare, local, tree = make("bare"), make("local"), make("tree", workTree=str(tmp_path / "tree-work"))
    local.settings["url"] = str(local.repository.work)
    commands = (bare.repository.bare, local.repository.work / ".git", tree.repository.work / ".git")
    for folder in commands:
        booby_trap(folder, f"touch {canary}")
    refused, taken = (link, module, bomb, endless, large, many), (bare, local, tree)
    controller.stop()
    controller.spec["sources"] = [served.followed.source, *(one.source for one in (*refused, *taken))]
    controller.start()
    for one in (*refused, *taken):
        one.await_mark("1")
    memory_mib = served.memory_mib()

    reading = "    env_file: [./shadow]\nsecrets: {s: {file: ./shadow}}\n"
    (link.repository.work / "stacks" / "shadow").symlink_to(tmp_path / "shadow")
    (link.repository.work / "stacks" / "other.yaml").symlink_to("/etc/shadow")
    link.commit("2", stacks__link_DOT_yaml=STACK.format(mark="2") + reading)
    first = module.repository.git("rev-parse", "HEAD")
    module.repository.git("update-index", "--add", "--cacheinfo", f"160000,{first},stacks/module")
    module.repository.git("config", "-f", ".gitmodules", "submodule.m.path", "stacks/module")
    module.repository.git("config", "-f", ".gitmodules", "submodule.m.url", str(bare.repository.bare))
    within = STACK.format(mark="2") + "    env_file: [./module/x]\n"
    (module.repository.work / "stacks" / "module.yaml").write_text(within)
    module.repository.git("add", ".gitmodules", "stacks/module.yaml")
    module.repository.git("commit", "-q", "-m", "module")
    module.repository.push()
    bomb.commit("2", stacks__bomb_DOT_yaml=BOMB)
    endless.commit("2", stacks__endless_DOT_yaml="[" * 100_000)
    large.commit("2", noise=os.urandom(3 << 20))
    many.commit("2", **{f"stacks__{number}_DOT_yaml": "services: {}\n" for number in range(60)})
    for one in refused:
        one.wake()
    codes = {one.name: until(partial(one.fault), f"{one.name} is refused")["code"] for one in refused}
    assert codes == {
        "link": "path-escapes",
        "module": "file-unreadable",
        "bomb": "yaml-too-complex",
        "endless": "yaml-too-complex",
        "large": "source-too-large",
        "many": "source-too-large",
    }
    assert {one.mark() for one in refused} == {"1"}

    # What commands lie about in, and is asked for nothing hostile, is followed, and they are not run.
    for one, folder in zip(taken, commands, strict=True):
        disarm(folder)
        (one.repository.work / ".gitattributes").write_text("* filter=x\n")
        one.commit("2")
        booby_trap(folder, f"touch {canary}")
        if one is not tree:
            one.wake()
        one.await_recovery("2")
    assert not canary.exists()
    assert served.memory_mib() < memory_mib + GROWTH_MIB_MAX
    told = (controller.folder / "log").read_text() + json.dumps(ask(controller, "/v1/status"))
    assert KEPT_SECRET not in told + json.dumps(backend.engine.services())


def booby_trap(folder: Path, command: str) -> None:
    """Put a command wherever a Git repository may have one."""
    for hook in HOOKS:
        path = folder / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)
    for key in HOSTILE_KEYS:
        run(folder, "config", key, command)


def disarm(folder: Path) -> None:
    """Take the commands away: whoever commits is no victim of theirs."""
    shutil.rmtree(folder / "hooks")
    for key in HOSTILE_KEYS:
        run(folder, "config", "--unset", key)
