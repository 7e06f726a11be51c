"""From a field of a spec back to the line that asks for it: compose's conversions, read the other way round.

The tables below say which key of a definition a field of its create request comes from. Nothing is worked out while a
stack is compiled: a FieldPlaces holds what was read anyway, and looks when it is asked, which a plan does for the few
fields that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.manifests.compose import place_items as items
from reconciler.manifests.compose.place_items import Rule
from reconciler.manifests.compose.source import EXTENSION
from reconciler.manifests.compose.written import Definition, WrittenStack
from reconciler.manifests.problems import KeyPath
from reconciler.manifests.spec_path import SpecSteps, patch_path, spec_steps
from reconciler.model import labels
from reconciler.model.discreet import Discreet
from reconciler.model.errors import Place
from reconciler.model.json import dig


class FieldPlaces(Discreet, frozen=True):
    """Finds the lines of one object's fields: the `where` of a DesiredObject."""

    UNSHOWN = frozenset({"written"})

    written: WrittenStack
    section: str
    key: str

    def __call__(self, path: str) -> Place | None:
        """Return the line that asks for the field of the spec at `path`, None when no line does.

        `path` is written as a plan's Change has it; one that leads below a known field means that field. What
        `x-swarmctl` patches wins over what the compose keys stand for. Where an anchor or a merge key holds the
        value, the line is the anchor's; of several files it is in the one that gave the value.
        """
        definition = self.written.section(self.section).get(self.key)
        steps = spec_steps(path)
        if not definition or not steps:
            return None
        spot = self._spot(Definition(self.written, (self.section, self.key), definition), steps)
        return None if spot is None else self.written.place(spot, steps[-1])

    def _spot(self, definition: Definition, steps: SpecSteps) -> KeyPath | None:
        if steps == _KEPT:
            return definition.given(EXTENSION, "prune")
        patch = dig(definition.value, EXTENSION, "spec")
        if patch and (decided := patch_path(patch, steps)):
            return (*definition.at, EXTENSION, "spec", *decided)
        rules = _RULES.get(self.section, {})
        for length in range(len(steps), 0, -1):
            rule = rules.get(steps[:length])
            if rule is not None:
                return rule(definition, steps[length:])
        return None


def _key(*keys: str) -> Rule:
    """Return the rule of a field that one key stands for, with all that is below it."""
    return lambda definition, _rest: definition.given(*keys)


def _group(*keys: str) -> Rule:
    """Return the rule of an object whose fields have rules of their own: what has none is asked for by no line."""
    return lambda definition, rest: None if rest else definition.given(*keys)


def _texts(*keys: str) -> Rule:
    """Return the rule of labels and the like: a mapping, or a list of NAME=value texts."""

    def rule(definition: Definition, rest: SpecSteps) -> KeyPath | None:
        found = definition.given(*keys)
        if found is None or not rest:
            return found
        return items.named(found, dig(definition.value, *keys), rest[0])

    return rule


def _first(*rules: Rule) -> Rule:
    """Return the rule of a field that several keys may ask for: the first that is there counts."""

    def rule(definition: Definition, rest: SpecSteps) -> KeyPath | None:
        return next((found for each in rules if (found := each(definition, rest)) is not None), None)

    return rule


def _restart(key: str) -> Rule:
    """Return the rule of a field of RestartPolicy: `restart` counts only where `deploy` has no policy."""

    def rule(service: Definition, _rest: SpecSteps) -> KeyPath | None:
        if service.given("deploy", "restart_policy") is None:
            return service.given("restart") if key in ("condition", "max_attempts") else None
        return service.given("deploy", "restart_policy", key)

    return rule


