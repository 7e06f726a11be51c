"""Whoever reaches the port of a member gets nothing, costs little, leaves one line, and changes nothing."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.peers.certificates import make_node
from reconciler.adapters.raft.frames import FORWARDED_MAX, Forward, encode_frame
from reconciler.consensus.values import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Membership,
    ReadReply,
    ReadRequest,
    SnapshotChunk,
    SnapshotMeta,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from tests.chaos import attackers
from tests.chaos.attacked_group import GHOST, NAMES
from tests.chaos.attackers import Attack, tls
from tests.fakes.identities import Authority

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
GROWTH_MAX = 48 * 1024 * 1024
"""Bytes that an attack may cost, generously: 64 unfinished handshakes and what the allocator keeps."""
DESCRIPTORS_MAX = 100
"""Descriptors that an attack may cost: TransportSettings.pending_max and some."""
TIMES = 3
HTTP = b"GET / HTTP/1.1\r\nHost: node-1\r\n\r\n"
HELLO_START = bytes.fromhex("160301020001000 1fc0303".replace(" ", ""))


class Victim:
    """A group in another process, of which one member is attacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        for name in NAMES:
            self.authority.folder(folder / name, name)
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.attacked_group", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        addresses = json.loads(self._lines.readline())["addresses"]
        self.addresses: dict[str, tuple[str, int]] = {name: tuple(found) for name, found in addresses.items()}
        self.address = self.addresses["node-1"]
        self.status: dict[str, Any] = {"committed": 0}
        self.descriptors_seen = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_committed(20)

    def _read(self) -> None:
        for line in self._lines:
            self.status = json.loads(line)
            self.descriptors_seen = max(self.descriptors_seen, self.status["descriptors"])

    def wait_committed(self, more: int) -> None:
        """Wait until so many more writes are committed."""
        wanted = self.status["committed"] + more
        self.until(lambda: self.status["committed"] >= wanted, "it commits no more")

    def until(self, condition: Any, what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end_s, f"{what}\n{self.log[-4000:]}"
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def memory(self) -> int:
        """Bytes that the process has had at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) * 1024

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._lines.close()
        self._log.close()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    found = Victim(tmp_path_factory.mktemp("attacked"))
    try:
        yield found
    finally:
        found.close()


def refusals(log: str, code: str) -> int:
    """How many connections a log says were refused so, also those without a line of their own."""
    lines = [line for line in log.splitlines() if f"[{code}]" in line and "Connection from 127.0.0.1:" in line]
    withheld = re.findall(r"\((\d+) more like it were not logged\)", "\n".join(lines))
    withheld += re.findall(rf"(\d+) more connections refused \[{code}\]", log)
    return len(lines) + sum(int(number) for number in withheld)


def attack(victim: Victim, how: Attack, code: str, times: int = TIMES) -> None:
    """Attack; afterwards each attack has its line, and nothing else has come of them."""
    before, logged, memory = dict(victim.status), len(victim.log), victim.memory
    for _ in range(times):
        how(victim.address)
    victim.until(lambda: refusals(victim.log[logged:], code) >= times, f"not {times} lines of {code}")
    assert refusals(victim.log[logged:], code) == times
    victim.wait_committed(20)
    assert victim.status["terms"] == before["terms"]
    assert victim.status["leaders"] == before["leaders"]
    print(f"{code}: {victim.memory - memory} bytes more")
    assert victim.memory - memory < GROWTH_MAX


def identity(victim: Victim, name: str, authority: Authority | None = None, **validity: float) -> ssl.SSLContext:
    """A client with a certificate that a member might have, or not."""
    signing = authority or victim.authority
    folder = victim.folder / f"attacker-{name}-{time.monotonic_ns()}"
    signing.folder(folder, name, certificate=signing.certificate(name, **validity))
    return tls(folder)


def test_no_certificate(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(tls(None)), "peers-no-certificate")


def test_the_certificate_of_another_authority(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(identity(victim, "node-2", Authority())), "peers-wrong-ca")


def test_a_certificate_that_a_member_has_signed(victim: Victim) -> None:
    member = victim.authority.certificate("node-2")
    forged = make_node(member, "c1", "node-2", victim.authority.now, timedelta(days=1))
    folder = victim.authority.folder(victim.folder / "forged", "node-2", certificate=forged)
    context = tls(folder)
    (folder / "chain.pem").write_bytes(forged.key_pem() + forged.certificate_pem() + member.certificate_pem())
    context.load_cert_chain(folder / "chain.pem")
    attack(victim, attackers.shake_hands(context), "peers-wrong-ca")


def test_a_certificate_of_a_node_that_is_no_member(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(identity(victim, "node-9")), "peers-not-a-member")


def test_a_certificate_of_the_member_that_is_attacked(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(identity(victim, "node-1")), "peers-wrong-name")


def test_a_certificate_for_another_cluster(victim: Victim) -> None:
    other = Authority("c2")
    other.made = victim.authority.made
    attack(victim, attackers.shake_hands(identity(victim, "node-2", other)), "peers-wrong-name")


def test_an_expired_certificate(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(identity(victim, "node-2", from_days=-20, days=10)), "peers-expired")


def test_a_certificate_of_tomorrow(victim: Victim) -> None:
    attack(victim, attackers.shake_hands(identity(victim, "node-2", from_days=1)), "peers-not-yet-valid")


@pytest.mark.parametrize(
    "content", [HTTP, b"\x00" * 4096, b"\xff" * 100_000, b""], ids=["http", "zeros", "ones", "none"]
)
def test_what_is_no_tls(victim: Victim, content: bytes) -> None:
    if content:
        attack(victim, attackers.say(content), "peers-protocol")
    else:
        attack(victim, lambda address: attackers.connected(address).close(), "peers-protocol")


def test_an_older_tls(victim: Victim) -> None:
    older = tls(victim.folder / "node-2", version=ssl.TLSVersion.TLSv1_2)
    attack(victim, attackers.shake_hands(older), "peers-protocol")


def test_a_member_without_the_members_protocol(victim: Victim) -> None:
    browser = tls(victim.folder / "node-2")
    browser.set_alpn_protocols(["h2", "http/1.1"])
    attack(victim, attackers.shake_hands(browser), "peers-protocol")


def test_a_handshake_that_never_ends(victim: Victim) -> None:
    attack(victim, attackers.say_slowly(HELLO_START + bytes(600)), "peers-too-slow", times=1)


def test_a_frame_of_two_gibibytes_from_a_member(victim: Victim) -> None:
    attack(victim, attackers.huge_frame(identity(victim, GHOST)), "peers-frame-too-large")


def test_a_frame_of_two_gibibytes_in_the_name_of_a_member_that_works(victim: Victim) -> None:
    """Who comes again takes the place of an older connection: the member itself may have done so before the frame came.
    Then it was that attacker who was cut off, without a word of its frame, and comes again.
    """
    code, how = "peers-frame-too-large", attackers.huge_frame(tls(victim.folder / "node-2"))

    def until_heard(address: attackers.Address) -> None:
        logged, end_s = len(victim.log), time.monotonic() + PATIENCE_S
        while not refusals(victim.log[logged:], code) and time.monotonic() < end_s:
            how(address)

    attack(victim, until_heard, code, times=1)


def test_a_frame_that_never_ends_from_a_member(victim: Victim) -> None:
    attack(victim, attackers.slow_frame(identity(victim, GHOST)), "peers-too-slow", times=1)


def endure(victim: Victim, how: Attack, growth_max: int = GROWTH_MAX) -> list[str]:
    """Attack the member that leads, by what a member may say; return the warnings that came of it. Nothing else may.

    That GHOST can't be dialled is none.
    """
    before, logged, memory = dict(victim.status), len(victim.log), victim.memory
    how(victim.addresses[before["leaders"][0]])
    victim.wait_committed(20)
    assert victim.status["terms"] == before["terms"]
    assert victim.status["leaders"] == before["leaders"]
    print(f"{victim.memory - memory} bytes more")
    assert victim.memory - memory < growth_max
    lines = victim.log[logged:].splitlines()
    return [line for line in lines if not line.startswith("INFO ") and "peers-unreachable" not in line]


def test_hundreds_of_handshakes_at_a_snails_pace(victim: Victim) -> None:
    count, logged = 200, len(victim.log)
    assert endure(victim, attackers.crawl(tls(victim.folder / "node-2"), count))

    def told() -> int:
        log = victim.log[logged:]
        return sum(refusals(log, code) for code in ("peers-too-many", "peers-too-slow", "peers-protocol"))

    victim.until(lambda: told() == count, "not all of them were told")
    assert victim.log[logged:].count("Connection from") < 60


def of_the_past() -> list[bytes]:
    """What a member might have sent long ago, of each kind."""
    meta, entry = SnapshotMeta(5, 1, Membership((GHOST,))), Entry(6, 1, EntryKind.NORMAL, b"x")
    messages = [
        VoteRequest(1, 10**9, 1),
        VoteRequest(10**9, 0, 0),
        VoteRequest(10**9, 10**9, 10**9, pre=True),
        VoteReply(1, True),
        Append(1, 5, 1, 10**9, 7, (entry,)),
        AppendReply(1, 10**9, True, 10**9),
        SnapshotChunk(1, 7, meta, 10, 0, b"12345"),
        SnapshotReply(1, 10**9, 5, 10**9),
        SnapshotReply(1, 10**9, 5, 0, 1e9, "x" * 10_000),
        ReadRequest(1, 5),
        ReadReply(1, 5, 10**9),
        TimeoutNow(1),
    ]
    return [encode_frame(message) for message in messages]


def test_tens_of_thousands_of_frames_of_other_terms_from_a_member(victim: Victim) -> None:
    """Votes of a far future, too: no voter that hears a leader gives one, nor learns a term from who asks for it."""
    frames = of_the_past()
    assert endure(victim, attackers.hurl(identity(victim, GHOST), frames, 30_000 // len(frames))) == []


def test_tens_of_thousands_of_answers_from_who_was_not_asked(victim: Victim) -> None:
    """Each has a leader look for what it commits: a flood of them must leave the others their turns."""
    answer = encode_frame(AppendReply(victim.status["terms"][0], 10**9, True, 10**9))
    assert endure(victim, attackers.hurl(identity(victim, GHOST), [answer] * 1000, 50)) == []


def test_snapshot_pieces_that_overlap_and_lie_from_a_member(victim: Victim) -> None:
    meta = SnapshotMeta(10**9, 1, Membership((GHOST,)))
    pieces = [
        encode_frame(SnapshotChunk(1, 0, meta, total, offset, bytes(1000)))
        for total, offset in ((10**15, 0), (10**15, 500), (10**15, 10**14), (0, 0), (1, 0))
    ]
    assert endure(victim, attackers.hurl(identity(victim, GHOST), pieces, 100)) == []


def test_forwards_of_very_many_transactions_from_a_member(victim: Victim) -> None:
    ghost = identity(victim, GHOST)
    untaken = encode_frame(Forward(1, [b"x"] * FORWARDED_MAX))
    assert endure(victim, attackers.hurl(ghost, [untaken], 50)) == []
    poisoned = [encode_frame(Forward(number, [bytes(3)] * 1000)) for number in range(20)]
    assert endure(victim, attackers.hurl(ghost, poisoned)) == []


def test_what_is_no_frame_from_a_member(victim: Victim) -> None:
    millions = b"\x93\x20\x01\xdd" + (1_900_000).to_bytes(4, "big") + b"\xc4\x02xx" * 1_900_000
    deep = b"\x93\x22\x01" + b"\x91" * 4_000_000 + b"\x01"
    negative = encode_frame(SnapshotChunk(1, 0, SnapshotMeta(1, 1, Membership((GHOST,))), 1000, -1000, bytes(1000)))
    told = endure(victim, attackers.hurl(identity(victim, GHOST), [b"", b"\xc1", millions, deep, negative] * 3))
    assert len(told) == 1
    assert f"{GHOST} sends what is no frame" in told[0]


def test_a_thousand_connections(victim: Victim) -> None:
    before, logged, memory = dict(victim.status), len(victim.log), victim.memory
    victim.descriptors_seen = 0
    attackers.occupy(1000)(victim.address)

    def told() -> int:
        log = victim.log[logged:]
        return refusals(log, "peers-too-many") + refusals(log, "peers-too-slow")

    victim.until(lambda: told() >= 1000, "not all of them were told")
    assert told() == 1000
    assert victim.log[logged:].count("Connection from") < 100
    victim.wait_committed(20)
    assert victim.status["terms"] == before["terms"]
    assert victim.status["leaders"] == before["leaders"]
    print(f"1,000 connections: {victim.memory - memory} bytes more, {victim.descriptors_seen} descriptors")
    assert victim.memory - memory < GROWTH_MAX
    assert victim.descriptors_seen - before["descriptors"] < DESCRIPTORS_MAX
