"""Which cluster the manifests of each source speak for: of two that speak for one, each would remove the other's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from reconciler.model.desired import DesiredState
from reconciler.model.objects import Kind


class Owners:
    """The sources of one controller, by name. What is in force when it starts comes before what is new.

    Say `restored` of each source once, when what it had in force was loaded, or could not be.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._clusters: dict[str, str] = {}
        self._declared: dict[str, frozenset[tuple[Kind, str]]] = {}
        self._pruned: dict[str, frozenset[tuple[Kind, str]]] = {}
        """What each one would remove, were it declared no more."""
        self._leaving: dict[str, frozenset[tuple[Kind, str]]] = {}
        """What each one has declared before, and removes or has removed."""
        self._restored = {name: asyncio.Event() for name in sources}

    def restored(self, source: str, desired: DesiredState | None) -> None:
        """Note what a source had in force, None for nothing."""
        if desired is not None and desired.cluster and source not in self._clusters:
            self._note(source, desired)
        if source in self._restored:
            self._restored[source].set()

    async def claim(self, source: str, desired: DesiredState) -> str:
        """Let a source speak for its `metadata.name`, or return which other one does; waits until all were restored."""
        for event in self._restored.values():
            await event.wait()
        cluster = desired.cluster
        other = next((name for name, one in self._clusters.items() if name != source and one == cluster), "")
        if cluster and not other:
            self._note(source, desired)
        return other

    def elsewhere(self, source: str) -> Mapping[tuple[Kind, str], str]:
        """Return what the other sources declare or are to remove: {(kind, name): the `metadata.name` of theirs}.

        Whoever took over what another one is just removing would lose it: an engine removes whatever has the id.
        """
        others = [name for name in self._declared if name != source]
        leaving = {named: self._clusters[name] for name in others for named in self._leaving[name]}
        return leaving | {named: self._clusters[name] for name in others for named in self._declared[name]}

    def _note(self, source: str, desired: DesiredState) -> None:
        assert desired.cluster
        self._clusters[source] = desired.cluster
        declared = frozenset((one.kind, one.name) for one in desired.objects)
        before = self._pruned.get(source, frozenset()) | self._leaving.get(source, frozenset())
        self._leaving[source] = before - declared if desired.policy.prune else frozenset()
        self._pruned[source] = frozenset((one.kind, one.name) for one in desired.objects if one.prune)
        self._declared[source] = declared
