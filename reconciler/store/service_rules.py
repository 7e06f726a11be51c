"""What a service's spec may not say, in the words of Docker Swarm. Judges one spec, never the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.model.constraints import parse_constraint
from reconciler.model.errors import ErrorCode
from reconciler.model.go_templates import BadGoTemplate, check_template
from reconciler.model.json import JsonObject, dig
from reconciler.store.defaults import MOUNT_TYPES
from reconciler.store.names import NAME_LENGTH_MAX, is_dns_name, is_image_reference
from reconciler.store.refusal import Refusal, invalid

MODES = ("Replicated", "Global", "ReplicatedJob", "GlobalJob")
MEMORY_BYTES_MIN = 4 * 1024 * 1024
NANO_CPUS_MIN = 1_000_000
DURATION_MIN_NS = 1_000_000
FAILURE_ACTIONS = ("pause", "continue", "rollback")
"""Of updates and of rollbacks: an engine takes all three for both, and a rollback that fails is paused."""
PROPAGATIONS = ("", "private", "rprivate", "shared", "rshared", "slave", "rslave")


def check_service(spec: JsonObject) -> None:
    """Raise Refusal for the first rule that a completed spec breaks."""
    _check_name(spec)
    _check_mode(spec)
    _check_container(spec)
    _check_resources(spec)
    _check_policies(spec)
    _check_endpoint(spec)
    for text in dig(spec, "TaskTemplate", "Placement", "Constraints") or ():
        try:
            parse_constraint(text)
        except ValueError as error:
            raise invalid(str(error), rpc="Unknown") from None


def _check_name(spec: JsonObject) -> None:
    name = spec.get("Name")
    if not isinstance(name, str) or not is_dns_name(name):
        raise invalid("name must be valid as a DNS name component")
    if len(name) > NAME_LENGTH_MAX:
        raise invalid(f"name must be {NAME_LENGTH_MAX} characters or fewer")


def mode_of(spec: JsonObject) -> str:
    """Return which of MODES a completed spec has."""
    return next(mode for mode in MODES if mode in spec["Mode"])


def _check_mode(spec: JsonObject) -> None:
    given = [mode for mode in MODES if mode in spec["Mode"]]
    if len(given) != 1:
        raise invalid("must specify only one service mode", rpc="")
    mode = given[0]
    counts = [value for value in spec["Mode"][mode].values() if value is not None]
    if any(not isinstance(count, int) or count < 0 for count in counts):
        raise invalid("Number of replicas must be non-negative")
    if mode.endswith("Job") and spec.get("UpdateConfig") is not None:  # of rolling back it asks nothing
        raise invalid("Jobs may not have an update config")


def _check_container(spec: JsonObject) -> None:
    container = spec["TaskTemplate"]["ContainerSpec"]
    if spec["TaskTemplate"]["Runtime"] != "container":
        raise invalid("mismatched Runtime and *Spec fields", rpc="")
    image = container.get("Image")
    if not image:
        raise invalid("ContainerSpec: image reference must be provided")
    if not is_image_reference(str(image)):
        raise invalid(f'ContainerSpec: "{image}" is not a valid repository/tag')
    _check_health(container.get("Healthcheck") or {})
    _check_mounts(container.get("Mounts") or ())
    _check_templates(container)
    for kind in ("Secret", "Config"):
        _check_targets(kind.lower(), container.get(f"{kind}s") or (), f"{kind}Name")
    _check_credentials(container)


def _check_credentials(container: JsonObject) -> None:
    wanted = dig(container, "Privileges", "CredentialSpec", "Config")
    references = container.get("Configs") or ()
    if wanted and not any(one.get("ConfigID") == wanted and one.get("Runtime") is not None for one in references):
        why = "but that config isn't in config references with RuntimeTarget"
        raise invalid(f"CredentialSpec references config '{wanted}', {why}")


def _check_mounts(mounts: Iterable[JsonObject]) -> None:
    targets: dict[str, bool] = {}
    for mount in mounts:
        kind = str(mount.get("Type") or "")
        if kind and kind.lower() not in MOUNT_TYPES:
            raise invalid(f'invalid MountType: "{kind}"', rpc="")
        propagation = str(dig(mount, "BindOptions", "Propagation") or "")
        if propagation.lower() not in PROPAGATIONS:
            raise invalid(f'invalid MountPropagation: "{propagation}"', rpc="")
        target = str(mount.get("Target", ""))
        if target in targets:
            raise invalid(f"ContainerSpec: duplicate mount point: {target}")
        targets[target] = True


def _check_templates(container: JsonObject) -> None:
    """Refuse the templates that cannot be expanded, in the order in which a manager tries to."""
    for mount in container.get("Mounts") or ():
        for key in ("Source", "Target"):
            text = str(mount.get(key) or "")
            _check_template(text, f'expanding mounts failed: expanding mount {key.lower()} "{text}": ')
    for variable in container.get("Env") or ():
        _check_template(str(variable).partition("=")[2], f'expanding env failed: expanding env "{variable}": ')
    _check_template(str(container.get("Hostname") or ""), "expanding hostname failed: ")


def _check_template(text: str, beginning: str) -> None:
    try:
        check_template(text)
    except BadGoTemplate as error:
        raise invalid(beginning + error.go) from None


def _check_health(check: JsonObject) -> None:
    for field in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        duration = check.get(field) or 0
        if duration and duration < DURATION_MIN_NS:
            raise invalid(f"ContainerSpec: {field} in HealthConfig cannot be less than 1ms")
    if (check.get("Retries") or 0) < 0:
        raise invalid("ContainerSpec: Retries in HealthConfig cannot be negative")


def _check_targets(kind: str, references: Any, name_key: str) -> None:
    names: dict[str, str] = {}
    for reference in references:
        name = str(reference.get(name_key) or "")
        if not name or not reference.get(name_key.replace("Name", "ID")):
            raise invalid(f"malformed {kind} reference")
        if reference.get("File") is None:
            if reference.get("Runtime") is not None:
                continue  # a config for a credential spec is no file
            raise invalid(f"malformed {kind} reference, no target provided")
        target = dig(reference, "File", "Name")
        if not target:
            raise invalid(f"malformed file {kind} reference, invalid target file name provided")
        if target in names:
            first = names[target]
            raise invalid(f"{kind} references '{first}' and '{name}' have a conflicting target: '{target}'")
        names[target] = name


def _check_resources(spec: JsonObject) -> None:
    for block in ("Limits", "Reservations"):
        resources = dig(spec, "TaskTemplate", "Resources", block) or {}
        cpus, memory = resources.get("NanoCPUs") or 0, resources.get("MemoryBytes") or 0
        if cpus and cpus < NANO_CPUS_MIN:
            raise invalid(f"invalid cpu value {cpus / 1e9:g}: Must be at least 0.001")
        if memory and memory < MEMORY_BYTES_MIN:
            raise invalid(f"invalid memory value {memory}: Must be at least 4MiB")
    _check_swap(dig(spec, "TaskTemplate", "Resources") or {})


def _check_swap(resources: JsonObject) -> None:
    if resources.get("SwapBytes") and not dig(resources, "Limits", "MemoryBytes"):
        raise invalid("memory swap provided, but no memory-limit was set", rpc="")


def _check_policies(spec: JsonObject) -> None:
    restart = spec["TaskTemplate"].get("RestartPolicy") or {}
    condition = restart.get("Condition", "any")
    if condition not in ("any", "none", "on-failure"):
        raise invalid(f'invalid RestartCondition: "{condition}"', rpc="")
    for field, word in (("Delay", "restart-delay"), ("Window", "restart-window")):
        if (restart.get(field) or 0) < 0:
            raise invalid(f"TaskSpec: {word} cannot be negative")
    for key in ("UpdateConfig", "RollbackConfig"):
        config = spec.get(key) or {}
        if config and config["FailureAction"] not in FAILURE_ACTIONS:
            raise invalid(f"unrecognized update failure action {config['FailureAction']}", rpc="")
        if config and config["Order"] not in ("stop-first", "start-first"):
            raise invalid(f"unrecognized update order {config['Order']}", rpc="")
    config = spec.get("UpdateConfig") or {}  # an engine looks at the numbers of this one only
    for field in ("Delay", "Monitor"):
        if (config.get(field) or 0) < 0:
            raise invalid(f"TaskSpec: update-{field.lower()} cannot be negative")
    if not 0 <= (config.get("MaxFailureRatio") or 0) <= 1:
        raise invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")


def _check_endpoint(spec: JsonObject) -> None:
    endpoint = spec.get("EndpointSpec") or {"Mode": "vip"}
    if endpoint["Mode"] not in ("vip", "dnsrr"):
        raise invalid(f'invalid resolution mode: "{endpoint["Mode"]}"', rpc="")
    ports = endpoint.get("Ports") or ()
    if endpoint["Mode"] == "dnsrr" and any(port["PublishMode"] == "ingress" for port in ports):
        raise invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
    seen: list[tuple[Any, Any]] = []
    for port in ports:
        published = port.get("PublishedPort") or 0
        if not 0 <= published < 65_536 or not 0 < (port.get("TargetPort") or 0) < 65_536:
            raise invalid("EndpointSpec: a port is outside of 1 to 65535")
        if published and (port["Protocol"], published) in seen:
            raise invalid("EndpointSpec: duplicate published ports provided")
        seen.append((port["Protocol"], published))


def check_unchanged(old: JsonObject, new: JsonObject) -> None:
    """Raise Refusal for what an update may not change: name and mode."""
    if old.get("Name") != new.get("Name"):
        raise Refusal(ErrorCode.REQUEST_REFUSED, "renaming services is not supported", rpc="Unimplemented")
    if mode_of(old) != mode_of(new):
        raise Refusal(ErrorCode.REQUEST_REFUSED, "service mode change is not allowed", rpc="Unimplemented")
