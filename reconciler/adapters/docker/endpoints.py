"""Which engine to talk to, by the docker CLI's own precedence."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec.structs import replace

from reconciler.adapters.docker import contexts
from reconciler.adapters.docker.contexts import TlsFiles
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.settings import EndpointSettings

DEFAULT_HOST = "unix:///var/run/docker.sock"
DEFAULT_CONTEXT = "default"
PLAIN_PORT = 2375
TLS_PORT = 2376
SCHEMES = ("unix", "tcp", "http", "https", "ssh")


class Endpoint(msgspec.Struct, frozen=True):
    """An engine's address, and how to trust it. `label` is what messages call it.

    `url` is normalised: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]. `tls` is None for no TLS.
    """

    url: str
    label: str
    tls: TlsFiles | None = None

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def path(self) -> str:
        """The socket's path, for unix."""
        return self.url.removeprefix("unix://")

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)


def resolve(settings: EndpointSettings) -> Endpoint:
    """Return the engine that the docker CLI would talk to with the same settings.

    The CLI's order is: --context, --host, DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of config.json, the
    local socket. `settings` holds flags and variables already merged, so here a host wins over a context; who
    was given --context must leave the host empty. The context called "default" stands for the local socket.
    Raises context-not-found, or bad-setting for an address that makes no sense.
    (docker/cli cli/command/cli.go resolveContextName.)
    """
    if settings.host:
        return _of_host(settings, settings.host)
    folder = Path(settings.config_dir)
    name = settings.context or _current_context(folder)
    if not name or name == DEFAULT_CONTEXT:
        return _of_host(settings, DEFAULT_HOST)
    context = contexts.load(folder, name)
    endpoint = _normalised(context.host, tls=context.tls is not None)
    return replace(endpoint, label=f"{endpoint.url} (context {name})", tls=context.tls or endpoint.tls)


def _current_context(folder: Path) -> str | None:
    """Return `currentContext` of config.json; None where there is no such file, or none that can be read."""
    try:
        configuration: JsonObject = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    current = configuration.get("currentContext") if isinstance(configuration, dict) else None
    return current if isinstance(current, str) else None


def _of_host(settings: EndpointSettings, host: str) -> Endpoint:
    endpoint = _normalised(host, tls=settings.tls_verify)
    if endpoint.scheme != "tcp" or not settings.tls_verify:
        return endpoint
    folder = Path(settings.cert_path or settings.config_dir)
    return replace(endpoint, tls=contexts.tls_files(folder, verify=True))


def _normalised(host: str, *, tls: bool) -> Endpoint:
    address = host.strip()
    if "://" not in address:  # the CLI takes `HOST:PORT` for tcp
        address = f"tcp://{address}"
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise _bad_host(host, f"{scheme}:// is none of {', '.join(f'{known}://' for known in SCHEMES)}.")
    if scheme == "unix":
        path = address.partition("://")[2] or DEFAULT_HOST.removeprefix("unix://")
        url = f"unix:///{path.lstrip('/')}"
        return Endpoint(url, url)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise _bad_host(host, f"{str(error).rstrip('.')}.") from error
    if not parts.hostname:
        raise _bad_host(host, "It names no host.")
    if parts.password is not None:
        raise _bad_host("(hidden, it holds a password)", "A password has no place in an engine's address.")
    if scheme == "ssh":
        return Endpoint(address, address)
    tls = tls or scheme == "https"
    bracketed = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    url = f"tcp://{bracketed}:{port or (TLS_PORT if tls else PLAIN_PORT)}{parts.path.rstrip('/')}"
    return Endpoint(url, url, TlsFiles(verify=True) if scheme == "https" else None)


def _bad_host(host: str, why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.BAD_SETTING,
        f"{host!r} is no address of a Docker Engine.",
        why=why,
        hint="Give unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST in DOCKER_HOST or --host.",
    )
