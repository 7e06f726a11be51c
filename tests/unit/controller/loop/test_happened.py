"""What is worth an event, and whose it is."""

from __future__ import annotations

import pytest

from reconciler.controller.loop.happened import told
from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from tests.unit.gitops.story import START


@pytest.mark.parametrize(
    ("subject", "scope"),
    [
        ("service.web_api", "web"),
        ("service.web_shop_api", "web_shop"),
        ("secret.web_shop_key_1", "web_shop"),
        ("network.web", ""),
        ("network.front_end", ""),
        ("the cluster", ""),
        ("web", "web"),
        ("node1", "node1"),
    ],
)
def test_an_event_is_of_the_stack_that_its_alert_is_about(subject: str, scope: str) -> None:
    alert = Alert("k", AlertKind.DRIFT, AlertPhase.OPENED, subject, "It drifted.", START, START)
    assert [one.scope for one in told("infra", [alert], ["", "web", "web_shop", "node/n1"])] == [scope]
