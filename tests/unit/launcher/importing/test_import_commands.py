"""Containers' commands become engines: shell scripts, lists of words, and what only their container
knows."""

from typing import Any

import pytest
from tests.unit.launcher.importing.deployments import (
    MANIFESTS,
    deployed,
    imported,
    said,
    scripted,
    worker,
)

from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.manifest.ledger import Fate


def test_a_script_is_read_word_by_word() -> None:
    result = imported("disagg-shell.yaml")
    decode, prefill = result.recipe["engines"].values()
    assert result.recipe["model"] == {
        "path": "/weights/r1",
        "served_name": "deepseek-ai/DeepSeek-R1",
    }
    assert (decode["ranks_per_node"], decode["max_num_seqs"]) == (4, 64)
    assert decode["args"]["cudagraph-capture-sizes"] == [1, 2, 4, 8]
    assert decode["args"]["enable-prefix-caching"] is False
    assert decode["env"]["NCCL_DEBUG"] == "WARN"
    assert (prefill["role"], prefill["enforce_eager"], prefill["gpu_memory_utilization"]) == (
        "prefill",
        True,
        0.85,
    )
    assert result.recipe["frontend"] == {
        "port": 8080,
        "router_mode": "kv",
        "args": {"router-temperature": 0.5},
    }
    assert result.recipe["runtime"]["env"]["DYN_LOG"] == "info"
    for words in (
        "set -euo pipefail",
        "ulimit -l unlimited",
        "cd /workspace",
        "tee /tmp/log",
        "Job 'download'",
    ):
        assert words in said(result, Fate.LEFT_OUT)


def test_what_a_condition_decides_is_the_users_to_set() -> None:
    result = scripted(
        "false && export A=1\nif a; then export B=1; else export B=2; fi\nM=/a\n[ -z x ] || M=/b\n"
        "cd /x && export C=1 && exec python3 -m dynamo.vllm --model $M"
    )
    assert result.recipe["engines"]["decode"]["env"] == {"C": "1"}
    assert result.recipe["model"]["path"] == "$M"
    asked = said(result, Fate.TO_SET)
    for words in (
        "export A=1",
        "A: set it",
        "export B=1",
        "export B=2",
        "B: set it",
        "M=/b",
        "--model '$M'",
    ):
        assert words in asked


def test_a_here_document_is_one_file_of_the_user() -> None:
    result = scripted(
        "cat > lm.yaml <<'EOF'\ndon't: run\nTOKEN=hf_SECRET1\nEOF\nexec python3 -m dynamo.vllm"
        " --model m"
    )
    assert result.recipe["model"]["path"] == "m"
    assert "cat > lm.yaml" in said(result, Fate.TO_SET)
    assert not any("don't" in note.text or "SECRET1" in note.text for note in result.notes)


def test_paths_of_the_container_stay_there() -> None:
    names = ("PATH", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
    result = deployed(
        decode=worker(envs=[{"name": name, "value": f"/opt/{name}"} for name in names])
    )
    assert "env" not in result.recipe["engines"]["decode"]
    assert all(f"{name}='/opt/{name}'" in said(result, Fate.TO_SET) for name in names)


def test_a_version_that_nobody_knows_is_told() -> None:
    text = (
        (MANIFESTS / "aggregated.yaml").read_text().replace("nvidia.com/v1alpha1", "nvidia.com/v9")
    )
    assert "apiVersion 'nvidia.com/v9'" in said(import_manifest(text, "f.yaml"), Fate.TO_SET)
    assert "apiVersion" not in said(imported("aggregated.yaml"), Fate.TO_SET)


@pytest.mark.parametrize(
    ("command", "args", "noted"),
    [
        (
            ["python3", "-u", "-m", "dynamo.vllm"],
            ["--model", "m", "-tp", "2"],
            "'-u': options of the interpreter",
        ),
        (
            ["numactl", "-m", "0", "/opt/bin/python3.12", "-m", "dynamo.vllm"],
            ["--model=m", "-tp", "2"],
            "'numactl -m 0'",
        ),
        ([], ["-tp", "2", "--model", "m"], ""),
        ([], ["-m", "dynamo.vllm", "--model", "m", "-tp=2"], ""),
        (["sh", "-c", 'exec python3 -m dynamo.vllm "$@"', "--"], ["--model", "m", "-tp", "2"], ""),
        (
            ["bash", "-c"],
            ["python3 -m dynamo.vllm --model m -tp 2", "--max-num-seqs", "4"],
            "of a script that takes none",
        ),
        (
            ["bash", "-ec"],
            ["N=2; python3 -m dynamo.vllm --model m -tp $N & wait"],
            "a variable of the script alone",
        ),
        (["sh", "-c"], ["TP=2 python3 -m dynamo.vllm --model m --tensor_parallel_size=2"], ""),
        (
            ["sh", "-c"],
            ["if true; then exec python3 -m dynamo.vllm --model m -tp 2; fi"],
            "of the script alone",
        ),
        ("python3 -m dynamo.vllm --model m -tp 2", [], "one text where Kubernetes wants a list"),
        (["sh", "-c"], ["python3 -m dynamo.vllm \\ --model m \\ -tp 2"], "that YAML folds (>)"),
        (
            ["bash", "-c"],
            [
                "A=(\n  --model m\n)\nprintf '%q ' python3 -m dynamo.vllm\nexec python3 -m"
                " dynamo.vllm ${A[@]} -tp 2"
            ],
            "'A=(...)': a variable of the script alone",
        ),
    ],
)
def test_forms_of_a_command(command: Any, args: list[str], noted: str) -> None:
    service = worker()
    service["extraPodSpec"]["mainContainer"] = {"command": command, "args": args}
    result = deployed(A=service)
    assert result.recipe["model"]["path"] == "m"
    assert result.recipe["engines"]["a"]["tensor_parallel_size"] == 2
    assert "max_num_seqs" not in result.recipe["engines"]["a"]
    assert noted in "\n".join(note.text for note in result.notes)
