"""What would make a host fit: decided here, purely, from what it told; done there, by its agent."""
