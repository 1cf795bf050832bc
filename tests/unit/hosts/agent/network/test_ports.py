"""What counts as a taken port: a listener, and not the remains of one."""

import socket
import sys

import pytest

from dsr1.hosts.agent.facts.fabric.interfaces import interface_networks
from dsr1.hosts.agent.network.ports import bind_error, holder_of
from dsr1.hosts.protocol.facts.fact import observe


def test_a_listener_holds_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert bind_error("127.0.0.1", port) is not None
        assert bind_error("0.0.0.0", port) is not None


def test_closed_connections_of_a_stopped_server_do_not() -> None:
    """The side that closes first keeps the pair in TIME_WAIT: here the server, as a stopped run
    does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert bind_error("127.0.0.1", port) is None


def test_a_python_without_psutil_cannot_name_who_holds_a_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`dsr1 plan` without a runtime asks this machine's own python3."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert "psutil" in holder_of(1)
    assert observe([("net.addresses", "psutil", interface_networks)])["net.addresses"].value is None
