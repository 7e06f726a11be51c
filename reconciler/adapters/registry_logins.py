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
        """Return what the configuration itself says. What is wrong with an entry is no matter for other registries."""
        entries: JsonObject = dict(self._parts.get("auths") or {})
        same = [name for name in entries if docker.auth.resolve_index_name(name) == registry]
        if not same:
            return None
        name = registry if registry in same else same[0]  # its very name goes before a URL of the same host
        parsed: JsonObject = docker.auth.AuthConfig.parse_auth({name: _plain(entries[name])}, raise_on_error=True)
        return parsed[name]  # type: ignore[no-any-return]


def _plain(entry: JsonObject) -> JsonObject:
    """Return an entry of `auths` as the SDK reads it: what is empty is not there, and a plain login is in `auth`.

    The docker CLI takes those forms, too; kubectl and other programs write them.
    """
    given = {key: value for key, value in entry.items() if value}
    if "auth" in given or not given.get("username"):
        return given
    login = f"{given['username']}:{given.get('password', '')}"
    return {**given, "auth": base64.b64encode(login.encode()).decode()}


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
