"""A task's environment, command line and templates. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import Assignment

DEFAULT_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANGUAGE = "C.UTF-8"
TASK_DIR = "SWARM_TASK_DIR"
TASK_ADDRESS = "SWARM_TASK_IP"
_HOSTNAME_LENGTH = 12

_ACTION = re.compile(r"\{\{(?P<action>.*?)\}\}", re.DOTALL)
_LABEL = re.compile(r'index\s+\.Service\.Labels\s+(?:"(?P<double>[^"]*)"|`(?P<raw>[^`]*)`)')


def expand(text: str, assignment: Assignment) -> str:
    """Return `text` with Swarm's placeholders filled in; a placeholder that we don't know is an error."""
    if "{{" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        action = match.group("action").strip().strip("-").strip()
        if label := _LABEL.fullmatch(action):
            return assignment.service_labels.get(label["double"] or label["raw"] or "", "")
        found = _placeholders(assignment).get(action)
        if found is None:
            raise cannot_run(f"expanding env failed: the process runtime doesn't know the placeholder {action!r}")
        return found

    return _ACTION.sub(value, text)


def _placeholders(assignment: Assignment) -> Mapping[str, str]:
    return {
        ".Service.ID": assignment.service_id,
        ".Service.Name": assignment.service_name,
        ".Node.ID": assignment.node_id,
        ".Node.Hostname": assignment.hostname,
        ".Node.Platform.OS": "linux",
        ".Task.ID": assignment.task_id,
        ".Task.Name": assignment.task_name,
        # A global service's task has no slot: Swarm puts the node's id in its place.
        ".Task.Slot": str(assignment.slot or assignment.node_id),
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
    for entry in assignment.container.get("Env") or ():
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
