"""The agent: the part of dsr1 that runs on a host and owns that host's processes of one run.

It travels as one file and runs with the recipe's own Python (3.10 and later), so its modules import
the standard library and psutil alone.
"""
