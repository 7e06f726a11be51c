"""`swarmctl peers` writes whole folders, for their owner only, over nothing, and signs only what it notes."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.adapters.peers import places
from reconciler.adapters.peers.authority import PeersFolder
from reconciler.adapters.peers.identity import read_identity
from reconciler.adapters.peers.names import AUTHORITY_KEY_FILE, NODE_FILE
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HERE = Address("10.0.0.1", 7946)
THERE = Address("node2.example", 7946)


@pytest.fixture
def peers(tmp_path: Path) -> PeersFolder:
    made = PeersFolder(tmp_path / "n1", NOW)
    made.init("n1", HERE, force=False)
    return made


def code_of(call: object, *arguments: object, **options: object) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    return caught.value.code


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_init_makes_an_identity_for_this_node_only(peers: PeersFolder) -> None:
    found = read_identity(str(peers.folder), NOW)
    assert (found.node, found.listen) == ("n1", HERE)
    assert modes(peers.folder) == {0o600}
    assert stat.S_IMODE(peers.folder.stat().st_mode) == 0o700


def test_add_makes_an_identity_without_the_authoritys_key(peers: PeersFolder, tmp_path: Path) -> None:
    written = peers.add("n2", THERE, str(tmp_path / "carry" / "n2"), force=False)
    found = read_identity(written.path, NOW)
    assert (found.node, found.listen, found.cluster) == ("n2", THERE, read_identity(str(peers.folder), NOW).cluster)
    assert not (Path(written.path) / AUTHORITY_KEY_FILE).exists()
    assert modes(Path(written.path)) == {0o600}


def test_a_tar_file_unpacks_to_the_same(peers: PeersFolder, tmp_path: Path) -> None:
    written = peers.add("n2", THERE, str(tmp_path / "n2.tar"), force=False)
    assert stat.S_IMODE(Path(written.path).stat().st_mode) == 0o600
    (tmp_path / "there").mkdir()
    subprocess.run(["tar", "-xf", written.path, "-C", str(tmp_path / "there")], check=True, umask=0o022)
    assert read_identity(str(tmp_path / "there" / "n2"), NOW).node == "n2"


def test_nothing_is_overwritten_without_force(peers: PeersFolder, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in peers.folder.iterdir()}
    assert code_of(peers.init, "n1", HERE, force=False) is ErrorCode.PEERS_EXIST
    (tmp_path / "taken").write_text("mine")
    assert code_of(peers.add, "n2", THERE, str(tmp_path / "taken"), force=False) is ErrorCode.PEERS_EXIST
    assert {path: path.read_bytes() for path in peers.folder.iterdir()} == before
    assert (tmp_path / "taken").read_text() == "mine"


def test_force_sets_aside_what_was_there(peers: PeersFolder) -> None:
    key = (peers.folder / AUTHORITY_KEY_FILE).read_bytes()
    written = peers.init("n1", HERE, force=True)
    assert (Path(written.set_aside) / AUTHORITY_KEY_FILE).read_bytes() == key
    assert (peers.folder / AUTHORITY_KEY_FILE).read_bytes() != key
    again = peers.init("n1", HERE, force=True)
    assert again.set_aside != written.set_aside


def test_an_empty_folder_that_is_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir(mode=0o755)
    written = PeersFolder(tmp_path / "n1", NOW).init("n1", HERE, force=False)
    assert not written.set_aside
    assert stat.S_IMODE((tmp_path / "n1").stat().st_mode) == 0o700


@pytest.mark.parametrize("step", ["_write", "sync_folder", "_set_aside"])
def test_an_interrupted_init_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(places, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        PeersFolder(tmp_path / "n1", NOW).init("n1", HERE, force=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_init_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".n1.new-abc" / "folder").mkdir(parents=True)
    PeersFolder(tmp_path / "n1", NOW).init("n1", HERE, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["n1"]


def test_a_name_and_an_address_are_given_once(peers: PeersFolder, tmp_path: Path) -> None:
    peers.add("n2", THERE, str(tmp_path / "n2"), force=False)
    assert code_of(peers.add, "n2", Address("c", 1), str(tmp_path / "x"), force=False) is ErrorCode.PEERS_EXIST
    assert code_of(peers.add, "n3", THERE, str(tmp_path / "x"), force=False) is ErrorCode.PEERS_EXIST
    assert not (tmp_path / "x").exists()


def test_a_certificate_that_could_not_be_written_was_given_to_nobody(peers: PeersFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert code_of(peers.add, "n2", THERE, str(tmp_path / "file" / "n2"), force=False) is ErrorCode.OUTPUT_FAILED
    assert [found.node for found in peers.listing().certificates] == ["n1"]
    peers.add("n2", THERE, str(tmp_path / "n2"), force=False)


def test_names_that_are_no_part_of_a_uri_and_addresses_for_all_are_wrong_usage(
    peers: PeersFolder, tmp_path: Path
) -> None:
    for name in ("", "a/b", "-a", "a b", "n" * 64, "ä"):
        assert code_of(peers.add, name, THERE, str(tmp_path / "x"), force=False) is ErrorCode.USAGE
    for host in ("0.0.0.0", "::", "300.1.1.1", "a b", "a/b", "-", "a..b", "1", "x" * 64, "a\n"):
        assert code_of(peers.add, "n2", Address(host, 1), str(tmp_path / "x"), force=False) is ErrorCode.USAGE


def test_names_of_machines_and_addresses_of_both_kinds_are_taken(peers: PeersFolder, tmp_path: Path) -> None:
    for number, host in enumerate(
        ("node-2", "n2.example.", "3com.example", "my_node", "10.0.0.2", "fd00::2", "fe80::1%eth0")
    ):
        peers.add(f"m{number}", Address(host, 1), str(tmp_path / f"m{number}"), force=False)


def test_nothing_takes_the_place_of_the_authority(peers: PeersFolder) -> None:
    before = {path: path.read_bytes() for path in peers.folder.iterdir()}
    for out in (peers.folder, peers.folder.parent, peers.folder / ".." / peers.folder.name):
        assert code_of(peers.add, "n2", THERE, str(out), force=True) is ErrorCode.USAGE
        assert code_of(peers.renew, "n1", str(out), force=True) is ErrorCode.USAGE
    assert {path: path.read_bytes() for path in peers.folder.iterdir()} == before


def test_renewing_replaces_the_own_file_at_once(peers: PeersFolder) -> None:
    before = (peers.folder / NODE_FILE).read_bytes()
    later = PeersFolder(peers.folder, NOW + timedelta(days=60))
    written = later.renew("", None, force=False)
    assert (peers.folder / NODE_FILE).read_bytes() != before
    assert read_identity(str(peers.folder), later.now).expires == written.expires == later.now + timedelta(days=90)
    assert modes(peers.folder) == {0o600}


def test_renewing_another_makes_a_folder_to_carry(peers: PeersFolder, tmp_path: Path) -> None:
    peers.add("n2", THERE, str(tmp_path / "n2"), force=False)
    assert code_of(peers.renew, "n2", None, force=False) is ErrorCode.USAGE
    assert code_of(peers.renew, "n9", str(tmp_path / "x"), force=False) is ErrorCode.PEERS_MISSING
    later = PeersFolder(peers.folder, NOW + timedelta(days=200))
    written = later.renew("n2", str(tmp_path / "again"), force=False)
    assert read_identity(written.path, later.now).listen == THERE
    assert [(line.node, line.expires) for line in later.listing().certificates][1] == ("n2", written.expires)


def test_only_the_authoritys_folder_signs(peers: PeersFolder, tmp_path: Path) -> None:
    peers.add("n2", THERE, str(tmp_path / "n2"), force=False)
    other = PeersFolder(tmp_path / "n2", NOW)
    assert code_of(other.add, "n3", HERE, str(tmp_path / "n3"), force=False) is ErrorCode.PEERS_MISSING
    assert code_of(PeersFolder(tmp_path / "none", NOW).listing) is ErrorCode.PEERS_MISSING
    (peers.folder / AUTHORITY_KEY_FILE).chmod(0o644)
    assert code_of(peers.add, "n3", HERE, str(tmp_path / "n3"), force=False) is ErrorCode.PEERS_EXPOSED


def test_an_expired_authority_signs_nothing(peers: PeersFolder) -> None:
    late = PeersFolder(peers.folder, NOW + timedelta(days=3651))
    assert code_of(late.renew, "", None, force=False) is ErrorCode.PEERS_EXPIRED


def test_the_list_knows_all_where_the_authority_is_and_one_elsewhere(peers: PeersFolder, tmp_path: Path) -> None:
    peers.add("n2", THERE, str(tmp_path / "n2"), force=False)
    here, there = peers.listing(), PeersFolder(tmp_path / "n2", NOW).listing()
    assert [(line.node, line.address) for line in here.certificates] == [("n1", HERE), ("n2", THERE)]
    assert [line.node for line in there.certificates] == ["n2"]
    assert (here.has_authority, there.has_authority) == (True, False)
    assert here.authority_expires == there.authority_expires
