"""Which loads can be sent, and in which words the others are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.benchmark.files import (
    read_workload_file,
    refuse_unbounded,
    render_dataset,
    render_trace,
)
from dsr1.launcher.benchmark.workload import (
    DATASET,
    TRACE,
    FileRequest,
    Workload,
    WorkloadFile,
    check_workload,
    closed_loop,
)

FINE = Workload(64, 16, 4, None, 8)
TRACED = Workload(file=WorkloadFile(TRACE, "t.jsonl", (FileRequest(7, 100, 50),) * 4))


def test_totals() -> None:
    one = closed_loop(64, 16, 5)
    assert (one.warmup, one.counted, one.cooldown, one.total) == (3, 20, 3, 26)
    assert (TRACED.counted, TRACED.total) == (4, 4)
    assert replace(TRACED, warmup=1, cooldown=1).counted == 2
    assert [TRACED.answer_length(0), FINE.answer_length(99)] == [50, 16]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (replace(FINE, concurrency=0), "--concurrency 0"),
        (replace(FINE, concurrency=-3), "--concurrency -3"),
        (replace(FINE, rate=0.0), "--rate 0"),
        (replace(FINE, rate=float("inf")), "--rate inf"),
        (replace(FINE, rate=float("nan")), "--rate nan"),
        (replace(FINE, isl=0), "--isl and --osl"),
        (replace(FINE, osl=-1), "none may be negative"),
        (replace(FINE, requests=0), "--requests 0"),
        (replace(FINE, requests=100_001), "at most 100000"),
        (replace(FINE, concurrency=None), "--concurrency or --rate"),
        (replace(FINE, isl=1000), "--isl 1000 --osl 16: 1016 tokens; the model takes 1024"),
        (replace(FINE, isl=1009), "1025 tokens; the model takes 1024 (max_model_len)"),
        (replace(TRACED, isl=3), "--isl: t.jsonl says"),
        (replace(TRACED, rate=3.0), "t.jsonl says how long its answers are"),
        (replace(TRACED, requests=5), "t.jsonl: has 4 requests, and 5 are wanted"),
        (replace(TRACED, warmup=4), "has 4 requests, and 5 are wanted"),
        (
            Workload(file=WorkloadFile(TRACE, "t.jsonl", (FileRequest(7, 1000, 50),))),
            "t.jsonl:7: 1050 tokens; the model takes 1024",
        ),
        (
            Workload(file=WorkloadFile(DATASET, "d.jsonl", (FileRequest(1, osl=4, prompt="a"),))),
            "--concurrency or --rate",
        ),
    ],
)
def test_refused(load: Workload, words: str) -> None:
    if load.isl == 1000:
        check_workload(load, 1024)
        load = replace(load, isl=1000)
        with pytest.raises(InputError, match="1016 tokens"):
            check_workload(load, 1015)
        return
    with pytest.raises(InputError) as refused:
        check_workload(load, 1024)
    assert words in str(refused.value)


def test_accepted() -> None:
    for load in (FINE, TRACED, replace(FINE, rate=2.0), replace(FINE, concurrency=None, rate=0.5)):
        check_workload(load, 1024)
        check_workload(load, None)


LINE = {"timestamp": 2000, "input_length": 600, "output_length": 5, "hash_ids": [3, 9]}


def written(folder: Path, *lines: object) -> str:
    file = folder / "w.jsonl"
    file.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return str(file)


def test_a_trace(tmp_path: Path) -> None:
    """In the order of its times, from the first on; a request without hash ids gets its own."""
    own = {"timestamp": 1500, "input_length": 513, "output_length": 2}
    file = read_workload_file(TRACE, written(tmp_path, LINE, "", own))
    assert [(one.line, one.at_s) for one in file.requests] == [(3, 0.0), (1, 0.5)]
    sent = [json.loads(line) for line in render_trace(file.requests).splitlines()]
    assert [one["hash_ids"] for one in sent] == [[10, 11], [3, 9]]
    assert [one["timestamp"] for one in sent] == [0, 500]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "w.jsonl:2:"),
        ("[1]", "w.jsonl:2: an object is wanted"),
        ("[" * 9000, "w.jsonl:2:"),
        ({**LINE, "timestamp": "now"}, 'timestamp: milliseconds are wanted, not "now"'),
        ({**LINE, "timestamp": True}, "timestamp: milliseconds"),
        ({**LINE, "timestamp": -1}, "timestamp: milliseconds"),
        ({**LINE, "input_length": 0}, "input_length: tokens are wanted"),
        ({**LINE, "output_length": 1.5}, "output_length: tokens are wanted"),
        ({"timestamp": 1, "input_length": 3}, "output_length: tokens are wanted"),
        ({**LINE, "hash_ids": ["a"]}, "hash_ids: a list of whole numbers"),
        ({**LINE, "hash_ids": [1]}, "hash_ids: 1 blocks of 512 tokens can't make 600 tokens"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "w.jsonl:2:"),
    ],
)
def test_a_broken_line_of_a_trace_is_named(line: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_workload_file(TRACE, written(tmp_path, LINE, line))
    assert words in str(refused.value)
    assert "w.jsonl:2:" in str(refused.value)


def test_a_dataset(tmp_path: Path) -> None:
    lines = ({"prompt": "why?", "output_tokens": 7}, {"prompt": "a\nb"})
    file = read_workload_file(DATASET, written(tmp_path, *lines))
    refuse_unbounded(file, 5)
    with pytest.raises(InputError, match=r"w\.jsonl:2: has no output_tokens"):
        refuse_unbounded(file, 0)
    text = render_dataset(file.requests, 0, ("text", "output_length"))
    assert json.loads(text.splitlines()[0]) == {"text": "why?", "output_length": 7}


@pytest.mark.parametrize(
    "line", [{"prompt": ""}, {"prompt": 3}, {"text": "x"}, {"prompt": "x", "output_tokens": 0}]
)
def test_a_broken_line_of_a_dataset_is_named(line: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"w\.jsonl:1:"):
        read_workload_file(DATASET, written(tmp_path, line))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_workload_file(TRACE, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="can't be read"):
        read_workload_file(TRACE, str(tmp_path))
    with pytest.raises(InputError, match="has no requests"):
        read_workload_file(TRACE, written(tmp_path, ""))
    (tmp_path / "w.jsonl").write_bytes(b"{}\n\xff\n")
    with pytest.raises(InputError, match=r"w\.jsonl:2: isn't UTF-8"):
        read_workload_file(TRACE, str(tmp_path / "w.jsonl"))
