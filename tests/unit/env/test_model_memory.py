"""What a model takes of a GPU, against what vLLM reported on a real H100."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.judging import Verdict
from dsr1.env.checks.model.memory import BatchLimits, beside_terms, fit, make_batch, memory_terms
from dsr1.env.checks.requirements import EngineShape, HostRequirements, Requirements
from dsr1.env.model_memory import (
    GIB,
    captured_graphs,
    deepep_low_latency,
    expert_slot,
    kv_bytes_per_token,
    parse_shape,
    share_of,
    weight_terms,
)
from dsr1.env.quantization import parse_weight_sizes
from dsr1.hosts.protocol.facts.fact import Fact

H100, H200 = 85520809984, 150_754_820_096
LOGS = Path(__file__).parents[2] / "data" / "vllm-logs"
H200_LOGS = LOGS.with_name("h200-x4")

R1: dict[str, Any] = {
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}


def test_five_layers_on_one_h100_as_vllm_reported() -> None:
    """h100-r1-5layer-cold-start.log: "Model loading took 26.88 GiB memory"."""
    total = sum(weight_terms(parse_shape({**R1, "num_hidden_layers": 5}), 1).values()) / GIB
    assert total == pytest.approx(26.88, rel=0.01)


def test_r1_as_the_field_counts_it() -> None:
    shape = parse_shape(R1)
    assert expert_slot(shape) / 1e9 == pytest.approx(2.55, rel=0.01)
    assert kv_bytes_per_token(shape) == 70272
    assert sum(weight_terms(shape, 1).values()) / 1e9 == pytest.approx(671, rel=0.02)


def test_redundant_experts_are_dealt_like_the_others() -> None:
    shape = parse_shape(R1)
    assert set(weight_terms(shape, 16, 32)) >= {"18 experts"}
    assert sum(weight_terms(shape, 16, 32).values()) - sum(
        weight_terms(shape, 16).values()
    ) == 2 * expert_slot(shape)


@pytest.mark.parametrize("value", [None, "7168", 1.5])
def test_a_key_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="hidden_size"):
        parse_shape({**R1, "hidden_size": value})


def reported(log: str, pattern: str) -> float:
    found = re.search(pattern, (LOGS / log).read_text())
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    ("log", "tokens", "sequences"),
    [
        ("h100-r1-5layer-cold-start.log", 4096, 64),
        ("h100-r1-5layer-small-batch-cold.log", 256, 8),
        ("h100-r1-5layer-small-batch-warm.log", 256, 8),
    ],
)
def test_what_vllm_left_for_the_kv_cache(log: str, tokens: int, sequences: int) -> None:
    """Within 10 %, and so is what isn't weights: activations, workspaces and graphs."""
    shape = parse_shape({**R1, "num_hidden_layers": 5})
    share = EngineShape(
        "main", 1, utilization=0.9, context=2048, tokens=tokens, sequences=sequences
    )
    terms = memory_terms(shape, share, make_batch(share, shape, "0.23.0"))
    left = (share_of(H100, 0.9) - sum(term.size for term in terms)) / GIB
    assert left == pytest.approx(reported(log, r"Available KV cache memory: ([\d.]+) GiB"), rel=0.1)
    graphs = next(term.size for term in terms if term.name.endswith("graphs")) / GIB
    assert graphs == pytest.approx(
        reported(log, r"Estimated CUDA graph memory: ([\d.]+) GiB"), abs=0.4
    )
    assert sum(weight_terms(shape, 1).values()) / GIB == pytest.approx(
        reported(log, r"Model loading took ([\d.]+) GiB"), rel=0.01
    )


@pytest.mark.parametrize(("tokens", "sequences", "graphs"), [(4096, 64, 19 + 11), (256, 8, 5 + 4)])
def test_the_graphs_that_vllm_captured(tokens: int, sequences: int, graphs: int) -> None:
    """The logs say PIECEWISE=19, FULL=11, and 5 and 4."""
    assert sum(captured_graphs(sequences, tokens)) == graphs


@pytest.mark.parametrize(
    ("tokens", "experts", "gib"),
    [(128, 256, 1.8), (256, 288, 4.0), (512, 256, 7.1), (1024, 288, 16.0)],
)
def test_deepep_buffers_as_its_own_formula_has_them(tokens: int, experts: int, gib: float) -> None:
    assert deepep_low_latency(parse_shape(R1), experts, tokens) / GIB == pytest.approx(
        gib, abs=0.06
    )


