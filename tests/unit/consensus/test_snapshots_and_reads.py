"""Snapshots for peers that are far behind, and linearizable reads."""

from __future__ import annotations

from reconciler.consensus.core import Core
from reconciler.consensus.membership import bootstrap
from reconciler.consensus.outputs import ReadDone
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import (
    Append,
    Entry,
    EntryKind,
    HardState,
    Membership,
    ReadReply,
    ReadRequest,
    SnapshotChunk,
    SnapshotMeta,
    SnapshotReply,
)
from tests.unit.consensus.group import Group, a_core, drain, said


def test_a_peer_too_far_behind_gets_a_snapshot_and_resumes_where_it_stopped() -> None:
    group = Group("a", "b", "c", snapshot_chunk_bytes=30)
    leader = group.elect()
    away = group.followers()[0]
    group.cut = {away}
    last = group.write(*[b"x"] * 20).last_index
    core = group.cores[leader]
    core.compact(core.snapshot_meta(last), last)
    group.sent.clear()
    group.cut = set()
    group.lose = [SnapshotReply]
    group.run(0.3)
    group.lose = []
    group.run(2)
    group.write(b"y")
    assert group.snapshots[away].index == last
    assert group.datas(away) == [b"y"]
    offsets = [message.offset for _, _, message in group.sent if isinstance(message, SnapshotChunk)]
    assert offsets == [0, 0, 30, 60, 90]


def test_waiting_readers_share_one_round() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.write(b"x")
    group.sent.clear()
    for token in range(100):
        assert group.cores[leader].read(token, group.now) is None
    group.exchange()
    index = group.commit(leader)
    assert group.reads == [(leader, token, index) for token in range(100)]
    assert sum(isinstance(message, Append) for _, _, message in group.sent) == 2


def test_followers_read_by_one_question_to_the_leader() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.write(b"x")
    follower = group.followers()[0]
    group.sent.clear()
    for token in range(10):
        group.cores[follower].read(token, group.now)
    group.exchange()
    assert group.reads == [(follower, token, group.commit(leader)) for token in range(10)]
    assert sum(isinstance(message, ReadRequest) for _, _, message in group.sent) == 1


def test_a_leader_that_is_cut_off_answers_no_reads() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.cut = {leader}
    group.cores[leader].read(1, group.now)
    group.run(0.5)
    assert group.reads == []
    group.run(0.6)
    assert group.reads == [(leader, 1, 0)]


def test_a_full_log_takes_no_more_until_it_is_compacted() -> None:
    core = a_core("b", log_bytes_max=1000)
    for index in range(2, 20):
        entries = (Entry(index, 1, EntryKind.NORMAL, bytes(100)),)
        core.receive("a", Append(1, index - 1, 1, 1, index, entries), 0.1)
    assert core.log_bytes < 1600


def a_group_with_one_far_behind() -> tuple[Group, str, str, int]:
    group = Group("a", "b", "c", snapshot_chunk_bytes=30)
    leader = group.elect()
    away = group.followers()[0]
    group.cut = {away}
    last = group.write(*[b"x"] * 20).last_index
    core = group.cores[leader]
    core.compact(core.snapshot_meta(last), last)
    group.lose = [SnapshotChunk]
    group.cut = set()
    group.run(0.3)
    return group, leader, away, last


def test_a_snapshot_that_was_replaced_meanwhile_starts_over_with_the_newer_one() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    group.lose = []
    newer = group.write(b"y").last_index
    core = group.cores[leader]
    core.compact(core.snapshot_meta(newer), newer)
    core.snapshot_gone(away)
    group.run(1)
    assert newer > last
    assert group.snapshots[away].index == newer


def test_a_snapshot_that_is_old_when_it_has_arrived_is_followed_by_the_newer_one() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    group.lose = []
    newer = group.write(b"y").last_index
    core = group.cores[leader]
    core.compact(core.snapshot_meta(newer), newer)  # and the older one can still be read
    group.run(2)
    assert newer > last
    assert group.snapshots[away].index == newer
    group.write(b"z")
    assert group.datas(away) == [b"z"]


