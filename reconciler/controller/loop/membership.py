"""Which controllers belong to the group, as the leader's file says it: those that it names are let in, by and by."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import structlog

from reconciler.controller.loop.ports import Store
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address

log = structlog.stdlib.get_logger(__name__)

LOOK_S: Final = 2.0
"""Seconds between looks at the members."""


class WantedMembers(msgspec.Struct, frozen=True):
    """`members` are let in where they are not, `removed` are taken out. Who is named in neither stays as it is."""

    members: Mapping[str, Address] = msgspec.field(default_factory=dict)
    removed: Collection[str] = ()


async def keep_members(store: Store, wanted: WantedMembers) -> None:
    """Change the group, one member after another, until cancelled. What is refused is told once."""
    refused: set[str] = set()
    while True:
        present = {one.id for one in store.members()}
        for name in dict.fromkeys((*wanted.removed, *wanted.members)):
            if (name in wanted.removed) is (name in present):
                await _changed(store, name, wanted, refused)
        await asyncio.sleep(LOOK_S)


async def _changed(store: Store, name: str, wanted: WantedMembers, refused: set[str]) -> None:
    try:
        if name in wanted.removed:
            await store.remove_member(name)
            log.info("controller removed", member=name)
        else:
            await store.add_member(name, wanted.members[name])
            log.info("controller added", member=name, address=str(wanted.members[name]))
    except SwarmctlError as error:
        if name not in refused:
            refused.add(name)
            problem = error.problems[0]
            log.warning("members not changed", member=name, code=problem.code.value, why=problem.why)
