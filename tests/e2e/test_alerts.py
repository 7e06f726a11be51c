"""From drift to chat, with leaders that come and go: the loop, the outbox as records, and real sinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from reconciler.adapters.notify.apprise_sink import AppriseSink, SinkSpec
from reconciler.adapters.notify.notifier import Notifier
from reconciler.adapters.notify.outlet import OutletLimits
from reconciler.gitops import outbox as boxes
from reconciler.gitops.notices import leader_changed
from reconciler.gitops.outbox import Outbox, delivered, from_records, queued, to_records
from reconciler.model.alerts import Alert, AlertKind
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.tables import KeyValueRecord
from tests.fakes.chat import running_chat, running_mail_server
from tests.unit.adapters.notify.test_outlet import until
from tests.unit.gitops.story import Story, update

LIMITS = OutletLimits(gap_s=0, backoff_s=60, backoff_max_s=60)
"""Each leader has one try, and the next one goes on."""


def at_rest(notifier: Notifier, *sinks: str) -> bool:
    """Whether no try is under way: a leader that ends in the midst of one may have sent what the next one sends."""
    return all(not one.waiting or one.failing for one in notifier.statuses if one.name in sinks)


@dataclass
class Group:
    """Controllers that share records, one of which leads: what the loop's shell does with alerts, and no more."""

    specs: tuple[SinkSpec, ...]
    story: Story = field(default_factory=lambda: Story(policies=Policies(drift=DriftMode.REPORT)))
    records: dict[str, bytes] = field(default_factory=dict)
    leader: str = ""

    def outbox(self) -> Outbox:
        return from_records(KeyValueRecord(boxes.NAMESPACE, key, value, 1) for key, value in self.records.items())

    def queue(self, alerts: tuple[Alert, ...]) -> None:
        routes = {one.name: one.kinds for one in self.specs}
        self.records = to_records(queued(self.outbox(), "infra", alerts, routes, self.story.now))

    @asynccontextmanager
    async def led_by(self, name: str, epoch: int) -> AsyncIterator[Notifier]:
        """Lead: take over what the one before has left in the outbox."""

        def done(alert_id: str, sink: str) -> None:
            self.records = to_records(delivered(self.outbox(), alert_id, sink))

        changed = leader_changed(name, self.leader, epoch, self.story.now)
        self.queue((changed,) if changed else ())
        self.leader = name
        sinks = {one.name: AppriseSink(one) for one in self.specs}
        async with Notifier("prod", sinks, done, LIMITS) as notifier:
            notifier.offer(self.outbox().pending.values())
            yield notifier

    async def passes(self, notifier: Notifier, count: int, *actions: object) -> None:
        for _ in range(count):
            decision = self.story.wait(seconds=30).sees(*actions)  # type: ignore[arg-type]
            self.queue(decision.alerts)
            notifier.offer(self.outbox().pending.values())
            await asyncio.sleep(0)


async def test_a_hundred_passes_under_ten_leaders_are_one_alert_and_one_recovery_in_every_sink() -> None:
    with (
        running_chat(answers=[500, 503, 429]) as ailing,
        running_chat(answers=[None] * 100) as hanging,
        running_mail_server() as mail,
    ):
        kinds = frozenset({AlertKind.DRIFT})
        group = Group(
            (
                SinkSpec("ailing", f"json://127.0.0.1:{ailing.port}/", kinds),
                SinkSpec("hanging", f"json://127.0.0.1:{hanging.port}/?rto=60", kinds),
                SinkSpec("mail", f"mailto://127.0.0.1:{mail.port}/?from=a@b.test&to=c@d.test&mode=insecure", kinds),
            )
        )
        drifted = update("web_api", Origin.DRIFT)
        for epoch in range(10):
            async with group.led_by(f"controller-{epoch % 3}", epoch) as notifier:
                await group.passes(notifier, 10, drifted)
                await until(partial(at_rest, notifier, "ailing", "mail"))
        async with group.led_by("controller-1", 11) as notifier:
            await group.passes(notifier, 5)
            await until(lambda: {one.sinks for one in group.outbox().pending.values()} == {("hanging",)})
        told = [post.body["title"] for post in ailing.posts if post.body["title"]]
        assert told[-1] == "[prod] Healed: service.web_api"
        # What was answered with a failure was sent again; what was taken was not.
        assert set(told[:-1]) == {"[prod] Drift: service.web_api"}
        assert len(told[:-1]) == 4
        assert [str(one["Subject"]) for one in mail.mails] == [told[0], told[-1]]


async def test_what_a_dead_leader_could_not_send_the_next_one_does() -> None:
    with running_chat() as chat:
        away = SinkSpec("chat", "json://127.0.0.1:1/")
        group = Group((away,))
        async with group.led_by("controller-1", 1) as notifier:
            await group.passes(notifier, 3, update("web_api", Origin.DRIFT))
        assert len(group.outbox().pending) == 1
        group.specs = (SinkSpec("chat", f"json://127.0.0.1:{chat.port}/"),)
        async with group.led_by("controller-2", 2):
            await until(lambda: not group.outbox().pending)
        assert [post.body["title"] for post in chat.posts] == [
            "[prod] Drift: service.web_api",
            "[prod] Leader changed: controller-2",
        ]
