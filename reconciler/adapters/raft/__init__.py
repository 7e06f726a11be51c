"""What keeps a manager's share of the replicated log: journal, hard state and snapshots on disk.

`log.DurableLog` is the door. Everything that touches the disk goes through `disk.Disk`.
"""
