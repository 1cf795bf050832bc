"""What counts as a taken port: a listener, and not the remains of one."""

import socket

from dsr1.hosts.agent.ports import bind_error


def test_a_listener_holds_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert bind_error("127.0.0.1", port) is not None
        assert bind_error("0.0.0.0", port) is not None


def test_closed_connections_of_a_stopped_server_do_not() -> None:
    """The side that closes first keeps the pair in TIME_WAIT: here the server, as a stopped run does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert bind_error("127.0.0.1", port) is None
