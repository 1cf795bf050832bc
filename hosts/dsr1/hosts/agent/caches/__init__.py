"""The JIT caches of this host."""
