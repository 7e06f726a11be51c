"""A file system of its own for each member: its power can be cut, and it can be full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

IMAGE_BYTES = 320 << 20
RESERVE = "reserve"


def why_no_images() -> str | None:
    """Why no file system can be made here, or None."""
    if os.geteuid() != 0:
        return "mounting needs root"
    return None if shutil.which("mkfs.ext4") else "there is no mkfs.ext4"


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")


class Images:
    """An ext4 in a file for each name, mounted at `folder/NAME`. Use it as a context manager."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._names = tuple(names)

    def __enter__(self) -> Images:
        for name in self._names:
            image = self._image(name)
            image.touch()
            os.truncate(image, IMAGE_BYTES)
            run("mkfs.ext4", "-q", "-F", image)
            self.at(name).mkdir()
            self._mount(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            with suppress(RuntimeError):
                run("umount", "--lazy", self.at(name))

    def at(self, name: str) -> Path:
        """Where a member's file system is mounted."""
        return self._folder / f"disk-{name}"

    def _image(self, name: str) -> Path:
        return self._folder / f"{name}.ext4"

    def _mount(self, name: str) -> None:
        """Nothing is written by the kernel of its own accord for a minute, so that what was not synced is lost."""
        run("mount", "-o", "loop,commit=60", self._image(name), self.at(name))

    def copy(self, name: str) -> None:
        """Keep what is on the disk right now: not what is still in the page cache of the mounted file system."""
        run("cp", "--sparse=always", self._image(name), self._image(name).with_suffix(".copy"))

    def cut_power(self, name: str) -> None:
        """Put the copy in the place of the file system; nobody may have a file open on it."""
        run("umount", self.at(name))
        self._image(name).with_suffix(".copy").replace(self._image(name))
        self._mount(name)

    def fill(self, name: str) -> None:
        """Leave no block free."""
        with (self.at(name) / RESERVE).open("wb", buffering=0) as file, suppress(OSError):
            block = bytes(1 << 20)
            while True:
                file.write(block)
        with (self.at(name) / f"{RESERVE}-2").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def make_room(self, name: str) -> None:
        for path in self.at(name).glob(f"{RESERVE}*"):
            path.unlink()
