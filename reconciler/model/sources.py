"""Where desired state comes from, and what is known of it: values that the controller keeps and shows."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode

HISTORY_DEPTH: Final = 50
"""Commits of a branch that a fetch takes: enough to tell a rewritten branch from one that moved on."""


class ReferenceKind(enum.StrEnum):
    """How a source names the commit that it wants."""

    HEAD = "head"
    """Whatever branch the remote calls its own."""
    BRANCH = "branch"
    TAG = "tag"
    COMMIT = "commit"
    SEMVER = "semver"
    """The highest tag in a range of versions, such as `>=1.2 <2` or `~1.4`."""


class Reference(msgspec.Struct, frozen=True):
    """A branch, a tag, a full commit id, or a range of versions. `value` is "" for HEAD."""

    kind: ReferenceKind = ReferenceKind.HEAD
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.value}".strip()


class Signed(enum.StrEnum):
    """Whose signature counts."""

    HEAD = "head"
    """The commit's own."""
    TAG = "tag"
    """The annotated tag's; the source must then name a tag or a range."""
    TAG_AND_HEAD = "tag-and-head"


class Rewrites(enum.StrEnum):
    """What a force-push does."""

    FOLLOW = "follow"
    """The branch's new commit is applied; the status says that history was rewritten."""
    HOLD = "hold"
    """The last good commit stays in force until the branch has it again, or somebody asks for a sync."""


class SignaturePolicy(msgspec.Struct, frozen=True):
    """Which signatures are demanded. No other key counts, whatever the machine's own keyring says.

    `gpg_keys` is armored public keys, `allowed_signers` the text of an ssh-keygen allowed signers file.
    """

    signed: Signed = Signed.HEAD
    gpg_keys: str = ""
    allowed_signers: str = ""


class Access(Discreet, frozen=True):
    """What opens a remote. Secrets are left out of every repr.

    `token` is for http and https, as password of `username`. `ssh_key` and `known_hosts` are paths of files; ssh
    without `known_hosts` is refused, because the host could be anybody.
    """

    UNSHOWN = frozenset({"token"})

    username: str = ""
    token: str = ""
    ssh_key: str = ""
    known_hosts: str = ""
    ca_file: str = ""


class SourceLimits(msgspec.Struct, frozen=True):
    """What one source may cost."""

    fetch_s: float = 60.0
    """Seconds for one request to the remote, from its start to its end."""
    pack_bytes: int = 256 * 1024 * 1024
    """The largest pack that is taken. A remote that sends more is cut off, and nothing of it is kept."""
    files: int = 10_000
    """Files below the path."""


class SourceSpec(msgspec.Struct, frozen=True):
    """One repository to follow. `url` holds no password; `path` is a folder in it, "" for its root.

    `interval_s` is how often it is polled, in seconds; a webhook comes earlier.
    """

    name: str
    url: str
    reference: Reference = Reference()
    path: str = ""
    access: Access = Access()
    signatures: SignaturePolicy | None = None
    rewrites: Rewrites = Rewrites.FOLLOW
    interval_s: float = 60.0
    depth: int = HISTORY_DEPTH
    limits: SourceLimits = SourceLimits()


class SourceRevision(msgspec.Struct, frozen=True):
    """One commit of a source, fetched and, where that is asked for, verified.

    `identity` changes when anything below the source's path does, or a file elsewhere that manifests use, and with
    nothing else. `reference`
    is what led to the commit ("refs/heads/main"). `signer` is who signed it, "" where nobody was asked.
    `committed_at` is aware UTC, by the committer's clock. Texts are cut short and fit to print.
    """

    commit: str
    identity: str
    reference: str
    author: str
    subject: str
    committed_at: datetime
    signer: str = ""
    rewritten: bool = False
    """The commit that was in force before is not among this one's last SourceSpec.depth ancestors."""


class SourceFault(msgspec.Struct, frozen=True):
    """Why a source has nothing newer to offer. `commit` is the one that was seen and not taken, "" for none."""

    code: ErrorCode
    what: str
    why: str = ""
    hint: str = ""
    commit: str = ""
    passing: bool = False
    """The same request may succeed in a moment: nothing has to be done by anybody first."""


class SourceStatus(msgspec.Struct, frozen=True):
    """Where a source stands. `in_force` is the last good revision, whatever has happened since.

    `fault` says why nothing newer is in force, None while all is well; `since` is when that began, or when the
    source began to be well. `failures` counts looks in a row that failed.
    """

    name: str
    in_force: SourceRevision | None = None
    fault: SourceFault | None = None
    since: datetime | None = None
    failures: int = 0


Sources = Mapping[str, SourceStatus]
"""{source name: where it stands}."""
