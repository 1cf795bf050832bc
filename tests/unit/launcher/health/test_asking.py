"""What an answer to a question says of its rank, and what it doesn't."""

import json
from collections.abc import Callable

import httpx
import pytest

from dsr1.launcher.health.asking import QUESTION, ask_again, ask_rank, garbled
from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.completion import Reply, SmokeTarget
from dsr1.launcher.smoke.judge import FIXED, Answers, problems

SERVICE = ServiceTarget("h", 8000, "m", 1)
RANK = SmokeTarget("rank 0", 7, 0)
OWN = SmokeTarget("rank 0", url="http://h:9000", index=0)
Serve = Callable[[httpx.Request], httpx.Response]


def client(serve: Serve) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(serve))


def stream(*texts: str) -> httpx.Response:
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    usage = {"choices": [], "usage": {"completion_tokens": len(texts)}}
    return httpx.Response(
        200, text="".join(f"data: {json.dumps(one)}\n\n" for one in (*chunks, usage))
    )


def question_of(request: httpx.Request) -> str:
    return str(json.loads(request.content)["messages"][0]["content"])


def test_one_token_over_and_over_is_asked_further() -> None:
    asked: list[str] = []

    def always(request: httpx.Request) -> httpx.Response:
        asked.append(question_of(request))
        return stream("!", "!", "!")

    def once(request: httpx.Request) -> httpx.Response:
        return stream("!", "!") if question_of(request) == QUESTION else stream("one", "two")

    broken = ask_rank(SERVICE, client(always), RANK)
    assert asked == list(FIXED)
    assert problems([broken]) == ["rank 0: repeats one token, '!', whatever it is asked"]
    assert problems([ask_rank(SERVICE, client(once), RANK)]) == []


def test_one_question_is_enough_where_the_answer_is_one() -> None:
    asked: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(question_of(request))
        return stream("I", " am")

    assert ask_rank(SERVICE, client(serve), RANK).fixed[0].text == "I am"
    assert asked == [QUESTION]


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def cut_off(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("peer closed connection", request=request)


def late(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("late", request=request)


def wrong(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, text="CUDA error")


@pytest.mark.parametrize(
    ("serve", "target", "says"),
    [
        (refuse, RANK, False),
        (cut_off, RANK, False),
        (refuse, OWN, True),
        (cut_off, OWN, True),
        (late, RANK, True),
        (wrong, RANK, True),
    ],
)
def test_a_frontend_that_goes_says_nothing_of_its_ranks(
    serve: Serve, target: SmokeTarget, says: bool
) -> None:
    found = ask_again(SERVICE, client(serve), target)
    assert (found is not None and bool(found.error)) == says


def test_other_tokens_than_the_first_time() -> None:
    def answers(text: str) -> Answers:
        return Answers(RANK, (Reply(QUESTION, tuple(text), len(text), 0.1, 0.2),))

    baseline = {("a", 0): "I am R1."}
    assert garbled(answers("I am R1."), ("a", 0), baseline) == ""
    assert garbled(answers("zzz"), ("a", 1), baseline) == "", "it is not known"
    assert garbled(Answers(RANK, error="HTTP 500"), ("a", 0), baseline) == ""
    assert garbled(answers("I am \N{SNOWMAN}" * 99), ("a", 0), baseline) == "", "batches differ"
    wrong = garbled(answers("\N{SNOWMAN}" * 99), ("a", 0), baseline)
    assert wrong.startswith("answers '\N{SNOWMAN}")
    assert "'' to" in garbled(answers(""), ("a", 0), baseline)
