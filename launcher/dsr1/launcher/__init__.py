"""Recipe to plan to run: what serves the model, planned purely and then launched, watched and
stopped."""
