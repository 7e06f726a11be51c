"""The body of a push, as each forge writes it; and which sources it concerns. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from reconciler.model.sources import Reference, ReferenceKind, SourceSpec

TEXT_MAX: Final = 500
CHANGES_MAX: Final = 1000
"""References that one push tells of and we look at; a mirror may push many at once."""


class Unreadable(Exception):
    """The body is not what the forge would send. The message holds nothing of it."""


class Moved(msgspec.Struct, frozen=True):
    """One reference that moved. `commit` is "" where it was deleted or is not told."""

    reference: str
    commit: str = ""


class Push(msgspec.Struct, frozen=True):
    """A repository of which references moved. `repositories` are addresses and names that it goes by.

    `source` is the source's own name, which only a generic webhook gives. No `moved` means that anything may have.
    """

    repositories: tuple[str, ...]
    moved: tuple[Moved, ...] = ()
    source: str = ""
    delivery: str = ""


class _Repository(msgspec.Struct):
    clone_url: str = ""
    ssh_url: str = ""
    html_url: str = ""
    full_name: str = ""


class _Pushed(msgspec.Struct):
    """GitHub's and Gitea's push."""

    ref: str
    repository: _Repository
    after: str = ""
    deleted: bool = False


class _Project(msgspec.Struct):
    git_http_url: str = ""
    git_ssh_url: str = ""
    web_url: str = ""
    path_with_namespace: str = ""


class _GitlabPush(msgspec.Struct):
    ref: str
    project: _Project
    after: str = ""


class _Target(msgspec.Struct):
    hash: str = ""


class _Named(msgspec.Struct):
    name: str
    type: str = "branch"
    target: _Target | None = None


class _BitbucketChange(msgspec.Struct):
    new: _Named | None = None
    old: _Named | None = None


class _BitbucketChanges(msgspec.Struct):
    changes: list[_BitbucketChange]


class _Link(msgspec.Struct):
    href: str = ""


class _Links(msgspec.Struct):
    html: _Link = msgspec.field(default_factory=_Link)


class _BitbucketRepository(msgspec.Struct):
    full_name: str = ""
    links: _Links = msgspec.field(default_factory=_Links)


class _BitbucketPush(msgspec.Struct):
    push: _BitbucketChanges
    repository: _BitbucketRepository


class _ServerLink(msgspec.Struct):
    href: str = ""
    name: str = ""


class _ServerLinks(msgspec.Struct):
    clone: list[_ServerLink] = []


class _ServerProject(msgspec.Struct):
    key: str = ""


class _ServerRepository(msgspec.Struct):
    slug: str = ""
    project: _ServerProject = msgspec.field(default_factory=_ServerProject)
    links: _ServerLinks = msgspec.field(default_factory=_ServerLinks)


class _ServerReference(msgspec.Struct):
    id: str


class _ServerChange(msgspec.Struct):
    ref: _ServerReference
    toHash: str = ""


class _ServerPush(msgspec.Struct):
    """Bitbucket Data Center's `repo:refs_changed`."""

    repository: _ServerRepository
    changes: list[_ServerChange]


class _GenericPush(msgspec.Struct):
    source: str = ""
    repository: str = ""
    ref: str = ""
    commit: str = ""


Body = TypeVar("Body")


def read_push(forge: str, event: str, body: bytes) -> Push | None:
    """Return what a body says of a push; None for an event that is no push. Raises Unreadable."""
    match forge, event.lower():
        case (("github" | "gitea"), "push"):
            return _github(_decoded(body, _Pushed))
        case "gitlab", ("push hook" | "tag push hook" | "system hook"):
            return _gitlab(_decoded(body, _GitlabPush))
        case "bitbucket", "repo:push":
            return _bitbucket(_decoded(body, _BitbucketPush))
        case "bitbucket", "repo:refs_changed":
            return _bitbucket_server(_decoded(body, _ServerPush))
        case "generic", _:
            return _generic(_decoded(body or b"{}", _GenericPush))
        case _:
            return None


