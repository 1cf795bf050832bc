"""Clients that ask without a pause, and count what failed."""

import threading
from types import TracebackType

import httpx
from tests.waiting import until

from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.run import worker_id


class Load:
    """One client, of the worker of that id alone, or of whoever the router takes."""

    def __init__(self, service: ServiceTarget, worker: int | None = None) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self._service, self._worker = service, worker
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Some are answered at the end, too, however quick it all was."""
        before = self.answered
        try:
            if kind is None:
                until(lambda: bool(self.failed) or self.answered > before + 10)
        finally:
            self._over.set()
            self._thread.join()

    def _ask(self) -> None:
        aim = {"nvext": {"backend_instance_id": self._worker}} if self._worker else {}
        body = {
            "model": self._service.model,
            "messages": [{"role": "user", "content": "Hello!"}],
            "max_tokens": 8,
            **aim,
        }
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self._over.wait(0.02):
                try:
                    url = f"{self._service.url}/v1/chat/completions"
                    client.post(url, json=body).raise_for_status()
                    self.answered += 1
                except httpx.HTTPError as error:
                    self.failed.append(str(error))


def instance_of(service: ServiceTarget, process: str) -> int:
    """The id by which the frontend knows a worker."""
    url = next(one.metrics_url for one in service.workers if one.process == process)
    return worker_id(httpx.get(url, trust_env=False, timeout=30).text)
