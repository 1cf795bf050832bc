"""What is observed on a host, never judged. Runs inside the agent; everything reads below a root that tests set."""
