"""Who answered, from a worker's own counters, and who is asked."""

import json
from collections.abc import Mapping

import httpx
import pytest

from dsr1.launcher.plan.plan import RegisteredWorker, ServiceTarget
from dsr1.launcher.smoke.completion import Reply, SmokeTarget, ask_completion
from dsr1.launcher.smoke.run import SmokeRank, finished, pair, smoke_all, worker_id

METRICS = """# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",worker_id="f479e0c2dca26933"} 1.0
vllm:request_success_total{engine="0",finished_reason="length",worker_id="f479e0c2dca26933"} 2.0
vllm:request_success_total{engine="1",finished_reason="length",worker_id="f479e0c2dca26933"} 4.0
"""
NUMBER = 17616358544966314291
SERVICE = ServiceTarget(
    "h", 8000, "m", 1, (RegisteredWorker("main-0", (0, 1), "http://h:1/metrics"),)
)


def stream(*chunks: Mapping[str, object] | str) -> str:
    return "".join(
        f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks
    )


def said(text: str, **more: object) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text, **more}}]}


ANYBODY = SmokeTarget()
USAGE = {"choices": [], "usage": {"completion_tokens": 2}}


def asked_of(answer: str, target: SmokeTarget) -> Reply | Exception:
    """The reply to an answer of the server, or the error."""
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, text=answer))
    ) as client:
        try:
            return ask_completion(SERVICE, client, target, "Why?", 4)
        except ValueError as error:
            return error


def test_counters_by_rank() -> None:
    assert worker_id(METRICS) == NUMBER
    assert finished(METRICS) == {0: 3, 1: 4}


def test_a_worker_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="worker_id"):
        worker_id("")


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_reply_is_put_together_from_its_pieces(name: str) -> None:
    reply = asked_of(stream(said("a "), said("b", **{name: "hm"}), USAGE, "[DONE]"), ANYBODY)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.pieces, reply.tokens, reply.thought) == ("a b", ("a ", "b"), 2, "hm")


@pytest.mark.parametrize(
    "answer",
    [
        "data: {\n\n",
        stream("[1]"),
        stream({"error": "x"}),
        stream(said("a", a=1), {"error": {"code": 5}}),
        stream({"choices": [1]}),
        stream({"choices": [{"delta": {"content": ["a"]}}]}),
        stream({"usage": {"completion_tokens": None}}),
        stream({"nvext": {"worker_id": "w"}}),
    ],
)
def test_a_stream_that_is_none(answer: str) -> None:
    assert isinstance(asked_of(answer, ANYBODY), ValueError)


def test_another_worker_in_place_of_the_one_asked() -> None:
    other = {**said("a"), "nvext": {"worker_id": {"decode_worker_id": 8}}}
    error = asked_of(stream(other), SmokeTarget("x", 7, 0))
    assert "decode_worker_id 8 answered instead of 7" in str(error)


def test_apart_both_are_chosen_by_their_own_names() -> None:
    seen: list[dict[str, object]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content)["nvext"])
        return httpx.Response(200, text=stream(said("a"), USAGE))

    with httpx.Client(transport=httpx.MockTransport(serve)) as client:
        ask_completion(SERVICE, client, SmokeTarget("x", 7, 0), "Why?", 4)
        ask_completion(SERVICE, client, SmokeTarget("x", 7, 0, 9, 3), "Why?", 4)
    told = {"extra_fields": ["worker_id"]}
    assert seen == [
        {"backend_instance_id": 7, "dp_rank": 0, **told},
        {"decode_worker_id": 7, "dp_rank": 0, "prefill_worker_id": 9, "prefill_dp_rank": 3, **told},
    ]


