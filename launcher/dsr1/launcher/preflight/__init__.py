"""Before anything starts: facts of all hosts, and whether the plan would run there."""
