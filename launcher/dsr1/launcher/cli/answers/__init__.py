"""What verbs answer with --json."""
