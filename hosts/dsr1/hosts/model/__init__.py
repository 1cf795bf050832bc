"""What the agent does with a model on its host: look at its files, hash, fetch and pass them on. Standard library."""
