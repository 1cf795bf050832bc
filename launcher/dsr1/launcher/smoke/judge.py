"""What is wrong with the answers of a deployment's ranks. Pure.

DeepSeek-R1 over 16 ranks answered gibberish in vLLM 0.12 with every process healthy: only
answers show it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.smoke.completion import Reply, SmokeTarget

FIXED = ("Hello! Who are you?", "Count from one to ten.", "Why is the sky blue?")
KNOWN: Mapping[str, str] = {
    "What is 17 * 23? Answer with the number alone.": r"\b391\b",
    "What is the capital of France? Answer with one word.": r"\bparis\b",
    "How many days has a leap year? Answer with the number alone.": r"\b366\b",
}
CLOSED = "</think>"
SAME_SHARE = 0.25  # of an answer, its beginning: what is broken is so from the first token on


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one target, to the fixed questions and to those with known answers (none: they weren't
    asked).

    `error`: it did not answer, and why. `by_another`: the router took another rank.
    """

    target: SmokeTarget
    fixed: tuple[Reply, ...] = ()
    known: tuple[Reply, ...] = ()
    error: str = ""
    by_another: bool = False


def problems(answers: Sequence[Answers], meaningful: bool = True) -> list[str]:
    """One line each, beginning with the rank; none when all is well. Of answers without a meaning
    (`meaningful` is False: random weights, a simulator) only the presence is judged."""
    lines = [*_failed(answers), *_empty(answers, meaningful)]
    if meaningful:
        lines += [*_stuck(answers), *_differ(answers), *_wrong(answers)]
    return lines


def _failed(answers: Sequence[Answers]) -> Iterator[str]:
    yield from (f"{one.target.name}: {one.error}" for one in answers if one.error)


def _empty(answers: Sequence[Answers], meaningful: bool) -> Iterator[str]:
    """No token, or no text in any answer: a single token may have no text, and with a simulated
    engine all may."""
    for one in answers:
        replies = (*one.fixed, *one.known)
        silent = meaningful and not any("".join(reply.texts) for reply in replies)
        yield from (
            f"{one.target.name}: gave an empty answer to {reply.question!r}"
            for reply in replies
            if silent or not reply.tokens
        )


def _stuck(answers: Sequence[Answers]) -> Iterator[str]:
    """Broken weights or kernels answer everything with one token over and over."""
    for one in answers:
        if one.fixed and all(map(repeats, one.fixed)):
            token = one.fixed[0].texts[0]
            yield f"{one.target.name}: repeats one token, {token!r}, whatever it is asked"


def repeats(reply: Reply) -> bool:
    """One token over and over."""
    return len(reply.texts) > 1 and len(set(reply.texts)) == 1


def begins_alike(usual: str, text: str) -> bool:
    """Greedy answers of equal ranks begin alike. Later tokens may differ: sums depend on what else
    is in the batch, and between two near ones greedy decoding then goes the other way."""
    begin = usual[: ceil(len(usual) * SAME_SHARE)]
    return usual == text or (begin != "" and text.startswith(begin))


def _differ(answers: Sequence[Answers]) -> Iterator[str]:
    """Those that begin otherwise than the majority are named; with no majority, all."""
    for number, question in enumerate(FIXED):
        replies = {one.target.name: one.fixed[number] for one in answers if len(one.fixed) > number}
        texts = {name: "".join(reply.texts) for name, reply in replies.items()}
        for name, others in _odd_ones(texts).items():
            yield f"{name}: answers {texts[name]!r} to {question!r}, {others}"


def _odd_ones(texts: Mapping[str, str]) -> dict[str, str]:
    """By name, how the others answer."""
    alike = {
        usual: sum(begins_alike(usual, text) for text in texts.values())
        for usual in dict.fromkeys(texts.values())
    }
    usual = max(alike, key=alike.__getitem__, default="")
    odd = [name for name, text in texts.items() if not begins_alike(usual, text)]
    if odd and 2 * alike[usual] <= len(texts):
        return dict.fromkeys(texts, "the ranks disagree")
    return dict.fromkeys(odd, f"the others {usual!r}")


def _wrong(answers: Sequence[Answers]) -> Iterator[str]:
    for one in answers:
        for reply in one.known:
            problem = _misses(reply)
            if problem:
                yield f"{one.target.name}: {reply.question!r}: {problem}"


def _misses(reply: Reply) -> str:
    """The answer follows the reasoning, which the server may keep apart."""
    _, closed, answer = reply.text.rpartition(CLOSED)
    if not closed and not (reply.thought and reply.text):
        return f"the reasoning never ends: ...{''.join(reply.texts)[-80:]!r}"
    if re.search(KNOWN[reply.question], answer, re.IGNORECASE):
        return ""
    return f"answers {answer.strip()[-200:]!r}"
