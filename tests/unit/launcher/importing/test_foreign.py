"""Scripts and srt-slurm's recipes to recipes: what is kept, what is left out and why."""

from typing import Any

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.foreign import import_file
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import render_imported_recipe

SERVE = """#!/bin/bash
# node 0
export VLLM_USE_DEEP_GEMM=1 NCCL_DEBUG=WARN
MODEL=/weights/r1
vllm serve $MODEL --data-parallel-size 16 --data-parallel-size-local 8 \\
  --data-parallel-address 10.9.0.1 --enable-expert-parallel --port 8080 --host 0.0.0.0 \\
  --api-server-count 8
# node 1
vllm serve $MODEL --headless --data-parallel-size 16 --data-parallel-start-rank 8 \\
  --data-parallel-address 10.9.0.1
"""


def recipe_of(text: str, keep_unknown: bool = False) -> tuple[dict[str, Any], str, int]:
    found = import_file(text, "f", keep_unknown=keep_unknown)
    hosts = prove(found, render_imported_recipe(found, "f"), "f")
    return found.recipe, "\n".join(note.text for note in found.notes), hosts


def test_two_nodes_of_vllms_server() -> None:
    recipe, notes, hosts = recipe_of(SERVE)
    main = recipe["engines"]["main"]
    assert (recipe["stack"], recipe["model"]["path"], hosts) == ("vllm", "/weights/r1", 2)
    assert (main["nodes"], main["ranks_per_node"], main["expert_parallel"]) == (2, 8, True)
    assert (recipe["frontend"]["port"], main["args"]) == (8080, {"api-server-count": 8})
    assert main["env"] == {"VLLM_USE_DEEP_GEMM": "1", "NCCL_DEBUG": "WARN"}
    for part in ("line 9: a node beside the first", "--host 0.0.0.0", "kept for vLLM's server"):
        assert part in notes
    assert "x-script" not in notes


@pytest.mark.parametrize(
    ("text", "stack", "model"),
    [
        ("vllm serve deepseek-ai/DeepSeek-R1 -tp 8\n", "vllm", "deepseek-ai/DeepSeek-R1"),
        ("vllm serve --model /m --max-model-len 4096", "vllm", "/m"),
        ("python3 -m vllm.entrypoints.openai.api_server --model /m\n", "vllm", "/m"),
        ("python -m dynamo.vllm --model /m --max-num-seqs 8\n", "dynamo", "/m"),
        ("A=1\r\nvllm serve /m\r\n", "vllm", "/m"),
        ("N=16\nL=8\nvllm serve /m -dp $N -dpl ${L} -ep\n", "vllm", "/m"),
        ("numactl -N 0 vllm serve '/m' --kv-cache-dtype fp8\n", "vllm", "/m"),
        ("A=''\nvllm serve $A $OTHER ${B} \\\n  org/name --port 8200\n", "vllm", "org/name"),
        ("M=/m\nvllm serve $M\n", "vllm", "/m"),
        ("M=/m\nvllm serve $M -tp 8 > /var/log/x 2>&1\n", "vllm", "/m"),
        ("M=/m\nF='-tp 8'\nvllm serve ${M} $F\n", "vllm", "/m"),
    ],
)
def test_command_lines(text: str, stack: str, model: str) -> None:
    recipe, _, _ = recipe_of(text)
    assert (recipe["stack"], recipe["model"]["path"]) == (stack, model)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("vllm serve /m\nvllm serve /other\n", "starts 2 programs"),
        ("python3 -m dynamo.vllm --model /m --not-a-flag 1\n", "f:1: unknown flag"),
        ("\n\nvllm serve /m -dp 3 -dpl 2\n", "data parallel size 3"),
        ("# vllm serve /m\n", "must contain a DynamoGraphDeployment|runs|starts"),
        ("echo hello\n", "must contain a DynamoGraphDeployment"),
    ],
)
def test_what_makes_no_recipe_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        recipe_of(text)


SRT = """
name: basalt
model: {path: r1-fp8, container: x, precision: fp8}
resources: {gpu_type: h100, gpus_per_node: 8, prefill_nodes: 2, decode_nodes: 4, prefill_workers: 1, decode_workers: 2}
slurm: {account: phys, time_limit: "4:00:00", odd: 1}
backend:
  type: vllm
  connector: nixl
  prefill_environment: {NCCL_DEBUG: WARN, UCX_TLS: rc}
  vllm_config:
    prefill: {data-parallel-size: 16, enable-expert-parallel: true, all2all-backend: deepep_high_throughput}
    decode:
      data-parallel-size: 16
      enable-expert-parallel: true
      all2all-backend: deepep_low_latency
      compilation-config: {cudagraph_mode: FULL_DECODE_ONLY}
      async-scheduling: false
benchmark: {type: sa-bench}
"""


