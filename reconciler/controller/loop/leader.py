"""What a controller does while it leads: all of it in one scope, which ends before another may begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from reconciler.controller.loop.applies import Applies
from reconciler.controller.loop.around import ApplySettings, Around
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.laggards import watch_laggards
from reconciler.controller.loop.link import ClusterLink
from reconciler.controller.loop.looking import Looking
from reconciler.controller.loop.membership import WantedMembers, keep_members
from reconciler.controller.loop.one_pass import SourcePasses
from reconciler.controller.loop.ports import Clock, Connect, ForgeTeller, ForgeTelling, Meters, Store, Telling
from reconciler.controller.loop.pulse import Answers, Calls, Pulse
from reconciler.controller.loop.state_records import REQUESTS, Memory, key_prefix
from reconciler.controller.loop.wakeups import Wakeups
from reconciler.gitops.commit_status import statuses
from reconciler.gitops.look import CLUSTER_FAILURES_MAX
from reconciler.gitops.notices import leader_changed
from reconciler.gitops.state import LoopState
from reconciler.model.changes import Change, ChangeAction, TableKind
from reconciler.model.errors import SwarmctlError
from reconciler.model.forges import CommitStatus

log = structlog.stdlib.get_logger(__name__)

PAUSE_S: Final = 1.0
"""Seconds before something that ended badly is begun again."""
PAUSE_MAX_S: Final = 60.0
_ASKED: Final = f"{REQUESTS}/"


@dataclass(slots=True)
class Leader:
    """The work of a leader, for `Store.lead`. `wakeups` are by source, and may be woken from anywhere at any time."""

    member: str
    store: Store
    memory: Memory
    followings: Sequence[Following]
    connect: Connect
    clock: Clock
    meters: Meters
    apply: ApplySettings = field(default_factory=ApplySettings)
    telling: Telling | None = None
    forge_telling: ForgeTelling | None = None
    cluster: str = ""
    """What the cluster is called in statuses of commits."""
    members: WantedMembers = field(default_factory=WantedMembers)
    answers: Answers | None = None
    """Asks whether the engine answers. None for who has nobody to give way to."""
    wakeups: Mapping[str, Wakeups] = field(init=False)
    _calls: Calls = field(default_factory=Calls)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)
    _forge_teller: ForgeTeller | None = None
    _has_given_way: bool = False
    last_pass: datetime | None = None
    """When a pass of this controller last came to its end."""
    passing: dict[str, datetime] = field(default_factory=dict)
    """{source: when the pass over it began that is under way}."""

    def __post_init__(self) -> None:
        self.wakeups = {one.source.spec.name: Wakeups() for one in self.followings}

    def wake(self, cause: str, *sources: str) -> None:
        """Let passes begin, over the named sources or all. Without effect where this controller does not lead."""
        for name in sources or tuple(self.wakeups):
            if name in self.wakeups:
                self.wakeups[name].wake(cause)

    async def work(self, epoch: int) -> None:
        """Lead until cancelled. What fails is tried again; nothing but cancellation ends it."""
        self._has_given_way = False
        self.meters.began_to_lead()
        log.info("leading", member=self.member, epoch=epoch)
        link = ClusterLink(self.connect, lambda: self.store.may_write(epoch), self._calls)
        try:
            await self._begin(epoch)
            around = Around(self.memory, link, self.clock, self.meters, epoch, self.apply, self._decided)
            async with asyncio.TaskGroup() as leading:
                for one in self.followings:
                    wakeups = self.wakeups[one.source.spec.name]
                    looking = Looking(one, wakeups)
                    leading.create_task(looking.run())
                    applies = Applies(one, around, wakeups)
                    leading.create_task(self._passes(SourcePasses(one, around, wakeups, looking, applies)))
                    leading.create_task(_again(partial(_files, one, wakeups), "files"))
                leading.create_task(keep_members(self.store, self.members))
                leading.create_task(watch_laggards(self.store, self.memory, epoch))
                leading.create_task(_again(self._requests, "requests"))
                if self.forge_telling is not None:
                    leading.create_task(self._tell_forges(self.forge_telling, epoch))
                if self.telling is not None:
                    leading.create_task(self._tell(self.telling, epoch))
                leading.create_task(_again(partial(self._cluster_events, link), "cluster events"))
        finally:
            log.info("leading ended", member=self.member, epoch=epoch)
            self._apart(link.close())

    async def _begin(self, epoch: int) -> None:
        before = self.memory.last_leader()
        alert = leader_changed(self.member, before.member if before else "", epoch, self.clock.now())
        await self.memory.begin_to_lead(self.member, epoch, [alert] if alert is not None else [])

    async def _passes(self, passes: SourcePasses) -> None:
        """Do pass after pass over one source, and end what these have begun. It holds no other source."""
        try:
            await self._pass_after_pass(passes)
        finally:
            await passes.applies.end()

    async def _pass_after_pass(self, passes: SourcePasses) -> None:
        """Do pass after pass over one source. A pass that fails is done again."""
        name = passes.following.source.spec.name
        passes.wakeups.wake("start")
        wait_s, failures = 0.0, 0
        while True:
            causes = await passes.causes(wait_s)
            self.passing[name] = self.clock.now()
            try:
                wait_s = await passes.one(causes)
                self._give_way(passes)
                failures, self.last_pass = 0, self.clock.now()
            except SwarmctlError as error:
                failures += 1
                wait_s = _pause_s(failures)
                log.warning("pass failed", source=name, code=error.code.value, what=str(error), again_s=wait_s)
            except Exception as error:  # noqa: BLE001 - a bug that one source brings out must not stop the others
                failures += 1
                wait_s = _pause_s(failures)
                # Only its kind and place: its text may quote what it was given.
                log.error("pass failed by a bug of ours", source=name, error=_kind(error), again_s=wait_s)
            finally:
                del self.passing[name]

    async def _tell(self, telling: Telling, epoch: int) -> None:
        """Send what waits in the outbox, also what an earlier leader left there, and take out what has arrived."""
        arrived: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        async with telling(lambda alert_id, sink: arrived.put_nowait((alert_id, sink))) as teller:
            self.memory.offer = lambda box: teller.offer(box.pending.values())
            try:
                teller.offer(self.memory.outbox().pending.values())
                while True:
                    alert_id, sink = await arrived.get()
                    try:
                        await self.memory.delivered(alert_id, sink, epoch)
                    except SwarmctlError as error:
                        # It stays in the outbox, and may be sent once more by the next leader.
                        log.warning("delivery not noted", sink=sink, code=error.code.value)
            finally:
                self.memory.offer = lambda _: None

    async def _tell_forges(self, telling: ForgeTelling, epoch: int) -> None:
        """Post statuses of commits, and remember which were posted."""
        done: asyncio.Queue[tuple[str, CommitStatus]] = asyncio.Queue()
        async with telling(lambda source, status: done.put_nowait((source, status))) as teller:
            self._forge_teller = teller
            try:
                while True:
                    source, status = await done.get()
                    with suppress(SwarmctlError):  # it is posted once more by the next leader, and says the same
                        await self.memory.posted(source, status, epoch)
            finally:
                self._forge_teller = None

    def _decided(self, state: LoopState) -> None:
        if self._forge_teller is not None:
            source = state.source.name
            wanted = statuses(state, self.cluster or "swarm")
            self._forge_teller.offer(source, wanted, self.memory.statuses_posted(source))

    async def _requests(self) -> None:
        """Wake the passes of a source for which somebody, at whichever controller, has asked for something.

        No others: each of them would look at its remote as well.
        """
        sources = {f"{_ASKED}{key_prefix(name)}": name for name in self.wakeups}
        async with aclosing(self.store.watch(self.store.tables.index)) as batches:
            # What was asked before is seen by the first pass.
            self.wake("sync")
            async for batch in batches:
                asked = [change.id for change in batch.changes if _asks(change)]
                for name in dict.fromkeys(
                    name for start, name in sources.items() for one in asked if one.startswith(start)
                ):
                    self.wake("sync", name)

    def _give_way(self, passes: SourcePasses) -> None:
        """Let another controller lead when this one can't reach a cluster that was well: its engine may be down.

        Once: whoever leads next while the cluster is away for all stays, since its people have been told already.
        """
        if passes.cluster_failures >= CLUSTER_FAILURES_MAX and not passes.began_away:
            self._hand_over("the cluster can't be reached from here")

    async def pulse(self) -> None:
        """Watch, leading or not, whether this controller's engine answers, until cancelled."""
        if self.answers is None:
            await asyncio.Event().wait()
            return
        await Pulse(self.member, self.memory, self._calls, self.answers, self._engine_lost).run()

    def _engine_lost(self) -> None:
        """Let another controller lead, where this one does: its engine hangs, and a call would take long to fail."""
        if self.store.standing.epoch:
            self._hand_over("its engine does not answer")

    def _hand_over(self, why: str) -> None:
        """Let another member lead, unless all others are blind as well."""
        blind = self.memory.blind() - {self.member}
        others = [one.id for one in self.store.members() if one.voter and one.id not in {self.member, *blind}]
        if not others or self._has_given_way:
            return
        self._has_given_way = True
        log.warning("gives way", member=self.member, why=why)
        self._apart(self._handed_over(others if blind else [None]))

    async def _handed_over(self, others: Sequence[str | None]) -> None:
        """Hand over to the first who takes it; None is whoever is nearest."""
        for one in others:
            with suppress(SwarmctlError):
                await self.store.hand_over(one)
                return
        self._has_given_way = False  # nobody else is near enough: it goes on here

    def _apart(self, closing: Coroutine[None, None, None]) -> None:
        """Close a connection without waiting: an engine that hangs must not hold up the end of leading.

        Nothing more is written over it: its calls that have not begun are cancelled, and writes are fenced.
        """
        task = asyncio.ensure_future(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _cluster_events(self, link: ClusterLink) -> None:
        cluster = await link.cluster()
        events: AsyncIterator[object] = cluster.events()
        # What happened while nobody listened is seen by a pass.
        self.wake("cluster-event")
        try:
            async for _ in events:
                self.wake("cluster-event")
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                self._apart(close())


def _asks(change: Change) -> bool:
    return change.kind is TableKind.RECORD and change.action is not ChangeAction.REMOVE and change.id.startswith(_ASKED)


async def _files(following: Following, wakeups: Wakeups) -> None:
    async with aclosing(following.source.changes()) as changes:
        async for _ in changes:
            wakeups.wake("files")


async def _again(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Do something that only wakes passes, and again when it ended by an error; not when it ended by itself."""
    failures = 0
    while True:
        try:
            await work()
            return
        except SwarmctlError as error:
            failures += 1
            if failures == 1:
                log.info("not watching", what=what, code=error.code.value)
        await asyncio.sleep(_pause_s(failures))


def _pause_s(failures: int) -> float:
    return min(PAUSE_S * 2.0 ** min(failures - 1, 10), PAUSE_MAX_S)


def _kind(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # of tasks side by side: the first that failed ended the others
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
