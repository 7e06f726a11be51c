"""A bare clone of our own: made, locked, fetched into, mended and kept small. It never pushes, and never checks out."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from reconciler.adapters.git.address import Address, configuration_for, parse_address, source_key, talking
from reconciler.adapters.git.choosing import Chosen, Offer, patterns, read_offer
from reconciler.adapters.git.command import CONFIGURATION, Ended, GitCommand
from reconciler.adapters.git.faults import Faulted, remote_fault
from reconciler.adapters.git.signatures import Keys, lay_out
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import SourceFault, SourceSpec

LOCK_WAIT_S: Final = 30.0
"""Seconds to wait for another process that uses the clone: git commands of a killed controller end by themselves."""
ASK_S: Final = 30.0
"""Seconds for the question what a remote has: one that hangs mostly does so here, and an answer is short."""
LOCAL_S: Final = 60.0
"""Seconds for a command that reads or writes our clone only."""
KEPT_MAX: Final = 20
"""Commits that stay in the clone, to roll back to and to compare with."""
PACKS_MAX: Final = 40
"""Packs after which the clone is packed anew; each fetch brings one."""
_INCOMING: Final = "refs/swarmctl/incoming"
_KEPT: Final = "refs/swarmctl/kept/"
_CUT_BYTES: Final = 64 * 1024
"""By how much a pack that was cut off may be shorter than the limit: git writes it in pieces."""
_LOCK_PAUSE_S: Final = 0.05


@dataclass(slots=True)
class Mirror:
    """The clone for one source, below `folder`, which is nobody else's. `locked()` surrounds every use."""

    folder: Path
    spec: SourceSpec
    address: Address
    keys: Keys | None
    git: GitCommand = field(repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    def at(cls, data_dir: Path, spec: SourceSpec, search_path: str) -> Mirror:
        """Return the clone for `spec` below `data_dir`; nothing is fetched yet. Raises source-invalid; OSError."""
        address = parse_address(spec.url)
        environment = talking(address, spec.access)
        digest = hashlib.sha256(source_key(spec).encode()).hexdigest()[:12]
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", spec.name)[:40].lstrip(".")
        folder = data_dir / f"{readable}-{digest}"
        (folder / "home").mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = lay_out(folder / "keys", spec.signatures) if spec.signatures else None
        configuration = folder / "gitconfig"
        always = keys.variables() if keys else {}
        git = GitCommand(configuration, folder / "home", environment=environment, always=always)
        if search_path:
            git = replace(git, search_path=search_path)
        _write(configuration, CONFIGURATION + configuration_for(address) + (keys.configuration() if keys else ""))
        return cls(folder, spec, address, keys, git)

    @property
    def repository(self) -> Path:
        """The bare repository itself."""
        return self.folder / "repository.git"

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Have the clone for ourselves. Commands inherit the lock, so that it outlives a killed controller with them.

        Raises Faulted: source-busy, source-disk-full.
        """
        async with self._turn:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await self._lock(descriptor)
                self.git = replace(self.git, lock=descriptor)
                self._sweep()
                yield
            except OSError as error:
                raise self._disk_fault(error) from error
            finally:
                self.git = replace(self.git, lock=None)
                os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    what = f"The clone of {self.address.shown} is in use."
                    hint = "End the other controller that has the same data folder."
                    raise Faulted(SourceFault(ErrorCode.SOURCE_BUSY, what, "", hint, passing=True)) from error
                await asyncio.sleep(_LOCK_PAUSE_S)
            else:
                return

    def _sweep(self) -> None:
        """Remove what a killed git left: nobody but the holder of our lock makes any of it."""
        shutil.rmtree(self.folder / "making.git", ignore_errors=True)
        for top, folders, files in os.walk(self.repository):
            if Path(top).name == "objects":
                for name in [one for one in folders if one.startswith(("tmp_", "incoming-"))]:
                    shutil.rmtree(Path(top, name), ignore_errors=True)
                folders[:] = [name for name in folders if name == "pack"]
            for name in files:
                if name.endswith(".lock") or name.startswith(("tmp_", ".tmp-")):
                    Path(top, name).unlink(missing_ok=True)

    async def ensure(self) -> None:
        """Make the clone if there is none, or only half of one."""
        probe = await self._local("rev-parse", "--is-bare-repository") if self.repository.is_dir() else None
        if probe is None or probe.output.strip() != b"true":
            await self.renew()

    async def renew(self) -> None:
        """Begin the clone anew, empty; what was fetched is gone. For a damaged one."""
        making = self.folder / "making.git"
        await asyncio.to_thread(shutil.rmtree, making, True)
        ended = await self.git.run(
            None, "init", "--quiet", "--bare", "--template=", "--initial-branch=none", str(making), wait_s=LOCAL_S
        )
        if not ended.ok:
            raise remote_fault(ended, self.address.shown, LOCAL_S)
        await asyncio.to_thread(shutil.rmtree, self.repository, True)
        making.rename(self.repository)

    async def offer(self) -> Offer:
        """Ask the remote what it has of the references that matter. Raises Faulted."""
        asked = patterns(self.spec.reference)
        ended = await self._remote("ls-remote", "--symref", self.address.url, *asked)
        offer = read_offer(ended.output)
        if not offer.references and asked:
            # Nothing of that name, or nothing at all? It takes a second question, and a good answer needs it.
            ended = await self._remote("ls-remote", "--symref", self.address.url)
            offer = read_offer(ended.output)
            if not offer.references:
                what = f"The repository {self.address.shown} is empty."
                hint = "Push a branch with a first commit."
                raise Faulted(SourceFault(ErrorCode.SOURCE_EMPTY, what, "It has no branch and no tag.", hint))
        return offer

    async def fetch(self, chosen: Chosen) -> None:
        """Bring `chosen` and a bounded part of its history here. Raises Faulted."""
        fixed = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--update-shallow")
        depth = f"--depth={self.spec.depth}"
        wanted = f"+{chosen.object_id}:{_INCOMING}"
        limit = self.spec.limits
        ended = await self.git.run(
            self.repository,
            *("fetch", *fixed, depth, self.address.url, wanted),
            wait_s=limit.fetch_s,
            file_bytes=limit.pack_bytes,
            talks=True,
        )
        if not ended.ok and _needs_names(ended):
            # An old server gives no commit by its id alone; with everything that has a name it may be among it.
            every = ("+refs/heads/*:refs/swarmctl/all/heads/*", "+refs/tags/*:refs/swarmctl/all/tags/*")
            ended = await self.git.run(
                self.repository,
                *("fetch", *fixed, self.address.url, *every),
                wait_s=limit.fetch_s,
                file_bytes=limit.pack_bytes,
                talks=True,
            )
        if not ended.ok:
            raise self._fetch_fault(ended, chosen)

    def _fetch_fault(self, ended: Ended, chosen: Chosen) -> Faulted:
        text = ended.error.lower()
        if "not our ref" in text or "no such remote ref" in text or "couldn't find remote ref" in text:
            what = f"The repository {self.address.shown} has no commit {chosen.object_id[:12]}."
            why = "It was removed while we looked, or is reachable from no branch any more."
            hint = "Push it, or follow another one."
            return Faulted(SourceFault(ErrorCode.REVISION_NOT_FOUND, what, why, hint, chosen.commit))
        if self._reached_limit():
            what = f"The repository {self.address.shown} is larger than may be taken."
            why = f"It sends more than {self.spec.limits.pack_bytes:,} bytes."
            hint = "Keep large files out of the repository, or raise the limit of its size."
            self._sweep()
            return Faulted(SourceFault(ErrorCode.SOURCE_TOO_LARGE, what, why, hint, chosen.commit))
        found = remote_fault(ended, self.address.shown, self.spec.limits.fetch_s)
        return Faulted(replace(found.fault, commit=chosen.commit))

    def _reached_limit(self) -> bool:
        """Return whether the pack was cut off: git doesn't say what ended the program that wrote it."""
        nearly = self.spec.limits.pack_bytes - _CUT_BYTES
        begun = (self.repository / "objects" / "pack").glob("tmp_pack_*")
        return any(path.stat().st_size >= nearly for path in begun)

    async def has(self, object_id: str) -> bool:
        """Return whether an object and all that it needs in its own tree is here, without reading files' contents."""
        ended = await self._local("rev-list", "--objects", "--quiet", "--max-count=1", f"{object_id}^{{commit}}")
        return ended.ok

    async def text(self, *words: str) -> str | None:
        """Return what a command on our clone printed, or None when it failed."""
        ended = await self._local(*words)
        return ended.output.decode("utf-8", "replace") if ended.ok else None

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether `older` is `newer` or among what is here of its history."""
        return (await self._local("merge-base", "--is-ancestor", older, newer)).ok

    async def is_kept(self, object_id: str) -> bool:
        """Return whether a commit is one of those that stay here. Needs no lock."""
        return (await self._local("rev-parse", "--verify", "--quiet", f"{_KEPT}{object_id}")).ok

    async def keep(self, object_id: str, others: Collection[str]) -> None:
        """See to it that a commit stays here, and `others`; of further ones the latest KEPT_MAX do."""
        await self._local("update-ref", f"{_KEPT}{object_id}", object_id)
        listed = await self.text("for-each-ref", "--sort=-committerdate", "--format=%(refname)", _KEPT) or ""
        keeping = {object_id, *others}
        for name in listed.split()[KEPT_MAX:]:
            if name.removeprefix(_KEPT) not in keeping:
                await self._local("update-ref", "-d", name)
        packs = sum(1 for path in (self.repository / "objects" / "pack").glob("*.pack"))
        if packs > PACKS_MAX:
            await self._local("gc", "--quiet", "--prune=now")

    async def _local(self, *words: str) -> Ended:
        return await self.git.run(self.repository, *words, wait_s=LOCAL_S)

    async def _remote(self, *words: str) -> Ended:
        wait_s = min(ASK_S, self.spec.limits.fetch_s)
        ended = await self.git.run(None, *words, wait_s=wait_s, talks=True)
        if not ended.ok:
            raise remote_fault(ended, self.address.shown, wait_s)
        return ended

    def _disk_fault(self, error: OSError) -> Faulted:
        code = ErrorCode.SOURCE_DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else ErrorCode.GIT_FAILED
        what = f"The clone of {self.address.shown} can't be written."
        why = f"The system says: {error.strerror or type(error).__name__}."
        hint = "Make room in the controller's data folder, and see that Git is installed."
        return Faulted(SourceFault(code, what, why, hint, passing=True))


def _needs_names(ended: Ended) -> bool:
    return "unadvertised object" in ended.error or "does not allow request for" in ended.error


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.rename(path)
