"""What the two drivers wrote when they were really run, read into one form; and where a driver runs."""

import json
import shutil
from pathlib import Path

import pytest

from dsr1.hosts.agent.driving.cpus import free_cpus
from dsr1.hosts.agent.driving.drive import last_words, own_folder
from dsr1.hosts.agent.driving.results import (
    AIPERF_RECORDS,
    RESULTS,
    UNCOUNTED,
    DriverResults,
)
from dsr1.hosts.protocol.jobs.orders import EMPTY_ANSWER, VLLM_BENCH, VLLM_RESULT

DATA = Path(__file__).parents[4] / "data" / "bench"


def results_of(folder: Path, driver: str, capture: str) -> DriverResults:
    file = folder / (VLLM_RESULT if driver == VLLM_BENCH else AIPERF_RECORDS)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / capture, file)
    return RESULTS[driver](folder)


@pytest.mark.parametrize(
    ("driver", "capture", "tokens_in"),
    [
        ("vllm", "vllm-mocker.json", 64),
        ("aiperf", "aiperf-mocker.jsonl", 0),
        ("vllm", "vllm-real.json", 0),
        ("aiperf", "aiperf-real.jsonl", 64),
    ],
)
def test_answers_are_whole(driver: str, capture: str, tokens_in: int, tmp_path: Path) -> None:
    results = results_of(tmp_path, driver, capture)
    read = results.read()
    assert set(read.error) == {""}
    assert set(read.tokens_out) == {16}
    assert not tokens_in or set(read.tokens_in) <= {tokens_in}
    assert all(
        0 < first <= whole < 60 for first, whole in zip(read.first_s, read.whole_s, strict=True)
    )
    assert results.began > 0


@pytest.mark.parametrize(
    ("driver", "capture"), [("vllm", "vllm-empty.json"), ("aiperf", "aiperf-empty.jsonl")]
)
def test_an_empty_answer_is_an_error(driver: str, capture: str, tmp_path: Path) -> None:
    assert set(results_of(tmp_path, driver, capture).read().error) == {EMPTY_ANSWER}


@pytest.mark.parametrize(
    ("driver", "capture", "busy"),
    [
        ("vllm", "vllm-failing.json", "Service Unavailable"),
        ("aiperf", "aiperf-failing.jsonl", "HTTP 503 Service Unavailable"),
    ],
)
def test_a_server_that_fails_in_turns(driver: str, capture: str, busy: str, tmp_path: Path) -> None:
    """Of six one is refused, one cut, one empty: the cut one has fewer tokens."""
    read = results_of(tmp_path, driver, capture).read()
    errors = sorted(read.error)
    assert errors == sorted([""] * 8 + [busy] * 2 + [EMPTY_ANSWER] * 2)
    whole = [n for n, error in zip(read.tokens_out, read.error, strict=True) if not error]
    assert sorted(whole) == [3, 3, 6, 6, 6, 6, 6, 6]


def test_an_answer_that_nobody_counted(tmp_path: Path) -> None:
    results = results_of(tmp_path, "aiperf", "aiperf-mocker.jsonl")
    file = tmp_path / AIPERF_RECORDS
    plain = json.loads(file.read_text().splitlines()[0])
    del plain["metrics"]["output_sequence_length"]
    file.write_text(json.dumps(plain) + "\n")
    assert results.read().error == (UNCOUNTED,)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"errors": [1]}', "\x00"])
@pytest.mark.parametrize("driver", ["vllm", "aiperf"])
def test_another_form_is_no_result(driver: str, text: str, tmp_path: Path) -> None:
    results = results_of(tmp_path, driver, "vllm-empty.json")
    file = tmp_path / (VLLM_RESULT if driver == VLLM_BENCH else AIPERF_RECORDS)
    file.write_text(text)
    if driver == "aiperf" and not text:
        assert results.read().start_s == ()
        return
    with pytest.raises((ValueError, KeyError, TypeError)):
        results.read()


def test_progress(tmp_path: Path) -> None:
    bar = " 25%|██▌       | 5/20 [00:00<00:00, 19.20it/s] 45%|████▌ | 9/20 [00:00<00:00]"
    assert RESULTS["vllm"](tmp_path).count(bar) == 9
    assert RESULTS["vllm"](tmp_path).count("Warming up") == 0
    assert RESULTS["aiperf"](tmp_path).count("") == 0
    assert results_of(tmp_path, "aiperf", "aiperf-mocker.jsonl").count("") == 12


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Traceback\n  File x\nValueError: no such model\n", "ValueError: no such model"),
        ("fine\n\x1b[31mthe end\x1b[0m\n", "the end"),
        ("│ Reason: All 20 requests failed │\n╰────╯\n", "Reason: All 20 requests failed"),
        (
            "12:00 ERROR    no tokenizer (x.py:1)\nError: HookError\n",
            "12:00 ERROR    no tokenizer (x.py:1)",
        ),
        ("", "it said nothing"),
    ],
)
def test_last_words(said: str, words: str) -> None:
    assert last_words(said) == words


@pytest.mark.parametrize(
    ("everything", "bound", "free"),
    [
        (range(8), {0, 1, 2, 3}, (4, 5, 6, 7)),
        (range(2), set(), ()),
        (range(16), set(), (14, 15)),
        (range(128), set(), tuple(range(120, 128))),
        (range(4), {0, 1, 2, 3}, ()),
    ],
)
def test_cpus_away_from_the_workers(
    everything: range, bound: set[int], free: tuple[int, ...]
) -> None:
    assert free_cpus(everything, bound) == free


def test_what_a_killed_job_left_goes_with_the_next(tmp_path: Path) -> None:
    base = tmp_path / "dsr1"
    base.mkdir(mode=0o700)
    with own_folder(base) as first:
        dead = first.with_name("999999999.1.abc")
        dead.mkdir()
        with own_folder(base) as second:
            assert (first.exists(), dead.exists(), second != first) == (True, False, True)
    assert list((base / "driving").iterdir()) == []