def _decoded(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("Its body is not the JSON of a push.") from error


def _push(repositories: Iterable[str], moved: Iterable[Moved]) -> Push:
    known = tuple(dict.fromkeys(_short(one) for one in repositories if one))
    return Push(known, tuple(Moved(_short(one.reference), _commit(one.commit)) for one in moved)[:CHANGES_MAX])


def _github(pushed: _Pushed) -> Push:
    one = pushed.repository
    commit = "" if pushed.deleted else pushed.after
    return _push((one.clone_url, one.ssh_url, one.html_url, one.full_name), [Moved(pushed.ref, commit)])


def _gitlab(pushed: _GitlabPush) -> Push:
    one = pushed.project
    names = (one.git_http_url, one.git_ssh_url, one.web_url, one.path_with_namespace)
    return _push(names, [Moved(pushed.ref, pushed.after)])


def _bitbucket(pushed: _BitbucketPush) -> Push:
    moved = []
    for change in pushed.push.changes[:CHANGES_MAX]:
        named = change.new or change.old
        if named is not None:
            folder = "tags" if named.type == "tag" else "heads"
            target = change.new.target if change.new else None
            moved.append(Moved(f"refs/{folder}/{named.name}", target.hash if target else ""))
    return _push((pushed.repository.links.html.href, pushed.repository.full_name), moved)


def _bitbucket_server(pushed: _ServerPush) -> Push:
    one = pushed.repository
    links = [link.href for link in one.links.clone]
    moved = [Moved(change.ref.id, change.toHash) for change in pushed.changes[:CHANGES_MAX]]
    return _push([*links, f"{one.project.key}/{one.slug}"], moved)


def _generic(pushed: _GenericPush) -> Push:
    moved = [Moved(pushed.ref, pushed.commit)] if pushed.ref else []
    return replace(_push([pushed.repository], moved), source=_short(pushed.source))


def _short(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:TEXT_MAX])


def _commit(text: str) -> str:
    is_commit = len(text) in (40, 64) and all(char in "0123456789abcdef" for char in text) and text.strip("0") != ""
    return text if is_commit else ""


def concerned(push: Push, specs: Iterable[SourceSpec]) -> tuple[str, ...]:
    """Return the names of the sources that a push may have moved, in their order.

    A server goes by several names, so that only paths are compared: a look too much does no harm. A webhook that names
    no repository at all concerns every source.
    """
    paths = {_path(one) for one in push.repositories}
    return tuple(spec.name for spec in specs if _is_meant(push, paths, spec) and _touches(push, spec.reference))


def _is_meant(push: Push, paths: set[str], spec: SourceSpec) -> bool:
    if push.source:
        return push.source == spec.name
    path = _path(spec.url)
    return not paths or any(path == one or path.endswith(f"/{one}") for one in paths if one)


def _touches(push: Push, reference: Reference) -> bool:
    if not push.moved:
        return True
    names = [moved.reference for moved in push.moved]
    match reference.kind:
        case ReferenceKind.BRANCH:
            return any(name in (f"refs/heads/{reference.value}", reference.value) for name in names)
        case ReferenceKind.TAG:
            return any(name in (f"refs/tags/{reference.value}", reference.value) for name in names)
        case ReferenceKind.HEAD:
            return any(not name.startswith("refs/tags/") for name in names)
        case ReferenceKind.SEMVER:
            return any(not name.startswith("refs/heads/") for name in names)
        case ReferenceKind.COMMIT:
            return False


def _path(text: str) -> str:
    """Return a repository's path on its server: `https://h/Org/x.git`, `git@h:org/x` and `org/x` are one."""
    _, scheme_end, rest = text.partition("://")
    if scheme_end:
        path = rest.partition("/")[2]
    else:
        host, colon, tail = text.partition(":")
        path = tail if colon and "/" not in host else text
    path = path.partition("?")[0].strip("/").lower().removesuffix(".git")
    # Bitbucket Data Center serves its clones below /scm.
    return path.removeprefix("scm/")
