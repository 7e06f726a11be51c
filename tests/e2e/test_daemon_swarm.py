"""What a daemon keeps of its swarm behind a key, whom its certificate authority trusts, and where a swarm ends."""

from __future__ import annotations

import base64
import json
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest
from cryptography import x509

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.sealing import DataSeal, unlock_key_of
from reconciler.adapters.swarm_ca import Root, make_root
from reconciler.assembly import node_keys, node_state
from reconciler.assembly.node_keys import NodeKeys, SealedKeys
from reconciler.model.errors import SwarmctlError
from tests.e2e.daemon import Daemon, a_daemon, until
from tests.fakes.authority import an_external_authority
from tests.lab.lab import Lab

TOKEN = f"SWMTKN-1-{'1' * 50}-{'2' * 25}"
SECRET = b"nobody reads this on the disk"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with a_daemon(tmp_path) as started:
        yield started


def state_of(daemon: Daemon) -> str:
    return str(daemon.client.info()["Swarm"]["LocalNodeState"])


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(docker.errors.APIError) as refused:
        call()
    return refused.value.response.status_code, refused.value.explanation


def update(daemon: Daemon, **sections: Any) -> None:
    """Change settings; `rotate_…` are docker-py's own."""
    swarm = daemon.client.inspect_swarm()
    rotations = {name: sections.pop(name) for name in list(sections) if name.startswith("rotate")}
    spec = {**swarm["Spec"], **{name: {**swarm["Spec"][name], **one} for name, one in sections.items()}}
    daemon.client.update_swarm(swarm["Version"]["Index"], swarm_spec=spec, **rotations)


def lock(daemon: Daemon, *, locks: bool = True) -> str:
    update(daemon, EncryptionConfig={"AutoLockManagers": locks})
    return str(daemon.client.get_unlock_key()["UnlockKey"])


def on_disk(daemon: Daemon) -> bytes:
    """Return all that the node keeps of the swarm: its log, its snapshots, its keys, its certificate."""
    files = [path for path in sorted(daemon.data_dir.rglob("*")) if path.is_file()]
    assert any(path.parent.name == "raft" for path in files)
    return b"".join(path.read_bytes() for path in files)


def unsealed(daemon: Daemon, key: str) -> NodeKeys | None:
    """Return the node's keys, None if `key` is not the one that they are sealed with."""
    sealed, node = node_keys.load(daemon.data_dir), node_state.load(daemon.data_dir)
    assert isinstance(sealed, SealedKeys)
    assert node is not None
    return sealed.open(node, unlock_key_of(key) or b"")


def log_of(daemon: Daemon, keys: NodeKeys) -> bytes:
    """Return the content of a stopped daemon's log, read with its keys."""
    node = node_state.load(daemon.data_dir)
    assert node is not None
    disk = Disk()
    disk.seal = DataSeal(keys.data)
    with DurableLog(
        str(daemon.data_dir / "raft"), Owner(node.cluster_id, node.node_id), create=False, disk=disk
    ) as log:
        return b"".join(entry.data for entry in log.load()[2])


def test_what_a_locked_node_keeps_is_read_with_the_unlock_key_alone(daemon: Daemon) -> None:
    spec = daemon.client.create_swarm_spec(autolock_managers=True)
    daemon.client.init_swarm("127.0.0.1", swarm_spec=spec)
    key = daemon.client.get_unlock_key()["UnlockKey"]
    daemon.client.create_secret("s", SECRET)
    tokens = daemon.client.inspect_swarm()["JoinTokens"]
    daemon.kill()
    kept = on_disk(daemon)
    hidden = [base64.b64encode(SECRET), b"PRIVATE KEY", key.encode(), tokens["Worker"].encode()]
    assert [one for one in (*hidden, SECRET) if one in kept] == []
    assert unsealed(daemon, f"SWMKEY-1-{'A' * 43}") is None
    keys = unsealed(daemon, key)
    assert keys is not None
    log = log_of(daemon, keys)  # so the key was all that stood between
    assert [one for one in hidden if one not in log] == []
    daemon.start()
    assert state_of(daemon) == "locked"
    daemon.client.unlock_swarm(key)
    assert daemon.client.inspect_secret("s")["Spec"]["Name"] == "s"