@pytest.mark.parametrize(
    ("hosts", "redundant", "gpu", "context", "verdict"),
    [
        (1, 0, H100, 4096, "FAIL"),
        (2, 0, H100, 4096, "FAIL"),
        (2, 32, H100, 4096, "FAIL"),
        (2, 64, H100, 4096, "FAIL"),
        (2, 0, H100, None, "FAIL"),
        (4, 0, H100, 4096, "PASS"),
        (1, 0, H200, None, "PASS"),
        (2, 32, H200, None, "PASS"),
    ],
)
def test_r1_on_hosts_of_eight(
    hosts: int, redundant: int, gpu: int, context: int | None, verdict: str
) -> None:
    """Without max_model_len vLLM wants room for all 163840 positions."""
    shape = parse_shape(R1)
    share = EngineShape(
        "main", 8 * hosts, 1, redundant, context=context, backend="deepep_low_latency", hosts=hosts
    )
    found = fit(shape, share, make_batch(share, shape, "0.31.0"), gpu)
    assert found.verdict == verdict, found.seen
    assert f"{(256 + redundant) // (8 * hosts)} experts" in found.seen


def test_what_the_recipe_leaves_to_vllm() -> None:
    shape, share = parse_shape(R1), EngineShape("main", 8)
    assert make_batch(share, shape, "0.31.0+cpu") == BatchLimits(8192, 1024, 163840, 0.92)
    assert make_batch(share, shape, "0.23.0").utilization == 0.9
    assert make_batch(EngineShape("main", 8, backend="deepep_low_latency"), shape, "").tokens == 256


def test_what_is_not_there_takes_nothing() -> None:
    shape = parse_shape(R1)
    eager, high = (
        EngineShape("main", 16, eager=True),
        EngineShape("main", 16, backend="deepep_high_throughput", hosts=2),
    )
    assert not any(
        "graphs" in term.name
        for share in (eager, high)
        for term in memory_terms(shape, share, make_batch(share, shape, ""))
    )
    assert sizes(high)["DeepEP"] == 2 * GIB


def sizes(share: EngineShape, **config: object) -> dict[str, int]:
    shape = parse_shape({**R1, **config}, share.quantization)
    terms = memory_terms(shape, share, make_batch(share, shape, "0.31.0"))
    return {term.name: term.size for term in terms}


def told(share: EngineShape, gpu: int = H200, **config: object) -> Verdict:
    shape = parse_shape({**R1, **config}, share.quantization)
    return fit(shape, share, make_batch(share, shape, "0.31.0"), gpu)


@pytest.mark.parametrize(
    ("folder", "process", "ranks"),
    [
        ("starts/dynamo-cold", "main-0", 4),
        ("starts/dynamo-second", "main-0", 4),
        ("deaths/worker-stopped", "main-0", 4),
        ("deaths/decode-enginecore-killed", "prefill-0", 2),
        ("deaths/decode-enginecore-killed", "decode-0", 2),
    ],
)
def test_four_h200_as_vllm_reported(folder: str, process: str, ranks: int) -> None:
    log = (H200_LOGS / folder / f"{process}.log").read_text()
    plan = (H200_LOGS / folder / "plan.json").read_text()
    argv = plan[plan.index(f'"name":"{process}"') :]
    number = [
        float(re.findall(rf'"--{flag}","([\d.]+)"', argv)[0])
        for flag in (
            "gpu-memory-utilization",
            "max-num-batched-tokens",
            "max-num-seqs",
            "max-model-len",
        )
    ]
    share = EngineShape(
        "main",
        ranks,
        utilization=number[0],
        tokens=int(number[1]),
        sequences=int(number[2]),
        context=int(number[3]),
    )
    left = share_of(H200, number[0]) - sum(sizes(share, num_hidden_layers=5).values())
    measured = float(re.findall(r"Available KV cache memory: ([\d.]+) GiB", log)[0])
    assert left / GIB == pytest.approx(measured, rel=0.02)
    loaded = float(re.findall(r"Model loading took ([\d.]+) GiB", log)[0])
    shape = parse_shape({**R1, "num_hidden_layers": 5})
    assert sum(weight_terms(shape, ranks).values()) / GIB == pytest.approx(loaded, rel=0.03)


