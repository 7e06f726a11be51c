"""What the commands need from outside. main builds it; a test may build another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:  # only named here: a command imports what it uses
    from reconciler.model.actual import ActualState
    from reconciler.model.desired import DesiredState
    from reconciler.model.forges import CommitStatus, ForgeAddress, PostedComment
    from reconciler.model.json import JsonObject
    from reconciler.model.objects import NodeRole
    from reconciler.model.peers import PeersListing, WrittenIdentity
    from reconciler.model.plan import Plan
    from reconciler.model.planned import Planned, PlanRequest
    from reconciler.model.progress import ApplyResult, Assessment, Report
    from reconciler.model.replication import Address
    from reconciler.settings import EndpointSettings, Settings


class Source(msgspec.Struct, frozen=True):
    """Which manifests: a folder with swarm.yaml or one stack file, as it is or at a revision of its repository."""

    path: str
    revision: str | None = None
    stack_name: str | None = None
    """What a lone stack file's stack is called; None: the file's name without its ending."""
    compose_files: tuple[str, ...] = ()
    """Stack files merged over the lone one at `path`, from left to right."""


class ApplyLimits(msgspec.Struct, frozen=True):
    """How long and how wide an apply goes."""

    parallel: int
    wait: bool
    timeout_s: float
    with_registry_auth: bool = False
    """Hand the credentials of images' registries to the swarm's nodes."""


class EmbeddedOptions(msgspec.Struct, frozen=True):
    """An embedded swarm to start: how many nodes, where it keeps things, where it listens."""

    nodes: int
    data_dir: str
    host: str


class DaemonOptions(msgspec.Struct, frozen=True):
    """A daemon to run. None: the default; no `hosts`: a socket in its folder."""

    data_dir: str | None
    hosts: tuple[str, ...]
    runtime: str
    docker_host: str | None
    hostname: str | None
    log_level: str


class Swarm(Protocol):
    """A cluster that commands look at and change."""

    async def observe(self) -> ActualState:
        """Return what the cluster is now."""
        ...

    async def plan(self, request: PlanRequest) -> Planned:
        """Look at the cluster and at registries, and plan. Nothing is written."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove a volume of the node that answers; object-not-found, object-in-use."""
        ...

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make the join token of one role invalid and a new one valid, and note when on the swarm."""
        ...

    async def apply(self, plan: Plan, actual: ActualState, limits: ApplyLimits, report: Report) -> ApplyResult:
        """Carry out a plan that was made against `actual`."""
        ...

    def assess(self, actual: ActualState) -> tuple[Assessment, ...]:
        """Return where each service of `actual` stands, in its order."""
        ...


class Forge(Protocol):
    """A forge's comments and statuses; forge-unreachable, forge-refused."""

    async def put_comment(self, pull_request: int, marker: str, body: str) -> PostedComment:
        """Make `body`, which has `marker` in it, the one comment with that marker: edit it, or create it."""
        ...

    async def put_status(self, status: CommitStatus) -> None:
        """Set a commit's status; one of the same context is replaced by it."""
        ...


class ControllerApi(Protocol):
    """A running controller. Every method raises SwarmctlError: controller-unreachable, and what it answers."""

    async def get(self, path: str, query: Mapping[str, str]) -> JsonObject:
        """Return the answer to a question."""
        ...

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        """Ask for something; return what the controller says."""
        ...

    async def download(self, path: str, take: Callable[[bytes], None]) -> None:
        """Let `take` have an answer that is no JSON, piece by piece."""
        ...


class Peers(Protocol):
    """A node's folder of certificates. Every method raises SwarmctlError."""

    def init(self, node: str, listen: Address, *, force: bool) -> WrittenIdentity:
        """Make a new group: its authority, and this node's own certificate."""
        ...

    def add(self, node: str, listen: Address, out: str, *, force: bool) -> WrittenIdentity:
        """Make a certificate for another node, and write its folder, or a tar file, to carry there."""
        ...

    def renew(self, node: str, out: str | None, *, force: bool) -> WrittenIdentity:
        """Make a new key and certificate for a known node; "" means this one, in place."""
        ...

    def listing(self) -> PeersListing:
        """Return who has a certificate, and until when."""
        ...


class Outside(Protocol):
    """Everything that commands do beyond printing. Every method raises SwarmctlError."""

    @property
    def settings(self) -> Settings:
        """The settings that the environment gave."""
        ...

    def load(self, source: Source) -> DesiredState:
        """Return what the manifests ask for, or raise every problem they have."""
        ...

    def schema(self, name: str) -> JsonObject:
        """Return the JSON Schema "cluster", "stack", "plan" or "controller"."""
        ...

    def read_text(self, path: str) -> str:
        """Return a file's text; file-not-found, file-unreadable, file-too-large."""
        ...

    def write_text(self, path: str, text: str) -> None:
        """Put a file in place at once, whole, for this user only; output-failed."""
        ...

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        ...

    def write_files(self, folder: str, files: Mapping[str, bytes], private: Collection[str], *, force: bool) -> None:
        """Write files by paths relative to `folder`, which must be empty unless `force`; `private` ones for us only."""
        ...

    def greet(self, endpoint: EndpointSettings) -> None:
        """Begin to connect to a cluster, in the background; `connect` then goes on from there."""
        ...

    def connect(self, endpoint: EndpointSettings) -> AbstractAsyncContextManager[Swarm]:
        """Return a connection to a cluster, for an `async with`."""
        ...

    def forge(self, address: ForgeAddress) -> AbstractAsyncContextManager[Forge]:
        """Return a forge's API, for an `async with`."""
        ...

    def peers(self, folder: str) -> Peers:
        """Return a node's folder of certificates, which need not exist."""
        ...

    def embedded_host(self, data_dir: str) -> str:
        """Return the address on which an embedded swarm with this folder listens: unix://PATH."""
        ...

    async def run_embedded(self, options: EmbeddedOptions) -> None:
        """Run an embedded swarm until the process is told to end."""
        ...

    async def run_daemon(self, options: DaemonOptions, ready: Callable[[Sequence[str]], None]) -> None:
        """Run a node's daemon until the process is told to end; `ready` is told where it listens, once it does."""
        ...

    async def run_controller(self, config_path: str) -> None:
        """Run a controller, as the file says, until the process is told to end."""
        ...

    def force_new_group(self, config_path: str) -> None:
        """Make the member of a controller that does not run the only one of its group."""
        ...

    async def back_up_store(self, controller: str | None, path: str) -> int:
        """Put a copy of a running controller's state into a file, whole and verified; return its index."""
        ...

    async def back_up_daemon(self, host: str, path: str) -> int:
        """Put a copy of all that a running daemon knows into a file, whole and verified; return its index."""
        ...

    def restore_daemon(self, data_dir: str, path: str) -> int:
        """Put the swarm of a backup into the folder of a daemon that does not run; return its index."""
        ...

    def verify_backup(self, path: str) -> int:
        """Return the index that a whole backup stands for."""
        ...

    def restore_store(self, config_path: str, path: str) -> int:
        """Make the store of a controller anew, from a backup; return the index that it stands for."""
        ...

    def controller(self, address: str | None) -> AbstractAsyncContextManager[ControllerApi]:
        """Return a running controller's API, for an `async with`. None: the one that the settings name."""
        ...

    def start_embedded(self, options: EmbeddedOptions) -> int:
        """Start an embedded swarm in the background and return its process id once it answers."""
        ...

    def stop_embedded(self, data_dir: str) -> int | None:
        """End the embedded swarm of a folder and return the process id that it had; None where it had been killed
        before, and its tasks were ended now."""
        ...
