"""The drill's hosts are those of tests/cluster, and so is what they need."""

from tests.cluster.conftest import needs_root, packages

__all__ = ["needs_root", "packages"]
