"""Credentials of registries, from the docker configuration: config.json, credential stores and helpers.

Finding and asking them is the SDK's work (docker.auth); what goes to the engine is what the docker CLI sends. Nothing
of it is ever logged, shown or kept on disk.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject

if TYPE_CHECKING:
    from reconciler.adapters.registry_logins import RegistryLogins

CONFIG_FILE: Final = "config.json"
PARTS: Final = ("auths", "credsStore", "credHelpers")
"""What config.json says of credentials."""

KEPT_S: Final = 300.0
"""Seconds for which what was read and what helpers said is taken for right, also that there is no login.

A controller runs for months: people log in anew meanwhile, and the tokens that helpers of clouds give last for hours.
"""


class RegistryCredentials:
    """Makes X-Registry-Auth headers. Reads lazily, and asks for each registry once in KEPT_S.

    `tell` takes a warning for whatever can't be read: then the registry is asked without credentials, as the docker
    CLI does it. Where the configuration knows no credentials at all, the SDK is not even imported.
    """

    def __init__(
        self, config_dir: str, tell: Callable[[Problem], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = Path(config_dir) / CONFIG_FILE
        self._tell = tell
        self._now_s = now_s
        self._one_at_a_time = threading.Lock()
        self._read_s: float | None = None
        self._logins: RegistryLogins | None = None
        self._headers: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"RegistryCredentials({str(self._file)!r})"

    async def auth_for(self, image: str) -> str | None:
        """Return what header_for does, beside the event loop: a helper may take seconds, and ask a network."""
        return await asyncio.to_thread(self.header_for, image)

    def header_for(self, image: str) -> str | None:
        """Return the header for the registry of `image`, or None where nobody has logged in. Any thread may ask."""
        with self._one_at_a_time:
            return self._known_or_asked(image)

    def _known_or_asked(self, image: str) -> str | None:
        now_s = self._now_s()
        if self._read_s is None or now_s - self._read_s >= KEPT_S:
            self._logins, self._read_s = self._all(), now_s
            self._headers.clear()
        registry = self._logins.registry_of(image) if self._logins else None
        if self._logins is None or registry is None:  # no image: the engine will say so
            return None
        if registry not in self._headers:
            self._headers[registry] = self._header(self._logins, registry)
        return self._headers[registry]

    def _all(self) -> RegistryLogins | None:
        parts = self._read()
        if not parts:  # the SDK would look in the home folder instead
            return None
        from reconciler.adapters.registry_logins import RegistryLogins  # noqa: PLC0415 - it imports the SDK

        return RegistryLogins(parts)

    def _header(self, logins: RegistryLogins, registry: str) -> str | None:
        try:
            return logins.header_for(registry)
        except ValueError as error:
            self._tell(_unreadable(f"The credentials of registry {registry} could not be read.", error))
            return None

    def _read(self) -> JsonObject:
        """Return the parts of config.json that are about credentials; nothing where there is no such file."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self._tell(_unreadable(f"{self._file} could not be read.", error))
            return {}
        return {part: content[part] for part in PARTS if content.get(part)} if isinstance(content, dict) else {}


def _unreadable(what: str, error: BaseException) -> Problem:
    # Only what kind of error: its text may quote the file, or what a helper printed.
    return Problem(
        ErrorCode.BAD_SETTING,
        what,
        why=f"{type(error.__cause__ or error).__name__}.",
        hint="Look at the docker configuration, and whether its credential helper is installed; `docker login` anew.",
        severity=Severity.WARNING,
    )
