"""What a shell completes: answered from an index, since a person waits for each key."""
