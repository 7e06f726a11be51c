"""Places tasks on nodes."""
