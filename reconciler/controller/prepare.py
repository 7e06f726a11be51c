"""From manifests to a plan: observe, ask registries what images stand for now, then plan. Nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, Severity, SwarmctlError
from reconciler.model.images import ImageAnswers, ResolvedImage, registry_of
from reconciler.model.planned import Planned, PlanRequest
from reconciler.planning.ignored import with_ignored
from reconciler.planning.images import images_to_resolve
from reconciler.planning.options import PlanOptions
from reconciler.planning.plan import plan

LOOKUPS_AT_ONCE = 8
"""Registry look-ups in flight; a registry that limits its rate counts them."""

LOOKUP_WAIT_S = 30.0
"""Seconds for all look-ups of one image: an engine tries several endpoints of a registry that is down."""

SILENT_S = 10.0
"""Seconds after which a failed look-up says that its registry answers nothing: it is asked for no other image then, or
a hundred would take minutes. An engine gives up after 15 s where requests are swallowed.
"""

LOOKS_MAX = 4
"""Times that the cluster is looked at when that fails, though it had answered a ping before."""

LOOK_PAUSE_S = 0.1
"""Seconds before the second look; doubled for each further one."""

RegistryAuth = Callable[[str], Awaitable[str | None]]
"""The X-Registry-Auth header for an image's registry, or None where nobody has logged in."""


async def no_registry_auth(_image: str) -> str | None:
    """Return no credentials, whatever the image."""
    return None


async def prepare(
    request: PlanRequest, cluster: Cluster, registry_auth: RegistryAuth = no_registry_auth, *, on_thread: bool = False
) -> Planned:
    """Return the plan that brings `cluster` to what is asked for. Raises SwarmctlError when it can't be read.

    `on_thread` plans beside the event loop, for who has others to answer meanwhile: a thousand services take a third
    of a second.

    A registry that does not answer is no error: what it would have said goes into the plan as a warning.
    """
    desired, resolve, stacks = request.desired, request.resolve, request.stacks
    actual = await _look(cluster)
    # Before registries are asked: an image that is somebody else's to choose is not looked up.
    desired = with_ignored(desired, actual, desired.policies.ignore)
    images = request.images
    if images is None:
        images = await _resolved(cluster, images_to_resolve(desired, actual, resolve, stacks), registry_auth)
    options = PlanOptions(dict(images), request.baseline, stacks, resolve, request.elsewhere, request.waits)
    made = await asyncio.to_thread(plan, desired, actual, options) if on_thread else plan(desired, actual, options)
    return Planned(made, actual, images)


async def _look(cluster: Cluster) -> ActualState:
    """Return the cluster as it is. What fails in passing is tried again at once: nothing was written yet."""
    for attempt in range(LOOKS_MAX):
        try:
            return await cluster.observe()
        except SwarmctlError as error:
            fleeting = error.passing or error.code is ErrorCode.ENGINE_UNREACHABLE
            if not fleeting or attempt == LOOKS_MAX - 1:
                raise
        await asyncio.sleep(LOOK_PAUSE_S * 2**attempt)
    raise AssertionError("LOOKS_MAX is at least 1")


async def _resolved(cluster: Cluster, images: tuple[str, ...], auth: RegistryAuth) -> ImageAnswers:
    slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)
    now_s = asyncio.get_running_loop().time
    silent: dict[str, Problem] = {}

    async def ask(image: str) -> ResolvedImage | Problem | None:
        async with slots:
            registry = registry_of(image)
            if registry in silent:
                return replace(silent[registry], what=_unresolved(image))
            began_s = now_s()
            answer = await _asked(cluster, image, auth)
            if isinstance(answer, Problem) and now_s() - began_s >= SILENT_S:
                silent[registry] = answer
            return answer

    answers = await asyncio.gather(*(ask(image) for image in images))
    return dict(zip(images, answers, strict=True))


async def _asked(cluster: Cluster, image: str, auth: RegistryAuth) -> ResolvedImage | Problem | None:
    try:
        async with asyncio.timeout(LOOKUP_WAIT_S):
            return await cluster.resolve_image(image, registry_auth=await auth(image))
    except TimeoutError:
        return Problem(
            ErrorCode.IMAGE_UNRESOLVED,
            _unresolved(image),
            why=f"No answer came from {registry_of(image)} within {LOOKUP_WAIT_S:.0f} s.",
            hint="See whether the registry answers, and whether the engine reaches it.",
            severity=Severity.WARNING,
        )
    except SwarmctlError as error:
        return replace(error.problems[0], severity=Severity.WARNING)


def _unresolved(image: str) -> str:
    return f"Image {image} could not be looked up in its registry."
