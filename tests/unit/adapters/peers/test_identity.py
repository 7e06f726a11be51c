"""Every way in which a node's folder can be wrong has its own code, and is told before anybody is dialled."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.adapters.peers.certificates import NODE_DAYS
from reconciler.adapters.peers.identity import read_identity
from reconciler.adapters.peers.names import AUTHORITY_FILE, NODE_FILE, PEERS_FILE, named_by, uri_of
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.identities import Authority

AUTHORITY = Authority()
OTHER = Authority()


def refused(folder: Path, days_later: float = 0) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        read_identity(str(folder), AUTHORITY.now + timedelta(days=days_later))
    problem = caught.value.problems[0]
    assert problem.what
    assert problem.hint
    assert "PRIVATE" not in problem.what + problem.why + problem.hint
    return problem.code


def test_a_good_folder_is_read(tmp_path: Path) -> None:
    found = read_identity(str(AUTHORITY.folder(tmp_path / "n1", "n1", 7000)), AUTHORITY.now)
    assert (found.node, found.cluster, str(found.listen)) == ("n1", "c1", "127.0.0.1:7000")
    assert found.expires - AUTHORITY.now == pytest.approx(timedelta(days=NODE_DAYS), abs=timedelta(seconds=1))


def _cut_key(folder: Path) -> None:
    text = (folder / NODE_FILE).read_text()
    (folder / NODE_FILE).write_text(text[text.index("-----BEGIN CERT") :])


def _another_key(folder: Path) -> None:
    made = AUTHORITY.certificate("n1")
    (folder / NODE_FILE).write_bytes(made.key_pem() + AUTHORITY.certificate("n1").certificate_pem())


BROKEN: dict[str, tuple[Callable[[Path], object], ErrorCode]] = {
    "no peers file": (lambda folder: (folder / PEERS_FILE).unlink(), ErrorCode.PEERS_MISSING),
    "no node file": (lambda folder: (folder / NODE_FILE).unlink(), ErrorCode.PEERS_MISSING),
    "no authority": (lambda folder: (folder / AUTHORITY_FILE).unlink(), ErrorCode.PEERS_MISSING),
    "a folder in place of a file": (lambda folder: _as_folder(folder / AUTHORITY_FILE), ErrorCode.PEERS_UNREADABLE),
    "peers file is no JSON": (lambda folder: (folder / PEERS_FILE).write_text("{"), ErrorCode.PEERS_UNREADABLE),
    "peers file lacks a field": (lambda folder: (folder / PEERS_FILE).write_text("{}"), ErrorCode.PEERS_UNREADABLE),
    "authority is no PEM": (lambda folder: (folder / AUTHORITY_FILE).write_text("hello"), ErrorCode.PEERS_UNREADABLE),
    "node file is empty": (lambda folder: (folder / NODE_FILE).write_text(""), ErrorCode.PEERS_UNREADABLE),
    "key is missing": (_cut_key, ErrorCode.PEERS_UNREADABLE),
    "key is another's": (_another_key, ErrorCode.PEERS_UNREADABLE),
    "others may read the key": (lambda folder: (folder / NODE_FILE).chmod(0o640), ErrorCode.PEERS_EXPOSED),
    "everybody may read the key": (lambda folder: (folder / NODE_FILE).chmod(0o604), ErrorCode.PEERS_EXPOSED),
    "others may replace the key": (lambda folder: folder.chmod(0o770), ErrorCode.PEERS_EXPOSED),
    "another node's name": (
        lambda folder: AUTHORITY.folder(folder, "n1", certificate=AUTHORITY.certificate("n2")),
        ErrorCode.PEERS_WRONG_NAME,
    ),
    "another cluster's name": (
        lambda folder: AUTHORITY.folder(folder, "n1", certificate=Authority("c2").certificate("n1")),
        ErrorCode.PEERS_WRONG_NAME,
    ),
    "another authority's": (lambda folder: AUTHORITY.folder(folder, "n1", trusts=OTHER), ErrorCode.PEERS_WRONG_CA),
}


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_with_a_code(tmp_path: Path, case: str) -> None:
    folder = AUTHORITY.folder(tmp_path / "n1", "n1")
    spoil, code = BROKEN[case]
    spoil(folder)
    assert refused(folder) is code


def test_a_certificate_counts_from_an_hour_before_it_was_made_until_its_end(tmp_path: Path) -> None:
    folder = AUTHORITY.folder(tmp_path / "n1", "n1")
    read_identity(str(folder), AUTHORITY.now - timedelta(minutes=55))
    read_identity(str(folder), AUTHORITY.now + timedelta(days=NODE_DAYS, minutes=-1))
    assert refused(folder, days_later=-1) is ErrorCode.PEERS_NOT_YET_VALID
    assert refused(folder, days_later=NODE_DAYS + 1) is ErrorCode.PEERS_EXPIRED


def test_no_certificate_outlives_its_authority() -> None:
    made = AUTHORITY.certificate("n1", days=100_000).certificate
    assert made.not_valid_after_utc == AUTHORITY.made.certificate.not_valid_after_utc


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["swarmctl://c1/"],
        ["swarmctl://c1/n1/x"],
        ["swarmctl://c1/n1 "],
        ["swarmctl://c1/..%2f"],
        ["swarmctl://c2/n1"],
        ["spiffe://c1/n1"],
        ["swarmctl://c1/n1", "swarmctl://c1/n2"],
        ["swarmctl://c1/" + "n" * 64],
    ],
)
def test_only_one_exact_name_counts(uris: list[str]) -> None:
    assert named_by(uris, "c1") is None
    assert named_by([uri_of("c1", "n1")], "c1") == "n1"


def test_the_fake_folder_is_as_closed_as_a_real_one(tmp_path: Path) -> None:
    folder = AUTHORITY.folder(tmp_path / "n1", "n1")
    assert stat.S_IMODE((folder / NODE_FILE).stat().st_mode) == 0o600