def test_each_rank_of_vllms_own_servers_is_asked() -> None:
    """A server knows its ranks by their place among them; the counters by their global numbers."""
    asked: list[tuple[str, str, bool]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            done = sum(url == request.url.host for url, *_ in asked)
            first = {"a": 0, "b": 2}[request.url.host]
            lines = (
                f'vllm:request_success_total{{engine="{first + n}"}} {done}.0' for n in range(2)
            )
            return httpx.Response(200, text="\n".join(lines))
        asked.append(
            (
                request.url.host,
                request.headers["X-data-parallel-rank"],
                "nvext" in json.loads(request.content),
            )
        )
        return httpx.Response(200, text=stream(said("a"), USAGE))

    workers = tuple(
        RegisteredWorker(f"m-{h}", r, f"http://{h}/metrics", url=f"http://{h}")
        for h, r in (("a", (0, 1)), ("b", (2, 3)))
    )
    with httpx.Client(transport=httpx.MockTransport(serve)) as client:
        answers = smoke_all(ServiceTarget("h", 8000, "m", None, workers), client, known=False)
    assert [one.target.name for one in answers] == [
        f"rank {n} of m-{h}" for n, h in enumerate("aabb")
    ]
    assert asked[::3] == [
        ("a", "0", False),
        ("a", "1", False),
        ("b", "0", False),
        ("b", "1", False),
    ]


class RoundRobin:
    """A frontend that passes over the rank asked for, as Dynamo 1.3.1's round-robin router does."""

    def __init__(self, mute: int | None = None) -> None:
        self.counts = {0: 0, 1: 0}
        self.asked, self.mute = 0, mute

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            line = 'vllm:request_success_total{{engine="{}",worker_id="7"}} {}.0'
            return httpx.Response(
                200, text="\n".join(line.format(*one) for one in self.counts.items())
            )
        rank = self.asked // 3 % 2  # three fixed questions a round
        self.asked += 1
        if rank != self.mute:
            self.counts[rank] += 1
        other = {**said("a"), "nvext": {"worker_id": {"decode_worker_id": 8 + rank}}}
        return httpx.Response(200, text=stream(other, USAGE))


def test_a_router_that_takes_another_rank_is_asked_until_every_rank_has_answered() -> None:
    router = RoundRobin()
    with httpx.Client(transport=httpx.MockTransport(router)) as client:
        answers = smoke_all(SERVICE, client, known=False)
    assert [one.error for one in answers] == [""] * len(answers)
    assert all("does not take the rank asked for" in one.target.name for one in answers)
    assert min(router.counts.values()) >= 1


def test_a_rank_that_no_router_ever_takes_fails() -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(RoundRobin(mute=1))) as client,
        pytest.raises(ValueError, match="asked, but counted no request: rank 1 of main-0"),
    ):
        smoke_all(SERVICE, client, known=False)


def test_silence_is_told_with_its_length_and_a_mute_worker_by_name() -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            return httpx.Response(200, text=METRICS)
        raise httpx.ReadTimeout("timed out", request=request)

    with httpx.Client(transport=httpx.MockTransport(hang), timeout=7) as client:
        one, *_ = smoke_all(SERVICE, client, known=False)
    assert one.error == "no response for 7 s (timeouts.chat)"
    with (
        httpx.Client(
            transport=httpx.MockTransport(lambda _: httpx.Response(503, text="no"))
        ) as client,
        pytest.raises(ValueError, match="main-0: no metrics at http://h:1/metrics: HTTP 503: no"),
    ):
        smoke_all(SERVICE, client, known=False)


def test_every_seat_is_asked() -> None:
    decode, prefill = (
        [SmokeRank(f"d{n}", n, n) for n in range(2)],
        [SmokeRank(f"p{n}", 10 + n, n) for n in range(3)],
    )
    targets = pair(decode, prefill)
    assert [(target.worker, target.prefill) for target in targets] == [(0, 10), (1, 11), (0, 12)]
    assert pair(decode, []) == [SmokeTarget("d0", 0, 0), SmokeTarget("d1", 1, 1)]


def test_a_rank_that_fails_is_named_and_the_others_are_asked() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            return httpx.Response(200, text=METRICS)
        rank = json.loads(request.content)["nvext"]["dp_rank"]
        return (
            httpx.Response(200, text=stream(said("a"), USAGE))
            if rank
            else httpx.Response(503, text="no instance")
        )

    with httpx.Client(transport=httpx.MockTransport(serve)) as client:
        first, second = smoke_all(SERVICE, client, known=False)
    assert (first.target.name, first.error) == ("rank 0 of main-0", "HTTP 503: no instance")
    assert [reply.text for reply in second.fixed] == ["a", "a", "a"]


def test_a_rank_that_counted_nothing_did_not_answer() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, text=METRICS if request.url.path == "/metrics" else stream(said("a"), USAGE)
        )

    with (
        httpx.Client(transport=httpx.MockTransport(serve)) as client,
        pytest.raises(ValueError, match="counted no request: rank 0 of main-0, rank 1 of main-0"),
    ):
        smoke_all(SERVICE, client, known=False)
