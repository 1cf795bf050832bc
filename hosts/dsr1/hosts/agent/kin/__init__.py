"""Which of a host's processes are a run's, whatever became of its agent and files."""
