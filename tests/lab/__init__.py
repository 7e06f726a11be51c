"""Real Docker Engines for the tests: each in its own namespaces, wired by a bridge that leads nowhere else."""
