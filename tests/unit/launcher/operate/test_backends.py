"""Where a run lives is decided in one place, and each place can do all that is asked of runs."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.ssh import SshTransport
from dsr1.launcher.operate.backends import BACKENDS, backend_for, backend_name, backend_of
from dsr1.launcher.operate.status import phases, take_over_any
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.survey_result import unasked_survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.prepare import make_run_secrets, make_settings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.transport import SrunTransport

RECIPE = load_recipe("dsr1-slice", ["model.path=/models/r1"])
HOST = Access("a", "192.0.2.1")
LAUNCHER = Path(__file__).parents[4] / "launcher" / "dsr1" / "launcher"
# Where a job's handle is shown, written down, or what a run is found by.
OF_JOBS = {"operate/backends.py", "run/store.py", "cli/launch.py"}
OF_JOBS |= {"cli/runs/ps.py", "cli/views/status.py", "cli/answers/run_answers.py"}
OF_JOBS |= {"report/contents.py"}


def planned(name: str) -> Run:
    run, survey = new_run(name), unasked_survey(RECIPE, ())
    run.claim(RECIPE, "ready")
    plan = make_plan(RECIPE, survey.hosts, run.name, str(run.folder))
    run.fill(plan, make_settings(RECIPE, survey, ()), make_run_secrets(plan, survey, RECIPE))
    return run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    made = {name: planned(name) for name in BACKENDS}
    made["ssh"].save_settings(replace(made["ssh"].settings(), hosts=(HOST,)))
    made["slurm"].save_job(JobHandle("lab", "7", "dsr1-slurm-0"))
    own = Allocation("7", "lab", (AllocatedHost("a"),))
    made["slurm"].save_allocation(own)
    made["allocation"].save_settings(replace(made["allocation"].settings(), hosts=(HOST,)))
    made["allocation"].save_job(JobHandle("lab", "7", "interactive"))
    made["allocation"].save_allocation(replace(own, is_lent=True))
    return made


def test_each_run_has_its_own(runs: dict[str, Run]) -> None:
    assert {name: backend_name(run) for name, run in runs.items()} == {n: n for n in BACKENDS}
    kinds = {name: type(backend_of(run).transport(run)) for name, run in runs.items()}
    in_jobs = {"allocation": SrunTransport, "slurm": SrunTransport}
    assert kinds == {"local": LocalTransport, "ssh": SshTransport, **in_jobs}


def test_one_that_waits_for_its_job_is_slurms(runs: dict[str, Run]) -> None:
    waiting = new_run("w")
    waiting.claim(RECIPE, "queued")
    assert backend_name(waiting) == "slurm"


def test_a_new_run_by_what_is_asked_for(runs: dict[str, Run]) -> None:
    assert type(backend_for(())) is type(backend_of(runs["local"]))
    assert type(backend_for((HOST,))) is type(backend_of(runs["ssh"]))
    assert type(backend_for((), slurm=True)) is type(backend_of(runs["slurm"]))
    assert type(backend_for((), lent=True)) is type(backend_of(runs["allocation"]))
    assert [run.is_watched() for run in runs.values()] == [False, True, False, False]


def test_what_can_t_be_read_or_asked_is_listed_all_the_same(runs: dict[str, Run]) -> None:
    """There is no Slurm here."""
    runs["ssh"].save(RunState("stopped", 1.0))
    (runs["local"].folder / "state.json").write_text("{")
    doubts: list[str] = []
    assert phases(list(runs.values()), doubts.append) == {
        "allocation": "unsupervised",
        "slurm": "ready",
        "ssh": "stopped",
        "local": "unreadable",
    }
    (doubt,) = doubts
    assert doubt.endswith("(squeue is not there); of slurm this is what was written last")


def test_only_a_job_can_t_be_taken_over(runs: dict[str, Run]) -> None:
    with pytest.raises(InputError, match="its supervisor is its job's batch step"):
        take_over_any(runs["slurm"])
    with pytest.raises(InputError, match="its agents end with their supervisor"):
        take_over_any(runs["allocation"])
    runs["local"].save(RunState("stopped", 1.0))
    with pytest.raises(InputError, match=r"has ended \(stopped\)"):
        take_over_any(runs["local"])


def test_nobody_else_asks_whether_a_run_has_a_job() -> None:
    asking = {
        str(file.relative_to(LAUNCHER))
        for file in LAUNCHER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "job" and is_of_run(node)
    }
    assert {file for file in asking if not file.startswith("batch/")} <= OF_JOBS


def is_of_run(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("run", "found")
