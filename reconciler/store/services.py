"""Services: creation, update, rollback, the course of a rolling update, removal."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from reconciler.model.changes import TableKind
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
from reconciler.model.tables import ConfigRecord, NetworkRecord, SecretRecord, ServiceRecord, UpdateState, UpdateStatus
from reconciler.model.tasks import TaskState
from reconciler.store.addresses import ingress_id, virtual_ips
from reconciler.store.defaults import complete_service
from reconciler.store.draft import Draft
from reconciler.store.names import checked_labels
from reconciler.store.ports import allot_ports
from reconciler.store.refusal import Refusal, check_new, invalid, not_found, out_of_sequence
from reconciler.store.service_rules import check_service, check_unchanged
from reconciler.store.tasks import raise_desired


def _applied(draft: Draft, action: str, service: ServiceRecord) -> Applied:
    return Applied(draft.index, service.id, (ObjectChange(Kind.SERVICE, action, service.id, service.name),))


def _present(draft: Draft, service_id: str) -> ServiceRecord:
    service = draft.services.get(service_id)
    if service is None:
        raise not_found("service", service_id)
    return service


def create(draft: Draft, command: CreateService) -> Applied:
    spec = _completed(draft, command.spec)
    name = spec["Name"]
    check_new(draft.services, command.id)
    if draft.id_of(TableKind.SERVICE, name) is not None:
        text = f"name conflicts with an existing object: service {name} already exists"
        raise Refusal(ErrorCode.NAME_CONFLICT, text, rpc="AlreadyExists")
    service = ServiceRecord(
        id=command.id,
        version=draft.index,
        created_at=command.at,
        updated_at=command.at,
        spec=spec,
        spec_version=draft.index,
        ports=allot_ports(draft, command.id, spec, ()),
    )
    if service.is_job:
        service = replace(service, last_execution=command.at)
    draft.services[service.id] = _addressed(draft, service)
    return _applied(draft, "create", service)


def update(draft: Draft, command: UpdateService) -> Applied:
    """Put another spec in place; the old one becomes PreviousSpec, and a rolling update starts anew."""
    service = _present(draft, command.id)
    if service.version != command.version:
        raise out_of_sequence()
    spec = _completed(draft, command.spec)
    check_unchanged(service.spec, spec)
    changed = replace(
        service,
        version=draft.index,
        updated_at=command.at,
        spec=spec,
        spec_version=draft.index,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update=None,
        ports=allot_ports(draft, command.id, spec, service.ports),
    )
    draft.services[service.id] = _next_iteration(_addressed(draft, changed), command.at)
    return _applied(draft, "update", changed)


def _addressed(draft: Draft, service: ServiceRecord) -> ServiceRecord:
    """Return a service with its virtual addresses; refuse one that needs an ingress network that is not there."""
    if any(port["PublishMode"] == "ingress" for port in service.ports) and not ingress_id(draft):
        text = "service needs ingress network, but no ingress network is present"
        raise invalid(text, rpc="FailedPrecondition")
    return replace(service, virtual_ips=virtual_ips(draft, service))


def _next_iteration(service: ServiceRecord, at: datetime) -> ServiceRecord:
    if not service.is_job:
        return service
    return replace(service, job_iteration=service.job_iteration + 1, last_execution=at)


def _completed(draft: Draft, spec: JsonObject) -> JsonObject:
    """Return the spec as it is stored, or raise Refusal."""
    checked_labels(spec)
    completed = complete_service(spec)
    check_service(completed)
    template = completed["TaskTemplate"]
    if older := completed.get("Networks"):  # where clients of before API 1.25 have them; a manager shows them there
        completed["Networks"] = [_attachment(draft, dict(attachment)) for attachment in older]
    if networks := template.get("Networks"):
        attachments = [_attachment(draft, dict(attachment)) for attachment in networks]
        completed["TaskTemplate"] = {**template, "Networks": attachments}
    for kind, known in (("Secret", draft.secrets), ("Config", draft.configs)):
        references = template["ContainerSpec"].get(f"{kind}s") or ()
        missing = [
            str(one.get(f"{kind}Name"))
            for one in references
            if not _is_named(known.get(one.get(f"{kind}ID", "")), one.get(f"{kind}Name"))
        ]
        if missing:
            noun = f"{kind.lower()}s" if len(missing) > 1 else kind.lower()
            raise invalid(f"{noun} not found: {', '.join(missing)}")
    return completed


def _is_named(record: SecretRecord | ConfigRecord | None, name: object) -> bool:
    return record is not None and record.name == name


def _attachment(draft: Draft, attachment: JsonObject) -> JsonObject:
    network = _network(draft, str(attachment.get("Target") or ""))
    if network.spec.get("Ingress"):
        raise invalid(f'Service cannot be explicitly attached to the ingress network "{network.name}"')
    return {**attachment, "Target": network.id}


def _network(draft: Draft, target: str) -> NetworkRecord:
    """Return the network with this id or name, or whose id alone begins so."""
    network = draft.networks.get(target) or draft.networks.get(draft.id_of(TableKind.NETWORK, target) or "")
    if network is not None and target in (network.id, network.name):
        return network
    matches = [one for one in draft.networks.values() if one.id.startswith(target)]
    if len(matches) == 1:
        return matches[0]
    why = f"is ambiguous ({len(matches)} matches found)" if matches else "not found"
    raise Refusal(ErrorCode.REQUEST_REFUSED, f"network {target} {why}", rpc="")


def roll_back(draft: Draft, command: RollBackService) -> Applied:
    """Put the previous spec back. By hand the two change places; by the updater the failed one is forgotten."""
    service = _present(draft, command.id)
    if service.version != command.version:
        raise out_of_sequence()
    if service.previous_spec is None:
        raise invalid(f"service {service.id} does not have a previous spec", rpc="FailedPrecondition")
    # What rolls itself back is still the same update, that began when it began. (swarmkit's updater)
    started_at = command.at if command.by_hand or service.update is None else service.update.started_at
    status = UpdateStatus(UpdateState.ROLLBACK_STARTED, command.message, started_at, None, draft.index)
    changed = replace(
        service,
        version=draft.index,
        updated_at=command.at,
        spec=service.previous_spec,
        spec_version=service.previous_spec_version,
        previous_spec=service.spec if command.by_hand else None,
        previous_spec_version=service.spec_version if command.by_hand else 0,
        update=status,
        ports=allot_ports(draft, service.id, service.previous_spec, service.ports),
    )
    draft.services[service.id] = _next_iteration(_addressed(draft, changed), command.at)
    return _applied(draft, "update", changed)


_COMPLETED = (UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED)


def set_update_status(draft: Draft, command: SetUpdateStatus) -> Applied:
    service = _present(draft, command.service_id)
    if service.spec_version != command.spec_version:
        raise out_of_sequence()
    begins = command.state is UpdateState.UPDATING or service.update is None
    started_at = command.at if begins or service.update is None else service.update.started_at
    epoch = draft.index if begins or service.update is None else service.update.epoch
    completed_at = command.at if command.state in _COMPLETED else None
    status = UpdateStatus(command.state, command.message, started_at, completed_at, epoch)
    changed = replace(service, version=draft.index, updated_at=command.at, update=status)
    draft.services[service.id] = changed
    return _applied(draft, "update", changed)


def remove(draft: Draft, command: RemoveService) -> Applied:
    """Remove a service at once; its tasks vanish when their nodes have ended them."""
    service = _present(draft, command.id)
    for task in draft.tasks_of_service(service.id):
        raise_desired(draft, task, TaskState.REMOVE, command.at)
    del draft.services[service.id]
    return _applied(draft, "remove", service)
