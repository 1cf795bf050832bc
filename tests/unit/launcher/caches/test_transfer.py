"""Between the store and hosts: real agents' verbs, on folders of this machine that stand for
hosts."""

import sys
from pathlib import Path

import pytest

from dsr1.env.caches import HostCache, JitCache
from dsr1.hosts.errors import HostError
from dsr1.hosts.transport.local import LocalTransport
from dsr1.launcher.caches.store import PackStore
from dsr1.launcher.caches.transfer import (
    copy_caches,
    drop_held,
    harvest,
    list_held,
    open_host_cache,
    push_pack,
)

KEY = "cpu-vllm0.31.0-0123456789ab"


@pytest.fixture
def transport(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path / "agents", (sys.executable,))


def cache(root: Path, host: str, fill: str = "f") -> HostCache:
    return HostCache(
        host, "main", 2, JitCache(str(root), KEY, (("gpu", "cpu"), ("root", str(root))), fill)
    )


def test_harvested_once_and_brought_where_it_lacks(
    tmp_path: Path, transport: LocalTransport
) -> None:
    store, one = PackStore(tmp_path / "store"), cache(tmp_path / "disk", "one")
    assert "none is kept" in copy_caches(transport, (one,), store)[0]
    kernel = tmp_path / "disk" / KEY / "deep_gemm" / "kernel.cubin"
    kernel.parent.mkdir()
    kernel.write_text("x" * 1000)
    (words,) = harvest(transport, (one,), store, "r1")
    assert "1 file, 1.0 kB" in words
    assert harvest(transport, (one,), store, "r2") == ()
    assert copy_caches(transport, (one,), store) == ()
    assert drop_held(transport, "one", str(tmp_path / "disk"), [KEY]) == [KEY]
    (words,) = copy_caches(transport, (one,), store)
    assert "received" in words
    assert kernel.read_text() == "x" * 1000
    (held,) = list_held(transport, "one", str(tmp_path / "disk"))
    assert (held.key, held.files) == (KEY, 1)


def test_a_host_that_has_more_keeps_it(tmp_path: Path, transport: LocalTransport) -> None:
    store, one = PackStore(tmp_path / "store"), cache(tmp_path / "disk", "one")
    open_host_cache(transport, "one", one.cache)
    (tmp_path / "disk" / KEY / "a").write_text("1")
    harvest(transport, (one,), store, "r1")
    (tmp_path / "disk" / KEY / "b").write_text("1")
    assert copy_caches(transport, (one,), store) == ()
    assert "2 files" in harvest(transport, (one,), store, "r2")[0]


def test_another_engine_is_said_to_be_new_until_it_was_compiled(
    tmp_path: Path, transport: LocalTransport
) -> None:
    store, one, two = (
        PackStore(tmp_path / "store"),
        cache(tmp_path / "d", "one"),
        cache(tmp_path / "d", "one", "other"),
    )
    open_host_cache(transport, "one", one.cache)
    (tmp_path / "d" / KEY / "a").write_text("1")
    harvest(transport, (one,), store, "r1")
    assert copy_caches(transport, (one,), store) == ()
    assert "main" in copy_caches(transport, (two,), store)[0]
    harvest(transport, (two,), store, "r2")
    assert copy_caches(transport, (one, two), store) == ()


def test_a_broken_pack_is_told_and_ends_nothing(tmp_path: Path, transport: LocalTransport) -> None:
    store, one = PackStore(tmp_path / "store"), cache(tmp_path / "disk", "one")
    open_host_cache(transport, "one", one.cache)
    (tmp_path / "disk" / KEY / "a").write_text("1")
    harvest(transport, (one,), store, "r1")
    (tmp_path / "store" / f"{KEY}.tar.xz").write_bytes(b"half")
    drop_held(transport, "one", str(tmp_path / "disk"), [KEY])
    assert "sha256" in copy_caches(transport, (one,), store)[0]
    (pack,) = store.list()
    with pytest.raises(HostError, match=r"^one: .* was not sent: .*sha256"):
        push_pack(transport, "one", pack, store)
    store.drop(KEY)
    assert store.list() == []


def test_a_root_that_can_t_be_used_is_told_and_ends_nothing(
    tmp_path: Path, transport: LocalTransport
) -> None:
    (tmp_path / "file").write_text("")
    one = cache(tmp_path / "file", "one")
    assert "one: cache-open" in copy_caches(transport, (one,), PackStore(tmp_path / "store"))[0]


def test_a_store_that_can_t_be_written_is_told_and_ends_nothing(
    tmp_path: Path, transport: LocalTransport
) -> None:
    one = cache(tmp_path / "disk", "one")
    open_host_cache(transport, "one", one.cache)
    (tmp_path / "disk" / KEY / "a").write_text("1")
    (tmp_path / "file").write_text("")
    (words,) = harvest(transport, (one,), PackStore(tmp_path / "file" / "store"), "r1")
    assert f"{KEY} of one: can't be kept here: " in words
    assert "Not a directory" in words


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}'])
def test_a_store_passes_over_what_it_can_t_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert PackStore(tmp_path).list() == []


def test_only_named_hosts_are_sources(tmp_path: Path, transport: LocalTransport) -> None:
    store, one = PackStore(tmp_path / "store"), cache(tmp_path / "disk", "one")
    open_host_cache(transport, "one", one.cache)
    (tmp_path / "disk" / KEY / "a").write_text("1")
    assert harvest(transport, (one,), store, "r1", ("two",)) == ()
    assert store.find(KEY) is None
    (words,) = harvest(transport, (one,), store, "r1", ("two", "one"))
    pack = store.find(KEY)
    assert pack is not None
    assert words.endswith(f"sha256 {pack.sha256[:16]}")
    assert pack.source == "one, run r1"


def test_a_file_that_others_may_write_is_no_caches(
    tmp_path: Path, transport: LocalTransport
) -> None:
    store, one = PackStore(tmp_path / "store"), cache(tmp_path / "disk", "one")
    open_host_cache(transport, "one", one.cache)
    planted = tmp_path / "disk" / KEY / "kernel.so"
    planted.write_text("1")
    planted.chmod(0o666)
    (words,) = harvest(transport, (one,), store, "r1")
    assert "kernel.so belongs to uid" in words
    assert store.find(KEY) is None
