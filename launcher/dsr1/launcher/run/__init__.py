"""One deployment: its folder, its launch, the supervisor that watches it, and its end."""
