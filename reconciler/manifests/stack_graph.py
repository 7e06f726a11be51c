"""What stacks say of each other: one name each, known dependencies, no cycles; and one owner for each object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from reconciler.manifests.problems import ProblemList, did_you_mean, shown
from reconciler.model.desired import DesiredObject, Stack
from reconciler.model.errors import ErrorCode, Place, Problem
from reconciler.model.objects import Kind

_STACK_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def name_problem(name: str, place: Place) -> Problem | None:
    """Return what is wrong with a stack's name, or None. It starts the names of services, so DNS rules it."""
    if _STACK_NAME.fullmatch(name):
        return None
    why = "A stack's name has at most 63 letters, digits, dashes and underscores, and ends in letters or digits."
    hint = "Give the stack a `name`, or rename its file."
    return Problem(ErrorCode.INVALID_VALUE, f"{shown(name)} is no valid stack name.", why, hint, place)


def check_stacks(stacks: tuple[Stack, ...], problems: ProblemList) -> None:
    """Tell what is wrong with names and dependencies of stacks."""
    first: dict[str, Stack] = {}
    for stack in stacks:
        if (bad_name := name_problem(stack.name, stack.place)) is not None:
            problems.add(bad_name)
        other = first.setdefault(stack.name, stack)
        if other is not stack:
            what = f"Two stacks are named {shown(stack.name)}: at {other.place} and at {stack.place}."
            why = f"Their files are {other.path} and {stack.path}."
            hint = "Give one of them another `name`."
            problems.add(Problem(ErrorCode.DUPLICATE_OBJECT, what, why, hint, stack.place))
    for stack in stacks:
        for name in stack.depends_on:
            if name not in first:
                what = f"The stack {shown(stack.name)} depends on {shown(name)}, which is not listed."
                hint = did_you_mean(name, [known for known in first if known != stack.name], noun="other stacks")
                place = stack.place_of_need(name)
                problems.add(Problem(ErrorCode.UNDEFINED_REFERENCE, what, "No stack has that name.", hint, place))
    for cycle in cycles({name: stack.depends_on for name, stack in first.items()}):
        what = f"Stacks depend on each other in a circle: {' -> '.join(cycle)}."
        why = "Each would wait for the next one, for ever."
        place = first[cycle[0]].place_of_need(cycle[1])
        problems.add(Problem(ErrorCode.DEPENDENCY_CYCLE, what, why, "Remove one `dependsOn` of the circle.", place))


def check_standalone(
    stacks: tuple[Stack, ...], standalone: frozenset[str], atomic: frozenset[str], problems: ProblemList
) -> None:
    """Tell what is asked of files that are no stacks, named in `standalone`: to wait, or to go back as one.

    `atomic` are the stacks that swarm.yaml gives `rollback: stack`.
    """
    for stack in stacks:
        if stack.name in standalone & atomic:
            what = f"{shown(stack.name)} has `rollback: stack`, and its file is no stack."
            why = "The file says `x-swarmctl: {stack: false}`: what belongs to no stack goes back on its own."
            problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, "Remove `rollback`.", stack.place))
        for name in (stack.name, *stack.depends_on) if stack.depends_on else ():
            if name in standalone:
                what = f"The stack {shown(stack.name)} depends on {shown(name)}, and one of them is no stack."
                why = f"The file of {shown(name)} says `x-swarmctl: {{stack: false}}`: only stacks wait for each other."
                hint = "Remove `dependsOn`, or make it a stack."
                problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, stack.place))
                break


def cycles(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return paths a, b, ..., a of names that wait for each other: without their edges there is no cycle any more.

    `needs` are the names that each waits for; unknown ones are passed over. Depth-first, by a list.
    """
    found: list[list[str]] = []
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        pending: list[tuple[str, bool]] = [(start, True)]
        while pending:
            name, entering = pending.pop()
            if not entering:
                path.pop()
                done.add(name)
            elif name in path:
                found.append([*path[path.index(name) :], name])
            elif name not in done and name in needs:
                path.append(name)
                pending.append((name, False))
                pending.extend((each, True) for each in reversed(needs[name]))
    return found


def check_objects(objects: Iterable[DesiredObject], problems: ProblemList) -> None:
    """Tell of each object that is declared a second time, naming both places. To Swarm, capitals make no other name."""
    first: dict[tuple[Kind, str], DesiredObject] = {}
    for wanted in objects:
        other = first.setdefault((wanted.kind, wanted.name.lower()), wanted)
        if other is wanted:
            continue
        what = f"The {wanted.kind} {shown(wanted.name)} is declared twice: at {other.place} and at {wanted.place}."
        if other.name != wanted.name:
            what = f"{what[:-1]}, where it is {shown(other.name)}, which is the same name to Swarm."
        why = f"Both {_owner(other)} and {_owner(wanted)} would make it their own."
        hint = "Declare it once, and use it elsewhere with `external: true`."
        if wanted.kind is Kind.SERVICE:
            hint = "Rename one of them: a service's full name is STACK_SERVICE."
        problems.add(Problem(ErrorCode.DUPLICATE_OBJECT, what, why, hint, wanted.place))


def _owner(wanted: DesiredObject) -> str:
    return f"the stack {wanted.stack}" if wanted.stack is not None else wanted.place.file
