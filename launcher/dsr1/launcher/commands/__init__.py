"""What runs: argv and variables of every process, by small pure functions. Nothing here starts anything."""
