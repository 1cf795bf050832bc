"""A server with vLLM's surface for completions, some of which fail as servers do."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

FINE, BUSY, CUT, EMPTY = "fine", "busy", "cut", "empty"


class CompletionServer(ThreadingHTTPServer):
    """Answers in turns as `behaviour` says, again and again. `hang`: it takes requests and is
    silent."""

    daemon_threads = True

    def __init__(self, behaviour: tuple[str, ...] = (FINE,), hang: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour, self.hang = behaviour, hang
        self.turns = count()
        self.asked = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: CompletionServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.set()
        while self.server.hang:
            time.sleep(0.1)
        turn = self.server.behaviour[next(self.server.turns) % len(self.server.behaviour)]
        if turn == BUSY:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for line in _lines(turn, int(body["max_tokens"])):
            self.wfile.write(f"data: {line}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def do_GET(self) -> None:
        text = json.dumps({"data": [{"id": "tiny"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


_HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}


def _lines(turn: str, tokens: int) -> Iterator[str]:
    sent = tokens // 2 if turn == CUT else tokens
    word = "" if turn == EMPTY else " word"
    for _ in range(sent):
        yield json.dumps({**_HEAD, "choices": [{"index": 0, "text": word}]})
    usage = {"prompt_tokens": 8, "completion_tokens": sent, "total_tokens": 8 + sent}
    yield json.dumps({**_HEAD, "choices": [], "usage": usage})
    yield "[DONE]"


@contextmanager
def serving(server: CompletionServer) -> Iterator[CompletionServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.hang = False
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":  # to record what drivers make of it
    with serving(CompletionServer((FINE, BUSY, FINE, CUT, FINE, EMPTY))) as one:
        print(one.url, flush=True)
        threading.Event().wait()
