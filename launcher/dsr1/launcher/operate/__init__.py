"""What a user asks of runs that are there: where they live, how they are, what they log."""