def test_half_of_r1_on_four_h200_as_vllm_reported() -> None:
    """32 layers, which are a GPU's weights of all 61 on eight, and 128 requests a rank."""
    log = (H200_LOGS / "starts/longer-slice/memory.txt").read_text()
    share = EngineShape(
        "main",
        4,
        utilization=0.78,
        tokens=512,
        sequences=128,
        context=2048,
        graphs="FULL_DECODE_ONLY",
    )
    shape = parse_shape({**R1, "num_hidden_layers": 32})
    weights = sum(weight_terms(shape, 4).values()) / GIB
    loaded = float(re.findall(r"Model loading took ([\d.]+) GiB", log)[0])
    assert weights == pytest.approx(loaded, rel=0.01)
    taken, peak = re.findall(r"([\d.]+) GiB for consumed .*, ([\d.]+) GiB for peak", log)[0]
    (graphs,) = re.findall(r"([\d.]+) GiB \(estimated\)", log)
    terms = {name: size / GIB for name, size in sizes(share, num_hidden_layers=32).items()}
    predicted = weights + terms["activations"]
    assert predicted == pytest.approx(float(taken) + float(peak) - float(graphs), rel=0.01)
    assert terms["19 graphs"] == pytest.approx(float(graphs), rel=0.05)
    room = share_of(H200, 0.78) / GIB - sum(terms.values())
    assert room == pytest.approx(float(MEASURED.findall(log)[0]), rel=0.05)


@pytest.mark.parametrize(
    ("told", "ranks", "layers", "experts", "sequences", "tokens", "context"),
    [
        ("5-layers-128-sequences", 2, 5, 64, 128, 512, 2048),
        ("20-layers-128-sequences", 2, 20, 64, 128, 512, 2048),
        ("42-layers-128-sequences", 2, 42, 64, 128, 512, 2048),
        ("20-layers-32-sequences", 2, 20, 64, 32, 512, 2048),
        ("5-layers-64-sequences", 1, 5, 64, 64, 512, 2048),
        ("5-layers-96-sequences", 1, 5, 64, 96, 512, 2048),
        ("5-layers-256-sequences", 1, 5, 64, 256, 512, 2048),
        ("5-layers-384-sequences", 1, 5, 64, 384, 512, 2048),
        ("61-layers-128-sequences", 4, 61, 32, 128, 256, 32768),
    ],
)
def test_graphs_grow_with_sequences_and_not_with_layers(
    told: str, ranks: int, layers: int, experts: int, sequences: int, tokens: int, context: int
) -> None:
    """`experts` of a rank. The last is what a GPU has of R1 on eight, and takes 3 GiB more for the
    context of a prefill."""
    log = (H200_LOGS / f"graphs/{told}.txt").read_text()
    share, without = map(float, re.findall(r"utilization=([\d.]+) ", log)[:2])
    engine = EngineShape(
        "main",
        ranks,
        utilization=share,
        tokens=tokens,
        sequences=sequences,
        context=context,
        graphs="FULL_DECODE_ONLY",
    )
    terms = sizes(engine, num_hidden_layers=layers, n_routed_experts=experts * ranks)
    graphs = next(size for name, size in terms.items() if name.endswith(" graphs")) / GIB
    assert graphs == pytest.approx(share_of(H200, share - without) / GIB, rel=0.05, abs=0.1)
    room = (share_of(H200, share) - sum(terms.values())) / GIB
    assert room == pytest.approx(float(MEASURED.findall(log)[0]), abs=0.45)


TP4 = EngineShape("tep4", 4, 4, utilization=0.45, tokens=256, sequences=8, context=2048, eager=True)


@pytest.mark.parametrize(
    ("share", "room", "weights"),
    [
        (TP4, 55.69, 6.77),
        (replace(TP4, tensor_ranks=2), 53.95, 8.21),
        (
            replace(TP4, tensor_ranks=1, redundant_experts=4, expert_balancing=True),
            47.34,
            11.05,
        ),
        (replace(TP4, utilization=0.9, expert_parallel=False), 118.6, None),
    ],
    ids=["TEP4", "DP2 x TP2", "EPLB", "TP4"],
)
def test_other_layouts_on_four_h200_as_vllm_reported(
    share: EngineShape, room: float, weights: float | None
) -> None:
    """docs/gpus.md: R1's dimensions, five layers, vLLM 0.31.0, in GiB."""
    shape = parse_shape({**R1, "num_hidden_layers": 5})
    left = share_of(H200, share.utilization or 0) - sum(sizes(share, num_hidden_layers=5).values())
    assert left / GIB == pytest.approx(room, rel=0.025)
    if weights is not None:
        terms = weight_terms(shape, 4, share.redundant_experts, share.tensor_ranks)
        assert sum(terms.values()) / GIB == pytest.approx(weights, rel=0.03)


