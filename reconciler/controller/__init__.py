"""Carries a Plan out on the Cluster port and waits until its tasks have converged."""
