"""One streamed completion: who is asked, what comes back, how soon and how fast."""

import time
from collections.abc import Iterable, Iterator

import httpx
from pydantic import BaseModel, ValidationError

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.plan.plan import ServiceTarget

RANK = "X-data-parallel-rank"
"""Header by which vLLM's server gives a request to the n-th of its own ranks."""
LEAST_TOKENS, LEAST_S = 20, 0.1


@dataclass(frozen=True, slots=True)
class SmokeTarget:
    """Who is asked: Dynamo's worker ids and global DP ranks; None where the server
    chooses.

    With prefill and decode apart `worker` writes the answer, and `prefill` reads the question. With
    stack vllm `url` is that of the server, which knows the rank as its `index`-th.
    """

    name: str = ""
    worker: int | None = None
    rank: int | None = None
    prefill: int | None = None
    prefill_rank: int | None = None
    url: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """`pieces` are the tokens' texts as they came, `thoughts` those kept apart as reasoning.
    `first_s` and `last_s`: when the first and the last token came, in seconds from the question."""

    question: str
    pieces: tuple[str, ...]
    tokens: int
    first_s: float
    last_s: float
    thoughts: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All tokens' texts, in their order."""
        return (*self.thoughts, *self.pieces)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def tokens_per_s(replies: Iterable[Reply]) -> float | None:
    """Of all replies together, from the first token of each to its last. None: there are too few
    tokens, or they came together, as those of a small model do: that is no rate."""
    counted = [one for one in replies if one.tokens > 1]
    tokens, seconds = sum(one.tokens - 1 for one in counted), sum(map(_streamed_s, counted))
    return tokens / seconds if tokens >= LEAST_TOKENS and seconds >= LEAST_S else None


def _streamed_s(reply: Reply) -> float:
    return reply.last_s - reply.first_s


class _Delta(BaseModel):
    """vLLM 0.31 calls reasoning `reasoning`, Dynamo 1.6.1 `reasoning_content` unless its frontend
    is configured otherwise."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(BaseModel):
    delta: _Delta


class _Usage(BaseModel):
    completion_tokens: int


class _Workers(BaseModel):
    decode_worker_id: int | None = None
    prefill_worker_id: int | None = None


class _Nvext(BaseModel):
    worker_id: _Workers | None = None


class _Chunk(BaseModel):
    """What is used of one event of a streamed completion."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    nvext: _Nvext | None = None
    error: object = None


class AnsweredByAnother(ValueError):
    """The router took another worker than the one that was asked for."""


def ask_completion(
    service: ServiceTarget, client: httpx.Client, target: SmokeTarget, question: str, tokens: int
) -> Reply:
    """Greedy. Raises httpx.HTTPError, or ValueError when the answer is malformed or another's."""
    began, first, last, counted = time.monotonic(), 0.0, 0.0, 0
    deltas: list[_Delta] = []
    for chunk in _stream(client, target, *_request(service, target, question, tokens)):
        if chunk.choices:
            last = time.monotonic() - began  # a token may have no text
            first = first or last
            deltas.append(chunk.choices[0].delta)
        counted = chunk.usage.completion_tokens if chunk.usage else counted
    pieces = tuple(delta.content for delta in deltas if delta.content)
    thoughts = (text for delta in deltas for text in (delta.reasoning, delta.reasoning_content))
    kept = tuple(filter(None, thoughts))
    return Reply(question, pieces, counted, first, last, kept)


def _stream(
    client: httpx.Client, target: SmokeTarget, url: str, body: dict[str, object]
) -> Iterator[_Chunk]:
    rank = {} if target.index is None else {RANK: str(target.index)}
    with client.stream("POST", url, json=body, headers=rank) as response:
        if response.is_error:
            response.read()
        response.raise_for_status()
        for chunk in _chunks(response.iter_lines()):
            _refuse_others(chunk, target)
            yield chunk


def _request(
    service: ServiceTarget, target: SmokeTarget, question: str, tokens: int
) -> tuple[str, dict[str, object]]:
    """URL and body."""
    chosen = {} if target.url else _choice(target)
    return f"{target.url or service.url}/v1/chat/completions", {
        "model": service.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"nvext": {**chosen, "extra_fields": ["worker_id"]}} if chosen else {}),
    }


def _choice(target: SmokeTarget) -> dict[str, int]:
    """Dynamo's `nvext` chooses, and has the answer say who it was. With prefill and decode
    apart the names differ."""
    names = {
        "backend_instance_id" if target.prefill is None else "decode_worker_id": target.worker,
        "dp_rank": target.rank,
        "prefill_worker_id": target.prefill,
        "prefill_dp_rank": target.prefill_rank,
    }
    return {name: number for name, number in names.items() if number is not None}


def _chunks(lines: Iterator[str]) -> Iterator[_Chunk]:
    """Of server-sent events. ValueError for an event that is not part of a completion, or reports
    an error.
    """
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data" or data.strip() == "[DONE]":
            continue
        try:
            chunk = _Chunk.model_validate_json(data)
        except ValidationError:
            raise ValueError(f"unexpected event in the stream: {data.strip()[:200]}") from None
        if chunk.error is not None:
            raise ValueError(f"the stream reports an error: {data.strip()[:200]}")
        yield chunk


def _refuse_others(chunk: _Chunk, target: SmokeTarget) -> None:
    answered = (chunk.nvext and chunk.nvext.worker_id) or _Workers()
    for role, actual, wanted in (
        ("decode", answered.decode_worker_id, target.worker),
        ("prefill", answered.prefill_worker_id, target.prefill),
    ):
        if None not in (actual, wanted) and actual != wanted:
            raise AnsweredByAnother(f"{role}_worker_id {actual} answered instead of {wanted}")
