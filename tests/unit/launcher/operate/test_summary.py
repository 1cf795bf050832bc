"""What is said of a run without its plan being read as one."""

from pathlib import Path

import pytest

from dsr1.launcher.operate.summary import summarize
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.survey_result import unasked_survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.store import new_run

TLS = "frontend.tls={cert: /c.pem, key: /k.pem}"


@pytest.mark.parametrize("settings", [[], [TLS]])
def test_it_is_where_the_plan_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    recipe, run = load_recipe("tiny", settings, model="/m", venv="/v"), new_run("r1")
    run.claim(recipe, "starting")
    assert summarize(run).url == ""
    hosts = unasked_survey(recipe, ()).hosts
    plan = make_plan(recipe, hosts, run.name, str(run.folder))
    run.save_plan(plan)
    assert summarize(run).url == plan.service.url
    assert summarize(run).url.startswith("https://" if settings else "http://")
