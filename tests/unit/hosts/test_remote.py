"""A host's door: what answers there without being SSH is told in a line, and nothing else is printed."""

import socket
import subprocess
import sys
import threading

import pytest

ASK = """import sys
from dsr1.hosts.access import Access
from dsr1.hosts.errors import HostError
from dsr1.hosts.remote import Remote
try:
    Remote(Access("node1", "127.0.0.1", port=int(sys.argv[1]))).run(("true",), 5)
except HostError as error:
    print(error)
"""


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_ssh_is_told_in_a_line(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        command = (sys.executable, "-c", ASK, str(server.getsockname()[1]))
        told = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert told.stdout.startswith("node1: can't be reached: nothing like SSH answers there (")
    assert told.stderr == ""
