"""Passing a model on, on loopback: chains of hosts in one process, and peers of every kind."""

import json
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.unit.hosts.agent.model.test_model import HOSTILE

from dsr1.hosts.agent.facts.model.shards import WORK
from dsr1.hosts.agent.model.inside import StagingArea
from dsr1.hosts.agent.model.push import hash_all
from dsr1.hosts.agent.model.receive import Address, Receiver, Upstreams
from dsr1.hosts.agent.model.relay import (
    FRAME,
    MOST_STRANGERS,
    RelayConnection,
    RelayServer,
    make_context,
)
from dsr1.hosts.agent.model.source_hashes import SourceHashes
from dsr1.hosts.agent.model.staging import staging_folder
from dsr1.hosts.agent.model.store import ModelStore, list_folder, refuse_unsafe
from dsr1.hosts.protocol.jobs.messages import JobRefused
from dsr1.hosts.protocol.jobs.orders import PushMessage, PushReply, StoreFile
from dsr1.hosts.protocol.plain import from_plain
from dsr1.launcher.commands.certificates import make_secrets

HERE = "127.0.0.1"
SERVERS: list[RelayServer] = []
HASHES: dict[int, str] = {}  # what the source has told of its files
AREAS: list[ExitStack] = []
FILES = {
    "config.json": b"{}",
    "empty.json": b"",
    "a/b c.txt": b"x",
    "large.safetensors": bytes(range(256)) * 20_000,
}


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    return make_secrets([HERE])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "source"


@pytest.fixture(autouse=True)
def servers() -> Iterator[list[RelayServer]]:
    """All of a test's, closed after it; so are the folders that came into."""
    SERVERS.clear()
    AREAS.clear()
    yield SERVERS
    for server in SERVERS:
        server.close()
    for area in AREAS:
        area.close()


def serve(secrets: Mapping[str, str], stock: ModelStore) -> Address:
    server = RelayServer(HERE, secrets)
    SERVERS.append(server)
    server.begin(stock)
    return HERE, server.port


def offer(
    folder: Path, secrets: Mapping[str, str], sums: Mapping[str, str] | None = None
) -> tuple[ModelStore, Address]:
    stock = ModelStore(list_folder(folder), folder)
    for index, item in enumerate(stock.items):
        stock.put(index, folder / item.name, item.size)
    hash_all(stock, dict(sums or {}), HASHES.__setitem__)
    return stock, serve(secrets, stock)


def open_area(folder: Path) -> StagingArea:
    AREAS.append(ExitStack())
    return AREAS[-1].enter_context(staging_folder(folder))


def take(
    folder: Path,
    stock: ModelStore,
    ahead: Sequence[Address],
    secrets: Mapping[str, str],
    patience_s: float = 10.0,
) -> Receiver:
    """A host that receives; it has not begun."""
    context = make_context(ssl.PROTOCOL_TLS_CLIENT, secrets)
    area = open_area(folder)
    receiver = Receiver(area, stock, Upstreams(ahead, context, patience_s), HASHES.__getitem__)
    receiver.adopt_existing()
    return receiver


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / WORK / "lock"
    }


def dead_address() -> Address:
    with socket.create_server((HERE, 0)) as door:
        return HERE, door.getsockname()[1]


