"""What this host shows of a failure: observed before anything is ended, never judged."""
