"""Load on a deployment from this host: a driver's command, and what it measured."""
