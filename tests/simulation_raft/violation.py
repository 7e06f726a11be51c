"""What the simulation raises."""

from __future__ import annotations


class Violation(AssertionError):
    """A promise of Raft's, or of ours, was broken."""
