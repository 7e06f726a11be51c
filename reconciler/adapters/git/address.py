"""A remote's address: which schemes may be asked, what of it may be shown, and what opens it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import Access, SourceSpec

SCHEMES: Final = ("file", "git", "http", "https", "ssh")
"""What git may speak. `ext::` and others run programs that an address names."""
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}|[0-9A-Fa-f:]{2,4}[0-9A-Fa-f:.]{0,41}")
_SCP: Final = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9_][A-Za-z0-9._-]*):(?!/{2})(.+)")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}")
CONNECT_S: Final = 15
"""Seconds for ssh to connect; other transports are ended by the limit of the whole request."""


class Address(msgspec.Struct, frozen=True):
    """A checked address. `url` is what git gets, without a password; `shown` what people see.

    `origin` is scheme, host and port of a server that asks for a name and a token, "" for others.
    """

    scheme: str
    url: str
    shown: str
    host: str
    origin: str = ""
    username: str = ""

    @property
    def local_path(self) -> str:
        """The folder of a file address, "" for others."""
        return unquote(urlsplit(self.url).path) if self.scheme == "file" else ""


def parse_address(text: str) -> Address:
    """Return the address that a user wrote: a URL, `user@host:path`, or an absolute path.

    Raises source-invalid; the text is not in the message where it may hold a password.
    """
    if not text or len(text) > 2048 or any(not char.isprintable() or char.isspace() for char in text):
        raise _invalid("It is empty, too long, or has blanks in it.")
    if text.startswith("/"):
        return Address("file", f"file://{text}", text, "")
    if "://" not in text and (written := _SCP.fullmatch(text)):
        user, host, path = written.groups()
        login = f"{user}@" if user else ""
        return Address("ssh", f"ssh://{login}{host}/{path.removeprefix('/')}", text, host, "", user or "")
    try:
        parts = urlsplit(text)
        port, password, user = parts.port, parts.password, unquote(parts.username or "")
    except ValueError as error:
        raise _invalid("It is no URL.") from error
    if parts.scheme not in SCHEMES:
        raise _invalid(f"Only {', '.join(SCHEMES)} are spoken.")
    if password:
        raise _invalid("There is a password in it, which would be seen wherever the address is.", secret=True)
    if parts.query or parts.fragment:
        raise _invalid("It has a query or a fragment, which Git servers don't take.")
    return _address(parts.scheme, parts.hostname or "", port, user, parts.path)


def _address(scheme: str, host: str, port: int | None, user: str, path: str) -> Address:
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _invalid("A file address names no host.")
        return Address(scheme, f"file://{path}", f"file://{path}", "")
    if not _HOST.fullmatch(host):
        raise _invalid("It names no host.")
    if user and not _USER.fullmatch(user):
        raise _invalid("Its user name has characters that no user name has.")
    at = f"[{host}]" if ":" in host else host
    at = at if port is None else f"{at}:{port}"
    if scheme in ("http", "https"):
        # The name goes the way of the token: git would ask for a password of just this user otherwise.
        url = urlunsplit((scheme, at, path, "", ""))
        return Address(scheme, url, url, host, f"{scheme}://{at}", user)
    url = urlunsplit((scheme, f"{user}@{at}" if user and scheme == "ssh" else at, path, "", ""))
    return Address(scheme, url, url, host, "", user)


def _invalid(why: str, *, secret: bool = False) -> SwarmctlError:
    hint = "Give https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or an absolute path."
    if secret:
        hint = "Leave it out, and give the token apart from the address."
    return SwarmctlError(ErrorCode.SOURCE_INVALID, "The repository's address can't be used.", why=why, hint=hint)


def talking(address: Address, access: Access) -> dict[str, str]:
    """Return the environment in which git may talk to this remote, secrets included.

    Raises source-invalid for ssh without known hosts, or a token that would be more than one line.
    """
    variables = {"GIT_ALLOW_PROTOCOL": address.scheme, "GIT_PROTOCOL": "version=2"}
    if address.origin:
        if any(char in access.token + access.username for char in "\r\n\0"):
            raise _invalid("Its token has more than one line.")
        variables["SWARMCTL_GIT_USERNAME"] = access.username or address.username or "git"
        variables["SWARMCTL_GIT_PASSWORD"] = access.token
        if access.ca_file:
            variables["GIT_SSL_CAINFO"] = access.ca_file
    if address.scheme == "ssh":
        variables |= {"GIT_SSH_COMMAND": _ssh(access), "GIT_SSH_VARIANT": "ssh"}
    return variables


def _ssh(access: Access) -> str:
    if not access.known_hosts:
        raise SwarmctlError(
            ErrorCode.SOURCE_INVALID,
            "A source over ssh needs a known_hosts file.",
            why="Without one, whoever answers would be taken for the Git server.",
            hint="Make one with `ssh-keyscan HOST`, and compare its fingerprints with those that the server publishes.",
        )
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(access.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        "ControlMaster": "no",
        "ControlPath": "none",
        "PermitLocalCommand": "no",
    }
    line = ["ssh", "-F", "/dev/null", "-a", "-x", "-T"]
    if access.ssh_key:
        line += ["-i", access.ssh_key]
    else:
        options["IdentityFile"] = "none"
    for name, value in options.items():
        line += ["-o", f"{name}={value}"]
    return shlex.join(line)


def _quoted(path: str) -> str:
    """Return a path as one word of an ssh option, whose `%` would be expanded."""
    return '"' + path.replace("%", "%%").replace('"', "") + '"'


_GIVES_TOKEN: Final = (
    '!f() { test \\"$1\\" = get && test -n \\"$SWARMCTL_GIT_PASSWORD\\" && '
    "printf 'username=%s\\\\npassword=%s\\\\n' "
    '\\"$SWARMCTL_GIT_USERNAME\\" \\"$SWARMCTL_GIT_PASSWORD\\"; }; f'
)


def configuration_for(address: Address) -> str:
    """Return what git's configuration says of this remote alone.

    The token is given to this scheme, host and port, and to no server that a redirect leads to; it stands in the
    environment, and in no file. Another user's repository on this machine is read only when it is the one meant.
    """
    if address.origin:
        return f'[credential "{address.origin}"]\n\thelper = "{_GIVES_TOKEN}"\n'
    if address.scheme != "file":
        return ""
    path = Path(address.local_path)
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        real = path
    places = dict.fromkeys(str(place) for top in (path, real) for place in (top, top / ".git"))
    return "[safe]\n" + "".join(f'\tdirectory = "{_escaped(place)}"\n' for place in places)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def source_key(spec: SourceSpec) -> str:
    """Return the part of a spec that a clone is made for: its name and its address, never a secret."""
    return f"{spec.name}\n{parse_address(spec.url).url}"