def _service_label(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """Labels: compose's, and the one that keeps the image as it is written."""
    if rest == (labels.STACK_IMAGE,):
        return service.given("image")
    return _texts("deploy", "labels")(service, rest)


_CONTAINER: Final[Mapping[str, Rule]] = {
    "Image": _key("image"),
    "Command": _key("entrypoint"),
    "Args": _key("command"),
    "Hostname": _key("hostname"),
    "Hosts": _key("extra_hosts"),
    "Env": items.variable,
    "Labels": _texts("labels"),
    "Dir": _key("working_dir"),
    "User": _key("user"),
    "StopSignal": _key("stop_signal"),
    "StopGracePeriod": _key("stop_grace_period"),
    "TTY": _key("tty"),
    "OpenStdin": _key("stdin_open"),
    "ReadOnly": _key("read_only"),
    "Isolation": _key("isolation"),
    "Init": _key("init"),
    "Mounts": items.mount,
    "Secrets": items.reference("secrets"),
    "Configs": items.reference("configs"),
    "Sysctls": _texts("sysctls"),
    "Ulimits": items.ulimit,
    "CapabilityAdd": _key("cap_add"),
    "CapabilityDrop": _key("cap_drop"),
    "Healthcheck": _group("healthcheck"),
    "Healthcheck.Test": _first(_key("healthcheck", "test"), _key("healthcheck", "disable")),
    "Healthcheck.Interval": _key("healthcheck", "interval"),
    "Healthcheck.Timeout": _key("healthcheck", "timeout"),
    "Healthcheck.StartPeriod": _key("healthcheck", "start_period"),
    "Healthcheck.StartInterval": _key("healthcheck", "start_interval"),
    "Healthcheck.Retries": _key("healthcheck", "retries"),
    "DNSConfig": _first(_group("dns"), _group("dns_search")),
    "DNSConfig.Nameservers": _key("dns"),
    "DNSConfig.Search": _key("dns_search"),
    "Privileges.CredentialSpec": _group("credential_spec"),
    "Privileges.CredentialSpec.Config": _key("credential_spec", "config"),
    "Privileges.CredentialSpec.File": _key("credential_spec", "file"),
    "Privileges.CredentialSpec.Registry": _key("credential_spec", "registry"),
}
_LIMITS: Final = ("deploy", "resources", "limits")
_RESERVATIONS: Final = ("deploy", "resources", "reservations")
_GENERIC: Final[Mapping[SpecSteps, KeyPath]] = {
    ("DiscreteResourceSpec", "Kind"): ("discrete_resource_spec", "kind"),
    ("DiscreteResourceSpec", "Value"): ("discrete_resource_spec", "value"),
}
_TASK: Final[Mapping[str, Rule]] = {
    "Resources": _group("deploy", "resources"),
    "Resources.Limits": _group(*_LIMITS),
    "Resources.Limits.NanoCPUs": _key(*_LIMITS, "cpus"),
    "Resources.Limits.MemoryBytes": _key(*_LIMITS, "memory"),
    "Resources.Limits.Pids": _key(*_LIMITS, "pids"),
    "Resources.Reservations": _group(*_RESERVATIONS),
    "Resources.Reservations.NanoCPUs": _key(*_RESERVATIONS, "cpus"),
    "Resources.Reservations.MemoryBytes": _key(*_RESERVATIONS, "memory"),
    "Resources.Reservations.GenericResources": items.positioned(*_RESERVATIONS, "generic_resources", below=_GENERIC),
    "RestartPolicy": _first(_group("deploy", "restart_policy"), _group("restart")),
    "RestartPolicy.Condition": _restart("condition"),
    "RestartPolicy.Delay": _restart("delay"),
    "RestartPolicy.MaxAttempts": _restart("max_attempts"),
    "RestartPolicy.Window": _restart("window"),
    "Placement": _group("deploy", "placement"),
    "Placement.Constraints": _key("deploy", "placement", "constraints"),
    "Placement.Preferences": items.positioned(
        "deploy", "placement", "preferences", below={("Spread", "SpreadDescriptor"): ("spread",)}
    ),
    "Placement.MaxReplicas": _key("deploy", "placement", "max_replicas_per_node"),
    "Networks": items.attachment,
    "LogDriver": _group("logging"),
    "LogDriver.Name": _key("logging", "driver"),
    "LogDriver.Options": _texts("logging", "options"),
}
_ROLLOUT: Final[Mapping[str, str]] = {
    "Parallelism": "parallelism",
    "Delay": "delay",
    "FailureAction": "failure_action",
    "Monitor": "monitor",
    "MaxFailureRatio": "max_failure_ratio",
    "Order": "order",
}
_MODE: Final = _key("deploy", "mode")
_COUNT: Final = _first(_key("deploy", "replicas"), _MODE)


def _rollout(block: str, key: str) -> dict[str, Rule]:
    fields = {f"{block}.{field}": _key("deploy", key, name) for field, name in _ROLLOUT.items()}
    return {block: _group("deploy", key)} | fields


_SERVICE: Final[Mapping[str, Rule]] = {
    "Labels": _service_label,
    "Mode": _MODE,
    "Mode.Replicated": _COUNT,
    "Mode.ReplicatedJob": _COUNT,
    "EndpointSpec.Mode": _key("deploy", "endpoint_mode"),
    "EndpointSpec.Ports": items.port,
    **{f"TaskTemplate.ContainerSpec.{name}": rule for name, rule in _CONTAINER.items()},
    **{f"TaskTemplate.{name}": rule for name, rule in _TASK.items()},
    **_rollout("UpdateConfig", "update_config"),
    **_rollout("RollbackConfig", "rollback_config"),
}
_NETWORK: Final[Mapping[str, Rule]] = {
    "Name": _key("name"),
    "Driver": _key("driver"),
    "Attachable": _key("attachable"),
    "Internal": _key("internal"),
    "Labels": _texts("labels"),
    "Options": _texts("driver_opts"),
    "IPAM": _group("ipam"),
    "IPAM.Driver": _key("ipam", "driver"),
    "IPAM.Config": items.positioned("ipam", "config", below={("Subnet",): ("subnet",)}),
}
_CONTENT: Final[Mapping[str, Rule]] = {
    "Name": _key("name"),
    "Labels": _texts("labels"),
    "Data": _key("file"),
    "Driver": _group("driver"),
    "Driver.Name": _key("driver"),
    "Driver.Options": _texts("driver_opts"),
    "Templating": _key("template_driver"),
}


_KEPT: Final[SpecSteps] = ("Labels", labels.PRUNE)
"""The one label of ours that a user asks for."""


def _by_steps(table: Mapping[str, Rule]) -> Mapping[SpecSteps, Rule]:
    return {spec_steps(path): rule for path, rule in table.items()}


_RULES: Final[Mapping[str, Mapping[SpecSteps, Rule]]] = {
    "services": _by_steps(_SERVICE),
    "networks": _by_steps(_NETWORK),
    "secrets": _by_steps(_CONTENT),
    "configs": _by_steps(_CONTENT),
}
