"""One streamed completion: whom it is asked of, what comes back, how soon and how fast."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ValidationError

from dsr1.launcher.plan.plan import ServiceTarget

RANK = "X-data-parallel-rank"
"""Header by which vLLM's server gives a request to the n-th of its own ranks."""


@dataclass(frozen=True, slots=True)
class SmokeTarget:
    """Whom a question is put to: Dynamo's worker ids and global DP ranks; None where the server
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
    Seconds."""

    question: str
    pieces: tuple[str, ...]
    tokens: int
    first_s: float
    seconds: float
    thoughts: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """All tokens' texts, in their order."""
        return (*self.thoughts, *self.pieces)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens_per_s(self) -> float | None:
        """From the first token on; None where that can't be told, of a single one."""
        rest = self.seconds - self.first_s
        return (self.tokens - 1) / rest if self.tokens > 1 and rest > 0 else None


class _Delta(BaseModel):
    """vLLM 0.31 calls reasoning `reasoning`, Dynamo 1.6.1 `reasoning_content` unless its frontend
    is told otherwise."""

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


def ask_completion(
    service: ServiceTarget, client: httpx.Client, target: SmokeTarget, question: str, tokens: int
) -> Reply:
    """Greedy. Raises httpx.HTTPError, or ValueError when the answer is malformed or another's."""
    began, first, counted = time.monotonic(), 0.0, 0
    deltas: list[_Delta] = []
    url = f"{target.url or service.url}/v1/chat/completions"
    rank = {} if target.index is None else {RANK: str(target.index)}
    with client.stream(
        "POST", url, json=_asked(service, target, question, tokens), headers=rank
    ) as got:
        if got.is_error:
            got.read()
        got.raise_for_status()
        for chunk in _chunks(got.iter_lines()):
            _refuse_others(chunk, target)
            if chunk.choices:
                first = first or time.monotonic() - began  # a token may have no text
                deltas.append(chunk.choices[0].delta)
            counted = chunk.usage.completion_tokens if chunk.usage else counted
    seconds = time.monotonic() - began
    pieces = (delta.content for delta in deltas)
    thoughts = (text for delta in deltas for text in (delta.reasoning, delta.reasoning_content))
    return Reply(
        question,
        tuple(filter(None, pieces)),
        counted,
        first or seconds,
        seconds,
        tuple(filter(None, thoughts)),
    )


def _asked(
    service: ServiceTarget, target: SmokeTarget, question: str, tokens: int
) -> dict[str, object]:
    chosen = {} if target.url else _choice(target)
    return {
        "model": service.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"nvext": {**chosen, "extra_fields": ["worker_id"]}} if chosen else {}),
    }


def _choice(target: SmokeTarget) -> dict[str, int]:
    """Dynamo's `nvext` chooses, and has the answer say who it was. Prefill and decode apart have
    names of their own."""
    names = {
        "backend_instance_id" if target.prefill is None else "decode_worker_id": target.worker,
        "dp_rank": target.rank,
        "prefill_worker_id": target.prefill,
        "prefill_dp_rank": target.prefill_rank,
    }
    return {name: number for name, number in names.items() if number is not None}


def _chunks(lines: Iterator[str]) -> Iterator[_Chunk]:
    """Of server-sent events. ValueError for what is none of a completion, or says that something
    went wrong."""
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data" or data.strip() == "[DONE]":
            continue
        try:
            chunk = _Chunk.model_validate_json(data)
        except ValidationError:
            raise ValueError(f"the stream says {data.strip()[:200]}") from None
        if chunk.error is not None:
            raise ValueError(f"the stream says {data.strip()[:200]}")
        yield chunk


def _refuse_others(chunk: _Chunk, target: SmokeTarget) -> None:
    told = (chunk.nvext and chunk.nvext.worker_id) or _Workers()
    for role, said, wanted in (
        ("decode", told.decode_worker_id, target.worker),
        ("prefill", told.prefill_worker_id, target.prefill),
    ):
        if None not in (said, wanted) and said != wanted:
            raise ValueError(f"{role}_worker_id {said} answered in place of {wanted}")
