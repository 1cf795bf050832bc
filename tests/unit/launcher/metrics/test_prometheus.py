"""Rules, targets and dashboard, judged by Debian's own promtool."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.fakes.pki import make_key_file, make_pair
from tests.fleet import fleet_plan

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.metrics.prometheus.access import IN_CLEAR, ScrapingAccess
from dsr1.launcher.metrics.prometheus.configuration import (
    RULES_FILE,
    render_configuration,
    render_web,
)
from dsr1.launcher.metrics.prometheus.dashboard import PANELS, render_dashboard
from dsr1.launcher.metrics.prometheus.grafana import INI, grafana_files
from dsr1.launcher.metrics.prometheus.rules import RULES, render_alert_rules
from dsr1.launcher.metrics.prometheus.targets import bridged_groups, direct_groups
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool isn't installed: apt-get install prometheus"
)
EXPRESSIONS = tuple(query.expression for panel in PANELS for query in panel.queries)
SERIES = re.compile(r"\b(?:vllm:|dynamo_|dsr1_)[a-z0-9_]+")


def promtool(*argv: str) -> str:
    assert PROMTOOL is not None
    done = subprocess.run((PROMTOOL, *argv), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    (tmp_path / RULES_FILE).write_text(render_alert_rules())
    (tmp_path / "prometheus.yml").write_text(render_configuration("127.0.0.1:1"))
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(tmp_path / RULES_FILE))
    promtool("check", "config", str(tmp_path / "prometheus.yml"))
    pair, password = make_pair(tmp_path), make_key_file(tmp_path)
    access = ScrapingAccess(str(pair.cert), str(pair.key), "n.example", str(password))
    (tmp_path / "secured.yml").write_text(render_configuration("127.0.0.1:1", access))
    promtool("check", "config", str(tmp_path / "secured.yml"))
    hashed = "$2b$10$" + "a" * 53
    for name, text in {
        "web.yml": render_web(access, hashed),
        "open.yml": render_web(IN_CLEAR, ""),
    }.items():
        (tmp_path / name).write_text(text)
        promtool("check", "web-config", str(tmp_path / name))


@needs_promtool
def test_each_rule_fires_once_and_not_without_its_cause(tmp_path: Path) -> None:
    """`promtool test rules`: its own example makes each fire, and none fires of the other's."""
    (tmp_path / RULES_FILE).write_text(render_alert_rules())
    tests = []
    for rule in RULES:
        series = [{"series": name, "values": values} for name, values in rule.example]
        count = f'count(ALERTS{{alertname="{rule.name}", alertstate="firing"}})'
        checks = [
            {"expr": count, "eval_time": "18m", "exp_samples": [{"labels": "{}", "value": 1}]}
        ]
        tests.append({"interval": "1m", "input_series": series, "promql_expr_test": checks})
    plain = {"rule_files": [RULES_FILE], "evaluation_interval": "15s", "tests": tests}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(plain))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yml"))


@needs_promtool
def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    groups = [
        {"record": f"dsr1:{number}", "expr": text.replace("$run", "r")}
        for number, text in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": groups}]}))
    assert f"{len(groups)} rules found" in promtool("check", "rules", str(tmp_path / "r.yml"))


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
