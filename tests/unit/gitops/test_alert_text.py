"""What alerts may not do: call a whole channel, hide a link, be too long, or lose what to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.gitops.alert_text import BODY_CHARS_MAX, TITLE_CHARS_MAX, Severity, alert_text
from reconciler.gitops.notices import leader_changed
from reconciler.model.alerts import Alert, AlertKind, AlertPhase, FieldDifference
from tests.unit.gitops.story import START

ALERT = Alert(
    "drift/service.web_api",
    AlertKind.DRIFT,
    AlertPhase.OPENED,
    "service.web_api",
    "service.web_api differs.",
    START,
    START,
    commit="5be91d3f" * 5,
    author="Ada",
    next_step="Nothing is done.",
    commands=("swarmctl diff --stack web", "swarmctl sync web"),
)


@pytest.mark.parametrize("call", ["@everyone", "@here", "@CHANNEL", "<!channel>", "<@U123>", "[bank](http://x)"])
@pytest.mark.parametrize("field", ["subject", "message", "author", "next_step"])
def test_a_commit_calls_nobody(call: str, field: str) -> None:
    quoted: dict[str, Any] = {field: f"mend it {call} now"}
    text = alert_text(replace(ALERT, **quoted), "prod")
    assert call not in text.title + text.body
    assert call in (text.title + text.body).replace("\u200b", "")


def test_a_live_value_calls_nobody() -> None:
    found = FieldDifference("Labels[a]", "x", "<!channel> @everyone")
    body = alert_text(replace(ALERT, differences=(found,)), "prod").body
    assert "@everyone" not in body
    assert "<!channel>" not in body


def test_a_mail_address_stays_as_it_is() -> None:
    assert "ada@example.org" in alert_text(replace(ALERT, author="Ada <ada@example.org>"), "prod").body


def test_hundreds_of_long_fields_give_way_to_what_to_do() -> None:
    many = tuple(FieldDifference(f"Path{number}", "a" * 200, "b" * 200) for number in range(300))
    text = alert_text(replace(ALERT, differences=many, message="m" * 5000), "prod")
    assert len(text.body) <= BODY_CHARS_MAX
    assert "swarmctl sync web" in text.body
    assert "more fields" in text.body


@given(st.text(max_size=3000), st.sampled_from(AlertKind), st.sampled_from(AlertPhase))
def test_any_text_fits_and_holds_no_control_character(words: str, kind: AlertKind, phase: AlertPhase) -> None:
    differences = tuple(FieldDifference(words, words, words) for _ in range(3))
    made = replace(
        ALERT, kind=kind, phase=phase, subject=words, message=words, author=words, commit=words, next_step=words
    )
    text = alert_text(replace(made, differences=differences), words)
    assert 0 < len(text.title) <= TITLE_CHARS_MAX
    assert 0 < len(text.body) <= BODY_CHARS_MAX
    shown = (text.title + text.body).replace("\n", "").replace("\u200b", "")
    assert shown.isprintable()
    assert "\n" not in text.title


def test_the_end_of_anything_is_a_success_and_its_beginning_is_not() -> None:
    for kind in AlertKind:
        assert alert_text(replace(ALERT, kind=kind, phase=AlertPhase.RECOVERED), "prod").severity is Severity.SUCCESS
    for kind in set(AlertKind) - {AlertKind.DEPLOYED}:
        opened = alert_text(replace(ALERT, kind=kind), "prod").severity
        assert opened in (Severity.WARNING, Severity.FAILURE)


def test_a_leader_that_was_so_before_is_no_news() -> None:
    assert leader_changed("one", "", 5, START) is None
    assert leader_changed("one", "one", 5, START) is None
    changed = leader_changed("two", "one", 5, START)
    assert changed is not None
    assert changed.key == "leader/5"
