"""Whole manifests become recipes that load and plan, and say where every value of them went."""

import json
from typing import Any

import pytest
from tests.unit.launcher.importing.deployments import (
    ALL,
    MANIFESTS,
    deployed,
    imported,
    notes_of,
    worker,
)

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.ledger import NoteKind
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import imported_values, render_imported_recipe
from dsr1.launcher.recipe.load import parse_recipe


@pytest.mark.parametrize("name", ALL)
def test_it_loads_as_what_was_imported_and_plans(name: str) -> None:
    result = imported(name)
    text = render_imported_recipe(result, name)
    recipe = parse_recipe(text, "r.yaml", ["model.path=/m"])
    assert list(recipe.engines) == list(result.recipe["engines"])
    assert prove(result, text, name) == {
        "aggregated.yaml": 1,
        "components.yaml": 2,
        "disagg-16.yaml": 4,
        "disagg-shell.yaml": 1,
    }.get(name)


@pytest.mark.parametrize("name", ALL)
def test_every_value_has_its_note(name: str) -> None:
    """Found by walking the file anew, and asking the JSON that users see."""
    notes = imported_values(imported(name))["notes"]
    spoken_of = {
        (place["document"], tuple(place["keys"])) for note in notes for place in note["places"]
    }
    for document, path in _leaves(name):
        assert any((document, path[:end]) in spoken_of for end in range(len(path) + 1)), path


def _leaves(name: str) -> list[tuple[int, tuple[Any, ...]]]:
    import yaml

    documents = enumerate(yaml.safe_load_all((MANIFESTS / name).read_text()), start=1)
    return [(number, path) for number, document in documents for path in _paths(document)]


def _paths(value: Any) -> list[tuple[Any, ...]]:
    below = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [(key, *path) for key, child in below for path in _paths(child)] or [()]


def test_prefill_and_decode_over_two_nodes_each() -> None:
    result = imported("disagg-16.yaml")
    decode, prefill = result.recipe["engines"]["decode"], result.recipe["engines"]["prefill"]
    assert (decode["role"], prefill["role"]) == ("decode", "prefill")
    assert (decode["nodes"], decode["ranks_per_node"]) == (2, 8)
    assert (decode["all2all_backend"], prefill["all2all_backend"]) == (
        "deepep_low_latency",
        "deepep_high_throughput",
    )
    assert decode["eplb"] == {
        "window_size": 1000,
        "step_interval": 3000,
        "num_redundant_experts": 32,
        "log_balancedness": False,
    }
    assert decode["dbo"] == {"decode_token_threshold": 32}
    assert decode["env"] == {"VLLM_RANDOMIZE_DP_DUMMY_INPUTS": "1"}
    assert result.recipe["timeouts"] == {"ready": 6000, "stop": 45}
    assert result.recipe["model"] == {
        "path": "/weights/r1",
        "served_name": "deepseek-ai/DeepSeek-R1",
    }


def test_the_old_chunk_bounds_tokens_and_so_sequences() -> None:
    result = imported("disagg-16.yaml")
    decode = result.recipe["engines"]["decode"]
    assert (decode["max_num_batched_tokens"], decode["max_num_seqs"]) == (320, 320)
    assert "VLLM_MOE_DP_CHUNK_SIZE=320 is gone" in notes_of(result, NoteKind.REWRITTEN)
    assert "--max-num-seqs 512: vLLM wants at most" in notes_of(result, NoteKind.REWRITTEN)


def test_what_only_a_cluster_knows_is_the_users_to_set() -> None:
    assert (
        "HF_TOKEN: set it on the hosts; its value is key 'HF_TOKEN' of secret 'hub-token'"
        in notes_of(imported("disagg-16.yaml"), NoteKind.TO_SET)
    )
    assert "model.path '/weights/r1' lies in volume 'weights'" in notes_of(
        imported("disagg-16.yaml"), NoteKind.TO_SET
    )
    assert "hf_not_a_real_one" not in str(imported_values(imported("disagg-shell.yaml")))


