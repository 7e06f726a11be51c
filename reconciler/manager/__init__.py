"""The embedded swarm's manager: keeps the tables, runs the brain, hands tasks to agents."""
