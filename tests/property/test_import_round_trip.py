"""What import writes asks for just what the swarm is: a plan for it is empty, whatever the swarm holds."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.output_folder import write_files
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manifests.export.repository import exported
from reconciler.manifests.load import LoadInputs, load
from reconciler.model.objects import Kind
from reconciler.planning.plan import plan
from reconciler.planning.residual import residuals
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.property.repositories import SCHEMAS, carried_out, loaded, repositories, some

READERS_ENVIRONMENT = dict.fromkeys(("A", "B", "X", "EMPTY", "BARE", "team", "tier", "a.b"), "the reader's own")
STACK = "com.docker.stack.namespace"


async def assert_round_trip(cluster: EmbeddedCluster, folder: Path) -> dict[str, bytes]:
    """Import, write to disk, load as `swarmctl diff` does in another environment, and plan."""
    actual = await cluster.observe()
    files, _ = exported(actual, "again", SCHEMAS, residuals)
    write_files(str(folder), files, (), force=False)
    desired = load(
        DirectoryRevision.open(str(folder)), LoadInputs(SCHEMAS, READERS_ENVIRONMENT, "/home/x", str(folder))
    )
    made = plan(desired, actual)
    assert made.is_empty, [(action.id, action.changes) for action in made.actions] + list(made.blocked)
    assert {wanted.name for wanted in desired.of_kind(Kind.SERVICE)} == {found.name for found in actual.services}
    assert [found.severity for found in desired.warnings] == []
    return files


@settings(deadline=None, max_examples=50)
@given(repositories())
def test_an_applied_repository_comes_back(tmp_path_factory: Any, files: dict[str, str]) -> None:
    async def story() -> None:
        cluster = await a_quiet_swarm()
        await carried_out(cluster, loaded(tmp_path_factory.mktemp("repository"), files))
        await assert_round_trip(cluster, tmp_path_factory.mktemp("import"))

    asyncio.run(story())


@settings(deadline=None, max_examples=30)
@given(repositories(), repositories())
def test_a_repository_that_changed_comes_back(
    tmp_path_factory: Any, before: dict[str, str], after: dict[str, str]
) -> None:
    """Secrets and configs of several versions lie about then, under hashed names."""

    async def story() -> None:
        cluster = await a_quiet_swarm()
        folder = tmp_path_factory.mktemp("repository")
        await carried_out(cluster, loaded(folder, before))
        await carried_out(cluster, loaded(folder, after))
        await assert_round_trip(cluster, tmp_path_factory.mktemp("import"))

    asyncio.run(story())


ODD = [
    "",
    "a",
    "$X",
    "$${X}",
    "yes",
    "1e3",
    "0o17",
    "010",
    "2001-01-01",
    "~",
    "<<",
    "a: b",
    "x\ny",
    " lead",
    "é🐳",
    '"',
]
texts = st.sampled_from(ODD)
maps = st.dictionaries(
    st.sampled_from(["a", "a.b", "x_y", "1", "true", "$X", "com.docker.stack.image", STACK]), texts, max_size=3
)
variables = st.lists(st.sampled_from(["A=1", "EMPTY=", "BARE", "X=$X", "A=2", "B=x y", "Z==", "N=a\nb"]), max_size=4)
nanoseconds = st.sampled_from([0, 1_000_000, 90_000_000_000, 1_500_000_001])
modes: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"Replicated": {"Replicas": 0}},
        {"Replicated": {"Replicas": 1}},
        {"Global": {}},
        {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}},
        {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}},
        {"GlobalJob": {}},
    ]
)
mounts = st.lists(
    st.sampled_from(
        [
            {"Type": "volume", "Source": "data", "Target": "/data"},
            {"Type": "volume", "Source": "web_data", "Target": "/w", "VolumeOptions": {"Labels": {STACK: "web"}}},
            {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}},
            {"Type": "volume", "Source": "{{.Task.Slot}}", "Target": "/slot", "VolumeOptions": {"NoCopy": True}},
            {"Type": "volume", "Target": "/anonymous", "ReadOnly": True},
            {"Type": "bind", "Source": "/a$b", "Target": "/c:d", "BindOptions": {"NonRecursive": True}},
            {"Type": "bind", "Source": "/run", "Target": "/run", "BindOptions": {"Propagation": "rshared"}},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}},
        ]
    ),
    max_size=4,
    unique_by=lambda mount: mount["Target"],
)
containers = some(
    Command=st.lists(texts, max_size=2),
    Args=st.lists(texts, max_size=3),
    Env=variables,
    Labels=maps,
    Groups=st.just(["7", "staff"]),
    Dir=st.just("/srv"),
    User=texts,
    Hostname=st.just("{{.Node.Hostname}}"),
    Hosts=st.lists(st.sampled_from(["1.2.3.4 a", "::1 b", "1.1.1.1 c d"]), max_size=3),
    DNSConfig=some(Nameservers=st.just(["1.1.1.1"]), Search=st.just(["a.b"]), Options=st.just(["ndots:2"])),
    Privileges=some(
        NoNewPrivileges=st.booleans(),
        SELinuxContext=st.just({"Disable": True, "Level": "s0"}),
        Seccomp=st.just({"Mode": "unconfined"}),
    ),
    Mounts=mounts,
    Healthcheck=some(Test=st.sampled_from([["NONE"], ["CMD-SHELL", "a $b"], ["CMD", "x"], []]), Interval=nanoseconds),
    StopGracePeriod=nanoseconds,
    Init=st.booleans(),
    Sysctls=st.just({"net.core.somaxconn": "1024"}),
    CapabilityAdd=st.lists(st.sampled_from(["CAP_NET_ADMIN", "ALL", "net_raw"]), unique=True),
    CapabilityDrop=st.just(["CAP_CHOWN"]),
    Ulimits=st.lists(
        st.sampled_from([{"Name": "nofile", "Hard": 9, "Soft": 4}, {"Name": "core", "Hard": -1, "Soft": -1}]),
        unique_by=str,
    ),
    FromNextYear=st.just({"A.b_c": [1, {"d": None}]}),
)  # fmt: skip
endpoints = some(
    Mode=st.sampled_from(["vip", "dnsrr"]),
    Ports=st.lists(
        st.sampled_from(
            [
                {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
                {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host", "Name": "dns"},
            ]
        ),
        max_size=2,
        unique_by=str,
    ),
)


def rollout(*failure_actions: str) -> st.SearchStrategy[dict[str, Any]]:
    return some(
        Parallelism=st.integers(0, 2),
        Delay=nanoseconds,
        FailureAction=st.sampled_from(failure_actions),
        MaxFailureRatio=st.sampled_from([0, 0.25, 1]),
        Order=st.sampled_from(["start-first", "stop-first"]),
    )


@st.composite
def raw_services(draw: st.DrawFn) -> dict[str, Any]:
    """ServiceSpecs as no compose file would have them."""
    container = draw(containers)
    container["Image"] = draw(
        st.sampled_from(["nginx:1", "docker.io/library/nginx", "a/b:1@sha256:" + "a" * 64, "a/b@sha256:" + "b" * 64])
    )
    mode = draw(modes)
    spec: dict[str, Any] = {
        "Labels": draw(maps),
        "TaskTemplate": {"ContainerSpec": container}
        | draw(
            some(
                Placement=some(
                    Constraints=st.just(["node.role==manager"]),
                    Platforms=st.just([{"OS": "linux"}]),
                    MaxReplicas=st.just(2),
                ),
                Resources=st.sampled_from(
                    [
                        {"Limits": {"NanoCPUs": 333_333_333, "MemoryBytes": 67_108_865, "Pids": 3}},
                        {"Reservations": {"GenericResources": [{"NamedResourceSpec": {"Kind": "GPU", "Value": "u"}}]}},
                        {"Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "GPU", "Value": 2}}]}},
                    ]
                ),
                RestartPolicy=some(Condition=st.sampled_from(["none", "any"]), Delay=nanoseconds, Window=nanoseconds),
                LogDriver=some(Name=st.just("json-file"), Options=maps),
                Networks=st.sampled_from(
                    [
                        [{"Target": "shared"}],
                        [{"Target": "shared", "Aliases": ["z", "a"], "DriverOpts": {"x": "y"}}],
                        [{"Target": "web_back", "Aliases": ["api"]}, {"Target": "shared"}],
                    ]
                ),
            )
        ),
        "Mode": mode,
        "EndpointSpec": draw(endpoints),
    }  # fmt: skip
    if "Replicated" in mode or "Global" in mode:
        spec |= draw(some(UpdateConfig=rollout("pause", "rollback"), RollbackConfig=rollout("pause", "continue")))
    return spec


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(["api", "web_api", "web_default", "a-b_c"]), raw_services(), min_size=1, max_size=3
    ),
    st.sampled_from(["web", "not a stack!", None]),
)
def test_what_compose_cannot_say_comes_back(
    tmp_path_factory: Any, specs: dict[str, dict[str, Any]], stack: str | None
) -> None:
    async def story() -> None:
        cluster = await a_quiet_swarm()
        await cluster.create(Kind.NETWORK, {"Name": "shared", "Driver": "overlay", "Attachable": True})
        await cluster.create(
            Kind.NETWORK,
            {
                "Name": "web_back",
                "Labels": {STACK: "web"},
                "IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.7", "IPRange": "10.9.0.128/25"}]},
            },
        )
        content = base64.b64encode(b"\x00\xff$X\r\n").decode()
        labels = {STACK: stack, "a.b": "$X"} if stack else {}
        secret = await cluster.create(Kind.SECRET, {"Name": "s.k_1", "Labels": labels, "Data": content})
        config = await cluster.create(Kind.CONFIG, {"Name": "web_c", "Labels": labels, "Data": content})
        file = {"Name": "/etc/x", "UID": "1", "GID": "0", "Mode": 0o400}
        for name, spec in specs.items():
            if stack:
                spec["Labels"] |= {STACK: stack}
            spec["TaskTemplate"]["ContainerSpec"] |= {
                "Secrets": [{"File": file, "SecretID": secret, "SecretName": "s.k_1"}],
                "Configs": [{"File": file | {"Mode": 0o444}, "ConfigID": config, "ConfigName": "web_c"}],
            }
            await cluster.create(Kind.SERVICE, {"Name": name, **spec})
        files = await assert_round_trip(cluster, tmp_path_factory.mktemp("import"))
        assert b"\x00\xff$X\r\n" in files.values()

    asyncio.run(story())
