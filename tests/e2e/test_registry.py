"""Tags are pinned to what their registry says, on a real engine with a registry beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reconciler.adapters.docker.cluster import DockerCluster, connect
from reconciler.adapters.registry_auth import RegistryCredentials
from reconciler.controller.prepare import no_registry_auth, prepare
from reconciler.model import labels
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, ExitCode, Problem, Severity, SwarmctlError
from reconciler.model.images import ResolveMode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.planned import Planned, PlanRequest
from reconciler.settings import EndpointSettings
from tests.e2e.program import Program
from tests.lab.lab import Lab
from tests.lab.registry import Registry
from tests.lab.swept import sweep
from tests.unit.planning.builders import desired, service_spec, wanted

pytestmark = pytest.mark.engine

REPOSITORY = "team/app"
SERVICE = "web_api"


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    with Registry(lab.manager.cell) as started:
        yield started


@pytest.fixture
async def cluster(lab: Lab) -> AsyncIterator[DockerCluster]:
    connected = await connect(EndpointSettings(host=lab.manager.host))
    try:
        yield connected
    finally:
        await connected.close()
        sweep(lab)


def unexpected(problem: Problem) -> None:
    pytest.fail(str(problem))


def image(registry: Registry, tag: str = "1") -> str:
    return f"{registry.address}/{REPOSITORY}:{tag}"


def web(image: str) -> DesiredState:
    """A repository with one service, of which no task is to run: the registry has no content."""
    spec = service_spec(SERVICE, replicas=0, Image=image)
    spec["Labels"][labels.STACK_IMAGE] = image
    spec["TaskTemplate"].pop("Networks")
    return desired(wanted(Kind.SERVICE, spec))


async def planned(
    cluster: DockerCluster, state: DesiredState, mode: ResolveMode, *, config_dir: Path | None = None
) -> Planned:
    auth = RegistryCredentials(str(config_dir), unexpected).auth_for if config_dir else no_registry_auth
    return await prepare(PlanRequest(state, mode), cluster, auth)


async def deployed(cluster: DockerCluster, state: DesiredState, mode: ResolveMode) -> JsonObject:
    """Plan and write the service; return its spec as it is then."""
    for action in (await planned(cluster, state, mode)).plan.actions:
        assert action.spec is not None
        if action.object_id is None:
            await cluster.create(action.kind, action.spec)
        else:
            await cluster.update(action.kind, action.object_id, action.version, action.spec)
    return await running(cluster)


async def running(cluster: DockerCluster) -> JsonObject:
    return (await cluster.observe()).by_name(Kind.SERVICE)[SERVICE].spec["TaskTemplate"]


async def test_a_digest_and_its_platforms_come_from_the_registry(cluster: DockerCluster, registry: Registry) -> None:
    digest = registry.push(REPOSITORY, "1", "first")
    answer = await cluster.resolve_image(image(registry))
    assert answer is not None
    assert answer.digest == digest
    assert [platform["Architecture"] for platform in answer.platforms] == ["amd64", "arm"]


@pytest.mark.parametrize("mode", [ResolveMode.ALWAYS, ResolveMode.CHANGED])
async def test_a_new_service_is_pinned_and_stays_as_it_is(
    cluster: DockerCluster, registry: Registry, mode: ResolveMode
) -> None:
    digest = registry.push(REPOSITORY, "1", "first")
    template = await deployed(cluster, web(image(registry)), mode)
    assert template["ContainerSpec"]["Image"] == f"{image(registry)}@{digest}"
    assert template["Placement"]["Platforms"] == [{"Architecture": "amd64", "OS": "linux"}, {"OS": "linux"}]
    assert (await planned(cluster, web(image(registry)), mode)).plan.is_empty


async def test_a_moved_tag_is_picked_up_with_always_only(cluster: DockerCluster, registry: Registry) -> None:
    old = registry.push(REPOSITORY, "1", "first")
    await deployed(cluster, web(image(registry)), ResolveMode.ALWAYS)
    new = registry.push(REPOSITORY, "1", "second")
    registry.asked.clear()
    for mode in (ResolveMode.CHANGED, ResolveMode.NEVER):
        assert (await planned(cluster, web(image(registry)), mode)).plan.is_empty
    assert registry.asked == []
    (action,) = (await planned(cluster, web(image(registry)), ResolveMode.ALWAYS)).plan.actions
    assert {"TaskTemplate.ContainerSpec.Image"} == {change.path for change in action.changes}
    assert (action.changes[0].old, action.changes[0].new) == (f"{image(registry)}@{old}", f"{image(registry)}@{new}")


async def test_another_tag_is_looked_up_with_changed(cluster: DockerCluster, registry: Registry) -> None:
    registry.push(REPOSITORY, "1", "first")
    await deployed(cluster, web(image(registry)), ResolveMode.CHANGED)
    digest = registry.push(REPOSITORY, "2", "second")
    template = await deployed(cluster, web(image(registry, "2")), ResolveMode.CHANGED)
    assert template["ContainerSpec"]["Image"] == f"{image(registry, '2')}@{digest}"


@pytest.mark.parametrize("trouble", ["down", "limited", "gone"])
async def test_a_registry_in_trouble_keeps_the_running_digest_and_warns(
    cluster: DockerCluster, registry: Registry, trouble: str
) -> None:
    digest = registry.push(REPOSITORY, "1", "first")
    await deployed(cluster, web(image(registry)), ResolveMode.ALWAYS)
    if trouble == "down":
        registry.stop()
    elif trouble == "limited":
        registry.limited = True
    else:
        registry._contents.clear()
    prepared = await planned(cluster, web(image(registry)), ResolveMode.ALWAYS)
    assert prepared.plan.actions == ()
    (warning,) = [note for note in prepared.plan.notes if note.code is ErrorCode.IMAGE_UNRESOLVED]
    assert warning.severity is Severity.WARNING
    assert image(registry) in warning.what
    expected = {"down": "connection refused", "limited": "rate limit", "gone": "unknown"}[trouble]
    assert expected in warning.why.lower()
    assert (await running(cluster))["ContainerSpec"]["Image"] == f"{image(registry)}@{digest}"


async def test_a_signed_address_that_a_registry_redirects_to_is_not_shown(
    cluster: DockerCluster, registry: Registry
) -> None:
    registry.push(REPOSITORY, "1", "first")
    registry.moved_to = "http://127.0.0.1:9/blob?X-Amz-Expires=1200&X-Amz-Signature=0123abcd"
    with pytest.raises(SwarmctlError) as refused:
        await cluster.resolve_image(image(registry))
    assert "X-Amz-Expires=1200" in refused.value.problems[0].why
    assert "0123abcd" not in refused.value.problems[0].why


async def test_a_new_service_of_a_registry_that_is_down_gets_the_tag(
    cluster: DockerCluster, registry: Registry
) -> None:
    registry.stop()
    template = await deployed(cluster, web(image(registry)), ResolveMode.CHANGED)
    assert template["ContainerSpec"]["Image"] == image(registry)


async def test_the_login_of_the_docker_configuration_reaches_the_registry(
    cluster: DockerCluster, registry: Registry, tmp_path: Path
) -> None:
    digest = registry.push(REPOSITORY, "1", "first")
    registry.login = "anna:s3cret"
    with pytest.raises(SwarmctlError) as refused:
        await cluster.resolve_image(image(registry))
    assert refused.value.code is ErrorCode.IMAGE_UNRESOLVED
    assert "docker login" in refused.value.problems[0].hint

    entry = {"auth": base64.b64encode(b"anna:s3cret").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: entry}}))
    credentials = RegistryCredentials(str(tmp_path), unexpected)
    answer = await cluster.resolve_image(image(registry), registry_auth=credentials.header_for(image(registry)))
    assert answer is not None
    assert answer.digest == digest
    assert registry.asked[-1][1] == f"Basic {entry['auth']}"


def test_the_command_line_pins_keeps_warns_and_logs_in(lab: Lab, registry: Registry, tmp_path: Path) -> None:
    config = tmp_path / "docker"
    config.mkdir()
    (tmp_path / "web.yaml").write_text(f"services: {{api: {{image: '{image(registry)}', deploy: {{replicas: 0}}}}}}\n")
    swarmctl = Program(tmp_path, {"DOCKER_HOST": lab.manager.host, "DOCKER_CONFIG": str(config)})

    def runs() -> str:
        with lab.manager.client() as client:
            return client.inspect_service(SERVICE)["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]

    try:
        old = registry.push(REPOSITORY, "1", "first")
        swarmctl.ok("apply", "web.yaml", "--yes")
        assert runs() == f"{image(registry)}@{old}"

        new = registry.push(REPOSITORY, "1", "second")
        swarmctl.ok("diff", "web.yaml")
        assert new[:19] in swarmctl.ok("diff", "web.yaml", "--resolve-image", "always", code=ExitCode.CHANGES)

        registry.login = "anna:s3cret"
        refused = swarmctl.ok("apply", "web.yaml", "--yes", "--resolve-image", "always")
        assert "[image-unresolved]" in refused
        assert runs() == f"{image(registry)}@{old}"

        entry = {"auth": base64.b64encode(b"anna:s3cret").decode()}
        (config / "config.json").write_text(json.dumps({"auths": {registry.address: entry}}))
        said = swarmctl.ok("apply", "web.yaml", "--yes", "--resolve-image", "always", "--with-registry-auth")
        assert runs() == f"{image(registry)}@{new}"
        assert not [word for word in ("s3cret", entry["auth"]) if word in refused + said]
    finally:
        sweep(lab)