DATA = Path(__file__).parents[2] / "data"
MEASURED = re.compile(r"Available KV cache memory: ([\d.]+) GiB")
STARTS = [file for file in sorted(DATA.rglob("*.log")) if MEASURED.search(file.read_text())]


def test_captures_are_found() -> None:
    assert len(STARTS) >= 12


@pytest.mark.parametrize("log", STARTS, ids=lambda file: str(file.relative_to(DATA)))
def test_every_measured_start_within_ten_percent(log: Path) -> None:
    """All that are in tests/data, also those that come: from what its log, or its plan, says."""
    text, gpu = log.read_text(), H200 if "h200" in str(log) else H100
    version = re.findall(r"V1 LLM engine \(v([\d.]+)", text)[0]
    ranks = int(re.findall(r"data_parallel_size=(\d+)", text)[0])
    share, tokens, sequences = (argued(log, text, name) for name in ARGUMENTS)
    engine = EngineShape(
        "main",
        ranks,
        utilization=share,
        context=2048,
        tokens=int(tokens),
        sequences=int(sequences),
    )
    shape = parse_shape({**R1, "num_hidden_layers": 5})
    terms = memory_terms(shape, engine, make_batch(engine, shape, version))
    left = gpu * share - sum(term.size for term in terms)
    assert left / GIB == pytest.approx(float(MEASURED.findall(text)[0]), rel=0.1)


ARGUMENTS = ("gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs")


def argued(log: Path, text: str, name: str) -> float:
    if found := re.search(rf"'{name}': ([\d.]+)", text):
        return float(found[1])
    plan = log.with_name("plan.json").read_text()
    argv = plan[plan.index(f'"name":"{log.stem}"') :]
    return float(re.findall(rf'"--{name.replace("_", "-")}","([\d.]+)"', argv)[0])


def test_what_lives_beside_the_share_as_vllm_reported() -> None:
    log = (H200_LOGS / "starts/dynamo-second/main-0.log").read_text()
    free, total = re.findall(r"Free memory on device \(([\d.]+)/([\d.]+) GiB\) on startup", log)[0]
    beside = sum(term.size for term in beside_terms(EngineShape("main", 4))) / GIB
    assert beside == pytest.approx(float(total) - float(free), rel=0.1)


@pytest.mark.parametrize("gpu", [H100, H200])
@pytest.mark.parametrize("ranks", [1, 8, 16])
@pytest.mark.parametrize(("share", "least"), [(1.0, "FAIL"), (0.99, "WARN"), (0.98, "WARN")])
def test_a_share_that_leaves_no_room_beside_it_never_passes(
    gpu: int, ranks: int, share: float, least: str
) -> None:
    engine = EngineShape("main", ranks, utilization=share, context=4096, backend="nixl_ep")
    verdict = told(engine, gpu, num_hidden_layers=5)
    assert verdict.verdict in ("FAIL", least), verdict.seen
    assert "beside vLLM's share" in verdict.seen
    assert "gpu_memory_utilization of at most 0.9" in verdict.wanted
    assert told(replace(engine, utilization=0.9), gpu, num_hidden_layers=5).verdict == "PASS"


def test_a_sum_that_does_not_fit_fails_and_says_by_how_much() -> None:
    share = EngineShape("main", 8, utilization=0.5, context=4096)
    found = told(share, H100)
    assert found.verdict == "FAIL"
    assert "GiB too much" in found.seen
    assert "-" not in found.seen.split("=")[1]
    assert "tight" not in found.seen


@pytest.mark.parametrize("backend", ["deepep_low_latency", "nixl_ep"])
def test_buffers_that_deepep_asserts_against(backend: str) -> None:
    share = EngineShape("main", 64, context=4096, backend=backend, tokens=2048, hosts=8)
    assert "asserts buffers of less than 32 GiB" not in told(share).seen
    found = told(replace(share, tokens=4096, sequences=256))
    assert found.verdict == "FAIL"
    assert "asserts buffers of less than 32 GiB" in found.seen


