"""Where this user's runs and kept caches lie."""

import os
from pathlib import Path


def state_folder() -> Path:
    """$DSR1_STATE_DIR, or the user's state folder."""
    from platformdirs import user_state_path

    own = os.environ.get("DSR1_STATE_DIR")
    return Path(own).absolute() if own else user_state_path("dsr1")
