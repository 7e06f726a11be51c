"""Where alerts and commit statuses go: a bounded queue and a task of its own for each sink, Apprise behind it."""
