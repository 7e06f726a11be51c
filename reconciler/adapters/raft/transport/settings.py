"""Every time and limit of the transport, each with its unit, its default and why."""

from __future__ import annotations

import msgspec


class TransportSettings(msgspec.Struct, frozen=True):
    """Defaults fit ConsensusSettings' own: whoever raises `entry_bytes_max` raises `frame_bytes_max` with it."""

    frame_bytes_max: int = 8 * 1024 * 1024
    """Bytes of one frame. The largest message holds one entry of 4 MiB (ConsensusSettings.entry_bytes_max)."""

    queue_bytes_max: int = 16 * 1024 * 1024
    """Bytes that may wait for one member; more is dropped. The core has at most 4 MiB of entries unanswered."""

    write_bytes: int = 256 * 1024
    """Bytes that are encrypted and handed to the system at a time; as much again may wait below us."""

    connect_timeout_s: float = 0.5
    """Seconds for one attempt to connect. The system repeats a lost packet only after a second: a new attempt is
    faster once a partition has healed. With a longer way than this no leader could keep its followers anyway."""

    resolve_timeout_s: float = 3.0
    """Seconds to find out what a name stands for. IP addresses in the membership do without."""

    handshake_timeout_s: float = 3.0
    """Seconds from the connection to the end of the greeting, on both sides."""

    retry_min_s: float = 0.1
    """Seconds before the second attempt to reach a member; each further wait is longer."""

    retry_max_s: float = 0.4
    """Longest wait between two attempts: a healed partition should be noticed well within an election timeout."""

    steady_after_s: float = 1.0
    """A connection that lived this long was a good one: when it ends, the first attempt follows at once."""

    dead_after_s: float = 1.0
    """Seconds that sent bytes may stay unacknowledged (TCP_USER_TIMEOUT), and that an idle connection goes without a
    sign of life (TCP keepalive, twice). What is sent meanwhile is lost, so it is short."""

    frame_timeout_s: float = 10.0
    """Seconds for the rest of a frame that has begun, beside `frame_rate_min`."""

    frame_rate_min: int = 64 * 1024
    """Bytes a second that a large frame must come with."""

    pending_max: int = 64
    """Accepted connections that have not yet shown who they are; a new one beyond it drops the oldest."""

    pending_per_source_max: int = 16
    """Of those, how many from one address (of IPv6 from one /64)."""

    unfollowed_max: int = 64
    """Members of the cluster that may be connected while this node doesn't know its members yet."""

    reload_s: float = 5.0
    """Seconds between two looks whether the certificate's files have changed."""
