"""A Slurm that needs no Slurm: for tests, here and elsewhere."""
