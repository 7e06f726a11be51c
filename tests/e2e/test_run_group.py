"""What a group of three tells its people, and what it makes of a webhook that is played again to another member."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import shutil
import socket
from collections import Counter
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controller_group import NAMES, SETTLED_S, SWARM, Group, a_group
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.followed import SECRET, STACK, metrics
from tests.e2e.program import Program
from tests.fakes.chat import Chat, running_chat
from tests.lab.git_servers import Repository, free_port
from tests.lab.signers import Signer, ssh_signer


def asked(controller: Controller, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Return (status, body) of an answer."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(controller.socket))
    with closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def push(commit: str) -> bytes:
    """What a forge says of a commit."""
    repository = {"full_name": "served/infra"}
    return json.dumps({"ref": "refs/heads/main", "after": commit, "repository": repository}).encode()


def told_of(controller: Controller, body: bytes) -> int:
    """Bring a delivery to a controller, and return the answer's status."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest}"}
    return asked(controller, "POST", "/v1/webhook", body, **headers)[0]


def titles(chat: Chat) -> Counter[str]:
    found = [post.body["title"].removeprefix("[prod] ").partition(":")[0] for post in list(chat.posts)]
    return Counter(one for one in found if one != "Deployed")


def changes(group: Group) -> int:
    """How often another one has begun to lead."""
    begun = [(line["epoch"], name) for name in NAMES for line in group.controllers[name].lines("leading")]
    return sum(one != other for (_, one), (_, other) in pairwise(sorted(begun)))


def delivered(group: Group, name: str) -> bool:
    """Whether all that was to be told is told, and that is written down: the next leader has nothing to tell again."""
    return 'swarmctl_queue_length{queue="alerts"} 0.0' in metrics(group.controllers[name])


def commit_signed(repository: Repository, signer: Signer, mark: str) -> str:
    """Push one commit: a look that begins between two of them would find one that nobody has signed."""
    file = repository.work / "stacks" / "web.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(STACK.format(mark=mark))
    repository.git("add", "-A")
    return signer.commit(repository, "signed")


def mark(group: Group) -> str:
    """What the cluster has."""
    return str(group.backend.service("web_api")["Spec"]["Labels"]["mark"])


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_group_tells_each_change_of_leader_and_each_refused_signature_once_and_a_replay_does_nothing(
    backend: Backend, tmp_path: Path
):
    repository, signer = Repository.make(tmp_path), ssh_signer(tmp_path, "ada")
    (tmp_path / "keys").write_text(signer.allowed_signers)
    (tmp_path / "secret").write_text(SECRET)
    repository.commit("nothing yet", swarm_DOT_yaml=SWARM)
    signer.commit(repository, "signed")
    signatures = {"signed": "head", "allowedSignersFile": str(tmp_path / "keys")}
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "10m"}
    with running_chat() as chat:
        (tmp_path / "chat").write_text(f"json://127.0.0.1:{chat.port}/")
        more = {
            "name": "prod",
            "sources": [{**source, "signatures": signatures}],
            "webhooks": [{"forge": "github", "secretFile": str(tmp_path / "secret")}],
            "alerts": {"sinks": [{"name": "chat", "urlFile": str(tmp_path / "chat")}]},
        }
        with a_group(backend, repository, tmp_path, more=more) as group:
            group.choose(lambda _, __: None)
            group.await_all()
            first = group.settled_leader()
            _replays_to_other_members_do_nothing(group, repository, signer, first)

            # Nobody signed this one. It is told once, also when another one leads that finds it so.
            unsigned = repository.commit("unsigned", stacks__web_DOT_yaml=STACK.format(mark="3"))
            assert told_of(group.controllers[first], push(unsigned)) == 202
            until(lambda: titles(chat)["Signature refused"], "the signature is told")
            until(lambda: delivered(group, first), "that is written down")
            epoch = group.epochs()[first]
            group.controllers[first].kill()
            second = group.settled_leader(after=epoch)
            until(lambda: titles(chat)["Leader changed"] == changes(group), "the change is told")
            group.controllers[first].start()
            group.await_all()
            until(lambda: delivered(group, second), "that is written down")
            # Whoever is told to end hands over.
            epoch = group.epochs()[second]
            assert group.controllers[second].stop() == 0
            third = group.settled_leader(after=epoch)
            until(lambda: titles(chat)["Leader changed"] == changes(group), "the change is told")
            signed = signer.commit(repository, "signed again")
            assert told_of(group.controllers[third], push(signed)) == 202
            group.settled_leader(signed)
            assert mark(group) == "3", "what was refused is applied, once it is signed"
            until(lambda: titles(chat)["Source is signed again"], "it is told")
            until(lambda: delivered(group, third), "that is written down")
            once = {"Signature refused": 1, "Source is signed again": 1}
            assert titles(chat) == {**once, "Leader changed": changes(group)}
            assert changes(group) >= 2
            messages = [post.body["message"] for post in chat.posts if "Leader changed" in post.body["title"]]
            assert len(set(messages)) >= 2
            assert f"Controller {third} leads now, in the place of " in messages[-1]


def _more_passes(controller: Controller, than: int) -> bool:
    return len(controller.passes()) > than


def _replays_to_other_members_do_nothing(group: Group, repository: Repository, signer: Signer, leader: str) -> None:
    """A delivery counts once for each member that takes it, and then only wakes a look at the remote."""
    taker, other = (name for name in NAMES if name != leader)
    older = commit_signed(repository, signer, "1")
    assert told_of(group.controllers[taker], push(older)) == 202
    group.settled_leader(older)
    newer = commit_signed(repository, signer, "2")
    assert told_of(group.controllers[taker], push(newer)) == 202
    group.settled_leader(newer)
    assert mark(group) == "2"

    controller = group.controllers[leader]
    versions, applies = group.backend.versions(), controller.get("/v1/history")["applies"]
    for name in (leader, other):
        count = len(controller.passes())
        assert told_of(group.controllers[name], push(older)) == 202
        until(partial(_more_passes, controller, count), "it wakes a pass")
        assert told_of(group.controllers[name], push(older)) == 409
    assert told_of(group.controllers[taker], push(older)) == 409
    assert {one["actions"] for one in controller.passes()[-2:]} == {0}
    assert controller.passes()[-1]["revision"] == newer
    assert (group.backend.versions(), controller.get("/v1/history")["applies"]) == (versions, applies)


def test_one_of_three_alone_is_begun_and_lives_and_is_not_ready(tmp_path: Path):
    """systemd waits for no leader: on three machines the first would be given up before the second begins."""
    members = {name: f"127.0.0.1:{free_port()}" for name in NAMES}
    peers = str(tmp_path / "peers")
    Program(tmp_path).ok("peers", "init", "--name", "c1", "--listen", members["c1"], "--dir", peers)
    source = {"name": "infra", "url": str(tmp_path / "none.git"), "ref": {"branch": "main"}}
    spec = {"cluster": {"host": f"unix://{tmp_path}/none.sock"}, "sources": [source]}
    alone = Controller(tmp_path / "c1", {**spec, "group": {"peers": peers, "members": members}})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, ended(alone):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SETTLED_S)
        alone.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        alone.start()
        assert manager.recv(100) == b"READY=1"
        assert asked(alone, "GET", "/healthz")[0] == 200
        status, text = asked(alone, "GET", "/readyz")
        found = json.loads(text)
        assert (status, found["ok"]) == (503, False)
        assert "No controller leads" in found["why"]
        assert alone.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"
