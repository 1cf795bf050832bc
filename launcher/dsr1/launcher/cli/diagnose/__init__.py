"""Verbs that say why a run failed: `dsr1 why` and `dsr1 bundle`."""
