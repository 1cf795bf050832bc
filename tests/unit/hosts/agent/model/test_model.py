"""A model's folder, whole and broken in every way that users meet."""

import json
import os
import struct
from pathlib import Path

import pytest

from dsr1.hosts.agent.facts.model.folder import model_readers
from dsr1.hosts.agent.facts.model.shards import (
    INDEX,
    ModelFile,
    find_folder,
    leftovers,
    list_model_files,
    parse_header,
    read_index,
    read_sums,
)
from dsr1.hosts.agent.facts.reading.mounts import file_system_of, mount_for, parse_mounts
from dsr1.hosts.protocol.facts.fact import observe

SHARDS = {
    "model-00001-of-000002.safetensors": ("a", "b"),
    "model-00002-of-000002.safetensors": ("c",),
}
HOSTILE = ("a b", "';id", "x,y", '{"a": 1}', "\u00e9\n", "-rf")


def header_of(tensors: tuple[str, ...], each: int = 64) -> bytes:
    told = {
        t: {"dtype": "U8", "shape": [each], "data_offsets": [n * each, n * each + each]}
        for n, t in enumerate(tensors)
    }
    data = json.dumps({"__metadata__": {"format": "pt"}, **told}).encode()
    return struct.pack("<Q", len(data)) + data


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, tensors in SHARDS.items():
        (folder / name).write_bytes(header_of(tensors) + b"\1" * 64 * len(tensors))
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {t: name for name, tensors in SHARDS.items() for t in tensors},
    }
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text('{"model_type": "deepseek_v3"}')
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_text("{}")
    return folder


FIRST, SECOND = SHARDS


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "DeepSeek-R1")


def test_a_whole_model(model: Path) -> None:
    seen = list_model_files(model)
    assert {name: file.problem for name, file in seen.items() if file.problem} == {}
    assert seen[FIRST].size == seen[FIRST].wanted == (model / FIRST).stat().st_size
    assert len(seen["config.json"].digest) == 64
    assert set(seen) == {path.name for path in model.iterdir()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("../blobs/abc")


def circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def to_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4302000000\n")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, "not there"),
        (dangle, "a link to nothing: ../blobs/abc"),
        (circle, "Too many levels of symbolic links"),
        (to_pointer, "a Git LFS pointer"),
        (lambda path: path.write_bytes(b""), "no safetensors header: 0 bytes"),
        (lambda path: path.write_bytes(b"\0" * 5000), "no safetensors header: 0 bytes"),
        (
            lambda path: path.write_bytes(b"\xff" * 5000),
            "no safetensors header: 18446744073709551615 bytes",
        ),
        (lambda path: path.write_bytes(struct.pack("<Q", 4) + b"nope"), "no safetensors header: "),
        (
            lambda path: path.write_bytes(struct.pack("<Q", 7) + b'{"a":1}'),
            "no safetensors header: ",
        ),
        (
            lambda path: path.write_bytes(header_of(("a",)) + b"\1" * 64),
            "lacks 1 tensors of the index: b",
        ),
    ],
)
def test_a_broken_shard_is_named(model: Path, harm: object, said: str) -> None:
    harm(model / FIRST)  # type: ignore[operator]
    assert said in list_model_files(model)[FIRST].problem
    assert list_model_files(model)[SECOND].problem == ""


def test_a_short_shard_has_another_size_than_its_header_tells(model: Path) -> None:
    cut(model / FIRST)
    seen = list_model_files(model)[FIRST]
    assert (seen.problem, seen.wanted) == ("", (seen.size or 0) + 10)


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/b", "", "..", "\0", 5, None])
def test_an_index_names_files_beside_it(model: Path, name: object) -> None:
    (model / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    assert "is not the name of a file" in list_model_files(model)[INDEX].problem


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"weight_map": 3}', b"\xff\xfe", b"[" * 5000]
)
def test_garbage_is_no_index_and_no_header(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_index(text)
    if text != b"{}":
        with pytest.raises(ValueError, match="no safetensors header"):
            parse_header(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names(model: Path, name: str) -> None:
    (model / name).write_text("x")
    assert list_model_files(model)[name] == ModelFile(
        1, digest=list_model_files(model)[name].digest
    )


def test_a_pipe_and_a_device_are_not_opened(model: Path) -> None:
    os.mkfifo(model / "pipe.safetensors")
    (model / "zero.json").symlink_to("/dev/zero")
    assert {
        list_model_files(model)[name].problem for name in ("pipe.safetensors", "zero.json")
    } == {"no regular file"}


def test_what_downloads_left(model: Path) -> None:
    assert leftovers(model) == []
    for left in (".cache/huggingface/download/x.incomplete", ".dsr1/y.part", "z.incomplete"):
        (model / left).parent.mkdir(parents=True, exist_ok=True)
        (model / left).touch()
    assert [Path(path).name for path in leftovers(model)] == [
        "x.incomplete",
        "y.part",
        "z.incomplete",
    ]


def test_a_hub_id_is_its_snapshot_in_the_cache(tmp_path: Path) -> None:
    snapshot = make_model(tmp_path / "hub/models--deepseek-ai--DeepSeek-R1/snapshots/abc")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc\n")
    (snapshot.parents[1] / "blobs").mkdir()
    (snapshot.parents[1] / "blobs/f.incomplete").touch()
    for environ in ({"HF_HUB_CACHE": f"{tmp_path}/hub"}, {"HF_HOME": str(tmp_path)}):
        assert find_folder("deepseek-ai/DeepSeek-R1", environ) == snapshot
    assert len(leftovers(snapshot)) == 1
    with pytest.raises(FileNotFoundError, match=r"other/model is not in .*hub"):
        find_folder("other/model", {"HF_HOME": str(tmp_path)})
    assert find_folder("/models/x", {}) == Path("/models/x")


def test_facts_of_a_model_and_of_none(model: Path) -> None:
    facts = observe(model_readers(str(model), Path("/")))
    assert [name for name, fact in facts.items() if fact.value is None] == []
    assert facts["model.fs"].value["free"] > 0  # type: ignore[index,call-overload,operator]
    for nothing in ("", "/not/there", "some/model"):
        facts = observe(model_readers(nothing, Path("/")))
        assert {facts[name].value for name in ("model.folder", "model.config", "model.fs")} <= {
            None
        } or nothing
        assert facts["model.files"].problem


MOUNTS = r"""22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /models\040of\134us rw shared:2 master:3 - nfs4 filer:/export\040a rw,vers=4.2
31 22 0:51 / /models rw - lustre 10.0.0.1@tcp:/fs rw
32 31 0:52 / /models/local rw - xfs /dev/nvme0n1 rw
"""


def test_the_mount_that_serves_a_path() -> None:
    mounts = parse_mounts(MOUNTS)
    assert mounts["/models of\\us"] == ("nfs4", "filer:/export a")
    found = {
        path: mounts[mount_for(Path(path), mounts)][0]
        for path in ("/models/R1", "/models/local/x", "/modelsx", "/")
    }
    assert list(found.values()) == ["lustre", "xfs", "ext4", "ext4"]


def test_a_file_system_without_a_mount_table(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("")
    with pytest.raises(LookupError, match="no mount point above"):
        file_system_of(tmp_path, tmp_path / "mountinfo")


def test_sums_as_sha256sum_writes_them(tmp_path: Path) -> None:
    assert read_sums(tmp_path) == {}
    (tmp_path / "SHA256SUMS").write_text("ab  a b\ncd *';id\n\n")
    assert read_sums(tmp_path) == {"a b": "ab", "';id": "cd"}
