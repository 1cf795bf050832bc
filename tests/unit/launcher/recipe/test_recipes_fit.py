"""R1's recipes fit the GPUs that they are made for, by the arithmetic of check cfg.memory."""

import pytest

from dsr1.env.checks.model.memory import fit, make_batch
from dsr1.env.model_memory import captured_graphs, parse_shape
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.placement import make_topology
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.requirements import make_engine_shape
from dsr1.launcher.recipe.load import RecipeChanges, load_recipe, resolve_recipe

H100, H200 = 81559 * 2**20, 143771 * 2**20  # what NVML says of them
R1 = {
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
    "first_k_dense_replace": 3, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
    "num_attention_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280, "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}  # fmt: skip


def judged(
    recipe: str, hosts: int, gpu: int, profile: str = "", *settings: str
) -> dict[str, tuple[str, str]]:
    changes = RecipeChanges((profile,) if profile else (), settings, model="/m")
    chosen = resolve_recipe(recipe, changes).recipe
    places = [Host(f"n{number}", f"10.0.0.{number}", "eth0") for number in range(hosts)]
    plan, shape = make_plan(chosen, places, "r", "/run/r"), parse_shape(R1)
    shares = [make_engine_shape(group, plan) for group in make_topology(chosen, places).groups]
    verdicts = {
        share.name: fit(shape, share, make_batch(share, shape, "0.31.0"), gpu) for share in shares
    }
    return {engine: (verdict.verdict, verdict.seen) for engine, verdict in verdicts.items()}


@pytest.mark.parametrize(
    ("recipe", "hosts", "gpu", "profile"),
    [
        ("dsr1-dep", 1, H200, ""),
        ("dsr1-dep", 2, H200, "h200"),
        ("dsr1-dep", 1, H200, "h200"),
        ("dsr1-dep", 2, H100, "eager"),
        ("dsr1-dep", 2, H100, "h100"),
        ("dsr1-vllm", 2, H100, ""),
        ("dsr1-disagg-h200", 4, H200, ""),
        ("dsr1-disagg-h100", 4, H100, ""),
        ("dsr1-disagg-8gpu", 2, H200, "fp8-two-hosts"),
    ],
)
def test_it_fits(recipe: str, hosts: int, gpu: int, profile: str) -> None:
    told = judged(recipe, hosts, gpu, profile)
    assert {verdict for verdict, _ in told.values()} == {"PASS"}, told


@pytest.mark.parametrize(("sequences", "verdict"), [(96, "WARN"), (128, "FAIL")])
def test_more_sequences_are_too_much_for_sixteen_h100(sequences: int, verdict: str) -> None:
    """Their graphs, beside 4 GiB for the context of a prefill, leave one request of max_model_len no
    room, or not much besides."""
    told, seen = judged("dsr1-dep", 2, H100, "", f"engines.main.max_num_seqs={sequences}")["main"]
    assert (told, seen.endswith("; tight")) == (verdict, verdict == "WARN")


def test_half_a_host_does_not_hold_r1_in_fp8() -> None:
    assert {verdict for verdict, _ in judged("dsr1-disagg-8gpu", 1, H200).values()} == {"FAIL"}


def test_the_default_is_one_to_keep() -> None:
    """R1's answers aren't cut, and decoding has CUDA graphs; an eager variant is a profile."""
    main = load_recipe("dsr1-dep").engines["main"]
    assert (main.max_model_len or 0) >= 32768
    assert (main.enforce_eager, main.compilation_config) == (
        False,
        {"cudagraph_mode": "FULL_DECODE_ONLY"},
    )
    eager = load_recipe("dsr1-dep", profiles=["eager"]).engines["main"]
    assert (eager.enforce_eager, eager.compilation_config) == (True, None)


@pytest.mark.parametrize(
    ("recipe", "flag"),
    [
        ("dsr1-dep", "--dyn-reasoning-parser deepseek_r1"),
        ("dsr1-disagg-h200", "--dyn-reasoning-parser deepseek_r1"),
        ("dsr1-disagg-h100", "--dyn-reasoning-parser deepseek_r1"),
        ("dsr1-vllm", "--reasoning-parser deepseek_r1"),
    ],
)
def test_r1s_thoughts_come_apart(recipe: str, flag: str) -> None:
    places = [Host(f"n{number}", f"10.0.0.{number}", "eth0") for number in range(4)]
    plan = make_plan(load_recipe(recipe), places, "r", "/run/r")
    assert all(f" {flag}" in " ".join(p.argv) for p in plan.processes if p.ranks)
    own = load_recipe(
        recipe,
        [f"engines.{name}.args={{reasoning-parser: x}}" for name in load_recipe(recipe).engines],
    )
    argv = [p.argv for p in make_plan(own, places, "r", "/run/r").processes if p.ranks]
    assert all("deepseek_r1" not in words and "x" in words for words in argv)


@pytest.mark.parametrize(
    ("mode", "count"),
    [
        ("", 70),
        ("FULL_DECODE_ONLY", 35),
        ("PIECEWISE", 35),
        ("NONE", 0),
        ("FULL_AND_PIECEWISE", 70),
    ],
)
def test_graphs_are_counted_by_mode(mode: str, count: int) -> None:
    assert sum(captured_graphs(256, 256, mode)) == count