def test_a_key_that_was_replaced_opens_nothing(daemon: Daemon) -> None:
    daemon.init()
    first = lock(daemon)
    update(daemon, rotate_manager_unlock_key=True)
    second = daemon.client.get_unlock_key()["UnlockKey"]
    assert lock(daemon) == second != first
    daemon.terminate()
    daemon.start()
    info = daemon.client.info()["Swarm"]
    assert (info["LocalNodeState"], info["NodeID"], info["RemoteManagers"]) == ("locked", "", None)
    assert refusal(lambda: daemon.client.init_swarm("127.0.0.1", force_new_cluster=True))[0] == 503
    wrong = (401, "swarm could not be unlocked: invalid key provided")
    assert refusal(lambda: daemon.client.unlock_swarm(first)) == wrong
    assert refusal(lambda: daemon.client.unlock_swarm("SWMKEY-1-AAAA")) == wrong
    daemon.client.unlock_swarm(second)
    assert lock(daemon, locks=False) == ""
    assert isinstance(node_keys.load(daemon.data_dir), NodeKeys)


def test_what_is_written_after_a_new_lock_is_sealed_with_a_new_key(daemon: Daemon) -> None:
    daemon.init()
    before = node_keys.load(daemon.data_dir)
    assert isinstance(before, NodeKeys)
    daemon.client.create_config("early", b"1")
    key = lock(daemon)
    daemon.client.create_config("late", b"2")
    daemon.kill()
    with pytest.raises(SwarmctlError, match="somebody else"):
        log_of(daemon, before)
    keys = unsealed(daemon, key)
    assert keys is not None
    assert keys.data[:-1] == before.data
    assert b"late" in log_of(daemon, keys)


def test_a_lock_that_a_crash_cut_short_is_completed_at_the_next_start(daemon: Daemon) -> None:
    daemon.init()
    in_the_way = daemon.data_dir / "node-keys.json.new"
    in_the_way.mkdir()
    status, text = refusal(lambda: lock(daemon))
    assert (status, "They are as they were before" in text) == (500, True)
    daemon.kill()  # after the swarm was told, before the node's keys were sealed
    in_the_way.rmdir()
    assert state_of(daemon.start()) == "active"
    key = daemon.client.get_unlock_key()["UnlockKey"]
    daemon.kill()
    in_the_way.write_text("what a crash left, keys perhaps")
    assert state_of(daemon.start()) == "locked"
    assert not in_the_way.exists()
    daemon.client.unlock_swarm(key)


def test_damaged_keys_are_told(daemon: Daemon) -> None:
    daemon.init()
    daemon.kill()
    (daemon.data_dir / "node-keys.json").write_text('{"format": 1, "locked": false, "keys": "AA=="}')
    with pytest.raises(AssertionError, match=r"node-keys\.json can't be read"):
        daemon.start()
    daemon.kill()


def test_a_locked_swarm_can_be_left_and_another_begun(daemon: Daemon) -> None:
    daemon.init()
    lock(daemon)
    daemon.kill()
    daemon.start()
    text = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."
    assert refusal(daemon.client.leave_swarm) == (503, text)
    daemon.client.leave_swarm(force=True)
    assert [path.name for path in daemon.data_dir.iterdir()] == ["swarm.lock"]
    daemon.init()
    assert daemon.client.get_unlock_key()["UnlockKey"] == ""


def certificate(daemon: Daemon) -> x509.Certificate:
    return x509.load_pem_x509_certificate((daemon.data_dir / "certificates" / "swarm-node.crt").read_bytes())


def trusted(daemon: Daemon) -> x509.Certificate:
    return x509.load_pem_x509_certificate(daemon.client.inspect_swarm()["TLSInfo"]["TrustRoot"].encode())


