"""Real messages through Apprise, to stand-ins on loopback. What they look like there, and what never leaks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from apprise import Apprise

from reconciler.adapters.notify import bounded
from reconciler.adapters.notify.apprise_sink import AppriseSink, SinkSpec
from reconciler.adapters.notify.notifier import Notifier
from reconciler.adapters.notify.outlet import NotSent, OutletLimits
from reconciler.gitops.alert_text import AlertText, Severity, alert_text
from reconciler.gitops.outbox import Outbox, Pending, queued
from reconciler.model.alerts import AlertKind
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.chat import Chat, running_chat, running_mail_server
from tests.unit.adapters.notify.test_outlet import until
from tests.unit.gitops.story import START
from tests.unit.gitops.test_alert_text import ALERT

TEXT = alert_text(ALERT, "prod")
TOKEN = "t0kenT0kent0kenT0ken1234"


def sink(url: str) -> AppriseSink:
    return AppriseSink(SinkSpec("chat", url))


SERVICES: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "json": ("json://127.0.0.1:{port}/hook", "/hook", lambda body: f"{body['title']}\n{body['message']}"),
    "mattermost": (
        f"mmost://127.0.0.1:{{port}}/{TOKEN}/?image=no",
        f"/hooks/{TOKEN}",
        lambda body: str(body["text"]),
    ),
    "slack": (
        f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}?image=no",
        f"/T1JJ3T3L2/A1BRTD4JD/{TOKEN}",
        str,
    ),
    "discord": (f"discord://4174216298/{TOKEN * 3}?image=no", f"/4174216298/{TOKEN * 3}", str),
    "teams": (
        f"workflows://127.0.0.1:{{port}}/643e69f83c8944/{TOKEN}?image=no",
        "/workflows/643e69f83c8944/triggers/manual/paths/invoke",
        str,
    ),
    "telegram": (
        "tgram://123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr/12315544?image=no",
        "/bot123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr/sendMessage",
        lambda body: str(body if isinstance(body, str) else body["text"]),
    ),
}


def to_loopback(monkeypatch: pytest.MonkeyPatch, name: str, url: str, chat: Chat) -> str:
    """Let a service whose host is fixed in Apprise be the stand-in."""
    if name == "telegram":
        chat.answer = '{"ok": true, "result": {"message_id": 1}}'
    if name == "slack":
        chat.answer = "ok"
    if name == "teams":
        send = requests.post
        monkeypatch.setattr(requests, "post", lambda to, **how: send(to.replace("https:", "http:"), **how))
    kind = type(Apprise.instantiate(url.format(port=chat.port)))
    for attribute, base in (("webhook_url", chat.url), ("notify_url", chat.url)):
        if hasattr(kind, attribute) and name in ("slack", "discord", "telegram"):
            monkeypatch.setattr(kind, attribute, base + ("/bot" if name == "telegram" else ""))
    return url.format(port=chat.port)


@pytest.mark.parametrize("name", SERVICES)
async def test_the_services_that_people_use_get_the_whole_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, path, text_of = SERVICES[name]
    with running_chat() as chat:
        await sink(to_loopback(monkeypatch, name, url, chat)).send(TEXT)
        [post] = chat.posts
    assert post.path.partition("?")[0] == path
    shown = text_of(post.body)
    assert "Drift: service.web_api" in shown
    assert "swarmctl sync web" in shown


@pytest.mark.parametrize(
    ("url", "pace_s"),
    [(f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}", 1.2), ("mailto://127.0.0.1/?from=a@b.test&to=c@d.test", 0)],
)
def test_a_service_keeps_its_own_pace_and_one_without_has_the_outlets(url: str, pace_s: float) -> None:
    assert sink(url)._plugin.request_rate_per_sec == pace_s


async def test_mail_has_the_title_as_its_subject() -> None:
    with running_mail_server() as box:
        url = f"mailto://127.0.0.1:{box.port}/?from=swarmctl@cluster.test&to=ops@cluster.test&mode=insecure&format=text"
        await sink(url).send(TEXT)
    [mail] = box.mails
    assert mail["Subject"] == TEXT.title
    assert box.recipients == ["ops@cluster.test"]
    assert mail.get_body(("plain",)).get_content().strip().splitlines()[-1] == "To revert:    swarmctl sync web"


@pytest.mark.parametrize(("status", "refused"), [(400, True), (401, True), (404, True), (429, False), (500, False)])
async def test_an_answer_says_whether_another_try_makes_sense(status: int, refused: bool) -> None:
    with running_chat(answers=[status]) as chat, pytest.raises(NotSent) as raised:
        await sink(f"json://127.0.0.1:{chat.port}/{TOKEN}").send(TEXT)
    assert (raised.value.why, raised.value.refused) == (f"It answered with status {status}.", refused)


async def test_an_answer_without_an_end_is_given_up_early_and_nobody_elses_is() -> None:
    with running_chat(endless=True) as chat:
        with pytest.raises(NotSent):
            await sink(f"json://127.0.0.1:{chat.port}/").send(TEXT)
        assert chat.sent < 64 * 1024 * 1024
    with running_chat(answer="y" * 2 * bounded.ANSWER_BYTES_MAX) as other:
        answer = await asyncio.to_thread(lambda: requests.post(other.url, json={}, timeout=20))
        assert len(answer.content) == 2 * bounded.ANSWER_BYTES_MAX
        with pytest.raises(NotSent):
            await sink(f"json://127.0.0.1:{other.port}/").send(TEXT)


async def test_a_redirect_is_not_followed() -> None:
    with running_chat() as other, running_chat(answers=[307], location=f"{other.url}/{TOKEN}") as chat:
        with pytest.raises(NotSent, match="307"):
            await sink(f"json://127.0.0.1:{chat.port}/{TOKEN}").send(TEXT)
        assert other.posts == []


@pytest.mark.parametrize(
    "url", ["", "slack://", f"nothing://{TOKEN}", f"slack://{TOKEN}/x", "json://[", f"discord://{TOKEN}"]
)
def test_an_address_that_makes_no_sense_is_told_without_it(url: str, caplog: pytest.LogCaptureFixture, capsys) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SwarmctlError) as raised:
        sink(url)
    assert raised.value.code is ErrorCode.ALERT_SINK_INVALID
    output = capsys.readouterr()
    assert TOKEN not in f"{raised.value.problems}{raised.value}{caplog.text}{output.out}{output.err}"


async def test_an_address_is_in_no_log_even_of_the_libraries_below(caplog: pytest.LogCaptureFixture, capsys) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("apprise", "urllib3", "urllib3.connectionpool", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    spec = SinkSpec("chat", "x")
    with running_chat(answers=[200, 500]) as chat:
        made = sink(f"json://user:{TOKEN}@127.0.0.1:{chat.port}/{TOKEN}?+X-Token={TOKEN}")
        await made.send(TEXT)
        with pytest.raises(NotSent):
            await made.send(TEXT)
        assert chat.posts[0].headers["x-token"] == TOKEN
    with pytest.raises(NotSent):
        await made.send(TEXT)
    output = capsys.readouterr()
    assert TOKEN not in f"{caplog.text}{output.out}{output.err}{made!r}{vars(made)}"
    assert "x" not in repr(spec).replace("SinkSpec", "")


def pending(*sinks: str) -> list[Pending]:
    box = queued(Outbox(), "infra", [ALERT], dict.fromkeys(sinks), START)
    return list(box.pending.values())


async def test_a_sink_that_hangs_delays_neither_the_others_nor_who_offers_nor_the_end() -> None:
    done: list[tuple[str, str]] = []
    with running_chat(answers=[None, None, None, None]) as hanging, running_chat() as well:
        sinks = {
            "hanging": sink(f"json://127.0.0.1:{hanging.port}/?rto=60"),
            "well": sink(f"json://127.0.0.1:{well.port}/"),
        }
        async with Notifier("prod", sinks, lambda *told: done.append(told), OutletLimits(send_s=60)) as notifier:
            notifier.offer(pending("hanging", "well", "not-set-up"))
            await until(lambda: bool(done and hanging.posts))
            assert [name for _, name in done] == ["well"]
            assert {one.name: one.waiting for one in notifier.statuses} == {"hanging": 1, "well": 0}
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 30  # the sink itself would take 60


async def test_tries_that_hang_are_bounded_too() -> None:
    with running_chat(answers=[None] * 10) as chat:
        made = sink(f"json://127.0.0.1:{chat.port}/?rto=60")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await made.send(TEXT)
        with pytest.raises(NotSent, match="still hang"):
            await made.send(TEXT)


async def test_a_kind_goes_only_where_it_is_wanted() -> None:
    box = queued(Outbox(), "infra", [ALERT], {"chat": None, "pager": frozenset({AlertKind.FAILED})}, START)
    assert [one.sinks for one in box.pending.values()] == [("chat",)]


def test_every_severity_has_a_type_of_apprises() -> None:
    from reconciler.adapters.notify.apprise_sink import _TYPES

    assert set(_TYPES) == set(Severity)
    assert AlertText("t", "b", Severity.INFO).severity in _TYPES
