"""Which images a registry is asked for, and what becomes of a service when it has answered.

The rules are those of `docker stack deploy --resolve-image` (docker/cli cli/command/stack/swarm deployServices, and
the client's resolveContainerSpecImage), with one difference: an image that the file itself pins is not looked up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.errors import Problem
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.planning.options import PlanOptions

ARM = "arm"


def images_to_resolve(
    desired: DesiredState, actual: ActualState, mode: ResolveMode, stacks: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the images to look up, each once, in the order of the services: none when nothing has changed.

    They are as the service specs have them, which is the key of ImageAnswers. `stacks` limits them to services of
    these stacks; None means all.
    """
    live = actual.by_name(Kind.SERVICE)
    return tuple(
        dict.fromkeys(
            image_of(wanted.spec)
            for wanted in desired.of_kind(Kind.SERVICE)
            if (stacks is None or wanted.stack in stacks) and is_looked_up(wanted, live.get(wanted.name), mode)
        )
    )


def is_looked_up(wanted: DesiredObject, live: ObservedObject | None, mode: ResolveMode) -> bool:
    """Return whether a registry's answer counts for this service; else it stays with the digest that it runs.

    Two services may have one image: with `changed` a new one is pinned to what the tag is now, and that must not
    restart the other, which is as old as it was.
    """
    image = image_of(wanted.spec)
    if mode is ResolveMode.NEVER or not image or "@" in image:
        return False
    return mode is ResolveMode.ALWAYS or live is None or _names_another_image(wanted, live)


def _names_another_image(wanted: DesiredObject, live: ObservedObject) -> bool:
    """Return whether the file names another image than the one that was deployed.

    What `docker service create` made has no label of what was written; there the image tells, without its digest.
    """
    written = live.labels.get(labels.STACK_IMAGE)
    if written is None:
        return image_of(live.spec).partition("@")[0] != image_of(wanted.spec)
    return written != _as_written(wanted)


def answer_for(
    wanted: DesiredObject, live: ObservedObject | None, options: PlanOptions
) -> ResolvedImage | Problem | None:
    """Return what a registry said for this service; None when it was not asked, or has no say.

    A Problem means that the service stays with the digest that it runs, and that the plan tells why.
    """
    return options.images.get(image_of(wanted.spec)) if is_looked_up(wanted, live, options.resolve) else None


def image_of(spec: JsonObject) -> str:
    """Return the image of a service spec; "" for a service without containers."""
    return dig(spec, "TaskTemplate", "ContainerSpec", "Image") or ""


def _as_written(wanted: DesiredObject) -> str:
    written: str | None = dig(wanted.spec, "Labels", labels.STACK_IMAGE)
    return written if written is not None else image_of(wanted.spec)


def pinned(spec: JsonObject, answer: ResolvedImage) -> JsonObject:
    """Return a copy of a service spec whose image is `name:tag@digest`, for the platforms that the registry has.

    The manifests have given the image its familiar name and its tag already (manifests/compose/images.py). A service
    that names its digest itself is returned as it is. Platforms of the spec stay when the registry tells none.
    """
    image = image_of(spec)
    if not image or "@" in image:
        return spec
    template = spec["TaskTemplate"]
    with_image = {**template, "ContainerSpec": {**template["ContainerSpec"], "Image": f"{image}@{answer.digest}"}}
    if answer.platforms:
        platforms = [dict(_platform(one)) for one in answer.platforms]
        with_image["Placement"] = {**(template.get("Placement") or {}), "Platforms": platforms}
    return {**spec, "TaskTemplate": with_image}


def _platform(known: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    """Yield the fields of a platform to place by. What is empty fits every node.

    Registries say `arm` where nodes say `armv7l`, so that this architecture, compared, would fit none.
    (moby/swarmkit#2294.)
    """
    architecture = known.get("Architecture") or ""
    if architecture and architecture.lower() != ARM:
        yield "Architecture", architecture
    if known.get("OS"):
        yield "OS", known["OS"]
