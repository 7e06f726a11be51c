"""Who may be removed when: a member is pretended whose peers fall silent and answer as the test says."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.adapters.raft.changing import MemberChanges
from reconciler.consensus.outputs import MemberChange, PeerStatus, Proposed, Role, Status
from reconciler.consensus.values import Membership
from reconciler.model.commands import Applied, Command, Outcome
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address, Standing
from reconciler.model.tables import Tables
from tests.contract.store_subject import refusing

SILENT_S = float("inf")
"""A new leader has had no answer at all of who did not vote for it."""


@dataclass
class PretendedCore:
    """Commits every change at once."""

    members: Membership
    changes: list[MemberChange] = field(default_factory=list)

    def change_members(self, change: MemberChange, now_s: float) -> Proposed:
        self.changes.append(change)
        self.members = Membership(tuple(one for one in self.members.voters if one != change.node))
        return Proposed(7, 7, 1)

    def transfer(self, node: str, now_s: float) -> None:
        raise AssertionError("nothing is handed over here")


@dataclass
class PretendedMember:
    """node-1, which leads. `silent_s`: of each other voter. Each look at the clock takes 0.1 s."""

    core: PretendedCore
    silent_s: dict[str, float]
    answers_at_s: float = SILENT_S
    """When the silent begin to answer."""
    loses_lead_at_s: float = SILENT_S
    name: str = "node-1"
    patience_s: float = 10.0
    election_max_s: float = 2.0
    tables: Tables = field(default_factory=Tables)
    clock_s: float = 0.0

    def now_s(self) -> float:
        self.clock_s += 0.1
        return self.clock_s

    @property
    def standing(self) -> Standing:
        return Standing("node-1" if self.clock_s < self.loses_lead_at_s else "node-2", 1, 3)

    def status(self) -> Status:
        answer = self.clock_s >= self.answers_at_s
        peers = tuple(
            PeerStatus(node, True, 7, 8, "stream", 0.0 if answer else silent_s, True)
            for node, silent_s in self.silent_s.items()
        )
        return Status(
            "node-1", Role.LEADER, 1, "node-1", "node-1", 1, 7, 7, 7, 7, 0, 0, self.core.members, 1, False, "", 0, peers
        )

    async def propose(self, commands: Sequence[Command]) -> Outcome:
        return Applied(7, "")

    def wake(self) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("nothing goes on beside")

    async def pause_leading(self) -> None: ...

    def resume_leading(self) -> None: ...

    def send_leave(self, leader: str) -> None: ...

    def address_to_record(self) -> Address | None:
        return None


def a_leader(**silent_s: float) -> PretendedMember:
    names = {name.replace("_", "-"): seconds for name, seconds in silent_s.items()}
    return PretendedMember(PretendedCore(Membership(("node-1", *names))), names)


async def test_a_removal_waits_for_a_voter_that_the_new_leader_has_not_heard_from_yet() -> None:
    member = a_leader(node_2=SILENT_S, node_3=SILENT_S)
    member.answers_at_s = 1.5
    await MemberChanges(member).remove("node-3")
    assert member.core.members.voters == ("node-1", "node-2")
    assert member.clock_s >= 1.5


async def test_a_voter_that_is_silent_for_an_election_timeout_forbids_the_removal_of_another() -> None:
    member = a_leader(node_2=SILENT_S, node_3=0.1)
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        await MemberChanges(member).remove("node-3")
    assert member.core.changes == []
    assert member.election_max_s <= member.clock_s < member.election_max_s + 1


async def test_the_silent_one_itself_is_removed_at_once() -> None:
    member = a_leader(node_2=0.1, node_3=SILENT_S)
    await MemberChanges(member).remove("node-3")
    assert member.core.members.voters == ("node-1", "node-2")
    assert member.clock_s < 1


async def test_who_loses_the_lead_while_it_waits_removes_nobody() -> None:
    member = a_leader(node_2=SILENT_S, node_3=0.1)
    member.loses_lead_at_s = 0.5
    async with refusing(ErrorCode.RAFT_NOT_LEADER):
        await MemberChanges(member).remove("node-3")
    assert member.core.changes == []
