"""Stack files: what `docker stack deploy` makes of them, rule by rule. Pure."""
