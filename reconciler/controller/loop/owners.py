"""Which cluster the manifests of each source speak for: of two that speak for one, each would remove the other's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Owners:
    """The sources of one controller, by name. What is in force when it starts comes before what is new.

    Say `restored` of each source once, when what it had in force was loaded, or could not be.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._clusters: dict[str, str] = {}
        self._restored = {name: asyncio.Event() for name in sources}

    def restored(self, source: str, cluster: str | None) -> None:
        """Note what a source had in force: its `metadata.name`, None for nothing."""
        if cluster and source not in self._clusters:
            self._clusters[source] = cluster
        if source in self._restored:
            self._restored[source].set()

    async def claim(self, source: str, cluster: str | None) -> str:
        """Let a source speak for a cluster, or return which other one does; waits until all were restored."""
        for event in self._restored.values():
            await event.wait()
        other = next((name for name, one in self._clusters.items() if name != source and one == cluster), "")
        if cluster and not other:
            self._clusters[source] = cluster
        return other
