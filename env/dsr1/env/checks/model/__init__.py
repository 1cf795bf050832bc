"""Checks of the model: its files and where they lie, its parallelism, and whether it fits."""
