"""What turning files into a DesiredState needs beside the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.json import JsonObject


@dataclass(frozen=True, slots=True)
class Schemas:
    """The JSON Schemas of schemas/: of swarm.yaml, and of a stack file."""

    cluster: JsonObject = field(repr=False)
    stack: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoadInputs:
    """What the surroundings say.

    `environment` is what `${NAME}` is taken from; `home` what `~` means; `base_path` the absolute path of the
    repository's root on this host, which only makes relative bind mounts absolute, as docker does.
    """

    schemas: Schemas
    environment: Mapping[str, str] = field(repr=False)
    home: str
    base_path: str
