"""One repository that the controller follows: a look tells what it offers now, or why it offers nothing newer.

A look changes nothing but our own clone. What is in force is the caller's to say and to keep.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from reconciler.adapters.git.address import parse_address, talking
from reconciler.adapters.git.choosing import Chosen, check_spec, choose
from reconciler.adapters.git.commit import GitRevision
from reconciler.adapters.git.faults import Faulted
from reconciler.adapters.git.mirror import LOCAL_S, Mirror
from reconciler.adapters.git.objects import ObjectReader
from reconciler.adapters.git.signatures import signer_of
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import (
    ReferenceKind,
    Rewrites,
    Signed,
    SourceFault,
    SourceRevision,
    SourceSpec,
)

_FORMAT: Final = "%H%x00%an <%ae>%x00%s%x00%ct"
_TEXT_MAX: Final = 200
_FETCHABLE: Final = (ReferenceKind.COMMIT,)


@dataclass(slots=True)
class GitSource:
    """Follows one repository. Use its methods one after another."""

    spec: SourceSpec
    mirror: Mirror = field(repr=False)
    _seen: SourceRevision | None = None
    """What this process has fetched and verified by itself: a poll that finds the same again asks nothing further."""
    _damaged: bool = False
    _outside: set[str] = field(default_factory=set)
    """Files elsewhere in the repository that manifests below the path were found to use."""

    @staticmethod
    def check(spec: SourceSpec) -> None:
        """Raise source-invalid for what no remote could serve. Nothing is read or written."""
        check_spec(spec)
        talking(parse_address(spec.url), spec.access)

    @classmethod
    def open(cls, data_dir: str, spec: SourceSpec, search_path: str = "") -> GitSource:
        """Return a source whose clone is below `data_dir`. Raises source-invalid, source-disk-full."""
        check_spec(spec)
        try:
            mirror = Mirror.at(Path(data_dir), spec, search_path)
        except OSError as error:
            raise SwarmctlError(
                ErrorCode.SOURCE_DISK_FULL,
                f"The clone of source {spec.name} can't be made.",
                why=f"The system says: {error.strerror or type(error).__name__}.",
                hint="Make room in the controller's data folder, and let the controller write to it.",
            ) from error
        return cls(spec, mirror)

    async def look(
        self, in_force: SourceRevision | None, *, accept_rewrite: bool = False
    ) -> SourceRevision | SourceFault:
        """Return what the remote offers now, fetched, checked and verified; or why there is nothing newer.

        `in_force` is the last good revision. `accept_rewrite` follows a rewritten branch even where the source says
        `rewrites: hold`: somebody asked for a sync. A damaged clone is made anew at once, and once.
        """
        try:
            async with self.mirror.locked():
                return await self._look(None if accept_rewrite else in_force)
        except Faulted as faulted:
            return faulted.fault

    async def bring(self, commit: str) -> SourceFault | None:
        """See to it that a commit can be read here; return why it can't, or None.

        For what is in force when another controller takes over with a clone of its own, and for rolling back. It was
        verified when it came into force, and is not once more. One that is here needs no lock, which a look at a
        remote that hangs may hold, or what is left of a killed controller's.
        """
        if not self._damaged and await self._is_kept(commit):
            return None
        wanted = Chosen(commit, commit, commit)
        try:
            async with self.mirror.locked():
                if self._damaged:
                    await self._renew()
                await self.mirror.ensure()
                if not await self.mirror.has(commit):
                    await self.mirror.fetch(wanted)
                if not await self.mirror.has(commit):
                    raise self._fault(ErrorCode.SOURCE_DAMAGED, wanted, "The fetched commit is not complete.")
                await self.mirror.keep(commit, [])
        except Faulted as faulted:
            return faulted.fault
        return None

    async def _is_kept(self, commit: str) -> bool:
        try:
            return await self.mirror.is_kept(commit) and await self.mirror.has(commit)
        except OSError:
            return False

    async def _look(self, in_force: SourceRevision | None) -> SourceRevision:
        if self._damaged:
            await self._renew()
        await self.mirror.ensure()
        chosen = await self._choice()
        if self._seen is not None and (self._seen.commit, self._seen.reference) == (chosen.commit, chosen.reference):
            return self._seen
        try:
            found = await self._taken(chosen, in_force)
        except Faulted as faulted:
            if faulted.fault.code is not ErrorCode.SOURCE_DAMAGED:
                raise
            await self._renew()
            found = await self._taken(chosen, in_force)
        self._seen = found
        return found

    async def _renew(self) -> None:
        self._seen = None
        await self.mirror.renew()
        self._damaged = False

    async def _choice(self) -> Chosen:
        reference = self.spec.reference
        if reference.kind in _FETCHABLE and await self.mirror.has(reference.value):
            # A commit never becomes another: once it is here, nobody has to be asked.
            return Chosen(reference.value, reference.value, reference.value)
        return choose(reference, await self.mirror.offer(), self.mirror.address.shown)

    async def _taken(self, chosen: Chosen, in_force: SourceRevision | None) -> SourceRevision:
        if not await self.mirror.has(chosen.object_id):
            await self.mirror.fetch(chosen)
            if not await self.mirror.has(chosen.object_id):
                raise self._fault(ErrorCode.SOURCE_DAMAGED, chosen, "The fetched commit is not complete.")
        signer = await self._signer(chosen)
        found = replace(await self._described(chosen), signer=signer)
        found = await self._compared(found, chosen, in_force)
        await self.mirror.keep(chosen.commit, [in_force.commit] if in_force else [])
        return found

    async def _signer(self, chosen: Chosen) -> str:
        policy = self.spec.signatures
        if policy is None:
            return ""
        git, signer = self.mirror.git, ""
        try:
            if policy.signed is not Signed.TAG:
                signer = await signer_of(git, self.mirror.repository, chosen.commit)
            if policy.signed is not Signed.HEAD:
                if not chosen.is_tag:
                    why = "It is a plain name for a commit, and nothing in it is signed."
                    raise self._fault(ErrorCode.SIGNATURE_MISSING, chosen, why)
                tag = chosen.reference.removeprefix("refs/tags/")
                signer = await signer_of(git, self.mirror.repository, chosen.object_id, tag)
        except Faulted as faulted:
            raise Faulted(replace(faulted.fault, commit=chosen.commit)) from faulted
        return signer

    async def _described(self, chosen: Chosen) -> SourceRevision:
        shown = await self.mirror.text("log", "-1", "--no-show-signature", f"--format={_FORMAT}", chosen.commit)
        parts = (shown or "").rstrip("\n").split("\0")
        if len(parts) != 4 or parts[0] != chosen.commit:
            if (await self.mirror.text("cat-file", "-t", chosen.commit) or "commit").strip() != "commit":
                raise self._fault(ErrorCode.REVISION_NOT_FOUND, chosen, "It leads to something that is no commit.")
            raise self._fault(ErrorCode.SOURCE_DAMAGED, chosen, "The commit can't be read.")
        return SourceRevision(
            commit=chosen.commit,
            identity=await self._identity(chosen),
            reference=chosen.reference,
            author=_printable(parts[1]),
            subject=_printable(parts[2]),
            committed_at=_instant(parts[3]),
        )

    async def _identity(self, chosen: Chosen) -> str:
        """Return the folder's tree id; where manifests use files elsewhere, a hash of it and of theirs."""
        tree = await self._tree(chosen)
        await self._check_files(chosen, tree)
        if not self._outside:
            return tree
        digest = hashlib.sha256(tree.encode())
        for path in sorted(self._outside):
            named = await self.mirror.text("rev-parse", "--verify", "--quiet", f"{chosen.commit}:{path}")
            digest.update(f"\0{path}\0{named or ''}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    async def _tree(self, chosen: Chosen) -> str:
        """Return the id of the folder that the source is about."""
        line = await self.mirror.text("ls-tree", "-z", chosen.commit, "--", self.spec.path) if self.spec.path else None
        if not self.spec.path:
            top = await self.mirror.text("rev-parse", "--verify", "--quiet", f"{chosen.commit}^{{tree}}")
            if top is None:
                raise self._fault(ErrorCode.SOURCE_DAMAGED, chosen, "The commit's top folder can't be read.")
            return top.strip()
        if line is None:
            raise self._fault(ErrorCode.SOURCE_DAMAGED, chosen, "A folder of the commit can't be read.")
        words = line.partition("\t")[0].split()
        if len(words) != 3 or words[1] != "tree":
            why = "The commit has no such folder." if not words else f"It is a {_kind(words)}, not a folder."
            raise self._fault(ErrorCode.PATH_NOT_FOUND, chosen, why)
        return words[2]

    async def _check_files(self, chosen: Chosen, tree: str) -> None:
        limits = self.spec.limits
        listing = await self.mirror.git.run(
            self.mirror.repository, "ls-tree", "-r", "-z", "--name-only", tree, wait_s=LOCAL_S
        )
        files = listing.output.count(b"\0")
        if listing.overflowed or files > limits.files:
            why = f"It has more than {limits.files:,} files."
            raise self._fault(ErrorCode.SOURCE_TOO_LARGE, chosen, why)
        if not listing.ok:
            raise self._fault(ErrorCode.SOURCE_DAMAGED, chosen, "A folder of the commit can't be read.")

    async def _compared(self, found: SourceRevision, chosen: Chosen, before: SourceRevision | None) -> SourceRevision:
        """Return `found`, marked where the branch was rewritten since `before`. Raises Faulted: history-rewritten."""
        moves = self.spec.reference.kind in (ReferenceKind.HEAD, ReferenceKind.BRANCH)
        if before is None or not moves or before.reference != found.reference:
            return found
        if before.commit == found.commit:
            return replace(found, rewritten=before.rewritten)
        if await self.mirror.is_ancestor(before.commit, found.commit):
            return found
        if self.spec.rewrites is Rewrites.HOLD:
            why = f"{before.commit[:12]}, which is in force, is not among its last {self.spec.depth} commits."
            raise self._fault(ErrorCode.HISTORY_REWRITTEN, chosen, why)
        return replace(found, rewritten=True)

    def _fault(self, code: ErrorCode, chosen: Chosen, why: str) -> Faulted:
        what, hint = _SAID[code]
        named = {"url": self.mirror.address.shown, "path": self.spec.path or ".", "name": chosen.reference}
        return Faulted(
            SourceFault(
                code,
                what.format(commit=chosen.commit[:12], **named),
                why,
                hint,
                chosen.commit,
                passing=code is ErrorCode.SOURCE_DAMAGED,
            )
        )

    def revision(self, commit: str) -> GitRevision:
        """Return the files of a commit that a look has brought here. Close its `store` after use.

        Raises source-damaged where the clone does not have it, or git-failed; reading may raise source-damaged, too.
        What was read until then must then be thrown away: a file that can't be read is not a file that is gone.
        """
        git = self.mirror.git
        reader = ObjectReader(self.mirror.repository, git.variables(), self._note_damage)
        label = f"{self.spec.name} at {commit[:12]}"
        whole = GitRevision.of_store(str(self.mirror.repository), label, commit, reader, self._outside)
        return dataclasses.replace(whole, folder=self.spec.path)

    def _note_damage(self) -> None:
        self._damaged = True
        self._seen = None


_SAID: Final = {
    ErrorCode.SOURCE_DAMAGED: (
        "The clone of {url} is damaged.",
        "Nothing needs to be done: the clone is made anew at the next look.",
    ),
    ErrorCode.REVISION_NOT_FOUND: ("The repository {url} has no commit at {name}.", "Follow a branch, or another tag."),
    ErrorCode.PATH_NOT_FOUND: (
        "The commit {commit} of {url} has no folder `{path}`.",
        "Put it back, or give the source another path.",
    ),
    ErrorCode.SOURCE_TOO_LARGE: (
        "The commit {commit} of {url} is larger than may be taken.",
        "Follow a sub-path of the repository, or raise the limit.",
    ),
    ErrorCode.SIGNATURE_MISSING: ("{name} of {url} is not signed.", "Sign it: `git tag -s`."),
    ErrorCode.HISTORY_REWRITTEN: (
        "The history of {name} in {url} was rewritten.",
        "Push the former commits again, or ask for a sync to accept what is there.",
    ),
}


def _kind(words: list[str]) -> str:
    return {"120000": "symlink", "160000": "submodule"}.get(words[0], "file")


def _printable(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= _TEXT_MAX else shown[: _TEXT_MAX - 1] + "…"


def _instant(seconds: str) -> datetime:
    """Return a committer's time; what no calendar has is the beginning of time."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
