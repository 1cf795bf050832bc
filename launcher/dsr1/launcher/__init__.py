"""Recipe to plan to run: what serves the model, planned purely and then launched, watched and
stopped."""

import sys

# httpx's own command line brings click, rich and pygments: 0.2 s in every verb that asks a server.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
