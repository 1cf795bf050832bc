"""R1's recipes rehearsed on this machine, and several frontends behind one address, with Dynamo's
engine simulator."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site, of_run, pid_of
from tests.waiting import until

from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.store import Run


@pytest.fixture
def bare(runtime: None, free_ports: tuple[int, int]) -> Site:
    """Without a model: a rehearsal brings what the simulator reads."""
    base, frontend = free_ports
    ports = ("--set", f"ports.base={base}", "--set", f"frontend.port={frontend}")
    return ("--venv", str(RUNTIME), *ports)


def complete(url: str) -> str:
    asked = {"model": "deepseek-ai/DeepSeek-R1", "prompt": "hello", "max_tokens": 4}
    answer = httpx.post(url, json={**asked, "ignore_eos": True}, trust_env=False, timeout=120)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


@pytest.mark.parametrize("recipe", ["dsr1-disagg-h100", "dsr1-vllm"])
def test_a_recipe_is_rehearsed_here(
    recipe: str, dsr1: Dsr1, bare: Site, newest: Callable[[], Run]
) -> None:
    """This machine stands in for the recipe's hosts. More requests than sequences wait, as vLLM lets them, and
    answers have text."""
    few = [f"engines.{name}.max_num_seqs=1" for name in load_recipe(recipe).engines]
    settings = [word for one in few for word in ("--set", one)]
    launched = dsr1("launch", recipe, "--rehearse", "--name", "r", *bare, *settings)
    assert launched.returncode == 0, launched.stderr
    assert data_of(dsr1("status", "r", "--json").stdout)["phase"] == "ready"
    smoked = dsr1("smoke", "r")
    assert smoked.returncode == 0, smoked.stderr
    url = f"{newest().plan().service.url}/v1/completions"
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(complete, [url] * 64))
    assert [one for one in answers if not one.strip()] == []
    assert dsr1("stop", "r").returncode == 0
    assert of_run(newest().folder / "hosts") == []


def fronts(plan: Plan) -> list[str]:
    return sorted(process.name for process in plan.processes if not process.ranks)


def test_replicas_and_frontends_behind_one_address(
    dsr1: Dsr1, bare: Site, newest: Callable[[], Run]
) -> None:
    many = ("--set", "engines.main={nodes: 2, replicas: 2}", "--set", "frontend.replicas=2")
    launched = dsr1("launch", "tiny", "--name", "m", *bare, "--model", str(MODEL), *MOCKER, *many)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    assert fronts(run.plan()) == ["frontend-0", "frontend-1", "gateway"]
    assert dsr1("smoke", "m").returncode == 0
    told = [
        httpx.get(f"{url}/metrics", trust_env=False).text
        for url in run.plan().service.frontend_urls
    ]
    assert all("/v1/chat/completions" in text or "chat_completions" in text for text in told)
    os.kill(pid_of(run, "gateway"), signal.SIGKILL)
    until(lambda: run.state().ended)
    assert run.state().reason.startswith("gateway ended by signal SIGKILL")
    assert of_run(run.folder / "hosts") == []


def test_a_model_that_is_named_must_be_there(dsr1: Dsr1, bare: Site, tmp_path: Path) -> None:
    refused = dsr1("launch", "dsr1-dep", "--rehearse", *bare, "--model", str(tmp_path / "none"))
    assert refused.returncode == 3
    assert "model.dir" in refused.stderr
