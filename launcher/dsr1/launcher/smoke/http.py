"""How servers of a run are asked over HTTP: what they answer is bounded, in bytes and in time."""

import time
from collections.abc import Iterator

import httpx

from dsr1.hosts.protocol.http import trust_one
from dsr1.launcher.smoke.access import FrontendAccess

MOST_BYTES, MOST_S = 64 << 20, 3600.0
_USUAL = httpx.Limits(max_connections=100, max_keepalive_connections=20)  # httpx's own
PLAIN = {"Accept-Encoding": "identity"}  # what is packed may be of any size


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        count, until = 0, time.monotonic() + MOST_S
        for data in self._stream:
            count += len(data)
            if count > MOST_BYTES or time.monotonic() > until:
                raise httpx.ReadError(f"the answer goes on after {count >> 20} MiB")
            yield data

    def close(self) -> None:
        self._stream.close()


class BoundedTransport(httpx.BaseTransport):
    """httpx.ReadError: an answer without end, or one that never ends."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream)
        return response

    def close(self) -> None:
        self._transport.close()


def make_client(access: FrontendAccess, limits: httpx.Limits = _USUAL) -> httpx.Client:
    """Past every proxy: the hosts are in reach, or the run isn't."""
    trust = trust_one(access.certificate) if access.certificate else True
    own = BoundedTransport(httpx.HTTPTransport(verify=trust, trust_env=False, limits=limits))
    key = {"Authorization": f"Bearer {access.api_key}"} if access.api_key else {}
    headers = PLAIN | key
    return httpx.Client(timeout=access.timeout_s, trust_env=False, transport=own, headers=headers)
