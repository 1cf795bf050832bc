"""Processes of a run: started, recorded, watched, ended with proof."""
