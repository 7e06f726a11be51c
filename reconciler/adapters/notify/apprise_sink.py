"""One Apprise address: Slack, Discord, Teams, Mattermost, Telegram, mail, a webhook, and what else Apprise knows."""

from __future__ import annotations

from typing import Final

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType

from reconciler import __version__
from reconciler.adapters.notify.apart import Apart
from reconciler.adapters.notify.bounded import bound_answers
from reconciler.adapters.notify.outlet import NotSent
from reconciler.adapters.notify.quiet import hush, last_status
from reconciler.gitops.alert_text import AlertText, Severity
from reconciler.model.alerts import AlertKind
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError

_TYPES: Final = {
    Severity.INFO: NotifyType.INFO,
    Severity.SUCCESS: NotifyType.SUCCESS,
    Severity.WARNING: NotifyType.WARNING,
    Severity.FAILURE: NotifyType.FAILURE,
}
_PASSING: Final = frozenset({408, 425, 429})


class SinkSpec(Discreet, frozen=True):
    """One sink. `url` is Apprise's and a secret; `kinds` are the alerts that it gets, None for all of them."""

    UNSHOWN = frozenset({"url"})

    name: str
    url: str
    kinds: frozenset[AlertKind] | None = None


class AppriseSink:
    """Sends texts to one address. Raises SwarmctlError (alert-sink-invalid) when Apprise can't make sense of it.

    Redirects are not followed, so that a token stays with whom it was given to, and nothing is kept on disk.
    """

    def __init__(self, spec: SinkSpec) -> None:
        hush()
        bound_answers()
        asset = AppriseAsset(
            app_id="swarmctl",
            app_desc=f"swarmctl {__version__}",
            app_url="",
            async_mode=False,
            http_redirects=False,
            storage_mode="memory",
            pgp_autogen=False,
            pem_autogen=False,
            interpret_emojis=False,
            allow_templates=False,
            secure_logging=True,
        )
        try:
            made = Apprise.instantiate(spec.url, asset=asset, suppress_exceptions=True)
        except Exception:  # noqa: BLE001 - its text may quote the address
            made = None
        if made is None:
            raise SwarmctlError(
                ErrorCode.ALERT_SINK_INVALID,
                f"The address of alert sink {spec.name} makes no sense.",
                why="Apprise knows no service of that scheme, or a part of the address is missing.",
                hint="Compare it with Apprise's page on that service. It holds a secret, so it is not shown here.",
            )
        if made.request_rate_per_sec == NotifyBase.request_rate_per_sec:
            # Not the service's own pace but 5.5 s for want of one, mail's too: the outlet's gap is enough.
            made.request_rate_per_sec = 0
        self._plugin = made
        self._apart = Apart()

    async def send(self, text: AlertText) -> None:
        """Send one message. Raises NotSent."""
        status = await self._apart.run(lambda: self._notify(text))
        if status is None:
            return
        if status == 0:
            raise NotSent("It can't be reached, or did not take the message.")
        refused = 300 <= status < 500 and status not in _PASSING
        raise NotSent(f"It answered with status {status}.", refused=refused)

    def _notify(self, text: AlertText) -> int | None:
        """Return None when it was sent, the HTTP status of the refusal, or 0 where there is none."""
        last_status.take()
        sent = self._plugin.notify(
            title=text.title, body=text.body, notify_type=_TYPES[text.severity], body_format=NotifyFormat.TEXT
        )
        return None if sent else last_status.take() or 0
