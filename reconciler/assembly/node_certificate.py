"""The certificate of this node and the root that it trusts, in its folder: made, found again, and made anew in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.adapters.swarm_ca import NodeCertificate, issue, renewal_at, was_issued_by
from reconciler.assembly.folder import CERTIFICATES_FOLDER, put_file, sync
from reconciler.assembly.node_keys import NodeKeys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.trust import Trust
from reconciler.model.objects import NodeRole

ROOT_FILE = "swarm-root-ca.crt"
NODE_FILE = "swarm-node.crt"


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate as PEM, and when it is to be made anew."""

    certificate: str
    renewal_at: datetime


@dataclass(frozen=True, slots=True)
class Chance:
    """This moment, and a number of 0 to 1 that spreads the renewals of many nodes."""

    now: datetime
    part: float


def keep_certified(
    folder: Path, node: NodeState, keys: NodeKeys, trust: Trust, valid: timedelta, chance: Chance
) -> Certified:
    """Return the node's certificate of this root: the one in its folder, or a new one if it is not, or too old."""
    place = folder / CERTIFICATES_FOLDER
    kept = _read(place / NODE_FILE)
    if kept and was_issued_by(trust.root, kept, keys.tls, chance.now):
        at = renewal_at(kept, chance.part)
        if chance.now < at:
            return Certified(kept, at)
    wanted = NodeCertificate(node.node_id, node.cluster_id, NodeRole.MANAGER, valid)
    made = issue(trust.root, wanted, keys.tls, chance.now)
    place.mkdir(mode=0o700, exist_ok=True)
    sync(folder)
    put_file(place / ROOT_FILE, trust.root.certificate)
    put_file(place / NODE_FILE, made)
    return Certified(made, renewal_at(made, chance.part))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):  # it can be made again at any time
        return ""
