"""A stack that hangs in convergence, with a time limit of many minutes, holds up nothing that concerns another one:

no commit, no sync, and not what is told of its failure.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.followed import ask
from tests.fakes.chat import running_chat
from tests.lab.git_servers import Repository

SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec:
  stacks:
    - {path: stacks/hangs.yaml}
    - {path: stacks/other.yaml}
    - {path: stacks/told.yaml, drift: report}
    - {path: stacks/late.yaml, dependsOn: [hangs]}
  policy: {prune: true}
"""
HANGS = """services:
  api:
    image: swarmctl-test:1
    command: ["sleep", "MARK"]
    stop_grace_period: 100ms
    deploy: {replicas: 1, endpoint_mode: dnsrr, update_config: {monitor: 1h}}
"""
"""Its tasks run, and are watched for an hour."""
STACK = "services: {api: {image: 'swarmctl-test:1', deploy: {replicas: 0, labels: {mark: 'MARK'}}}}\n"


@pytest.fixture
def backend(emptied: Backend) -> Backend:
    return emptied


def mark(backend: Backend, stack: str) -> str:
    found = backend.engine.services(filters={"name": f"{stack}_api"})
    return found[0]["Spec"]["Labels"].get("mark", "") if found else ""


def history(controller: Controller) -> list[tuple[str, tuple[str, ...], bool]]:
    """(commit, its stacks, whether all is well) of each apply, oldest first."""
    found = reversed(ask(controller, "/v1/history")["applies"])
    return [(one["commit"], tuple(one["scopes"]), not one["failed"]) for one in found]


FAILS = """services:
  api:
    image: swarmctl-test:1
    command: ["sh", "-c", "exit 3"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, restart_policy: {condition: none}}
"""


def reason(controller: Controller, stack: str) -> str:
    found = {one["name"]: one for one in ask(controller, "/v1/status")["scopes"]}
    return str(found[stack]["conditions"][0]["reason"])


def test_a_stack_that_hangs_holds_up_no_commit_sync_or_resumption_of_another(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    first = repository.commit(
        "first",
        swarm_DOT_yaml=SWARM,
        stacks__hangs_DOT_yaml=HANGS.replace("MARK", "100000"),
        **{f"stacks__{name}_DOT_yaml": STACK.replace("MARK", "1") for name in ("other", "told", "late")},
    )
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "500ms"}
    spec = {"name": "prod", "cluster": {"host": backend.host}, "sources": [source]}
    controller = Controller(tmp_path / "c", {**spec, "apply": {"resolveImages": "never", "timeout": "1h"}})
    with ended(controller):
        controller.start()
        until(lambda: mark(backend, "told") == "1" and backend.running("hangs_api"), "all but the last is there")
        task = backend.running("hangs_api")[0]["ID"]

        # A sync of a stack of the same apply, whose drift is only told.
        found = backend.service("told_api")
        backend.engine._raise_for_status(
            backend.engine._post_json(
                backend.engine._url("/services/{0}/update", found["ID"]),
                data={**found["Spec"], "Labels": {**found["Spec"]["Labels"], "mark": "by hand"}},
                params={"version": found["Version"]["Index"]},
            )
        )
        ask(controller, "/v1/sync", {"stacks": ["told"]})
        until(lambda: mark(backend, "told") == "1", "what was synced is put back")

        # A commit for another one, and then one more for it that is held, and let go.
        second = repository.commit("other", stacks__other_DOT_yaml=STACK.replace("MARK", "2"))
        until(lambda: mark(backend, "other") == "2", "the commit is applied")
        until(lambda: (second, ("other",), True) in history(controller), "and in the history")
        ask(controller, "/v1/suspend", {"stack": "other"})
        third = repository.commit("held", stacks__other_DOT_yaml=STACK.replace("MARK", "3"))
        controller.await_line("pass decided", revision=third, waiting="other:suspended late:dependency-not-ready")
        ask(controller, "/v1/resume", {"stack": "other"})
        until(lambda: mark(backend, "other") == "3", "what was suspended goes on")

        # It is awaited still, by the same apply; and so is what depends on it.
        assert mark(backend, "late") == ""
        assert [one["ID"] for one in backend.running("hangs_api")] == [task]
        assert reason(controller, "hangs") == "applying"
        assert not [one for one in history(controller) if "hangs" in one[1]]
        assert not [one for one in history(controller) if not one[2] and one[1] != ("late",)]

        # What mends it takes its place.
        mended = repository.commit("mended", stacks__hangs_DOT_yaml=HANGS.replace("MARK", "200000").replace("1h", "1s"))
        until(lambda: mark(backend, "late") == "1", "what depends on it is applied")
        until(lambda: (mended, ("hangs", "late"), True) in history(controller), "and in the history")
        assert (first, ("hangs",), False) in history(controller)
        assert controller.stop() == 0


def test_a_stack_that_fails_beside_one_that_hangs_is_told_at_once_and_once(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    first = repository.commit(
        "first",
        swarm_DOT_yaml=SWARM.partition("spec:")[0].replace("prod", "beside"),
        stacks__hangs_DOT_yaml=HANGS.replace("MARK", "100000"),
        stacks__fails_DOT_yaml=FAILS,
    )
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "500ms"}
    with running_chat() as chat:
        (tmp_path / "chat").write_text(f"json://127.0.0.1:{chat.port}/")
        spec = {"name": "prod", "cluster": {"host": backend.host}, "sources": [source]}
        spec["alerts"] = {"sinks": [{"name": "chat", "urlFile": str(tmp_path / "chat")}]}
        controller = Controller(tmp_path / "c", {**spec, "apply": {"resolveImages": "never", "timeout": "1h"}})

        def titles() -> list[str]:
            return [post.body["title"].removeprefix("[prod] ") for post in chat.posts]

        with ended(controller):
            controller.start()
            until(lambda: titles() == ["Failed: fails"], "the one that fails is told")
            assert (reason(controller, "fails"), reason(controller, "hangs")) == ("tasks-failing", "applying")
            assert history(controller) == [(first, ("fails",), False)]
            mended = repository.commit("mended", stacks__fails_DOT_yaml=STACK.replace("MARK", "1"))
            until(lambda: "Works again: fails" in titles(), "so is its end")
            assert sorted(titles()) == ["Deployed: fails", "Failed: fails", "Works again: fails"]
            assert history(controller) == [(first, ("fails",), False), (mended, ("fails",), True)]
            assert reason(controller, "hangs") == "applying"
            assert controller.stop() == 0
