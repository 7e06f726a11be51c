"""Nodes, settings and join tokens: what every backend of the Cluster port promises of the swarm itself."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind, NodeRole
from tests.contract.subject import Subject


async def test_node_labels_and_availability_can_change(subject: Subject) -> None:
    node = await subject.worker()
    await subject.update(Kind.NODE, node.id, Labels={"zone": "a"}, Availability="pause")

    after = await subject.cluster.get(Kind.NODE, node.id)
    assert (after.labels, after.spec["Availability"], after.spec["Role"]) == ({"zone": "a"}, "pause", "worker")
    assert after.version > node.version
    async with subject.refusing(ErrorCode.STALE_VERSION):
        await subject.cluster.update(Kind.NODE, node.id, node.version, node.spec)


async def test_a_worker_can_be_promoted_and_demoted(subject: Subject) -> None:
    node = await subject.worker()
    await subject.update(Kind.NODE, node.id, Role="manager")

    def is_manager(found: Any) -> bool:
        return next(seen for seen in found.nodes if seen.id == node.id).dig("ManagerStatus") is not None

    await subject.until("the worker is a manager", is_manager)
    await subject.update(Kind.NODE, node.id, Role="worker")
    await subject.until("it is a worker again", lambda actual: not is_manager(actual))


async def test_the_last_manager_cannot_be_demoted(subject: Subject) -> None:
    manager = next(node for node in await subject.nodes() if node.spec["Role"] == NodeRole.MANAGER)
    async with subject.refusing(ErrorCode.REQUEST_REFUSED):
        await subject.update(Kind.NODE, manager.id, Role="worker")
    assert (await subject.cluster.get(Kind.NODE, manager.id)).spec == manager.spec


async def test_a_node_that_is_up_cannot_be_removed_without_force(subject: Subject) -> None:
    node = await subject.worker()
    async with subject.refusing(ErrorCode.REQUEST_REFUSED):
        await subject.cluster.remove(Kind.NODE, node.id)
    assert node.id in [seen.id for seen in await subject.nodes()]


async def test_a_node_has_its_hostname_for_a_name(subject: Subject) -> None:
    for node in await subject.nodes():
        assert node.name == node.dig("Description", "Hostname") != ""


async def test_swarm_settings_can_change(subject: Subject) -> None:
    before = (await subject.cluster.observe()).swarm
    spec = {**before.spec, "Orchestration": {"TaskHistoryRetentionLimit": 3}}
    await subject.cluster.update(Kind.SWARM, before.id, before.version, spec)

    after = await subject.cluster.get(Kind.SWARM, before.id)
    assert after.spec == spec
    assert after.version > before.version
    async with subject.refusing(ErrorCode.STALE_VERSION):
        await subject.cluster.update(Kind.SWARM, before.id, before.version, spec)


@pytest.mark.parametrize("role", list(NodeRole))
async def test_rotation_renews_the_token_of_one_role(subject: Subject, role: NodeRole) -> None:
    before = subject.tokens()
    await subject.cluster.rotate_join_token(role)
    after = subject.tokens()
    assert {changed for changed in NodeRole if before[changed] != after[changed]} == {role}


@pytest.mark.parametrize("role", list(NodeRole))
async def test_a_ticket_has_the_roles_token_and_the_leader_first_and_prints_neither(
    subject: Subject, role: NodeRole
) -> None:
    ticket = await subject.cluster.join_ticket(role)
    leader = next(node for node in await subject.nodes() if node.dig("ManagerStatus", "Leader"))
    assert (ticket.role, ticket.token) == (role, subject.tokens()[role])
    assert ticket.addresses[0] == leader.dig("ManagerStatus", "Addr")
    assert ticket.command == f"docker swarm join --token {ticket.token} {ticket.addresses[0]}"
    assert ticket.token not in repr(ticket)


@pytest.mark.parametrize("roles", [(NodeRole.WORKER,), (NodeRole.MANAGER,), tuple(NodeRole)])
async def test_an_update_of_the_swarm_renews_the_tokens_that_it_is_told_to(
    subject: Subject, roles: tuple[NodeRole, ...]
) -> None:
    before, swarm = subject.tokens(), (await subject.cluster.observe()).swarm
    spec = {**swarm.spec, "Orchestration": {"TaskHistoryRetentionLimit": 4}}
    await subject.cluster.update(Kind.SWARM, swarm.id, swarm.version, spec, rotate=roles)
    after = subject.tokens()
    assert {changed for changed in NodeRole if before[changed] != after[changed]} == set(roles)
    assert (await subject.cluster.get(Kind.SWARM, swarm.id)).spec == spec


async def test_a_stale_update_of_the_swarm_renews_no_token(subject: Subject) -> None:
    before, swarm = subject.tokens(), (await subject.cluster.observe()).swarm
    async with subject.refusing(ErrorCode.STALE_VERSION):
        await subject.cluster.update(Kind.SWARM, swarm.id, swarm.version + 1, swarm.spec, rotate=tuple(NodeRole))
    assert subject.tokens() == before


async def test_no_token_is_ever_observed(subject: Subject) -> None:
    actual = await subject.cluster.observe()
    seen = str([(thing.raw, thing.spec) for kind in Kind for thing in actual.of_kind(kind)])
    assert not any(token in seen for token in subject.tokens().values())
    assert "SWMTKN" not in seen