def test_interfaces_are_left_to_the_facts() -> None:
    left = notes_of(imported("disagg-16.yaml"), NoteKind.LEFT_OUT)
    assert "GLOO_SOCKET_IFNAME: dsr1 takes it from the facts" in left
    assert "64Gi" in left


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (
            {"resources": {"limits": {"gpu": "-1"}}},
            r"resources\.limits\.gpu: the number of GPUs is '-1'; it must be a whole",
        ),
        (
            {"startupProbe": {"periodSeconds": "x"}},
            r"startupProbe\.periodSeconds: periodSeconds is 'x'; it must be a whole",
        ),
        (
            {"sharedMemory": {"size": "80Zi"}},
            r"sharedMemory\.size: shared memory is '80Zi'; it must be a size such as 80Gi",
        ),
    ],
)
def test_a_number_that_is_none_is_refused(more: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError, match=rf"^f\.yaml:1: spec\.services\.decode\.{wanted}"):
        deployed(decode=worker(**more))


def test_a_lonely_decode_worker_serves_whole_requests() -> None:
    result = imported("aggregated.yaml")
    assert "role" not in result.recipe["engines"]["vllm-decode-worker"]
    assert "aggregated, though it is called decode" in notes_of(result, NoteKind.REWRITTEN)


@pytest.mark.parametrize(
    ("services", "roles"),
    [
        ({"decode": worker(), "prefill": worker()}, ["decode", "prefill"]),
        (
            {"A": worker(subComponentType="decode"), "B": worker("--is-prefill-worker")},
            ["decode", "prefill"],
        ),
        ({"A": worker(), "B": worker("--disaggregation-mode", "prefill")}, ["decode", "prefill"]),
        (
            {"prefill": worker("--is-decode-worker"), "decode": worker("--is-prefill-worker")},
            ["decode", "prefill"],
        ),
        ({"A": worker("--is-decode-worker")}, [None]),
        ({"VllmPrefillWorker": worker()}, [None]),
        (
            {"prefill": worker(), "B": worker("--is-prefill-worker"), "C": worker()},
            ["prefill", "prefill", "decode"],
        ),
        ({"A": worker(), "B": worker()}, [None, None]),
    ],
)
def test_roles(services: dict[str, Any], roles: list[str | None]) -> None:
    assert [
        engine.get("role") for engine in deployed(**services).recipe["engines"].values()
    ] == roles


def test_a_rank_over_small_nodes_comes_to_one_host() -> None:
    spread = worker("-tp", "2", multinode={"nodeCount": 2}, resources={"limits": {"gpu": "1"}})
    engine = deployed(A=spread).recipe["engines"]["a"]
    assert (engine["nodes"], engine["ranks_per_node"], engine["tensor_parallel_size"]) == (1, 1, 2)


def test_a_frontend_of_the_first_api_is_one() -> None:
    front = {
        "componentType": "main",
        "extraPodSpec": {"mainContainer": {"args": ["--router-mode", "kv"]}},
    }
    assert deployed(Frontend=front, A=worker()).recipe["frontend"] == {"router_mode": "kv"}


def test_what_dynamo_kept_in_nats_is_told() -> None:
    flags = [
        "--no-router-reset-states",
        "--router-durable-kv-events",
        "--router-snapshot-threshold",
        "5",
    ]
    result = deployed(Frontend={"extraPodSpec": {"mainContainer": {"args": flags}}}, A=worker())
    assert "frontend" not in result.recipe
    assert all(
        name in notes_of(result, NoteKind.LEFT_OUT)
        for name in ("reset-states", "durable-kv", "snapshot")
    )


