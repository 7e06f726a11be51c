"""Builds the adapters and hands them to the commands.

What a command doesn't use is not imported for it: half of a second would go by before a `diff` made its first call.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from reconciler.cli.ports import ApplyLimits, ControllerApi, DaemonOptions, EmbeddedOptions, Forge, Peers, Source, Swarm
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.forges import ForgeAddress
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.plan import Plan
from reconciler.model.planned import Planned, PlanRequest
from reconciler.model.progress import ApplyResult, Assessment, Report
from reconciler.settings import EndpointSettings, Settings

if TYPE_CHECKING:
    from reconciler.adapters.directory import DirectoryRevision
    from reconciler.adapters.docker.greeting import Greeting
    from reconciler.adapters.git import GitRevision
    from reconciler.controller.ports import Cluster
    from reconciler.controller.prepare import RegistryAuth


class ConnectedSwarm(msgspec.Struct, frozen=True):
    """A Cluster with the controller's apply and assess on top: what commands see of it."""

    cluster: Cluster
    registry_auth: RegistryAuth
    warnings: list[Problem] = msgspec.field(default_factory=list)
    """What reading registries' credentials had to say; it goes into the plan."""

    async def observe(self) -> ActualState:
        """Return what the cluster is now."""
        return await self.cluster.observe()

    async def plan(self, request: PlanRequest) -> Planned:
        """Look at the cluster and at registries, and plan."""
        from reconciler.controller.prepare import prepare

        prepared = await prepare(request, self.cluster, self.registry_auth)
        return replace(prepared, plan=replace(prepared.plan, notes=(*prepared.plan.notes, *self.warnings)))

    async def apply(self, plan: Plan, actual: ActualState, limits: ApplyLimits, report: Report) -> ApplyResult:
        """Carry out a plan that was made against `actual`."""
        from reconciler.controller.apply import ApplyOptions, apply
        from reconciler.controller.prepare import no_registry_auth

        auth = self.registry_auth if limits.with_registry_auth else no_registry_auth
        options = ApplyOptions(limits.parallel, limits.wait, limits.timeout_s, auth)
        return await apply(plan, actual, self.cluster, options, report)

    async def remove_volume(self, name: str) -> None:
        """Remove a volume of the node that answers."""
        await self.cluster.remove_volume(name)

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make the join token of one role invalid and a new one valid, and note when on the swarm."""
        from reconciler.adapters.clock import SystemClock
        from reconciler.controller.tokens import rotate_join_token

        await rotate_join_token(self.cluster, role, SystemClock().now())

    def assess(self, actual: ActualState) -> tuple[Assessment, ...]:
        """Return where each service of `actual` stands, in its order."""
        from reconciler.controller.crashes import assessed

        return assessed(actual)


class Wiring(msgspec.Struct, frozen=True):
    """The real outside world, as `cli.ports.Outside` asks for it."""

    settings: Settings
    greetings: dict[EndpointSettings, Greeting] = msgspec.field(default_factory=dict)
    """First calls under way."""

    def load(self, source: Source) -> DesiredState:
        """Return what the manifests ask for; a path to one file means a lone stack, unless it is swarm.yaml itself."""
        from reconciler.adapters.directory import DirectoryRevision, path_below
        from reconciler.adapters.schema_files import read_schemas
        from reconciler.adapters.zones import zone_named
        from reconciler.manifests.load import CLUSTER_FILES, LoadInputs, load, load_stack_file

        revision: DirectoryRevision | GitRevision
        if source.revision is None:
            revision = DirectoryRevision.open(source.path, source.compose_files)
        else:
            from reconciler.adapters.git import GitRevision

            revision = GitRevision.open(source.path, source.revision)
        inputs = LoadInputs(read_schemas(), self.settings.environment, self.settings.home, revision.root, zone_named)
        if revision.file is None or posixpath.basename(revision.file) in CLUSTER_FILES:
            if source.stack_name is not None or source.compose_files:
                raise SwarmctlError(
                    ErrorCode.USAGE,
                    "--stack-name and --compose-file are for a lone stack.",
                    why=f"{source.path} is a repository, whose swarm.yaml names its stacks.",
                    hint="Leave it out, or give the path of one stack file.",
                )
            return load(revision, inputs)
        name = source.stack_name or posixpath.splitext(posixpath.basename(revision.file))[0]
        overrides = tuple(path_below(revision.root, file) for file in source.compose_files)
        return load_stack_file(revision, revision.file, name, inputs, overrides)

    def schema(self, name: str) -> JsonObject:
        """Return the JSON Schema "cluster", "stack", "plan" or "controller"."""
        from reconciler.adapters.schema_files import controller_schema, plan_schema, read_schemas

        if name == "plan":
            return plan_schema()
        if name == "controller":
            return controller_schema()
        schemas = read_schemas()
        return schemas.cluster if name == "cluster" else schemas.stack

    def read_text(self, path: str) -> str:
        """Return a file's text."""
        from reconciler.adapters import single_file

        return single_file.read_text(path)

    def write_text(self, path: str, text: str) -> None:
        """Put a file in place at once, whole, for this user only."""
        from reconciler.adapters import single_file

        single_file.write_text(path, text)

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        from reconciler.adapters.clock import SystemClock

        return SystemClock().now()

    def write_files(self, folder: str, files: Mapping[str, bytes], private: Collection[str], *, force: bool) -> None:
        """Write files by paths relative to `folder`, which must be empty unless `force`; `private` ones for us only."""
        from reconciler.adapters.output_folder import write_files

        write_files(folder, files, private, force=force)

    def greet(self, endpoint: EndpointSettings) -> None:
        """Begin to connect to a cluster, in the background."""
        from reconciler.adapters.docker.greeting import Greeting

        self.greetings[endpoint] = Greeting(endpoint)

    def connect(self, endpoint: EndpointSettings) -> AbstractAsyncContextManager[Swarm]:
        """Return a connection to a cluster, closed at the end of its `async with`."""
        return _connected(endpoint, self.greetings.pop(endpoint, None))

    def forge(self, address: ForgeAddress) -> AbstractAsyncContextManager[Forge]:
        """Return a forge's API."""
        from reconciler.adapters.forges import ForgeClient

        return ForgeClient(address)

    def peers(self, folder: str) -> Peers:
        """Return a node's folder of certificates."""
        from reconciler.adapters.peers.authority import PeersFolder

        return PeersFolder(Path(folder), self.now())

    def embedded_host(self, data_dir: str) -> str:
        """Return the address on which an embedded swarm with this folder listens."""
        from reconciler.adapters import embedded_process

        return f"unix://{embedded_process.socket_of(data_dir)}"

    async def run_embedded(self, options: EmbeddedOptions) -> None:
        """Run an embedded swarm until SIGTERM or SIGINT, or until it fails."""
        import asyncio
        import signal

        from reconciler.adapters import embedded_process
        from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
        from reconciler.api.server import serve_node
        from reconciler.assembly import EmbeddedSettings, start_embedded_swarm

        told_to_end = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told_to_end.set)
        settings = EmbeddedSettings(
            options.data_dir,
            options.nodes,
            search_path=self.settings.environment.get("PATH") or DEFAULT_SEARCH_PATH,
            endpoint=options.host,
        )
        async with await start_embedded_swarm(settings) as swarm:
            with embedded_process.recorded(options.data_dir):
                async with serve_node(swarm.node, options.host):
                    endings = [loop.create_task(told_to_end.wait()), loop.create_task(swarm.wait_failed())]
                    ended, waiting = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        for task in ended:
            task.result()

    async def run_controller(self, config_path: str) -> None:
        """Run a controller until SIGTERM or SIGINT."""
        from reconciler.running import config_of, run_controller

        await run_controller(config_of(config_path), self.settings)

    def force_new_group(self, config_path: str) -> None:
        """Make the member of a controller that does not run the only one of its group."""
        from reconciler.adapters.raft import boot
        from reconciler.running import config_of, member_settings

        boot.force_new_group(member_settings(config_of(config_path)))

    async def back_up_store(self, controller: str | None, path: str) -> int:
        """Put a copy of a running controller's state into a file, whole and verified; return its index."""
        import asyncio

        from reconciler.adapters.raft.backup import BackupFile

        async with self.controller(controller) as client:
            file = await asyncio.to_thread(BackupFile, path)
            try:
                await client.download("/v1/backup", file.write)
                return await asyncio.to_thread(file.finish)
            finally:
                await asyncio.to_thread(file.abandon)

    async def back_up_daemon(self, host: str, path: str) -> int:
        """Put a copy of all that a running daemon knows into a file, whole and verified; return its index."""
        import asyncio

        from reconciler.adapters.controller_client import DaemonClient
        from reconciler.adapters.raft.backup import BackupFile
        from reconciler.api.backup import PATH
        from reconciler.assembly import backup

        async with DaemonClient(host) as client:
            file = await asyncio.to_thread(BackupFile, path, backup.verify)
            try:
                await client.download(PATH, file.write)
                return await asyncio.to_thread(file.finish)
            finally:
                await asyncio.to_thread(file.abandon)

    def verify_backup(self, path: str) -> int:
        """Return the index that a whole backup stands for."""
        from reconciler.adapters.raft.snapshot_file import verify
        from reconciler.assembly import backup

        try:
            return backup.verify(path) if backup.is_backup(path) else verify(path).index
        except OSError as error:
            raise _unreadable_backup(path, error) from error

    def restore_daemon(self, data_dir: str, path: str) -> int:
        """Put the swarm of a backup into the folder of a daemon that does not run; return its index."""
        from reconciler.assembly import backup

        try:
            return backup.restore(data_dir, path)
        except OSError as error:
            raise _unreadable_backup(path, error) from error

    def restore_store(self, config_path: str, path: str) -> int:
        """Make the store of a controller anew, from a backup; return the index that it stands for."""
        from reconciler.adapters.raft import boot
        from reconciler.running import config_of, member_settings

        try:
            return boot.restore(member_settings(config_of(config_path)), path).index
        except OSError as error:
            raise _unreadable_backup(path, error) from error

    def controller(self, address: str | None) -> AbstractAsyncContextManager[ControllerApi]:
        """Return a running controller's API."""
        from reconciler.adapters.controller_client import ControllerClient

        known = self.settings.controller
        return ControllerClient(address or known.address, known.token, known.ca_file)

    async def run_daemon(self, options: DaemonOptions, ready: Callable[[Sequence[str]], None]) -> None:
        """Run a node's daemon until SIGTERM or SIGINT."""
        import platform

        from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
        from reconciler.assembly.daemon import DaemonSettings
        from reconciler.assembly.running import run_daemon
        from reconciler.assembly.runtimes import RuntimeKind

        data_dir = options.data_dir or posixpath.join(self.settings.data_dir, "daemon")
        hosts = options.hosts or (self.embedded_host(data_dir),)
        settings = DaemonSettings(
            data_dir,
            options.hostname or platform.node() or "localhost",
            hosts[0],
            search_path=self.settings.environment.get("PATH") or DEFAULT_SEARCH_PATH,
            runtime=RuntimeKind(options.runtime),
            docker_host=options.docker_host,
        )
        await run_daemon(settings, hosts, options.log_level, ready)

    def start_embedded(self, options: EmbeddedOptions) -> int:
        """Start an embedded swarm in the background and return its process id once it answers."""
        from reconciler.adapters import embedded_process

        arguments = ["up", "--foreground", "--nodes", str(options.nodes), "--data-dir", options.data_dir]
        return embedded_process.start(options.data_dir, arguments)

    def stop_embedded(self, data_dir: str) -> int | None:
        """End the embedded swarm of a folder and return the process id that it had; None where it had been killed
        before, and its tasks were ended now."""
        from reconciler.adapters import embedded_process
        from reconciler.assembly.folder import clear_abandoned

        try:
            pid = embedded_process.stop(data_dir)
        except SwarmctlError as error:
            if error.code is not ErrorCode.EMBEDDED_NOT_RUNNING or not clear_abandoned(data_dir):
                raise
            return None
        clear_abandoned(data_dir)  # it may have had to be killed
        return pid


@asynccontextmanager
async def _connected(endpoint: EndpointSettings, greeting: Greeting | None) -> AsyncIterator[Swarm]:
    from reconciler.adapters.docker.cluster import connect
    from reconciler.adapters.registry_auth import RegistryCredentials

    cluster = await connect(endpoint, greeting)
    warnings: list[Problem] = []
    credentials = RegistryCredentials(endpoint.config_dir, warnings.append)
    try:
        yield ConnectedSwarm(cluster, credentials.auth_for, warnings)
    finally:
        await cluster.close()


def _unreadable_backup(path: str, error: OSError) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.BAD_SETTING, f"The backup {path} can't be read.", why=f"{error.strerror}.", hint="Name another file."
    )
