"""Which commit a source's reference names, among what the remote offers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from reconciler.adapters.git.faults import Faulted
from reconciler.gitops.versions import highest
from reconciler.manifests.problems import did_you_mean
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import Reference, ReferenceKind, Signed, SourceFault, SourceSpec

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_BAD_NAME: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^[-/.]|/$|\.lock$|//")
_PEELED: Final = "^{}"


class Offer(msgspec.Struct, frozen=True):
    """What a remote has: {full reference name: object id}, and {tag: commit} of annotated tags.

    `head` is the branch that HEAD stands for, "" where the remote does not tell.
    """

    references: Mapping[str, str]
    peeled: Mapping[str, str]
    head: str = ""


class Chosen(msgspec.Struct, frozen=True):
    """The object to fetch: a commit, or an annotated tag of `commit`."""

    reference: str
    object_id: str
    commit: str

    @property
    def is_tag(self) -> bool:
        return self.object_id != self.commit


def check_spec(spec: SourceSpec) -> None:
    """Raise source-invalid for what no remote could serve."""
    reference = spec.reference
    wants_tag = spec.signatures is not None and spec.signatures.signed is not Signed.HEAD
    if reference.kind is ReferenceKind.COMMIT and not COMMIT.fullmatch(reference.value):
        raise _invalid(f"{reference.value[:60]!r} is no full commit id.", "Give all 40 digits of it.")
    if reference.kind in (ReferenceKind.BRANCH, ReferenceKind.TAG) and (
        not reference.value or len(reference.value) > 250 or _BAD_NAME.search(reference.value)
    ):
        raise _invalid(f"{reference.value[:60]!r} is no name of a {reference.kind.value}.", "Check its spelling.")
    if reference.kind is ReferenceKind.SEMVER:
        highest(reference.value, ())
    if wants_tag and reference.kind not in (ReferenceKind.TAG, ReferenceKind.SEMVER):
        raise _invalid("Signed tags are asked for, and no tag is named.", "Follow a tag or a range of versions.")
    parts = spec.path.split("/") if spec.path else []
    if any(part in ("", ".", "..") for part in parts) or "\0" in spec.path:
        raise _invalid(f"{spec.path[:60]!r} is no path in a repository.", "Give it without `.`, `..` or a slash first.")


def _invalid(why: str, hint: str) -> SwarmctlError:
    return SwarmctlError(ErrorCode.SOURCE_INVALID, "The source can't be followed.", why=why, hint=hint)


def patterns(reference: Reference) -> tuple[str, ...]:
    """Return what to ask the remote for, so that a repository of 100,000 tags sends one line where one will do."""
    match reference.kind:
        case ReferenceKind.HEAD:
            return ("HEAD",)
        case ReferenceKind.BRANCH:
            return (f"refs/heads/{reference.value}",)
        case ReferenceKind.TAG:
            return (f"refs/tags/{reference.value}*",)
        case ReferenceKind.SEMVER:
            return ("refs/tags/*",)
        case ReferenceKind.COMMIT:
            return ()


def read_offer(output: bytes) -> Offer:
    """Return what `git ls-remote --symref` printed. Lines of another form are passed over."""
    references: dict[str, str] = {}
    peeled: dict[str, str] = {}
    head = ""
    for line in output.decode("utf-8", "replace").splitlines():
        left, _, name = line.partition("\t")
        if left.startswith("ref: ") and name == "HEAD":
            head = left.removeprefix("ref: ")
        elif not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", left):
            continue
        elif name.endswith(_PEELED):
            peeled[name.removesuffix(_PEELED)] = left
        else:
            references[name] = left
    return Offer(references, peeled, head)


def choose(reference: Reference, offer: Offer, url: str) -> Chosen:
    """Return what the reference names. Raises Faulted: revision-not-found, git-failed (another object format)."""
    name = _name(reference, offer)
    found = offer.references.get(name, "")
    if reference.kind is ReferenceKind.COMMIT:
        return Chosen(reference.value, reference.value, reference.value)
    if len(found) == 64:
        why = "It uses the object format sha256."
        what = f"The repository {url} can't be read."
        raise Faulted(SourceFault(ErrorCode.GIT_FAILED, what, why, "Use a repository of Git's default format (sha1)."))
    if not found:
        raise _missing(reference, offer, url)
    shown = offer.head or "HEAD" if name == "HEAD" else name
    return Chosen(shown, found, offer.peeled.get(name, found))


def _name(reference: Reference, offer: Offer) -> str:
    match reference.kind:
        case ReferenceKind.HEAD:
            return "HEAD"
        case ReferenceKind.BRANCH:
            return f"refs/heads/{reference.value}"
        case ReferenceKind.TAG:
            return f"refs/tags/{reference.value}"
        case ReferenceKind.SEMVER:
            tags = [name.removeprefix("refs/tags/") for name in offer.references if name.startswith("refs/tags/")]
            return f"refs/tags/{highest(reference.value, tags)}"
        case ReferenceKind.COMMIT:
            return reference.value


def _missing(reference: Reference, offer: Offer, url: str) -> Faulted:
    names = [name.removeprefix("refs/tags/").removeprefix("refs/heads/") for name in offer.references]
    if reference.kind is ReferenceKind.SEMVER:
        why = f"None of its {len(names)} tags is a version in that range."
    elif reference.kind is ReferenceKind.HEAD:
        why = "Its HEAD names a branch that does not exist."
    else:
        why = f"There is no such {reference.kind.value}, or it was deleted."
    hint = did_you_mean(reference.value, names) if names else "Push it, or follow another one."
    return Faulted(SourceFault(ErrorCode.REVISION_NOT_FOUND, f"The repository {url} has no {reference}.", why, hint))
