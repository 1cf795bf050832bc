"""A Prometheus of a run's own: its configuration."""

import yaml

from dsr1.launcher.metrics.prometheus.access import IN_CLEAR, USER, ScrapingAccess

RULES_FILE, EVERY = "rules.yml", "10s"


def render_configuration(bridge: str, access: ScrapingAccess = IN_CLEAR) -> str:
    """It finds all targets at the bridge, HOST:PORT, whenever they change."""
    discovery = {"url": f"{access.scheme}://{bridge}/targets", "refresh_interval": "5s"}
    own = _client(access)
    scraped = {"job_name": "dsr1", **own, "http_sd_configs": [{**discovery, **own}]}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
            "rule_files": [RULES_FILE],
            "scrape_configs": [scraped],
        },
        sort_keys=False,
    )


def _client(access: ScrapingAccess) -> dict[str, object]:
    """It trusts the bridge's certificate itself, whose authority this machine may not know."""
    found: dict[str, object] = {}
    if access.cert:
        found["tls_config"] = {"ca_file": access.cert, "server_name": access.server_name}
    if access.password_file:
        found["basic_auth"] = {"username": USER, "password_file": access.password_file}
    return found


def render_web(access: ScrapingAccess, hashed: str) -> str:
    """Prometheus's web.config.file: whom it lets in, and how. It reads the files at each
    connection, so that a certificate may be renewed."""
    found: dict[str, object] = {}
    if access.cert:
        found["tls_server_config"] = {"cert_file": access.cert, "key_file": access.key}
    if hashed:
        found["basic_auth_users"] = {USER: hashed}
    return yaml.safe_dump(found, sort_keys=False)
