"""How a member begins, starts again, goes on alone, or comes out of a backup.

All of this blocks, and comes before `run`.

A member that is not new never makes a log: it would forget what it promised to the others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.adapters.raft import addresses, answers, refusals
from reconciler.adapters.raft.disk import Disk, DurabilityUnknown
from reconciler.adapters.raft.files import put_file, read_file
from reconciler.adapters.raft.hard_state import FILE_NAME as HARD_STATE_NAME
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.snapshot_file import SnapshotReader, verify
from reconciler.consensus.membership import bootstrap
from reconciler.consensus.membership import force_new_group as force
from reconciler.consensus.values import (
    Entry,
    EntryKind,
    HardState,
    Membership,
    NodeId,
    SnapshotMeta,
    membership_of,
)
from reconciler.model.commands import PutRecord
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from reconciler.model.tables import Tables
from reconciler.model.transactions import Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State
from reconciler.store.snapshot import decode

FOUNDER = "founder"
"""The client of what is in the log before anybody could propose: the same bytes on each of the first members."""
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
FOUNDING = "raft-founding"
"""Namespace of the one record, GROUP, that stands for the first members: by it those who joined know them, too."""
GROUP = "group"
_FOUNDING_NAME = "founding"

Loaded = tuple[HardState, SnapshotMeta | None, list[Entry]]


@dataclass(slots=True)
class Opened:
    """What a member starts from."""

    durable: DurableLog
    disk: Loaded
    state: State
    snapshot_bytes: int
    book: dict[NodeId, Address]
    founding: str
    """What stands for the first members of the group, as far as it was noted here; else ""."""


def open_member(settings: MemberSettings, disk: Disk | None = None) -> Opened:
    """Take the folder of a member and read all of it.

    Raises SwarmctlError: raft-removed, raft-log-missing, -locked, -foreign, -corrupt, raft-snapshot-corrupt,
    snapshot-corrupt and -too-new, raft-disk-full, raft-disk-failed.
    """
    if addresses.is_marked_removed(settings.folder):
        raise answers.removed(settings.owner.node)
    durable = DurableLog(settings.folder, settings.owner, create=False, disk=disk)
    try:
        loaded = durable.load()
        state, size = State(), 0
        reader = durable.read_snapshot()
        if reader is not None:
            size = reader.data_bytes
            state = decode(reader)
            check_index(state, reader.meta)
        return Opened(durable, loaded, state, size, addresses.load(settings.folder), _noted_founding(settings.folder))
    except BaseException:
        durable.close()
        raise


def check_index(state: State, meta: SnapshotMeta) -> None:
    """Raise SwarmctlError (snapshot-corrupt) unless a snapshot's state is that of its index."""
    if state.index != meta.index:
        raise SwarmctlError(
            ErrorCode.SNAPSHOT_CORRUPT,
            "The snapshot is damaged.",
            why=f"It stands for index {meta.index}, and holds the state of {state.index}.",
            hint="Restore another copy, or let this member fetch the state from the others.",
        )


def found(settings: MemberSettings, members: Mapping[NodeId, Address], disk: Disk | None = None) -> None:
    """Make the log of one of the first members of a new group, with the same `members` on each of them.

    Interrupted, or met by a full disk, it may be called again. Raises SwarmctlError: raft-folder-used, and as
    `open_member`.
    """
    hard_state, first = bootstrap(tuple(members))
    with _new_log(settings, hard_state.term, disk) as durable:
        commands = tuple(addresses.address_command(node, members[node], _LONG_AGO) for node in sorted(members))
        digest = hashlib.sha256(first.data + b"".join(command.value for command in commands)).hexdigest()[:32]
        note_founding(settings.folder, digest)
        begun = PutRecord(at=_LONG_AGO, namespace=FOUNDING, key=GROUP, value=digest.encode())
        durable.save_hard_state(hard_state)
        durable.append((first, _written(2, 1, 1, (begun, *commands))))
        durable.sync()
        addresses.save(settings.folder, members)


def founding(tables: Tables) -> str:
    """Return what stands for the first members of the group and their addresses; "" while that is not known here.

    Entries are told apart by index and term, and the first ones have the same everywhere: members that were begun with
    different ones would take each other's for their own.
    """
    record = tables.records.get(f"{FOUNDING}/{GROUP}")
    return record.value.decode("ascii", "replace") if record else ""


