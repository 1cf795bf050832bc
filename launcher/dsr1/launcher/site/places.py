"""Where site files lie."""

from collections.abc import Mapping
from pathlib import Path

VARIABLE, HERE, SHARED = "DSR1_SITE", Path("dsr1.yaml"), Path("/etc/dsr1/site.yaml")


def own_site_file() -> Path:
    """This user's, in the folder of his settings."""
    from platformdirs import user_config_path

    return user_config_path("dsr1") / "site.yaml"


def site_places(env: Mapping[str, str]) -> tuple[Path, ...]:
    """The nearest first."""
    named = env.get(VARIABLE, "")
    return (*([Path(named)] if named else []), HERE, own_site_file(), SHARED)
