"""What a daemon remembers of its part in a swarm, in a file of its own: without it there is no swarm."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from reconciler.adapters.whole_file import sync_folder
from reconciler.assembly.folder import NODE_FILE, put_file
from reconciler.model.errors import ErrorCode, SwarmctlError

FORMAT = 2
RUNTIMES = ("", "docker", "process")


class NodeState(msgspec.Struct, frozen=True):
    """Which swarm, and which node of it. `runtime` is what runs its tasks (a RuntimeKind), "" where an earlier version
    did not remember it."""

    cluster_id: str
    node_id: str
    address: str
    port: int
    runtime: str = ""


def load(folder: Path) -> NodeState | None:
    """Return what is remembered, None outside a swarm. Raises SwarmctlError (embedded-failed) for what is damaged."""
    path = folder / NODE_FILE
    try:
        fields = json.loads(path.read_bytes())
        if fields.pop("format") not in (1, FORMAT):
            raise ValueError
        fields.pop("lock", None)  # of format 1, whose log was not sealed
        if fields.get("runtime", "") not in RUNTIMES:
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
    put_file(folder / NODE_FILE, json.dumps({"format": FORMAT} | asdict(state)))


def forget(folder: Path) -> None:
    """From now on, and durably, this node is in no swarm."""
    (folder / NODE_FILE).unlink(missing_ok=True)
    sync_folder(folder)
