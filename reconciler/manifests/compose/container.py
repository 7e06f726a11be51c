"""The ContainerSpec of a service. Source: measured on docker CLI 28.2 (docs/decisions/0006)."""

from __future__ import annotations

from reconciler.manifests.compose import file_objects
from reconciler.manifests.compose.environment import environment_list
from reconciler.manifests.compose.images import BadImage, normalized_image
from reconciler.manifests.compose.mounts import mounts, object_name
from reconciler.manifests.compose.pairs import command_words, pairs, texts
from reconciler.manifests.compose.source import StackSource, without_empty, without_null
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.manifests.quantities import duration_ns
from reconciler.model.json import JsonObject, JsonValue


def container_spec(source: StackSource, at: KeyPath, service: JsonObject) -> JsonObject:
    """Return TaskTemplate.ContainerSpec; only what a container needs, so that nothing of ours restarts one."""
    if "{{" in (service.get("hostname") or ""):
        source.check_template((*at, "hostname"), service["hostname"])
    added, dropped = capabilities(service.get("cap_add") or (), service.get("cap_drop") or ())
    privileges, credential_configs = _privileges(source, at, service)
    spec = without_empty(
        {
            "Image": _image(source, at, service),
            "Command": command_words(source, (*at, "entrypoint"), service.get("entrypoint")),
            "Args": command_words(source, (*at, "command"), service.get("command")),
            "Hostname": service.get("hostname"),
            "Hosts": hosts(service.get("extra_hosts")),
            "Env": environment_list(source, at, service),
            "Labels": source.stack_labels(texts(service.get("labels"))),
            "Dir": service.get("working_dir"),
            "User": service.get("user"),
            "StopSignal": service.get("stop_signal"),
            "TTY": service.get("tty"),
            "OpenStdin": service.get("stdin_open"),
            "ReadOnly": service.get("read_only"),
            "Isolation": service.get("isolation"),
            "Mounts": mounts(source, at, service),
            "Secrets": file_objects.references(source, file_objects.SECRETS, at, service),
            "Configs": file_objects.references(source, file_objects.CONFIGS, at, service) + credential_configs,
            "Sysctls": texts(service.get("sysctls")),
            "Ulimits": _ulimits(service.get("ulimits") or {}),
            "CapabilityAdd": added,
            "CapabilityDrop": dropped,
        }
    )
    # These keep an empty or zero value, which says something else than their absence.
    optional = {
        "Init": service.get("init"),
        "StopGracePeriod": _duration(source, (*at, "stop_grace_period"), service.get("stop_grace_period")),
        "Healthcheck": healthcheck(source, (*at, "healthcheck"), service.get("healthcheck")),
        "DNSConfig": _dns(service),
        "Privileges": privileges,
    }
    return spec | without_null(optional)


def _duration(source: StackSource, at: KeyPath, text: JsonValue) -> int | None:
    return source.quantity(at, text, duration_ns)


def _image(source: StackSource, at: KeyPath, service: JsonObject) -> str | None:
    written = service.get("image") or ""
    if not written:
        where = key_path_text(at)
        hint = "Add `image:`; Swarm builds none, so build and push it beforehand."
        source.missing((*at, "image") if "image" in service else at, f"`{where}` has no image.", hint)
        return None
    try:
        return normalized_image(written)
    except BadImage as error:
        spot = (*at, "image")
        text = str(error)
        hint = "Write one such as nginx:1.27 or registry.example.org/team/app:v2."
        source.invalid(
            spot, f"{source.shown(spot, written)} is no image reference.", f"{text[:1].upper()}{text[1:]}.", hint
        )
        return None


def hosts(value: JsonValue) -> list[str]:
    """Return lines for /etc/hosts, "address name": a list in its order, a mapping sorted, [::1] unbracketed."""
    lines: list[str] = []
    for item in host_entries(value):
        name, found, address = item.partition("=" if "=" in item else ":")
        if not found:
            continue
        if len(address) > 2 and address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        lines.append(f"{address} {name}")
    return lines


