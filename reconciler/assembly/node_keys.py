"""A node's own keys in its folder: of what it keeps of the swarm, and of its certificate. Locked, they are sealed.

Source of the design: swarmkit, which seals a manager's log with a data key at all times, and the data key with the
operator's unlock key while the swarm locks its managers. (facts: swarmkit 5.8; decision 0020)
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from reconciler.adapters.sealing import KEY_BYTES, closed, new_key, opened
from reconciler.adapters.swarm_ca import new_tls_key
from reconciler.assembly.folder import KEYS_FILE, put_file
from reconciler.assembly.node_state import NodeState
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError

FORMAT = 1
DATA_KEYS_MAX = 64
"""Data keys of a node, of which it gets one with each new lock. An old one opens what was sealed with it."""


class NodeKeys(Discreet, frozen=True):
    """The last of `data` seals the log and its snapshots, and all open them. `tls` belongs to the node's certificate,
    as PEM."""

    UNSHOWN = frozenset({"data", "tls"})

    data: tuple[bytes, ...]
    tls: str

    def renewed(self) -> NodeKeys:
        """Return keys that seal with another one from now on; the same when there are too many."""
        return self if len(self.data) >= DATA_KEYS_MAX else NodeKeys((*self.data, new_key()), self.tls)


class SealedKeys(Discreet, frozen=True):
    """Keys that are locked."""

    UNSHOWN = frozenset({"content"})

    content: bytes

    def open(self, node: NodeState, unlock_key: bytes) -> NodeKeys | None:
        """Return the keys, None if `unlock_key` is not the one that they were sealed with."""
        plain = opened(unlock_key, self.content, _place(node))
        return _decoded(plain) if plain is not None else None


def new_keys() -> NodeKeys:
    """Return keys for a node that begins or joins a swarm."""
    return NodeKeys((new_key(),), new_tls_key())


def load(folder: Path) -> NodeKeys | SealedKeys | None:
    """Return what is in a node's folder, None before there was anything.

    Raises SwarmctlError (embedded-failed) for what is damaged.
    """
    path = folder / KEYS_FILE
    try:
        fields = json.loads(path.read_bytes())
        if fields["format"] != FORMAT:
            raise ValueError
        content = base64.b64decode(fields["keys"], validate=True)
        return SealedKeys(content) if fields["locked"] else _decoded(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"{path} can't be read.",
            why=f"{type(error).__name__}: it holds the keys of what this node keeps of the swarm.",
            hint="Put back the one of a backup of this folder.",
        ) from error


def save(folder: Path, node: NodeState, keys: NodeKeys, unlock_key: bytes | None) -> None:
    """Remember them, durably, at once or not at all: sealed with `unlock_key`, or as they are without one.

    Raises SwarmctlError (embedded-failed).
    """
    content = json.dumps({"data": [base64.b64encode(one).decode() for one in keys.data], "tls": keys.tls}).encode()
    if unlock_key is not None:
        content = closed(unlock_key, content, _place(node))
    fields = {"format": FORMAT, "locked": unlock_key is not None, "keys": base64.b64encode(content).decode()}
    try:
        put_file(folder / KEYS_FILE, json.dumps(fields))
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            "The node's keys can't be written.",
            why=f"{folder / KEYS_FILE}: {error.strerror}. They are as they were before.",
            hint="Mend the folder, then start this node's daemon again: it brings them in step with the swarm.",
        ) from error


def is_locked_with(folder: Path, node: NodeState, unlock_key: bytes | None) -> bool:
    """Whether what is on disk is sealed with exactly this key; None: whether it is not sealed."""
    kept = load(folder)
    if isinstance(kept, SealedKeys):
        return unlock_key is not None and kept.open(node, unlock_key) is not None
    return kept is not None and unlock_key is None


def _place(node: NodeState) -> bytes:
    return f"node keys of {node.node_id} in {node.cluster_id}".encode()


def _decoded(content: bytes) -> NodeKeys:
    fields = json.loads(content)
    keys = NodeKeys(tuple(base64.b64decode(one, validate=True) for one in fields["data"]), fields["tls"])
    if not keys.data or {len(one) for one in keys.data} != {KEY_BYTES}:
        raise ValueError("no key")
    return keys
