"""The file of `swarmctl run`: what to follow, what to write to, whom to tell. Parsed once into frozen values.

Secrets are in files of their own, which are named here and read once, at the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from reconciler.gitops.webhooks import Forge, Receiver
from reconciler.manifests.document import Document, further_document, read_document
from reconciler.manifests.problems import KeyPath, ProblemList, shown
from reconciler.manifests.quantities import BadQuantity, period_ns, size_bytes
from reconciler.manifests.schema_check import SchemaCheck
from reconciler.model.alerts import AlertKind
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, Place, Problem, Severity, SwarmctlError
from reconciler.model.forges import ForgeAddress, ForgeName
from reconciler.model.images import ResolveMode
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.replication import Address
from reconciler.model.sources import (
    HISTORY_DEPTH,
    Access,
    Reference,
    ReferenceKind,
    Rewrites,
    SignaturePolicy,
    Signed,
    SourceLimits,
    SourceSpec,
)
from reconciler.settings import API_TOKEN_CHARS_MAX, API_TOKEN_CHARS_MIN

KEY_HINTS: Final[dict[str, str]] = {
    "token": "Put the token into a file, and name that under `tokenFile`.",
    "secret": "Put the secret into a file, and name that under `secretFile`.",
    "branch": "Write `ref: {branch: NAME}`.",
    "peers": "Write `group: {peers: DIR, members: {…}}`.",
}
GROUP_SIZES: Final = (1, 3, 5)
_REFERENCES: Final = {
    "branch": ReferenceKind.BRANCH,
    "tag": ReferenceKind.TAG,
    "commit": ReferenceKind.COMMIT,
    "semver": ReferenceKind.SEMVER,
}

ReadSecret = Callable[[str], str]
"""Returns the text of a file that is named. Raises SwarmctlError."""
_Kind = TypeVar("_Kind")


class FollowedSource(msgspec.Struct, frozen=True):
    """One source. A work tree is a folder whose files are followed as they lie there, not a clone."""

    spec: SourceSpec
    is_work_tree: bool = False
    forge: ForgeAddress | None = None
    """Where statuses of its commits are posted, None for nowhere."""
    place: Place | None = None
    """Where the file says so."""


class GroupConfig(msgspec.Struct, frozen=True):
    """The controllers that stand by for each other. `members` are those that there should be, by name."""

    peers: str
    members: Mapping[str, Address]
    joins: bool = False
    removed: tuple[str, ...] = ()


class AlertSink(Discreet, frozen=True):
    """One chat. `url` is Apprise's and a secret; `kinds` None means all."""

    UNSHOWN = frozenset({"url"})

    name: str
    url: str
    kinds: frozenset[AlertKind] | None = None
    place: Place | None = None


class ApiToken(Discreet, frozen=True):
    """A bearer token and who has it."""

    UNSHOWN = frozenset({"secret"})

    name: str
    may_write: bool
    secret: str


class ApiConfig(msgspec.Struct, frozen=True):
    """Where the API is served. `socket` "" means controller.sock in the data folder; `host` "" means no network."""

    socket: str = ""
    host: str = ""
    port: int = 0
    certificate: str = ""
    key: str = ""
    tokens: tuple[ApiToken, ...] = ()
    open_metrics: bool = False


class ControllerConfig(msgspec.Struct, frozen=True):
    """All that the file says."""

    data_dir: str
    sources: tuple[FollowedSource, ...]
    name: str = ""
    host: str | None = None
    context: str | None = None
    with_registry_auth: bool = False
    receivers: tuple[Receiver, ...] = ()
    group: GroupConfig | None = None
    sinks: tuple[AlertSink, ...] = ()
    api: ApiConfig = ApiConfig()
    parallel: int = 8
    timeout_s: float = 300.0
    resolve: ResolveMode = ResolveMode.CHANGED
    log_json: bool = True
    log_level: str = "info"


def read_config(
    content: bytes, file: str, schema: JsonObject, read_secret: ReadSecret, folder: str = ""
) -> ControllerConfig:
    """Return what the file says, whose relative paths start from `folder`.

    Raises one SwarmctlError with all of its problems, each with its place.
    """
    problems = ProblemList()
    document = read_document(content, file, problems)
    if document is None:
        problems.raise_errors()
        raise AssertionError("a document that can't be read is a problem")
    if (further := further_document(document, Severity.ERROR)) is not None:
        problems.add(further)
    SchemaCheck(schema, KEY_HINTS).run(document, document.value, problems)
    problems.raise_errors()
    reader = _Reader(document, problems, read_secret, folder)
    made = reader.config()
    problems.raise_errors()
    return made


