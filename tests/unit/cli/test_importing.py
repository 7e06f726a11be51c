"""What import prints and warns of."""

from __future__ import annotations

from reconciler.cli.importing import listing, owner_name, sensitive_variables
from tests.unit.manifests.builders import stack
from tests.unit.manifests.live import network, service, swarm


def test_the_listing_starts_with_the_cluster_and_shows_no_bytes_that_are_no_text() -> None:
    text = listing(
        {"stacks/a.yaml": b"a: 1\n", "stacks/a/x": b"\x00", "stacks/a/y": b"\x1b[2J", "swarm.yaml": b"b: 1\n"}
    )
    assert text.startswith("==> swarm.yaml <==\nb: 1\n\n==> stacks/a.yaml <==\na: 1\n")
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "(4 bytes that are no plain text)" in text


def test_variables_that_sound_secret_are_named_once_without_their_values() -> None:
    one = "{image: i, environment: {DB_PASSWORD: hush, HOST: x, API_TOKEN: ''}}"
    assert sensitive_variables(stack(f"services: {{a: {one}, b: {one}}}")) == {"web.yaml": ["DB_PASSWORD"]}


def test_the_name_is_that_of_the_repository_that_wrote_the_swarm() -> None:
    owned = service("a", Labels={"io.swarmctl.owner": "prod"})
    assert owner_name(swarm(owned, network("n"))) == "prod"
    assert owner_name(swarm(network("n"))) == "swarm"
    assert owner_name(swarm(owned, service("b", Labels={"io.swarmctl.owner": "test"}))) == "swarm"
