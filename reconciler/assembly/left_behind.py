"""Containers of a swarm that the node has left, while their engine was away: removed as soon as it answers."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from reconciler.assembly.folder import put_file
from reconciler.assembly.manager import end_containers

LEFT_FILE = "left-nodes.json"
"""Ids of the nodes that this daemon was, and whose containers may be there still."""

AGAIN_S = 5.0
"""Seconds until an engine is asked again."""

_log = logging.getLogger(__name__)


class LeftBehind:
    """What a daemon has left on its engine. Without an engine there is nothing."""

    def __init__(self, folder: Path, engine_host: str | None) -> None:
        self._path = folder / LEFT_FILE
        self._engine_host = engine_host
        self._ending: asyncio.Task[None] | None = None

    async def note(self, node_id: str) -> None:
        """Remember, durably, that the containers of a node are to go: before it leaves its swarm."""
        if self._engine_host is None:
            return
        try:
            await asyncio.to_thread(self._remember, {*self._known(), node_id})
        except OSError as error:  # a full disk keeps nobody in a swarm
            _log.warning("%s can't be written: %s", self._path, error.strerror)

    async def keep(self, node_id: str) -> None:
        """Forget a node that has not left after all: its daemon ended in between."""
        if node_id in await asyncio.to_thread(self._known):
            await asyncio.to_thread(self._forget, node_id)

    async def end(self) -> None:
        """Remove all that is remembered. What can't be now is tried again until `close`."""
        if not await self._end_all() and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end_later(), name="containers left behind")

    async def close(self) -> None:
        """Try no more; a successor goes on."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait({self._ending})

    async def _end_later(self) -> None:
        ended = False
        while not ended:
            await asyncio.sleep(AGAIN_S)
            ended = await self._end_all()
        self._ending = None

    async def _end_all(self) -> bool:
        if self._engine_host is None:
            return True
        for node_id in sorted(await asyncio.to_thread(self._known)):
            if not await end_containers(node_id, self._engine_host):
                return False
            await asyncio.to_thread(self._forget, node_id)
        return True

    def _known(self) -> set[str]:
        try:
            return {str(one) for one in json.loads(self._path.read_bytes())}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, TypeError) as error:
            _log.warning("%s can't be read: %s", self._path, error)
            return set()

    def _forget(self, node_id: str) -> None:
        self._remember(self._known() - {node_id})

    def _remember(self, node_ids: set[str]) -> None:
        if node_ids:
            put_file(self._path, json.dumps(sorted(node_ids)))
        else:
            self._path.unlink(missing_ok=True)
