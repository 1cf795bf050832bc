"""What to serve: the strict models of a recipe, how files become one, and the built-in ones."""