def test_a_snapshot_that_can_not_be_used_is_sent_again_after_a_while() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    core = group.cores[away]
    meta = SnapshotMeta(last, 2, Membership(("a", "b", "c")))
    term = core.status(group.now).term
    core.receive(leader, SnapshotChunk(term, 0, meta, 1, 0, b"x"), group.now)
    (piece,) = [piece for ready in drain(core, group.now) for piece in ready.pieces]
    assert piece.last
    core.snapshot_refused(group.now, 3.0)
    group.lose = []
    group.sent.clear()
    group.run(2.9)
    assert away not in group.snapshots
    offsets = [message.offset for _, to, message in group.sent if to == away and isinstance(message, SnapshotChunk)]
    assert set(offsets) <= {0}, "the rest is not sent before it is wanted"
    group.run(1)
    assert group.snapshots[away].index == last


def test_a_snapshot_that_is_refused_again_and_again_costs_a_piece_now_and_then() -> None:
    group = Group("a", "b", "c", snapshot_chunk_bytes=30)
    leader = group.elect()
    away = group.followers()[0]
    group.cut = {away}
    last = group.write(*[b"x"] * 20).last_index
    group.cores[leader].compact(group.cores[leader].snapshot_meta(last), last)
    group.refusing[away] = 3600.0
    group.sent.clear()
    group.cut = set()
    group.run(60)
    offsets = [message.offset for _, to, message in group.sent if to == away and isinstance(message, SnapshotChunk)]
    assert offsets[:4] == [0, 30, 60, 90], "once it is sent whole"
    assert set(offsets[4:]) == {0}
    assert len(offsets[4:]) <= 60 / ConsensusSettings().snapshot_wait_s
    assert group.leaders() == [leader], "and who refuses it holds no election"


def test_the_leader_knows_who_can_not_use_its_snapshot_and_why_until_it_has_caught_up() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    group.lose = []
    group.refusing[away] = 3.0
    group.run(1)
    refusals = {peer.node: peer.refuses for peer in group.cores[leader].status(group.now).peers}
    assert refusals == {node: "it is too new" if node == away else "" for node in refusals}
    del group.refusing[away]
    group.run(5)
    assert group.snapshots[away].index == last
    assert not any(peer.refuses for peer in group.cores[leader].status(group.now).peers)


def test_what_a_member_says_of_a_snapshot_takes_little_room_at_the_leader() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    core = group.cores[leader]
    term = core.status(group.now).term
    core.receive(away, SnapshotReply(term, 0, last, 0, 1.0, "x" * 100_000), group.now)
    (told,) = [peer.refuses for peer in core.status(group.now).peers if peer.node == away]
    assert told == "x" * 500
    core.receive(away, SnapshotReply(term, 0, last, 0, 1.0), group.now)
    assert [peer.refuses for peer in core.status(group.now).peers if peer.node == away] == ["It does not say why."]


def test_who_refused_a_snapshot_and_starts_anew_takes_it_soon() -> None:
    group, leader, away, last = a_group_with_one_far_behind()
    group.lose = []
    group.refusing[away] = 3600.0
    group.run(2)
    assert away not in group.snapshots
    del group.refusing[away]
    group.restart(away)
    group.run(ConsensusSettings().snapshot_wait_s + 1)
    assert group.snapshots[away].index == last
    assert group.leaders() == [leader]


def test_an_answer_from_before_a_restart_answers_no_reader_of_now() -> None:
    questions: list[ReadRequest] = []
    for seed in (1, 2):
        disk = (HardState(1, ""), None, [bootstrap(("a", "b", "c"))[1]])
        core = Core("b", ConsensusSettings(), disk, now_s=0.0, jitter_seed=seed)
        core.receive("a", Append(1, 1, 1, 1, 1), 0.1)
        core.read(7, 0.1)
        questions += [one for one in said(drain(core, 0.1), ReadRequest) if isinstance(one, ReadRequest)]
    before, now = questions
    core.receive("a", ReadReply(1, before.number, 1), 0.1)
    assert not drain(core, 0.1)
    core.receive("a", ReadReply(1, now.number, 1), 0.1)
    assert [ready.reads for ready in drain(core, 0.1)] == [(ReadDone(7, 1),)]
