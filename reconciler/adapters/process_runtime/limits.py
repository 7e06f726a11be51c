"""Keeps tasks that are processes within their limits, as far as this host lets us.

Memory, CPU time and the number of processes are limited by control groups (cgroups(7)) of version 2 or 1 that this user
may write. Where there is none for memory, each process of a task has an RLIMIT_DATA instead, which is less: a task may
have many. `Ulimits` are the process's own limits (setrlimit(2)).
"""

from __future__ import annotations

import enum
import logging
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import Assignment
from reconciler.model.json import JsonObject, dig

ROOT = Path("/sys/fs/cgroup")
OUR_GROUP = "swarmctl"
CPU_PERIOD_US = 100_000
"""The scheduler's period in which a task may use its share, as in Docker."""

_log = logging.getLogger(__name__)


class Limited(enum.StrEnum):
    """What a control group limits, by its controller's name."""

    MEMORY = "memory"
    CPU = "cpu"
    PIDS = "pids"


_MISSING = {
    Limited.MEMORY: "WARNING: No memory limit support: each process of a task is limited instead (RLIMIT_DATA)",
    Limited.CPU: "WARNING: No cpu cfs quota support: limits of CPUs have no effect",
    Limited.PIDS: "WARNING: No pids limit support: limits of processes have no effect",
}
UNISOLATED = "WARNING: Tasks are processes of this host: no images, no isolation, no mounts, and no users of their own"


class Limits(msgspec.Struct, frozen=True):
    """A task's limits. `amounts` in bytes, nanoseconds of CPU a second, and processes; `rlimits` are {number of the
    resource: (soft, hard)}."""

    amounts: Mapping[Limited, int] = msgspec.field(default_factory=dict)
    rlimits: Mapping[int, tuple[int, int]] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.amounts or self.rlimits)


def limits_of(assignment: Assignment) -> Limits:
    """Return what a task's spec limits. Raises SwarmctlError for a ulimit that there isn't."""
    wanted = dig(assignment.spec, "Resources", "Limits") or {}
    amounts = {
        Limited.MEMORY: wanted.get("MemoryBytes"),
        Limited.CPU: wanted.get("NanoCPUs"),
        Limited.PIDS: wanted.get("Pids"),
    }
    rlimits = {}
    for one in assignment.container.get("Ulimits") or ():
        number = getattr(resource, f"RLIMIT_{str(one.get('Name', '')).upper()}", None)
        if number is None:
            raise cannot_run(f"invalid ulimit type: {one.get('Name')}")
        rlimits[number] = (int(one.get("Soft", -1)), int(one.get("Hard", -1)))
    return Limits({kind: int(amount) for kind, amount in amounts.items() if amount and amount > 0}, rlimits)


class ControlGroups:
    """The control groups of this host's tasks, one for each that has limits. Blocks, as the kernel does."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._is_v2 = (root / "cgroup.controllers").exists()

    @cached_property
    def _parents(self) -> dict[Limited, Path]:
        """What can be limited here, and where; found out when it is first asked for."""
        return self._make_v2(self._root) if self._is_v2 else self._make_v1(self._root)

    @staticmethod
    def _make_v2(root: Path) -> dict[Limited, Path]:
        """Return the folder for each controller that can be handed down to ours."""
        ours = root / OUR_GROUP
        found = {}
        for kind in Limited:
            with suppress(OSError):
                (root / "cgroup.subtree_control").write_text(f"+{kind}")
                ours.mkdir(exist_ok=True)
                (ours / "cgroup.subtree_control").write_text(f"+{kind}")
                found[kind] = ours
        return found

    @staticmethod
    def _make_v1(root: Path) -> dict[Limited, Path]:
        found = {}
        for kind in Limited:
            with suppress(OSError):
                if (root / kind / "cgroup.procs").exists():
                    ours = root / kind / OUR_GROUP
                    ours.mkdir(exist_ok=True)
                    if os.access(ours, os.W_OK):  # it may be another user's, who was here first
                        found[kind] = ours
        return found

    def told(self) -> JsonObject:
        """Return what GET /info says of limits here."""
        memory, cpu, pids = (kind in self._parents for kind in (Limited.MEMORY, Limited.CPU, Limited.PIDS))
        return {
            "MemoryLimit": memory,
            "CpuCfsPeriod": cpu,
            "CpuCfsQuota": cpu,
            "PidsLimit": pids,
            "CgroupDriver": "cgroupfs" if self._parents else "none",
            "CgroupVersion": "2" if self._is_v2 else "1",
            "Warnings": [UNISOLATED, *(text for kind, text in _MISSING.items() if kind not in self._parents)],
        }

    def put(self, name: str, pid: int, limits: Limits) -> None:
        """Limit a process and all that it will start. Raises SwarmctlError."""
        rlimits = dict(limits.rlimits)
        if Limited.MEMORY in limits.amounts and Limited.MEMORY not in self._parents:
            amount = limits.amounts[Limited.MEMORY]
            rlimits.setdefault(resource.RLIMIT_DATA, (amount, amount))
        try:
            for folder in self._folders(name, limits):
                folder.mkdir(exist_ok=True)
                for file, value in _settings(limits, folder, is_v2=self._is_v2):
                    (folder / file).write_text(value)
                (folder / "cgroup.procs").write_text(str(pid))
            for number, (soft, hard) in rlimits.items():
                resource.prlimit(pid, number, (soft, hard))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise cannot_run(f"its limits can't be set: {reason.lower()}") from error

    def _folders(self, name: str, limits: Limits) -> list[Path]:
        return list(dict.fromkeys(self._parents[kind] / name for kind in limits.amounts if kind in self._parents))

    def remove(self, name: str) -> None:
        """Remove a task's control groups, in which nothing runs any more."""
        for parent in dict.fromkeys(self._parents.values()):
            try:
                (parent / name).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("The control group of task %s stays: %s", name, os.strerror(error.errno or 0))


def _settings(limits: Limits, folder: Path, *, is_v2: bool) -> list[tuple[str, str]]:
    """Return the (file, value) pairs that set limits in a control group's folder."""
    found = []
    for kind, amount in limits.amounts.items():
        if not is_v2 and folder.parent.parent.name != kind:
            continue
        if kind is Limited.MEMORY:
            found.append(("memory.max" if is_v2 else "memory.limit_in_bytes", str(amount)))
        elif kind is Limited.PIDS:
            found.append(("pids.max", str(amount)))
        else:
            found += _cpu_settings(amount * CPU_PERIOD_US // 1_000_000_000, is_v2=is_v2)
    return found


def _cpu_settings(quota_us: int, *, is_v2: bool) -> list[tuple[str, str]]:
    if is_v2:
        return [("cpu.max", f"{quota_us} {CPU_PERIOD_US}")]
    return [("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", str(quota_us))]
