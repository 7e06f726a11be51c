"""Join tokens through a running controller: given out with a record of who got them, and made anew on demand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.fakes.chat import running_chat
from tests.lab.git_servers import Repository

SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec: {joinTokens: {worker: {rotateEvery: %s}}}
"""


def tokens(backend: Backend) -> dict[str, str]:
    return backend.engine.inspect_swarm()["JoinTokens"]


def everything_kept(folder: Path) -> bytes:
    """All that a controller and its repository have on the disk."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_join_command_is_given_on_record_and_its_token_is_nowhere_else(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml=SWARM % "30d")
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "10m"}
    with running_chat() as chat:
        sinks = [{"name": "chat", "urlFile": str(tmp_path / "url")}]
        (tmp_path / "url").write_text(f"json://127.0.0.1:{chat.port}/")
        spec = {"name": "prod", "cluster": {"host": backend.host}, "sources": [source], "alerts": {"sinks": sinks}}
        controller = Controller(tmp_path / "c", spec)
        backend.swarmctl.environment["SWARMCTL_CONTROLLER"] = f"unix://{controller.socket}"
        ask = backend.swarmctl.ok
        with ended(controller):
            controller.start().await_line("pass decided", outcome="idle")
            before = tokens(backend)
            addresses = [one["ManagerStatus"]["Addr"] for one in backend.engine.nodes() if one.get("ManagerStatus")]
            said = ask("token", "issue", "--role", "worker", "--for", "node4")
            assert said.splitlines()[0].rsplit(" ", 1)[0] == f"docker swarm join --token {before['Worker']}"
            assert said.splitlines()[0].rsplit(" ", 1)[1] in addresses

            file = tmp_path / "join"
            quiet = ask("token", "issue", "--role", "manager", "--for", "node5", "--to", str(file))
            assert before["Manager"] not in quiet
            assert before["Manager"] in file.read_text()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            file.unlink()

            given = json.loads(ask("history", "--format", "json"))["tickets"]
            assert [(one["role"], one["hostname"]) for one in given] == [("manager", "node5"), ("worker", "node4")]
            assert all(one["by"].endswith("(local)") for one in given)
            assert "the join command of a manager for node5" in ask("events")
            assert "node4" in ask("history")

            ask("token", "rotate", "--role", "worker")
            until(lambda: tokens(backend)["Worker"] != before["Worker"], "the token is another")
            assert tokens(backend)["Manager"] == before["Manager"]
            until(lambda: chat.posts, "it is told")
            assert "worker join token was rotated" in chat.posts[0].body["message"]
            assert "(local) asked for it" in chat.posts[0].body["message"]
            assert ask("events").count("The worker join token was rotated") == 1

            secrets = {*before.values(), *tokens(backend).values()}
            kept = everything_kept(tmp_path / "c") + everything_kept(repository.bare)
            kept += json.dumps([post.body for post in chat.posts]).encode()
            kept += "".join(ask(*what) for what in (("status",), ("history",), ("events", "-n", "500"))).encode()
            assert len(secrets) == 3
            assert not [one for one in secrets if one.encode() in kept]

            repository.commit("often", swarm_DOT_yaml=SWARM % "1s")
            rotated = tokens(backend)["Worker"]
            ask("sync")
            until(lambda: tokens(backend)["Worker"] != rotated, "the policy has it made anew")
