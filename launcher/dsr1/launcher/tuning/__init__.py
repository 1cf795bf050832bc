"""Which recipe is best for these hosts and this load: other mappings of it, predicted, then
measured."""
