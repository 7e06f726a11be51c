"""A leader of one in this process: a real store, real repositories, and the embedded swarm's real tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.followed import FollowedRepository
from reconciler.adapters.git.source import GitSource
from reconciler.adapters.metrics import Metrics, Remembered
from reconciler.adapters.raft import boot
from reconciler.adapters.raft.alone import NoTransport
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.consensus.settings import ConsensusSettings
from reconciler.controller.loop.around import ApplySettings
from reconciler.controller.loop.fenced import FencedCluster
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.owners import Owners
from reconciler.controller.loop.ports import ForgeTelling, Telling
from reconciler.controller.loop.state_records import Memory
from reconciler.controller.ports import Cluster
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manifests.inputs import LoadInputs
from reconciler.model.actual import ActualState
from reconciler.model.images import ResolveMode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.replication import Address
from reconciler.model.sources import Reference, ReferenceKind, SourceSpec
from tests.lab.git_servers import Repository
from tests.property.repositories import SCHEMAS

NAME = "alone"
QUICK = ConsensusSettings(election_min_s=0.1, election_max_s=0.2, heartbeat_s=0.03, fallback_s=0.08)
WAIT_S = 60.0
SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: %s}\nspec: {policy: {prune: true}}\n"


def swarm(name: str) -> str:
    return SWARM % name


def stack(replicas: int, image: str = "nginx:1.25") -> str:
    return f"services: {{api: {{image: {image!r}, deploy: {{replicas: {replicas}}}}}}}\n"


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns as soon as that is true."""
    async with asyncio.timeout(WAIT_S):
        while not (found := condition()):  # noqa: ASYNC110 - what is polled is not ours to signal
            await asyncio.sleep(0.02)
    return found


class _Noting(FencedCluster):
    """Notes what was written, and says of some services that the swarm has rolled them back."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell.cluster, lambda: True)
        self._shell = shell

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        found = await super().observe(since)
        stopped = {"UpdateStatus": {"State": "rollback_completed", "Message": "a task failed"}}
        seen = (
            replace(one, raw={**one.raw, **stopped}) if one.name in self._shell.rolled_back else one
            for one in found.services
        )
        return replace(found, services=tuple(seen))

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        created = await super().create(kind, spec, registry_auth=registry_auth)
        self._shell.written.append(kind)
        self._shell.sent.append(str(spec.get("Name", "")))
        return created

    async def update(
        self,
        kind: Kind,
        object_id: str,
        version: int,
        spec: JsonObject,
        *,
        registry_auth: str | None = None,
        rotate: Collection[NodeRole] = (),
    ) -> None:
        await super().update(kind, object_id, version, spec, registry_auth=registry_auth, rotate=rotate)
        self._shell.sent.append(str(spec.get("Name", "")))


@dataclass
class Shell:
    """`folder` has the store and the clones. `connect` opens the cluster; a test may put another in its place."""

    folder: Path
    cluster: EmbeddedCluster
    repositories: dict[str, Repository]
    connect: Callable[[], Any] | None = None
    telling: Telling | None = None
    forge_telling: ForgeTelling | None = None
    routes: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 600.0
    written: list[Kind] = field(default_factory=list)
    """What was created, in order."""
    sent: list[str] = field(default_factory=list)
    """The names of what was created or updated, each once that has ended."""
    rolled_back: set[str] = field(default_factory=set)
    """Services of which the swarm says so, though they have the spec that they were given."""
    interval_s: float = 0.2
    node: RaftNode = field(init=False)
    leader: Leader = field(init=False)

    @property
    def memory(self) -> Memory:
        return self.leader.memory

    def state(self, source: str = "infra") -> Any:
        return self.memory.state(source)

    async def scale(self, service: str, replicas: int) -> None:
        """What somebody does behind Git's back."""
        found = (await self.cluster.observe()).by_name(Kind.SERVICE)[service]
        spec = {**found.spec, "Mode": {"Replicated": {"Replicas": replicas}}}
        await self.cluster.update(Kind.SERVICE, found.id, found.version, spec)

    def has_passed_since(self, last: datetime | None) -> bool:
        return self.leader.last_pass != last

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[Shell]:
        settings = MemberSettings(str(self.folder / "store"), Owner("test", NAME), consensus=QUICK)
        if not Path(settings.folder).exists():  # noqa: ASYNC240 - nothing else runs yet
            boot.found(settings, {NAME: Address("", 0)})
        self.node = await open_node(settings, NoTransport())
        self.leader = self._leader()
        tasks = [asyncio.create_task(self.node.run()), asyncio.create_task(self.node.lead(self.leader.work))]
        try:
            yield self
            assert not any(task.done() for task in tasks), tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _leader(self) -> Leader:
        clock = SystemClock()
        metrics = Metrics(lambda: Remembered(datetime.now(UTC), NAME))

        async def connect() -> Cluster:
            if self.connect is not None:
                await self.connect()
            return _Noting(self)

        owners = Owners(self.repositories)

        def inputs(files: Any) -> LoadInputs:
            return LoadInputs(SCHEMAS, {}, "/root", files.root)

        return Leader(
            member=NAME,
            store=self.node,
            memory=Memory(self.node, clock.now, self.routes),
            followings=[
                Following(self._source(name), inputs, clock, metrics, owners=owners) for name in self.repositories
            ],
            connect=connect,
            clock=clock,
            meters=metrics,
            apply=ApplySettings(timeout_s=self.timeout_s, resolve=ResolveMode.NEVER),
            telling=self.telling,
            forge_telling=self.forge_telling,
            cluster="prod",
        )

    def _source(self, name: str) -> FollowedRepository:
        at = Reference(ReferenceKind.BRANCH, "main")
        spec = SourceSpec(name, str(self.repositories[name].bare), at, interval_s=self.interval_s)
        return FollowedRepository(GitSource.open(str(self.folder / "clones"), spec))
