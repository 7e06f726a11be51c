"""What `prune` may remove: by the labels that an object has, and by when it was made. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.api.faults import Refused
from reconciler.api.queries import Filters, moment_ns
from reconciler.api.selection import has_label
from reconciler.manifests.quantities import BadQuantity, duration_ns
from reconciler.model.objects import ObservedObject

KEYS = frozenset({"label", "label!", "until"})


def made_until(filters: Filters, now: datetime) -> datetime | None:
    """Return the moment after which nothing that was made is removed; None where no filter names one.

    It is written as a moment, as seconds since the epoch, or as how long ago it was (`24h`). Raises Refused.
    (moby daemon/prune.go; api/types/time/timestamp.go)
    """
    values = filters.get("until", ())
    if len(values) > 1:
        raise Refused(500, "more than one until filter specified")
    return _moment(values[0], now) if values else None


def _moment(text: str, now: datetime) -> datetime:
    if text != "0":
        try:
            return now - timedelta(microseconds=duration_ns(text) / 1000)
        except (BadQuantity, OverflowError):
            pass
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp(moment_ns(text) / 1e9, UTC)
    except (Refused, OverflowError, ValueError):
        raise Refused(500, f'failed to parse value as time or duration: "{text}"') from None


def may_go(found: ObservedObject, filters: Filters) -> bool:
    """Return whether an object's labels are those that are asked for, and not those that protect it."""
    if not all(has_label(found.labels, value) for value in filters.get("label", ())):
        return False
    kept = filters.get("label!", ())
    return not kept or not all(has_label(found.labels, value) for value in kept)


def is_made(found: ObservedObject, until: datetime | None) -> bool:
    """Return whether an object was there at that moment."""
    return until is None or datetime.fromisoformat(str(found.dig("Created"))) <= until
