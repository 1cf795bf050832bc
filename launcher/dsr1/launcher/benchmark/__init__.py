"""What a deployment can do: load of a known kind, driven from one host, measured and judged."""
