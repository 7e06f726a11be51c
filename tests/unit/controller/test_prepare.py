"""What comes of registries that are asked before a plan is made."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import LOOKUP_WAIT_S, LOOKUPS_AT_ONCE, prepare
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.objects import Kind
from reconciler.model.planned import PlanRequest
from tests.fakes.virtual_time import in_virtual_time
from tests.unit.planning.builders import actual, desired, service_spec, wanted

SILENT = "silent.example.com"
IMAGES = 5 * LOOKUPS_AT_ONCE


class Engine:
    """An engine that gets no answer from one registry, and one at once from any other.

    It gives up `patience_s` seconds after it was asked.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s

    async def observe(self, _since: ActualState | None = None, /) -> ActualState:
        return actual()

    async def resolve_image(self, image: str, *, registry_auth: str | None = None) -> ResolvedImage:
        if image.startswith(SILENT):
            await asyncio.sleep(self.patience_s)
            raise SwarmctlError(ErrorCode.IMAGE_UNRESOLVED, f"Image {image} could not be looked up.", why="Silence.")
        return ResolvedImage("sha256:" + "1" * 64)


@pytest.mark.parametrize("patience_s", [15.0, 3600.0])
def test_all_images_of_a_registry_that_swallows_requests_take_no_longer_than_one(patience_s):
    images = [f"{SILENT}/app:{number}" for number in range(IMAGES)] + ["nginx:1.25"]
    services = [wanted(Kind.SERVICE, service_spec(f"web_{number}", Image=one)) for number, one in enumerate(images)]

    async def told() -> tuple[float, dict[str, ResolvedImage | Problem | None]]:
        began_s = asyncio.get_running_loop().time()
        request = PlanRequest(desired(*services), ResolveMode.CHANGED)
        planned = await prepare(request, cast(Cluster, Engine(patience_s)))
        return asyncio.get_running_loop().time() - began_s, dict(planned.images or {})

    took_s, answers = in_virtual_time(told())
    assert took_s == min(patience_s, LOOKUP_WAIT_S)
    problems = [one for image, one in answers.items() if image.startswith(SILENT) and isinstance(one, Problem)]
    assert {one.code for one in problems} == {ErrorCode.IMAGE_UNRESOLVED}
    assert len({one.what for one in problems}) == IMAGES
    assert isinstance(answers["nginx:1.25"], ResolvedImage)
