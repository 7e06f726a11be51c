"""The replicated store on PySyncObj: a second implementation of `reconciler.adapters.raft.ports`. Not the default.

What of the library is used, why that is safe and what it can't do: docs/decisions/0017-pysyncobj-behind-the-port.md.
`store.PySyncObjStore` is the door.
"""
