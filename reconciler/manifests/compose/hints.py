"""What to write in place of keys that other tools know and Swarm does not."""

from __future__ import annotations

from typing import Final

KEY_HINTS: Final[dict[str, str]] = {
    # top level of the Compose Specification
    "name": "A stack's name is given in swarm.yaml (stacks[].name) or by the file's name; remove the key.",
    "swarmctl_plan_file": "It is a saved plan: `swarmctl apply FILE --dry-run` shows it, `apply FILE` carries it out.",
    "include": "List the other file as a stack of its own in swarm.yaml.",
    # services
    "profiles": "Swarm has no profiles: put the service into a stack file of its own.",
    "platform": "Use deploy.placement.constraints: [node.platform.arch==x86_64].",
    "pull_policy": "Swarm pulls an image when a node lacks it; remove the key.",
    "cpus": "Use deploy.resources.limits.cpus.",
    "cpu_count": "Use deploy.resources.limits.cpus.",
    "cpu_percent": "Use deploy.resources.limits.cpus.",
    "mem_reservation": "Use deploy.resources.reservations.memory.",
    "mem_swappiness": "Swarm has no such option; remove the key.",
    "pids_limit": "Use deploy.resources.limits.pids.",
    "scale": "Use deploy.replicas.",
    "replicas": "Use deploy.replicas.",
    "runtime": "Swarm uses each node's default runtime: set it in the node's daemon.json.",
    "gpus": "Use deploy.resources.reservations.generic_resources.",
    "devices": "Swarm cannot hand devices to tasks; for GPUs use generic_resources.",
    "group_add": "Swarm has no such option; set the group in `user`.",
    "develop": "It belongs to docker compose; remove the key.",
    "attach": "It belongs to docker compose; remove the key.",
    "post_start": "It belongs to docker compose; remove the key.",
    "pre_stop": "It belongs to docker compose; remove the key.",
    "annotations": "Use labels.",
    "placement": "Write it under `deploy`.",
    "resources": "Write it under `deploy`.",
    "restart_policy": "Write it under `deploy`.",
    "update_config": "Write it under `deploy`.",
    "constraints": "Write it under deploy.placement.",
    # what only we understand
    "prune": "Write `x-swarmctl: {prune: false}` in a service, network, secret or config; volumes are never removed.",
    "rollback": "Write `x-swarmctl: {rollback: stack}` at the top of the file.",
    "dependsOn": "Between services it is `depends_on`; between stacks `dependsOn` in swarm.yaml.",
    # definitions
    "enable_ipv6": "Swarm's overlay networks have no such option; remove the key.",
    "gateway": "A stack file knows `subnet` only; declare the network in swarm.yaml to set a gateway.",
    "content": "Put the content into a file and name it in `file`.",
    "environment": "Swarm takes the content from a file: use `file`.",
}
