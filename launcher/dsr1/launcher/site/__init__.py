"""What a place says once for all recipes: its host sets, environment, models, Slurm account."""
