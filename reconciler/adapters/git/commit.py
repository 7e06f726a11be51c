"""A commit of a Git repository as a Revision.

Objects are read straight from the object store by gitdb, in this process: no git command is run, so that neither
hooks nor anything else in the repository's configuration can run, and the work tree and index stay untouched. A
repository that somebody else owns, or a bare one, is read like any other.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import re
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from reconciler.adapters.directory import work_tree_top
from reconciler.adapters.revision_errors import (
    checked_parts,
    circular,
    escapes,
    in_submodule,
    no_file,
    not_found,
    shown_path,
    too_large,
)
from reconciler.manifests.problems import did_you_mean
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX

SYMLINKS_MAX: Final = 40
"""Symlinks followed on the way to one file, as many as Linux follows."""
_TREE_BYTES_MAX: Final = 64 * 1024 * 1024
_TAGS_MAX: Final = 10
"""Tags of tags that are followed to a commit."""
_TYPE_BITS: Final = 0o170000
_FOLDER, _SYMLINK, _SUBMODULE = 0o040000, 0o120000, 0o160000
_SHORT_ID: Final = re.compile(r"[0-9a-fA-F]{4,39}(?=$|[~^@])")
"""What may be the beginning of an object's id, and as well a branch or tag that is a year or a build's number."""
_REVISION: Final = re.compile(r"[^\s:\x00-\x1f\x7f]{1,250}")


class _Entry(msgspec.Struct, frozen=True):
    """One name in a Git tree. `mode` is a file mode without permissions."""

    sha: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class GitRevision:
    """The files of one commit. Satisfies reconciler.model.revision.Revision.

    `root` is the absolute path of the work tree's top, or of the bare repository: no file is read there, it
    only makes relative bind mounts absolute. `file` is the path from the root of the file that the user named,
    or None when a folder was named; `folder` is then the file's folder.
    """

    root: str
    label: str
    commit: str
    folder: str = ""
    file: str | None = None
    _store: Any = field(default=None, repr=False, compare=False)
    _top: bytes = field(default=b"", repr=False)
    _trees: dict[bytes, dict[str, _Entry]] = field(default_factory=dict, repr=False, compare=False)
    _outside: set[str] = field(default_factory=set, repr=False, compare=False)
    """Paths outside `folder` that somebody asked for: what was made of this revision depends on them as well."""

    @classmethod
    def open(cls, path: str, revision: str) -> GitRevision:
        """Return the commit that `revision` names (SHA, abbreviated SHA, branch, tag, origin/branch).

        `path` is a folder or file in the repository; it must exist in the commit, not in the work tree. Raises
        SwarmctlError: not-a-git-repository, revision-not-found, path-not-found, git-failed.
        """
        shown = path.encode("utf-8", "replace").decode()
        root, relative = _repository_around(path, shown)
        repository = _repository(root, shown)
        commit = _commit(repository, revision, shown)
        label = f"{shown} at {commit.hexsha[:12]}"
        opened = cls(root, label, commit.hexsha, "", None, repository.odb, commit.tree.binsha)
        parts = "" if relative == "." else relative
        if not parts:
            return opened
        try:
            entry = opened._entry(parts, shown)
        except SwarmctlError as error:
            if error.code is not ErrorCode.FILE_NOT_FOUND:
                raise
            why = f"The commit {commit.hexsha[:12]} has no such file or folder."
            hint = "Name a folder or stack file that the commit has."
            raise SwarmctlError(ErrorCode.PATH_NOT_FOUND, f"`{shown}` does not exist.", why=why, hint=hint) from error
        is_folder = entry.mode == _FOLDER
        folder = parts if is_folder else posixpath.dirname(parts)
        named = None if is_folder else parts
        return cls(root, label, commit.hexsha, folder, named, repository.odb, commit.tree.binsha)

    @classmethod
    def of_store(cls, root: str, label: str, commit: str, store: Any, outside: set[str]) -> GitRevision:
        """Return `commit`, whose objects `store` reads: a clone of ours, which is not looked into by this process.

        `store` has `info(sha).size` and `stream(sha).read()`. What is asked for outside the folder, which the caller
        sets, goes to `outside`. Raises what `store` raises, and git-failed.
        """
        opened = cls(root, label, commit, "", None, store, _outside=outside)
        header = opened._content(bytes.fromhex(commit), label, FILE_BYTES_MAX).partition(b"\n")[0].split()
        if len(header) != 2 or header[0] != b"tree":
            raise _failed(label, "The commit names no folder.")
        return replace(opened, _top=bytes.fromhex(header[1].decode("ascii", "replace")))

    def close(self) -> None:
        """End what reads the objects. Nothing can be read after that."""
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def display(self, path: str) -> str:
        """Return `path` relative to the folder that the user named."""
        return shown_path(path, self.folder)

    def exists(self, path: str) -> bool:
        """Return whether something that is no folder lies at `path`, be it a symlink to nowhere."""
        self._note(path)
        try:
            return self._entry(path, path).mode != _FOLDER
        except SwarmctlError as error:
            if error.code is ErrorCode.SOURCE_DAMAGED:
                raise  # what can't be read is not what isn't there: stacks would seem to be gone
            return self._is_link(path)

    def read(self, path: str) -> bytes:
        """Return a file's content; a large one is refused by the size that the object store tells."""
        self._note(path)
        shown = self.display(path)
        entry = self._entry(path, shown)
        if entry.mode == _FOLDER:
            raise no_file(shown, "a folder")
        if entry.mode == _SUBMODULE:
            raise no_file(shown, "a submodule, whose files are in another repository")
        return self._content(entry.sha, shown, FILE_BYTES_MAX)

    def files_under(self, folder: str) -> tuple[str, ...]:
        """Return what lies directly in `folder` and is no folder, sorted; empty when there is no such folder."""
        shown = self.display(folder)
        try:
            entry = self._entry(folder, shown)
        except SwarmctlError as error:
            if error.code is ErrorCode.FILE_NOT_FOUND:
                return ()
            raise
        if entry.mode == _SUBMODULE:
            raise in_submodule(shown, "a submodule")
        if entry.mode != _FOLDER:
            return ()
        paths = (posixpath.join(folder, name) for name in sorted(self._tree(entry.sha, shown)))
        return tuple(path for path in paths if self.exists(path))

    def _note(self, path: str) -> None:
        if self.folder and not path.startswith(f"{self.folder}/"):
            self._outside.add(path)

    def _is_link(self, path: str) -> bool:
        folder, name = posixpath.split(path)
        try:
            entries = self._tree(self._entry(folder, folder).sha, folder)
        except SwarmctlError:
            return False
        return name in entries and entries[name].mode == _SYMLINK

    def _entry(self, path: str, shown: str) -> _Entry:
        """Return what lies at `path`, symlinks followed, which stay inside the commit."""
        pending = deque(checked_parts(path, shown))
        way = [_Entry(self._top, _FOLDER)]
        links = 0
        while pending:
            part = pending.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                if len(way) == 1:
                    raise escapes(shown, "A symlink on its way points outside.")
                way.pop()
                continue
            here = way[-1]
            entry = self._tree(here.sha, shown).get(part) if here.mode == _FOLDER else None
            if here.mode == _SUBMODULE:
                raise no_file(shown, "in a submodule, whose files are in another repository")
            if entry is None:
                raise not_found(shown, self.label, self.file)
            if entry.mode != _SYMLINK:
                way.append(entry)
                continue
            links += 1
            if links > SYMLINKS_MAX:
                raise circular(shown)
            pending.extendleft(reversed(self._link_parts(entry.sha, shown)))
        return way[-1]

    def _link_parts(self, sha: bytes, shown: str) -> list[str]:
        target = self._content(sha, shown, 4096).decode("utf-8", "replace")
        if target.startswith("/"):
            raise escapes(shown, "A symlink on its way is absolute.")
        return target.split("/")

    def _tree(self, sha: bytes, shown: str) -> dict[str, _Entry]:
        from git.objects.fun import tree_entries_from_data  # noqa: PLC0415 - see _repository

        if sha not in self._trees:
            try:
                entries = tree_entries_from_data(self._content(sha, shown, _TREE_BYTES_MAX))
            except (IndexError, ValueError) as error:
                raise _failed(shown, "A folder in the object store is damaged.") from error
            self._trees[sha] = {
                name if isinstance(name, str) else name.decode("utf-8", "replace"): _Entry(each, _kind(mode))
                for each, mode, name in entries
            }
        return self._trees[sha]

    def _content(self, sha: bytes, shown: str, bytes_max: int) -> bytes:
        from git.exc import ODBError  # noqa: PLC0415 - see _repository

        try:
            size = self._store.info(sha).size
            if size > bytes_max:
                raise too_large(shown, size)
            content: bytes = self._store.stream(sha).read()
        except (ODBError, OSError, ValueError, IndexError, AssertionError, zlib.error) as error:
            why = f"The object {sha.hex()[:12]} is missing or damaged."
            raise _failed(shown, why) from error
        return content


