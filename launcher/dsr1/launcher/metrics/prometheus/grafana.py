"""A Grafana of a run's own: its configuration, and what it is provisioned with, by file name.

Its documentation's "Configure Grafana" and "Provision Grafana" say what these mean; `$__file{...}`
is read by Grafana itself, in both, so that no secret is copied.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from dsr1.launcher.metrics.prometheus.access import USER, ScrapingAccess
from dsr1.launcher.metrics.prometheus.configuration import EVERY
from dsr1.launcher.metrics.prometheus.dashboard import render_dashboard

INI = "grafana.ini"
HOME = "dashboards/dsr1.json"


def grafana_files(
    folder: Path, listen: tuple[str, int], prometheus: str, access: ScrapingAccess
) -> dict[str, str]:
    """Texts by path below `folder`, which is its own. `prometheus`: HOST:PORT."""
    provider = {
        "name": "dsr1",
        "type": "file",
        "disableDeletion": True,
        "options": {"path": _literal(str((folder / HOME).parent))},
    }
    return {
        INI: _ini(folder, listen, access),
        HOME: render_dashboard(),
        "provisioning/dashboards/dsr1.yaml": _dump({"apiVersion": 1, "providers": [provider]}),
        "provisioning/datasources/dsr1.yaml": _dump(
            {"apiVersion": 1, "datasources": [_source(prometheus, access)]}
        ),
    }


def _source(prometheus: str, access: ScrapingAccess) -> dict[str, object]:
    known: dict[str, object] = {"httpMethod": "POST", "timeInterval": EVERY}
    secret: dict[str, str] = {}
    found: dict[str, object] = {
        "name": "dsr1",
        "uid": "dsr1",
        "type": "prometheus",
        "access": "proxy",
        "url": f"{access.scheme}://{prometheus}",
        "isDefault": True,
        "editable": False,
        "jsonData": known,
        "secureJsonData": secret,
    }
    if access.cert:
        known |= {"tlsAuthWithCACert": True, "serverName": access.server_name}
        secret["tlsCACert"] = _content_of(access.cert)
    if access.password_file:
        found |= {"basicAuth": True, "basicAuthUser": USER}
        secret["basicAuthPassword"] = _content_of(access.password_file)
    return found


def _ini(folder: Path, listen: tuple[str, int], access: ScrapingAccess) -> str:
    """Nothing is asked of or told to anybody outside. Without a password who reaches it may look,
    and change nothing: there is no administrator."""
    address, port = listen
    sections: dict[str, Mapping[str, str]] = {
        "paths": {
            "data": _quoted(folder / "data"),
            "logs": _quoted(folder / "data/log"),
            "plugins": _quoted(folder / "data/plugins"),
            "provisioning": _quoted(folder / "provisioning"),
        },
        "server": {
            "protocol": access.scheme,
            "http_addr": address,
            "http_port": str(port),
            "domain": address,
            "cert_file": access.cert and _quoted(access.cert),
            "cert_key": access.key and _quoted(access.key),
        },
        "security": _security(access),
        "auth.anonymous": {
            "enabled": _word(not access.password_file),
            "org_role": "Viewer",
        },
        "users": {"allow_sign_up": "false"},
        "dashboards": {"default_home_dashboard_path": _quoted(folder / HOME)},
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "news": {"news_feed_enabled": "false"},
        "snapshots": {"external_enabled": "false"},
        "plugins": {"preinstall_disabled": "true", "plugin_admin_enabled": "false"},
        "log": {"mode": "console"},
    }
    return "".join(_section(name, keys) for name, keys in sections.items())


def _security(access: ScrapingAccess) -> dict[str, str]:
    common = {"cookie_secure": _word(bool(access.cert)), "disable_gravatar": "true"}
    if not access.password_file:
        return {**common, "disable_initial_admin_creation": "true"}
    password = _content_of(access.password_file)
    return {**common, "admin_user": USER, "admin_password": password}


def _section(name: str, keys: Mapping[str, str]) -> str:
    lines = (f"{key} = {value}\n" for key, value in keys.items())
    return f"[{name}]\n{''.join(lines)}\n"


def _word(value: bool) -> str:
    return str(value).lower()


def _quoted(path: Path | str) -> str:
    """Raw: `#` and `;` of a path begin no comment."""
    return f"`{path}`"


def _content_of(file: str) -> str:
    return f"$__file{{{file}}}"


def _literal(text: str) -> str:
    return text.replace("$", "$$")


def _dump(plain: object) -> str:
    return yaml.safe_dump(plain, sort_keys=False, width=1000)
