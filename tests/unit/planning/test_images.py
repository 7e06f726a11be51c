"""Which images are looked up, and what a registry's answer makes of a service."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.planning.images import images_to_resolve, is_looked_up, pinned
from tests.unit.planning.builders import actual, desired, observed, service_spec, wanted

DIGEST = "sha256:" + "1" * 64
PINNED_BY_FILE = f"nginx:1.25@{DIGEST}"


def of_image(name: str, image: str, *, stack: str = "web") -> JsonObject:
    spec = service_spec(name, stack=stack, Image=image)
    spec["Labels"][labels.STACK_IMAGE] = image
    return spec


def service(name: str, image: str, **fields: Any) -> DesiredObject:
    return wanted(Kind.SERVICE, of_image(name, image), **fields)


def running(name: str, image: str) -> ObservedObject:
    """The service as it runs once its image was pinned."""
    spec = of_image(name, image)
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{image}@{DIGEST}"
    return observed(Kind.SERVICE, spec)


def test_every_image_is_looked_up_once_with_always() -> None:
    state = desired(service("web_a", "nginx:1"), service("web_b", "redis:7"), service("web_c", "nginx:1"))
    cluster = actual(running("web_a", "nginx:1"))
    assert images_to_resolve(state, cluster, ResolveMode.ALWAYS) == ("nginx:1", "redis:7")


def test_a_pass_that_changes_nothing_asks_no_registry() -> None:
    state = desired(service("web_a", "nginx:1"), service("web_b", "redis:7"))
    cluster = actual(running("web_a", "nginx:1"), running("web_b", "redis:7"))
    assert images_to_resolve(state, cluster, ResolveMode.CHANGED) == ()


def test_with_changed_new_services_and_new_tags_are_looked_up() -> None:
    state = desired(service("web_a", "nginx:2"), service("web_b", "redis:7"), service("web_c", "caddy:2"))
    cluster = actual(running("web_a", "nginx:1"), running("web_b", "redis:7"))
    assert images_to_resolve(state, cluster, ResolveMode.CHANGED) == ("nginx:2", "caddy:2")


def test_a_service_without_a_label_of_its_image_is_known_by_the_image_itself() -> None:
    """What `docker service create` made, and an import wrote down."""
    bare = running("web_a", "nginx:1")
    del bare.spec["Labels"][labels.STACK_IMAGE]
    for image, asked in (("nginx:1", ()), ("nginx:2", ("nginx:2",))):
        assert images_to_resolve(desired(service("web_a", image)), actual(bare), ResolveMode.CHANGED) == asked


def test_an_answer_for_a_new_service_is_none_for_an_old_one_of_the_same_image() -> None:
    old, new = service("web_a", "nginx:1"), service("web_b", "nginx:1")
    state, cluster = desired(old, new), actual(running("web_a", "nginx:1"))
    assert images_to_resolve(state, cluster, ResolveMode.CHANGED) == ("nginx:1",)
    live = cluster.by_name(Kind.SERVICE)
    looked_up = [is_looked_up(one, live.get(one.name), ResolveMode.CHANGED) for one in (old, new)]
    assert looked_up == [False, True]


def test_never_asks_for_nothing() -> None:
    assert images_to_resolve(desired(service("web_a", "nginx:1")), actual(), ResolveMode.NEVER) == ()


@pytest.mark.parametrize("mode", [ResolveMode.ALWAYS, ResolveMode.CHANGED])
def test_what_the_file_pins_itself_is_not_looked_up(mode: ResolveMode) -> None:
    assert images_to_resolve(desired(service("web_a", PINNED_BY_FILE)), actual(), mode) == ()


def test_only_the_chosen_stacks_are_looked_up() -> None:
    state = desired(service("web_a", "nginx:1"), service("db_a", "redis:7", stack="db"))
    assert images_to_resolve(state, actual(), ResolveMode.ALWAYS, frozenset({"db"})) == ("redis:7",)


def test_pinned_has_tag_digest_and_the_platforms_that_swarm_compares() -> None:
    spec = of_image("web_a", "nginx:1")
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role==worker"]}
    before = copy.deepcopy(spec)
    platforms = (
        {"Architecture": "amd64", "OS": "linux"},
        {"Architecture": "arm", "OS": "linux", "Variant": "v7"},
        {"Architecture": "arm64", "OS": "linux"},
    )
    template = pinned(spec, ResolvedImage(DIGEST, platforms))["TaskTemplate"]
    assert template["ContainerSpec"]["Image"] == f"nginx:1@{DIGEST}"
    assert template["Placement"] == {
        "Constraints": ["node.role==worker"],
        "Platforms": [
            {"Architecture": "amd64", "OS": "linux"},
            {"OS": "linux"},
            {"Architecture": "arm64", "OS": "linux"},
        ],
    }
    assert spec == before


def test_without_platforms_only_the_image_is_pinned() -> None:
    spec = of_image("web_a", "nginx:1")
    made = pinned(spec, ResolvedImage(DIGEST))
    assert made["TaskTemplate"]["Placement"] == spec["TaskTemplate"]["Placement"]


def test_pinned_leaves_a_digest_of_the_file_alone() -> None:
    spec = of_image("web_a", PINNED_BY_FILE)
    assert pinned(spec, ResolvedImage("sha256:" + "2" * 64)) == spec
