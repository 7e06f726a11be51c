"""Raft without I/O: what managers must agree on goes in as messages and time, what to do about it comes out as values.

`core.Core` is the door; `values` holds what travels and what is stored. Nothing here reads a clock, rolls dice, opens a
file or a socket. Sources: Ongaro, "Consensus: Bridging Theory and Practice" (2014), named "thesis" below, with its
sections; etcd-io/raft for pre-vote, quorum checks, flow control and conflict hints.
"""
