"""status: what the cluster is, and how far its services are from what they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import typer
from rich.text import Text

from reconciler.cli import options
from reconciler.cli.options import (
    BackendOption,
    ComposeFilesOption,
    ContextOption,
    EngineChoice,
    Format,
    FormatOption,
    HostOption,
    OptionalPath,
    RevisionOption,
    StackNameOption,
)
from reconciler.cli.ports import Outside
from reconciler.cli.remote import ControllerOption, ask, both_asked
from reconciler.cli.tables import titled
from reconciler.cli.terminal import VERDICT_STYLES, Terminal
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.json import JsonObject, dig
from reconciler.model.modes import mode_of
from reconciler.model.objects import ObservedObject
from reconciler.model.plan import NO_STACK, Plan
from reconciler.model.progress import Assessment
from reconciler.model.words import many
from reconciler.planning.plan import plan as make_plan
from reconciler.settings import EndpointSettings

IN_SYNC = "in sync"
MODE_WORDS = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated job",
    "GlobalJob": "global job",
}


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command()
    def status(
        path: OptionalPath = None,
        revision: RevisionOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        controller: ControllerOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        """Show nodes and services; with PATH, also which stacks are as the repository asks for.

        With --controller, or SWARMCTL_CONTROLLER and nothing else: what a running controller says of its stacks.
        """
        engine = EngineChoice(host, context, backend)
        named = path or ("." if compose_file or revision is not None or stack_name is not None else None)
        if controller and (named or engine):
            raise both_asked()
        if controller or (outside.settings.controller.is_named and not (named or engine)):
            _of_controller(outside, terminal, controller, output)
            return
        endpoint = options.endpoint(outside, engine)
        desired = outside.load(options.source(named, revision, stack_name, compose_file)) if named else None
        actual, assessments = asyncio.run(_look(outside, endpoint))
        sync = sync_by_stack(desired, make_plan(desired, actual)) if desired else {}
        if output is Format.JSON:
            terminal.json(as_json(actual, assessments, sync))
        else:
            _show(terminal, actual, assessments, sync)


def _of_controller(outside: Outside, terminal: Terminal, controller: str | None, output: Format) -> None:
    from reconciler.cli import remote_tables

    found = ask(outside, controller, "/v1/status", {})
    terminal.json(found) if output is Format.JSON else remote_tables.status(terminal, found)


async def _look(outside: Outside, endpoint: EndpointSettings) -> tuple[ActualState, tuple[Assessment, ...]]:
    async with outside.connect(endpoint) as swarm:
        actual = await swarm.observe()
        return actual, swarm.assess(actual)


def sync_by_stack(desired: DesiredState, plan: Plan) -> dict[str, str]:
    """Return {stack: "in sync" | "N changes pending"}; what belongs to no stack goes under "(cluster)"."""
    pending = {stack.name: 0 for stack in desired.stacks}
    if desired.cluster:
        pending[NO_STACK] = 0
    stack_of = {f"{wanted.kind}.{wanted.name}": wanted.stack for wanted in desired.objects}
    for action in plan.actions:
        stack = action.stack or NO_STACK
        pending[stack] = pending.get(stack, 0) + 1
    for blocked in plan.blocked:
        stack = stack_of.get(blocked.id) or NO_STACK
        pending[stack] = pending.get(stack, 0) + 1
    return {name: f"{many(count, 'change')} pending" if count else IN_SYNC for name, count in pending.items()}


def as_json(actual: ActualState, assessments: Iterable[Assessment], sync: dict[str, str]) -> JsonObject:
    """Return the status for programs: endpoint, nodes, services, stacks."""
    return {
        "endpoint": actual.endpoint,
        "nodes": [
            {
                "id": node.id,
                "hostname": node.name,
                "role": node.spec.get("Role"),
                "availability": node.spec.get("Availability"),
                "state": node.dig("Status", "State"),
                "leader": bool(node.dig("ManagerStatus", "Leader")),
                "reachability": node.dig("ManagerStatus", "Reachability"),
                "labels": node.labels,
            }
            for node in actual.nodes
        ],
        "services": [
            {
                "name": one.service,
                "stack": service.stack,
                "mode": _mode(service),
                "running": one.running,
                "wanted": one.wanted,
                "verdict": one.verdict.value,
                "image": _image(service),
                "message": one.message,
            }
            for service, one in zip(actual.services, assessments, strict=True)
        ],
        "stacks": [{"name": name, "sync": state} for name, state in sync.items()],
    }


def _show(terminal: Terminal, actual: ActualState, assessments: tuple[Assessment, ...], sync: dict[str, str]) -> None:
    terminal.say(f"Swarm at {actual.endpoint}", "bold")
    nodes = titled("HOSTNAME", "ROLE", "AVAILABILITY", "STATE", "MANAGER", "LABELS")
    for node in sorted(actual.nodes, key=lambda one: one.name):
        labels = " ".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
        nodes.add_row(
            node.name,
            node.spec.get("Role", ""),
            node.spec.get("Availability", ""),
            node.dig("Status", "State") or "",
            _manager(node),
            labels,
        )
    terminal.out.print(nodes)
    services = titled("SERVICE", "MODE", "TASKS", "STATE", "IMAGE", "MESSAGE")
    for service, one in sorted(zip(actual.services, assessments, strict=True), key=lambda pair: pair[0].name):
        state = Text(one.verdict.value, style=VERDICT_STYLES[one.verdict])
        services.add_row(
            service.name, _mode(service), f"{one.running}/{one.wanted}", state, _image(service), one.message
        )
    if actual.services:
        terminal.say()
        terminal.out.print(services)
    if sync:
        stacks = titled("STACK", "SYNC")
        for name, pending in sync.items():
            stacks.add_row(name, Text(pending, style="green" if pending == IN_SYNC else "yellow"))
        terminal.say()
        terminal.out.print(stacks)


def _manager(node: ObservedObject) -> str:
    if node.dig("ManagerStatus", "Leader"):
        return "leader"
    return node.dig("ManagerStatus", "Reachability") or ""


def _mode(service: ObservedObject) -> str:
    return MODE_WORDS.get(mode_of(service.spec), "")


def _image(service: ObservedObject) -> str:
    image = dig(service.spec, "TaskTemplate", "ContainerSpec", "Image") or ""
    return str(image).partition("@")[0]
