"""The labels by which Swarm tools, and we, recognise objects.

All of ours sit on the service, network, secret, config, node or swarm, never on a container: a change of a service's
own label restarts no task (swarmkit's "dirty" test looks at the task template and the endpoint only).
"""

from __future__ import annotations

STACK_NAMESPACE = "com.docker.stack.namespace"
"""The stack an object belongs to. `docker stack deploy` sets it, and so do we."""

STACK_IMAGE = "com.docker.stack.image"
"""The image as the stack file writes it, before a registry pinned a digest to it."""

OWNER = "io.swarmctl.owner"
"""The cluster name (metadata.name) whose repository last wrote the object. What lacks it is never pruned."""

LOGICAL_NAME = "io.swarmctl.name"
"""On a secret or config with a hashed name: the name the stack file gives it."""

CONTENT = "io.swarmctl.content"
"""On a secret: a short, slow, salted hash of its content, which Swarm never gives back."""

APPLIED = "io.swarmctl.applied"
"""On a service or network: what we last asked it to be, packed (planning/inventory.py)."""

COMMIT = "io.swarmctl.commit"
"""The commit that the object was last written for."""

PRUNE = "io.swarmctl.prune"
""""false" on what must stay when nothing declares it any more (`x-swarmctl: {prune: false}`)."""

INVENTORY = "io.swarmctl.inventory"
"""On the swarm itself, followed by a dot and the owner's name: which objects that repository has created, packed."""

TOPOLOGY = "io.swarmctl.topology"
"""On the swarm itself, followed by a dot and the owner's name: what that repository last asked of nodes and settings,
packed (planning/topology_record.py)."""

UNDO = "io.swarmctl.undo"
"""On the swarm itself, followed by the owner's name and an atomic stack's: what its services were before an apply that
has not ended yet, packed (controller/transactions.py)."""

TOKEN_ROTATED = "io.swarmctl.token-rotated"
"""On the swarm itself, followed by a dot and the role: when we last renewed that join token, in RFC 3339."""

AVAILABILITY = "io.swarmctl.availability"
"""On a node that we drained to demote it, where no manifest says it: the availability that it goes back to."""

OURS = frozenset({OWNER, LOGICAL_NAME, CONTENT, APPLIED, COMMIT, PRUNE})
"""Labels that a comparison ignores: a `docker stack deploy` of the same file drops them, which is no drift."""
