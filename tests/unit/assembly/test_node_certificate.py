"""A node keeps its certificate while it serves, and makes another in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.assembly.node_certificate import Chance, keep_certified
from reconciler.assembly.node_keys import new_keys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.trust import new_trust

NOW = datetime(2026, 11, 21, tzinfo=UTC)
NODE = NodeState("cluster", "node", "127.0.0.1", 2377)
VALID = timedelta(hours=9)


def test_a_certificate_is_made_once_and_anew_when_its_time_or_root_is_over(tmp_path: Path) -> None:
    keys, trust = new_keys(), new_trust(NOW)

    def kept_at(hours: float, root: object = trust, with_keys: object = keys) -> str:
        chance = Chance(NOW + timedelta(hours=hours), 0.0)
        return keep_certified(tmp_path, NODE, with_keys, root, VALID, chance).certificate  # type: ignore[arg-type]

    first = kept_at(0)
    assert kept_at(3.9) == first
    second = kept_at(4.0)  # half of its ten hours, of which one was before it was made
    assert second != first
    assert kept_at(4.1) == second
    third = kept_at(4.1, new_trust(NOW))
    assert third not in (first, second)
    assert kept_at(4.1) not in (first, second, third)
    assert kept_at(4.1, trust, new_keys()) != kept_at(4.1)
    (tmp_path / "certificates" / "swarm-node.crt").write_bytes(b"\xff")
    kept_at(4.1)
    (tmp_path / "certificates" / "swarm-node.crt").unlink()
    kept_at(4.1)
    assert (tmp_path / "certificates" / "swarm-root-ca.crt").read_text() == trust.root.certificate
