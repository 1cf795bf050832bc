"""All processes of all hosts as pure data: made, printed, and written as a script."""
