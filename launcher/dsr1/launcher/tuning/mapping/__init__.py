"""A recipe in another mapping: tensor, data and expert parallelism, and every number that hangs on
them. Pure, but for the model's config.json."""
