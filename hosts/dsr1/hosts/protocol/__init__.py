"""What the launching side and the agent send to each other. Imports the standard library alone."""