def _kind(mode: int) -> int:
    return mode & _TYPE_BITS


def _failed(shown: str, why: str) -> SwarmctlError:
    hint = "Try `git fsck`; in a shallow or partial clone fetch what is missing: `git fetch --refetch --no-filter`."
    return SwarmctlError(ErrorCode.GIT_FAILED, f"{shown} cannot be read from Git.", why=why, hint=hint)


def _repository_around(path: str, shown: str) -> tuple[str, str]:
    """Return the repository's folder and `path` relative to it. `path` need not exist in the work tree."""
    if path and "\0" not in path:
        for absolute in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):
            root = work_tree_top(absolute) or _bare_top(absolute)
            if root is not None:
                return root, os.path.relpath(absolute, root)
    raise _no_repository(shown)


def _no_repository(shown: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.NOT_A_GIT_REPOSITORY,
        f"The path `{shown}` is not in a Git repository.",
        why="Neither it nor a folder above it is one that can be read.",
        hint="Name a folder of a repository, or leave out --revision and --base to take the files as they lie there.",
    )


def _bare_top(folder: str) -> str | None:
    current = folder
    while True:
        if all(os.path.exists(os.path.join(current, name)) for name in ("HEAD", "objects", "refs")):
            return current
        parent = os.path.dirname(current)
        if parent == current:
            return None
        current = parent


