"""The ports that tests beside each other have."""

import socket

from tests.ports import SIZE, port_block


def test_two_tests_and_a_listener_have_blocks_of_their_own() -> None:
    with port_block() as first, port_block() as second:
        assert abs(first[0] - second[0]) >= SIZE
        assert second[1] - second[0] == first[1] - first[0]
    with socket.create_server(("127.0.0.1", first[1] + 1)), port_block() as elsewhere:
        assert elsewhere != first
