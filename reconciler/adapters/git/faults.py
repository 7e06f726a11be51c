"""What went wrong with a remote, from what git said of it. Its own words are shown, without addresses."""

from __future__ import annotations

import re
from typing import Final

from reconciler.adapters.git.command import Ended
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import SourceFault

_TEXT_MAX: Final = 200

_SIGNS: Final = (
    (ErrorCode.SOURCE_DISK_FULL, ("no space left on device", "disk quota exceeded")),
    (ErrorCode.SOURCE_TOO_LARGE, ("died of signal 25", "file too large", "file size limit")),
    (
        ErrorCode.SOURCE_REFUSED,
        (
            "could not read username",
            "could not read password",
            "authentication failed",
            "invalid credentials",
            "permission denied (",
            "permission denied, please try again",
            "host key verification failed",
            "no matching host key",
            "unprotected private key file",
            "returned error: 401",
            "returned error: 403",
            "access denied",
            "too many authentication failures",
            "dubious ownership",
        ),
    ),
    (
        ErrorCode.SOURCE_UNREACHABLE,
        (
            "could not resolve host",
            "couldn't connect to server",
            "failed to connect",
            "connection refused",
            "connection timed out",
            "connection reset",
            "connection closed",
            "no route to host",
            "network is unreachable",
            "operation too slow",
            "returned error: 4",
            "returned error: 5",
            "repository not found",
            "not found",
            "does not appear to be a git repository",
            "no such file or directory",
            "could not read from remote repository",
            "the remote end hung up",
            "early eof",
            "ssl certificate problem",
            "server certificate verification failed",
            "gnutls",
            "empty reply from server",
            "rpc failed",
            "redirect",
            "transport '",
            "remote error",
            "unexpected disconnect",
        ),
    ),
    (ErrorCode.SOURCE_UNSAFE, ("error in object", "fsck error", "fsck_objects", "fsckobjects")),
)
_HINTS: Final = {
    ErrorCode.SOURCE_DISK_FULL: "Make room in the controller's data folder.",
    ErrorCode.SOURCE_TOO_LARGE: "Keep large files out of the repository, or raise the limit of its size.",
    ErrorCode.SOURCE_REFUSED: "Check the token, or the ssh key and the known_hosts file, of this source.",
    ErrorCode.SOURCE_UNREACHABLE: "Check the address, and whether the Git server answers from here.",
    ErrorCode.SOURCE_UNSAFE: "Run `git fsck --strict` on the repository, and mend what it names.",
    ErrorCode.SOURCE_DAMAGED: "Nothing needs to be done: the clone is made anew at the next look.",
}
_WHAT: Final = {
    ErrorCode.SOURCE_DISK_FULL: "There is no room for the clone of {url}.",
    ErrorCode.SOURCE_TOO_LARGE: "The repository {url} is larger than may be taken.",
    ErrorCode.SOURCE_REFUSED: "The Git server of {url} refuses us.",
    ErrorCode.SOURCE_UNREACHABLE: "The repository {url} can't be reached.",
    ErrorCode.SOURCE_UNSAFE: "The repository {url} holds an object that is not well-formed.",
    ErrorCode.SOURCE_DAMAGED: "The clone of {url} is damaged.",
}
PASSING: Final = frozenset(
    {
        ErrorCode.SOURCE_UNREACHABLE,
        ErrorCode.SOURCE_TIMED_OUT,
        ErrorCode.SOURCE_DAMAGED,
        ErrorCode.SOURCE_DISK_FULL,
        ErrorCode.SOURCE_BUSY,
    }
)
"""Faults that may go away though nobody touches the repository."""


class Faulted(Exception):
    """A look at a source came to nothing. It never leaves the package: `source` hands out its `fault`."""

    def __init__(self, fault: SourceFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def remote_fault(ended: Ended, url: str, wait_s: float) -> Faulted:
    """Return why a command that talks to the remote failed; `source-damaged` where only our clone can be the cause."""
    if ended.overflowed:
        why = "It has more references than may be listed."
        return _faulted(ErrorCode.SOURCE_TOO_LARGE, url, why)
    if ended.status in (126, 127):
        what = f"The repository {url} can't be read."
        return Faulted(SourceFault(ErrorCode.GIT_FAILED, what, "Git can't be run.", "See that Git is installed."))
    code = _code(ended.error)
    # What git had said before its time was over names the cause better than that it was.
    if ended.timed_out and code in (ErrorCode.SOURCE_DAMAGED, ErrorCode.SOURCE_UNREACHABLE):
        fault = SourceFault(
            ErrorCode.SOURCE_TIMED_OUT,
            f"The repository {url} did not answer in time.",
            f"The request was given up after {wait_s:g} s.",
            "Check whether the Git server answers from here, or allow it more time.",
            passing=True,
        )
        return Faulted(fault)
    return _faulted(code, url, said(ended.error))


def _faulted(code: ErrorCode, url: str, why: str) -> Faulted:
    return Faulted(SourceFault(code, _WHAT[code].format(url=url), why, _HINTS[code], passing=code in PASSING))


def _code(text: str) -> ErrorCode:
    folded = text.lower()
    for code, signs in _SIGNS:
        if any(sign in folded for sign in signs):
            return code
    return ErrorCode.SOURCE_DAMAGED


def said(text: str) -> str:
    """Return the line of git's that tells most, as a sentence; addresses are cut out, which may hold what we don't
    show, and so is everything that is not fit to print."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = _code(text)
    telling = [line for line in lines if cause is not ErrorCode.SOURCE_DAMAGED and _code(line) is cause]
    telling += [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] + lines
    if not telling:
        return "Git gave no reason."
    line = re.sub(r"^(?:fatal|error|remote): ", "", telling[0])
    line = re.sub(r"'[a-z+]+://\S*'", "the address", line)
    line = re.sub(r"\b[a-z+]+://\S+", "the address", line)
    line = "".join(char if char.isprintable() else "?" for char in line)[:_TEXT_MAX].rstrip(". ")
    return f"Git says: {line}."
