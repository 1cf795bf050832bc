"""What the launching side and the agent say to each other. Imports the standard library alone."""
