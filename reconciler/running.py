"""Builds a controller from its parts, and runs it until the process is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from msgspec.structs import replace

from reconciler.adapters import logs, service_manager, single_file
from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.adapters.docker.cluster import connect
from reconciler.adapters.docker.greeting import answers
from reconciler.adapters.followed import FollowedRepository, FollowedTree
from reconciler.adapters.git.source import GitSource
from reconciler.adapters.metrics import Metrics, Remembered
from reconciler.adapters.notify.apprise_sink import AppriseSink, SinkSpec
from reconciler.adapters.notify.notifier import Notifier
from reconciler.adapters.notify.outlet import OutletStatus
from reconciler.adapters.notify.status_sink import StatusSink
from reconciler.adapters.notify.status_teller import StatusTeller
from reconciler.adapters.peers.identity import Identity, read_identity
from reconciler.adapters.raft import boot
from reconciler.adapters.raft.alone import NoTransport
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.transport.transport import TlsTransport
from reconciler.adapters.registry_auth import RegistryCredentials
from reconciler.adapters.schema_files import controller_schema, read_schemas
from reconciler.adapters.work_tree import WorkTreeSource
from reconciler.adapters.zones import zone_named
from reconciler.consensus.settings import ConsensusSettings
from reconciler.controller.config import ControllerConfig, FollowedSource, GroupConfig, read_config
from reconciler.controller.loop.answers import Answers
from reconciler.controller.loop.around import ApplySettings
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.membership import WantedMembers
from reconciler.controller.loop.owners import Owners
from reconciler.controller.loop.ports import ForgeTeller, Source, Teller
from reconciler.controller.loop.state_records import Memory
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import no_registry_auth
from reconciler.controller_api.access import Access, Role, Token
from reconciler.controller_api.server import ListenSettings, serve
from reconciler.manifests.inputs import LoadInputs
from reconciler.model.errors import ErrorCode, Place, Problem, SwarmctlError
from reconciler.model.forges import CommitStatus
from reconciler.model.replication import Address
from reconciler.model.revision import Revision
from reconciler.settings import Settings

_Made = TypeVar("_Made")

log = structlog.stdlib.get_logger(__name__)

ALONE: Final = "controller"
"""What a controller is called that has no group."""
ALONE_GROUP: Final = "alone"
FOUNDED_MARK: Final = "log-was-made"
"""An empty file beside a member's identity: this member has had a log."""
STORE_FOLDER: Final = "store"
SOCKET_NAME: Final = "controller.sock"
ALONE_TIMES: Final = ConsensusSettings(election_min_s=0.1, election_max_s=0.2, heartbeat_s=0.03, fallback_s=0.08)
"""Nobody else could lead: there is nothing to wait for."""


def config_of(path: str) -> ControllerConfig:
    """Return what a controller's file says. Raises SwarmctlError with all of its problems."""
    content = single_file.read_text(path).encode()
    folder = str(Path(path).absolute().parent)
    return read_config(content, path, controller_schema(), single_file.read_text, folder)


async def run_controller(config: ControllerConfig, settings: Settings) -> None:
    """Run a controller until SIGTERM or SIGINT. Raises SwarmctlError when it can't begin, or can't go on."""
    logs.configure(as_json=config.log_json, level=config.log_level)
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    _make_folder(config.data_dir)
    tellers = _checked(config)
    node, name = await _open_member(config)
    leader, metrics = _built(config, settings, node, name, _opened(config, settings), tellers)
    answers = Answers(config.name, leader, metrics, config.receivers, clock_now=SystemClock().now)
    log.info("controller begins", member=name, sources=len(config.sources))
    tasks = {
        asyncio.create_task(node.run(), name="member"),
        asyncio.create_task(node.lead(leader.work), name="lead"),
        asyncio.create_task(leader.pulse(), name="pulse"),
        asyncio.create_task(_serve(answers, config, settings), name="api"),
        asyncio.create_task(told_to_end.wait(), name="end"),
    }
    try:
        ended, _rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        service_manager.tell(settings.environment, service_manager.STOPPING)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        log.info("controller ends", member=name)
    for task in ended:
        task.result()


async def _serve(answers: Answers, config: ControllerConfig, settings: Settings) -> None:
    """Serve the API on its socket, and over the network where the file says so, until cancelled."""
    api = config.api
    async with AsyncExitStack() as serving:
        local = ListenSettings(unix_path=api.socket or _below(config.data_dir, SOCKET_NAME))
        addresses = [await serving.enter_async_context(serve(answers, Access(local=True), local))]
        if api.host:
            tokens = [Token(one.name, Role.WRITE if one.may_write else Role.READ, one.secret) for one in api.tokens]
            listen = ListenSettings(host=api.host, port=api.port, certificate=api.certificate, key=api.key)
            access = Access(tokens, open_metrics=api.open_metrics)
            addresses.append(await serving.enter_async_context(serve(answers, access, listen)))
        log.info("api listens", addresses=" ".join(addresses))
        # Not only once somebody leads: the first of three would be ended before the second is begun.
        service_manager.tell(settings.environment, service_manager.READY)
        await asyncio.Event().wait()


