"""External CAs of a swarm's settings: whether they may be taken over, and who signs for a root. (facts: swarmkit 6)

An external CA is one of the root that it names, of the swarm's present one if it names none.
"""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import datetime

from msgspec.structs import replace

from reconciler.adapters.swarm_ca import Root, given_root
from reconciler.adapters.swarm_ca.external import Introduction, why_unreachable
from reconciler.assembly import swarm_settings
from reconciler.assembly.swarm_settings import refused
from reconciler.assembly.trust import PEM_BEGINS
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject, dig

NOBODY = (
    "rpc error: code = InvalidArgument desc = there must be at least one valid, reachable external CA corresponding to "
    "the {} CA certificate"
)
FROM_ONE_TO_ANOTHER = (
    "rpc error: code = InvalidArgument desc = rotating from one external CA to a different external CA is not supported"
)
UPDATING = "error updating cluster settings: "
"""What an engine says before a manager's refusal of the settings that a swarm is to begin with."""
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_log = logging.getLogger(__name__)


def authorities(spec: JsonObject, root: str, present: str) -> tuple[str, ...]:
    """Return the URLs of those who sign for `root`, in the order in which they are asked. `present` is the root that
    the swarm has now, "" for a swarm that begins; both as PEM."""
    found: list[str] = []
    for one in dig(spec, "CAConfig", "ExternalCAs") or ():
        of_root = str(one.get("CACert") or "") or present
        if str(one.get("Protocol") or "cfssl").lower() == "cfssl" and _normal(of_root) == _normal(root):
            found.append(str(one.get("URL") or ""))
    return tuple(found)


def _normal(pem: str) -> tuple[str, ...]:
    """Return what is in PEM text, however it is spaced and whatever is written between."""
    return tuple("".join(block.split()) for block in _BLOCK.findall(pem))


async def check_new(spec: JsonObject, now: datetime) -> None:
    """Raise SwarmctlError as `check_external` for the settings of a swarm that begins."""
    if asked := await _keyless(spec, now):
        try:
            await _check_reachable(spec, asked, "", Introduction("", "", ""), "desired")
        except SwarmctlError as error:
            raise refused(UPDATING + error.problems[0].why) from None


async def check_external(spec: JsonObject, current: Root, shown: Introduction, now: datetime) -> None:
    """Raise SwarmctlError (request-refused) for a root without its key for which nobody answers.

    `current` is the root that the swarm has, and `shown` is how this node makes itself known.
    """
    swarm_settings.check(spec)
    if not current.key:
        await _check_reachable(spec, current.certificate, current.certificate, shown, "current")
    if asked := await _keyless(spec, now):
        await _check_reachable(spec, asked, current.certificate, shown, "desired")
        if not current.key and _normal(current.certificate) != _normal(asked):
            raise refused(FROM_ONE_TO_ANOTHER)


async def _keyless(spec: JsonObject, now: datetime) -> str:
    """Return the root certificate that is given without its key, "" for none. Raises SwarmctlError for an unfit one."""
    certificate = dig(spec, "CAConfig", "SigningCACert")
    if PEM_BEGINS not in str(certificate or "") or dig(spec, "CAConfig", "SigningCAKey"):
        return ""
    return (await asyncio.to_thread(given_root, str(certificate), "", now)).certificate


async def _check_reachable(spec: JsonObject, root: str, present: str, shown: Introduction, which: str) -> None:
    urls = authorities(spec, root, present)
    reasons = await asyncio.gather(*(why_unreachable(url, replace(shown, root=root)) for url in urls))
    if all(reasons):
        for url, reason in zip(urls, reasons, strict=True):
            _log.warning("The external CA %s is unreachable or invalid: %s.", url, reason)
        raise refused(NOBODY.format(which))
