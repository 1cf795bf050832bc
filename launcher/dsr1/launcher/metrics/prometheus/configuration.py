"""A Prometheus of a run's own: its configuration."""

import yaml

RULES_FILE, EVERY = "rules.yml", "10s"


def render_configuration(bridge: str) -> str:
    """It finds all targets at the bridge, HOST:PORT, whenever they change."""
    discovery = {"url": f"http://{bridge}/targets", "refresh_interval": "5s"}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
            "rule_files": [RULES_FILE],
            "scrape_configs": [{"job_name": "dsr1", "http_sd_configs": [discovery]}],
        },
        sort_keys=False,
    )
