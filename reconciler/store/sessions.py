"""What came of each caller's latest transactions, so that a repetition is answered and not carried out again."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from reconciler.model.commands import Outcome, Rejected
from reconciler.model.errors import ErrorCode

OUTCOMES_PER_CLIENT_MAX = 4_096
"""Outcomes kept for one client: more than it has under way at a time."""

OUTCOMES_MAX = 65_536
"""Outcomes kept in all. Beyond it the client goes that has been silent for longest, by log index; never by a clock."""


CLIENTS_MAX = 10_000
"""Clients whose outcomes are kept. A client is a life of a process, not a user or a connection."""


@dataclass(slots=True)
class Session:
    """One client's outcomes by sequence number, oldest first. Those up to `floor` that are not there are forgotten.

    `order` has the same numbers as `outcomes`: the first of a dict is slow to find when many before it are gone.
    """

    floor: int = 0
    last_use: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    order: deque[int] = field(default_factory=deque)


class Sessions:
    """All clients' sessions, the one used longest ago first. Decided by the log alone, the same on every manager.

    A client that was forgotten altogether and then repeats itself is taken for a new one: only then a transaction can
    be carried out twice. It takes OUTCOMES_MAX outcomes of others in between, or CLIENTS_MAX other clients.
    """

    def __init__(
        self,
        outcomes_max: int = OUTCOMES_MAX,
        per_client_max: int = OUTCOMES_PER_CLIENT_MAX,
        clients_max: int = CLIENTS_MAX,
    ) -> None:
        self.by_client: OrderedDict[str, Session] = OrderedDict()
        self.count = 0
        self._newest, self._newest_session = "", Session()  # the last of `by_client`, found without a look
        self._outcomes_max = outcomes_max
        self._per_client_max = per_client_max
        self._clients_max = clients_max

    def recall(self, client: str, sequence: int, index: int) -> Outcome | None:
        """Return what came of a transaction that was seen before, else None."""
        session = self._newest_session if client == self._newest else self.by_client.get(client)
        if session is None:
            return None
        outcome = session.outcomes.get(sequence)
        if outcome is None:
            if sequence > session.floor:
                return None
            outcome = Rejected(ErrorCode.OUTCOME_FORGOTTEN, "the outcome of this sequence number is no longer known")
        session.last_use = index
        self._put_last(client, session)
        return outcome

    def remember(self, client: str, sequence: int, index: int, outcome: Outcome) -> None:
        """Keep the outcome of a new transaction; make room for it if need be."""
        if client == self._newest:
            session = self._newest_session
        else:
            session = self.by_client.get(client) or Session()
            self._put_last(client, session)
        session.last_use = index
        session.outcomes[sequence] = outcome
        order = session.order
        order.append(sequence)
        if len(order) > self._per_client_max:
            self._forget_oldest(session)  # as many are left as before
        else:
            self.count += 1
            self._make_room()

    def _make_room(self) -> None:
        while self.count > self._outcomes_max:
            silent, oldest = next(iter(self.by_client.items()))
            self._forget_oldest(oldest)
            self.count -= 1
            if not oldest.outcomes:
                del self.by_client[silent]
        if len(self.by_client) > self._clients_max:
            _, forgotten = self.by_client.popitem(last=False)
            self.count -= len(forgotten.outcomes)

    def _put_last(self, client: str, session: Session) -> None:
        self.by_client[client] = session
        self.by_client.move_to_end(client)
        self._newest, self._newest_session = client, session

    def _forget_oldest(self, session: Session) -> None:
        sequence = session.order.popleft()
        del session.outcomes[sequence]
        session.floor = max(session.floor, sequence)
