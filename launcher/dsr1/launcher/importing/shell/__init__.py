"""What a shell script in a manifest would run, read without running it."""