@dataclass(slots=True)
class _Reader:
    """A document that its schema has passed, on its way to values."""

    document: Document
    problems: ProblemList
    read_secret: ReadSecret
    folder: str

    def config(self) -> ControllerConfig:
        spec: JsonObject = self.document.value["spec"]
        at: KeyPath = ("spec",)
        cluster: JsonObject = spec.get("cluster") or {}
        apply, log = spec.get("apply") or {}, spec.get("log") or {}
        return ControllerConfig(
            data_dir=self._path(spec, "dataDir"),
            sources=self._sources(spec["sources"], (*at, "sources")),
            name=spec.get("name", ""),
            host=cluster.get("host"),
            context=cluster.get("context"),
            with_registry_auth=bool(cluster.get("withRegistryAuth")),
            receivers=tuple(
                Receiver(Forge(one["forge"]), self._secret(one, (*at, "webhooks", number), "secretFile"))
                for number, one in enumerate(spec.get("webhooks") or ())
            ),
            group=self._group(spec["group"], (*at, "group")) if spec.get("group") else None,
            sinks=self._sinks((spec.get("alerts") or {}).get("sinks") or [], (*at, "alerts", "sinks")),
            api=self._api(spec.get("api") or {}, (*at, "api")),
            parallel=apply.get("parallel", 8),
            timeout_s=self._seconds(apply, (*at, "apply"), "timeout", 300.0),
            resolve=ResolveMode(apply.get("resolveImages", "changed")),
            log_json=log.get("format", "json") == "json",
            log_level=log.get("level", "info"),
        )

    def _sources(self, given: list[JsonObject], at: KeyPath) -> tuple[FollowedSource, ...]:
        found = [self._source(one, (*at, number)) for number, one in enumerate(given)]
        names: set[str] = set()
        for number, one in enumerate(found):
            if one.spec.name in names:
                self._bad((*at, number, "name"), f"There are two sources named {one.spec.name}.", "Rename one of them.")
            names.add(one.spec.name)
        return tuple(found)

    def _source(self, given: JsonObject, at: KeyPath) -> FollowedSource:
        where = [name for name in ("url", "workTree") if given.get(name)]
        if len(where) != 1:
            hint = "Write `url` for a repository, or `workTree` for a folder of this machine."
            self._bad(at, f"Source {given['name']} has {'both' if where else 'neither'} a url and a workTree.", hint)
        tree = self._path(given, "workTree") or None
        spec = SourceSpec(
            name=given["name"],
            url=tree or given.get("url", ""),
            reference=self._reference(given.get("ref") or {}, (*at, "ref")),
            # As people write a folder: `./clusters/prod/` is clusters/prod.
            path="/".join(one for one in given.get("path", "").split("/") if one not in ("", ".")),
            access=self._access(given.get("access") or {}, (*at, "access")),
            signatures=self._signatures(given["signatures"], (*at, "signatures")) if given.get("signatures") else None,
            rewrites=Rewrites(given.get("rewrites", "follow")),
            interval_s=self._seconds(given, at, "interval", 60.0),
            depth=given.get("depth", HISTORY_DEPTH),
            limits=self._limits(given.get("limits") or {}, (*at, "limits")),
        )
        forge = self._forge(given["commitStatus"], (*at, "commitStatus")) if given.get("commitStatus") else None
        return FollowedSource(spec, tree is not None, forge, self.document.place(at))

    def _limits(self, given: JsonObject, at: KeyPath) -> SourceLimits:
        usual = SourceLimits()
        return SourceLimits(
            fetch_s=self._seconds(given, at, "time", usual.fetch_s),
            pack_bytes=self._bytes(given, at, "size", usual.pack_bytes),
            files=given.get("files", usual.files),
        )

    def _forge(self, given: JsonObject, at: KeyPath) -> ForgeAddress:
        token = self._secret(given, at, "tokenFile")
        return ForgeAddress(ForgeName(given["forge"]), given["apiUrl"], given["repository"], token)

    def _reference(self, given: JsonObject, at: KeyPath) -> Reference:
        if len(given) > 1:
            self._bad(at, "More than one thing says which commit to follow.", "Give one of them.")
        for name, kind in _REFERENCES.items():
            if name in given:
                return Reference(kind, given[name])
        return Reference()

    def _access(self, given: JsonObject, at: KeyPath) -> Access:
        return Access(
            username=given.get("username", ""),
            token=self._secret(given, at, "tokenFile"),
            ssh_key=self._readable(given, at, "sshKeyFile"),
            known_hosts=self._readable(given, at, "knownHostsFile"),
            ca_file=self._readable(given, at, "caFile"),
        )

    def _signatures(self, given: JsonObject, at: KeyPath) -> SignaturePolicy:
        keys, signers = self._secret(given, at, "gpgKeysFile"), self._secret(given, at, "allowedSignersFile")
        if not keys and not signers:
            self._bad(at, "No key is given whose signature counts.", "Name a gpgKeysFile or an allowedSignersFile.")
        return SignaturePolicy(Signed(given.get("signed", "head")), keys, signers)

    def _group(self, given: JsonObject, at: KeyPath) -> GroupConfig:
        members = {name: self._address(text, (*at, "members", name)) for name, text in given["members"].items()}
        joins = bool(given.get("joins"))
        removed = tuple(given.get("removed") or ())
        staying = members.keys() - set(removed)
        if len(staying) not in GROUP_SIZES:
            self._bad((*at, "members"), f"There are {len(staying)} controllers.", "Take 1, 3 or 5: a majority decides.")
        return GroupConfig(self._path(given, "peers"), members, joins, removed)

    def _sinks(self, given: list[JsonObject], at: KeyPath) -> tuple[AlertSink, ...]:
        found: list[AlertSink] = []
        for number, one in enumerate(given):
            if one["name"] in {other.name for other in found}:
                self._bad((*at, number, "name"), f"There are two sinks named {one['name']}.", "Rename one of them.")
            kinds = [
                self._kind(kind, (*at, number, "kinds", place)) for place, kind in enumerate(one.get("kinds") or ())
            ]
            url = self._secret(one, (*at, number), "urlFile")
            of_kinds = frozenset(kind for kind in kinds if kind) if kinds else None
            found.append(AlertSink(one["name"], url, of_kinds, self.document.place((*at, number))))
        return tuple(found)

    def _kind(self, text: str, at: KeyPath) -> AlertKind | None:
        try:
            return AlertKind(text)
        except ValueError:
            self._bad(
                at, f"No alert is of the kind {shown(text)}.", f"Take of {', '.join(kind for kind in AlertKind)}."
            )
            return None

    def _api(self, given: JsonObject, at: KeyPath) -> ApiConfig:
        address = self._address(given["listen"], (*at, "listen")) if given.get("listen") else None
        tokens = tuple(
            ApiToken(one["name"], one["role"] == "write", self._token(one, (*at, "tokens", number)))
            for number, one in enumerate(given.get("tokens") or ())
        )
        if address is not None and not (given.get("certificateFile") and given.get("keyFile")):
            self._bad(
                (*at, "listen"), "The API listens on the network without TLS.", "Give certificateFile and keyFile."
            )
        return ApiConfig(
            socket=self._path(given, "socket"),
            host=address.host if address else "",
            port=address.port if address else 0,
            certificate=self._readable(given, at, "certificateFile"),
            key=self._readable(given, at, "keyFile"),
            tokens=tokens,
            open_metrics=bool(given.get("openMetrics")),
        )

    def _token(self, given: JsonObject, at: KeyPath) -> str:
        token = self._secret(given, at, "tokenFile")
        if token and not API_TOKEN_CHARS_MIN <= len(token) <= API_TOKEN_CHARS_MAX:
            what = f"The token of {given['name']} has {len(token)} characters."
            hint = f"Take {API_TOKEN_CHARS_MIN} to {API_TOKEN_CHARS_MAX}: `openssl rand -hex 32` makes a good one."
            self._bad((*at, "tokenFile"), what, hint)
        return token

    def _address(self, text: str, at: KeyPath) -> Address:
        address = Address.read(text)
        if address is None:
            self._bad(at, f"{shown(text)} is not HOST:PORT.", "For example 10.0.0.1:7946, or [fd00::1]:7946.")
            return Address("", 0)
        return address

    def _seconds(self, given: JsonObject, at: KeyPath, key: str, default: float) -> float:
        text: JsonValue = given.get(key)
        if text is None:
            return default
        try:
            seconds = period_ns(str(text)) / 1e9
        except BadQuantity:
            seconds = 0.0
        if seconds <= 0:
            self._bad((*at, key), f"{shown(text)} is no duration.", "Write one such as 30s, 5m or 1h30m.")
            return default
        return seconds

    def _bytes(self, given: JsonObject, at: KeyPath, key: str, default: int) -> int:
        if key not in given:
            return default
        try:
            found = size_bytes(given[key])
        except BadQuantity:
            found = 0
        if found <= 0:
            self._bad((*at, key), f"{shown(given[key])} is no size.", "Write one such as 64MiB or 1GiB.")
            return default
        return found

    def _secret(self, given: JsonObject, at: KeyPath, key: str) -> str:
        """Return the text of the file that `key` names, "" where it names none."""
        if key not in given:
            return ""
        try:
            secret = self.read_secret(self._path(given, key)).strip()
        except SwarmctlError as error:
            self.problems.add_error(error, self.document.place((*at, key)))
            return ""
        if not secret:
            self._bad((*at, key), f"{given[key]} is empty.", "Put the secret into it, or leave the key out.")
        return secret

    def _readable(self, given: JsonObject, at: KeyPath, key: str) -> str:
        """Return the path of a file that others will read, "" where none is named; one that can't be read is told."""
        path = self._path(given, key)
        if path:
            try:
                self.read_secret(path)
            except SwarmctlError as error:
                self.problems.add_error(error, self.document.place((*at, key)))
        return path

    def _path(self, given: JsonObject, key: str) -> str:
        """Return the path that `key` names, "" where it names none. Git and others run in folders of their own."""
        return os.path.join(self.folder, given[key]) if given.get(key) else ""

    def _bad(self, at: KeyPath, what: str, hint: str) -> None:
        self.problems.add(Problem(ErrorCode.INVALID_VALUE, what, hint=hint, place=self.document.place(at)))
