"""What lives on a run's hosts by the word of its supervisor, which hears their agents anyway."""
