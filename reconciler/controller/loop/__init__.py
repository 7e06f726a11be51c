"""The GitOps loop's shell: it reads, asks the pure core (`reconciler.gitops`) what to do, does that, and remembers."""
