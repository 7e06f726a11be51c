"""The JSON Schemas that this package brings along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from reconciler.manifests.inputs import Schemas
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject

CLUSTER_SCHEMA: Final = "cluster.schema.json"
STACK_SCHEMA: Final = "stack.schema.json"
PLAN_SCHEMA: Final = "plan.schema.json"
CONTROLLER_SCHEMA: Final = "controller.schema.json"

_FOLDERS: Final = (
    Path(__file__).parents[1] / "schemas",  # in an installed wheel
    Path(__file__).parents[2] / "schemas",  # in a checkout
)


def read_schemas() -> Schemas:
    """Return the schemas of swarm.yaml and of stack files. Raises SwarmctlError (internal) when they are gone."""
    return Schemas(cluster=_schema(CLUSTER_SCHEMA), stack=_schema(STACK_SCHEMA))


def plan_schema() -> JsonObject:
    """Return the schema of a plan as `diff --format json` prints it."""
    return _schema(PLAN_SCHEMA)


def controller_schema() -> JsonObject:
    """Return the schema of the file of `swarmctl run`."""
    return _schema(CONTROLLER_SCHEMA)


def schema_text(name: str) -> str:
    """Return the text of one schema, for printing."""
    for folder in _FOLDERS:
        path = folder / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise SwarmctlError(
        ErrorCode.INTERNAL,
        f"The schema {name} is missing.",
        why="It belongs to the installation.",
        hint="Install swarm-reconciler anew.",
    )


def _schema(name: str) -> JsonObject:
    schema: JsonObject = json.loads(schema_text(name))
    return schema
