"""Per-node environment variables, each with where its value came from. Pure: no clock, file,
network or process."""
