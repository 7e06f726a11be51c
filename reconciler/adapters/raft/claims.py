"""A member's claims to lead. The index of the entry that holds one is the epoch in which it then acts."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.adapters.raft.leadership import Leadership
from reconciler.consensus.core import Core
from reconciler.consensus.outputs import Refused, Role, RoleChange
from reconciler.consensus.values import Entry, NodeId
from reconciler.model.commands import Claim
from reconciler.model.transactions import Transaction
from reconciler.store.codec import encode_entry, encode_transaction


class Claims:
    """Claims once in each term in which this member leads, and lets it act from the moment that the claim is applied.

    A claim is never repeated in another term, where it would end the next leader's epoch.
    """

    def __init__(self, node: NodeId, life: str, leadership: Leadership) -> None:
        """`life` is different in each life of the process."""
        self._node = node
        self._client = f"{node[:80]}.{life}.claim"
        self._leadership = leadership
        self._term = 0
        self._index = 0
        self._paused_epoch = 0

    def claim(self, core: Core, term: int, now_s: float) -> None:
        """Put the claim of a term into the log, unless it is there."""
        if self._term == term:
            return
        command = Claim(at=datetime.now(UTC), leader=self._node)
        transaction = Transaction(self._client, term, (command,))
        answer = core.propose([encode_entry([encode_transaction(transaction)])], now_s)
        if not isinstance(answer, Refused):
            self._term, self._index = answer.term, answer.first_index

    def is_fulfilled_by(self, entry: Entry, term: int) -> bool:
        """Whether an entry that was applied is the claim of `term`, in which this member leads; then `resume`."""
        if entry.index != self._index or not entry.term == self._term == term:
            return False
        self._index = 0
        self._paused_epoch = entry.index
        return True

    def role_changed(self, role: RoleChange, before: RoleChange) -> None:
        """Whoever does not lead, or leads anew, may not act."""
        if role.role is not Role.LEADER or role.term != before.term:
            self._leadership.end()
            self._paused_epoch = 0

    async def pause(self) -> None:
        """Let the leader's work end, while this member still leads."""
        self._paused_epoch = self._leadership.epoch or self._paused_epoch
        self._leadership.end()
        await self._leadership.ended()

    @property
    def is_paused(self) -> bool:
        """Whether there is an epoch to go on in."""
        return self._paused_epoch > 0

    def resume(self, role: RoleChange) -> None:
        """Go on in the epoch that was paused, if this member still leads."""
        if self._paused_epoch and role.role is Role.LEADER:
            self._leadership.begin(self._paused_epoch)
            self._paused_epoch = 0