def test_one_rank_has_nobody_to_send_tokens_to() -> None:
    """vLLM runs no all2all kernels then, so a batch has no queue to fit, and an old chunk bounded
    nothing."""
    flags = [
        "--all2all-backend",
        "deepep_low_latency",
        "--max-num-batched-tokens",
        "65536",
        "-tp",
        "4",
        "-ep",
    ]
    engine = deployed(
        A=worker(*flags, envs=[{"name": "VLLM_MOE_DP_CHUNK_SIZE", "value": "256"}])
    ).recipe["engines"]["a"]
    assert engine["max_num_batched_tokens"] == 65536
    parse_recipe(
        json.dumps({"name": "a", "model": {"path": "/m"}, "engines": {"a": engine}}), "r.yaml"
    )


def test_compilers_write_where_dsr1_looks_for_it() -> None:
    result = deployed(A=worker(envs=[{"name": "TRITON_CACHE_DIR", "value": "/tmp/triton"}]))
    assert "env" not in result.recipe["engines"]["a"]
    assert "TRITON_CACHE_DIR: dsr1 gives JIT caches a folder" in notes_of(result, NoteKind.LEFT_OUT)


def test_gpus_that_a_device_asks_for_are_counted() -> None:
    result = deployed(
        A=worker("-tp", "2", device={"resources": {"nvidia.com/gpu": "4"}, "schedulerName": "s"})
    )
    assert "4 GPUs on each node, and the engine takes 2" in notes_of(result, NoteKind.REWRITTEN)
    assert not notes_of(result, NoteKind.NOT_KNOWN)


def test_placeholders_are_the_users_to_fill_in() -> None:
    result = deployed(A=worker("--load-format", "${FORMAT}", envs=[{"name": "A", "value": "${B}"}]))
    assert "args" not in result.recipe["engines"]["a"]
    assert "env" not in result.recipe["engines"]["a"]
    assert "--load-format '${FORMAT}': what it stands for" in notes_of(result, NoteKind.TO_SET)
    assert "A='${B}': what it stands for" in notes_of(result, NoteKind.TO_SET)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ('{"kv_connector":"NixlConnector","kv_role":"kv_both"}', "nixl"),
        ('{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}', "lmcache"),
        (
            '{"kv_connector":"Other","kv_role":"kv_both"}',
            {"kv_connector": "Other", "kv_role": "kv_both"},
        ),
    ],
)
def test_how_caches_move(written: str, wanted: Any) -> None:
    assert (
        deployed(A=worker("--kv-transfer-config", written)).recipe["engines"]["a"]["kv_transfer"]
        == wanted
    )


def test_the_old_connectors() -> None:
    result = deployed(
        decode=worker("--connector", "nixl"), prefill=worker("--connector", "kvbm", "nixl")
    )
    assert [engine["kv_transfer"] for engine in result.recipe["engines"].values()] == [
        "nixl",
        "kvbm",
    ]


def test_a_short_start_leaves_dsr1s_own_timeout() -> None:
    result = deployed(A=worker(startupProbe={"periodSeconds": 1, "failureThreshold": 30}))
    assert "timeouts" not in result.recipe
    assert "30 s are too few" in notes_of(result, NoteKind.REWRITTEN)


def test_two_models_are_two_recipes() -> None:
    with pytest.raises(InputError, match="another service serves 'm'"):
        deployed(A=worker(), B=worker("--model", "other"))


def test_the_newer_api_and_kubectls_lists() -> None:
    result = imported("components.yaml")
    worker = result.recipe["engines"]["worker"]
    assert (worker["nodes"], worker["ranks_per_node"], worker["max_num_batched_tokens"]) == (
        2,
        8,
        256,
    )
    assert worker["env"]["NCCL_NVLS_ENABLE"] == "0"
    assert result.recipe["runtime"]["env"] == {"HF_HUB_OFFLINE": "1"}
    assert "service 'Planner' (planner): dsr1 runs no such service" in notes_of(
        result, NoteKind.LEFT_OUT
    )
    assert "containers: dsr1 runs no sidecars" in notes_of(result, NoteKind.LEFT_OUT)