def _noted_founding(folder: str) -> str:
    try:
        return read_file(Disk(), os.path.join(folder, _FOUNDING_NAME)).decode("ascii", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise refusals.disk_failed(folder, error) from error


def _forget_founding(folder: str) -> None:
    """Of a member that was to begin a group, and was stopped in the midst of it: now it is to be something else."""
    if _noted_founding(folder):
        note_founding(folder, "")


def note_founding(folder: str, digest: str) -> None:
    """Keep it for the next start, when nothing is applied yet. Raises SwarmctlError: raft-disk-full, -failed."""
    try:
        put_file(Disk(), os.path.join(folder, _FOUNDING_NAME), digest.encode())
    except (OSError, DurabilityUnknown) as error:
        raise refusals.of_disk(folder, error) from error


def join(settings: MemberSettings, members: Mapping[NodeId, Address]) -> None:
    """Make the empty log of a new member, which then waits until the group's leader adds it.

    `members` are some that it may hear from. Raises SwarmctlError: raft-folder-used, and as `open_member`.
    """
    with _new_log(settings):
        _forget_founding(settings.folder)
        addresses.save(settings.folder, members)


def is_half_made(folder: str) -> bool:
    """Whether `found` or `join` has begun in a folder and not come to its end; then it is to be called again.

    True of a backup that was restored as well, where they raise raft-folder-used.
    """
    begun, done = (os.path.exists(os.path.join(folder, name)) for name in (HARD_STATE_NAME, addresses.FILE_NAME))
    return begun and not done


def force_new_group(settings: MemberSettings, disk: Disk | None = None) -> None:
    """Let one survivor go on alone, with all that it has. Only when the others are gone for good.

    What they have committed and this one never got is lost, and none of them may ever start again; their ids are used
    up. Raises SwarmctlError as `open_member`.
    """
    node = settings.owner.node
    if addresses.is_marked_removed(settings.folder):
        raise answers.removed(node)
    with DurableLog(settings.folder, settings.owner, create=False, disk=disk) as durable:
        hard_state, snapshot, entries = durable.load()
        last = entries[-1].index if entries else snapshot.index if snapshot else 0
        if last == 0:
            raise answers.change_refused(f"{node} can't go on alone", "It has nothing: it was never part of a group.")
        others = [one for one in _members(snapshot, entries) if one != node]
        alone, entry = force(node, hard_state, last)
        commands = tuple(addresses.removal_command(one, _LONG_AGO) for one in others)
        durable.save_hard_state(alone)
        durable.append((entry, _written(last + 2, alone.term, last + 2, commands)) if commands else (entry,))
        durable.sync()
        kept = addresses.load(settings.folder)
        addresses.save(settings.folder, {one: address for one, address in kept.items() if one == node})
    _give_to_owner(settings.folder)


def restore(settings: MemberSettings, source: str) -> SnapshotMeta:
    """Make a new group of one in an empty folder, with the state of a backup; return what the backup stands for.

    Its members of then are no members of it, and must not take part: give it a name of its own. Raises SwarmctlError:
    raft-snapshot-corrupt, snapshot-corrupt and -too-new, raft-folder-used, and as `open_member`; OSError.
    """
    meta = verify(source)
    check_index(decode(SnapshotReader(Disk(), source)), meta)
    alone = SnapshotMeta(meta.index, meta.term, Membership((settings.owner.node,), ()))
    with _new_log(settings, meta.term) as durable:
        _forget_founding(settings.folder)
        durable.save_hard_state(HardState(meta.term, ""))
        durable.sync()
        durable.publish_snapshot(alone, SnapshotReader(Disk(), source))
    _give_to_owner(settings.folder)
    return meta


def _give_to_owner(folder: str) -> None:
    """As root, give what was made to whom the folder above belongs: it is that user who runs the member."""
    owner = os.stat(os.path.dirname(os.path.abspath(folder)))
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for path in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _new_log(settings: MemberSettings, term: int = 0, disk: Disk | None = None) -> DurableLog:
    """Open a folder that is new, or in which nothing but a term up to `term` was put before the making of it ended.

    Whoever has no entry and gave no vote has promised nothing to anybody.
    """
    durable = DurableLog(settings.folder, settings.owner, create=True, disk=disk)
    try:
        hard_state, snapshot, entries = durable.load()
        if snapshot or entries or hard_state.voted_for or hard_state.term > term:
            raise answers.folder_used(settings.folder)
    except BaseException:
        durable.close()
        raise
    return durable


def _written(index: int, term: int, sequence: int, commands: tuple[PutRecord, ...]) -> Entry:
    data = encode_entry([encode_transaction(Transaction(FOUNDER, sequence, commands))])
    return Entry(index, term, EntryKind.NORMAL, data)


def _members(snapshot: SnapshotMeta | None, entries: list[Entry]) -> tuple[NodeId, ...]:
    for entry in reversed(entries):
        if entry.kind is EntryKind.MEMBERSHIP:
            return membership_of(entry).all
    return snapshot.members.all if snapshot else ()
