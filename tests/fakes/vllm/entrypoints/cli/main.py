"""vLLM's HTTP surface without an engine: `serve`, as dsr1 starts it, with ranks that misbehave as a
file of theirs says.

`$FAKE_VLLM/N` is read anew for rank N at every request: `garble`, `500`, `mute` (no answer to any
question), `stall` (the same, and its counters say that it has work), `sick` (the same, and /health
is 503).
"""

import argparse
import json
import os
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WELL, WRONG = ("I ", "am ", "a ", "fake."), ("!", "?", "!", "?")
FOLDER = Path(os.environ["FAKE_VLLM"])


class Ranks:
    """Of one server, by their global numbers."""

    def __init__(self, options: argparse.Namespace) -> None:
        local = options.data_parallel_size_local or 1
        first = options.data_parallel_rank or options.data_parallel_start_rank or 0
        self.numbers = tuple(range(first, first + local))
        self.model = options.served_model_name
        self.done: Counter[int] = Counter()
        self.running: Counter[int] = Counter()

    def mood(self, rank: int) -> str:
        try:
            return (FOLDER / str(rank)).read_text().strip()
        except FileNotFoundError:
            return ""

    def metrics(self) -> str:
        return "".join(self._lines(rank) for rank in self.numbers)

    def _lines(self, rank: int) -> str:
        running = 1 if self.mood(rank) == "stall" else self.running[rank]
        values = {
            "num_requests_running": running,
            "num_requests_waiting": 0,
            "generation_tokens_total": 4 * self.done[rank],
            "prompt_tokens_total": 8 * self.done[rank],
            "iteration_tokens_total_count": 4 * self.done[rank],
            "kv_cache_usage_perc": 0,
        }
        label = f'engine="{rank}",model_name="{self.model}"'
        lines = [f"vllm:{name}{{{label}}} {float(value)}\n" for name, value in values.items()]
        success = f'vllm:request_success_total{{{label},finished_reason="stop"}} {self.done[rank]}'
        waiting = f'vllm:num_requests_waiting_by_reason{{{label},reason="capacity"}} 0.0'
        return "".join((*lines, success, "\n", waiting, "\n"))


class Handler(BaseHTTPRequestHandler):
    ranks: Ranks

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(200, self.ranks.metrics())
        elif self.path == "/v1/models":
            self._send(200, json.dumps({"data": [{"id": self.ranks.model}]}))
        else:
            sick = any(self.ranks.mood(rank) == "sick" for rank in self.ranks.numbers)
            self._send(503 if sick else 200, "")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        index = int(self.headers.get("X-data-parallel-rank", 0))
        rank = self.ranks.numbers[index]
        mood = self.ranks.mood(rank)
        if mood == "500":
            self._send(500, json.dumps({"error": {"message": "CUDA error: misaligned address"}}))
            return
        while mood in ("mute", "stall", "sick"):
            time.sleep(0.1)
            mood = self.ranks.mood(rank)
        self._answer(rank, WRONG if mood == "garble" else WELL, body.get("stream", False))

    def _answer(self, rank: int, pieces: tuple[str, ...], stream: bool) -> None:
        self.ranks.done[rank] += 1
        usage = {"completion_tokens": len(pieces)}
        if not stream:
            message = {"role": "assistant", "content": "".join(pieces)}
            self._send(200, json.dumps({"choices": [{"message": message}], "usage": usage}))
            return
        chunks: list[object] = [{"choices": [{"delta": {"content": text}}]} for text in pieces]
        events = (*map(json.dumps, (*chunks, {"choices": [], "usage": usage})), "[DONE]")
        self._send(200, "".join(f"data: {event}\n\n" for event in events))

    def _send(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("size-local", "rank", "start-rank"):
        parser.add_argument(f"--data-parallel-{name}", type=int)
    parser.add_argument("--served-model-name")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--headless", action="store_true")
    options, _ = parser.parse_known_args()
    if options.headless:
        threading.Event().wait()
    Handler.ranks = Ranks(options)
    ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
