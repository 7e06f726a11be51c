"""What every backend of the Cluster port promises."""
