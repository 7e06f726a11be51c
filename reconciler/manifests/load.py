"""The files of one Revision in; a DesiredState, or every located problem, out. Pure: files come by the Revision."""

from __future__ import annotations

import posixpath
from typing import Final

from msgspec.structs import replace

from reconciler.manifests.cluster import ClusterManifest, cluster_manifest
from reconciler.manifests.compilation import Compilation, StackCompiler
from reconciler.manifests.compose.stack_file import StackObjects, StackPath, stack_objects
from reconciler.manifests.document import further_document, read_document
from reconciler.manifests.inputs import LoadInputs, Schemas
from reconciler.manifests.problems import ProblemList
from reconciler.manifests.stack_graph import check_objects, check_stacks, check_standalone, name_problem
from reconciler.model.desired import DesiredState, Stack
from reconciler.model.errors import ErrorCode, Place, Problem, Severity, SwarmctlError
from reconciler.model.revision import Revision

__all__ = ["CLUSTER_FILES", "LoadInputs", "Schemas", "load", "load_again", "load_stack_file"]

CLUSTER_FILES: Final = ("swarm.yaml", "swarm.yml")


def load(revision: Revision, inputs: LoadInputs) -> DesiredState:
    """Return what the folder `revision.folder` asks for: its swarm.yaml (or swarm.yml) and the stacks of that.

    Raises one SwarmctlError with the problems of all files, by file and line. Warnings are in the result.
    """
    return load_again(revision, inputs, None).state


def load_again(revision: Revision, inputs: LoadInputs, before: Compilation | None) -> Compilation:
    """Return the same as `load`, with what the next load can use: only stacks whose inputs changed are compiled.

    `before` is what the last load returned, None for the first. An error leaves it as good as it was.
    """
    problems = ProblemList()
    path = _cluster_file(revision)
    manifest = _manifest(revision, path, inputs, problems)
    check_stacks(manifest.stacks, problems)
    compiler = StackCompiler(revision, inputs, problems, before.stacks if before else {})
    # Of two stacks with one name, which is told already, the first is read.
    loaded = [
        compiler.objects(StackPath(stack.path, stack.name, manifest.stack_places[stack.name], stack.overrides))
        for stack in _first_of_each_name(manifest.stacks)
    ]
    objects = (*manifest.networks, *(wanted for each in loaded for wanted in each.objects))
    check_objects(objects, problems)
    listed = list(zip(_first_of_each_name(manifest.stacks), loaded, strict=True))
    standalone = frozenset(stack.name for stack, found in listed if found.standalone)
    atomic = frozenset(name for name, is_atomic in manifest.rollbacks.items() if is_atomic)
    check_standalone(manifest.stacks, standalone, atomic, problems)
    problems.raise_errors()
    state = DesiredState(
        cluster=manifest.name,
        revision=revision.label,
        commit=revision.commit,
        stacks=tuple(
            replace(stack, atomic=manifest.rollbacks.get(stack.name, found.atomic))
            for stack, found in listed
            if not found.standalone
        ),
        objects=objects,
        externals=tuple(reference for each in loaded for reference in each.externals),
        nodes=manifest.nodes,
        settings=manifest.settings,
        settings_places=manifest.settings_places,
        join_tokens=manifest.join_tokens,
        policy=manifest.policy,
        policies=manifest.policies,
        policy_places=manifest.policy_places,
        warnings=problems.sorted_warnings(),
    )
    return Compilation(state, compiler.compiled, tuple(compiler.fresh))


def load_stack_file(
    revision: Revision, path: str, stack_name: str, inputs: LoadInputs, overrides: tuple[str, ...] = ()
) -> DesiredState:
    """Return what one stack file asks for, when it is deployed as `stack_name`: no nodes, no settings.

    `path` is relative to the repository's root, and so are `overrides`, files that are merged over it from left
    to right as `docker stack deploy -c a -c b` does. `cluster` is "" in the result. Raises as `load` does.
    """
    problems = ProblemList()
    place = Place(revision.display(path))
    if (bad_name := name_problem(stack_name, place)) is not None:
        problems.add(bad_name)
    loaded: StackObjects = stack_objects(revision, StackPath(path, stack_name, None, overrides), inputs, problems)
    check_objects(loaded.objects, problems)
    problems.raise_errors()
    return DesiredState(
        cluster="",
        revision=revision.label,
        commit=revision.commit,
        stacks=() if loaded.standalone else (Stack(stack_name, path, (), place, overrides, (), loaded.atomic),),
        objects=loaded.objects,
        externals=loaded.externals,
        warnings=problems.sorted_warnings(),
    )


def _cluster_file(revision: Revision) -> str:
    # A path such as `.` would look like the end of the sentence.
    folder = f"the folder `{revision.label}`"
    candidates = [posixpath.join(revision.folder, name) for name in CLUSTER_FILES]
    found = [path for path in candidates if revision.exists(path)]
    if len(found) == 1:
        return found[0]
    if found:
        what = f"There are both {CLUSTER_FILES[0]} and {CLUSTER_FILES[1]} in {folder}."
        raise SwarmctlError(
            ErrorCode.DUPLICATE_OBJECT,
            what,
            why="Only one of them can describe the cluster.",
            hint="Remove one of them.",
            place=Place(revision.display(found[1])),
        )
    raise SwarmctlError(
        ErrorCode.FILE_NOT_FOUND,
        f"There is no {CLUSTER_FILES[0]} in {folder}.",
        why="A cluster's folder is recognised by that file.",
        hint="Name the folder that has it, or one stack file.",
        place=Place(revision.display(candidates[0])),
    )


def _manifest(revision: Revision, path: str, inputs: LoadInputs, problems: ProblemList) -> ClusterManifest:
    file = revision.display(path)
    try:
        content = revision.read(path)
    except SwarmctlError as error:
        problems.add_error(error, Place(file))
        return ClusterManifest()
    document = read_document(content, file, problems)
    if document is None:
        return ClusterManifest()
    if (further := further_document(document, Severity.ERROR)) is not None:
        problems.add(further)
    if document.value is None:
        hint = "Start with `apiVersion: swarmctl/v1` and `kind: Cluster`."
        problems.add(
            Problem(ErrorCode.WRONG_TYPE, f"{file} is empty.", "It must be a mapping.", hint, Place(file, 1, 1))
        )
        return ClusterManifest()
    return cluster_manifest(revision, posixpath.dirname(path), document, inputs, problems)


def _first_of_each_name(stacks: tuple[Stack, ...]) -> tuple[Stack, ...]:
    seen: dict[str, Stack] = {}
    return tuple(stack for stack in stacks if seen.setdefault(stack.name, stack) is stack)
