"""What answers must be: there, not one token over and over, alike on every rank, and right where
that is known."""

from dataclasses import replace

import pytest

from dsr1.launcher.smoke.completion import Reply, SmokeTarget, tokens_per_s
from dsr1.launcher.smoke.judge import FIXED, KNOWN, Answers, problems

PARIS = "What is the capital of France? Answer with one word."


def reply(question: str, *pieces: str, thought: str = "") -> Reply:
    return Reply(question, pieces, len(pieces), 0.1, 0.3, (thought,) if thought else ())


def rank(number: int, *texts: str, known: tuple[Reply, ...] = ()) -> Answers:
    return Answers(SmokeTarget(f"rank {number}"), tuple(map(reply, FIXED, texts)), known)


def test_the_questions_stay_apart() -> None:
    assert len(set(FIXED)) == len(FIXED)
    assert not set(FIXED) & set(KNOWN)


def test_alike_is_well() -> None:
    assert problems([rank(0, "a", "b", "c"), rank(1, "a", "b", "c")]) == []


def test_the_one_that_differs_is_named() -> None:
    told = problems([rank(0, "a", "b"), rank(1, "a", "x"), rank(2, "a", "b")])
    assert told == [f"rank 1: answers 'x' to {FIXED[1]!r}, the others 'b'"]


def test_later_tokens_may_differ() -> None:
    """As two ranks of real vLLM did on a CPU, at the fourteenth token of sixteen, while the engine
    checked itself beside one of them."""
    usual = "<extra_474>" * 13
    last = ("<extra_336><extra_474><extra_336>", "<extra_474><extra_474><extra_336>")
    assert problems([rank(0, "a", usual + last[0]), rank(1, "a", usual + last[1])]) == []
    told = problems([rank(0, usual), rank(1, usual), rank(2, "<extra_336>" + usual[11:])])
    assert [line.split(":")[0] for line in told] == ["rank 2"]


def test_an_empty_text_is_like_no_other() -> None:
    told = problems([rank(0, "a", ""), rank(1, "a", ""), rank(2, "a", "b")])
    assert [line.split(":")[0] for line in told] == ["rank 2"]


def test_without_a_majority_all_are_named() -> None:
    told = problems([rank(0, "a"), rank(1, "b")])
    assert [line.split(":")[0] for line in told] == ["rank 0", "rank 1"]
    assert "the ranks disagree" in told[0]


def test_an_error_and_an_empty_answer() -> None:
    told = problems(
        [
            Answers(SmokeTarget("rank 0"), error="HTTP 503: x"),
            Answers(SmokeTarget("rank 1"), (reply(FIXED[0]),)),
        ]
    )
    assert told == ["rank 0: HTTP 503: x", f"rank 1: gave an empty answer to {FIXED[0]!r}"]


def test_tokens_without_a_text_in_one_answer_of_several() -> None:
    """As random weights give them."""
    mute = replace(reply(FIXED[0], "a"), pieces=())
    assert problems([Answers(SmokeTarget("rank 0"), (mute, reply(FIXED[1], "b")))]) == []
    assert problems([Answers(SmokeTarget("rank 0"), (mute,))]) == [
        f"rank 0: gave an empty answer to {FIXED[0]!r}"
    ]


def test_one_token_over_and_over() -> None:
    stuck = Answers(
        SmokeTarget("rank 0"), tuple(reply(question, "!", "!", "!") for question in FIXED)
    )
    assert problems([stuck]) == ["rank 0: repeats one token, '!', whatever it is asked"]
    once = Answers(SmokeTarget("rank 0"), (*stuck.fixed[:-1], reply(FIXED[-1], "!", "?")))
    assert problems([once]) == []


def test_reasoning_that_the_server_keeps_apart_counts_as_said() -> None:
    """All 16 tokens of a fixed question are R1's reasoning: what differs or sticks there is
    wrong."""

    def thinking(name: str, *thoughts: str) -> Answers:
        return Answers(
            SmokeTarget(name),
            tuple(replace(reply(question), tokens=2, thoughts=thoughts) for question in FIXED),
        )

    assert problems([thinking("rank 0", "Hm", "."), thinking("rank 1", "Hm", ".")]) == []
    assert "repeats one token" in problems([thinking("rank 0", "!", "!")])[0]
    assert len(problems([thinking("rank 0", "Hm", "."), thinking("rank 1", "Oh", ".")])) == 2 * len(
        FIXED
    )


def test_simulated_words_need_not_mean_anything() -> None:
    assert problems([rank(0, "a"), rank(1, "b")], meaningful=False) == []
    assert problems([Answers(SmokeTarget("rank 0"), error="x")], meaningful=False) == ["rank 0: x"]


@pytest.mark.parametrize(
    ("text", "thought", "problem"),
    [
        ("Hm.</think>\n\nParis.", "", ""),
        ("<think>\nHm.\n</think> **Paris**", "", ""),
        ("Paris", "The user asks.", ""),
        ("Is it Paris? It is Paris", "", "the reasoning never ends"),
        ("", "Is it Paris? It is Paris", "the reasoning never ends: ...'Is it Paris"),
        ("Paris?</think> London", "", "answers 'London'"),
    ],
)
def test_known_answers_stand_behind_the_reasoning(text: str, thought: str, problem: str) -> None:
    told = problems([rank(3, known=(reply(PARIS, text, thought=thought),))])
    assert len(told) == bool(problem)
    assert all(line.startswith("rank 3: ") and problem in line for line in told)


def test_a_rate_is_of_enough_tokens_over_enough_time() -> None:
    """Eleven tokens of a small model come together: that was 5,260 tokens a second."""
    burst, slow = (Reply("q", ("a",), 11, 0.5, last) for last in (0.502, 1.5))
    assert tokens_per_s([burst]) is None
    assert tokens_per_s([slow]) is None
    assert tokens_per_s([slow, slow, Reply("q", ("a",), 1, 0.1, 0.1)]) == 10.0
    assert tokens_per_s([]) is None
