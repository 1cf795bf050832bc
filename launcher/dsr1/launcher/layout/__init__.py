"""Where engines, ranks, ports and adapters go on the given hosts."""
