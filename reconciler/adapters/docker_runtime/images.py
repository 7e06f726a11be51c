"""Gets the images of tasks. (moby daemon/cluster/executor/container/adapter.go, pullImage)"""

from __future__ import annotations

import asyncio
import json
import logging

from reconciler.adapters.docker_runtime.engine import NOT_FOUND, EngineRefused, NodeEngine

AUTH_HEADER = "X-Registry-Auth"

_log = logging.getLogger(__name__)


class Images:
    """The images of one engine. Tasks that want the same one at the same time share a pull."""

    def __init__(self, engine: NodeEngine) -> None:
        self._engine = engine
        self._pulls: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def get(self, image: str, auth: str) -> None:
        """Return once the image is there, as new as it can be had.

        One named by a digest is never pulled twice; another is each time, as its tag may have moved. What can't be
        pulled is taken as it is, or, where it is not there at all, refused with the engine's words (EngineRefused).
        """
        if "@" in image and await self._is_there(image):
            return
        try:
            await self._pull_shared(image, auth)
        except EngineRefused as refused:
            if await self._is_there(image):
                _log.debug("%s is not pulled: %s", image, refused.problems[0].what)
                return
            raise EngineRefused(NOT_FOUND, f"No such image: {image}") from refused

    async def _is_there(self, image: str) -> bool:
        try:
            await self._engine.get("images", image, "json")
        except EngineRefused as missing:
            if missing.status != NOT_FOUND:
                raise
            return False
        return True

    async def _pull_shared(self, image: str, auth: str) -> None:
        key = (image, auth)
        pull = self._pulls.get(key)
        if pull is None:
            pull = self._pulls[key] = asyncio.ensure_future(self._pull(image, auth))
            pull.add_done_callback(lambda ended: self._forget(key, ended))
        await asyncio.shield(pull)

    def _forget(self, key: tuple[str, str], pull: asyncio.Task[None]) -> None:
        self._pulls.pop(key, None)
        if not pull.cancelled():
            pull.exception()  # whoever waited for it may have given up

    async def _pull(self, image: str, auth: str) -> None:
        name, tag = name_and_tag(image)
        query = {"fromImage": name, "tag": tag}
        headers = {AUTH_HEADER: auth} if auth else {}
        told = await self._engine.ask("POST", "images", "create", query=query, waits=True, headers=headers)
        if (error := _error_in(told)) is not None:
            raise EngineRefused(0, error)


def _error_in(progress: bytes) -> str | None:
    """Return the error that a pull's progress ends with: its status was sent before it began."""
    for line in reversed(progress.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        return str(told["error"]) if isinstance(told, dict) and "error" in told else None
    return None


def name_and_tag(image: str) -> tuple[str, str]:
    """Return an image's repository, and its digest or tag."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, separator, tag = image.rpartition(":")
    return (head, tag) if separator and "/" not in tag else (image, "latest")
