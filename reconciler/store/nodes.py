"""Nodes: admission, roles, availability, removal."""

from __future__ import annotations

from msgspec import structs
from msgspec.structs import replace

from reconciler.model.commands import AddNode, Applied, DescribeNode, ObjectChange, RemoveNode, SetNodeState, UpdateNode
from reconciler.model.nodes import Availability, NodeRecord, NodeState
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tables import TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.store.draft import Draft
from reconciler.store.names import checked_labels
from reconciler.store.refusal import check_new, invalid, not_found, out_of_sequence

LAST_MANAGER = "attempting to demote the last manager of the swarm"


def _applied(draft: Draft, action: str, node: NodeRecord) -> Applied:
    return Applied(draft.index, node.id, (ObjectChange(Kind.NODE, action, node.id, node.hostname),))


def _present(draft: Draft, node_id: str) -> NodeRecord:
    node = draft.nodes.get(node_id)
    if node is None:
        raise not_found("node", node_id)
    return node


def _is_manager(node: NodeRecord) -> bool:
    return node.role is NodeRole.MANAGER


def add(draft: Draft, command: AddNode) -> Applied:
    check_new(draft.nodes, command.id)
    node = NodeRecord(
        id=command.id,
        version=draft.index,
        created_at=command.at,
        updated_at=command.at,
        spec=_checked(command.spec),
        description=command.description,
        state=NodeState.READY,
        message="",
        address=command.address,
        state_since=command.at,
    )
    has_leader = any(other.is_leader for other in draft.nodes.values())
    draft.nodes[node.id] = replace(node, is_leader=_is_manager(node) and not has_leader)
    return _applied(draft, "create", node)


def _checked(spec: dict[str, object]) -> dict[str, object]:
    """Return a complete NodeSpec; refuse roles and availabilities that there are not. Case makes no difference."""
    role, availability = str(spec.get("Role") or "").lower(), str(spec.get("Availability") or "").lower()
    if role not in tuple(NodeRole):
        raise invalid(f'invalid Role: "{spec.get("Role") or ""}"', rpc="")
    if availability not in tuple(Availability):
        raise invalid(f'invalid Availability: "{spec.get("Availability") or ""}"', rpc="")
    return {**spec, "Role": role, "Availability": availability, "Labels": checked_labels(spec)}


def update(draft: Draft, command: UpdateNode) -> Applied:
    """Change role, availability and labels. Demoting the leader hands leadership to the first other manager."""
    node = _present(draft, command.id)
    spec = _checked(command.spec)
    if node.version != command.version:
        raise out_of_sequence()
    changed = replace(node, version=draft.index, updated_at=command.at, spec=spec, was_updated=True)
    heirs = [other for other in draft.nodes.values() if _is_manager(other) and other.id != node.id]
    if _is_manager(node) and not _is_manager(changed):
        if not heirs:
            raise invalid(LAST_MANAGER, rpc="FailedPrecondition")
        if node.is_leader:
            changed = replace(changed, is_leader=False)
            draft.nodes[heirs[0].id] = replace(heirs[0], is_leader=True)
    draft.nodes[node.id] = changed
    return _applied(draft, "update", changed)


def set_state(draft: Draft, command: SetNodeState) -> Applied:
    node = _present(draft, command.id)
    since = node.state_since if node.state is command.state else command.at
    changed = replace(
        node,
        version=draft.index,
        updated_at=command.at,
        state=command.state,
        message=command.message,
        state_since=since,
    )
    draft.nodes[node.id] = changed
    return _applied(draft, "update", changed)


def describe(draft: Draft, command: DescribeNode) -> Applied:
    """Take over what a node tells of itself; what is known already changes nothing."""
    node = _present(draft, command.id)
    if (node.description, node.address) == (command.description, command.address):
        return Applied(draft.index, node.id)
    changed = replace(
        node,
        version=draft.index,
        updated_at=command.at,
        description=command.description,
        address=command.address,
    )
    draft.nodes[node.id] = changed
    return _applied(draft, "update", changed)


def remove(draft: Draft, command: RemoveNode) -> Applied:
    """Remove a worker. Its tasks are orphaned; those of global services go with it."""
    node = _present(draft, command.id)
    if _is_manager(node):
        text = f"node {node.id} is a cluster manager and is a member of the raft cluster."
        raise invalid(f"{text} It must be demoted to worker before removal", rpc="FailedPrecondition")
    if node.state is not NodeState.DOWN and not command.force:
        raise invalid(f"node {node.id} is not down and can't be removed", rpc="FailedPrecondition")
    for task in draft.tasks_on_node(node.id):
        service = draft.services.get(task.service_id)
        if service is not None and service.is_global:
            del draft.tasks[task.id]
        else:
            draft.tasks[task.id] = _orphaned(draft, task, command)
    del draft.nodes[node.id]
    return _applied(draft, "remove", node)


def _orphaned(draft: Draft, task: TaskRecord, command: RemoveNode) -> TaskRecord:
    if task.has_ended:
        return task
    status = structs.replace(
        task.status,
        state=TaskState.ORPHANED,
        message="Task belonged to a node that has been deleted",
        timestamp=command.at,
    )
    return structs.replace(task, version=draft.index, updated_at=command.at, status=status)
