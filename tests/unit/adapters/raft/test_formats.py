"""Files of a newer version are told from damaged ones, and are left as they are."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import pytest

from reconciler.adapters.raft import hard_state, snapshot_file
from reconciler.adapters.raft.hard_state import FILE_NAME
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.snapshot_file import verify
from reconciler.consensus.values import HardState, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.log_model import MEMBERS, OWNER, entry

FIXED = 8 + 8
"""Bytes before a snapshot's head: magic, length, checksum."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """That of a member with a snapshot, entries and a hard state."""
    with DurableLog(str(tmp_path / "log"), OWNER, create=True, segment_bytes=1 << 16) as log:
        log.load()
        log.save_hard_state(HardState(1, ""))
        log.append([entry(index, 1) for index in range(1, 10)])
        log.sync()
        log.publish_snapshot(SnapshotMeta(5, 1, MEMBERS), [b"state"])
    return tmp_path / "log"


def refusal(folder: Path) -> SwarmctlError:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with DurableLog(str(folder), OWNER, create=False) as log, pytest.raises(SwarmctlError) as caught:
        log.load()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "nothing is changed"
    return caught.value


def with_head(content: bytes, **changes: object) -> bytes:
    """A snapshot whose head says something else, with a checksum that fits."""
    length = int.from_bytes(content[8:12], "little")
    head = msgspec.msgpack.decode(content[FIXED : FIXED + length]) | changes
    body = msgspec.msgpack.encode(head)
    fixed = content[:8] + len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
    return fixed + body + content[FIXED + length :]


NEWER = snapshot_file._FORMAT_NEWEST + 1


@pytest.mark.parametrize("meta", [{}, {"meta": "of another shape"}], ids=["alike", "other fields"])
def test_a_snapshot_of_a_newer_format(folder: Path, meta: dict[str, object]) -> None:
    [path] = folder.glob("snapshot-*")
    path.write_bytes(with_head(path.read_bytes(), format=NEWER, **meta))
    with pytest.raises(SwarmctlError) as caught:
        verify(str(path))
    for error in (caught.value, refusal(folder)):
        assert error.code is ErrorCode.RAFT_TOO_NEW
        assert "newer version" in str(error)
        assert "Install" in error.problems[0].hint


def test_a_snapshot_of_no_format_that_there_ever_was(folder: Path) -> None:
    [path] = folder.glob("snapshot-*")
    path.write_bytes(with_head(path.read_bytes(), format=0))
    assert refusal(folder).code is ErrorCode.RAFT_SNAPSHOT_CORRUPT


@pytest.mark.parametrize("format_", [hard_state._FORMAT + 1, 0])
def test_a_folder_of_another_format(folder: Path, format_: int) -> None:
    path = folder / FILE_NAME
    content = path.read_bytes()
    body = msgspec.msgpack.encode({**msgspec.msgpack.decode(content[12:]), "format": format_, "owner": "of later"})
    path.write_bytes(content[:8] + zlib.crc32(body).to_bytes(4, "little") + body)
    assert refusal(folder).code is (ErrorCode.RAFT_TOO_NEW if format_ else ErrorCode.RAFT_LOG_CORRUPT)


def test_a_journal_of_a_newer_format_is_told_from_one_whose_number_is_damaged(folder: Path) -> None:
    [path] = folder.glob("journal-*")
    content = path.read_bytes()
    path.write_bytes(b"SWRAFTJ2" + content[8:])
    assert refusal(folder).code is ErrorCode.RAFT_LOG_CORRUPT, "all that the checksum covers is as ours"
    path.write_bytes(b"SWRAFTJ2" + bytes(4) + content[12:])
    assert refusal(folder).code is ErrorCode.RAFT_TOO_NEW
