"""Files for the user: written where asked, over nothing that was not meant."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from reconciler.adapters.output_folder import write_files
from reconciler.model.errors import ErrorCode, SwarmctlError

FILES = {"swarm.yaml": b"a", "stacks/web/key": b"\x00"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_and_private_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_files(str(tmp_path / "new" / "out"), FILES, {"stacks/web/key"}, force=False)
    finally:
        os.umask(before)
    out = tmp_path / "new" / "out"
    assert {path: (out / path).read_bytes() for path in FILES} == FILES
    assert (mode(out / "swarm.yaml"), mode(out / "stacks" / "web" / "key")) == (0o644, 0o600)


def test_the_umask_holds(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_files(str(tmp_path / "out"), FILES, (), force=False)
    finally:
        os.umask(before)
    assert mode(tmp_path / "out" / "swarm.yaml") == 0o640


def test_a_folder_with_anything_but_a_new_repository_needs_force(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write_files(str(tmp_path), {"swarm.yaml": b"1"}, (), force=False)
    with pytest.raises(SwarmctlError) as caught:
        write_files(str(tmp_path), {"other.yaml": b"2"}, (), force=False)
    assert caught.value.code is ErrorCode.OUTPUT_NOT_EMPTY
    assert not (tmp_path / "other.yaml").exists()
    write_files(str(tmp_path), {"swarm.yaml": b"3"}, {"swarm.yaml"}, force=True)
    assert (tmp_path / "swarm.yaml").read_bytes() == b"3"
    assert mode(tmp_path / "swarm.yaml") == 0o600


def test_no_symlink_leads_a_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "swarm.yaml").symlink_to(tmp_path / "mine")
    with pytest.raises(SwarmctlError) as caught:
        write_files(str(tmp_path / "out"), FILES, (), force=True)
    assert caught.value.code is ErrorCode.OUTPUT_FAILED
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SwarmctlError) as caught:
        write_files(str(tmp_path / "out"), FILES, (), force=False)
    assert caught.value.code is ErrorCode.OUTPUT_FAILED
