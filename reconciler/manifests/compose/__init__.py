"""Compose v3 stack files to Swarm create requests, by the rules of `docker stack deploy`. Pure."""
