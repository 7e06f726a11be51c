"""swarm.yaml in; what it says of the cluster, its nodes, networks and stacks, or every problem in it, out."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

import msgspec

from reconciler.manifests.cluster_network import cluster_network
from reconciler.manifests.document import Document
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.literal_variables import warn_of_variables
from reconciler.manifests.paths import resolve
from reconciler.manifests.policies import read_policies
from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text, shown
from reconciler.manifests.quantities import BadQuantity, period_ns
from reconciler.manifests.schema_check import SchemaCheck
from reconciler.manifests.yaml_scalars import go_text
from reconciler.model.desired import DesiredNode, DesiredObject, Policy, Stack, TokenPolicy
from reconciler.model.errors import ErrorCode, Place, Problem, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import NodeRole
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.revision import Revision

_SETTINGS: Final[dict[str, tuple[str, str]]] = {
    "taskHistoryLimit": ("Orchestration", "TaskHistoryRetentionLimit"),
    "heartbeatPeriod": ("Dispatcher", "HeartbeatPeriod"),
    "certExpiry": ("CAConfig", "NodeCertExpiry"),
    "snapshotInterval": ("Raft", "SnapshotInterval"),
    "keepOldSnapshots": ("Raft", "KeepOldSnapshots"),
    "logEntriesForSlowFollowers": ("Raft", "LogEntriesForSlowFollowers"),
    "electionTick": ("Raft", "ElectionTick"),
    "heartbeatTick": ("Raft", "HeartbeatTick"),
    "autolock": ("EncryptionConfig", "AutoLockManagers"),
}
_PERIODS: Final[dict[str, tuple[int, str, str]]] = {
    "heartbeatPeriod": (1, "It leaves nodes no time to report.", "Write one such as 5s."),
    "certExpiry": (3_600_000_000_000, "Swarm takes an hour or more.", "Raise it to 1h or more; 2160h is usual."),
}
"""The shortest period that Swarm takes, in nanoseconds, with the reason and a hint."""
_ONE_SELECTOR: Final = "Write `hostname`, or `id` where hostnames are not unique."
_ONE_SOURCE: Final = "Write `path` for one file, or `files` for several that are merged."
KEY_HINTS: Final[dict[str, str]] = {
    "services": "Services belong into a stack file; list it under spec.stacks.",
    "version": "Write `apiVersion: swarmctl/v1`.",
    "name": "The cluster's name is metadata.name.",
    "secrets": "Declare secrets in a stack file.",
    "configs": "Declare configs in a stack file.",
    "depends_on": "Write `dependsOn`.",
    "file": "Give the stack's `path`, or several `files`.",
    "compose_file": "Give the stack's `path`, or several `files`.",
}


class ClusterManifest(msgspec.Struct, frozen=True):
    """What swarm.yaml says. Stack paths are relative to the repository's root; see DesiredState for the rest."""

    name: str = ""
    settings: JsonObject = msgspec.field(default_factory=dict)
    settings_places: Mapping[str, Place] = msgspec.field(default_factory=dict)
    nodes: tuple[DesiredNode, ...] = ()
    networks: tuple[DesiredObject, ...] = ()
    stacks: tuple[Stack, ...] = ()
    stack_places: Mapping[str, Place] = msgspec.field(default_factory=dict)
    """Where the path of each stack is written, by stack name."""
    rollbacks: Mapping[str, bool] = msgspec.field(default_factory=dict)
    """Of the stacks whose `rollback` swarm.yaml gives, whether it is `stack`. It wins over what the file says."""
    join_tokens: TokenPolicy = msgspec.field(default_factory=TokenPolicy)
    policy: Policy = msgspec.field(default_factory=Policy)
    policies: Policies = msgspec.field(default_factory=Policies)
    policy_places: Mapping[str, Place] = msgspec.field(default_factory=dict)


