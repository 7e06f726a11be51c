"""Generated repositories, and what becomes of one that is applied.

Repositories are generated as files, loaded by the real loader, and applied to the embedded swarm's real tables, which
fill in what a daemon fills in. Its loop does not run, so no task starts: only what is stored counts here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.schema_files import read_schemas
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manifests.load import LoadInputs, load
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.plan import Plan
from reconciler.model.progress import ActionStatus
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import NODES

SCHEMAS = read_schemas()

names = st.sampled_from(["alpha", "beta", "gamma", "delta"])
words = st.sampled_from(["a", "b", "x y", "", "1", "true"])
label_maps = st.dictionaries(st.sampled_from(["team", "a.b", "tier"]), words, max_size=3)
durations = st.sampled_from(["0s", "1s", "1m30s", "250ms"])


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with any of the given keys."""
    return st.fixed_dictionaries({}, optional=optional)


def rollouts(*failure_actions: str) -> st.SearchStrategy[dict[str, Any]]:
    return some(
        parallelism=st.integers(0, 3),
        delay=durations,
        monitor=durations,
        order=st.sampled_from(["start-first", "stop-first"]),
        failure_action=st.sampled_from(failure_actions),
        max_failure_ratio=st.sampled_from([0, 0.25, 1]),
    )


deploys = some(
    mode=st.sampled_from(["replicated", "global"]),
    labels=label_maps,
    restart_policy=some(
        condition=st.sampled_from(["none", "on-failure", "any"]), delay=durations, max_attempts=st.integers(0, 3)
    ),
    update_config=rollouts("pause", "continue", "rollback"),
    rollback_config=rollouts("pause", "continue"),
    placement=some(
        constraints=st.lists(st.sampled_from(["node.role == worker", "node.labels.zone != a"]), max_size=2),
        preferences=st.just([{"spread": "node.labels.zone"}]),
        max_replicas_per_node=st.integers(0, 3),
    ),
    resources=some(
        limits=some(cpus=st.sampled_from(["0.5", "2"]), memory=st.sampled_from(["64M", "1G"])),
        reservations=some(memory=st.just("16M")),
    ),
    endpoint_mode=st.sampled_from(["vip", "dnsrr"]),
)


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    service: dict[str, Any] = draw(
        some(
            command=st.sampled_from(["sleep 100", ["sleep", "100"], ""]),
            environment=st.one_of(label_maps, st.lists(st.sampled_from(["A=1", "B", "C=x=y"]), unique=True)),
            labels=label_maps,
            networks=st.one_of(
                st.lists(st.sampled_from(["front", "back"]), unique=True, min_size=1),
                st.just({"back": {"aliases": ["z", "a"]}, "front": None}),
            ),
            configs=st.sampled_from([["settings"], [{"source": "settings", "target": "/etc/s", "mode": 256}]]),
            secrets=st.sampled_from([["key"], [{"source": "key", "uid": "7"}, {"source": "key", "target": "second"}]]),
            healthcheck=st.sampled_from([{"test": "true", "interval": "5s"}, {"disable": True}, {"retries": 2}]),
            stop_grace_period=durations,
            hostname=st.just("{{.Task.Slot}}"),
            cap_add=st.just(["net_admin", "ALL"]),
            init=st.booleans(),
            read_only=st.booleans(),
            extra_hosts=st.just(["a:1.2.3.4"]),
            dns=st.lists(st.just("1.1.1.1"), max_size=1),
            volumes=st.sampled_from([["data:/data"], ["/run/x:/x:ro", "/anon"], [{"type": "tmpfs", "target": "/t"}]]),
            logging=some(driver=st.just("json-file"), options=st.just({"max-size": "1m"})),
            ulimits=st.just({"nofile": 1024, "core": {"soft": 0, "hard": 1}}),
            stop_signal=st.just("SIGINT"),
            deploy=deploys,
        )
    )  # fmt: skip
    service["image"] = draw(st.sampled_from(["nginx", "nginx:1.25", "ghcr.io/a/b:c", "docker.io/library/redis:7"]))
    if service.get("deploy", {}).get("mode") != "global" and draw(st.booleans()):
        service.setdefault("deploy", {})["replicas"] = draw(st.integers(0, 4))
    return service


@st.composite
def repositories(draw: st.DrawFn) -> dict[str, str]:
    """{path: content} of a repository of one or two stacks."""
    files = {"stacks/settings.ini": draw(words) + "!", "stacks/key.txt": draw(words) + "?"}
    stacks = draw(st.lists(names, min_size=1, max_size=2, unique=True))
    for stack in stacks:
        document = {
            "version": "3.8",
            "services": draw(st.dictionaries(names, services(), min_size=1, max_size=3)),
            "networks": {
                "front": draw(some(attachable=st.booleans(), internal=st.booleans(), labels=label_maps)),
                "back": draw(some(driver_opts=st.just({"encrypted": ""}), driver=st.just("overlay"))),
            },
            "configs": {"settings": {"file": "settings.ini", "labels": draw(label_maps)}},
            "secrets": {"key": {"file": "key.txt"}},
            "volumes": {"data": draw(some(driver=st.just("local"), labels=label_maps))},
        }
        files[f"stacks/{stack}.yaml"] = yaml.safe_dump(document)
    cluster = {
        "apiVersion": "swarmctl/v1",
        "kind": "Cluster",
        "metadata": {"name": "generated"},
        "spec": {
            "settings": draw(some(taskHistoryLimit=st.integers(0, 9), heartbeatPeriod=st.just("7s"))),
            "nodes": draw(
                st.lists(
                    st.fixed_dictionaries(
                        {"hostname": st.sampled_from(NODES)},
                        optional={"availability": st.sampled_from(["active", "pause", "drain"]), "labels": label_maps},
                    ),
                    unique_by=lambda node: str(node["hostname"]),
                )
            ),
            "networks": draw(some(shared=st.just({"driver": "overlay", "subnet": "10.77.0.0/24"}))),
            "policy": {"prune": True, "maxDeletePercent": 100},
        },
    }
    files["swarm.yaml"] = yaml.safe_dump(cluster)
    return files


def loaded(folder: Path, files: dict[str, str]) -> DesiredState:
    for path in sorted(folder.rglob("*.yaml")):
        path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return load(DirectoryRevision.open(str(folder)), LoadInputs(SCHEMAS, {"B": "from-env"}, "/root", str(folder)))


async def carried_out(cluster: EmbeddedCluster, desired: DesiredState) -> tuple[Plan, ActualState]:
    """Apply once; return the plan made after it."""
    actual = await cluster.observe()
    first = plan(desired, actual)
    result = await apply(first, actual, cluster, ApplyOptions(wait=False), lambda step: None)
    problems = [one.problem for one in result.actions if one.status is not ActionStatus.DONE]
    assert not problems
    after = await cluster.observe()
    return plan(desired, after), after