def test_the_nodes_certificate_is_the_roots_and_is_made_anew_with_it(daemon: Daemon) -> None:
    node_id = daemon.init()
    first = certificate(daemon)
    first.verify_directly_issued_by(trusted(daemon))
    cluster_id = daemon.client.inspect_swarm()["ID"]
    assert first.subject.rfc4514_string() == f"CN={node_id},OU=swarm-manager,O={cluster_id}"
    assert timedelta(hours=2160) < first.not_valid_after_utc - first.not_valid_before_utc < timedelta(hours=2162)
    update(daemon, CAConfig={"ForceRotate": 1, "NodeCertExpiry": 3_600_000_000_000})
    second = certificate(daemon)
    second.verify_directly_issued_by(trusted(daemon))
    assert second.issuer == first.issuer
    assert second.not_valid_after_utc < datetime.now(UTC) + timedelta(hours=1)
    assert daemon.client.nodes()[0]["Description"]["TLSInfo"] == daemon.client.inspect_swarm()["TLSInfo"]
    daemon.kill()
    daemon.start()
    assert certificate(daemon) == second


def given(root: Root, **others: Any) -> Any:
    return {"SigningCACert": root.certificate, "SigningCAKey": root.key, **others}


def test_an_external_ca_signs_for_the_node_and_without_it_nothing_moves(daemon: Daemon, tmp_path: Path) -> None:
    daemon.init()
    before, root = daemon.client.inspect_swarm(), make_root(datetime.now(UTC))
    nobody = "there must be at least one valid, reachable external CA corresponding to the {} CA certificate"
    with an_external_authority(root, tmp_path) as authority:
        authority.trust(before["TLSInfo"]["TrustRoot"])
        named = {"Protocol": "cfssl", "URL": authority.url, "CACert": root.certificate}
        wanted = {"SigningCACert": root.certificate, "ExternalCAs": [named]}
        unnamed = {**wanted, "ExternalCAs": [{**named, "CACert": ""}]}
        status, text = refusal(lambda: update(daemon, CAConfig=unnamed))
        assert (status, nobody.format("desired") in text) == (400, True)
        assert daemon.client.inspect_swarm() == before
        authority.answer = (500, b"not now")
        update(daemon, CAConfig=wanted)
        swarm, (node,) = daemon.client.inspect_swarm(), daemon.client.nodes()
        assert (swarm["RootRotationInProgress"], swarm["TLSInfo"]["TrustRoot"]) == (True, root.certificate)
        assert node["Description"]["TLSInfo"] == before["TLSInfo"]
        assert "not now" in (daemon.folder / "log").read_text()
        authority.answer = None
        daemon.kill()
        daemon.start()
        swarm, (node,) = daemon.client.inspect_swarm(), daemon.client.nodes()
        assert swarm["RootRotationInProgress"] is False
        assert swarm["TLSInfo"]["TrustRoot"] == root.certificate
        assert node["Description"]["TLSInfo"] == swarm["TLSInfo"]
        assert swarm["JoinTokens"]["Worker"] != before["JoinTokens"]["Worker"]
    signed = certificate(daemon)
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(root.certificate.encode()))
    status, text = refusal(lambda: update(daemon, Orchestration={"TaskHistoryRetentionLimit": 3}))
    assert (status, nobody.format("current") in text) == (400, True)
    assert certificate(daemon) == signed


def test_a_root_that_is_given_is_taken_and_its_key_is_shown_to_nobody(daemon: Daemon) -> None:
    daemon.init()
    before = daemon.client.inspect_swarm()["JoinTokens"]
    root, other = make_root(datetime.now(UTC)), make_root(datetime.now(UTC))
    wrong = given(Root(root.certificate, other.key))
    text = "rpc error: code = InvalidArgument desc = certificate key mismatch"
    assert refusal(lambda: update(daemon, CAConfig=wrong)) == (400, text)
    update(daemon, CAConfig=given(root))
    swarm = daemon.client.inspect_swarm()
    assert swarm["TLSInfo"]["TrustRoot"] == root.certificate
    assert swarm["JoinTokens"]["Worker"] != before["Worker"]
    assert "PRIVATE" not in json.dumps([swarm, daemon.client.info(), daemon.client.nodes()])
    update(daemon, CAConfig=given(root))
    assert daemon.client.inspect_swarm()["JoinTokens"] == swarm["JoinTokens"]
    daemon.kill()
    daemon.start()
    assert daemon.client.inspect_swarm()["TLSInfo"] == swarm["TLSInfo"]
    assert root.key.splitlines()[1] not in (daemon.folder / "log").read_text()


