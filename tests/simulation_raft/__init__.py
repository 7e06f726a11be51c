"""Raft in virtual time: fake network, fake disks, faults by seed, invariants after each step."""
