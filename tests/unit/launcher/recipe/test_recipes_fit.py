"""R1's recipes fit the GPUs that they are made for, by the arithmetic of check cfg.memory."""

import pytest

from dsr1.env.checks.model.memory import fit, make_batch
from dsr1.env.model_memory import parse_shape
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.placement import make_topology
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.requirements import make_engine_shape
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe

H100, H200 = 81559 * 2**20, 143771 * 2**20  # what NVML says of them
R1 = {
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
    "first_k_dense_replace": 3, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
    "num_attention_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280, "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}  # fmt: skip


def judged(recipe: str, hosts: int, gpu: int, profile: str = "") -> dict[str, tuple[str, str]]:
    chosen = resolve_recipe(recipe, RecipeChanges((profile,) if profile else (), model="/m")).recipe
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
        ("dsr1-dep", 2, H100, "h100"),
        ("dsr1-dep", 1, H200, ""),
        ("dsr1-dep", 2, H200, "h200"),
        ("dsr1-vllm", 2, H100, ""),
        ("dsr1-disagg-h200", 4, H200, ""),
        ("dsr1-disagg-h100", 4, H100, ""),
        ("dsr1-disagg-8gpu", 2, H200, "fp8-two-hosts"),
    ],
)
def test_it_fits(recipe: str, hosts: int, gpu: int, profile: str) -> None:
    told = judged(recipe, hosts, gpu, profile)
    assert {verdict for verdict, _ in told.values()} <= {"PASS", "WARN"}, told


def test_half_a_host_does_not_hold_r1_in_fp8() -> None:
    assert {verdict for verdict, _ in judged("dsr1-disagg-8gpu", 1, H200).values()} == {"FAIL"}
