"""How a run came about and what became of it, for people: its start as a picture, its events, and
a page to hand on."""