def test_every_backend_has_its_buffers() -> None:
    share = EngineShape("main", 16, tokens=256, hosts=2)
    by_backend = {
        backend: sum(sizes(replace(share, backend=backend)).values()) - sum(sizes(share).values())
        for backend in ("deepep_low_latency", "nixl_ep", "deepep_v2", "deepep_high_throughput")
    }
    assert by_backend["nixl_ep"] == by_backend["deepep_low_latency"] - GIB
    assert by_backend["deepep_high_throughput"] < 2 * GIB + 1
    assert by_backend["deepep_v2"] == 7168 * 2 * 8 * (2 * 256 + 256 + 2 * 512)
    assert sizes(replace(share, hosts=1, backend="deepep_v2"))["DeepEP"] == 256 * 16 * 8064


def test_every_term_names_its_source() -> None:
    share = EngineShape("main", 16, backend="deepep_low_latency", expert_balancing=True, context=1)
    seen = told(replace(share, predicts=True)).seen
    for source in ("[config.json]", "[vLLM's logs]", "[LowLatencyLayout]", "[a layer's experts]"):
        assert source in seen
    assert "MTP layer" in seen


def test_layers_that_predict_tokens_are_weights_and_cache() -> None:
    share = EngineShape("main", 16)
    shape = parse_shape(R1)
    slots = 16 * expert_slot(shape) // shape.moe_layers
    layer = sizes(replace(share, predicts=True))["MTP layer"]
    assert slots < layer < slots + GIB
    assert kv_bytes_per_token(shape, 1) == 62 * 576 * 2
    assert kv_bytes_per_token(shape, 0, 1) * 2 == kv_bytes_per_token(shape)


def config_groups(bits: int, kind: str, **more: object) -> dict[str, object]:
    weights = {"num_bits": bits, "type": kind, **more}
    return {"group_0": {"targets": ["Linear"], "weights": weights}}


@pytest.mark.parametrize(
    ("quantization", "asked", "wanted"),
    [
        (None, "", (2, 2, 2)),
        (None, "fp8", (1, 1, 1)),
        (None, "experts_int8", (1, 2, 2)),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "", (1, 1, 1)),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "",
            (0.5, 0.5, 0.5),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": config_groups(4, "int", group_size=128, symmetric=True),
                "ignore": ["lm_head", "re:.*self_attn.*"],
            },
            "",
            (4.125 / 8, 2, 4.125 / 8),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": config_groups(8, "float", strategy="channel"),
            },
            "",
            (1, 1, 1),
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": config_groups(8, "int")},
            "",
            (1, 1, 1),
        ),
        (
            {
                "quant_method": "awq",
                "bits": 4,
                "group_size": 128,
                "zero_point": True,
                "modules_to_not_convert": ["self_attn", "mlp.gate"],
            },
            "",
            (4.15625 / 8, 2, 4.15625 / 8),
        ),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "", (4.125 / 8,) * 3),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "NVFP4",
                "exclude_modules": ["*self_attn*", "lm_head"],
            },
            "",
            (4.5 / 8, 2, 4.5 / 8),
        ),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, "", (1, 1, 1)),
        (
            {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}},
            "",
            (1, 1, 1),
        ),
        ({"quant_method": "mxfp4"}, "", (4.25 / 8,) * 3),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "", (4.5 / 8,) * 3),
    ],
)
def test_bytes_of_a_weight(
    quantization: object, asked: str, wanted: tuple[float, float, float]
) -> None:
    found = parse_weight_sizes({**R1, "quantization_config": quantization}, asked)
    assert (found.experts, found.attention, found.dense) == wanted


@pytest.mark.parametrize(
    "quantization",
    [{"quant_method": "of tomorrow"}, {"bits": "4"}, "fp8", {"quant_method": "compressed-tensors"}],
)
def test_a_quantization_that_nobody_knows_is_no_guess(quantization: object) -> None:
    with pytest.raises(ValueError, match="quantization"):
        parse_shape({**R1, "quantization_config": quantization})


def test_the_sums_of_all_engines_of_a_host_are_shown() -> None:
    prefill = EngineShape("prefill", 16, context=4096, hosts=2)
    decode = EngineShape("decode", 16, context=4096, hosts=2)
    other = EngineShape("other", 1, context=4096)
    needs = Requirements(
        8,
        2,
        (prefill, decode, other),
        by_host={"a": HostRequirements(8, engines=("prefill", "decode"))},
    )
    facts = {
        "model.config": Fact(R1, ""),
        "gpu.devices": Fact([{"memory": H200}] * 8, ""),
        "software": Fact({"vllm": "0.31.0"}, ""),
    }
    (found,) = run_checks({"a": facts}, needs, ["cfg.memory"])
    assert found.verdict == "PASS"
    assert [part.split(":")[0] for part in found.seen.split(" | ")] == ["prefill", "decode"]
