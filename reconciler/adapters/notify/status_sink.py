"""A forge as a sink: it gets the statuses of commits."""

from __future__ import annotations

from typing import Final

from reconciler.adapters.forges import ForgeClient
from reconciler.adapters.notify.outlet import NotSent, OutletLimits
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import CommitStatus, ForgeAddress

STATUS_LIMITS: Final = OutletLimits(send_s=300.0, gap_s=0.2)
"""The client tries a few times by itself, and waits as long as a forge asks it to."""


class StatusSink:
    """Posts statuses to one repository's forge. A newer one replaces what waits under the same `key`."""

    def __init__(self, address: ForgeAddress) -> None:
        self._address = address

    @staticmethod
    def key(status: CommitStatus) -> str:
        """Return what one status is told from others by."""
        return f"{status.commit}/{status.context}"

    async def send(self, status: CommitStatus) -> None:
        """Post one. Raises NotSent."""
        try:
            async with ForgeClient(self._address) as client:
                await client.put_status(status)
        except SwarmctlError as error:
            problem = error.problems[0]
            raise NotSent(f"{problem.what} {problem.why}", refused=error.code is ErrorCode.FORGE_REFUSED) from None
