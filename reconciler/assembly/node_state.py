"""What a daemon remembers of its part in a swarm, in a file of its own: without it there is no swarm."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.assembly.folder import NODE_FILE
from reconciler.model.errors import ErrorCode, SwarmctlError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class NodeState:
    """Which swarm, and which node of it. `lock` is the digest of the key that unlocks it, "" while it needs none."""

    cluster_id: str
    node_id: str
    address: str
    port: int
    lock: str = ""


def load(folder: Path) -> NodeState | None:
    """Return what is remembered, None outside a swarm. Raises SwarmctlError (embedded-failed) for what is damaged."""
    path = folder / NODE_FILE
    try:
        fields = json.loads(path.read_bytes())
        if fields.pop("format") != FORMAT:
            raise ValueError
        return NodeState(**fields)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"{path} can't be read.",
            why=f"{type(error).__name__}: it says which swarm this node is in.",
            hint="Put back the one of a backup of this folder.",
        ) from error


def save(folder: Path, state: NodeState) -> None:
    """Remember it, durably, at once or not at all."""
    path, new = folder / NODE_FILE, folder / f"{NODE_FILE}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"format": FORMAT} | asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(folder)


def forget(folder: Path) -> None:
    """From now on, and durably, this node is in no swarm."""
    (folder / NODE_FILE).unlink(missing_ok=True)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
