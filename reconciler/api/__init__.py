"""HTTP: the Docker Engine API of the embedded swarm. Translates and answers; decides nothing."""
