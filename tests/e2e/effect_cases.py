"""The services of tests/e2e/test_effects.py: each with one thing that is changed.

- `running_cases`: services whose tasks run, each with a field more or another value;
- `ended_cases`: jobs, tasks that ended for good, and tasks that no node takes;
- `every_key_cases`: the stack of the field walk, each value changed in turn. No node fits its tasks, as not every
  machine could run them; Swarm replaces a waiting task by the same rule as a running one;
- `raw_cases`: bodies written past the planner, with empty objects and noughts in the place of nothing: the line between
  what Swarm tells apart and what it does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.model.tasks import TaskState
from tests.e2e.test_field_walk import ADDED, Steps, another, at, leaves

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Case:
    """A service, what it is changed to, and when it is ready to be changed: so many tasks of one of these states."""

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    tasks: int = 1
    ready: frozenset[TaskState] = frozenset({TaskState.RUNNING})
    raw: bool = False


def service(name: str, *, replicas: int = 1, **template: Any) -> dict[str, Any]:
    """A service that starts and stops as fast as Swarm can, and whose update is over at once."""
    return {
        "Name": name,
        "Labels": {},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "swarmctl-test:1",
                "Command": ["sleep"],
                "Args": ["3600"],
                "StopGracePeriod": 1_000_000,
                "StopSignal": "SIGKILL",
            },
            "RestartPolicy": {"Condition": "any", "Delay": 200_000_000},
            "Placement": {},
            "Resources": {},
            **template,
        },
        "UpdateConfig": {"Parallelism": 0, "Monitor": 1, "FailureAction": "continue"},
        "EndpointSpec": {"Mode": "vip"},
    }


def put(path: str, value: Any) -> Change:
    """A change that sets what is at a dotted path."""

    def change(spec: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        parent = spec
        for step in steps:
            parent[step] = parent.get(step) or {}
            parent = parent[step]
        parent[last] = value

    return change


def case(name: str, before: dict[str, Any], *changes: Change, **fields: Any) -> Case:
    after = copy.deepcopy(before)
    for change in changes:
        change(after)
    return Case(name, {**before, "Name": name}, {**after, "Name": name}, **fields)


TEMPLATE, CONTAINER = "TaskTemplate.", "TaskTemplate.ContainerSpec."
IMAGE = put(f"{CONTAINER}Image", "swarmctl-test:2")
LABEL = put("Labels", {"a": "b"})
ENDED = frozenset({TaskState.COMPLETE, TaskState.FAILED})
PENDING = frozenset({TaskState.PENDING})
NOWHERE = {"Constraints": ["node.hostname == nowhere"]}

MORE: list[tuple[str, Any]] = [
    ("UpdateConfig.Delay", 1),
    ("UpdateConfig.Order", "start-first"),
    ("UpdateConfig.FailureAction", "pause"),
    ("RollbackConfig", {"Parallelism": 2, "Order": "start-first"}),
    ("EndpointSpec.Mode", "dnsrr"),
    ("EndpointSpec.Ports", [{"TargetPort": 82, "PublishedPort": 8282, "Protocol": "tcp", "PublishMode": "ingress"}]),
    (f"{CONTAINER}Image", "swarmctl-test:2"),
    (f"{CONTAINER}Args", ["3601"]),
    (f"{CONTAINER}StopGracePeriod", 2_000_000),
    (f"{CONTAINER}Healthcheck", {"Test": ["CMD", "true"], "Interval": 1_000_000_000}),
    (f"{CONTAINER}Privileges", {"NoNewPrivileges": True}),
    (f"{TEMPLATE}Runtime", "container"),
    (f"{TEMPLATE}RestartPolicy.Window", 1_000_000_000),
    (f"{TEMPLATE}RestartPolicy.Condition", "on-failure"),
    (f"{TEMPLATE}RestartPolicy.MaxAttempts", 3),
    (f"{TEMPLATE}Placement.Preferences", [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]),
    (f"{TEMPLATE}Placement.Constraints", ["node.hostname != nowhere"]),
    (f"{TEMPLATE}Placement.Platforms", [{"OS": "windows"}]),
    (f"{TEMPLATE}Networks", [{"Target": "effects-net"}]),
    ("Mode.Replicated.Replicas", 0),
]
"""Fields that the field walk adds with another value or not at all."""


def mode(**fields: Any) -> dict[str, Any]:
    """A service in another mode; jobs have no update settings and are not started again."""
    spec = service("")
    spec["Mode"] = fields
    if next(iter(fields)).endswith("Job"):
        del spec["UpdateConfig"]
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    return spec


def ending(spec: dict[str, Any], condition: str, command: str = "true") -> dict[str, Any]:
    """The service with a program that ends at once, started again or not."""
    spec["TaskTemplate"]["ContainerSpec"] |= {"Command": [command], "Args": []}
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": condition}
    return spec


def running_cases() -> Iterator[Case]:
    for number, (path, value) in enumerate([*ADDED, *MORE]):
        name = path.replace("TaskTemplate.", "").replace("ContainerSpec.", "").replace(".", "-")
        yield case(f"run-{number}-{name}", service(""), put(path, value))
    two, worker = service("", replicas=2), {"Constraints": ["node.role == worker"]}
    three = service("", replicas=3)
    replicas = "Mode.Replicated.Replicas"
    yield case("scale-up", two, put(replicas, 4), tasks=2)
    yield case("scale-up-image", two, put(replicas, 3), IMAGE, tasks=2)
    yield case("scale-down", three, put(replicas, 2), tasks=3)
    yield case("scale-down-image", three, put(replicas, 1), IMAGE, tasks=3)
    yield case("scale-from-0-image", service("", replicas=0), put(replicas, 1), IMAGE, tasks=0)
    yield case("at-0-image", service("", replicas=0), IMAGE, tasks=0)
    yield case("move-some", three, put(f"{TEMPLATE}Placement", worker), tasks=3)
    yield case("move-some-scale-down", three, put(f"{TEMPLATE}Placement", worker), put(replicas, 2), tasks=3)
    yield case("move-none", service("", replicas=2, Placement=worker), put(f"{TEMPLATE}Placement", {}), tasks=2)
    yield case("start-first", {**two, "UpdateConfig": {**two["UpdateConfig"], "Order": "start-first"}}, IMAGE, tasks=2)
    everywhere = mode(Global={})
    yield case("global-image", everywhere, IMAGE, tasks=3)
    yield case("global-label", everywhere, LABEL, tasks=3)
    yield case("global-fewer-nodes", everywhere, put(f"{TEMPLATE}Placement", worker), tasks=3)
    workers = mode(Global={})
    workers["TaskTemplate"]["Placement"] = worker
    yield case("global-more-nodes", workers, put(f"{TEMPLATE}Placement", {}), tasks=2)
    others = {"Constraints": ["node.hostname != node3"]}
    yield case("global-other-nodes-image", workers, put(f"{TEMPLATE}Placement", others), IMAGE, tasks=2)
    yield case("global-platform", everywhere, put(f"{TEMPLATE}Placement.Platforms", [{"OS": "windows"}]), tasks=3)


def ended_cases() -> Iterator[Case]:
    """Jobs, tasks that ended for good, and tasks that no node takes."""
    job = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}
    total = "Mode.ReplicatedJob.TotalCompletions"
    yield case("job-label", ending(mode(**job), "none"), LABEL, tasks=3, ready=ENDED)
    yield case("job-image", ending(mode(**job), "none"), IMAGE, tasks=3, ready=ENDED)
    yield case("job-total", ending(mode(**job), "none"), put(total, 4), tasks=3, ready=ENDED)
    # An engine of 20.10 goes on running a job that is removed while it runs; changed to this one it comes to an end.
    running = mode(ReplicatedJob={"MaxConcurrent": 2, "TotalCompletions": 2})
    yield case("job-running-command", running, put(f"{CONTAINER}Command", ["true"]), tasks=2)
    yield case("global-job-label", ending(mode(GlobalJob={}), "none"), LABEL, tasks=3, ready=ENDED)
    for condition, command in (("none", "true"), ("none", "false"), ("on-failure", "true")):
        spec = ending(service(""), condition, command)
        yield case(f"ended-{condition}-{command}-image", spec, IMAGE, ready=ENDED)
        yield case(f"ended-{condition}-{command}-label", spec, LABEL, ready=ENDED)
    yield case("ended-scale", ending(service(""), "none"), put("Mode.Replicated.Replicas", 2), ready=ENDED)
    replicas = put("Mode.Replicated.Replicas", 1)
    yield case("ended-scale-down", ending(service("", replicas=3), "none"), replicas, tasks=3, ready=ENDED)
    everywhere = ending(mode(Global={}), "none")
    yield case("global-ended-image", everywhere, IMAGE, tasks=3, ready=ENDED)
    yield case("global-ended-label", everywhere, LABEL, tasks=3, ready=ENDED)
    used_up = ending(service(""), "any", "false")
    used_up["TaskTemplate"]["RestartPolicy"] |= {"MaxAttempts": 1, "Delay": 1}
    yield case("ended-attempts-image", used_up, IMAGE, tasks=2, ready=ENDED)
    moved = put(f"{TEMPLATE}Placement", NOWHERE)
    yield case("ended-placement", ending(service(""), "none"), moved, ready=ENDED)
    waiting = service("", replicas=2, Placement=NOWHERE)
    yield case("waiting-image", waiting, IMAGE, tasks=2, ready=PENDING)
    yield case("waiting-label", waiting, LABEL, tasks=2, ready=PENDING)
    yield case("waiting-placement", waiting, put(f"{TEMPLATE}Placement", {}), tasks=2, ready=PENDING)


RAW: list[tuple[str, Any, str, Any]] = [
    ("TaskTemplate.Resources", None, "TaskTemplate.Resources", {}),
    ("TaskTemplate.Resources", {}, "TaskTemplate.Resources", {"Limits": {}}),
    ("TaskTemplate.Resources", {"Limits": {}}, "TaskTemplate.Resources", {"Limits": {"NanoCPUs": 0}}),
    ("TaskTemplate.RestartPolicy", None, "TaskTemplate.RestartPolicy", {}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Condition": "any", "MaxAttempts": 0}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Delay": 0}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Window": 0}),
    ("TaskTemplate.LogDriver", None, "TaskTemplate.LogDriver", {}),
    ("TaskTemplate.Runtime", "", "TaskTemplate.Runtime", "container"),
    ("TaskTemplate.ForceUpdate", 0, "TaskTemplate.ForceUpdate", 1),
    ("TaskTemplate.Networks", None, "TaskTemplate.Networks", []),
    (f"{CONTAINER}DNSConfig", None, f"{CONTAINER}DNSConfig", {}),
    (f"{CONTAINER}DNSConfig", {}, f"{CONTAINER}DNSConfig", {"Options": []}),
    (f"{CONTAINER}Healthcheck", None, f"{CONTAINER}Healthcheck", {}),
    (f"{CONTAINER}Healthcheck", {"Test": ["NONE"]}, f"{CONTAINER}Healthcheck", {"Test": ["NONE"], "Interval": 0}),
    (f"{CONTAINER}Privileges", None, f"{CONTAINER}Privileges", {}),
    (f"{CONTAINER}Privileges", {}, f"{CONTAINER}Privileges", {"SELinuxContext": {}}),
    (f"{CONTAINER}Privileges", {}, f"{CONTAINER}Privileges", {"NoNewPrivileges": False}),
    (f"{CONTAINER}Init", None, f"{CONTAINER}Init", False),
    (f"{CONTAINER}TTY", None, f"{CONTAINER}TTY", False),
    (f"{CONTAINER}StopGracePeriod", None, f"{CONTAINER}StopGracePeriod", 0),
    (f"{CONTAINER}Isolation", "", f"{CONTAINER}Isolation", "default"),
    (f"{CONTAINER}Env", None, f"{CONTAINER}Env", []),
    (f"{CONTAINER}Env", ["A=1", "B=2"], f"{CONTAINER}Env", ["B=2", "A=1"]),
    (f"{CONTAINER}Labels", {"a": ""}, f"{CONTAINER}Labels", {}),
    (f"{CONTAINER}Sysctls", None, f"{CONTAINER}Sysctls", {}),
    (f"{CONTAINER}Mounts", [{"Type": "tmpfs", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {}}]),
    (f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t", "VolumeOptions": {}}]),
    (f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t", "Consistency": "cached"}]),
    (f"{CONTAINER}Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/t", "BindOptions": {}}]),
    ("EndpointSpec", None, "EndpointSpec", {}),
    ("EndpointSpec", {}, "EndpointSpec", {"Mode": "vip", "Ports": []}),
    ("EndpointSpec", {"Ports": [{"TargetPort": 85}]},
     "EndpointSpec", {"Ports": [{"TargetPort": 85, "Protocol": "tcp"}]}),
    ("UpdateConfig", {"Parallelism": 0, "Monitor": 1}, "UpdateConfig", None),
    ("TaskTemplate.Placement", NOWHERE, "TaskTemplate.Placement", None),
]  # fmt: skip


def raw_cases() -> Iterator[Case]:
    for number, (path, old, changed_path, new) in enumerate(RAW):
        before = service("", Placement=NOWHERE)
        put(path, old)(before)
        name = f"raw-{number}-{path.rpartition('.')[2]}"
        yield case(name, before, put(changed_path, new), ready=PENDING, raw=True)


def every_key_cases(spec: dict[str, Any]) -> Iterator[Case]:
    before = copy.deepcopy(spec)
    before["Mode"]["Replicated"]["Replicas"] = 1
    before["TaskTemplate"]["Placement"]["Constraints"] = NOWHERE["Constraints"]
    for number, steps in enumerate(list(leaves(before))):

        def change(after: dict[str, Any], steps: Steps = steps) -> None:
            parent = at(after, steps[:-1])
            parent[steps[-1]] = another(parent[steps[-1]])

        name = f"key-{number}-{'-'.join(str(step) for step in steps if step not in ('TaskTemplate', 'ContainerSpec'))}"
        yield case("".join(letter if letter.isalnum() else "-" for letter in name)[:60].rstrip("-"), before, change,
                   ready=PENDING)  # fmt: skip
