"""A few questions to every rank of a run, and whether the answers will do."""
