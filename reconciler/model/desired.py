"""What one Revision asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from reconciler.model.errors import Place, Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.policies import DriftMode, Policies


@dataclass(frozen=True, slots=True)
class DesiredObject:
    """A network, secret, config or service that must exist, as the body of its create request.

    `name` is the full name in the cluster (`web_api`); `stack` is None for what belongs to none.
    `spec` refers to other objects by name: `Networks[].Target` is a network name, `Secrets[]` and `Configs[]`
    have no ids yet, as a `docker stack deploy` has it before it looks them up. A secret's or config's `Data`
    is base64, and is left out of every repr. `needs` are full names of services of the same stack that must have
    converged before this one is touched (`depends_on`). `prune` False keeps it when nothing declares it any more.
    `where` finds the line of one field by its path in `spec`, None for a field that no line asks for.
    """

    kind: Kind
    name: str
    stack: str | None
    spec: JsonObject = field(repr=False)
    place: Place
    needs: tuple[str, ...] = ()
    prune: bool = True
    where: Callable[[str], Place | None] | None = field(default=None, repr=False, compare=False)

    def place_of(self, path: str) -> Place:
        """Return the line that asks for the field at `path` (as Change.path has it), or the object's own place."""
        found = self.where(path) if self.where is not None else None
        return found or self.place


class ExternalReference(msgspec.Struct, frozen=True):
    """An object that a stack uses and does not declare; it must exist before the stack is applied.

    `stack` is None for what services outside stacks use.
    """

    kind: Kind
    name: str
    stack: str | None
    place: Place


class DesiredNode(msgspec.Struct, frozen=True):
    """A node that swarm.yaml lists. `selector` is a hostname, or an id when `by_id`. None means: not ours to say.

    `absent` asks for its removal from the swarm (`state: absent`); then nothing else is said of it. `field_places` has
    the place of each field that is asked for, keyed by its path in the node's spec (`Role`, `Labels["disk"]`).
    """

    selector: str
    by_id: bool
    role: NodeRole | None
    availability: str | None
    labels: Mapping[str, str] | None
    place: Place
    absent: bool = False
    field_places: Mapping[str, Place] = msgspec.field(default_factory=dict)

    def place_of(self, path: str) -> Place:
        """Return the line that asks for the field at `path` (as Change.path has it), or the node's own place."""
        return self.field_places.get(path, self.place)


class TokenPolicy(msgspec.Struct, frozen=True):
    """How often join tokens are renewed, in seconds, and the lines that say so; None means never by itself."""

    worker_every_s: float | None = None
    manager_every_s: float | None = None
    worker_place: Place | None = None
    manager_place: Place | None = None


class Policy(msgspec.Struct, frozen=True):
    """What the controller may do by itself."""

    drift: DriftMode = DriftMode.HEAL
    prune: bool = False
    """Remove what this repository created and no longer declares. Off unless asked for: a deletion is no default."""
    max_delete_percent: int = 50
    """Of the owned objects, how many one plan may remove. More than that is blocked as a likely mistake."""
    keep_versions: int = 2
    """Former versions of a secret or config that stay though nothing refers to them any more."""


class Stack(msgspec.Struct, frozen=True):
    """A stack that the repository declares. `path` is its first file; `depends_on` are stack names.

    `overrides` are its further files, merged over the first from left to right. `depends_on_places` says where
    each of `depends_on` is written, as far as known.
    """

    name: str
    path: str
    depends_on: tuple[str, ...]
    place: Place
    overrides: tuple[str, ...] = ()
    depends_on_places: tuple[Place, ...] = ()
    atomic: bool = False
    """`rollback: stack`: when one of its services fails, all go back to what they were."""

    def place_of_need(self, name: str) -> Place:
        """Return where the stack says that it depends on `name`, or where the stack itself is declared."""
        return dict(zip(self.depends_on, self.depends_on_places, strict=False)).get(name, self.place)


class DesiredState(msgspec.Struct, frozen=True):
    """Everything that one Revision asks for, each with the file and line it came from.

    `cluster` is metadata.name, "" when a lone stack file was loaded: then nodes, settings and other stacks
    are nobody's business. `settings` is a partial ClusterSpec, only the fields that swarm.yaml gives
    ({"Orchestration": {"TaskHistoryRetentionLimit": 5}}); `settings_places` has the place of each, keyed by
    its dotted path. `stacks` are in the order of the file.
    """

    cluster: str
    revision: str
    commit: str | None
    stacks: tuple[Stack, ...] = ()
    objects: tuple[DesiredObject, ...] = ()
    externals: tuple[ExternalReference, ...] = ()
    nodes: tuple[DesiredNode, ...] = ()
    settings: JsonObject = msgspec.field(default_factory=dict)
    settings_places: Mapping[str, Place] = msgspec.field(default_factory=dict)
    join_tokens: TokenPolicy = TokenPolicy()
    policy: Policy = Policy()
    policies: Policies = msgspec.field(default_factory=Policies)
    """What the controller may do by itself, in full; a plan looks at `policy`, and at the rest where it moves."""
    policy_places: Mapping[str, Place] = msgspec.field(default_factory=dict)
    """Where swarm.yaml gives each key of its policy ("prune")."""
    warnings: tuple[Problem, ...] = ()

    def of_kind(self, kind: Kind) -> tuple[DesiredObject, ...]:
        """Return the objects of one kind, in the order declared."""
        return tuple(wanted for wanted in self.objects if wanted.kind is kind)
