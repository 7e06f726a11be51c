"""The one form in which a wanted and a live spec are compared.

The daemon stores a create request nearly as it was sent: it fills in a handful of fields, drops a few, and turns
network names into ids. Both sides are brought to the same form here, and to nothing more than that: a field that
the daemon does keep as sent is never smoothed over, or a change of it would go unseen.

Source: docs/decisions/0002-comparing-specs.md, measured as request against `GET /services/{id}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from reconciler.model import labels
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.subnets import plain_subnet

IdToName = Mapping[str, str]
"""{object id: object name} of what the cluster has now."""


def without_empties(value: JsonValue) -> JsonValue:
    """Return a copy of `value` without nulls, and without objects and lists that hold nothing."""
    if isinstance(value, dict):
        kept = {key: without_empties(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if not _is_empty(item)}
    if isinstance(value, list):
        return [without_empties(item) for item in value]
    return value


def _is_empty(value: JsonValue) -> bool:
    return value is None or value in ({}, [])


def stated(spec: JsonObject) -> JsonObject:
    """Return what a create request of a service says that means something: no nulls, empties, or plain noughts."""
    form: JsonObject = without_empties({key: value for key, value in spec.items() if key not in ("Name", "Mode")})
    template = form.get("TaskTemplate", {})
    template.pop("ForceUpdate", None)
    privileges = template.get("ContainerSpec", {}).get("Privileges", {})
    if privileges == {"NoNewPrivileges": False}:
        del template["ContainerSpec"]["Privileges"]
    for port in form.get("EndpointSpec", {}).get("Ports", []):
        port["Protocol"] = _port(port)["Protocol"]  # a port is told by it, whether it is written down or not
    noughts = (("Order", ""), ("MaxFailureRatio", 0))
    for block in ("UpdateConfig", "RollbackConfig"):
        if block in form:
            form[block] = {key: value for key, value in form[block].items() if (key, value) not in noughts}
    return {**form, "Mode": _mode(spec.get("Mode") or {"Replicated": {}})}


def service(spec: JsonObject, *, networks: IdToName, secrets: IdToName, configs: IdToName) -> JsonObject:
    """Return a service spec in the form for comparing. It works for what we send and for what the daemon stored.

    `networks`, `secrets` and `configs` name the cluster's objects. A reference by an id that the cluster no
    longer has keeps the id in its place, so that it differs from every name.
    """
    form = copy.deepcopy(spec)
    mode = _mode(form.get("Mode") or {"Replicated": {}})
    form["Labels"] = {key: value for key, value in (form.get("Labels") or {}).items() if key not in labels.OURS}
    template = form.setdefault("TaskTemplate", {})
    # `--force` and `docker service update --force` count up here; it says that tasks were renewed, not what they are.
    template.pop("ForceUpdate", None)
    template.setdefault("Runtime", "container")
    _container(template.setdefault("ContainerSpec", {}), secrets, configs)
    _restart_policy(template.get("RestartPolicy"))
    template["Networks"] = _networks(template.get("Networks") or [], networks)
    for block in ("UpdateConfig", "RollbackConfig"):
        _update_config(form.get(block))
    form["EndpointSpec"] = _endpoint(form.get("EndpointSpec") or {})
    compact: JsonObject = without_empties(form)
    compact["Mode"] = mode
    return compact


def _mode(mode: JsonObject) -> JsonObject:
    kind = next((key for key, value in mode.items() if value is not None), "Replicated")
    body = dict(mode.get(kind) or {})
    if kind == "Replicated":
        body.setdefault("Replicas", 1)
    if kind == "ReplicatedJob":
        body.setdefault("MaxConcurrent", 1)
        body.setdefault("TotalCompletions", body["MaxConcurrent"])
    return {kind: body}


def _container(container: JsonObject, secrets: IdToName, configs: IdToName) -> None:
    isolation = container.get("Isolation")
    container["Isolation"] = isolation if isolation in ("process", "hyperv") else "default"
    privileges = container.get("Privileges") or {}
    if not privileges.get("NoNewPrivileges"):
        privileges.pop("NoNewPrivileges", None)  # engines below API 1.44 don't have it; newer ones answer false
    credential = privileges.get("CredentialSpec") or {}
    if config := credential.get("Config"):
        credential["Config"] = configs.get(config, config)
    for mount in container.get("Mounts") or []:
        mount.pop("Consistency", None)  # no engine stores it
    container["Secrets"] = _file_references(container.get("Secrets") or [], "Secret", secrets)
    container["Configs"] = _file_references(container.get("Configs") or [], "Config", configs)


def _file_references(references: list[JsonObject], noun: str, names: IdToName) -> list[JsonObject]:
    """Return secret or config references by name only, in an order that depends on nothing but their content."""
    id_key, name_key = f"{noun}ID", f"{noun}Name"
    by_name = []
    for reference in references:
        plain = {key: value for key, value in reference.items() if key != id_key}
        if object_id := reference.get(id_key):
            plain[name_key] = names.get(object_id, f"{reference.get(name_key, '')} (deleted, id {object_id})")
        by_name.append(plain)
    return sorted(by_name, key=lambda item: (str((item.get("File") or {}).get("Name")), str(item.get(name_key))))


def _restart_policy(policy: JsonObject | None) -> None:
    if policy is not None:
        policy.setdefault("MaxAttempts", 0)
        policy["Condition"] = policy.get("Condition") or "any"


def _update_config(config: JsonObject | None) -> None:
    if config is not None:
        config["Order"] = config.get("Order") or "stop-first"
        config["FailureAction"] = config.get("FailureAction") or "pause"


def _networks(attachments: list[JsonObject], names: IdToName) -> list[JsonObject]:
    by_name = [{**item, "Target": names.get(item.get("Target", ""), item.get("Target", ""))} for item in attachments]
    return sorted(by_name, key=lambda item: item["Target"])


def _endpoint(endpoint: JsonObject) -> JsonObject:
    form = dict(endpoint)
    form["Mode"] = form.get("Mode") or "vip"
    form["Ports"] = sorted((_port(port) for port in form.get("Ports") or []), key=_port_order)
    return form


def _port(port: JsonObject) -> JsonObject:
    form = dict(port)
    protocol = str(form.get("Protocol") or "tcp").lower()
    form["Protocol"] = protocol if protocol in ("tcp", "udp", "sctp") else "tcp"
    mode = str(form.get("PublishMode") or "ingress").lower()
    form["PublishMode"] = mode if mode in ("ingress", "host") else "ingress"
    if not form.get("PublishedPort"):
        form.pop("PublishedPort", None)
    return form


def _port_order(port: JsonObject) -> tuple[int, int, str, str]:
    return port.get("PublishedPort", 0), port.get("TargetPort", 0), port["Protocol"], port["PublishMode"]


def image_without_digest(image: str) -> str:
    """Return an image reference without the `@sha256:…` that a registry lookup pinned to it."""
    return image.partition("@")[0]


def adopt_pinned_image(wanted: JsonObject, live: JsonObject) -> None:
    """Give the canonical `wanted` spec the live image's digest and platforms, where it names the same tag.

    A deploy resolves `nginx:1.27` to a digest and fills in Placement.Platforms; neither is a difference
    until the file names another image. Changes `wanted`, reads `live`.
    """
    wanted_container, live_container = wanted["TaskTemplate"]["ContainerSpec"], live["TaskTemplate"]["ContainerSpec"]
    wanted_image, live_image = wanted_container.get("Image", ""), live_container.get("Image", "")
    if "@" in wanted_image or "@" not in live_image or image_without_digest(live_image) != wanted_image:
        return
    wanted_container["Image"] = live_image
    live_placement = live["TaskTemplate"].get("Placement") or {}
    wanted_placement = wanted["TaskTemplate"].get("Placement") or {}
    if "Platforms" in live_placement and "Platforms" not in wanted_placement:
        wanted["TaskTemplate"]["Placement"] = wanted_placement | {"Platforms": live_placement["Platforms"]}


def network(spec: JsonObject) -> JsonObject:
    """Return those fields of a network that a user can ask for, from a create body or from an inspect answer.

    The allocator adds gateways, VXLAN ids and a default IPAM; `keep_asked_for` then drops what was not asked.
    """
    ipam = spec.get("IPAM") or {}
    form = {
        "Driver": spec.get("Driver") or "overlay",
        "Attachable": bool(spec.get("Attachable")),
        "Internal": bool(spec.get("Internal")),
        "Labels": {key: value for key, value in (spec.get("Labels") or {}).items() if key not in labels.OURS},
        "Options": dict(spec.get("Options") or {}),
        "IPAM": {
            "Driver": ipam.get("Driver") or "default",
            "Options": dict(ipam.get("Options") or {}),
            "Config": [_pool(block) for block in ipam.get("Config") or []],
        },
    }
    return form


def _pool(block: JsonObject) -> JsonObject:
    return {key: plain_subnet(value) if key in ("Subnet", "IPRange") else value for key, value in block.items()}


def keep_asked_for(wanted: JsonObject, live: JsonObject) -> JsonObject:
    """Return the canonical `live` network without what the allocator added to the canonical `wanted` one."""
    asked_options = set(wanted["Options"])
    ipam = dict(live["IPAM"])
    asked_blocks = wanted["IPAM"]["Config"]
    blocks = ipam["Config"] if asked_blocks else []
    ipam["Config"] = [
        {key: value for key, value in block.items() if index >= len(asked_blocks) or key in asked_blocks[index]}
        for index, block in enumerate(blocks)
    ]
    allocated = {"com.docker.network.driver.overlay.vxlanid_list"} - asked_options
    options = {key: value for key, value in live["Options"].items() if key not in allocated}
    return {**live, "Options": options, "IPAM": ipam}


def content(spec: JsonObject) -> JsonObject:
    """Return what a secret's or config's create body and its inspect answer have in common, `Data` left out."""
    form = {key: value for key, value in spec.items() if key not in ("Data", "Name")}
    form["Labels"] = {key: value for key, value in (spec.get("Labels") or {}).items() if key not in labels.OURS}
    compact: JsonObject = without_empties(form)
    return compact
