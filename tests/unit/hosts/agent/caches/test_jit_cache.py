"""Caches on a host: packed, unpacked where they lack, never written over, and never trusted to be a
pack of ours."""

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from dsr1.hosts.agent.caches.jit_cache import (
    CacheError,
    drop,
    list_caches,
    open_cache,
    pack,
    unpack,
)
from dsr1.hosts.agent.caches.ninja import refresh_deps, refresh_log

KEY = "h100-80gb-hbm3-vllm0.23.0-0123456789ab"


def fill(root: Path, key: str, files: dict[str, str]) -> None:
    open_cache(root, key)
    for name, text in files.items():
        (root / key / name).parent.mkdir(parents=True, exist_ok=True)
        (root / key / name).write_text(text)


def contents(root: Path, key: str) -> dict[str, str]:
    folder = root / key
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_cache_travels(tmp_path: Path) -> None:
    files = {"vllm/a": "1", "deep_gemm/cache/kernel.x/kernel.cubin": "2", "triton/a b;$(id)": "3"}
    fill(tmp_path / "here", KEY, files)
    data = pack(tmp_path / "here", KEY)
    assert unpack(tmp_path / "there", KEY, sha256(data), data) == 3
    assert contents(tmp_path / "there", KEY) == files
    here, there = (list_caches(tmp_path / name) for name in ("here", "there"))
    assert here[0].digest == there[0].digest


def test_what_is_only_there_while_something_is_built_stays(tmp_path: Path) -> None:
    fill(tmp_path, KEY, {"f/x.lock": "", "f/tmp/y": "", "f/z.so": "s"})
    (tmp_path / KEY / "link").symlink_to("/etc/passwd")
    data = pack(tmp_path, KEY)
    unpack(tmp_path / "there", KEY, sha256(data), data)
    assert contents(tmp_path / "there", KEY) == {"f/z.so": "s"}


def test_nothing_is_written_over(tmp_path: Path) -> None:
    fill(tmp_path / "here", KEY, {"a": "old", "b": "b"})
    data = pack(tmp_path / "here", KEY)
    fill(tmp_path / "there", KEY, {"a": "new"})
    assert unpack(tmp_path / "there", KEY, sha256(data), data) == 1
    assert contents(tmp_path / "there", KEY) == {"a": "new", "b": "b"}


def test_a_pack_that_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "here", KEY, {"a": "1"})
    data = pack(tmp_path / "here", KEY)
    with pytest.raises(CacheError, match="sha256"):
        unpack(tmp_path / "there", KEY, sha256(data), data[:-1] + b"x")
    assert not (tmp_path / "there").exists()


def hostile(**wrong: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        entry = tarfile.TarInfo("a")
        entry.size = 1
        for name, value in wrong.items():
            setattr(entry, name, value)
        archive.addfile(entry, io.BytesIO(b"1" * 10))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        hostile(name="/etc/cron.d/x"),
        hostile(name="../x"),
        hostile(name="a/../../x"),
        hostile(type=tarfile.SYMTYPE, linkname="/etc"),
        hostile(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        hostile(type=tarfile.CHRTYPE),
        b"not a tar",
        hostile()[:50],
    ],
)
def test_a_pack_of_somebody_else_adds_nothing(tmp_path: Path, data: bytes) -> None:
    root = tmp_path / "there"
    with pytest.raises((CacheError, OSError)):
        unpack(root, KEY, sha256(data), data)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list_caches(root) == []


@pytest.mark.parametrize("key", ["", "..", "a/b", "/etc", "a\nb", ".adding-x", "-rf"])
def test_a_key_is_a_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(CacheError, match="not a cache's key"):
        open_cache(tmp_path, key)


def test_a_root_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(CacheError, match="mode 777"):
        open_cache(root, KEY)


def test_a_cache_is_dropped(tmp_path: Path) -> None:
    fill(tmp_path, KEY, {"a": "1"})
    assert drop(tmp_path, [KEY, "other"]) == [KEY]
    assert list_caches(tmp_path) == []


def test_ninja_finds_nothing_to_do_after_the_journey(tmp_path: Path) -> None:
    """Also where the headers, which don't travel, are younger than what was built with them."""
    header, home = tmp_path / "site-packages" / "head.h", tmp_path / "home"
    header.parent.mkdir()
    header.write_text("#define X 1\n")
    rule = (
        f"rule c\n  command = gcc -MD -MF $out.d -I{header.parent} -c $in -o $out\n  depfile ="
        " $out.d\n  deps = gcc\n"
    )
    fill(
        home,
        KEY,
        {"build.ninja": f"{rule}build a.o: c a.c\n", "a.c": '#include "head.h"\nint x = X;\n'},
    )
    ninja(home / KEY)
    header.touch()
    data = pack(home, KEY)
    assert "gcc" in ninja(home / KEY, "-n", "-v")
    (home / KEY).rename(tmp_path / "elsewhere")
    unpack(home, KEY, sha256(data), data)
    assert "no work to do" in ninja(home / KEY, "-n", "-v")


def ninja(folder: Path, *flags: str) -> str:
    command = (str(Path(sys.executable).with_name("ninja")), "-C", str(folder), *flags)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# ninjadeps\n",
        b"# ninjadeps\n\x03\0\0\0rest",
        b"# ninjadeps\n\x04\0\0\0\xff\xff\xff\xff12",
    ],
)
def test_deps_of_another_kind_are_left_alone(data: bytes) -> None:
    assert refresh_deps(data, 1) == data


@pytest.mark.parametrize("text", ["", "# ninja log v5\n", "one\ttwo\n", "1\t2\tx\ty\tz\n"])
def test_a_log_of_another_kind_is_left_alone(text: str) -> None:
    assert refresh_log(text, 1) == text


def header(kind: bytes, size: int) -> bytes:
    entry = tarfile.TarInfo("a")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "head",
    [
        header(tarfile.XHDTYPE, 10**9),  # attributes, which are read at once
        header(tarfile.GNUTYPE_LONGNAME, 10**9),
        header(tarfile.REGTYPE, 2**40),
        header(tarfile.REGTYPE, -(2**40)),
        header(tarfile.GNUTYPE_SPARSE, 2**40),
    ],
)
def test_a_pack_that_grows_without_end_is_none(tmp_path: Path, head: bytes) -> None:
    data = lzma.compress(head + bytes(10**7), preset=0)
    tracemalloc.start()
    try:
        with pytest.raises(CacheError, match="not a pack"):
            unpack(tmp_path, KEY, sha256(data), data)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert contents(tmp_path, KEY) == {}


def test_a_key_ends_where_it_ends(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="not a cache's key"):
        open_cache(tmp_path, "key\n")
