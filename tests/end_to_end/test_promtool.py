"""Prometheus' own tool on the rules, the configuration and the dashboard that dsr1 writes."""

import subprocess
from pathlib import Path

import pytest
import yaml
from tests.fakes.pki import make_key_file, make_pair

from dsr1.launcher.metrics.prometheus.access import IN_CLEAR, ScrapingAccess
from dsr1.launcher.metrics.prometheus.configuration import (
    RULES_FILE,
    render_configuration,
    render_web,
)
from dsr1.launcher.metrics.prometheus.dashboard import PANELS
from dsr1.launcher.metrics.prometheus.rules import RULES, render_alert_rules

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prometheus")]
EXPRESSIONS = tuple(query.expression for panel in PANELS for query in panel.queries)


def promtool(*argv: str) -> str:
    done = subprocess.run(("promtool", *argv), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    groups = [
        {"record": f"dsr1:{number}", "expr": text.replace("$run", "r")}
        for number, text in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": groups}]}))
    assert f"{len(groups)} rules found" in promtool("check", "rules", str(tmp_path / "r.yml"))
