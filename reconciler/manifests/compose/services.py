"""A service of a stack file as the body of its create request."""

from __future__ import annotations

import re
from typing import Final

from reconciler.manifests.compose import deploy as deployment
from reconciler.manifests.compose.container import container_spec
from reconciler.manifests.compose.extension import extended
from reconciler.manifests.compose.networks import attachments
from reconciler.manifests.compose.pairs import texts
from reconciler.manifests.compose.ports import endpoint_spec
from reconciler.manifests.compose.source import StackSource, without_empty, without_null
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.manifests.stack_graph import name_problem
from reconciler.model import labels
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject

_DNS_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
NAME_CHARS_MAX: Final = 63
"""Characters of a service's full name, STACK_SERVICE (swarmkit's limit)."""


def service_body(source: StackSource, name: str, service: JsonObject) -> JsonObject:
    """Return the create request of a service; other objects stand in it by their full names, without ids.

    Problems go to `source`; the body is then of no use.
    """
    at: KeyPath = ("services", name)
    deploy = service.get("deploy") or {}
    spot: KeyPath = (*at, "deploy")
    mode = deployment.mode(source, spot, deploy)
    task = without_null(
        {
            "ContainerSpec": container_spec(source, at, service),
            "Resources": deployment.resources(source, spot, deploy),
            "RestartPolicy": deployment.restart_policy(source, at, service),
            "Placement": deployment.placement(source, spot, deploy),
            "Networks": attachments(source, at, name, service) or None,
            "LogDriver": _log_driver(service.get("logging")),
        }
    )
    image_label = {} if source.standalone else {labels.STACK_IMAGE: service.get("image") or ""}
    body = {
        "Name": source.scoped(name),
        "Labels": source.stack_labels(texts(deploy.get("labels"))) | image_label,
        "TaskTemplate": task | {"ForceUpdate": 0},
        "Mode": mode,
        "UpdateConfig": deployment.rollout(source, (*spot, "update_config"), deploy.get("update_config")),
        "RollbackConfig": deployment.rollout(source, (*spot, "rollback_config"), deploy.get("rollback_config")),
        "EndpointSpec": endpoint_spec(source, at, service),
    }
    if "Replicated" not in mode and "Global" not in mode and body["UpdateConfig"] is not None:
        where = (*spot, "update_config")
        hint = "Remove it: a job is started anew instead of updated."
        source.invalid(where, f"`{key_path_text(where)}` does not fit a job.", "Swarm refuses it.", hint)
    body = extended(source, at, service, without_null(body))
    _check_name(source, at, str(body["Name"]))
    return body


def _log_driver(given: JsonObject | None) -> JsonObject | None:
    if given is None:
        return None
    return without_empty({"Name": given.get("driver"), "Options": texts(given.get("options"))})


def _check_name(source: StackSource, at: KeyPath, name: str) -> None:
    if _DNS_NAME.fullmatch(name) and len(name) <= NAME_CHARS_MAX:
        return
    if not source.standalone and name_problem(source.stack, source.document.place(())) is not None:
        return  # the stack's own name is what is wrong, which is told once
    what = f"The service name `{name[:80]}` is not valid in Swarm."
    why = f"With its stack's name it must have at most {NAME_CHARS_MAX} letters, digits, dashes and underscores."
    hint = "Choose a shorter or plainer key or stack name; dots and a dash at the end are not allowed."
    source.problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, source.document.key_place(at)))