def test_a_chain_brings_the_same_to_all(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    """All of them at once: what has not come yet is waited for."""
    first, address = offer(source, secrets)
    ahead, threads = [address], []
    for number in range(3):
        stock = ModelStore(first.items, tmp_path / f"host{number}")
        receiver = take(tmp_path / f"host{number}", stock, ahead[:1], secrets)
        threads.append(threading.Thread(target=receiver.run))
        ahead.insert(0, serve(secrets, stock))
    for thread in reversed(threads):
        thread.start()
    for thread in threads:
        thread.join()
    assert [contents(tmp_path / f"host{number}") for number in range(3)] == [FILES] * 3


def test_a_dead_host_is_passed_over(source: Path, tmp_path: Path, secrets: dict[str, str]) -> None:
    stock, address = offer(source, secrets)
    take(
        tmp_path / "host",
        ModelStore(stock.items, tmp_path / "host"),
        [dead_address(), address],
        secrets,
    ).run()
    assert contents(tmp_path / "host") == FILES


def test_a_silent_host_is_passed_over(
    source: Path, tmp_path: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts, and says nothing more."""
    monkeypatch.setattr("dsr1.hosts.agent.model.relay.SILENT_S", 0.3)
    stock, address = offer(source, secrets)
    with socket.create_server((HERE, 0)) as silent:
        take(
            tmp_path / "host",
            ModelStore(stock.items, tmp_path / "host"),
            [(HERE, silent.getsockname()[1]), address],
            secrets,
        ).run()
    assert contents(tmp_path / "host") == FILES


def test_nobody_ahead_is_told(source: Path, tmp_path: Path, secrets: dict[str, str]) -> None:
    receiver = take(
        tmp_path / "host",
        ModelStore(list_folder(source), tmp_path / "host"),
        [dead_address()],
        secrets,
        patience_s=0.3,
    )
    with pytest.raises(JobRefused, match="none of the 1 hosts ahead has sent anything"):
        receiver.run()
    assert contents(tmp_path / "host") == {}


def test_a_part_is_gone_on_with(source: Path, tmp_path: Path, secrets: dict[str, str]) -> None:
    """And one that was spoilt is taken anew."""
    for number, start in enumerate((FILES["large.safetensors"][:100_000], b"\0" * 100_000)):
        stock, address = offer(source, secrets)
        (item,) = (item for item in stock.items if item.name == "large.safetensors")
        part = (
            tmp_path / f"host{number}" / WORK / f"large.safetensors.{item.size}-{item.changed}.part"
        )
        part.parent.mkdir(parents=True, mode=0o700)
        part.write_bytes(start)
        own = ModelStore(stock.items, tmp_path / f"host{number}")
        receiver = take(tmp_path / f"host{number}", own, [address], secrets)
        assert own.have() == 100_000
        receiver.run()
        assert contents(tmp_path / f"host{number}") == FILES


def test_a_part_of_a_source_that_has_changed_is_not(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    part = tmp_path / "host" / WORK / "large.safetensors.5120000-1.part"
    part.parent.mkdir(parents=True, mode=0o700)
    part.write_bytes(b"old")
    stock, address = offer(source, secrets)
    take(tmp_path / "host", ModelStore(stock.items, tmp_path / "host"), [address], secrets).run()
    assert contents(tmp_path / "host") == FILES | {f"{WORK}/{part.name}": b"old"}


def test_what_came_another_way_is_kept_if_it_is_the_same(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "large.safetensors").write_bytes(FILES["large.safetensors"])
    (host / "config.json").write_bytes(b"[]")
    before = (host / "large.safetensors").stat().st_ino
    stock, address = offer(source, secrets)
    take(host, ModelStore(stock.items, tmp_path / "host"), [address], secrets).run()
    assert contents(host) == FILES
    assert (host / "large.safetensors").stat().st_ino == before


def test_a_source_that_is_not_as_recorded_gives_nothing_a_final_name(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    stock, address = offer(
        source, secrets, {"large.safetensors": "0" * 64, "config.json": "1" * 64}
    )
    with pytest.raises(JobRefused, match=r"large\.safetensors: came with the hash .*, and 0000"):
        take(
            tmp_path / "host", ModelStore(stock.items, tmp_path / "host"), [address], secrets
        ).run()
    assert "large.safetensors" not in contents(tmp_path / "host")


def test_a_host_that_passes_on_something_else_is_left_out(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    """It has the push's certificate, and bytes of its own of the right size: the source's hashes
    come by another way."""
    stock, address = offer(source, secrets)
    liar = ModelStore(stock.items, tmp_path / "liar")
    for index, item in enumerate(stock.items):
        path = tmp_path / "liar" / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"!" * item.size)
        liar.put(index, path, item.size)
    behind = ModelStore(stock.items, tmp_path / "host")
    take(tmp_path / "host", behind, [serve(secrets, liar), address], secrets).run()
    assert contents(tmp_path / "host") == FILES


def test_the_sources_hashes_are_waited_for() -> None:
    asked: list[PushMessage] = []

    def ask(message: PushMessage) -> PushReply:
        asked.append(message)
        return PushReply(hashes=((7, "abc"),) if len(asked) > 1 else ())

    hashes = SourceHashes(ask)
    assert (hashes.wait(7), hashes.wait(7)) == ("abc", "abc")
    assert asked == [PushMessage(wanted=(7,))] * 2


def test_strangers_in_hundreds_that_say_nothing_stop_nobody(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    stock, address = offer(source, secrets)
    with ExitStack() as strangers:
        for _ in range(3 * MOST_STRANGERS):
            strangers.enter_context(socket.create_connection(address, timeout=20))
        take(
            tmp_path / "host", ModelStore(stock.items, tmp_path / "host"), [address], secrets
        ).run()
    assert contents(tmp_path / "host") == FILES


def test_an_accept_that_fails_is_not_the_last(source: Path, secrets: dict[str, str]) -> None:
    """As when all descriptors are taken, and a peer comes then."""
    stock, address = offer(source, secrets)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as peer, ExitStack() as held:
        resource.setrlimit(resource.RLIMIT_NOFILE, (peer.fileno() + 1, before[1]))
        try:
            with suppress(OSError):
                while True:
                    held.callback(os.close, os.dup(peer.fileno()))
            peer.connect(address)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    good = RelayConnection(*address, make_context(ssl.PROTOCOL_TLS_CLIENT, secrets))
    assert b"".join(good.file(0, 0, stock.items[0].size)) == FILES[stock.items[0].name]
    good.close()


def test_only_the_pushs_own_certificate_opens_the_door(
    source: Path, secrets: dict[str, str]
) -> None:
    _, address = offer(source, secrets)
    with pytest.raises(OSError, match="certificate verify failed"):
        RelayConnection(*address, make_context(ssl.PROTOCOL_TLS_CLIENT, make_secrets([HERE])))
    anybody = ssl.create_default_context(cadata=secrets["ca.pem"])
    with socket.create_connection(address, timeout=5) as plain:
        assert _answer_to(plain, anybody) == b""


def _answer_to(plain: socket.socket, context: ssl.SSLContext) -> bytes:
    """With TLS 1.3 a client is refused after its own handshake is over: it sees it when it
    reads."""
    try:
        with context.wrap_socket(plain, server_hostname=HERE) as line:
            line.sendall(b"[0, 0]\n")
            return line.recv(1)
    except OSError:
        return b""


@pytest.mark.parametrize(
    "request_",
    [
        b"\n",
        b"[]\n",
        b"[99, 0]\n",
        b"[-9, 0]\n",
        b"{}\n",
        b"[0, 0" * 999,
        b"\xff\n",
        b'["a", 0]\n',
        b"[[], 0]\n",
    ],
)
def test_a_peer_that_asks_nonsense_ends_its_own_line_alone(
    source: Path, secrets: dict[str, str], request_: bytes
) -> None:
    stock, address = offer(source, secrets)
    context = make_context(ssl.PROTOCOL_TLS_CLIENT, secrets)
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=HERE) as line,
    ):
        line.sendall(request_)
        assert line.recv(1) == b""
    good = RelayConnection(*address, context)
    number = next(n for n, item in enumerate(stock.items) if item.name == "config.json")
    assert b"".join(good.file(number, 0, 2)) == FILES["config.json"]
    good.close()


def test_a_frame_that_is_too_long_is_no_frame(secrets: dict[str, str]) -> None:
    context = make_context(ssl.PROTOCOL_TLS_SERVER, secrets)
    with socket.create_server((HERE, 0)) as door:

        def answer() -> None:
            line, _ = door.accept()
            with line, context.wrap_socket(line, server_side=True) as secure:
                secure.recv(100)
                secure.sendall(FRAME.pack(2**31))
                secure.recv(1)

        liar = threading.Thread(target=answer)
        liar.start()
        line = RelayConnection(
            HERE, door.getsockname()[1], make_context(ssl.PROTOCOL_TLS_CLIENT, secrets)
        )
        with pytest.raises(OSError, match="frame that is too long"):
            next(line.file(0, 0, 1))
        line.close()
        liar.join()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\nb", "a\0b", ".."]
)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(JobRefused, match="is not the name of a file"):
        refuse_unsafe([StoreFile(name, 1, 1)])


def test_what_is_no_file_is_not_listed(source: Path) -> None:
    os.mkfifo(source / "pipe")
    (source / "loop").symlink_to(source)
    (source / "nothing").symlink_to("not/there")
    (source / "link.json").symlink_to(source / "config.json")
    assert {item.name for item in list_folder(source)} == {*FILES, "link.json"}


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\n" not in name])
def test_names_are_only_names(tmp_path: Path, secrets: dict[str, str], name: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(b"1")
    (tmp_path / "source" / ".hidden").write_bytes(b"2")
    stock, address = offer(tmp_path / "source", secrets)
    travelled = json.loads(json.dumps(asdict(PushReply(tuple(stock.items)))))
    files = from_plain(PushReply, travelled).files
    refuse_unsafe(files)
    take(tmp_path / "host", ModelStore(files, tmp_path / "host"), [address], secrets).run()
    assert contents(tmp_path / "host") == {name: b"1"}


def test_a_private_file_stays_private(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    (source / "config.json").chmod(0o600)
    stock, address = offer(source, secrets)
    take(tmp_path / "host", ModelStore(stock.items, tmp_path / "host"), [address], secrets).run()
    modes = {name: (tmp_path / "host" / name).stat().st_mode & 0o777 for name in FILES}
    assert modes == {**dict.fromkeys(FILES, 0o644), "config.json": 0o600}


def test_a_file_that_became_a_link_is_not_served(
    source: Path, tmp_path: Path, secrets: dict[str, str]
) -> None:
    """Its line ends; the other files still come."""
    stock, address = offer(source, secrets)
    index = next(n for n, item in enumerate(stock.items) if item.name == "config.json")
    (tmp_path / "key").write_bytes(b"{}")
    (source / "config.json").unlink()
    (source / "config.json").symlink_to(tmp_path / "key")
    line = RelayConnection(*address, make_context(ssl.PROTOCOL_TLS_CLIENT, secrets))
    with pytest.raises(OSError, match="ended"):
        list(line.file(index, 0, 2))
    line.close()
