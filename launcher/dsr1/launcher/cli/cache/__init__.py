"""`dsr1 cache`: JIT caches, those that this machine keeps and those on hosts."""
