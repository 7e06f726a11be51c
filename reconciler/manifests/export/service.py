"""A live service as keys of compose, for people to read."""

from __future__ import annotations

from reconciler.manifests.export.choices import Choices
from reconciler.manifests.export.container import PLACEHOLDER_IMAGE, container, image
from reconciler.manifests.export.quantities import cpus_text, duration_text, size_text
from reconciler.manifests.export.sections import Sections, extension, filled, written_labels
from reconciler.model import labels
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import ObservedObject

_JOBS = {"ReplicatedJob": "replicated-job", "GlobalJob": "global-job", "Global": "global"}


def service_keys(found: ObservedObject, key: str, sections: Sections, choices: Choices) -> JsonObject:
    """Return the service as `services.KEY` of a file; what it refers to goes into `sections`."""
    spec = found.spec
    task = spec.get("TaskTemplate") or {}
    container_spec = task.get("ContainerSpec") or {}
    leaves_out = choices.left_out.get(found.name, set())
    written = PLACEHOLDER_IMAGE if "image" in leaves_out else image(container_spec, found.labels)
    keys = container(_without_left_out(container_spec, leaves_out), sections)
    keys["ports"] = _ports((spec.get("EndpointSpec") or {}).get("Ports") or [])
    if "networks" not in leaves_out:
        keys["networks"] = _networks(task.get("Networks") or [], key, sections)
    driver = task.get("LogDriver") or {}
    keys["logging"] = filled({"driver": driver.get("Name"), "options": driver.get("Options")})
    deploy = _deploy(spec, task, sections.stack)
    keys["deploy"] = {name: value for name, value in deploy.items() if f"deploy.{name}" not in leaves_out}
    kept = {name: value for name, value in keys.items() if name not in leaves_out}
    init = {"init": kept["init"]} if "init" in kept else {}  # false says something else than nothing
    patch = choices.patches.get(found.name) or {}
    if found.name != (f"{sections.stack}_{key}" if sections.stack else key):
        patch = {"Name": found.name} | patch
    return {"image": written} | filled(kept) | init | extension(found, patch)


def _without_left_out(spec: JsonObject, leaves_out: set[str]) -> JsonObject:
    """Return `spec` without mounts and references that are left out: they would still define volumes and the like."""
    fields = {"volumes": "Mounts", "secrets": "Secrets", "configs": "Configs"}
    gone = {field for key, field in fields.items() if key in leaves_out}
    return {name: value for name, value in spec.items() if name not in gone}


def _networks(attachments: list[JsonObject], key: str, sections: Sections) -> JsonValue:
    options: JsonObject = {}
    for attachment in attachments:
        network = sections.network(attachment.get("Target") or "")
        if network is None:
            return None
        aliases = list(attachment.get("Aliases") or [])
        if sections.stack and aliases[-1:] == [key]:
            aliases.pop()
        options[network] = filled({"aliases": aliases, "driver_opts": attachment.get("DriverOpts")}) or None
    if list(options) == ["default"] and sections.stack and not options["default"]:
        return None  # every service of a stack has it that names no other
    return list(options) if not any(options.values()) else options


def _ports(ports: list[JsonObject]) -> list[JsonValue]:
    result: list[JsonValue] = []
    for port in ports:
        published, target = port.get("PublishedPort"), port.get("TargetPort")
        protocol = port.get("Protocol") or "tcp"
        if port.get("PublishMode") == "host":
            long = {"target": target, "published": published, "mode": "host"}
            result.append(filled(long | {"protocol": protocol if protocol != "tcp" else None}))
            continue
        text = f"{published}:{target}" if published else str(target)
        result.append(text if protocol == "tcp" else f"{text}/{protocol}")
    return result


def _deploy(spec: JsonObject, task: JsonObject, stack: str | None) -> JsonObject:
    endpoint_mode = (spec.get("EndpointSpec") or {}).get("Mode")
    given = {name: value for name, value in (spec.get("Labels") or {}).items() if name != labels.STACK_IMAGE}
    placement = task.get("Placement") or {}
    keys = _mode(spec.get("Mode") or {}) | filled(
        {
            "endpoint_mode": endpoint_mode if endpoint_mode != "vip" else None,
            "labels": written_labels(given if stack else spec.get("Labels"), stack),
            "placement": filled(
                {
                    "constraints": placement.get("Constraints"),
                    "preferences": [
                        {"spread": (item.get("Spread") or {}).get("SpreadDescriptor") or ""}
                        for item in placement.get("Preferences") or []
                    ],
                    "max_replicas_per_node": placement.get("MaxReplicas"),
                }
            ),
            "resources": _resources(task.get("Resources") or {}),
            "restart_policy": _restart_policy(task.get("RestartPolicy")),
            "update_config": _rollout(spec.get("UpdateConfig")),
            "rollback_config": _rollout(spec.get("RollbackConfig")),
        }
    )
    return keys


def _mode(mode: JsonObject) -> JsonObject:
    kind = next((name for name, value in mode.items() if value is not None), "Replicated")
    body = mode.get(kind) or {}
    keys: JsonObject = {"mode": _JOBS[kind]} if kind in _JOBS else {}
    count = body.get("Replicas") if kind == "Replicated" else body.get("TotalCompletions")
    if count is not None and count != 1:
        keys["replicas"] = count
    return keys


def _resources(given: JsonObject) -> JsonObject:
    limits, reservations = given.get("Limits") or {}, given.get("Reservations") or {}
    generic = [
        {"discrete_resource_spec": filled({"kind": one.get("Kind"), "value": one.get("Value")})}
        for item in reservations.get("GenericResources") or []
        if (one := item.get("DiscreteResourceSpec"))
    ]
    return filled(
        {
            "limits": filled(_amounts(limits) | {"pids": limits.get("Pids")}),
            "reservations": filled(_amounts(reservations) | {"generic_resources": generic}),
        }
    )


def _amounts(given: JsonObject) -> JsonObject:
    cpus, memory = given.get("NanoCPUs"), given.get("MemoryBytes")
    return {"cpus": cpus_text(cpus) if cpus else None, "memory": size_text(memory) if memory else None}


def _restart_policy(policy: JsonObject | None) -> JsonObject | None:
    if policy is None:
        return None
    keys: JsonObject = {"condition": policy.get("Condition") or "any"}
    for key, field in (("delay", "Delay"), ("window", "Window")):
        if policy.get(field) is not None:
            keys[key] = duration_text(policy[field])
    if policy.get("MaxAttempts"):
        keys["max_attempts"] = policy["MaxAttempts"]
    return keys


def _rollout(config: JsonObject | None) -> JsonObject | None:
    if config is None:
        return None
    order, action = config.get("Order"), config.get("FailureAction")
    keys: JsonObject = {"parallelism": config.get("Parallelism") or 0}
    return keys | filled(
        {
            "delay": duration_text(config["Delay"]) if config.get("Delay") else None,
            "monitor": duration_text(config["Monitor"]) if config.get("Monitor") else None,
            "failure_action": action if action != "pause" else None,
            "max_failure_ratio": config.get("MaxFailureRatio"),
            "order": order if order != "stop-first" else None,
        }
    )
