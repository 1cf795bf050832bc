"""The supervisor of a run: what its hosts tell, what follows from it, and what it writes down."""
