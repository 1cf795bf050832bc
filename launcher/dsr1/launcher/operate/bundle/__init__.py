"""An archive of a run for a bug report, without secrets, user names or addresses."""
