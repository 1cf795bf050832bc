"""The agent that stays: it owns the processes of a run and takes orders over its socket."""