def test_a_recipe_of_srt_slurm() -> None:
    recipe, notes, hosts = recipe_of(SRT)
    prefill, decode = recipe["engines"]["prefill"], recipe["engines"]["decode"]
    assert (prefill["nodes"], prefill["ranks_per_node"], prefill["role"]) == (2, 8, "prefill")
    assert (decode["replicas"], decode["nodes"], decode["kv_transfer"]) == (2, 2, "nixl")
    assert prefill["env"] == {"NCCL_DEBUG": "WARN", "UCX_TLS": "rc"}
    assert decode["compilation_config"] == {"cudagraph_mode": "FULL_DECODE_ONLY"}
    assert decode["args"] == {"async-scheduling": False}
    assert recipe["slurm"] == {"account": "phys", "time": "4:00:00"}
    assert hosts == 6
    for part in ("benchmark: dsr1 serves", "model: hosts bring", "slurm.odd: dsr1 does not know"):
        assert part in notes


def test_srt_slurm_aggregated_and_its_connector() -> None:
    text = SRT.replace("connector: nixl", "connector: lmcache")
    recipe, _, _ = recipe_of(text)
    assert {engine["kv_transfer"] for engine in recipe["engines"].values()} == {"lmcache"}
    single = (
        "resources: {gpus_per_node: 8, agg_nodes: 1, agg_workers: 2}\nmodel: {path: /m}\n"
        "backend: {type: vllm, vllm_config: {agg: {tensor-parallel-size: 4}}}\n"
    )
    agg = recipe_of(single)[0]["engines"]["agg"]
    assert (agg["replicas"], agg["tensor_parallel_size"]) == (2, 4)
    assert recipe_of(single.replace("{agg: {", "{aggregated: {"))[0]["engines"]["agg"] == agg


def test_srt_slurm_decode_on_the_nodes_of_prefill() -> None:
    text = (
        "resources: {gpus_per_node: 8, prefill_nodes: 2, decode_nodes: 0, prefill_workers: 6,"
        " decode_workers: 2, gpus_per_prefill: 2, gpus_per_decode: 2}\nmodel: {path: /m}\n"
        "backend: {type: vllm, vllm_config: {prefill: {tensor-parallel-size: 2}, decode:"
        " {tensor-parallel-size: 2}}}\n"
    )
    recipe, _, hosts = recipe_of(text)
    assert [engine["replicas"] for engine in recipe["engines"].values()] == [6, 2]
    assert hosts == 2


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ("type: vllm", "type: sglang", "backend.type is 'sglang'"),
        ("prefill_nodes: 2", "prefill_nodes: x", "resources.prefill_nodes is 'x'"),
        ("decode_workers: 2", "decode_workers: 0", "resources.decode_workers is 0"),
        ("async-scheduling", "a-flag-of-tomorrow", "backend.vllm_config.decode: unknown flag"),
        ("prefill_nodes: 2", "prefill_nodes: 3", "16 can't be divided evenly by 3 nodes"),
    ],
)
def test_what_srt_slurm_would_not_take_either(before: str, after: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        recipe_of(SRT.replace(before, after))


def test_a_gpu_of_another_kind_is_told() -> None:
    assert "written for Blackwell" in recipe_of(SRT.replace("gpu_type: h100", "gpu_type: gb200"))[1]


def test_a_servers_certificate_and_key_are_the_frontends() -> None:
    """Named where the recipe has them, and no file of the container's is taken over."""
    script = (
        "vllm serve m/x --port 8000 --api-key sekrit2sekrit2 --ssl-certfile /etc/c.pem"
        " --ssl-keyfile=/etc/k.pem\n"
    )
    found = import_file(script, "serve.sh")
    text = render_imported_recipe(found, "serve.sh")
    prove(found, text, "serve.sh")
    assert "sekrit2" not in text
    assert found.recipe["engines"]["main"].keys().isdisjoint({"args"})
    told = [note.text for note in found.notes]
    for flag, key in (("ssl-certfile", "tls"), ("ssl-keyfile", "tls"), ("api-key", "api_key_file")):
        assert any(text.startswith(f"--{flag}: ") and f"frontend.{key}" in text for text in told)


def test_a_dynamo_frontends_too() -> None:
    front = "[--http-port, '8443', --tls-cert-path, /c.pem, --tls-key-path, /k.pem]"
    manifest = (
        "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: d}\n"
        "spec:\n  services:\n"
        "    Frontend: {componentType: frontend, extraPodSpec: {mainContainer: {image: x, args:"
        f" {front}, env: [{{name: DYN_TLS_KEY_PATH, value: /k.pem}}]}}}}}}\n"
        "    main: {componentType: worker, extraPodSpec: {mainContainer: {image: x, args:"
        " [--model, m/x]}}}\n"
    )
    found = import_file(manifest, "d.yaml")
    prove(found, render_imported_recipe(found, "d.yaml"), "d.yaml")
    assert found.recipe["frontend"] == {"port": 8443}
    assert sum("frontend.tls" in note.text for note in found.notes) == 3
