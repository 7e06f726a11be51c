"""The embedded swarm's brain: tables and time in, Commands out. Pure."""