def test_an_update_that_is_refused_changes_nothing(daemon: Daemon) -> None:
    daemon.init()
    before = daemon.client.inspect_swarm()
    spec = {**before["Spec"], "CAConfig": {"ForceRotate": 9}, "EncryptionConfig": {"AutoLockManagers": True}}
    stale = (500, "rpc error: code = Unknown desc = update out of sequence")
    assert refusal(lambda: daemon.client.update_swarm(1, swarm_spec=spec, rotate_worker_token=True)) == stale
    assert daemon.client.inspect_swarm() == before
    assert daemon.client.get_unlock_key()["UnlockKey"] == ""


def test_a_node_joins_nobody_yet_and_says_what_an_engine_says(daemon: Daemon) -> None:
    with socket.socket() as manager:
        manager.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{manager.getsockname()[1]}"
        asked = {"listen_addr": "0.0.0.0:2377", "remote_addrs": [place], "join_token": TOKEN}
        status, text = refusal(lambda: daemon.client.join_swarm(**asked))
        assert (status, text.endswith(f'dial tcp {place}: connect: connection refused"')) == (503, True)
        manager.listen()
        status, text = refusal(lambda: daemon.client.join_swarm(**asked))
        assert (status, place in text) == (501, True)
    assert refusal(lambda: daemon.client.join_swarm(**{**asked, "join_token": "no"})) == (500, "invalid join token")
    assert state_of(daemon) == "inactive"
    daemon.init()
    assert refusal(lambda: daemon.client.join_swarm(**asked))[0] == 503


@pytest.mark.engine
def test_leaving_a_locked_swarm_leaves_no_container_and_no_network(lab: Lab, tmp_path: Path) -> None:
    with lab.outsider.client() as engine, a_daemon(tmp_path, engine, lab.outsider) as daemon:
        lab.outsider.load_images()
        daemon.init()
        lock(daemon)
        daemon.client.create_network("net", driver="overlay")
        container = docker.types.ContainerSpec("swarmctl-test:1", command=["sleep", "1000"])
        template = docker.types.TaskTemplate(container, networks=["net"])
        daemon.client.create_service(template, name="web", mode={"Replicated": {"Replicas": 2}})
        daemon.running("web", 2)
        daemon.kill()
        daemon.start()
        daemon.client.leave_swarm(force=True)
        until("no container is left", lambda: not engine.containers(all=True))
        assert engine.networks(filters={"label": "com.docker.swarm.network.id"}) == []


@pytest.mark.engine
def test_what_is_left_while_the_engine_is_away_is_removed_when_it_is_back(lab: Lab, tmp_path: Path) -> None:
    with a_daemon(tmp_path, beside=lab.outsider) as daemon:
        lab.outsider.load_images()
        daemon.init()
        container = docker.types.ContainerSpec("swarmctl-test:1", command=["sleep", "1000"])
        daemon.client.create_service(docker.types.TaskTemplate(container), name="web")
        daemon.running("web", 1)
        lab.outsider.end(signal.SIGKILL)
        daemon.client.leave_swarm(force=True)
        daemon.terminate()
        lab.outsider.start_again()
        lab.outsider.wait()
        daemon.start()
        with lab.outsider.client() as engine:
            until("no container is left", lambda: not engine.containers(all=True))
        until("nothing is remembered", lambda: not (daemon.data_dir / "left-nodes.json").exists())
