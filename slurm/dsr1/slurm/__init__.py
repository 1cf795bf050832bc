"""Slurm: job specifications, submission and job states. Knows nothing of vLLM."""
