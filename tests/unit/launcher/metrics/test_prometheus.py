"""Rules, targets and dashboard; tests/end_to_end/test_promtool.py has Prometheus' own word."""

import configparser
import json
import re
from pathlib import Path

import yaml
from tests.fleet import fleet_plan

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.metrics.prometheus.access import IN_CLEAR
from dsr1.launcher.metrics.prometheus.dashboard import render_dashboard
from dsr1.launcher.metrics.prometheus.grafana import INI, grafana_files
from dsr1.launcher.metrics.prometheus.rules import RULES
from dsr1.launcher.metrics.prometheus.targets import bridged_groups, direct_groups
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe

SERIES = re.compile(r"\b(?:vllm:|dynamo_|dsr1_)[a-z0-9_]+")


def test_every_rule_says_what_to_do() -> None:
    for rule in RULES:
        assert len(rule.remedy) > 20
        assert rule.link.startswith("https://")
        own = {name for text, _ in rule.example for name in SERIES.findall(text)}
        assert own <= set(SERIES.findall(rule.expression)), rule.name


def test_a_dashboard_as_grafana_reads_it() -> None:
    found = json.loads(render_dashboard())
    assert found["uid"] == "dsr1"
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids)) > 12
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found["panels"]}
    assert len(places) == len(ids)
    assert all(target["expr"] for panel in found["panels"] for target in panel["targets"])


def test_a_grafana_without_a_password_changes_nothing() -> None:
    """Who reaches it may look; and no path of an odd name begins a comment or a variable."""
    folder = Path("/state/a #1; $HOME")
    files = grafana_files(folder, ("10.0.0.1", 3000), "10.0.0.1:9090", IN_CLEAR)
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(files[INI])
    assert ini["auth.anonymous"] == {"enabled": "true", "org_role": "Viewer"}
    assert ini["security"]["disable_initial_admin_creation"] == "true"
    assert "admin_password" not in ini["security"]
    assert (ini["server"]["protocol"], ini["server"]["cert_file"]) == ("http", "")
    assert ini["paths"]["data"] == f"`{folder}/data`"
    (provider,) = yaml.safe_load(files["provisioning/dashboards/dsr1.yaml"])["providers"]
    assert provider["options"]["path"] == "/state/a #1; $$HOME/dashboards"
    (source,) = yaml.safe_load(files["provisioning/datasources/dsr1.yaml"])["datasources"]
    assert (source["url"], source["secureJsonData"]) == ("http://10.0.0.1:9090", {})


def test_the_bridge_reaches_everything() -> None:
    plan = fleet_plan()
    groups = bridged_groups(plan, "10.0.0.1:9")
    paths = [group["labels"]["__metrics_path__"] for group in groups]  # type: ignore[index]
    assert len(paths) == len(set(paths)) == 1 + 16 + 1 + 16  # itself, workers, frontend, devices
    assert {"/metrics", "/metrics/node03/decode-2", "/metrics/node16/devices"} <= set(paths)
    assert all(group["targets"] == ("10.0.0.1:9",) for group in groups)
    secured = bridged_groups(plan, "10.0.0.1:9", secured=True)
    assert {group["labels"]["__scheme__"] for group in secured} == {"https"}  # type: ignore[index]


def test_without_it_what_can_be_reached() -> None:
    """Workers of several hosts listen for their own host alone."""
    direct = direct_groups(fleet_plan())
    assert [group["labels"]["process"] for group in direct] == ["frontend"]  # type: ignore[index]
    recipe = parse_recipe("name: t\nmodel: {path: /m}\nengines: {main: {ranks_per_node: 2}}", "t")
    plan = make_plan(recipe, [Host("localhost", "127.0.0.1", "lo")], "r", "/r")
    labels = [group["labels"] for group in direct_groups(plan)]
    assert [one["role"] for one in labels] == ["aggregated", "frontend"]  # type: ignore[index]
    assert direct_groups(plan)[0]["targets"] != ("",)
