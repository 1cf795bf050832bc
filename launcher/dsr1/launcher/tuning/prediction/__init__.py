"""How long a step takes in a mapping: asked of AIConfigurator, or read from what it once said."""
