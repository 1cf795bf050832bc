"""The simulator's command: what vLLM would let wait is let wait, and a step is as large as the recipe has it."""

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe

HOSTS = [Host(f"n{number}", f"10.0.0.{number}", "eth0") for number in range(4)]


def flags(recipe: str, engine: str, *settings: str) -> dict[str, str]:
    plan = make_plan(rehearse(load_recipe(recipe, settings)), HOSTS, "r", "/r")
    argv = next(one.argv for one in plan.processes if one.group == engine)
    return dict(zip(argv[3::2], argv[4::2], strict=False))


@pytest.mark.parametrize(("engine", "tokens"), [("prefill", "8192"), ("decode", "48")])
def test_prefill_and_decode_refuse_nobody(engine: str, tokens: str) -> None:
    """A decode step has a token for each sequence, which bounds them instead."""
    found = flags("dsr1-disagg-h200", engine, "engines.decode.max_num_seqs=48")
    assert (found["--max-num-seqs"], found["--max-num-batched-tokens"]) == ("4096", tokens)
    assert found["--kv-bytes-per-token"] == "70272"


def test_aggregated_engines_queue_by_themselves() -> None:
    found = flags("dsr1-dep", "main", "engines.main.max_num_seqs=48")
    assert (found["--max-num-seqs"], found["--max-num-batched-tokens"]) == ("48", "256")


def test_a_decode_engine_without_limits() -> None:
    found = flags("dsr1-disagg-h200", "decode", "engines.decode.max_num_seqs=null")
    assert found["--max-num-batched-tokens"] == "384"
