"""What turning files into a DesiredState needs beside the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from reconciler.manifests.schema_fast import Check, fast_check
from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject


@dataclass(frozen=True, slots=True)
class Schemas:
    """The JSON Schemas of schemas/: of swarm.yaml, and of a stack file."""

    cluster: JsonObject = field(repr=False)
    stack: JsonObject = field(repr=False)
    _stack_checks: dict[int, Check] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[Schemas], tuple[JsonObject, JsonObject]]:
        # The checks are closures, which no pickle takes; a copy makes its own.
        return Schemas, (self.cluster, self.stack)

    def stack_check(self, minor: int) -> Check:
        """Return the quick check of stack files of one version, made when it is first asked for."""
        if minor not in self._stack_checks:
            self._stack_checks[minor] = fast_check(self.stack, minor)
        return self._stack_checks[minor]


def only_utc(name: str) -> tzinfo | None:
    """Return the zone of that name where nobody has a list of zones: UTC only."""
    return UTC if name == "UTC" else None


class LoadInputs(Discreet, frozen=True):
    """What the surroundings say.

    `environment` is what `${NAME}` is taken from; `home` what `~` means; `base_path` the absolute path of the
    repository's root on this host, which only makes relative bind mounts absolute, as docker does. `zone_of` returns
    the time zone of a name such as "Europe/Berlin", None for one that it doesn't know.
    """

    UNSHOWN = frozenset({"environment"})

    schemas: Schemas
    environment: Mapping[str, str]
    home: str
    base_path: str
    zone_of: Callable[[str], tzinfo | None] = only_utc
