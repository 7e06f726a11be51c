"""A task's environment, command line and templates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import Assignment, MountedFile
from reconciler.model.go_expansion import Functions, Struct, expanded
from reconciler.model.go_templates import BadGoTemplate

DEFAULT_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANGUAGE = "C.UTF-8"
TASK_DIR = "SWARM_TASK_DIR"
TASK_ADDRESS = "SWARM_TASK_IP"
_HOSTNAME_LENGTH = 12


def expand(text: str, assignment: Assignment) -> str:
    """Return `text` with Swarm's placeholders filled in; a placeholder that we don't know is an error."""
    return _expanded(text, assignment, {}, "expanding env failed")


def expand_file(content: bytes, assignment: Assignment) -> bytes:
    """Return a templated secret or config as its task is to see it; it may hold others, by the files that they are.

    Source: swarmkit's template/context.go, PayloadContext.
    """
    functions = {
        "secret": lambda target: _file(assignment.secrets, "secret", target),
        "config": lambda target: _file(assignment.configs, "config", target),
        "env": lambda name: _variables(assignment).get(name, ""),
    }
    text = content.decode("utf-8", "surrogateescape")
    return _expanded(text, assignment, functions, "failed to expand template").encode("utf-8", "surrogateescape")


def _expanded(text: str, assignment: Assignment, functions: Functions, beginning: str) -> str:
    if "{{" not in text:
        return text
    try:
        return expanded(text, _values(assignment), functions)
    except BadGoTemplate as error:
        raise cannot_run(f"{beginning}: {error.go}") from None


def _file(files: Iterable[MountedFile], noun: str, target: str) -> str:
    found = next((file for file in files if file.target == target), None)
    if found is None:
        raise BadGoTemplate(
            f"there is no {noun} at {target}", f"error calling {noun}: {noun} target {target} not found"
        )
    return found.content.decode("utf-8", "surrogateescape")


def _variables(assignment: Assignment) -> dict[str, str]:
    given = (str(entry).partition("=") for entry in assignment.container.get("Env") or ())
    return {name: expand(value, assignment) for name, separator, value in given if separator}


def _values(assignment: Assignment) -> Mapping[str, Any]:
    platform = Struct(Architecture=assignment.architecture, OS="linux")
    labels = dict(assignment.service_labels)
    return {
        "Service": Struct(ID=assignment.service_id, Name=assignment.service_name, Labels=labels),
        "Node": Struct(ID=assignment.node_id, Hostname=assignment.hostname, Platform=platform),
        # A global service's task has no slot: Swarm puts the node's id in its place.
        "Task": Struct(
            ID=assignment.task_id, Name=assignment.task_name, Slot=str(assignment.slot or assignment.node_id)
        ),
    }


def command_line(assignment: Assignment) -> list[str]:
    """Return the program and its arguments; without an image there must be some."""
    container = assignment.container
    argv = [str(word) for word in (*(container.get("Command") or ()), *(container.get("Args") or ()))]
    if not argv or not argv[0]:
        image = str(container.get("Image", "")).split("@", maxsplit=1)[0]
        raise cannot_run(
            f"no command: the process runtime pulls no image ({image}); give the service a command or an entrypoint"
        )
    if any("\0" in word for word in argv):
        raise cannot_run("the command holds a NUL byte")
    return argv


def environment(assignment: Assignment, folder: str, address: str, search_path: str) -> dict[str, str]:
    """Return the whole environment of a task: a minimal base, what the service gives, and where the task is."""
    variables = {"PATH": search_path, "LANG": LANGUAGE, "HOME": folder}
    for entry in (*(assignment.container.get("Env") or ()), *assignment.resource_variables):
        name, separator, value = str(entry).partition("=")
        if not separator or not name:
            continue
        value = expand(value, assignment)
        if "\0" in name or "\0" in value:
            raise cannot_run("an environment variable holds a NUL byte")
        variables[name] = value
    hostname = expand(str(assignment.container.get("Hostname") or ""), assignment)
    variables["HOSTNAME"] = hostname or assignment.task_id[:_HOSTNAME_LENGTH]
    # Last, whatever the service says: a predecessor's processes are found again by the folder they carry.
    variables[TASK_DIR] = folder
    variables[TASK_ADDRESS] = address
    return variables
