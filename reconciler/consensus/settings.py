"""Every time and limit of the core, each with its unit, its default and why."""

from __future__ import annotations

import msgspec

from reconciler.model.errors import ErrorCode, SwarmctlError


class ConsensusSettings(msgspec.Struct, frozen=True):
    """All managers of a group need the same times; limits may differ."""

    election_min_s: float = 1.0
    """Seconds without a leader after which a manager may stand. Voters that heard one less long ago refuse."""

    election_max_s: float = 2.0
    """Upper end of the random wait. A range as wide as the minimum makes split votes rare (thesis 3.9)."""

    heartbeat_s: float = 0.15
    """Seconds between a leader's heartbeats; several must fit into `fallback_s`."""

    fallback_s: float = 0.7
    """Seconds without a majority after which a leader steps down. Counted from when the answered heartbeat was sent,
    so with clocks that run equally fast it is over before any voter may help another leader."""

    disk_stall_s: float = 2.0
    """Seconds that a leader's own disk may take for a sync; beyond it the leader steps down, as others could go on."""

    message_bytes_max: int = 256 * 1024
    """Bytes of entries in one message; one larger entry still travels, alone."""

    inflight_messages_max: int = 64
    """Messages with entries that may be unanswered for one peer."""

    inflight_bytes_max: int = 4 * 1024 * 1024
    """Bytes of entries that may be unanswered for one peer."""

    entry_bytes_max: int = 4 * 1024 * 1024
    """Bytes of one proposal; larger ones are refused."""

    uncommitted_bytes_max: int = 16 * 1024 * 1024
    """Bytes that a leader has proposed and not yet committed; beyond it new proposals are refused as overloaded."""

    log_bytes_max: int = 256 * 1024 * 1024
    """Bytes of entries in memory, with their overhead. Beyond it a leader refuses proposals and a follower takes no
    entries, until a snapshot allows to drop some."""

    committed_bytes_max: int = 1024 * 1024
    """Bytes of committed entries in one Ready, so that applying never holds up heartbeats for long."""

    snapshot_chunk_bytes: int = 256 * 1024
    """Bytes of one piece of a snapshot."""

    snapshot_wait_s: float = 10.0
    """Seconds at most until a member that can't use a snapshot is sent its first piece again. It may have been started
    anew meanwhile, with more space or in a newer version; else it refuses that piece, and the rest stays here."""

    catch_up_entries: int = 256
    """A learner this close to the end of the leader's log may become a voter."""

    reads_max: int = 10_000
    """Waiting linearizable reads; more are refused."""

    read_rounds_max: int = 4
    """Read rounds under way at once; readers that come meanwhile share the next one."""

    members_max: int = 64
    """Voters and learners together."""

    def __post_init__(self) -> None:
        if not 0 < 2 * self.heartbeat_s < self.fallback_s < self.election_min_s < self.election_max_s:
            raise SwarmctlError(
                ErrorCode.BAD_SETTING,
                "The times of the replicated store don't fit together.",
                why=f"Twice the heartbeat ({self.heartbeat_s} s) must be less than the fallback ({self.fallback_s} s), "
                f"that less than the election minimum ({self.election_min_s} s) and that less than the maximum "
                f"({self.election_max_s} s).",
                hint="Keep the defaults' proportions: 0.15, 0.7, 1.0, 2.0.",
            )
