"""The swarmctl command: one file a verb; prints tables, plans and errors."""