class _ClusterSource(msgspec.Struct, frozen=True):
    revision: Revision
    folder: str
    document: Document
    bad: frozenset[KeyPath]
    problems: ProblemList

    def sound(self, value: JsonValue, at: KeyPath) -> bool:
        """Return whether something is given at `at`, and no error was found there or below."""
        return value is not None and not any(bad[: len(at)] == at for bad in self.bad)

    def problem(self, code: ErrorCode, at: KeyPath, what: str, why: str = "", hint: str = "") -> None:
        self.problems.add(Problem(code, what, why, hint, self.document.place(at)))

    def period_ns(self, at: KeyPath, text: str) -> int | None:
        try:
            return period_ns(text)
        except BadQuantity:
            what = f"`{key_path_text(at)}` must be a duration such as 30d, 12h or 1h30m."
            hint = "Write numbers with units (w, d, h, m, s, ms), and less than 292 years."
            self.problem(ErrorCode.INVALID_VALUE, at, what, f"Here it is {shown(text)}.", hint)
            return None


def cluster_manifest(
    revision: Revision, folder: str, document: Document, inputs: LoadInputs, problems: ProblemList
) -> ClusterManifest:
    """Return what the document says; sections with problems are left out, and the problems go to `problems`.

    `folder` is that of swarm.yaml, which stack paths are relative to.
    """
    bad = SchemaCheck(inputs.schemas.cluster, KEY_HINTS).run(document, document.value, problems)
    if not isinstance(document.value, dict) or not isinstance(document.value.get("spec") or {}, dict):
        return ClusterManifest()
    warn_of_variables(document, problems)
    source = _ClusterSource(revision, folder, document, bad, problems)
    spec: JsonObject = document.value.get("spec") or {}
    metadata = document.value.get("metadata")
    settings, settings_places = _settings(source, spec.get("settings"))
    listed = _stacks(source, spec)
    return ClusterManifest(
        name=metadata["name"] if metadata and source.sound(metadata, ("metadata",)) else "",
        settings=settings,
        settings_places=settings_places,
        nodes=_nodes(source, spec.get("nodes")),
        networks=_networks(source, spec.get("networks")),
        stacks=listed.stacks,
        stack_places=listed.places,
        rollbacks=listed.rollbacks,
        join_tokens=_join_tokens(source, spec.get("joinTokens")),
        policy=_policy(source, spec.get("policy")),
        policies=read_policies(source, spec, listed.names, inputs.zone_of),
        policy_places=_policy_places(source, spec.get("policy")),
    )


def _settings(source: _ClusterSource, given: JsonValue) -> tuple[JsonObject, dict[str, Place]]:
    settings: JsonObject = {}
    places: dict[str, Place] = {}
    at: KeyPath = ("spec", "settings")
    if not isinstance(given, dict):
        return settings, places
    for key, (group, name) in _SETTINGS.items():
        value: JsonValue = given.get(key)
        if not source.sound(value, (*at, key)):
            continue
        if key in _PERIODS:
            value = source.period_ns((*at, key), value)
            least, why, hint = _PERIODS[key]
            if value is not None and value < least:
                what = f"`{key_path_text((*at, key))}` is too short."
                source.problem(ErrorCode.INVALID_VALUE, (*at, key), what, why, hint)
        elif not isinstance(value, bool):
            value = int(value)
        settings.setdefault(group, {})[name] = value
        places[f"{group}.{name}"] = source.document.place((*at, key))
    return settings, places


def _join_tokens(source: _ClusterSource, given: JsonValue) -> TokenPolicy:
    seconds: dict[str, float | None] = {"worker": None, "manager": None}
    at: KeyPath = ("spec", "joinTokens")
    for role in seconds if source.sound(given, at) else ():
        text = (given.get(role) or {}).get("rotateEvery")
        period = source.period_ns((*at, role, "rotateEvery"), text) if text else None
        if period is not None and period <= 0:
            what = f"`{key_path_text((*at, role, 'rotateEvery'))}` must be longer than nothing."
            why, hint = f"Here it is {shown(text)}.", "Write a period such as 30d, or remove the key."
            source.problem(ErrorCode.INVALID_VALUE, (*at, role, "rotateEvery"), what, why, hint)
        seconds[role] = period / 1e9 if period else None
    places = {role: source.document.place((*at, role, "rotateEvery")) for role, every_s in seconds.items() if every_s}
    return TokenPolicy(seconds["worker"], seconds["manager"], places.get("worker"), places.get("manager"))


