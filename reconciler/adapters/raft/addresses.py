"""Where members are: in the replicated state, and in a file of each member for when it starts.

The state alone is not enough: a member that starts knows what was committed only once it has reached others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.adapters.raft.disk import Disk, DurabilityUnknown
from reconciler.adapters.raft.files import put_file, read_file
from reconciler.consensus.values import NodeId
from reconciler.model.commands import DeleteRecord, PutRecord
from reconciler.model.replication import Address
from reconciler.model.tables import Tables

log = logging.getLogger(__name__)

MEMBERS = "raft-member"
"""Namespace of the records of addresses: node id to [host, port]."""
REMOVED = "raft-removed"
"""Namespace of the records of those that were members: their ids are never used again."""
FILE_NAME = "addresses"
REMOVED_NAME = "removed"

_DECODER = msgspec.msgpack.Decoder(tuple[str, int])
_BOOK_DECODER = msgspec.msgpack.Decoder(dict[str, tuple[str, int]])


def address_command(node: NodeId, address: Address, at: datetime) -> PutRecord:
    """What records where a member is."""
    value = msgspec.msgpack.encode((address.host, address.port))
    return PutRecord(at=at, namespace=MEMBERS, key=node, value=value)


def removal_command(node: NodeId, at: datetime) -> PutRecord:
    """What records that an id is used up."""
    return PutRecord(at=at, namespace=REMOVED, key=node, value=b"")


def forgetting_command(node: NodeId, at: datetime) -> DeleteRecord:
    """What forgets where a member was."""
    return DeleteRecord(at=at, namespace=MEMBERS, key=node)


def recorded(tables: Tables) -> dict[NodeId, Address]:
    """The recorded addresses; those that can't be read are left out."""
    book: dict[NodeId, Address] = {}
    for record in tables.records_under(MEMBERS):
        try:
            book[record.key] = Address(*_DECODER.decode(record.value))
        except msgspec.MsgspecError:
            log.warning("The record of the address of %s can't be read.", record.key)
    return book


def is_used_up(tables: Tables, node: NodeId) -> bool:
    """Whether an id was that of a member which has been removed."""
    return f"{REMOVED}/{node}" in tables.records


def mark_removed(folder: str) -> None:
    """Note for later starts that the others have removed this member. A failure is only logged: they tell it again."""
    try:
        put_file(Disk(), os.path.join(folder, REMOVED_NAME), b"")
    except (OSError, DurabilityUnknown) as error:
        log.warning("That this member is removed can't be noted in %s: %s.", folder, error)


def is_marked_removed(folder: str) -> bool:
    """Whether the others have removed this member."""
    return os.path.exists(os.path.join(folder, REMOVED_NAME))


def save(folder: str, book: Mapping[NodeId, Address]) -> None:
    """Keep the addresses for the next start. A failure is only logged: older addresses are mostly still right."""
    content = msgspec.msgpack.encode({node: (one.host, one.port) for node, one in sorted(book.items())})
    try:
        put_file(Disk(), os.path.join(folder, FILE_NAME), content)
    except (OSError, DurabilityUnknown) as error:
        log.warning("The addresses of the members can't be kept in %s: %s.", folder, error)


def load(folder: str) -> dict[NodeId, Address]:
    """The addresses that were kept; none if that can't be read."""
    try:
        kept = _BOOK_DECODER.decode(read_file(Disk(), os.path.join(folder, FILE_NAME)))
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("The addresses of the members in %s can't be read: %s.", folder, error)
        return {}
    return {node: Address(host, port) for node, (host, port) in kept.items()}
