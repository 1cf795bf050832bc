"""Launches of dsr1-slice on real H100s, recorded: cold, again, and on a machine that was given the
caches."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.env.hgx import captured_facts

from dsr1.env.checks.all import run_checks
from dsr1.hosts.agent.process.progress import ProgressReader
from dsr1.hosts.inventory.host import this_machine
from dsr1.hosts.protocol.codec import parse_event
from dsr1.hosts.protocol.events import Event, Progress, Spawned
from dsr1.launcher.commands.phases import VLLM_PHASES
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.requirements import make_requirements
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.recipe.models import Recipe

DATA = Path(__file__).parents[3] / "data" / "h100-slice"
STARTS = ("cold", "second", "fresh")


def events(start: str) -> list[tuple[float, Event]]:
    lines = (DATA / start / "events.jsonl").read_bytes().splitlines()
    return [(told.time, told.event) for told in map(parse_event, lines)]


def ready_after(start: str) -> float:
    return float(json.loads((DATA / start / "state.json").read_text())["ready_after"])


def recipe(*changes: str) -> Recipe:
    return load_recipe("dsr1-slice", ["model.path=/models/r1", *changes])


@pytest.mark.parametrize("start", STARTS)
def test_the_agent_told_what_the_log_says(start: str) -> None:
    told = [event.phase for _, event in events(start) if isinstance(event, Progress)]
    read = ProgressReader(VLLM_PHASES).feed((DATA / start / "main-0.log").read_bytes())
    said = [step.phase for step in read if step.phase != "connecting"]  # told since then
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(said))
    assert told[-1] == "registering"


def test_a_start_with_caches_from_another_machine_is_as_quick_as_a_second_one() -> None:
    cold, second, fresh = map(ready_after, STARTS)
    assert fresh < 1.2 * second
    assert fresh < cold / 5


def test_what_was_compiled_once_is_not_compiled_again() -> None:
    """Cold, the warm-up of DeepGEMM and the silent phase before it take minutes."""
    spans = {start: seconds_in(start, "profiling", "warming up") for start in STARTS}
    assert spans["cold"] > 300
    assert max(spans["second"], spans["fresh"]) < 10


def seconds_in(start: str, *phases: str) -> float:
    told = [(time, event) for time, event in events(start) if isinstance(event, Progress | Spawned)]
    spans = [(after[0] - before[0], before[1]) for before, after in pairwise(told)]
    return sum(
        span for span, event in spans if isinstance(event, Progress) and event.phase in phases
    )


def test_the_host_is_fit_for_it() -> None:
    hosts = this_machine(1, 1)
    needs = make_requirements(make_draft(recipe(), hosts))
    found = {
        finding.check: finding
        for finding in run_checks({"localhost": captured_facts("facts")}, needs)
    }
    assert [check for check, finding in found.items() if finding.verdict == "FAIL"] == []
    assert {found[check].verdict for check in ("gpu.model", "gpu.count", "cfg.memory")} == {"PASS"}


def test_two_gpus_of_one_host() -> None:
    """Whether the errors of their links grow can't be told from one look."""
    needs = make_requirements(
        make_draft(recipe("engines.main.ranks_per_node=2"), this_machine(1, 2))
    )
    found = {
        f.check: f.verdict for f in run_checks({"localhost": captured_facts("facts-2-gpus")}, needs)
    }
    assert (found["nvl.links"], found["nvl.p2p"], found["nvl.errors"]) == (
        "PASS",
        "PASS",
        "UNKNOWN",
    )
    assert "FAIL" not in found.values()


def test_the_room_for_the_cache_is_what_vllm_found() -> None:
    log = (DATA / "second" / "main-0.log").read_text()
    measured = float(re.findall(r"Available KV cache memory: ([\d.]+) GiB", log)[0])
    site = {"localhost": captured_facts("facts")}
    (found,) = (
        f
        for f in run_checks(site, make_requirements(make_draft(recipe(), this_machine(1, 1))))
        if f.check == "cfg.memory"
    )
    (room,) = re.findall(r"([\d.]+) GiB for the KV cache", found.seen)
    assert float(room) == pytest.approx(measured, rel=0.1)


def test_layers_that_the_recipe_leaves_out_need_no_memory() -> None:
    """R1's own config.json has 61 of them, far more than a GPU holds; the recipe's hf-overrides say
    5."""
    told = dict(captured_facts("facts"))
    config = told["model.config"].value
    assert isinstance(config, dict)
    config["num_hidden_layers"] = 61
    few, all_ = (
        next(
            f
            for f in run_checks(
                {"localhost": told}, make_requirements(make_draft(one, this_machine(1, 1)))
            )
            if f.check == "cfg.memory"
        )
        for one in (recipe(), recipe("engines.main.args={load-format: dummy}"))
    )
    assert (few.verdict, all_.verdict) == ("PASS", "FAIL")


def test_the_plan_of_today_is_the_one_that_ran() -> None:
    """But for the GPU of two that was named."""
    ran = json.loads((DATA / "fresh" / "plan.json").read_text())["hosts"][0]["processes"][0]
    told, one = {"localhost": captured_facts("facts")}, recipe("engines.main.moe_backend=null")
    process = make_plan(one, this_machine(1, 2), "fresh", "/tmp", told).processes[0]
    assert {variable["name"] for variable in ran["env"]} <= {
        variable.name for variable in process.env
    }
    assert [word for word in ran["argv"] if word.startswith("--")] == [
        w for w in process.argv if w.startswith("--")
    ]
