"""What the GitOps loop decides, as pure functions of what is known: time is an argument, and nothing is done here."""
