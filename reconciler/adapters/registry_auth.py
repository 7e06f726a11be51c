"""Credentials of registries, from the docker configuration: config.json, credential stores and helpers.

Finding and asking them is the SDK's work (docker.auth); what goes to the engine is what the docker CLI sends. Nothing
of it is ever logged, shown or kept on disk.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import docker.auth
import docker.errors

from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject

CONFIG_FILE: Final = "config.json"
SENT: Final = ("username", "password", "serveraddress", "identitytoken", "registrytoken")
"""What X-Registry-Auth holds (api/types/registry.AuthConfig), in its order."""

FAULTS: Final = (docker.errors.DockerException, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What the SDK raises for a configuration that is none, and for a helper that is missing or fails."""


class RegistryCredentials:
    """Makes X-Registry-Auth headers. Reads lazily, asks for each registry once, and then remembers.

    `tell` takes a warning for whatever can't be read: then the registry is asked without credentials, as the docker
    CLI does it.
    """

    def __init__(self, config_dir: str, tell: Callable[[Problem], None]) -> None:
        self._file = Path(config_dir) / CONFIG_FILE
        self._tell = tell
        self._config: docker.auth.AuthConfig | None = None
        self._headers: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"RegistryCredentials({str(self._file)!r})"

    def header_for(self, image: str) -> str | None:
        """Return the header for the registry of `image`, or None where nobody has logged in."""
        try:
            registry, _ = docker.auth.resolve_repository_name(image)
        except (docker.errors.DockerException, IndexError):
            return None  # no image: the engine will say so
        if registry not in self._headers:
            self._headers[registry] = self._header(registry)
        return self._headers[registry]

    def _header(self, registry: str) -> str | None:
        try:
            with warnings.catch_warnings(action="ignore"):  # the SDK's own words on a missing helper; ours come below
                found = self._configuration().resolve_authconfig(registry)
        except FAULTS as error:
            self._tell(_unreadable(f"The credentials of registry {registry} could not be read.", error))
            return None
        if not found:
            return None
        # The SDK writes some names in lower case and some in camel case; the engine takes any, the CLI the former.
        by_name = {name.lower(): value for name, value in found.items()}
        sent = {name: by_name[name] for name in SENT if by_name.get(name)}
        sent.setdefault("serveraddress", registry)
        return base64.urlsafe_b64encode(json.dumps(sent).encode()).decode()

    def _configuration(self) -> docker.auth.AuthConfig:
        if self._config is None:
            # An empty one is not given to the SDK: it would look in the home folder instead.
            read = self._read()
            self._config = docker.auth.AuthConfig.load_config(None, read) if read else docker.auth.AuthConfig({})
        return self._config

    def _read(self) -> JsonObject:
        """Return the parts of config.json that are about credentials; nothing where there is no such file."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self._tell(_unreadable(f"{self._file} could not be read.", error))
            return {}
        parts = ("auths", "credsStore", "credHelpers")
        return {part: content[part] for part in parts if content.get(part)} if isinstance(content, dict) else {}


def _unreadable(what: str, error: BaseException) -> Problem:
    # Only what kind of error: its text may quote the file, or what a helper printed.
    return Problem(
        ErrorCode.BAD_SETTING,
        what,
        why=f"{type(error.__cause__ or error).__name__}.",
        hint="Look at the docker configuration, and whether its credential helper is installed; `docker login` anew.",
        severity=Severity.WARNING,
    )
