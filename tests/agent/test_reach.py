"""Trying peers, with real sockets on loopback addresses that stand for hosts."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dsr1.hosts.agent.network.reach import try_peers
from dsr1.hosts.protocol.reach import ReachAnswer, ReachPeer, ReachQuestion, ReachResult


@pytest.fixture
def port() -> Iterator[int]:
    """One that is free on every loopback address, kept so by a socket that is bound and doesn't
    listen."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


def peers(port: int, count: int) -> list[ReachPeer]:
    return [ReachPeer(f"n{number}", f"127.7.0.{number}", port) for number in range(1, count + 1)]


def ask_all(questions: list[ReachQuestion]) -> list[ReachAnswer]:
    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(try_peers, questions))


def test_all_reach_each_other_and_nothing_listens_afterwards(port: int) -> None:
    leader, *others = peers(port, 40)
    questions = [
        ReachQuestion(leader, tuple(others)),
        *(ReachQuestion(other, (leader,)) for other in others),
    ]
    told = ask_all(questions)
    assert told[0] == ReachAnswer(tuple(ReachResult(other.name) for other in others))
    assert set(told[1:]) == {ReachAnswer((ReachResult("n1"),))}
    assert ask_all(questions) == told  # the ports are free again at once
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((leader.address, port), timeout=1)


def test_a_peer_that_never_listens(port: int) -> None:
    leader, other = peers(port, 2)
    told = try_peers(ReachQuestion(leader, (other,), window_s=0.3))
    assert told == ReachAnswer((ReachResult("n2", "Connection refused, for 0.3 s"),))


def test_a_peer_that_listens_late(port: int) -> None:
    """It is tried again; the one that was there first doesn't give up at the first refusal."""
    leader, other = peers(port, 2)
    with ThreadPoolExecutor(1) as pool, socket.create_server((other.address, port)) as door:
        door.close()
        early = pool.submit(try_peers, ReachQuestion(leader, (other,), window_s=20))
        assert try_peers(ReachQuestion(other, (leader,), window_s=20)).reached == (
            ReachResult("n1"),
        )
        assert early.result().reached == (ReachResult("n2"),)


def test_a_peer_that_answers_nothing(port: int) -> None:
    """A listener whose queue is full drops what comes, as a firewall does."""
    leader, other = peers(port, 2)
    with (
        socket.create_server((other.address, port), backlog=0) as door,
        socket.create_connection(door.getsockname()),
    ):
        told = try_peers(ReachQuestion(leader, (other,), timeout_s=0.3, window_s=0.6))
    assert told == ReachAnswer((ReachResult("n2", "no answer in 0.3 s"),))


def test_a_port_that_somebody_holds(port: int) -> None:
    leader, other = peers(port, 2)
    with socket.create_server((leader.address, port)):
        told = try_peers(ReachQuestion(leader, (other,)))
    assert told == ReachAnswer(problem=f"127.7.0.1 port {port}: Address already in use")


def test_an_address_that_is_not_ours(port: int) -> None:
    assert (
        "Cannot assign" in try_peers(ReachQuestion(ReachPeer("a", "192.0.2.1", port), ())).problem
    )
