"""The swarm's settings as `docker swarm init` and `update` give them: checked, and in the form that a manager keeps.

Pure. Texts are a manager's own. (facts: swarmkit 6, 7.3, 7.5; seen on an engine)
"""

from __future__ import annotations

import copy
from typing import Any

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject

HOUR_NS = 3_600_000_000_000
PROTOCOLS = ("", "cfssl")
KEPT_AT_ZERO: dict[str, JsonObject] = {
    "Orchestration": {"TaskHistoryRetentionLimit": 0},
    "Raft": {"KeepOldSnapshots": 0, "ElectionTick": 0, "HeartbeatTick": 0},
    "Dispatcher": {},
    "CAConfig": {},
    "TaskDefaults": {},
    "EncryptionConfig": {"AutoLockManagers": False},
}
"""The sections of a ClusterSpec, and of each what is shown although it is zero."""
NEVER_SHOWN = ("SigningCACert", "SigningCAKey")


def check(spec: JsonObject) -> None:
    """Raise SwarmctlError (request-refused) for settings that a manager refuses."""
    if spec.get("Name") not in (None, "", "default"):
        raise refused('swarm spec must be named "default"')
    authority = _section(spec, "CAConfig")
    for external in authority.get("ExternalCAs") or ():
        protocol = str(external.get("Protocol") or "")
        if protocol.lower() not in PROTOCOLS:
            raise refused(f'invalid protocol: "{protocol}"')
    expiry = authority.get("NodeCertExpiry") or 0
    if expiry and expiry < HOUR_NS:
        raise refused("rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s")
    if (_section(spec, "Dispatcher").get("HeartbeatPeriod") or 0) < 0:
        raise refused("rpc error: code = InvalidArgument desc = heartbeat time period cannot be a negative duration")


def kept(spec: JsonObject) -> JsonObject:
    """Return settings as a manager keeps and shows them: every section, no zeros, and never the root's own key."""
    found: JsonObject = {**copy.deepcopy(spec), "Name": "default", "Labels": spec.get("Labels") or {}}
    for name, at_zero in KEPT_AT_ZERO.items():
        given = {key: value for key, value in _section(spec, name).items() if value and key not in NEVER_SHOWN}
        found[name] = {**at_zero, **copy.deepcopy(given)}
    found["TaskDefaults"] = {}  # an engine takes a default of log drivers, and hands it to no manager
    return found


def merged(spec: JsonObject, given: JsonObject) -> JsonObject:
    """Return settings with what `given` has of its own: what it leaves out or has at zero stays."""
    found = copy.deepcopy(spec)
    for key, value in given.items():
        inner = found.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            found[key] = merged(inner, value)
        elif value:
            found[key] = copy.deepcopy(value)
    return found


def locks(spec: JsonObject) -> bool:
    """Whether managers need a key when they start."""
    return bool(_section(spec, "EncryptionConfig").get("AutoLockManagers"))


def refused(why: str) -> SwarmctlError:
    """Return a refusal with a manager's text."""
    return SwarmctlError(ErrorCode.REQUEST_REFUSED, "The swarm's settings are refused.", why=why)


def _section(spec: JsonObject, name: str) -> dict[str, Any]:
    section = spec.get(name)
    return section if isinstance(section, dict) else {}