def _repository(root: str, shown: str) -> Any:
    # GitPython looks for the git program when it is imported and fails without it; who reads plain
    # directories only must not need it.
    try:
        import git  # noqa: PLC0415
    except ImportError as error:
        hint = "Install Git (apt-get install git), or leave out --revision and --base."
        what = "Git is not installed."
        raise SwarmctlError(ErrorCode.GIT_FAILED, what, why="GitPython needs the git program.", hint=hint) from error
    try:
        repository = git.Repo(root, search_parent_directories=False)
        # GitPython's own store asks `git cat-file`, which refuses repositories of other owners and, in a partial
        # clone, fetches what is missing with whatever command the configuration names. gitdb only reads files.
        repository.odb = git.GitDB(os.path.join(repository.common_dir, "objects"))
        reader = repository.config_reader("repository")
        hashes = str(reader.get_value("extensions", "objectformat", "sha1"))
        references = str(reader.get_value("extensions", "refstorage", "files"))
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, PermissionError) as error:
        raise _no_repository(shown) from error
    except (git.GitError, OSError, ValueError, configparser.Error) as error:
        raise _failed(shown, "The repository's configuration cannot be read.") from error
    if (hashes, references) != ("sha1", "files"):
        why = f"It uses the object format {hashes[:20]} and the reference format {references[:20]}."
        hint = "Use a repository of Git's default formats (sha1, files)."
        raise SwarmctlError(ErrorCode.GIT_FAILED, f"The repository of `{shown}` cannot be read.", why=why, hint=hint)
    return repository


def _commit(repository: Any, revision: str, shown: str) -> Any:
    import git  # noqa: PLC0415 - see _repository
    from git.exc import AmbiguousObjectName, ODBError  # noqa: PLC0415

    if not _REVISION.fullmatch(revision):
        why = "That is no name of a commit, branch or tag." if revision else "It is empty."
        raise _no_revision(repository, revision, shown, why)
    try:
        found = repository.rev_parse(_in_full(repository, revision))
        for _ in range(_TAGS_MAX):
            if found.type != "tag":
                break
            found = found.object
        if found.type != "commit":
            raise _no_revision(repository, revision, shown, f"It is a {found.type}, not a commit.")
        _ = found.tree
    except AmbiguousObjectName as error:
        why = "Several objects start with these digits."
        raise _no_revision(repository, revision, shown, why) from error
    except (git.GitError, ODBError, OSError, ValueError, LookupError, NotImplementedError, AssertionError) as error:
        raise _no_revision(repository, revision, shown, *_missing_why(repository)) from error
    return found


def _in_full(repository: Any, revision: str) -> str:
    """Return the revision so that GitPython takes it as Git does: by name first, then by an id in either case."""
    import git  # noqa: PLC0415 - see _repository

    short = _SHORT_ID.match(revision)
    if short is None:
        return revision
    name, rest = short[0], revision[short.end() :]
    for reference in (f"refs/{kind}/{name}" for kind in ("tags", "heads", "remotes")):
        if git.SymbolicReference(repository, reference).is_valid():
            return f"{reference}{rest}"
    return f"{name.lower()}{rest}"


def _missing_why(repository: Any) -> tuple[str, str]:
    """Return why a revision was not found, and what to do where that is not to look for a name like it."""
    if not any(True for _ in repository.references) and not repository.head.is_valid():
        return "The repository has no commit yet.", "Commit something, or fetch the branch."
    if os.path.exists(os.path.join(repository.common_dir, "shallow")):
        why = "No commit, branch or tag has that name; the clone is shallow, and older commits are not in it."
        return why, "Fetch what is missing: `git fetch --unshallow`, and the branch itself."
    return "No commit, branch or tag has that name.", ""


def _no_revision(repository: Any, revision: str, shown: str, why: str, hint: str = "") -> SwarmctlError:
    names = [reference.name for reference in repository.references]
    text = "".join(char if char.isprintable() else "?" for char in revision[:80])
    what = f"The revision {text!r} does not exist in the repository of `{shown}`."
    hint = hint or did_you_mean(text, names, noun="branches and tags")
    return SwarmctlError(ErrorCode.REVISION_NOT_FOUND, what, why=why, hint=hint)
