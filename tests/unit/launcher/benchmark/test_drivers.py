"""The exact commands of both drivers."""

from dataclasses import replace

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.benchmark.drivers import Aiperf, BenchTarget, VllmBench
from dsr1.launcher.benchmark.workload import DATASET, TRACE, FileRequest, Workload, WorkloadFile

TARGET = BenchTarget("http://10.0.0.1:8000", "r1", "/models/r 1")
FIXED = Workload(4000, 1000, 64, None, 256, 32, 32, 7)
TRACED = Workload(file=WorkloadFile(TRACE, "t", (FileRequest(1, 600, 5),) * 3))
PROMPTS = (FileRequest(1, osl=9, prompt="why?"), FileRequest(2, osl=9, prompt="how?"))
LISTED = Workload(0, 0, 2, None, 1, file=WorkloadFile(DATASET, "d", PROMPTS))


def test_vllm() -> None:
    order = VllmBench("/opt/vllm/bin/python").order(TARGET, FIXED, 60.0, "id", (4, 5))
    assert " ".join(order.argv) == (
        "env -u PYTHONPATH /opt/vllm/bin/python -m vllm.entrypoints.cli.main bench serve --backend openai"
        " --base-url http://10.0.0.1:8000 --endpoint /v1/completions --model r1"
        " --tokenizer /models/r 1 --num-prompts 320 --seed 7 --temperature 0"
        " --dataset-name random --random-input-len 4000 --random-output-len 1000"
        " --max-concurrency 64 --result-dir {folder} --result-filename result.json"
        " --ignore-eos --save-result --save-detailed"
    )
    assert "/models/r 1" in order.argv
    assert order.env["HF_HUB_OFFLINE"] == "1"
    assert order.env["PYTHONHASHSEED"] == "7"
    assert (order.files, order.total, order.limit_s, order.run_id, order.cpus) == (
        {},
        320,
        60.0,
        "id",
        (4, 5),
    )


def test_aiperf() -> None:
    order = Aiperf("/cache/aiperf").order(TARGET, FIXED, 60.0)
    assert " ".join(order.argv) == (
        "env -u PYTHONPATH -u HF_HUB_OFFLINE -u TRANSFORMERS_OFFLINE /cache/aiperf profile --model-names r1 --url http://10.0.0.1:8000"
        " --endpoint-type completions --tokenizer /models/r 1 --request-count 320"
        " --random-seed 7 --isl 4000 --isl-stddev 0 --osl 1000 --osl-stddev 0"
        " --num-dataset-entries 320 --concurrency 64 --workers-max 1"
        ' --extra-inputs {"ignore_eos": true, "temperature": 0}'
        " --output-artifact-dir {folder}/aiperf --export-level records --ui-type none"
        " --streaming --use-legacy-max-tokens --use-server-token-count --no-gpu-telemetry"
        " --no-server-metrics"
    )
    assert "HF_HUB_OFFLINE" not in order.env


def test_a_rate() -> None:
    load = replace(FIXED, concurrency=None, rate=2.5)
    assert "--request-rate 2.5" in " ".join(VllmBench("p").argv(TARGET, load))
    words = " ".join(Aiperf("a").argv(TARGET, load))
    assert "--request-rate 2.5" in words
    assert "--concurrency" not in words


def test_a_trace_is_replayed() -> None:
    words = " ".join(VllmBench("p").argv(TARGET, TRACED))
    assert "--dataset-name timed_trace --dataset-path {folder}/trace.jsonl" in words
    assert "--timed-trace-chunk-hash-size 512 --timed-trace-sec-multiplier 0.001" in words
    words = " ".join(Aiperf("a").argv(TARGET, TRACED))
    assert "--input-file {folder}/trace.jsonl --custom-dataset-type mooncake_trace" in words
    assert words.endswith("--fixed-schedule")
    files = VllmBench("p").files(TRACED), Aiperf("a").files(TRACED)
    assert files[0] == files[1]
    assert files[0]["trace.jsonl"].count("\n") == 3


def test_a_dataset_is_sent_as_it_is() -> None:
    """As many of its prompts as are wanted."""
    assert VllmBench("p").files(LISTED) == {
        "dataset.jsonl": '{"prompt": "why?", "output_tokens": 9}\n'
    }
    assert Aiperf("a").files(LISTED) == {"dataset.jsonl": '{"text": "why?", "output_length": 9}\n'}
    words = " ".join(VllmBench("p").argv(TARGET, LISTED))
    assert "--custom-output-len -1" in words
    assert words.endswith("--skip-chat-template --disable-shuffle --no-oversample")


def test_secrets_are_in_no_argument() -> None:
    closed = replace(TARGET, url="https://10.0.0.1:8000", certificate="PEM", api_key="s3cret")
    order = VllmBench("p").order(closed, FIXED, 60.0)
    assert "s3cret" not in " ".join(order.argv)
    assert order.env["OPENAI_API_KEY"] == "s3cret"
    assert order.env["SSL_CERT_FILE"] == "{folder}/frontend.pem"
    assert order.files == {"frontend.pem": "PEM"}
    assert "--insecure" not in order.argv
    assert "--insecure" in VllmBench("p").argv(replace(closed, api_key=""), FIXED)
    with pytest.raises(InputError, match="--driver vllm"):
        Aiperf("a").order(closed, FIXED, 60.0)
