"""Linearizable reads without writing: the leader proves by one round of heartbeats that it still leads (thesis 6.4).

All readers that wait at the same moment share a round. A follower asks the leader once for all of its readers and
answers when it has applied as far. No clock decides: a lease would trust that all clocks run equally fast.
"""

from __future__ import annotations

from reconciler.consensus.outputs import ReadDone, Reason, Refused, Role
from reconciler.consensus.peers import Leading, ReadRound
from reconciler.consensus.state import State
from reconciler.consensus.values import NodeId, ReadReply, ReadRequest


def waiting(state: State) -> int:
    """Readers of this node, and of others that we lead, which have no answer yet."""
    count = len(state.new_readers) + len(state.read_at) + sum(len(tokens) for _, tokens in state.forwarded.values())
    if state.leading is not None:
        count += len(state.leading.new_readers) + sum(len(one.readers) for one in state.leading.read_rounds)
    return count


def ask(state: State, token: int) -> Refused | None:
    """Take a reader of this node; its ReadDone comes in a later Ready."""
    if waiting(state) >= state.settings.reads_max:
        return Refused(Reason.OVERLOADED, state.leader)
    if state.leading is not None:
        state.leading.new_readers.append(("", token))
    elif state.leader:
        state.new_readers.append(token)
    else:
        return Refused(Reason.NOT_LEADER)
    return None


def forward(state: State) -> None:
    """Ask the leader once for all new readers of this follower."""
    tokens, state.new_readers = state.new_readers, []
    if not tokens:
        return
    if not state.leader or state.role is not Role.FOLLOWER:
        state.reads_done.extend(ReadDone(token, 0) for token in tokens)
        return
    state.forwarded_number += 1
    state.forwarded[state.forwarded_number] = (state.now_s + state.settings.election_min_s, tokens)
    state.send(state.leader, ReadRequest(state.term, state.forwarded_number))


def expire(state: State) -> None:
    """Give up on questions to a leader that were not answered in time; the readers ask again."""
    for number, (due_s, tokens) in list(state.forwarded.items()):
        if state.now_s >= due_s:
            del state.forwarded[number]
            state.reads_done.extend(ReadDone(token, 0) for token in tokens)


def on_read_request(state: State, sender: NodeId, request: ReadRequest) -> None:
    leading = state.leading
    if leading is None or request.term != state.term or waiting(state) >= state.settings.reads_max:
        state.send(sender, ReadReply(state.term, request.number, 0))
        return
    leading.new_readers.append((sender, request.number))


def on_read_reply(state: State, reply: ReadReply) -> None:
    _, tokens = state.forwarded.pop(reply.number, (0.0, []))
    if reply.index == 0:
        state.reads_done.extend(ReadDone(token, 0) for token in tokens)
    else:
        state.read_at.extend((reply.index, token) for token in tokens)


def start_round(state: State, leading: Leading) -> bool:
    """Whether new readers need a round of heartbeats now; if so they wait for it.

    Before this term's first commit the leader doesn't know what is committed, so readers wait for that too.
    """
    if not leading.new_readers or state.commit < leading.start_index:
        return False
    if len(leading.read_rounds) >= state.settings.read_rounds_max:
        return False
    leading.read_rounds.append(ReadRound(leading.round + 1, state.commit, leading.new_readers))
    leading.new_readers = []
    return True


def finish_rounds(state: State, leading: Leading) -> None:
    """Answer the readers whose round a majority has answered."""
    rounds = leading.read_rounds
    if not rounds:
        return
    voters = state.log.members.voters
    while rounds:
        newest = rounds[0]
        answered = sum(node == state.node_id or leading.peers[node].acked_round >= newest.round for node in voters)
        if not state.won(answered):
            return
        rounds.popleft()
        for node, number in newest.readers:
            if node:
                state.send(node, ReadReply(state.term, number, newest.index))
            else:
                state.read_at.append((newest.index, number))


def release(state: State) -> None:
    """Let the readers go whose index is handed out to be applied."""
    if state.read_at:
        state.reads_done.extend(ReadDone(token, index) for index, token in state.read_at if index <= state.handed)
        state.read_at = [(index, token) for index, token in state.read_at if index > state.handed]
