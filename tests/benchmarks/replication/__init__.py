"""The replicated store beside etcd: three members each, on the same disk, synced, in one run."""
