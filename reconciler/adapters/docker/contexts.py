"""Docker contexts, read from the docker configuration's folder.

The SDK's own reader is not used: it looks at DOCKER_CONFIG and the home folder by itself, and so would not honour
the folder that the settings name.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files for one endpoint; None where there is none. Without `verify` any server is believed.

    `ca` None with `verify` means the system's authorities.
    """

    verify: bool
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Context(msgspec.Struct, frozen=True):
    """A named endpoint. `tls` is None when the context neither has TLS files nor skips verification."""

    name: str
    host: str
    tls: TlsFiles | None


def tls_files(folder: Path, *, verify: bool) -> TlsFiles:
    """Return what `folder` has of ca.pem, cert.pem and key.pem, the names that the docker CLI uses."""

    def known(name: str) -> str | None:
        return str(folder / name) if (folder / name).is_file() else None

    return TlsFiles(verify, known("ca.pem"), known("cert.pem"), known("key.pem"))


def names(config_dir: Path) -> tuple[str, ...]:
    """Return the names of all contexts of `config_dir`, sorted, with the built-in one."""
    metas = (_read(path) for path in (config_dir / "contexts" / "meta").glob("*/meta.json"))
    return tuple(sorted({"default", *(str(meta["Name"]) for meta in metas if meta.get("Name"))}))


def load(config_dir: Path, name: str) -> Context:
    """Return the context `name`. Raises context-not-found, which lists the known ones.

    A context lives in contexts/meta/<SHA-256 of its name>/meta.json, its TLS files in
    contexts/tls/<the same>/docker/. (docker/cli cli/context/store.)
    """
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    meta = _read(config_dir / "contexts" / "meta" / digest / "meta.json")
    host = dig(meta, "Endpoints", "docker", "Host")
    if not isinstance(host, str) or not host:
        raise SwarmctlError(
            ErrorCode.CONTEXT_NOT_FOUND,
            f"There is no docker context {name!r} with a Docker endpoint.",
            why=f"Known contexts: {', '.join(names(config_dir))}.",
            hint="Choose one of them with --context or DOCKER_CONTEXT, or make one with `docker context create`.",
        )
    skips = bool(dig(meta, "Endpoints", "docker", "SkipTLSVerify"))
    found = tls_files(config_dir / "contexts" / "tls" / digest / "docker", verify=not skips)
    has_files = found.ca is not None or found.certificate is not None
    return Context(name, host, found if has_files or skips else None)


def _read(path: Path) -> JsonObject:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}
