"""What a docker configuration's credentials come to: the docker SDK reads its `auths`, its helpers are asked here."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import Any, Final

import docker.auth
import docker.errors

from reconciler.model.json import JsonObject

SENT: Final = ("username", "password", "serveraddress", "identitytoken", "registrytoken")
"""What X-Registry-Auth holds (api/types/registry.AuthConfig), in its order."""

HELPER_WAIT_S: Final = 20.0
"""Seconds that a credential helper may take: less than the look-up of an image, which begins with it."""

NOT_THERE: Final = b"credentials not found in native keychain"
"""What a helper says that knows nothing of a registry (docker/docker-credential-helpers)."""

TOKEN: Final = docker.auth.TOKEN_USERNAME
"""The user name of a login whose secret is an identity token."""

FAULTS: Final = (
    docker.errors.DockerException,
    subprocess.SubprocessError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)
"""What comes of a configuration that is none, and of a helper that is missing, fails or does not answer."""


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
            found = self._helped(registry) or self._written(registry)
        except FAULTS as error:
            raise ValueError(registry) from error
        if not found:
            return None
        # The SDK writes some names in lower case and some in camel case; the engine takes any, the CLI the former.
        by_name = {name.lower(): value for name, value in found.items()}
        sent = {name: by_name[name] for name in SENT if by_name.get(name)}
        sent.setdefault("serveraddress", registry)
        return base64.urlsafe_b64encode(json.dumps(sent).encode()).decode()

    def _helped(self, registry: str) -> JsonObject | None:
        """Return what the registry's helper, or the store of all, says; None without either, or when it knows none."""
        address = docker.auth.INDEX_URL if registry == docker.auth.INDEX_NAME else registry
        name = (self._parts.get("credHelpers") or {}).get(address) or self._parts.get("credsStore")
        return _asked(f"docker-credential-{name}", address) if name else None

    def _written(self, registry: str) -> JsonObject | None:
        """Return what the configuration itself says."""
        if self._config is None:
            auths = docker.auth.AuthConfig.parse_auth(self._parts.get("auths") or {}, raise_on_error=True)
            self._config = docker.auth.AuthConfig({"auths": auths})
        found: JsonObject | None = self._config.resolve_authconfig(registry)
        return found


def _asked(helper: str, address: str) -> JsonObject | None:
    """Return what a credential helper has for a registry, None for nothing. It is ended when it takes too long.

    Raises one of FAULTS.
    """
    program = shutil.which(helper)
    if program is None:
        raise FileNotFoundError(helper)
    finished = subprocess.run(
        [program, "get"], input=address.encode(), stdout=subprocess.PIPE, timeout=HELPER_WAIT_S, check=False
    )
    if NOT_THERE in finished.stdout and finished.returncode:
        return None
    finished.check_returncode()
    answer: dict[str, Any] = json.loads(finished.stdout)
    user, secret = answer["Username"], answer["Secret"]
    if not user and not secret:  # docker-credential-pass says that of what it does not know
        return None
    login = {"identitytoken": secret} if user == TOKEN else {"username": user, "password": secret}
    return {**login, "serveraddress": address}
