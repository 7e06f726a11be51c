"""The embedded swarm's tables and the Commands that change them. Pure and deterministic."""
