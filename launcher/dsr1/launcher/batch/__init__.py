"""A run as a Slurm job: its script, its submission, and the supervisor inside the job."""
