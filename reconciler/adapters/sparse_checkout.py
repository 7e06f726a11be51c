"""What `git sparse-checkout` leaves out of a work tree: it is in the repository, and looks deleted."""

from __future__ import annotations

import os
import subprocess

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.words import some

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
GIT_WAIT_S = 10.0
LISTED_MAX = 3
"""Files that the error names."""


def refuse_left_out(root: str, folder: str, shown: str) -> None:
    """Raise SwarmctlError (sparse-checkout) if files of `folder`, a path from the top of a work tree, are left out.

    Costs a look for one file where the checkout is whole. Where there is no git to ask, nothing is refused.
    """
    if not os.path.exists(os.path.join(_git_folder(root), "info", "sparse-checkout")):
        return
    # What the work tree's own configuration would have git run is not run.
    line = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", root, "ls-files", "-t", "-z"]
    environment = {"PATH": SEARCH_PATH, "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        listed = subprocess.run(
            [*line, "--", folder or "."], capture_output=True, env=environment, timeout=GIT_WAIT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return
    left_out = [os.fsdecode(one[2:]) for one in listed.split(b"\0") if one.startswith(b"S ")]
    if not left_out:
        return
    raise SwarmctlError(
        ErrorCode.SPARSE_CHECKOUT,
        f"Files of {shown or 'the repository'} are not checked out.",
        why=f"`git sparse-checkout` leaves out {some(left_out, LISTED_MAX)}: what they declare would look deleted.",
        hint="Name a commit (`--revision HEAD`), check the folder out (`git sparse-checkout add`), or list the stack "
        "files in swarm.yaml.",
    )


def _git_folder(root: str) -> str:
    """Return the folder that Git keeps for this work tree; of a linked one it is elsewhere, and a file says where."""
    path = os.path.join(root, ".git")
    if not os.path.isfile(path):
        return path
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return os.path.join(root, file.read(4096).removeprefix("gitdir:").strip())
    except OSError:
        return path
