"""What is wrong with the answers of a deployment's ranks. Pure.

DeepSeek-R1 over 16 ranks answered gibberish in vLLM 0.12 with every process healthy: only answers
tell.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsr1.launcher.smoke.completion import Reply, SmokeTarget

FIXED = ("Hello! Who are you?", "Count from one to ten.", "Why is the sky blue?")
KNOWN: Mapping[str, str] = {
    "What is 17 * 23? Answer with the number alone.": r"\b391\b",
    "What is the capital of France? Answer with one word.": r"\bparis\b",
    "How many days has a leap year? Answer with the number alone.": r"\b366\b",
}
CLOSED = "</think>"


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one target, to the fixed questions and to those with known answers (none: they weren't
    asked).

    `error`: it did not answer, and why.
    """

    target: SmokeTarget
    fixed: tuple[Reply, ...] = ()
    known: tuple[Reply, ...] = ()
    error: str = ""


def problems(answers: Sequence[Answers], meant: bool = True) -> list[str]:
    """One line each, beginning with the rank; none when all is well. What isn't `meant` only has to
    be there."""
    meaning = [_stuck(answers), _differ(answers), _wrong(answers)] if meant else []
    looks = [_failed(answers), _empty(answers, meant), *meaning]
    return [line for look in looks for line in look]


def _failed(answers: Sequence[Answers]) -> Iterator[str]:
    yield from (f"{one.target.name}: {one.error}" for one in answers if one.error)


def _empty(answers: Sequence[Answers], meant: bool) -> Iterator[str]:
    """No token, or no text in any answer: single tokens may stand for none, and a simulated
    engine's all may."""
    for one in answers:
        replies = (*one.fixed, *one.known)
        silent = meant and not any("".join(reply.said) for reply in replies)
        yield from (
            f"{one.target.name}: answered {reply.question!r} without a word"
            for reply in replies
            if silent or not reply.tokens
        )


def _stuck(answers: Sequence[Answers]) -> Iterator[str]:
    """One token over and over, whatever is asked, is what broken weights or kernels say."""
    for one in answers:
        if one.fixed and all(
            len(reply.said) > 1 and len(set(reply.said)) == 1 for reply in one.fixed
        ):
            yield (
                f"{one.target.name}: repeats one token, {one.fixed[0].said[0]!r}, whatever it is"
                " asked"
            )


def _differ(answers: Sequence[Answers]) -> Iterator[str]:
    """Greedy answers of equal ranks are equal. The few that differ from the most are named; with no
    majority, all."""
    for number, question in enumerate(FIXED):
        texts = {
            one.target.name: "".join(one.fixed[number].said)
            for one in answers
            if len(one.fixed) > number
        }
        counts = Counter(texts.values())
        if len(counts) < 2:
            continue
        usual, count = counts.most_common(1)[0]
        odd = {
            name: text for name, text in texts.items() if text != usual or 2 * count <= len(texts)
        }
        others = f"the others {usual!r}" if 2 * count > len(texts) else "the ranks disagree"
        yield from (
            f"{name}: answers {text!r} to {question!r}, {others}" for name, text in odd.items()
        )


def _wrong(answers: Sequence[Answers]) -> Iterator[str]:
    for one in answers:
        for reply in one.known:
            problem = _misses(reply)
            if problem:
                yield f"{one.target.name}: {reply.question!r}: {problem}"


def _misses(reply: Reply) -> str:
    """The answer stands behind the reasoning, which the server may keep apart."""
    _, closed, answer = reply.text.rpartition(CLOSED)
    if not closed and not (reply.thought and reply.text):
        return f"the reasoning never ends: ...{''.join(reply.said)[-80:]!r}"
    if re.search(KNOWN[reply.question], answer, re.IGNORECASE):
        return ""
    return f"answers {answer.strip()[-200:]!r}"