def _policy(source: _ClusterSource, given: JsonValue) -> Policy:
    if not source.sound(given, ("spec", "policy")):
        return Policy()
    standard = Policy()
    return Policy(
        drift=DriftMode(given.get("drift", standard.drift)),
        prune=given.get("prune", standard.prune),
        max_delete_percent=int(given.get("maxDeletePercent", standard.max_delete_percent)),
        keep_versions=int(given.get("keepVersions", standard.keep_versions)),
    )


def _policy_places(source: _ClusterSource, given: JsonValue) -> dict[str, Place]:
    at: KeyPath = ("spec", "policy")
    return {key: source.document.place((*at, key)) for key in (given if source.sound(given, at) else ())}


def _nodes(source: _ClusterSource, given: JsonValue) -> tuple[DesiredNode, ...]:
    nodes: list[DesiredNode] = []
    seen: dict[tuple[str, str], Place] = {}
    for index, item in enumerate(given if isinstance(given, list) else ()):
        at: KeyPath = ("spec", "nodes", index)
        repeated = _is_repeated(source, at, item, seen)
        if repeated or not source.sound(item, at):
            continue
        if ("hostname" in item) == ("id" in item):
            what = f"`{key_path_text(at)}` must have a `hostname` or an `id`, and not both."
            source.problem(ErrorCode.MISSING_KEY, at, what, "One of them says which node is meant.", _ONE_SELECTOR)
            continue
        if not _says_enough(source, at, item):
            continue
        by_id = "id" in item
        selector = item["id"] if by_id else item["hostname"]
        role, labels = item.get("role"), item.get("labels")
        nodes.append(
            DesiredNode(
                selector=selector,
                by_id=by_id,
                role=NodeRole(role) if role else None,
                availability=item.get("availability"),
                labels=None if labels is None else {name: go_text(value) for name, value in labels.items()},
                place=source.document.place(at),
                absent=item.get("state") == "absent",
                field_places=_node_places(source, at, item),
            )
        )
    return tuple(nodes)


def _node_places(source: _ClusterSource, at: KeyPath, item: JsonObject) -> dict[str, Place]:
    """Return the place of each field that is asked of a node, by its path in the node's spec."""
    keys: dict[str, KeyPath] = {"Role": (*at, "role"), "Availability": (*at, "availability")}
    keys = {path: key for path, key in keys.items() if item.get(str(key[-1])) is not None}
    keys |= {f'Labels["{name}"]': (*at, "labels", name) for name in item.get("labels") or ()}
    return {path: source.document.place(key) for path, key in keys.items()}


def _says_enough(source: _ClusterSource, at: KeyPath, item: JsonObject) -> bool:
    """Tell when something is asked of a node that shall be gone."""
    if item.get("state") != "absent":
        return True
    asked = [key for key in ("role", "availability", "labels") if item.get(key) is not None]
    for key in asked:
        what = f"`{key_path_text((*at, key))}` does not go with `state: absent`."
        why = f"The node {shown(item.get('hostname') or item.get('id'))} is to be removed from the swarm."
        hint = "Remove the key; a node is drained, and demoted if it is a manager, before it is removed."
        source.problem(ErrorCode.INVALID_VALUE, (*at, key), what, why, hint)
    return not asked


def _is_repeated(source: _ClusterSource, at: KeyPath, item: JsonValue, seen: dict[tuple[str, str], Place]) -> bool:
    """Tell when a node was listed before, whatever else is wrong with the entry; remember it otherwise."""
    names = [key for key in ("id", "hostname") if isinstance(item, dict) and isinstance(item.get(key), str)]
    place = source.document.place(at)
    for key in names:
        first = seen.setdefault((key, item[key]), place)
        if first is not place:
            what = f"The node {shown(item[key])} is listed twice: on line {first.line} and on line {place.line}."
            why = "One entry says all that is asked of a node."
            source.problem(ErrorCode.DUPLICATE_OBJECT, at, what, why, "Put all that is asked of it into one entry.")
            return True
    return False


