"""What the docker SDK makes of a docker configuration's credentials, its stores and helpers asked."""

from __future__ import annotations

import base64
import json
import warnings
from typing import Final

import docker.auth
import docker.errors

from reconciler.model.json import JsonObject

SENT: Final = ("username", "password", "serveraddress", "identitytoken", "registrytoken")
"""What X-Registry-Auth holds (api/types/registry.AuthConfig), in its order."""

FAULTS: Final = (docker.errors.DockerException, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What the SDK raises for a configuration that is none, and for a helper that is missing or fails."""


class RegistryLogins:
    """The logins of one configuration: of its `auths`, `credsStore` and `credHelpers`."""

    def __init__(self, parts: JsonObject) -> None:
        self._parts = parts
        self._config: docker.auth.AuthConfig | None = None

    def registry_of(self, image: str) -> str | None:
        """Return the registry of an image's name, None for what is no name."""
        try:
            registry, _ = docker.auth.resolve_repository_name(image)
        except (docker.errors.DockerException, IndexError):
            return None
        return str(registry)

    def header_for(self, registry: str) -> str | None:
        """Return X-Registry-Auth, None where nobody has logged in.

        Raises ValueError, of whose cause only the type may be told: its text may quote secrets.
        """
        try:
            with warnings.catch_warnings(action="ignore"):  # the SDK's own words on a missing helper
                if self._config is None:
                    self._config = docker.auth.AuthConfig.load_config(None, self._parts)
                found = self._config.resolve_authconfig(registry)
        except FAULTS as error:
            raise ValueError(registry) from error
        if not found:
            return None
        # The SDK writes some names in lower case and some in camel case; the engine takes any, the CLI the former.
        by_name = {name.lower(): value for name, value in found.items()}
        sent = {name: by_name[name] for name in SENT if by_name.get(name)}
        sent.setdefault("serveraddress", registry)
        return base64.urlsafe_b64encode(json.dumps(sent).encode()).decode()