def _make_folder(data_dir: str) -> None:
    try:
        Path(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.BAD_SETTING,
            f"The controller can't use the folder {data_dir}.",
            why=f"{error.strerror}.",
            hint="Give another dataDir, or let this user write to it.",
        ) from error


def _below(data_dir: str, name: str) -> str:
    return str(Path(data_dir).absolute() / name)


def member_settings(config: ControllerConfig) -> MemberSettings:
    """Whose store a controller has, and where. Raises SwarmctlError (peers-...)."""
    folder = _below(config.data_dir, STORE_FOLDER)
    if config.group is None:
        return MemberSettings(folder, Owner(ALONE_GROUP, ALONE), consensus=ALONE_TIMES)
    return _in_group(read_identity(config.group.peers, datetime.now(UTC)), config.group, folder)


def _in_group(identity: Identity, group: GroupConfig, folder: str) -> MemberSettings:
    owner = Owner(identity.cluster, identity.node)
    named = {name: at for name, at in group.members.items() if name not in group.removed}
    return MemberSettings(folder, owner, named=named, address=identity.listen)


async def _open_member(config: ControllerConfig) -> tuple[RaftNode, str]:
    """Open this controller's member of the replicated store; at its first start, make its log."""
    if config.group is not None:
        return await _open_in_group(config.group, _below(config.data_dir, STORE_FOLDER))
    settings = member_settings(config)
    await asyncio.to_thread(_found, settings, {ALONE: Address("", 0)}, joins=False)
    return await open_node(settings, NoTransport()), ALONE


async def _open_in_group(group: GroupConfig, folder: str) -> tuple[RaftNode, str]:
    identity = read_identity(group.peers, datetime.now(UTC))
    settings = _in_group(identity, group, folder)
    if identity.node not in group.members and not group.joins:
        raise SwarmctlError(
            ErrorCode.BAD_SETTING,
            f"{identity.node} is not among the group's members.",
            why=f"The folder {group.peers} is that of {identity.node}; the file names {', '.join(group.members)}.",
            hint="Name it under group.members, in the file of each controller, or set `joins: true`.",
        )
    await asyncio.to_thread(_found_once, settings, group)
    opened: list[RaftNode] = []
    transport = TlsTransport(
        identity,
        admits=lambda node: bool(opened) and opened[0].admits(node),
        founding=lambda: opened[0].founding() if opened else "",
    )
    opened.append(await open_node(settings, transport))
    return opened[0], identity.node


def _found_once(settings: MemberSettings, group: GroupConfig) -> None:
    """Make this member's log, unless it was made before.

    A member that lost its log must not begin anew under its old name: it would vote again, and forget what it had
    acknowledged. So the folder with its identity remembers that there was a log, and `open_node` refuses.
    """
    mark = Path(group.peers) / FOUNDED_MARK
    if mark.exists() and not Path(settings.folder).exists():
        return
    _found(settings, dict(group.members), joins=group.joins)
    if mark.exists():
        return
    try:
        mark.touch(mode=0o600)
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.BAD_SETTING,
            f"The controller can't write to the folder {group.peers}.",
            why=f"{error.strerror}. It notes there that it has begun, so that without its log it never begins anew.",
            hint="Let this user write to it; for systemd name it under ReadWritePaths=, for a container mount it so.",
        ) from error


def _found(settings: MemberSettings, members: dict[str, Address], *, joins: bool) -> None:
    if Path(settings.folder).exists() and not boot.is_half_made(settings.folder):
        return
    try:
        if joins:
            boot.join(settings, {name: at for name, at in members.items() if name != settings.owner.node})
        else:
            boot.found(settings, members)
    except SwarmctlError as error:
        if error.code is not ErrorCode.RAFT_FOLDER_USED:
            raise


def _checked(config: ControllerConfig) -> _Tellers:
    """Return whom to tell, once it is sure that all of it can be followed and told.

    Raises one SwarmctlError with all that is wrong. Nothing is touched yet: another controller may run in this folder.
    """
    problems: list[Problem] = []
    for one in config.sources:
        if not one.is_work_tree:
            _placed(partial(GitSource.check, one.spec), one.place, problems)
    sinks = {
        one.name: _placed(partial(AppriseSink, SinkSpec(one.name, one.url, one.kinds)), one.place, problems)
        for one in config.sinks
    }
    _raise(problems)
    return _Tellers(config, {name: sink for name, sink in sinks.items() if sink is not None})


