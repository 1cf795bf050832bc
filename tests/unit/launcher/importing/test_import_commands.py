"""Containers' commands become engines: shell scripts, lists of words, and what only their container
knows."""

import json
from typing import Any

import pytest
from tests.unit.launcher.importing.deployments import (
    MANIFESTS,
    deployed,
    imported,
    notes_of,
    scripted,
    worker,
)

from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.manifest.ledger import NoteKind


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
        assert words in notes_of(result, NoteKind.LEFT_OUT)


def test_what_a_condition_decides_is_the_users_to_set() -> None:
    result = scripted(
        "false && export A=1\nif a; then export B=1; else export B=2; fi\nM=/a\n[ -z x ] || M=/b\n"
        "cd /x && export C=1 && exec python3 -m dynamo.vllm --model $M"
    )
    assert result.recipe["engines"]["decode"]["env"] == {"C": "1"}
    assert result.recipe["model"]["path"] == "$M"
    asked = notes_of(result, NoteKind.TO_SET)
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
    assert "cat > lm.yaml" in notes_of(result, NoteKind.TO_SET)
    assert not any("don't" in note.text or "SECRET1" in note.text for note in result.notes)


def test_paths_of_the_container_stay_there() -> None:
    names = ("PATH", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
    result = deployed(
        decode=worker(envs=[{"name": name, "value": f"/opt/{name}"} for name in names])
    )
    assert "env" not in result.recipe["engines"]["decode"]
    assert all(f"{name}='/opt/{name}'" in notes_of(result, NoteKind.TO_SET) for name in names)


def test_a_version_that_nobody_knows_is_told() -> None:
    text = (
        (MANIFESTS / "aggregated.yaml").read_text().replace("nvidia.com/v1alpha1", "nvidia.com/v9")
    )
    assert "apiVersion 'nvidia.com/v9'" in notes_of(
        import_manifest(text, "f.yaml"), NoteKind.TO_SET
    )
    assert "apiVersion" not in notes_of(imported("aggregated.yaml"), NoteKind.TO_SET)


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


@pytest.mark.parametrize(
    "script",
    [
        'ARGS="--model m"\nARGS+=" --enforce-eager"\nexec python3 -m dynamo.vllm $ARGS',
        'ARGS+=" --enforce-eager"\nexec python3 -m dynamo.vllm --model m $ARGS',
        'A=(--model m)\nA+=(--enforce-eager)\nexec python3 -m dynamo.vllm "${A[@]}"',
        'set -- --model m\nset -- "$@" --enforce-eager\nexec python3 -m dynamo.vllm "$@"',
        "unset EXTRA\nexec python3 -m dynamo.vllm --model m ${EXTRA:---enforce-eager}",
    ],
)
def test_flags_that_a_script_collects(script: str) -> None:
    result = scripted(script)
    assert result.recipe["model"]["path"] == "m"
    assert result.recipe["engines"]["decode"]["enforce_eager"] is True
    assert not notes_of(result, NoteKind.TO_SET)


def test_no_arguments_are_no_word() -> None:
    result = scripted('exec python3 -m dynamo.vllm --model m "$@" "${@}"')
    assert result.recipe["engines"]["decode"].keys() == {
        "nodes",
        "ranks_per_node",
        "expert_parallel",
    }


def test_escapes_of_c() -> None:
    result = scripted("exec python3 -m dynamo.vllm --model m --load-format $'a\\n\\x41\\u00e9'")
    assert result.recipe["engines"]["decode"]["args"] == {"load-format": "a\nA\u00e9"}


def with_script(script: str, **more: Any) -> Any:
    service = worker(envs=[{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "B", "value": "2"}])
    service["extraPodSpec"]["mainContainer"] = {"command": ["bash", "-c"], "args": [script]}
    return deployed(A=service, **more)


def test_a_script_unsets_and_changes_what_its_container_has() -> None:
    result = with_script("unset -v NCCL_DEBUG; B=3; exec python3 -m dynamo.vllm --model m")
    assert result.recipe["engines"]["a"]["env"] == {"B": "3"}
    assert "NCCL_DEBUG: the script unsets it" in notes_of(result, NoteKind.LEFT_OUT)
    assert not notes_of(result, NoteKind.NOT_KNOWN)


def test_whether_it_unsets_may_depend_on_a_condition() -> None:
    result = with_script("if x; then unset B; fi; exec python3 -m dynamo.vllm --model m")
    assert result.recipe["engines"]["a"]["env"] == {"NCCL_DEBUG": "INFO"}
    assert "'unset B': depends on a condition (a branch)" in notes_of(result, NoteKind.TO_SET)
    assert "B: set it on the hosts; its value is decided by the script" in notes_of(
        result, NoteKind.TO_SET
    )
    assert not notes_of(result, NoteKind.NOT_KNOWN)


def test_a_variable_of_all_services_that_one_unsets() -> None:
    head = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeployment"}
    script = "unset A; exec python3 -m dynamo.vllm --model m"
    container = {"command": ["bash", "-c"], "args": [script]}
    service = {"componentType": "worker", "extraPodSpec": {"mainContainer": container}}
    spec = {"envs": [{"name": "A", "value": "1"}], "services": {"W": service}}
    result = import_manifest(json.dumps({**head, "metadata": {"name": "a"}, "spec": spec}), "f")
    assert "A: a script unsets it" in notes_of(result, NoteKind.TO_SET)


def test_patterns_tests_and_functions_are_no_commands() -> None:
    result = scripted(
        'case "$1" in\n a|b) : ;;\n *) : ;;\nesac\n[[ $A == b && ( -n $C || $D < e ) ]]\n'
        "((i = 1))\nf() { :; }\nexec >/x 2>&1\nexec python3 -m dynamo.vllm --model m"
    )
    assert result.recipe["model"]["path"] == "m"
    assert notes_of(result, NoteKind.TO_SET) == ""


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("(export A=1)\n{}", None),
        ("export A=1 | cat\n{}", None),
        ("export A=1 &\n{}", None),
        ("(export A=1\n{})", {"A": "1"}),
        ("(a)\nexport A=1\n({})", {"A": "1"}),
        ("(export A=1)\n(export A=2; {})", {"A": "2"}),
    ],
)
def test_exports_of_a_subshell_stay_in_it(script: str, wanted: dict[str, str] | None) -> None:
    result = scripted(script.format("exec python3 -m dynamo.vllm --model m"))
    assert result.recipe["engines"]["decode"].get("env") == wanted