def _networks(source: _ClusterSource, given: JsonValue) -> tuple[DesiredObject, ...]:
    networks: list[DesiredObject] = []
    for name, definition in given.items() if isinstance(given, dict) else ():
        at: KeyPath = ("spec", "networks", name)
        if not any(bad[: len(at)] == at for bad in source.bad):
            networks.append(cluster_network(source.document, at, definition or {}, source.problems))
    return tuple(networks)


class _ListedStacks(msgspec.Struct, frozen=True):
    stacks: tuple[Stack, ...] = ()
    places: Mapping[str, Place] = msgspec.field(default_factory=dict)
    rollbacks: Mapping[str, bool] = msgspec.field(default_factory=dict)
    names: Mapping[int, str] = msgspec.field(default_factory=dict)
    """{position in spec.stacks: the stack's name}."""


def _stacks(source: _ClusterSource, spec: JsonObject) -> _ListedStacks:
    given = spec.get("stacks")
    if "stacks" not in spec:
        return _default_stacks(source)
    stacks: list[Stack] = []
    places: dict[str, Place] = {}
    rollbacks: dict[str, bool] = {}
    names: dict[int, str] = {}
    for index, item in enumerate(given if isinstance(given, list) else ()):
        at: KeyPath = ("spec", "stacks", index)
        if not source.sound(item, at):
            continue
        paths = _stack_paths(source, at, item)
        if not paths:
            continue
        where: KeyPath = (*at, "path") if "path" in item else (*at, "files")
        name = item.get("name") or stack_name(paths[0])
        place = source.document.place((*at, "name") if item.get("name") else where)
        needs = tuple(item.get("dependsOn") or ())
        spots = tuple(source.document.place((*at, "dependsOn", number)) for number in range(len(needs)))
        stacks.append(Stack(name, paths[0], needs, place, paths[1:], spots))
        places[name] = source.document.place(where)
        names[index] = name
        if item.get("rollback") is not None:
            rollbacks[name] = item["rollback"] == "stack"
    return _ListedStacks(tuple(stacks), places, rollbacks, names)


def _stack_paths(source: _ClusterSource, at: KeyPath, item: JsonObject) -> tuple[str, ...]:
    """Return the paths of a stack's files from the repository's root, or none after telling what is wrong."""
    if ("path" in item) == ("files" in item):
        what = f"`{key_path_text(at)}` must have a `path` or `files`, and not both."
        source.problem(ErrorCode.MISSING_KEY, at, what, "One of them says what the stack is made of.", _ONE_SOURCE)
        return ()
    paths: list[str] = []
    written = {(*at, "path"): item["path"]} if "path" in item else dict(_indexed((*at, "files"), item["files"]))
    for spot, text in written.items():
        path = resolve(source.folder, text)
        if path is None:
            what = f"`{key_path_text(spot)}` names a file outside the repository."
            why = f"The path {shown(text)} is absolute or leads out by `..`."
            source.problem(ErrorCode.PATH_ESCAPES, spot, what, why, "Name a file of this repository.")
            return ()
        paths.append(path)
    return tuple(paths)


def _indexed(at: KeyPath, items: JsonValue) -> list[tuple[KeyPath, str]]:
    return [((*at, index), item) for index, item in enumerate(items)]


def _default_stacks(source: _ClusterSource) -> _ListedStacks:
    folder = posixpath.join(source.folder, "stacks")
    try:
        paths = [path for path in source.revision.files_under(folder) if _is_stack_file(path)]
    except SwarmctlError as error:
        source.problems.add_error(error, Place(source.revision.display(folder)))
        return _ListedStacks()
    stacks = tuple(Stack(stack_name(path), path, (), Place(source.revision.display(path))) for path in paths)
    return _ListedStacks(stacks, {stack.name: stack.place for stack in stacks})


def _is_stack_file(path: str) -> bool:
    """Return whether a file of the folder is a stack that nobody had to list; hidden ones are editors' own."""
    return path.endswith((".yaml", ".yml")) and not posixpath.basename(path).startswith(".")


def stack_name(path: str) -> str:
    """Return the name of a stack that is given none: its file's name without the ending."""
    return posixpath.splitext(posixpath.basename(path))[0]
