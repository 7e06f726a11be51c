"""Services: creation, update, rollback, the course of a rolling update, removal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.model.commands import (
    Applied,
    CreateService,
    ObjectChange,
    RemoveService,
    RollBackService,
    SetUpdateStatus,
    UpdateService,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.tables import INGRESS_NETWORK, ServiceRecord, Tables, UpdateState, UpdateStatus
from reconciler.model.tasks import TaskState
from reconciler.store.defaults import complete_service
from reconciler.store.ports import allot_ports
from reconciler.store.refusal import Refusal, invalid, not_found, out_of_sequence
from reconciler.store.service_rules import check_service, check_unchanged
from reconciler.store.tasks import raise_desired


def _applied(tables: Tables, action: str, service: ServiceRecord) -> Applied:
    return Applied(tables.index, service.id, (ObjectChange(Kind.SERVICE, action, service.id, service.name),))


def _present(tables: Tables, service_id: str) -> ServiceRecord:
    service = tables.services.get(service_id)
    if service is None:
        raise not_found("service", service_id)
    return service


def create(tables: Tables, command: CreateService) -> Applied:
    spec = _completed(tables, command.spec)
    name = spec["Name"]
    if any(other.name == name for other in tables.services.values()):
        text = f"name conflicts with an existing object: service {name} already exists"
        raise Refusal(ErrorCode.NAME_CONFLICT, text, rpc="AlreadyExists")
    service = ServiceRecord(
        id=command.id,
        version=tables.index,
        created_at=command.at,
        updated_at=command.at,
        spec=spec,
        spec_version=tables.index,
        ports=allot_ports(tables, command.id, spec, ()),
    )
    if service.is_job:
        service = replace(service, last_execution=command.at)
    tables.services[service.id] = service
    return _applied(tables, "create", service)


def update(tables: Tables, command: UpdateService) -> Applied:
    """Put another spec in place; the old one becomes PreviousSpec, and a rolling update starts anew."""
    service = _present(tables, command.id)
    if service.version != command.version:
        raise out_of_sequence()
    spec = _completed(tables, command.spec)
    check_unchanged(service.spec, spec)
    changed = replace(
        service,
        version=tables.index,
        updated_at=command.at,
        spec=spec,
        spec_version=tables.index,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update=None,
        ports=allot_ports(tables, command.id, spec, service.ports),
    )
    tables.services[service.id] = _next_iteration(changed, command.at)
    return _applied(tables, "update", changed)


def _next_iteration(service: ServiceRecord, at: datetime) -> ServiceRecord:
    if not service.is_job:
        return service
    return replace(service, job_iteration=service.job_iteration + 1, last_execution=at)


def _completed(tables: Tables, spec: JsonObject) -> JsonObject:
    """Return the spec as it is stored, or raise Refusal."""
    completed = complete_service(spec)
    check_service(completed)
    template = completed["TaskTemplate"]
    networks = template.get("Networks") or completed.pop("Networks", None)
    if networks:
        attachments = [_attachment(tables, dict(attachment)) for attachment in networks]
        completed["TaskTemplate"] = {**template, "Networks": attachments}
    for kind, known in (("Secret", tables.secrets), ("Config", tables.configs)):
        references = template["ContainerSpec"].get(f"{kind}s") or ()
        missing = [str(one.get(f"{kind}Name")) for one in references if one.get(f"{kind}ID") not in known]
        if missing:
            noun = f"{kind.lower()}s" if len(missing) > 1 else kind.lower()
            raise invalid(f"{noun} not found: {', '.join(missing)}")
    return completed


def _attachment(tables: Tables, attachment: JsonObject) -> JsonObject:
    target = attachment.get("Target", "")
    network = tables.networks.get(target)
    if network is None:
        network = next((one for one in tables.networks.values() if one.name == target), None)
    if network is None:
        raise Refusal(ErrorCode.REQUEST_REFUSED, f"network {target} not found", rpc="")
    if network.name == INGRESS_NETWORK:
        raise invalid(f'Service cannot be explicitly attached to the ingress network "{network.name}"')
    return {**attachment, "Target": network.id}


def roll_back(tables: Tables, command: RollBackService) -> Applied:
    """Put the previous spec back. By hand the two change places; by the updater the failed one is forgotten."""
    service = _present(tables, command.id)
    if service.version != command.version:
        raise out_of_sequence()
    if service.previous_spec is None:
        raise invalid(f"service {service.id} does not have a previous spec", rpc="FailedPrecondition")
    status = UpdateStatus(UpdateState.ROLLBACK_STARTED, command.message, command.at, None, tables.index)
    changed = replace(
        service,
        version=tables.index,
        updated_at=command.at,
        spec=service.previous_spec,
        spec_version=service.previous_spec_version,
        previous_spec=service.spec if command.by_hand else None,
        previous_spec_version=service.spec_version if command.by_hand else 0,
        update=status,
        ports=allot_ports(tables, service.id, service.previous_spec, service.ports),
    )
    tables.services[service.id] = _next_iteration(changed, command.at)
    return _applied(tables, "update", changed)


_COMPLETED = (UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED)


def set_update_status(tables: Tables, command: SetUpdateStatus) -> Applied:
    service = _present(tables, command.service_id)
    if service.spec_version != command.spec_version:
        raise out_of_sequence()
    begins = command.state is UpdateState.UPDATING or service.update is None
    started_at = command.at if begins or service.update is None else service.update.started_at
    epoch = tables.index if begins or service.update is None else service.update.epoch
    completed_at = command.at if command.state in _COMPLETED else None
    status = UpdateStatus(command.state, command.message, started_at, completed_at, epoch)
    changed = replace(service, version=tables.index, updated_at=command.at, update=status)
    tables.services[service.id] = changed
    return _applied(tables, "update", changed)


def remove(tables: Tables, command: RemoveService) -> Applied:
    """Remove a service at once; its tasks vanish when their nodes have ended them."""
    service = _present(tables, command.id)
    for task in [task for task in tables.tasks.values() if task.service_id == service.id]:
        raise_desired(tables, task, TaskState.REMOVE, command.at)
    del tables.services[service.id]
    return _applied(tables, "remove", service)
