"""A group can be stopped under one implementation of the replicated store and go on under the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.pysyncobj_subject import PySyncObjGroup
from tests.contract.store_subject import NAMES, CoreGroup


@pytest.mark.parametrize(
    ("before", "after"), [(CoreGroup, PySyncObjGroup), (PySyncObjGroup, CoreGroup)], ids=["to-pysyncobj", "to-core"]
)
async def test_the_other_store_goes_on_with_what_is_there(
    tmp_path: Path, before: type[CoreGroup], after: type[CoreGroup]
):
    first = before(tmp_path)
    await first.found()
    for number in range(100):
        await first.put(NAMES[number % 3], f"k{number}", bytes(1000))
    epoch = first.stores[await first.leader()].standing.epoch
    for name in NAMES:
        await first.stop(name)
    second = after(tmp_path)
    try:
        for name in NAMES:
            await second.start(name)
        await second.put("node-1", "k100")
        await second.same_everywhere()
        assert {second.value("node-2", f"k{number}") for number in range(100)} == {bytes(1000)}
        assert second.stores[await second.leader()].standing.epoch > epoch
        await second.join("node-4")
    finally:
        await second.close()
