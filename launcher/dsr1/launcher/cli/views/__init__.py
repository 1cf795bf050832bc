"""What a person sees on the terminal: findings, the ranks of a start, the progress of long jobs."""