def host_entries(value: JsonValue) -> list[str]:
    """Return `extra_hosts` as a list: one that is a list as it is, a mapping as sorted "name:address" texts."""
    if isinstance(value, dict):
        return sorted(f"{name}:{address}" for name, address in pairs(value).items() if address is not None)
    return list(value or ())


def healthcheck(source: StackSource, at: KeyPath, given: JsonObject | None) -> JsonObject | None:
    """Return the Healthcheck, in nanoseconds; None stays None and an empty one stays empty."""
    if given is None:
        return None
    test = given.get("test")
    if given.get("disable"):
        if test:
            why = "One says that there is a check, the other that there is none."
            source.invalid(
                (*at, "disable"), f"`{key_path_text(at)}` has both `test` and `disable`.", why, "Keep one of them."
            )
        return {"Test": ["NONE"]}
    spec: JsonObject = {
        "Test": ["CMD-SHELL", test] if isinstance(test, str) else list(test or ()),
        "Retries": int(given.get("retries") or 0),
    }
    for key, field in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ):
        duration = _duration(source, (*at, key), given.get(key))
        if duration and duration < 1_000_000:
            spot = (*at, key)
            why = "Swarm takes 1ms or more, or 0 for its default."
            source.invalid(spot, f"`{key_path_text(spot)}` is too short.", why, "Raise it to 1ms or more, such as 30s.")
        spec[field] = duration
    return without_empty(spec)


def _dns(service: JsonObject) -> JsonObject | None:
    servers, domains = _listed(service.get("dns")), _listed(service.get("dns_search"))
    if servers is None and domains is None:
        return None
    return without_empty({"Nameservers": servers, "Search": domains})


def _listed(value: JsonValue) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)


def _ulimits(given: JsonObject) -> list[JsonObject]:
    limits = []
    for name in sorted(given):
        value = given[name]
        hard, soft = (value["hard"], value["soft"]) if isinstance(value, dict) else (value, value)
        limits.append({"Name": name, "Hard": int(hard), "Soft": int(soft)})
    return limits


def capabilities(add: JsonValue, drop: JsonValue) -> tuple[list[str], list[str]]:
    """Return capabilities to add and to drop: full names, sorted. ALL swallows the others; adding wins."""
    added, dropped = _capability_names(add), _capability_names(drop)
    return sorted(added), sorted(name for name in dropped if name not in added)


def _capability_names(words: JsonValue) -> set[str]:
    names = set()
    for word in words:
        name = word.strip().upper()
        names.add(name if name in ("ALL", "RESET") or name.startswith("CAP_") else f"CAP_{name}")
    return {"ALL"} if "ALL" in names else names - {"RESET"}


def _privileges(source: StackSource, at: KeyPath, service: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return Privileges, always sent, and the config that a credential spec brings along."""
    privileges: JsonObject = {"CredentialSpec": None, "SELinuxContext": None, "NoNewPrivileges": False}
    given = {key: value for key, value in (service.get("credential_spec") or {}).items() if value}
    if not given:
        return privileges, []
    spot = (*at, "credential_spec")
    if len(given) > 1:
        names = ", ".join(f"`{name}`" for name in sorted(given))
        source.invalid(
            spot, f"`{key_path_text(spot)}` has {names}.", "A credential spec comes from one place.", "Keep one."
        )
        return privileges, []
    [(key, value)] = given.items()
    configs: list[JsonObject] = []
    if key == "config":
        known = source.section("configs")
        if value not in known:
            source.undefined((*spot, "config"), "configs", value, known)
            return privileges, []
        value = object_name(source, "configs", value)
        configs = [{"Runtime": {}, "ConfigName": value}]
    privileges["CredentialSpec"] = {"Config": "", "File": "", "Registry": ""} | {key.capitalize(): value}
    return privileges, configs
