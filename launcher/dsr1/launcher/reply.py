"""One streamed completion: whom it is asked of, what comes back, how soon and how fast."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from dsr1.launcher.plan import Service

REASONING = ("reasoning", "reasoning_content")
"""vLLM 0.31's name for it, and the one of Dynamo 1.6.1, whose frontend can be told the other."""
RANK = "X-data-parallel-rank"
"""Header by which vLLM's server gives a request to the n-th of its own ranks."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a question is put to: Dynamo's worker ids and global DP ranks; None where the server chooses.

    With prefill and decode apart `worker` writes the answer, and `prefill` reads the question. With stack vllm `url`
    is that of the server, which knows the rank as its `index`-th.
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
    """`pieces` are the tokens' texts as they came, `thoughts` those kept apart as reasoning. Seconds."""

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


def ask(service: Service, client: httpx.Client, target: Target, question: str, tokens: int) -> Reply:
    """Greedy. Raises httpx.HTTPError, or KeyError or ValueError when the answer is malformed or another's."""
    began = time.monotonic()
    pieces: list[str] = []
    thoughts: list[str] = []
    counted, first, asked = 0, 0.0, _asked(service, target, question, tokens)
    url, rank = (
        f"{target.url or service.url}/v1/chat/completions",
        {} if target.index is None else {RANK: str(target.index)},
    )
    with client.stream("POST", url, json=asked, headers=rank) as got:
        if got.is_error:
            got.read()
        got.raise_for_status()
        for chunk in _chunks(got.iter_lines()):
            _refuse_others(chunk, target)
            delta: Mapping[str, Any] = next((choice["delta"] for choice in chunk.get("choices") or ()), {})
            pieces += filter(None, [delta.get("content")])
            thoughts += filter(None, [delta.get(name) for name in REASONING])
            first = first or (time.monotonic() - began if chunk.get("choices") else 0.0)  # a token may have no text
            counted = int((chunk.get("usage") or {}).get("completion_tokens", counted))
    seconds = time.monotonic() - began
    return Reply(question, tuple(pieces), counted, first or seconds, seconds, tuple(thoughts))


def _asked(service: Service, target: Target, question: str, tokens: int) -> dict[str, object]:
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


def _choice(target: Target) -> dict[str, int]:
    """Dynamo's `nvext` chooses, and has the answer say who it was. Prefill and decode apart have names of their own."""
    names = {
        "backend_instance_id" if target.prefill is None else "decode_worker_id": target.worker,
        "dp_rank": target.rank,
        "prefill_worker_id": target.prefill,
        "prefill_dp_rank": target.prefill_rank,
    }
    return {name: number for name, number in names.items() if number is not None}


def _chunks(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    """The data of server-sent events. ValueError for what is no JSON object, or says that something went wrong."""
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data" or data.strip() == "[DONE]":
            continue
        chunk = json.loads(data)
        if not isinstance(chunk, dict) or "error" in chunk:
            raise ValueError(f"the stream says {data.strip()[:200]}")
        yield chunk


def _refuse_others(chunk: Mapping[str, Any], target: Target) -> None:
    told = (chunk.get("nvext") or {}).get("worker_id") or {}
    for key, wanted in (("decode_worker_id", target.worker), ("prefill_worker_id", target.prefill)):
        if wanted is not None and told.get(key, wanted) != wanted:
            raise ValueError(f"{key} {told[key]} answered in place of {wanted}")