def _opened(config: ControllerConfig, settings: Settings) -> list[Source]:
    """Open what is followed. Raises one SwarmctlError with all that is wrong: keys that gpg does not take."""
    problems: list[Problem] = []
    sources = [_placed(partial(_source, one, config.data_dir, settings), one.place, problems) for one in config.sources]
    _raise(problems)
    return [one for one in sources if one is not None]


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise SwarmctlError.from_problems(tuple(problems))


def _placed(make: Callable[[], _Made], place: Place | None, problems: list[Problem]) -> _Made | None:
    """Return what `make` makes; None where it raises, and then add its problems with the place that they come from."""
    try:
        return make()
    except SwarmctlError as error:
        problems += [replace(one, place=one.place or place) for one in error.problems]
        return None


def _built(
    config: ControllerConfig,
    settings: Settings,
    node: RaftNode,
    name: str,
    sources: Sequence[Source],
    tellers: _Tellers,
) -> tuple[Leader, Metrics]:
    clock, schemas, looker = SystemClock(), read_schemas(), RandomIds().new_id()
    endpoint = settings.endpoint
    if config.host or config.context:
        endpoint = replace(endpoint, host=config.host, context=config.context)
    credentials = RegistryCredentials(
        endpoint.config_dir,
        lambda problem: log.warning("registry credentials", code=problem.code.value, what=problem.what),
    )
    owners = Owners(one.spec.name for one in config.sources)
    memory = Memory(node, clock.now, routes={one.name: one.kinds for one in config.sinks})

    def inputs(files: Revision) -> LoadInputs:
        root = str(getattr(files, "root", "/"))
        return LoadInputs(schemas, settings.environment, settings.home, root, zone_named)

    async def connected() -> Cluster:
        return await connect(endpoint)

    def remembered() -> Remembered:
        states = [memory.state(one.spec.name) for one in config.sources]
        epoch = node.standing.epoch
        return Remembered(
            clock.now(),
            name,
            leading=node.may_write(epoch),
            epoch=epoch,
            states=states,
            queues={
                "alerts": len(memory.outbox().pending),
                "requests": sum(len(memory.requests(one.spec.name)) for one in config.sources),
            },
            sinks=tellers.statuses(),
            members=node.members(),
        )

    metrics = Metrics(remembered)
    leader = Leader(
        member=name,
        store=node,
        memory=memory,
        followings=[Following(one, inputs, clock, metrics, looker, owners) for one in sources],
        connect=connected,
        answers=partial(answers, endpoint) if config.group is not None else None,
        clock=clock,
        meters=metrics,
        apply=ApplySettings(
            config.parallel,
            config.timeout_s,
            config.resolve,
            credentials.auth_for,
            credentials.auth_for if config.with_registry_auth else no_registry_auth,
        ),
        telling=tellers.telling if config.sinks else None,
        forge_telling=tellers.forge_telling if tellers.forges else None,
        cluster=config.name,
        members=WantedMembers(config.group.members, config.group.removed) if config.group else WantedMembers(),
    )
    return leader, metrics


def _source(followed: FollowedSource, data_dir: str, settings: Settings) -> Source:
    if followed.is_work_tree:
        return FollowedTree(WorkTreeSource(followed.spec))
    return FollowedRepository(
        GitSource.open(_below(data_dir, "sources"), followed.spec, settings.environment.get("PATH", ""))
    )


class _Tellers:
    """Whom to tell, and how they stand. Each leadership opens them anew."""

    def __init__(self, config: ControllerConfig, sinks: Mapping[str, AppriseSink]) -> None:
        self._name = config.name or "swarm"
        self._sinks = sinks
        self.forges = {one.spec.name: StatusSink(one.forge) for one in config.sources if one.forge is not None}
        self._open: dict[str, Notifier | StatusTeller] = {}

    def telling(self, done: Callable[[str, str], None]) -> AbstractAsyncContextManager[Teller]:
        """Open the chats."""
        self._open["chats"] = made = Notifier(self._name, self._sinks, done)
        return made

    def forge_telling(self, done: Callable[[str, CommitStatus], None]) -> AbstractAsyncContextManager[ForgeTeller]:
        """Open the forges."""
        self._open["forges"] = made = StatusTeller(self.forges, done)
        return made

    def statuses(self) -> list[OutletStatus]:
        """Return where each of them stands, as of this controller's last leadership."""
        return [status for one in self._open.values() for status in one.statuses]
