"""What a Prometheus asks of a run, and a Prometheus of the run's own."""
